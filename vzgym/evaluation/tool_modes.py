"""One policy on the same tasks with, without and with required use of its tools, compared task by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from vzgym.core.budget import ToolMode
from vzgym.core.errors import InvalidSetting
from vzgym.core.registry import import_object
from vzgym.core.statistics import Estimate
from vzgym.evaluation.comparison import RunMetrics, compare_metrics
from vzgym.evaluation.metrics import share
from vzgym.evaluation.policy_evaluation import evaluate
from vzgym.evaluation.report import EvaluationReport
from vzgym.policies.policy import AnyPolicy
from vzgym.tasks import TaskSpec

__all__ = ["EFFECTS", "EFFECT_TITLES", "MODE_TITLES", "SHOWN", "ModeEffect", "ToolModes", "evaluate_tool_modes"]

MODE_TITLES: Final[Mapping[ToolMode, str]] = {
    ToolMode.FREE: "free",
    ToolMode.NO_TOOL: "no tool",
    ToolMode.FORCED: "forced",
}
"""The modes in the order in which they are played, with their titles in tables."""

SHOWN: Final = ("correct", "zooms", "frames")
"""Metrics that are reported for each mode, by the names of `EpisodeMetrics`."""

EFFECTS: Final[Mapping[str, tuple[ToolMode, ToolMode]]] = {
    "benefit": (ToolMode.FREE, ToolMode.NO_TOOL),
    "forcing": (ToolMode.FORCED, ToolMode.FREE),
}
"""Reported effects by name: the mode, and the one that it is compared with."""

EFFECT_TITLES: Final[Mapping[str, str]] = {
    name: f"{MODE_TITLES[mode]} - {MODE_TITLES[other]}" for name, (mode, other) in EFFECTS.items()
}
"""Titles of the effects in tables."""


@dataclass(frozen=True)
class ModeEffect:
    """The effect of a mode on accuracy, from another mode on the same tasks.

    `corrected - spoiled` is the difference. With several roll-outs per task, a task counts as the share of all pairs of
    a roll-out in the one mode and a roll-out in the other.

    Attributes:
        difference: Paired difference in the share of right answers, with its 95 % interval; `n` is the number of tasks.
        p: For one roll-out per task, the exact p of McNemar's test; None otherwise.
        corrected: Share of the tasks that are wrong in the other mode and right in this one.
        spoiled: Share of the tasks that are right in the other mode and wrong in this one.
    """

    difference: Estimate
    p: float | None
    corrected: Estimate
    spoiled: Estimate

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "difference": self.difference.to_json(),
            **({} if self.p is None else {"p": self.p}),
            "corrected": self.corrected.to_json(),
            "spoiled": self.spoiled.to_json(),
        }


@dataclass(frozen=True)
class ToolModes:
    """The reports of a policy in all tool modes, and the effects of the modes.

    Attributes:
        policy: The policy's name.
        reports: The report of each mode. Differences are paired by task; tasks that are missing in one of two modes do
            not count.

    Raises:
        InvalidSetting: If a mode has no report.
    """

    policy: str
    reports: Mapping[ToolMode, EvaluationReport]

    def __post_init__(self) -> None:
        missing = [title for mode, title in MODE_TITLES.items() if mode not in self.reports]
        if missing:
            raise InvalidSetting(f"the tool modes of {self.policy!r} lack the report of: {', '.join(missing)}")

    @cached_property
    def _metrics(self) -> Mapping[ToolMode, RunMetrics]:
        return {
            mode: RunMetrics.of(f"{self.policy}, {MODE_TITLES[mode]}", Path(mode), report.episodes)
            for mode, report in self.reports.items()
        }

    def effect(self, mode: ToolMode, other: ToolMode) -> ModeEffect:
        """The effect of a mode, from another one.

        Raises:
            InvalidSetting: If the two modes have no task in common.
        """
        one, base = self._metrics[mode], self._metrics[other]
        found = compare_metrics([base, one]).rows[1]["correct"]
        mine, theirs = one.values["correct"], base.values["correct"]
        pairs = [(mine[task], theirs[task]) for task in mine if task in theirs]
        return ModeEffect(
            found.difference,
            found.p,
            share([right * (1.0 - before) for right, before in pairs]),
            share([before * (1.0 - right) for right, before in pairs]),
        )

    @cached_property
    def effects(self) -> Mapping[str, ModeEffect]:
        """The effects by name: see `benefit` and `forcing`."""
        return {name: self.effect(mode, other) for name, (mode, other) in EFFECTS.items()}

    @property
    def benefit(self) -> ModeEffect:
        """The benefit of the tool: free against no tool."""
        return self.effects["benefit"]

    @property
    def forcing(self) -> ModeEffect:
        """The effect of required use: forced against free."""
        return self.effects["forcing"]

    def by(self, key: str) -> dict[str, ToolModes]:
        """The same for each group of tasks that all modes have; see `EvaluationReport.by`."""
        parts = {mode: report.by(key) for mode, report in self.reports.items()}
        groups = [group for group in parts[ToolMode.FREE] if all(group in part for part in parts.values())]
        return {group: ToolModes(self.policy, {mode: parts[mode][group] for mode in parts}) for group in groups}

    def __str__(self) -> str:
        """The modes and their effects as tables of at most 80 columns."""
        # Imported here, since the tables module imports this one.
        text: str = import_object("vzgym.evaluation.tool_mode_tables:tool_modes_text")(self)
        return text

    def _repr_html_(self) -> str:
        """The modes and their effects as a table, for notebooks."""
        text: str = import_object("vzgym.evaluation.notebook.results:tool_modes_html")(self)
        return text

    def to_json(self, by: Sequence[str] = ()) -> dict[str, Any]:
        """JSON form.

        Args:
            by: Grouping keys whose groups are added; see `by`.
        """
        summaries = {mode: report.summary for mode, report in self.reports.items()}
        found: dict[str, Any] = {
            "policy": self.policy,
            "modes": {
                str(mode): {name: summary[name].to_json() for name in SHOWN} for mode, summary in summaries.items()
            },
            "effects": {name: effect.to_json() for name, effect in self.effects.items()},
        }
        if by:
            found["by"] = {
                key: {group: part.to_json() for group, part in self.by(key).items()} for key in dict.fromkeys(by)
            }
        return found


def evaluate_tool_modes(
    policy: AnyPolicy | str | Mapping[str, Any],
    tasks: TaskSpec = "tiny/test",
    *,
    out: str | Path | None = None,
    **options: Any,
) -> ToolModes:
    """Evaluate a policy on the same tasks in each tool mode: free, without the tool, and forced to use it.

    Args:
        policy: As for `evaluate`.
        tasks: As for `evaluate`.
        out: A folder for the runs, each in the folder of its mode's name. An interrupted evaluation resumes there.
        options: Further arguments of `evaluate`, the same for all modes.

    Raises:
        InvalidSetting: As `evaluate`; also if the budget has no zooms, so that none can be required.
        VzgymError: The other errors of `evaluate`.
    """
    reports = {
        mode: evaluate(policy, tasks, out=None if out is None else Path(out) / mode, tool_mode=mode, **options)
        for mode in MODE_TITLES
    }
    return ToolModes(reports[ToolMode.FREE].policy, reports)
