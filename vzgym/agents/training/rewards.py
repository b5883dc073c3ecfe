"""Score roll-outs of TRL's loop: a reward function for each term of a `RewardMix`, metrics, and records."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from vzgym.agents.training.processes import mean_measures, process_count, process_index
from vzgym.agents.training.tool_environment import ToolEnvironment, finish_rollout, task_set_of
from vzgym.core.files import JsonLinesWriter, file_lock
from vzgym.core.interval import coverage
from vzgym.episode.record import End, EpisodeRecord
from vzgym.episode.turn import Outcome
from vzgym.rewards import RewardMix, StepReward, Term
from vzgym.rewards.statistics import EpisodeTerms, TermStatistics, episode_terms, log_entries, term_statistics

__all__ = ["Scorer"]

_log = logging.getLogger("vzgym.agents")

RewardFunction = Callable[..., list[float | None]]


class Scorer:
    """Scores whole batches of roll-outs.

    Each term's column holds the raw sum over an episode's turns; the trainer multiplies it by `weights`. For a term
    with a gate, a clip, annealing or weights by category, the column is scaled so that the product is the mix's reward.
    A column is None if its term is unscored; all columns are None if the episode is unscored.

    Args:
        mix: The reward.
        info: Fields of each record's `RunInfo` (policy, reward, ...).
        out: Records are appended to this file (JSONL), if one is given.
        every: Steps between two saves; 0: never.
        hold: Whether several batches may be played for one update: they are saved when `settle` is called.
        sets: Names of the run's task sets; the measures of each are logged if there are several.

    Attributes:
        statistics: Of each term, over the latest batch, within its groups.
        measures: Means of the latest batch, or of all that were settled last: `reward`, `episode/correct`,
            `episode/zooms`, ...; of several task sets, `mixture/NAME/accuracy` and `mixture/NAME/zooms` of each set
            that was played.
    """

    def __init__(
        self,
        mix: RewardMix,
        info: Mapping[str, Any],
        out: Path | None = None,
        every: int = 1,
        hold: bool = False,
        sets: Sequence[str] = (),
    ) -> None:
        self.mix = mix
        self._sets = tuple(sets) if len(sets) > 1 else ()
        self.info = dict(info)
        self.out = out if every else None
        self.every = every
        self._batch: list[EpisodeRecord] = []
        self._columns: dict[str, list[float | None]] = {}
        self._batches = 0
        # The latest step, and the number of its batches so far.
        self._played = (-1, 0)
        self._hold = hold
        # The lines of each held batch, None for a record that is not saved, and its measures.
        self._held: list[tuple[list[str | None], dict[str, float]]] = []
        self._moved: set[str] = set()
        self.statistics: dict[str, TermStatistics] = {}
        self.measures: dict[str, float] = {}

    @property
    def latest(self) -> Sequence[EpisodeRecord]:
        """The records of the latest batch, with pixels."""
        return self._batch

    @property
    def weights(self) -> list[float]:
        """The terms' weights, in the order of `functions`."""
        return [_scale(term) for term in self.mix.terms.values()]

    @property
    def functions(self) -> list[RewardFunction]:
        """One reward function for each term, named after it."""
        return [self._column(name) for name in self.mix.terms]

    def _column(self, name: str) -> RewardFunction:
        def column(
            *,
            environments: Sequence[ToolEnvironment],
            completions: Sequence[Sequence[Mapping[str, Any]]],
            trainer_state: Any = None,
            log_metric: Callable[[str, float], None] | None = None,
            **rest: Any,
        ) -> list[float | None]:
            records = [finish_rollout(*pair) for pair in zip(environments, completions, strict=True)]
            if not self._knows(records):
                sets = [task_set_of(environment) for environment in environments]
                self._score(records, trainer_state, sets)
                if log_metric is not None:
                    for metric, value in (_metrics(records) | log_entries(self.statistics)).items():
                        log_metric(metric, value)
                    # One value for each roll-out: processes play different numbers of a set's.
                    for metric, values in self._by_set(records, sets).items():
                        for value in values:
                            log_metric(metric, value)
            return self._columns[name]

        column.__name__ = name
        return column

    def _knows(self, records: Sequence[EpisodeRecord]) -> bool:
        """Whether these records were the last to be scored."""
        known = self._batch
        return len(known) == len(records) and all(a is b for a, b in zip(known, records, strict=True))

    def _warn(self) -> None:
        """Warn of terms that changed no advantage in the first batches."""
        self._batches += 1
        self._moved |= {name for name, term in self.statistics.items() if term.groups_moved > 0}
        if self._batches == _EARLY:
            for name, term in self.mix.terms.items():
                if name not in self._moved and (term.weight or term.by_category):
                    _log.warning("reward term %r has changed no advantage in %d batches of roll-outs", name, _EARLY)

    def _score(self, records: Sequence[EpisodeRecord], state: Any, sets: Sequence[str]) -> None:
        # Tasks of different sets may have the same id.
        keys = [(name, record.task.id) for name, record in zip(sets, records, strict=True)]
        groups: dict[tuple[str, str], list[EpisodeRecord]] = defaultdict(list)
        for key, record in zip(keys, records, strict=True):
            groups[key].append(record)
        step = int(state.global_step) if state is not None else 0
        # Numbers are unique over all processes, which score as many roll-outs each, and over the batches of a step.
        batch = self._played[1] if self._played[0] == step else 0
        self._played = (step, batch + 1)
        first = (batch * process_count() + process_index()) * len(records)
        progress = step / state.max_steps if state is not None and state.max_steps > 0 else None
        self._columns = {name: [] for name in self.mix.terms}
        for number, (key, record) in enumerate(zip(keys, records, strict=True), first):
            context = replace(self.mix.context, group=groups[key], progress=progress)
            turns = self.mix.score_all(record, context)
            record.rewards = [turn.to_json() for turn in turns]
            record.set_info(**self.info, interface="trl", step=step, rollout=number, progress=progress)
            for name, term in self.mix.terms.items():
                self._columns[name].append(_total(turns, name, term))
        self._batch = list(records)
        scored: dict[tuple[str, str], list[EpisodeTerms]] = defaultdict(list)
        totals = []
        for key, record in zip(keys, records, strict=True):
            if (terms := episode_terms(record.rewards)) is not None:
                scored[key].append(terms)
                totals.append(math.fsum(outcome.contribution for outcome in terms.values() if outcome))
        self.statistics = term_statistics(scored.values())
        by_set = {name: _mean(values) for name, values in self._by_set(records, sets).items() if values}
        self.measures = {**({"reward": _mean(totals)} if totals else {}), **_metrics(records), **by_set}
        self._warn()
        saved = self.out is not None and step % self.every == 0
        # A record without turns, whose overview could not be read, cannot be replayed.
        lines = [record.to_line() if saved and record.turns else None for record in records]
        if self._hold:
            self._held.append((lines, self.measures))
        else:
            self._save(lines)

    def _by_set(self, records: Sequence[EpisodeRecord], sets: Sequence[str]) -> dict[str, list[float]]:
        """Grades and zooms of the roll-outs of each task set, if there are several."""
        found: dict[str, list[float]] = {}
        for name in self._sets:
            part = [record for record, own in zip(records, sets, strict=True) if own == name]
            found[f"mixture/{name}/accuracy"] = _scores(part)
            found[f"mixture/{name}/zooms"] = [float(record.zooms) for record in part]
        return found

    def settle(self, left_out: Sequence[Sequence[bool]]) -> None:
        """Save the batches that were played for an update.

        Args:
            left_out: For each of them, which roll-outs are left out of the update.
        """
        lines = []
        for (played, _), flags in zip(self._held, left_out, strict=True):
            for line, discarded in zip(played, flags, strict=True):
                if line is not None and discarded:
                    record = EpisodeRecord.from_line(line)
                    record.set_info(discarded=True)
                    line = record.to_line()
                lines.append(line)
        self.measures = mean_measures([measures for _, measures in self._held])
        self._held = []
        self._save(lines)

    def _save(self, lines: Sequence[str | None]) -> None:
        found = [line for line in lines if line is not None]
        if self.out is None or not found:
            return
        # A process that opens the file takes a line that another one is writing for an unfinished one, and drops it.
        alone = nullcontext(self.out) if process_count() == 1 else file_lock(self.out, wait=True)
        with alone, JsonLinesWriter(self.out) as file:
            for line in found:
                file.write_line(line)


