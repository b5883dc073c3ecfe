"""Scores of groups of questions: Video-MME-v2's groups and VideoMMMU's gain in knowledge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vzgym.core.errors import InvalidSetting

__all__ = ["KnowledgeGain", "group_score", "knowledge_gain"]

# Points by the number of questions right in a row, and the question that can replace an earlier wrong one of its pair.
_QUADRATIC: Final = (0.0, 100 / 16, 400 / 16, 900 / 16, 100.0)
_LOGIC: Final[dict[str, tuple[tuple[float, ...], int | None]]] = {
    "[1,2,3,4]": (_QUADRATIC, None),
    "[1,[2,3],4]": ((0.0, 100 / 12, 400 / 12, 700 / 12, 100.0), 2),
    "[[1,2],3,4]": ((0.0, 10.0, 20.0, 50.0, 100.0), 1),
}
_SIZE: Final = 4


def group_score(kind: str, structure: str, right: Sequence[bool]) -> float:
    """The score of a group of four questions of Video-MME-v2, in [0, 100].

    Groups of kind "relevance" score `(n / 4)^2 * 100` for n right answers. Groups of kind "logic" score by the
    number of right answers before the first wrong one. In a structure such as `[1, [2, 3], 4]`, a right answer to the
    second question of a pair counts if the first was wrong, but the chain ends there.

    Args:
        kind: "relevance" or "logic", the row's `group_type`.
        structure: The row's `group_structure`; not read for "relevance".
        right: Whether each of the four answers is right, in the order of the rows.

    Raises:
        InvalidSetting: If the group does not have four answers, or its kind or structure is unknown.
    """
    if len(right) != _SIZE:
        raise InvalidSetting(f"a group of Video-MME-v2 has {_SIZE} questions, got {len(right)}")
    if kind == "relevance":
        return _QUADRATIC[sum(map(bool, right))]
    if kind != "logic":
        raise InvalidSetting(f"group_type must be 'relevance' or 'logic', got {kind!r}")
    rule = _LOGIC.get(structure.replace(" ", ""))
    if rule is None:
        raise InvalidSetting(f"unknown group_structure {structure!r}; known: {', '.join(_LOGIC)}")
    points, second = rule
    prefix = next((place for place, ok in enumerate(right) if not ok), _SIZE)
    if second is not None and prefix == second - 1 and right[second]:
        prefix += 1
    return points[prefix]


@dataclass(frozen=True, slots=True)
class KnowledgeGain:
    """VideoMMMU's gain by watching the video, on the questions of its Adaptation track.

    Attributes:
        before: Accuracy without the video, in [0, 1].
        after: Accuracy with the video, in [0, 1].
        delta: `(after - before) / (1 - before) * 100`; None if all were right before.
        wrong_to_right: Share of the questions answered wrong before that are right after; None if there are none.
        right_to_wrong: Share of the questions answered right before that are wrong after; None if there are none.
    """

    before: float
    after: float
    delta: float | None
    wrong_to_right: float | None
    right_to_wrong: float | None


def knowledge_gain(before: Sequence[bool], after: Sequence[bool]) -> KnowledgeGain:
    """Compare answers without and with the video (VideoMMMU, arXiv 2501.13826).

    Args:
        before: Whether each answer from the question alone is right.
        after: Whether each answer after the video is right; the same questions in the same order.

    Raises:
        InvalidSetting: If there are no questions, or the two differ in number.
    """
    if len(before) != len(after) or not before:
        raise InvalidSetting(f"needs the same questions, at least one, got {len(before)} before and {len(after)} after")
    count, right = len(before), sum(map(bool, before))
    mended = sum(not b and a for b, a in zip(before, after, strict=True))
    spoiled = sum(b and not a for b, a in zip(before, after, strict=True))
    first, second = right / count, sum(map(bool, after)) / count
    return KnowledgeGain(
        before=first,
        after=second,
        delta=None if right == count else (second - first) / (1 - first) * 100,
        wrong_to_right=None if right == count else mended / (count - right),
        right_to_wrong=None if right == 0 else spoiled / right,
    )
