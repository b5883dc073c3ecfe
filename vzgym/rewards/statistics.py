"""Statistics of reward terms over episodes: firing rates, contributions, shares of the variance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

__all__ = [
    "EpisodeTerms",
    "TermOutcome",
    "TermStatistics",
    "episode_terms",
    "log_entries",
    "logged_statistics",
    "mean_statistics",
    "silent_terms",
    "term_statistics",
]


class TermOutcome(NamedTuple):
    """Result of a term for a whole episode.

    Attributes:
        contribution: Its contribution to the reward, including the weight.
        fired: Whether its clipped value was nonzero in some turn, and its condition held.
    """

    contribution: float
    fired: bool


EpisodeTerms: TypeAlias = Mapping[str, TermOutcome | None]
"""Outcome of each term in an episode, by name; None if the term is unscored."""


@dataclass(frozen=True, slots=True)
class TermStatistics:
    """Statistics of a term over many episodes.

    Attributes:
        firing_rate: Share of the episodes with a score in which it fired (see `TermOutcome`); nan if there are none.
        mean: Mean contribution, including the weight, over the same episodes; nan if there are none.
        variance_share: Its share of the variance of the reward within groups, `Cov(contribution, reward) /
            Var(reward)`. The shares of all terms sum to 1; a negative share means that the term counteracts the others.
            nan if the reward does not vary within any group.
        groups_moved: Share of the groups in which its contribution differs between episodes; nan without groups of two
            or more episodes. If 0, the term changes no advantage.
    """

    firing_rate: float
    mean: float
    variance_share: float
    groups_moved: float

    def to_json(self) -> dict[str, float | None]:
        """JSON form; null for unknown values."""
        values = {name: float(getattr(self, name)) for name in _FIELDS}
        return {name: None if math.isnan(value) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TermStatistics:
        """Rebuild from JSON form; missing values are unknown."""
        known = {name: data.get(name) for name in _FIELDS}
        return cls(**{name: math.nan if value is None else value for name, value in known.items()})


_FIELDS = ("firing_rate", "mean", "variance_share", "groups_moved")


def episode_terms(ledger: Sequence[Mapping[str, Any]] | None) -> EpisodeTerms | None:
    """Return the outcome of each term in an episode.

    Args:
        ledger: The entries of the episode's turns (`EpisodeRecord.rewards`).

    Returns:
        The outcomes; None if the episode has no rewards, or is unscored.
    """
    if not ledger or any(entry["total"] is None for entry in ledger):
        return None
    outcomes: dict[str, TermOutcome | None] = {}
    for name in ledger[0]["terms"]:
        turns = [entry["terms"][name] for entry in ledger]
        counted = [
            (turn["weight"], turn.get("counted", turn["value"]) if turn["status"] == "scored" else 0.0)
            for turn in turns
            if turn["value"] is not None
        ]
        outcomes[name] = (
            TermOutcome(math.fsum(weight * value for weight, value in counted), any(value for _, value in counted))
            if counted
            else None
        )
    return outcomes


def term_statistics(groups: Iterable[Sequence[EpisodeTerms]]) -> dict[str, TermStatistics]:
    """Return the statistics of each term.

    Args:
        groups: Groups of episodes that are compared with each other: roll-outs of one task in GRPO, else all episodes.

    Returns:
        By name, in the order of the reward.
    """
    filled = [group for group in groups if group]
    names = list(dict.fromkeys(name for group in filled for episode in group for name in episode))
    compared = [group for group in filled if len(group) > 1]
    covariance, moved = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)
    for group in compared:
        columns = {name: [_contribution(episode, name) for episode in group] for name in names}
        totals = _centred([math.fsum(values) for values in zip(*columns.values(), strict=True)])
        for name, values in columns.items():
            moved[name] += not _constant(values)
            covariance[name] += math.fsum(a * b for a, b in zip(_centred(values), totals, strict=True))
    variance = math.fsum(covariance.values())
    found = {}
    for name in names:
        outcomes = [outcome for group in filled for episode in group if (outcome := episode.get(name)) is not None]
        found[name] = TermStatistics(
            firing_rate=_mean([outcome.fired for outcome in outcomes]),
            mean=_mean([outcome.contribution for outcome in outcomes]),
            # A variance within rounding errors counts as 0.
            variance_share=covariance[name] / variance if variance > 1e-12 else math.nan,
            groups_moved=moved[name] / len(compared) if compared else math.nan,
        )
    return found


def mean_statistics(runs: Sequence[TermStatistics]) -> TermStatistics:
    """Means of a term's statistics over runs, each over the runs in which it is known."""
    columns = {name: [value for run in runs if not math.isnan(value := getattr(run, name))] for name in _FIELDS}
    return TermStatistics(**{name: _mean(values) for name, values in columns.items()})


_PREFIX = "terms/"


def log_entries(statistics: Mapping[str, TermStatistics]) -> dict[str, float]:
    """Statistics of terms as entries of a log line, `terms/NAME/firing_rate` and so on, without unknown values."""
    return {
        f"{_PREFIX}{name}/{key}": value
        for name, term in statistics.items()
        for key, value in term.to_json().items()
        if value is not None
    }


def logged_statistics(lines: Iterable[Mapping[str, Any]]) -> dict[str, TermStatistics]:
    """Statistics of each term over a run, from its log lines (see `log_entries`), equally weighted."""
    found: dict[str, list[TermStatistics]] = {}
    for line in lines:
        terms: dict[str, dict[str, float]] = {}
        for key, value in line.items():
            if key.startswith(_PREFIX):
                name, _, what = key.removeprefix(_PREFIX).rpartition("/")
                terms.setdefault(name, {})[what] = float(value)
        for name, values in terms.items():
            found.setdefault(name, []).append(TermStatistics.from_json(values))
    return {name: mean_statistics(runs) for name, runs in found.items()}


def silent_terms(statistics: Mapping[str, TermStatistics]) -> list[str]:
    """A message for each term that never changed an advantage, except diagnostic terms (weight 0)."""
    notes = []
    for name, term in statistics.items():
        # A term that fires and adds nothing has weight 0.
        if term.groups_moved != 0 or (term.firing_rate > 0 and term.mean == 0):
            continue
        if math.isnan(term.firing_rate):
            why = "it was never scored"
        elif not term.firing_rate:
            why = "it never fired"
        else:
            why = f"it adds the same to all compared episodes (mean {term.mean:.4g})"
        notes.append(f"reward term {name!r} never changed an advantage: {why}")
    return notes


def _contribution(episode: EpisodeTerms, name: str) -> float:
    outcome = episode.get(name)
    return 0.0 if outcome is None else outcome.contribution


def _constant(values: Sequence[float]) -> bool:
    """Whether values are equal up to rounding."""
    return max(values) - min(values) <= 1e-9 * max(1.0, *map(abs, values))


def _centred(values: Sequence[float]) -> list[float]:
    mean = _mean(values)
    return [value - mean for value in values]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