_EARLY = 20
"""Batches after which a warning names terms that changed no advantage so far."""


def _scale(term: Term) -> float:
    """The trainer's weight of a term's column; not 0 if a category may have another weight."""
    return term.weight if term.weight or term.by_category is None else 1.0


def _total(turns: Sequence[StepReward], name: str, term: Term) -> float | None:
    """A term's sum over an episode; None if it, or the whole episode, is unscored."""
    scores = [turn.terms[name] for turn in turns]
    if any(turn.total is None for turn in turns) or all(score.value is None for score in scores):
        return None
    if term.when is None and term.clip is None and term.anneal is None and term.by_category is None:
        return math.fsum(score.value for score in scores if score.value is not None)
    return math.fsum(score.contribution for score in scores) / (_scale(term) or 1.0)


def _metrics(records: Sequence[EpisodeRecord]) -> dict[str, float]:
    """Means over a batch of the agent's behavior, independent of the reward."""
    known = [record for record in records if record.task.evidence]
    turns = [turn for record in records for turn in record.turns]
    covered = [coverage(record.task.evidence or (), record.windows) for record in known]
    means = {
        "episode/zooms": _mean([record.zooms for record in records]),
        "episode/frames": _mean([record.frames for record in records]),
        "episode/rounds": _mean([len(record.turns) for record in records]),
        "episode/refused": _mean([sum(turn.outcome is Outcome.REFUSED for turn in r.turns) for r in records]),
        "episode/answered": _mean([record.answer is not None for record in records]),
        "episode/well_formed": _mean([turn.well_formed for turn in turns]),
        "episode/video_errors": _mean([record.end is End.VIDEO_ERROR for record in records]),
    }
    if scores := _scores(records):
        means["episode/correct"] = _mean(scores)
    if covered:
        means["episode/evidence_coverage"] = _mean(covered)
    return means


def _scores(records: Sequence[EpisodeRecord]) -> list[float]:
    """The grades of the episodes that have one."""
    return [record.grade.score for record in records if record.grade and record.grade.score is not None]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
