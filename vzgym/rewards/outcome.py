"""Rewards for the outcome: accuracy and format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from vzgym.core.actions import Answer
from vzgym.episode.record import End, EpisodeRecord
from vzgym.episode.turn import Turn
from vzgym.rewards.base import Need, RewardContext
from vzgym.rewards.options import need_flag

__all__ = ["Accuracy", "Format", "TagFormat"]


@dataclass(frozen=True)
class Accuracy:
    """Whether the answer is right.

    Formula: at the end of the episode 1 if the grade is "correct", else 0; 0 before. Unscored in every turn if the
    right answer is unknown, and at the end after a video error; the whole mix is then unscored.
    Range: {0, 1}. Source: VideoZoomer, section 3.3 (weight 0.9).
    Known to break: on multiple choice it also rewards guessing.
    """

    name: ClassVar[str] = "accuracy"
    needs: ClassVar[frozenset[Need]] = frozenset()
    essential: ClassVar[bool] = True

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if not record.task.answer:
            return None
        return record.grade.score if record.grade is not None else 0.0


@dataclass(frozen=True)
class Format:
    """Whether every turn followed the format of the protocol.

    Formula: at the end 1 if the episode ended with an answer and each of its turns is well-formed, else 0; 0 before.
    Unscored after a video error, which prevents an answer.
    Range: {0, 1}. Source: VideoZoomer, section 3.3 (weight 0.1), corrected: the official check reads only the last
    turn's text, so that a lenient parser tolerates malformed calls.
    Known to break: a large weight suppresses exploration.
    """

    name: ClassVar[str] = "format"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if record.end is End.VIDEO_ERROR:
            return None
        return float(record.end is End.ANSWERED and all(turn.well_formed for turn in record.turns))


_CALLS: Final = ("video_zoom", "tool_call")
"""Tags that enclose a zoom or a tool call in the built-in protocols."""


@dataclass(frozen=True)
class TagFormat:
    """Share of the structural tags that each turn has exactly once: `format` with partial credit.

    Formula: at the end the mean over turns of (number of the turn's tags that occur exactly once in its text) / (number
    of its tags); 0 before. The tags of a turn are `<think>`, `</think>` and the pair of its action: `answer` for an
    answer, else `video_zoom` or `tool_call`, whichever the text has. Unscored after a video error, and if the dialogue
    does not use one of the protocols tags, compact_tags or tool_calls.
    Range: [0, 1].
    Source: after the tag-count rewards of open reproductions of R1, for a dialogue of several turns.
    Known to break: the order and the content of the tags do not matter, so a policy can collect it without a valid
    action; reduce it (`anneal`) in favor of `format` once the tags are there.

    Args:
        think: Whether the tags of a thought count.
    """

    think: bool = True

    name: ClassVar[str] = "tag_format"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __post_init__(self) -> None:
        need_flag(self.name, "think", self.think)

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if record.end is End.VIDEO_ERROR:
            return None
        if record.info.wording.get("name") not in ("tags", "compact_tags", "tool_calls"):
            return None
        if record.end is None:
            return 0.0
        shares = [self._share(turn) for turn in record.turns]
        return sum(shares) / len(shares)

    def _share(self, turn: Turn) -> float:
        calls = [tag for tag in _CALLS if f"<{tag}>" in turn.text or f"</{tag}>" in turn.text]
        action = "answer" if isinstance(turn.action, Answer) else next(iter(calls), _CALLS[0])
        names = ("think", action) if self.think else (action,)
        tags = [tag for name in names for tag in (f"<{name}>", f"</{name}>")]
        return sum(turn.text.count(tag) == 1 for tag in tags) / len(tags)
