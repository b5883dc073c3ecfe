"""Temporal grounding: time spans read from replies, and the metrics of grounding benchmarks.

A span is a pair of seconds, `start <= end`. Other than an `Interval`, it may have zero length: replies may name one.

Sources: CG-Bench (arXiv 2412.12075), NExT-GQA (arXiv 2309.01327), Charades-STA (arXiv 1705.02101).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from vzgym.core.errors import InvalidSetting
from vzgym.core.interval import Interval, intersect, length

__all__ = [
    "RECALL_THRESHOLDS",
    "Grounding",
    "GroundingSummary",
    "Span",
    "acc_at_iou",
    "clue_recovery_rate",
    "ground",
    "iop",
    "iou",
    "read_spans",
    "summarise_grounding",
]

RECALL_THRESHOLDS: Final = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Thresholds of CG-Bench's `rec@IoU` and `acc@IoU`."""

_MAX_REPLY: Final = 1 << 16


class Span(NamedTuple):
    """A span of a video.

    Attributes:
        start: Seconds from the start of the video.
        end: Seconds; at least `start`.
    """

    start: float
    end: float

    @property
    def duration(self) -> float:
        """Length in seconds, >= 0."""
        return self.end - self.start


# A time: 01:02:03.5, 02:03, 12, 12.5, 12.5s, 12 seconds. Not a part of a longer number or word.
_TIME: Final = (
    r"(?<![\w.:])(\d{1,3}(?::\d{1,2}){1,2}(?:\.\d+)?|\d+(?:\.\d+)?)(?:\s*(?:s|secs?|seconds?))?(?![\w:]|\.\d)"
)
_SPAN: Final = re.compile(
    rf"[\[(]\s*{_TIME}\s*,\s*{_TIME}\s*[\])]"
    rf"|\bbetween\s+{_TIME}\s+and\s+{_TIME}"
    rf"|\bstart[a-z]*(?:\s+time)?[^\d\n]{{0,20}}{_TIME}[^\d]{{1,40}}?\bend[a-z]*(?:\s+time)?[^\d\n]{{0,20}}{_TIME}"
    rf"|{_TIME}\s*(?:[-\u2010-\u2015\u2212~]|to\b|until\b|till\b|through\b)\s*{_TIME}",
    re.IGNORECASE,
)
_THOUGHTS: Final = re.compile(r"<think>.*?</think>", re.DOTALL)


def _seconds(text: str) -> float:
    value = 0.0
    for part in text.split(":"):
        value = value * 60 + float(part)
    return value


def read_spans(reply: str, *, duration: float | None = None) -> tuple[Span, ...]:
    """Read the time spans that a reply names, in order of occurrence.

    Reads `[12.0, 15.5]`, lists of such pairs, `10.0s to 12.5s`, `3 - 7`, `00:10 - 00:20`, `1:02:03 to 1:02:10`,
    "between 3 and 7 seconds" and "starts at 3 s and ends at 7 s". Reversed bounds are swapped. Thoughts are ignored.
    Time is linear in the reply's length.

    Args:
        reply: The raw reply; one of more than 65,536 characters is not read.
        duration: If given, spans whose bounds are all at most 1 are fractions of this many seconds, as CG-Bench reads
            them.

    Returns:
        The spans; empty if there are none.
    """
    if len(reply) > _MAX_REPLY:
        return ()
    spans = []
    for found in _SPAN.finditer(_THOUGHTS.sub(" ", reply)):
        first, second = (_seconds(text) for text in found.groups() if text is not None)
        spans.append(Span(min(first, second), max(first, second)))
    if duration is not None and spans and all(span.end <= 1 for span in spans):
        spans = [Span(span.start * duration, span.end * duration) for span in spans]
    return tuple(spans)


def _intervals(spans: Sequence[Span]) -> list[Interval]:
    return [Interval(span.start, span.end) for span in spans if span.end > span.start]


def iou(predicted: Sequence[Span], gold: Sequence[Span]) -> float:
    """Intersection over union of two unions of spans, in [0, 1]; 0 if both have zero length."""
    a, b = _intervals(predicted), _intervals(gold)
    union = length([*a, *b])
    return length(intersect(a, b)) / union if union > 0 else 0.0


