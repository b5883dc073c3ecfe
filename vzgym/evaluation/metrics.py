"""Metrics of single episodes and their summaries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

from vzgym.core.interval import Interval, coverage, iou
from vzgym.core.statistics import Estimate, mean, proportion
from vzgym.episode.costs import SCORER_COSTS, EpisodeCosts
from vzgym.episode.evidence import clips_seen
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.turn import Outcome
from vzgym.evaluation.taxonomy import TaxonomyClass, classify
from vzgym.rewards.counterfactual import Credit
from vzgym.rewards.statistics import EpisodeTerms, episode_terms
from vzgym.video.base import FRAME_SLACK

__all__ = ["METRICS", "TOTALS", "EpisodeMetrics", "Metric", "cost_quantiles", "share", "summarise", "total_costs"]


@dataclass(frozen=True, slots=True)
class EpisodeMetrics:
    """Metrics of one episode; None if unknown.

    Attributes:
        task_id: The task.
        category: Its category.
        duration: The length of its video in seconds.
        metadata: Its metadata.
        correct: Whether the answer is right; None if unscored.
        frames: Frames shown, including the overview.
        zooms: Executed zooms.
        refused: Rounds lost to refused zooms and unparsable text.
        evidence_seen: Share of the evidence intervals in which at least one shown frame lies; 0 if the policy's
            observations contain no frames.
        evidence_coverage: Share of the evidence's length inside the zoomed windows.
        evidence_iou: Overlap of the zoomed windows with the evidence.
        zoom_seconds: Mean length of the zoomed windows in seconds of video; None without a zoom.
        reward: Sum of the rewards; None if unscored or none was attached.
        decoded: Frames decoded to serve the episode.
        decode_seconds: Wall time spent on getting frames.
        wall_seconds: Wall time of the episode, policy included.
        visual_tokens: Tokens of all frames shown, by Qwen2.5-VL's patch rule; see `vzgym.episode.costs`.
        text_tokens: Tokens of the dialogue's text, approximately.
        written_tokens: Text tokens written by the agent.
        passes: Model calls, one per turn.
        candidates_decoded: Frames decoded for a scorer, beside those shown.
        frames_scored: Frames that a scorer scored.
        scorer_passes: Those that passed through a scorer's model.
        text_passes: Texts that passed through a scorer's model.
        cached_passes: The part of `scorer_passes` that a cache saved.
        tool_seconds: Wall time of the environment, decoding included.
        model_seconds: Wall time of the policy.
        taxonomy_class: Class of the episode; see `vzgym.evaluation.taxonomy`.
        useful_zooms: Share of the zooms on which the answer depends, if an answerer was used; see `Credit`.
        requests: Requests to a served model, one per turn.
        retries: Number of repeated requests.
        input_tokens: Input tokens of the server, counting the whole dialogue with images in each turn.
        output_tokens: Output tokens of the server, including thoughts.
        price: Price of the server's tokens, if prices were given, in their currency.
        terms: Result of each reward term; None if the episode has no rewards, or is unscored.
    """

    task_id: str
    category: str
    correct: bool | None
    frames: int
    zooms: int
    refused: int
    evidence_seen: float | None
    evidence_coverage: float | None
    evidence_iou: float | None
    reward: float | None
    decoded: int
    decode_seconds: float
    wall_seconds: float | None
    visual_tokens: int = 0
    text_tokens: int | None = None
    written_tokens: int = 0
    passes: int = 0
    candidates_decoded: int | None = None
    frames_scored: int | None = None
    scorer_passes: int | None = None
    text_passes: int | None = None
    cached_passes: int | None = None
    tool_seconds: float | None = None
    model_seconds: float | None = None
    taxonomy_class: TaxonomyClass = TaxonomyClass.UNKNOWN
    useful_zooms: float | None = None
    requests: int | None = None
    retries: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    price: float | None = None
    duration: float = math.nan
    metadata: Mapping[str, Any] = field(default_factory=dict)
    terms: EpisodeTerms | None = None
    zoom_seconds: float | None = None

    @classmethod
    def of(cls, record: EpisodeRecord) -> EpisodeMetrics:
        """Compute the metrics of a finished record."""
        evidence = record.task.evidence or ()
        grade = record.grade
        times = [float(time) for clip in clips_seen(record) for time in clip.times]
        totals = [entry["total"] for entry in record.rewards or ()]
        costs = EpisodeCosts.of(record)
        again = record.info.counterfactual
        policy_costs: Mapping[str, Any] = record.info.costs
        return cls(
            task_id=record.task.id,
            category=record.task.category,
            duration=record.task.duration,
            metadata=record.task.metadata,
            correct=None if grade is None or grade.score is None else grade.is_correct,
            frames=record.frames,
            zooms=record.zooms,
            refused=sum(turn.outcome is Outcome.REFUSED for turn in record.turns),
            evidence_seen=(
                sum(any(_within(time, span) for time in times) for span in evidence) / len(evidence)
                if evidence
                else None
            ),
            evidence_coverage=coverage(evidence, record.windows) if evidence else None,
            evidence_iou=iou(evidence, record.windows) if evidence else None,
            zoom_seconds=fmean(window.duration for window in record.windows) if record.windows else None,
            reward=None if not totals or None in totals else math.fsum(totals),
            decoded=sum(clip.decoded for clip in record.clips),
            decode_seconds=math.fsum(clip.seconds for clip in record.clips),
            wall_seconds=costs.wall_seconds,
            visual_tokens=costs.visual_tokens,
            text_tokens=costs.text_tokens,
            written_tokens=costs.written_tokens,
            passes=costs.passes,
            **{name: getattr(costs, name) for name in SCORER_COSTS},
            tool_seconds=costs.tool_seconds,
            model_seconds=costs.model_seconds,
            taxonomy_class=classify(record),
            useful_zooms=None if again is None else Credit.from_json(dict(again)).share,
            terms=episode_terms(record.rewards),
            **{name: policy_costs.get(name) for name in POLICY_COSTS},
        )


def _within(time: float, span: Interval) -> bool:
    """Whether a frame of this time lies in `span`, within the rounding of a decoder's time stamps."""
    return span.start - FRAME_SLACK <= time < span.end - FRAME_SLACK


