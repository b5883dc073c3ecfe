"""Layer 8: the environment in other ecosystems, one sub-package for each.

Each sub-package needs its own extra and is imported when it is used. All of them play an `Episode` and share
`messages` (text and image files), `tasks` (the tasks that may be asked for) and `records` (the run folder).
"""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.interfaces.messages import EncodedMessage, Frame, Part, encode_blocks, encode_messages
    from vzgym.interfaces.records import ServedRun
    from vzgym.interfaces.sessions import Sessions, UnknownSession
    from vzgym.interfaces.tasks import ChosenTask, ServedTasks, load_confined
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "messages: EncodedMessage Frame Part encode_blocks encode_messages",
        "records: ServedRun",
        "sessions: Sessions UnknownSession",
        "tasks: ChosenTask ServedTasks load_confined",
    )

__all__ = [
    "ChosenTask",
    "EncodedMessage",
    "Frame",
    "Part",
    "ServedRun",
    "ServedTasks",
    "Sessions",
    "UnknownSession",
    "encode_blocks",
    "encode_messages",
    "load_confined",
]
