"""What the page shows of a record, as JSON values. Texts stay as they are: the page never treats them as markup."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from vzgym.core.actions import Answer, Malformed, ToolCall, Zoom, Zooms
from vzgym.core.errors import RecordError, VzgymError
from vzgym.core.secrets import redact
from vzgym.episode.answers import Grade, GradeStatus
from vzgym.episode.clip import Clip
from vzgym.episode.costs import SCORER_COSTS, EpisodeCosts
from vzgym.episode.record import End, EpisodeRecord
from vzgym.episode.turn import Outcome, Turn
from vzgym.evaluation.metrics import POLICY_COSTS, EpisodeMetrics
from vzgym.evaluation.taxonomy import TaxonomyClass
from vzgym.evaluation.viewer.frames import Sheet
from vzgym.tasks.task import answer_index, option_letter

__all__ = ["CLASSES", "COLUMNS", "detail", "row", "untrusted"]

CLASSES: Final[Mapping[TaxonomyClass, tuple[str, str]]] = {
    TaxonomyClass.GROUNDED: ("grounded", "Right, and the frames shown prove it."),
    TaxonomyClass.REDUNDANT: ("extra zoom", "Right, and proven before the last zoom."),
    TaxonomyClass.LUCKY: ("luck", "Right, but the frames shown do not prove it."),
    TaxonomyClass.RIGHT: ("right", "Right; the evidence is unknown."),
    TaxonomyClass.WRONG_SEGMENT: ("missed", "Wrong, and some evidence was never viewed."),
    TaxonomyClass.TOO_COARSE: ("too coarse", "Wrong; all evidence was viewed, but some with too few frames."),
    TaxonomyClass.WRONG_ANSWER: ("wrong answer", "Wrong, although the frames shown prove the right answer."),
    TaxonomyClass.MALFORMED: ("malformed", "No answer could be read."),
    TaxonomyClass.OUT_OF_BUDGET: ("out of rounds", "The rounds ran out without an answer."),
    TaxonomyClass.WRONG: ("wrong", "Wrong; the evidence is unknown."),
    TaxonomyClass.VIDEO_ERROR: ("video error", "The video failed during the episode, which is unscored."),
    TaxonomyClass.UNKNOWN: ("unscored", "The right answer is unknown."),
}
"""Short name and description of each taxonomy class, in the order of the page."""

COLUMNS: Final = (
    "task", "question", "category", "correct", "class", "zooms", "refused", "turns", "frames", "reward", "tokens",
    "seconds", "price", "answer", "gold", "step", "sample", "kind", "rejected", "seed",
)  # fmt: skip
"""Columns of the list of episodes."""

_LONGEST_TEXT: Final = 500
"""Longest text in the list, in characters; the episode's own page has all of it."""

_BROKEN: Final = (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError, VzgymError)
"""Errors of reading a record whose parts do not fit together: records are not trusted."""


@contextmanager
def untrusted(where: str) -> Iterator[None]:
    """Turn the errors of reading a record whose parts do not fit together into one that names its place.

    Raises:
        RecordError: In place of those errors.
    """
    try:
        yield
    except RecordError:
        raise
    except _BROKEN as error:
        raise RecordError(f"{where}: broken episode record: {type(error).__name__}: {error}") from error


def row(record: EpisodeRecord, metrics: EpisodeMetrics) -> list[Any]:
    """A line of the list of episodes, in the order of `COLUMNS`."""
    info, task = record.info, record.task
    return [
        _short(task.id), _short(task.question), _short(task.category), metrics.correct, metrics.taxonomy_class,
        metrics.zooms, metrics.refused, len(record.turns), metrics.frames, _number(metrics.reward),
        metrics.visual_tokens, _number(metrics.wall_seconds), _number(metrics.price), _short(record.answer),
        _short(task.answer), info.step, info.sample, _short(info.kind), _short(info.rejected), info.seed,
    ]  # fmt: skip