def iop(predicted: Sequence[Span], gold: Sequence[Span]) -> float:
    """Intersection over the predicted length, in [0, 1]: the share of the prediction that lies in the gold spans.

    A prediction of zero length scores 1 if all of its times lie in gold spans, else 0 (NExT-GQA).
    """
    if not predicted:
        return 0.0
    a, b = _intervals(predicted), _intervals(gold)
    if not a:
        return float(all(any(g.start <= p.start <= g.end for g in gold) for p in predicted))
    return length(intersect(a, b)) / length(a)


@dataclass(frozen=True, slots=True)
class Grounding:
    """The grounding of one reply.

    Attributes:
        iou: Intersection over union, in [0, 1].
        iop: Intersection over prediction, in [0, 1].
        parsed: Whether the reply names a span. Unparsed replies score 0 and count.
    """

    iou: float
    iop: float
    parsed: bool


def ground(predicted: Sequence[Span], gold: Sequence[Span], *, rule: str = "union") -> Grounding:
    """Score the predicted spans of one reply.

    Args:
        predicted: The spans read from the reply.
        gold: The gold spans.
        rule: "union" compares the unions of both (CG-Bench). "best" compares the first predicted span with each gold
            span and takes the best of each metric (NExT-GQA, Charades-STA); "last" does so for the last predicted span
            (ExtremeWhenBench).

    Raises:
        InvalidSetting: If there is no gold span, or no such rule.
    """
    if not gold:
        raise InvalidSetting("grounding needs at least one gold span")
    if rule not in ("union", "best", "last"):
        raise InvalidSetting(f"grounding rule must be 'union', 'best' or 'last', got {rule!r}")
    if not predicted:
        return Grounding(0.0, 0.0, parsed=False)
    if rule == "union":
        return Grounding(iou(predicted, gold), iop(predicted, gold), parsed=True)
    one = [predicted[0 if rule == "best" else -1]]
    return Grounding(max(iou(one, [g]) for g in gold), max(iop(one, [g]) for g in gold), parsed=True)


@dataclass(frozen=True, slots=True)
class GroundingSummary:
    """Means over replies, unparsed ones included.

    Attributes:
        count: Number of replies.
        unparsed: Share of replies without a span, in [0, 1].
        miou: Mean IoU.
        miop: Mean IoP.
        recall: Share of replies with IoU of at least the threshold, by threshold.
        iop_recall: Share of replies with IoP of at least the threshold, by threshold.
    """

    count: int
    unparsed: float
    miou: float
    miop: float
    recall: dict[float, float]
    iop_recall: dict[float, float]


def summarise_grounding(items: Sequence[Grounding], thresholds: Sequence[float] = (0.3, 0.5, 0.7)) -> GroundingSummary:
    """Summarize the grounding of replies: mIoU, mIoP, R@t and IoP@t.

    Args:
        items: At least one.
        thresholds: The thresholds t, in (0, 1]. Charades-STA uses 0.3, 0.5, 0.7; `rec@IoU` of CG-Bench is the mean
            of `recall` over `RECALL_THRESHOLDS`.

    Raises:
        InvalidSetting: If there are no items.
    """
    if not items:
        raise InvalidSetting("no replies to summarize")
    count = len(items)
    return GroundingSummary(
        count=count,
        unparsed=sum(not item.parsed for item in items) / count,
        miou=math.fsum(item.iou for item in items) / count,
        miop=math.fsum(item.iop for item in items) / count,
        recall={t: sum(item.iou >= t for item in items) / count for t in thresholds},
        iop_recall={t: sum(item.iop >= t for item in items) / count for t in thresholds},
    )


def acc_at_iou(
    right: Sequence[bool], items: Sequence[Grounding], thresholds: Sequence[float] = RECALL_THRESHOLDS
) -> float:
    """CG-Bench's `acc@IoU`: mean over thresholds of the share of replies that are right with IoU >= threshold.

    `right` and `items` belong to the same questions, in the same order. NExT-GQA's Acc@GQA is the analogous share with
    IoP >= 0.5.
    """
    pairs = list(zip(right, items, strict=True))
    if not pairs:
        raise InvalidSetting("no replies to summarize")
    shares = [sum(ok and item.iou >= t for ok, item in pairs) / len(pairs) for t in thresholds]
    return math.fsum(shares) / len(shares)


def clue_recovery_rate(long_accuracy: float, clue_accuracy: float) -> float | None:
    """CG-Bench's CRR: `min(long, clue) / clue`, both in [0, 1]; None if `clue_accuracy` is 0."""
    return None if clue_accuracy == 0 else min(long_accuracy, clue_accuracy) / clue_accuracy
