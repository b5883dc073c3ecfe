"""Scores of saved replies to a benchmark's questions under a convention."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist, variance
from typing import Any, Literal

from vzgym.core.errors import InvalidSetting, RecordError
from vzgym.core.statistics import Estimate, mean
from vzgym.episode.answers import GradeStatus, grade
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation.benchmarks.conventions import GROUPS, Convention
from vzgym.evaluation.benchmarks.extractors import EXTRACTORS, NEED_TAGS, Choices
from vzgym.evaluation.benchmarks.grounding import (
    Grounding,
    GroundingSummary,
    Span,
    acc_at_iou,
    ground,
    read_spans,
    summarise_grounding,
)
from vzgym.evaluation.benchmarks.groups import group_score
from vzgym.evaluation.benchmarks.open_answers import open_answer_is_right
from vzgym.evaluation.metrics import share
from vzgym.tasks.benchmarks.definition import Benchmark
from vzgym.tasks.benchmarks.registry import get_benchmark
from vzgym.tasks.task import answer_index, option_letter

__all__ = ["BenchmarkScore", "Judge", "ScoredReply", "benchmark_of", "by_convention", "reply_of", "score_replies"]

Judge = Callable[[str, str, str], float | None]
"""Judges an open answer: question, right answer, reply -> 1.0, 0.0, or None if the judge failed."""

_Z = NormalDist().inv_cdf(0.975)
_GROUP_SIZE = 4


@dataclass(frozen=True, slots=True)
class ScoredReply:
    """A reply with its score.

    Attributes:
        record: The episode.
        reply: The text that was read; "" if the episode ended without an answer.
        letters: The option letters read; empty for open questions and unparsed replies.
        score: 1.0 or 0.0; IoU for questions whose answer is an interval; None if unscored.
        parsed: Whether something could be read from the reply.
        excluded: Whether the convention leaves the reply out of the denominator.
        grounding: Grounding of the declared span, or of the zoomed windows; None without gold spans.
    """

    record: EpisodeRecord
    reply: str
    letters: tuple[str, ...]
    score: float | None
    parsed: bool
    excluded: bool = False
    grounding: Grounding | None = None

    @property
    def counts(self) -> bool:
        """Whether the reply is part of the denominator."""
        return self.score is not None and not self.excluded

    @property
    def flawed(self) -> bool:
        """Whether the question has a known flaw."""
        return bool(self.record.task.metadata.get("flaws"))


@dataclass(frozen=True)
class BenchmarkScore:
    """The score of a run under a convention.

    Attributes:
        benchmark: The benchmark.
        convention: The convention.
        replies: The scored replies, one per record.
    """

    benchmark: Benchmark
    convention: Convention
    replies: Sequence[ScoredReply]

    @property
    def counted(self) -> list[ScoredReply]:
        """The replies in the denominator."""
        return [item for item in self.replies if item.counts]

    @property
    def unparsed(self) -> float:
        """Share of replies from which nothing could be read, in [0, 1]; of all scored ones."""
        scored = [item for item in self.replies if item.score is not None]
        return sum(not item.parsed for item in scored) / len(scored) if scored else math.nan

    @property
    def unscored(self) -> int:
        """Number of episodes without a score: a video or a judge failed, or the gold answer is unknown."""
        return sum(item.score is None for item in self.replies)

    @property
    def overall(self) -> Estimate:
        """The benchmark's score by the convention's average, in [0, 1]."""
        return self._average(self.counted)

    @property
    def unflawed(self) -> Estimate:
        """As `overall`, over the questions without known flaws."""
        return self._average([item for item in self.counted if not item.flawed])

    def groups(self, key: str) -> dict[str, Estimate]:
        """The micro average of each value of a metadata key. A question with several values counts in each."""
        return {value: self._micro(items) for value, items in _by(self.counted, key).items()}

    @cached_property
    def grounding(self) -> GroundingSummary | None:
        """Grounding over the scored replies with gold spans, unparsed ones included; None if there are none."""
        items = [item.grounding for item in self.replies if item.grounding is not None and item.score is not None]
        return summarise_grounding(items) if items else None

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The source's further metrics, by name, on its own scale."""
        found: dict[str, float] = {}
        summary = self.grounding
        if summary is not None:
            found |= {"mIoU": summary.miou, "mIoP": summary.miop}
            found |= {f"R@{threshold:g}": share for threshold, share in summary.recall.items()}
            grounded = [item for item in self.replies if item.grounding is not None and item.score is not None]
            if self.benchmark.answers != "spans":
                right = [item.score == 1.0 for item in grounded]
                found["acc@IoU"] = acc_at_iou(right, [_grounding(item) for item in grounded])
                both = [ok and _grounding(item).iop >= 0.5 for ok, item in zip(right, grounded, strict=True)]
                found["Acc@GQA"] = sum(both) / len(both)
        if self.convention.average == GROUPS:
            _, incomplete = self._group_scores(self.counted)
            accuracy = self._micro(self.counted).value
            found |= {"accuracy": accuracy, "incomplete groups": float(incomplete)}
        return found

    def _group_scores(self, items: Sequence[ScoredReply]) -> tuple[list[float], int]:
        """Video-MME-v2's scores of complete groups, in [0, 100], and the number of incomplete groups."""
        groups: dict[str, list[ScoredReply]] = defaultdict(list)
        for item in items:
            groups[str(item.record.task.metadata.get(self.benchmark.group_by, ""))].append(item)
        scores = []
        for members in groups.values():
            if len(members) == _GROUP_SIZE:
                members.sort(key=lambda item: item.record.task.id)
                facts = members[-1].record.task.metadata
                right = [item.score == 1.0 for item in members]
                scores.append(group_score(str(facts["group_type"]), str(facts["group_structure"]), right))
        return scores, len(groups) - len(scores)

    def _average(self, items: Sequence[ScoredReply]) -> Estimate:
        if self.convention.average == GROUPS:
            scores, _ = self._group_scores(items)
            return mean([score / 100 for score in scores]).within(0.0, 1.0)
        key = self.convention.average_key
        if not key:
            return self._micro(items)
        means, spread, count = [], 0.0, 0
        for members in _by(items, key).values():
            values = _per_task(members)
            means.append(math.fsum(values) / len(values))
            spread += variance(values) / len(values) if len(values) > 1 else math.nan
            count += len(values)
        if not means:
            return mean([])
        # A mean of independent means: its variance is the sum of theirs over the square of their number.
        value, half = math.fsum(means) / len(means), _Z * math.sqrt(spread) / len(means)
        return Estimate(value, value - half, value + half, count).within(0.0, 1.0)

    @staticmethod
    def _micro(items: Sequence[ScoredReply]) -> Estimate:
        values = _per_task(items)
        return share(values)

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "benchmark": self.benchmark.name,
            "convention": {
                "name": self.convention.name,
                "extractor": self.convention.extractor,
                "unparsed": self.convention.unparsed,
                "average": self.convention.average,
                "open_rule": self.convention.open_rule,
            },
            "score": self.overall.to_json(),
            "unflawed": self.unflawed.to_json(),
            "replies": len(self.replies),
            "unparsed": None if math.isnan(self.unparsed) else self.unparsed,
            "excluded": sum(item.excluded for item in self.replies),
            "unscored": self.unscored,
            "metrics": {name: None if math.isnan(value) else value for name, value in self.metrics.items()},
            "groups": {
                key: {value: estimate.to_json() for value, estimate in self.groups(key).items()}
                for key in self.benchmark.groups
            },
        }