@dataclass(frozen=True, slots=True)
class Metric:
    """A column of a table.

    Attributes:
        name: The field of `EpisodeMetrics`.
        title: The column's heading.
        unit: "share", "count" or "seconds".
    """

    name: str
    title: str
    unit: str


METRICS: tuple[Metric, ...] = (
    Metric("correct", "accuracy", "share"),
    Metric("frames", "frames", "count"),
    Metric("zooms", "zooms", "count"),
    Metric("refused", "refused", "count"),
    Metric("evidence_seen", "evidence seen", "share"),
    Metric("evidence_coverage", "coverage", "share"),
    Metric("evidence_iou", "IoU", "share"),
    Metric("zoom_seconds", "zoom length", "seconds"),
    Metric("reward", "reward", "count"),
    Metric("decoded", "decoded", "count"),
    Metric("decode_seconds", "decode time", "seconds"),
    Metric("wall_seconds", "wall time", "seconds"),
    Metric("visual_tokens", "visual tokens", "count"),
    Metric("text_tokens", "text tokens", "count"),
    Metric("written_tokens", "written tokens", "count"),
    Metric("passes", "passes", "count"),
    Metric("candidates_decoded", "candidates decoded", "count"),
    Metric("frames_scored", "frames scored", "count"),
    Metric("scorer_passes", "scorer passes", "count"),
    Metric("text_passes", "text passes", "count"),
    Metric("cached_passes", "cached passes", "count"),
    Metric("tool_seconds", "tool time", "seconds"),
    Metric("model_seconds", "model time", "seconds"),
    Metric("useful_zooms", "useful zooms", "share"),
    Metric("requests", "requests", "count"),
    Metric("retries", "retries", "count"),
    Metric("input_tokens", "input tokens", "count"),
    Metric("output_tokens", "output tokens", "count"),
    Metric("price", "price", "count"),
)
"""All metrics in table order."""

POLICY_COSTS: tuple[str, ...] = ("requests", "retries", "input_tokens", "output_tokens", "price")
"""Costs that a policy counts (`TextPolicy.costs`) for a served model; unknown for others."""

TOTALS: tuple[str, ...] = (
    "visual_tokens",
    "text_tokens",
    "written_tokens",
    "passes",
    *SCORER_COSTS,
    "frames",
    "decoded",
    "decode_seconds",
    "tool_seconds",
    "model_seconds",
    "wall_seconds",
)
"""Costs that a report also gives as sums over the run."""


def total_costs(episodes: Sequence[EpisodeMetrics]) -> dict[str, float]:
    """Sum of each cost over the episodes in which it is known; costs counted by policies only if present."""
    known = {
        name: [value for item in episodes if (value := getattr(item, name)) is not None]
        for name in (*TOTALS, *POLICY_COSTS)
    }
    return {name: math.fsum(values) for name, values in known.items() if values or name in TOTALS}


def cost_quantiles(episodes: Sequence[EpisodeMetrics]) -> dict[str, dict[str, float]]:
    """Median and 90th percentile of each cost, over the episodes in which it is known.

    They show outliers that a mean hides.
    """
    found = {}
    for name in (*TOTALS, *POLICY_COSTS):
        values = [value for item in episodes if (value := getattr(item, name)) is not None]
        if values:
            median, high = np.quantile(values, (0.5, 0.9)).tolist()
            found[name] = {"median": median, "p90": high}
    return found


def summarise(episodes: Sequence[EpisodeMetrics], *, by_task: bool = False) -> dict[str, Estimate]:
    """Mean and 95 % interval of each metric, over the episodes in which it is known.

    A share that was 0 or 1 in each of them (right or wrong, seen or not) gets Wilson's interval, any other share a
    normal one within [0, 1].

    Args:
        episodes: The episodes.
        by_task: Whether to average over the episodes of each task first, so that the interval is that of a mean over
            tasks: several roll-outs of one task are not independent observations.
    """
    summary: dict[str, Estimate] = {}
    for metric in METRICS:
        said = [(item.task_id, value) for item in episodes if (value := getattr(item, metric.name)) is not None]
        values: list[Any] = _task_means(said) if by_task else [value for _, value in said]
        summary[metric.name] = share(values) if metric.unit == "share" else mean(values)
    return summary


def _task_means(said: Sequence[tuple[str, float]]) -> list[float]:
    tasks: dict[str, list[float]] = {}
    for task, value in said:
        tasks.setdefault(task, []).append(float(value))
    return [math.fsum(values) / len(values) for values in tasks.values()]


def share(values: Sequence[float]) -> Estimate:
    """The mean of values in [0, 1], with its 95 % interval; see `summarise`."""
    if set(values) <= {0, 1}:
        return proportion([bool(value) for value in values])
    return mean(values).within(0.0, 1.0)
