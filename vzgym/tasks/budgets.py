"""Resolution of budgets, and their effect on the proof that zooming is needed."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from functools import cache, partial
from typing import Protocol, TypeAlias

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.core.registry import Registry
from vzgym.tasks.task import VideoTask

__all__ = [
    "BUDGETS",
    "BudgetSpec",
    "WeakerProof",
    "budget_changes",
    "built_for",
    "prepared_by_policy",
    "resolve_budget",
    "weakened_by",
]

BudgetSpec: TypeAlias = "Budget | Mapping[str, object] | str | None"
"""Everything that `resolve_budget` takes."""

BUDGETS: Registry[Budget] = Registry("budget", "vzgym.budgets")
"""Budgets by name: factories without arguments."""

BUDGETS.register("paper", Budget)
# Half the paper's overview and half its zooms: fewer tokens, for the preset of that name.
BUDGETS.register("single-gpu", partial(Budget, overview_frames=32, max_zooms=2))


class WeakerProof(UserWarning):
    """Procedural tasks are played with another overview or more pixels than they were built for."""


_FIELDS = frozenset(field.name for field in fields(Budget))


class _Tasks(Protocol):
    """What is read of a task set here."""

    @property
    def name(self) -> str: ...

    @property
    def budget(self) -> Budget: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> VideoTask: ...


def resolve_budget(spec: BudgetSpec, tasks: _Tasks) -> Budget:
    """Resolve the budget with which `tasks` are played.

    Warns (`WeakerProof`), once for a task set, if procedural tasks get another overview or more pixels than they were
    built for.

    Args:
        spec: A mapping overrides fields of the task set's budget. A `Budget`, or the name of one ("paper"), replaces
            it. None leaves it as it is.
        tasks: The task set.

    Raises:
        InvalidSetting: If a field is unknown or its value is out of range, or `spec` is none of these.
        UnknownName: If no budget has that name; lists those there are.
    """
    match spec:
        case None:
            return tasks.budget
        case Budget():
            budget = spec
        case str():
            budget = BUDGETS.make(spec)
        case Mapping():
            budget = Budget.from_mapping({**tasks.budget.to_dict(), **spec})
        case _:
            raise InvalidSetting(
                f"budget must be a mapping of fields, a Budget, the name of one ({', '.join(BUDGETS.names())}) or "
                f"None, got {spec!r}"
            )
    # Only tasks that were built for a budget prove anything, and building one takes a while.
    if not _prepared.get() and weakened_by(tasks.budget, budget) and len(tasks):
        built = built_for(tasks[0])
        changes = () if built is None else weakened_by(built, budget)
        if built is not None and changes:
            _warn(tasks.name, ", ".join(f"{name}={_show(built, budget, name)}" for name in changes))
    return budget


def budget_changes(played: Budget, other: Budget, other_is: str) -> str:
    """The fields of a budget that differ from those of another, in words; "" if none does.

    Args:
        played: The budget.
        other: The other.
        other_is: What the other is, such as "trained with".
    """
    now, then = ({"min_zooms": 0, **budget.to_dict()} for budget in (played, other))
    return ", ".join(f"{name}={now[name]} ({other_is} {then[name]})" for name in now if now[name] != then[name])


def built_for(task: VideoTask) -> Budget | None:
    """The budget that a procedural task was built for, in the form of `Budget.to_dict`; None for any other task."""
    found = task.metadata.get("budget")
    return Budget.from_mapping(found) if isinstance(found, Mapping) and {*found, "min_zooms"} == _FIELDS else None


def weakened_by(built: Budget, played: Budget) -> tuple[str, ...]:
    """The fields of `played` by which tasks that were built for `built` lose the proof that zooming is needed.

    A different overview may show the evidence, and more pixels may make it legible. Omitting the overview is safe.

    Returns:
        Names of fields, in the order of the class; empty where the proof holds.
    """
    names = []
    if played.overview_frames:
        names += [
            name
            for name in ("overview_fps", "overview_frames", "overview_last")
            if getattr(played, name) != getattr(built, name)
        ]
    return (*names, *(name for name in ("max_pixels", "min_pixels") if getattr(played, name) > getattr(built, name)))


_prepared: ContextVar[bool] = ContextVar("prepared", default=False)


@contextmanager
def prepared_by_policy() -> Iterator[None]:
    """Suppress the warning for budgets chosen by a policy, such as controls that show more frames."""
    token = _prepared.set(True)
    try:
        yield
    finally:
        _prepared.reset(token)


def _show(built: Budget, played: Budget, name: str) -> str:
    return f"{getattr(played, name)} (built for {getattr(built, name)})"


@cache
def _warn(tasks: str, changes: str) -> None:
    """Warn where the program that uses vzgym calls it."""
    level = 1
    while sys._getframe(level).f_globals.get("__name__", "").partition(".")[0] == "vzgym":
        level += 1
    warnings.warn(
        f"tasks {tasks!r} are played with {changes}: under another overview or more pixels it is not proven that "
        "zooming is needed",
        WeakerProof,
        stacklevel=level + 1,
    )
