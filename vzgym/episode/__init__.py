"""Layer 3: episodes, dialogues, records, and the grading of answers."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.episode.answers import Grade, GradeStatus, grade
    from vzgym.episode.clip import Clip
    from vzgym.episode.dialogue import ImageBlock, Message, TextBlock
    from vzgym.episode.episode import Episode
    from vzgym.episode.evidence import evidence_shown
    from vzgym.episode.record import End, EpisodeRecord, TaskFacts, ToolDescription
    from vzgym.episode.run_info import RunInfo
    from vzgym.episode.tools import Tool, ToolContext, ToolResult
    from vzgym.episode.turn import Outcome, Refusal, Turn
    from vzgym.episode.validation import validate_zoom, validate_zooms
    from vzgym.episode.wording import PlainWording, Wording
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "answers: Grade GradeStatus grade",
        "clip: Clip",
        "dialogue: ImageBlock Message TextBlock",
        "episode: Episode",
        "evidence: evidence_shown",
        "record: End EpisodeRecord TaskFacts ToolDescription",
        "run_info: RunInfo",
        "tools: Tool ToolContext ToolResult",
        "turn: Outcome Refusal Turn",
        "validation: validate_zoom validate_zooms",
        "wording: PlainWording Wording",
    )

__all__ = [
    "Clip",
    "End",
    "Episode",
    "EpisodeRecord",
    "Grade",
    "GradeStatus",
    "ImageBlock",
    "Message",
    "Outcome",
    "PlainWording",
    "Refusal",
    "RunInfo",
    "TaskFacts",
    "TextBlock",
    "Tool",
    "ToolContext",
    "ToolDescription",
    "ToolResult",
    "Turn",
    "Wording",
    "evidence_shown",
    "grade",
    "validate_zoom",
    "validate_zooms",
]
