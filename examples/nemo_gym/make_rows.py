"""Write rows for NeMo Gym: `python make_rows.py 'needle/train[:2000]' rows.jsonl`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from vzgym.interfaces.training_rows import name_for_rows, open_tasks, task_rows

AGENT = {"type": "responses_api_agents", "name": "video_zoom_agent"}


def main(spec: str, out: Path) -> None:
    """One row for each task; the server shows the whole opening in place of `input`."""
    name = name_for_rows(spec)
    with out.open("w", encoding="utf-8") as file:
        for row in task_rows(name, open_tasks(name, None)):
            line = {"responses_create_params": {"input": row["prompt"]}, "extra_info": row["extra_info"]}
            file.write(json.dumps({**line, "agent_ref": AGENT}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
