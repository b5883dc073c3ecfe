"""Settings that several kinds of run share. Light imports only, so that command lines are checked quickly.

The docstring below a field is its description in JSON schemas.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, TypeAlias, get_type_hints

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, WithJsonSchema, create_model

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.core.secrets import redact
from vzgym.core.settings import FilePath, ListOf, Settings, checked
from vzgym.tasks import BUDGETS, TaskSet, resolve_budget
from vzgym.tasks.subtitles.subtitle import SubtitleMode
from vzgym.tools.base import TOOLS
from vzgym.tools.extras import Extras

__all__ = [
    "BudgetSetting",
    "BudgetedSettings",
    "ExtrasSettings",
    "Named",
    "RunSettings",
    "SeededSettings",
    "check_first_answer",
    "check_same_run",
]


# All fields of `Budget`, each optional.
_BudgetFields: type[Settings] = create_model(
    "BudgetSettings",
    __base__=Settings,
    **{name: (hint, Field(None)) for name, hint in get_type_hints(Budget).items()},  # type: ignore[call-overload]
)
_BudgetFields.model_config["allow_inf_nan"] = True
_BudgetFields.model_rebuild(force=True)

BudgetOverrides: TypeAlias = Annotated[
    Mapping[str, Any],
    checked(_BudgetFields.model_validate),
    WithJsonSchema({**_BudgetFields.model_json_schema(), "title": "Budget"}),
]
"""Fields of `Budget` that override those of the task set's budget."""

BudgetSetting: TypeAlias = BudgetOverrides | Annotated[str, checked(BUDGETS.check)]
"""Fields that override those of the task set's budget, or the name of a budget that replaces it."""

Named: TypeAlias = str | Mapping[str, Any]
"""A component by its registered name, as `module:Class`, or as a mapping `{name: ..., **options}`."""


class SeededSettings(Settings):
    """Settings of every run."""

    seed: NonNegativeInt = 0
    """Seed of all random numbers of the run."""


class RunSettings(SeededSettings):
    """Settings of a run that trains a model."""

    out: FilePath = ""
    """Folder for checkpoints, logs and the finished model."""

    learning_rate: PositiveFloat = 1e-5
    """Highest learning rate."""

    log_steps: PositiveInt = 10
    """Optimizer steps between two log lines."""


class BudgetedSettings(SeededSettings):
    """Settings of a run that plays tasks."""

    tasks: str = ""
    """Tasks to play: a suite, with or without its split (`needle-micro/train`), or a .jsonl file."""

    budget: BudgetSetting | None = None
    """Fields that override those of the task set's budget, or the name of a budget (`paper`, `single-gpu`) that
    replaces it. null: the budget that the model was trained with (GRPO), else the task set's own."""

    def budget_for(self, tasks: TaskSet, trained: Budget | None = None) -> Budget:
        """The budget that tasks are played with; see `resolve_budget`.

        Args:
            tasks: The tasks.
            trained: The budget that the model was trained with; used if the settings give none.

        Raises:
            InvalidSetting: If the overrides do not fit the tasks' budget.
        """
        return resolve_budget(trained if self.budget is None else self.budget, tasks)


def check_same_run(folder: str | os.PathLike[str], before: Settings, now: Settings, free: Collection[str]) -> None:
    """Check that a run is resumed with its own settings.

    Args:
        folder: The run's folder.
        before: The run's settings.
        now: The requested settings.
        free: Names of settings that may differ, nested ones dotted; `*` stands for any text.

    Raises:
        InvalidSetting: If another setting differs; with the run's values. A path may be written in another way.
    """
    there, wanted = (json.loads(json.dumps(redact(it.to_dict()), default=str)) for it in (before, now))
    was = ", ".join(f"{name}={value!r}" for name, value in _differing(there, wanted, free))
    if was:
        raise InvalidSetting(f"{folder} holds a run with {was}: resume with the same, or choose another folder")


def _differing(
    there: Mapping[str, Any], wanted: Mapping[str, Any], free: Collection[str], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """The dotted names of values that differ, with those of `there`."""
    for key in sorted({**there, **wanted}):
        name, one, other = f"{prefix}{key}", there.get(key), wanted.get(key)
        if any(fnmatchcase(name, pattern) for pattern in free):
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _differing(one, other, free, f"{name}.")
        elif not _same_value(one, other):
            yield name, one


def _same_value(one: Any, other: Any) -> bool:
    texts = isinstance(one, str) and isinstance(other, str)
    return one == other or (texts and os.path.realpath(one) == os.path.realpath(other))


def check_first_answer(budget: Budget, what: str) -> None:
    """Check that a budget accepts the first answer, which ends what is collected or trained on.

    Args:
        budget: The budget.
        what: What ends at its first answer, for the error.

    Raises:
        InvalidSetting: If the budget requires zooms before an answer.
    """
    if budget.min_zooms:
        raise InvalidSetting(
            f"{what} ends at its first answer, but the budget requires zooms before an answer (min_zooms is "
            f"{budget.min_zooms}): set min_zooms to 0 here. `vzgym eval --tool-modes` evaluates with required zooms"
        )


class ExtrasSettings(Settings):
    """Settings of a run whose agent may have tools and subtitles."""

    tools: ListOf[Annotated[Named, checked(TOOLS.check)]] | None = None
    """Tools that the agent may call beside the zoom: registered names, `module:Class`, or mappings with options; `[]`
    for none. Default: those that the model was trained with, if any."""

    subtitles: SubtitleMode | None = None
    """Where the dialogue shows the tasks' subtitles: `none`, `overview`, `clips` or `all`. Default: as the model was
    trained, else as each task says (`show_subtitles`), usually `none`."""

    def extras(self, trained: Mapping[str, Any] | None = None) -> Extras:
        """The tools and the mode.

        Args:
            trained: Those that the model was trained with; see `Extras.make`.

        Raises:
            InvalidSetting: If a tool is invalid.
            DependencyNotInstalled: If a tool needs a missing package.
            UntrustedName: As `Extras.make`.
        """
        return Extras.make(self.tools, self.subtitles, trained=trained)