def _grounding(item: ScoredReply) -> Grounding:
    assert item.grounding is not None
    return item.grounding


def _per_task(items: Sequence[ScoredReply]) -> list[float]:
    """One value per question: the mean over its roll-outs, which are not independent."""
    tasks: dict[str, list[float]] = defaultdict(list)
    for item in items:
        if item.score is not None:
            tasks[item.record.task.id].append(item.score)
    return [math.fsum(values) / len(values) for values in tasks.values()]


def _by(items: Sequence[ScoredReply], key: str) -> dict[str, list[ScoredReply]]:
    found: dict[str, list[ScoredReply]] = defaultdict(list)
    for item in items:
        value = item.record.task.metadata.get(key)
        for one in value if isinstance(value, list) else [value]:
            found["(none)" if one in (None, "") else str(one)].append(item)
    return dict(sorted(found.items()))


def benchmark_of(records: Sequence[EpisodeRecord]) -> Benchmark:
    """The benchmark whose questions a run answers.

    Raises:
        InvalidSetting: If there are no records, or they belong to several benchmarks.
        UnknownName: If their source is no benchmark.
    """
    sources = sorted({record.task.source for record in records})
    if len(sources) != 1:
        raise InvalidSetting(
            "there are no records to score" if not sources else f"records of several sources: {', '.join(sources)}"
        )
    return get_benchmark(sources[0])


def reply_of(record: EpisodeRecord, kind: Literal["answer", "raw"] = "answer") -> str:
    """The text of a record that an extractor reads.

    Args:
        record: A finished episode.
        kind: "answer" is the answer as the protocol read it, without thoughts and tags. "raw" is the last turn's whole
            text, on which published extractors may read a letter of a thought.
    """
    if kind == "raw":
        return record.turns[-1].text if record.turns else ""
    return record.answer or ""


