"""The application, and the command `server`.

`VZGYM_TASKS` names the tasks ("tiny"), `VZGYM_SESSIONS` the maximum number of sessions (64). For other settings use
`vzgym serve openenv`. With `VZGYM_SERVE_TOKEN`, every request needs that token.
"""

import argparse
import os

from vzgym.interfaces.network import read_token
from vzgym.interfaces.openenv import Served, make_app, serve
from vzgym.interfaces.tasks import ServedTasks, load_confined, splits_of

TASKS = os.environ.get("VZGYM_TASKS", "tiny")
served = Served.make(ServedTasks([load_confined(name) for name in splits_of(TASKS)]))
sessions = int(os.environ.get("VZGYM_SESSIONS", "64"))
app = make_app(served, sessions=sessions, token=read_token())


def main() -> None:
    """Serve, on this machine only unless `--allow-remote` is given, too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--allow-remote", action="store_true", help="allow a --host that other machines can reach")
    given = parser.parse_args()
    serve(served, host=given.host, port=given.port, allow_remote=given.allow_remote, sessions=sessions)


if __name__ == "__main__":
    main()