def detail(record: EpisodeRecord, metrics: EpisodeMetrics, sheets: Sequence[Sheet | str | None]) -> dict[str, Any]:
    """All that the page of an episode shows.

    Args:
        record: The episode.
        metrics: Its metrics.
        sheets: The frames of each clip, from `FrameSheets.of`; empty if no frames are shown.
    """
    task, grade = record.task, record.grade
    clips = record.clips
    places = {id(clip): number for number, clip in enumerate(clips)}
    rewards = record.rewards or []
    return {
        "task": {
            "id": task.id,
            "question": task.question,
            "options": list(task.options),
            "gold": answer_index(task.options, task.answer) if task.options else None,
            "answer": task.answer,
            "evidence": None if task.evidence is None else [[item.start, item.end] for item in task.evidence],
            "category": task.category,
            "source": task.source,
            "duration": task.duration,
            "video": redact(task.video),
            "size": [task.height, task.width],
            "metadata": redact(task.metadata),
            "subtitles": [[line.start, line.end, line.text] for line in task.subtitles],
        },
        "budget": record.budget.to_dict(),
        "clips": [_clip(clip, sheets[number] if sheets else "") for number, clip in enumerate(clips)],
        "turns": [
            _turn(turn, [places[id(clip)] for clip in turn.clips], rewards[n] if n < len(rewards) else None)
            for n, turn in enumerate(record.turns)
        ],
        "tools": [redact(tool.to_json()) for tool in record.tools],
        "messages": [{"role": message.role, "text": message.text} for message in record.messages],
        "end": record.end,
        "grade": {
            "status": None if grade is None else grade.status,
            "read": None if grade is None else grade.read,
            "why": _why(record, grade),
        },
        "class": metrics.taxonomy_class,
        "costs": _costs(record),
        "evidence": {
            "seen": _number(metrics.evidence_seen),
            "coverage": _number(metrics.evidence_coverage),
            "iou": _number(metrics.evidence_iou),
        },
        "info": redact(record.info.to_json()),
    }


def _clip(clip: Clip, sheet: Sheet | str | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "times": clip.times.tolist(),
        "requested": clip.requested.tolist(),
        "window": None if clip.window is None else [clip.window.start, clip.window.end],
        "fps": clip.fps,
        "region": None if clip.region is None else clip.region.to_list(),
        "size": list(clip.size),
        "decoded": clip.decoded,
        "seconds": clip.seconds,
    }
    if isinstance(sheet, Sheet):
        found["sheet"] = [sheet.name, sheet.columns, sheet.rows]
    elif sheet is not None:
        found["missing"] = sheet or "This page was written without frames (--no-frames)."
    return found


def _turn(turn: Turn, clips: list[int], reward: Any) -> dict[str, Any]:
    arguments: Mapping[str, Any]
    match turn.action:
        case Zoom() | Zooms():
            zooms = turn.zooms
            title = "Zoom" if len(zooms) == 1 else f"{len(zooms)} zooms"
            named = [
                {
                    "region": None if zoom.region is None else [_json_number(side) for side in zoom.region.to_list()],
                    "max_pixels": zoom.max_pixels,
                }
                for zoom in zooms
            ]
            arguments = {"zooms": named} if any(value for item in named for value in item.values()) else {}
        case ToolCall(name, given):
            title, arguments = f"Tool {name}", dict(given)
        case Answer(text):
            title, arguments = "Answer", {"text": text}
        case Malformed(reason):
            title, arguments = "No action", {"reason": reason}
    return {
        "kind": type(turn.action).__name__.lower(),
        "title": title,
        "arguments": arguments,
        "windows": [[_json_number(value) for value in (zoom.start, zoom.end, zoom.fps)] for zoom in turn.zooms],
        "text": turn.text,
        "well_formed": turn.well_formed,
        "outcome": turn.outcome,
        "refusal": turn.refusal,
        "detail": turn.detail,
        "clips": clips,
        "costs": dict(turn.costs),
        "reward": reward,
        "bad": turn.outcome in (Outcome.REFUSED, Outcome.FAILED),
    }


def _json_number(value: float) -> float | str:
    """A number of a zoom, which may be any; as text if JSON has no form for it."""
    return value if math.isfinite(value) else repr(float(value))


def _why(record: EpisodeRecord, grade: Grade | None) -> str:
    """One sentence that explains the grade."""
    task = record.task
    place = answer_index(task.options, task.answer) if task.options else None
    gold = f"{option_letter(place)}, {task.answer}" if place is not None else task.answer
    if grade is None:
        return "The episode is unfinished."
    match grade.status:
        case GradeStatus.CORRECT:
            return f"Read as {grade.read}, which is right." if grade.read is not None else "Right."
        case GradeStatus.WRONG:
            return f"Read as {grade.read}; right is {gold}."
        case GradeStatus.UNREADABLE:
            return f"No option or number can be read from the answer; right is {gold}."
        case GradeStatus.MISSING:
            return f"The rounds ran out without an answer; right is {gold}."
    if record.end is End.VIDEO_ERROR:
        return "The video failed, so the episode has no score. This is not a wrong answer."
    return "The task has no known answer, so the episode has no score."


def _costs(record: EpisodeRecord) -> list[list[Any]]:
    """The cost ledger: name and value, of the known entries."""
    ledger: dict[str, Any] = {**EpisodeCosts.of(record).to_json()}
    ledger |= {name: record.info.costs[name] for name in POLICY_COSTS if name in record.info.costs}
    ledger |= {name: value for name, value in record.info.costs.items() if name not in ledger}
    # Most policies use no scorer.
    return [
        [name, value] for name, value in ledger.items() if value is not None and (value or name not in SCORER_COSTS)
    ]


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}\u2026"