def score_replies(
    records: Sequence[EpisodeRecord],
    convention: Convention,
    *,
    benchmark: Benchmark | None = None,
    reply: Literal["answer", "raw"] = "answer",
    judge: Judge | None = None,
    windows: Literal["union", "last"] = "union",
    seed: int = 0,
) -> BenchmarkScore:
    """Score a run's replies under a convention.

    Args:
        records: Finished records of one benchmark.
        convention: The convention.
        benchmark: The benchmark; that of the records if None.
        reply: Which text is read; see `reply_of`.
        judge: Judges answers to open questions; None compares them by the convention's rule.
        windows: Where the evidence is known and the question asks for an option: which zoomed windows are its
            grounding, all of them or the last.
        seed: Seed of random options for unparsed replies.

    Raises:
        InvalidSetting: If there are no records, or they belong to several benchmarks.
        RecordError: If an episode is not finished.
    """
    found = benchmark_of(records) if benchmark is None else benchmark
    scorer = _Scorer(found, convention, reply, judge, windows, seed)
    return BenchmarkScore(found, convention, [scorer.score(record) for record in records])


@dataclass(frozen=True)
class _Scorer:
    benchmark: Benchmark
    convention: Convention
    kind: Literal["answer", "raw"]
    judge: Judge | None
    windows: Literal["union", "last"]
    seed: int
    extract: Callable[[str, Choices], tuple[str, ...]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "extract", EXTRACTORS.get(self.convention.extractor))

    def score(self, record: EpisodeRecord) -> ScoredReply:
        if record.grade is None:
            raise RecordError(f"the episode of task {record.task.id!r} is not finished")
        task, reply = record.task, reply_of(record, self.kind)
        if record.grade.status is GradeStatus.UNSCORED and task.answer:
            # The video failed.
            return ScoredReply(record, reply, (), None, parsed=False)
        if self.benchmark.answers == "spans":
            return self._spans(record, reply)
        if task.options:
            return self._choice(record, reply)
        return self._open(record, reply)

    def _spans(self, record: EpisodeRecord, reply: str) -> ScoredReply:
        gold = _gold(record)
        if not gold:
            return ScoredReply(record, reply, (), None, parsed=False)
        # Only CG-Bench's scorer takes values up to 1 for fractions of the video.
        fractions = record.task.duration if self.benchmark.name.startswith("cgbench") else None
        spans = read_spans(reply, duration=fractions)
        rule = "last" if self.windows == "last" else "best"
        result = ground(spans, gold, rule=rule)
        return ScoredReply(record, reply, (), result.iou, parsed=result.parsed, grounding=result)

    def _choice(self, record: EpisodeRecord, reply: str) -> ScoredReply:
        task = record.task
        choices = Choices(task.options)
        tagged = self.kind == "answer" and self.convention.extractor in NEED_TAGS
        letters = self.extract(f"<answer>{reply}</answer>" if tagged else reply, choices)
        index = answer_index(task.options, task.answer) if task.answer else None
        if index is None:
            # A split without public answers: the letters are exported.
            return ScoredReply(record, reply, letters, None, parsed=bool(letters))
        taken, excluded = letters, False
        if not letters:
            if self.convention.unparsed == "exclude":
                excluded = True
            elif self.convention.unparsed == "random":
                taken = (choices.letters[_draw(self.seed, task.id, len(task.options))],)
        right = option_letter(index) in taken
        return ScoredReply(
            record, reply, letters, float(right), bool(letters), excluded, self._window_grounding(record)
        )

    def _open(self, record: EpisodeRecord, reply: str) -> ScoredReply:
        task = record.task
        if not task.answer:
            return ScoredReply(record, reply, (), None, parsed=False)
        if not reply.strip():
            return ScoredReply(record, reply, (), 0.0, parsed=False)
        score: float | None
        if self.judge is not None:
            score = self.judge(task.question, task.answer, reply)
        elif self.convention.open_rule == "videommmu":
            score = float(bool(open_answer_is_right(reply, task.answer)))
        else:
            score = grade(reply, task).score
        return ScoredReply(record, reply, (), score, True, grounding=self._window_grounding(record))

    def _window_grounding(self, record: EpisodeRecord) -> Grounding | None:
        gold = _gold(record)
        if not gold or self.benchmark.evidence != "spans":
            return None
        windows = [Span(item.start, item.end) for item in record.windows]
        return ground(windows[-1:] if self.windows == "last" else windows, gold)


def _gold(record: EpisodeRecord) -> list[Span]:
    """The gold spans as published, where the set keeps them; evidence intervals may be cut or joined."""
    published = record.task.metadata.get("gold_spans")
    if published:
        return [Span(min(pair), max(pair)) for pair in published]
    return [Span(item.start, item.end) for item in record.task.evidence or ()]


def _draw(seed: int, task: str, options: int) -> int:
    """A random option that depends on the seed and the task alone."""
    digest = hashlib.sha256(f"{seed}\n{task}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % options


def by_convention(
    records: Sequence[EpisodeRecord], conventions: Mapping[str, Convention], **options: Any
) -> dict[str, BenchmarkScore]:
    """Score the same replies under several conventions; the options are those of `score_replies`."""
    return {name: score_replies(records, convention, **options) for name, convention in conventions.items()}
