"""The task sets of a GRPO run: each is an environment of TRL's loop, chosen by the rows of the training data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vzgym.agents.settings import check_first_answer
from vzgym.agents.training.settings import GRPOSettings
from vzgym.agents.training.task_checks import TaskCheck, blank_copy, check_tasks
from vzgym.agents.training.token_budget import TokenNeed, measure_tokens
from vzgym.agents.training.tool_environment import ToolEnvironment, opening_row
from vzgym.core.actions import TurnRules
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.protocols import TextProtocol
from vzgym.tasks import TaskSet, load_tasks, resolve_budget
from vzgym.tasks.task_slice import is_task_file, split_slice
from vzgym.tools.extras import Extras

__all__ = ["TrainingTasks", "common_budget", "environment_factories", "training_rows", "training_tasks"]


@dataclass(frozen=True)
class TrainingTasks:
    """A task set of the run.

    Attributes:
        name: Its name among those of the run: its own, or the text that names it if several files have that name.
        tasks: The set.
        budget: The budget of its episodes.
        found: Which of its tasks can be played.
        need: How many tokens its episodes take at most.
        opening: The messages before the question, and the question's message, still empty.
        rules: What a turn of its episodes may hold.
    """

    name: str
    tasks: TaskSet
    budget: Budget
    found: TaskCheck
    need: TokenNeed
    opening: list[dict[str, Any]]
    rules: TurnRules


def training_tasks(
    settings: GRPOSettings, processor: Any, protocol: TextProtocol, extras: Extras, trained: Budget | None
) -> list[TrainingTasks]:
    """The task sets of a run, checked.

    Args:
        settings: `tasks` and `mixture`.
        processor: The model's.
        protocol: The text protocol.
        extras: Tools, and subtitles in the dialogue.
        trained: The budget that the model was trained with.

    Raises:
        InvalidSetting: If no task of a set can be played, a set is given twice, a budget requires zooms before an
            answer, or their budgets differ in the number of zooms, of which TRL's loop has one for the run.
    """
    parts: list[TrainingTasks] = []
    given = [
        (settings.tasks, settings.num_tasks, None),
        *((part.tasks, part.num_tasks, part.budget) for part in settings.mixture),
    ]
    sets = _named_sets([text for text, _, _ in given])
    for (name, tasks), (_, count, spec) in zip(sets.items(), given, strict=True):
        budget = settings.budget_for(tasks, trained) if spec is None else resolve_budget(spec, tasks)
        check_first_answer(budget, "a roll-out of TRL's tool loop")
        # A video that cannot be opened would end the run at the step that uses it.
        found = check_tasks(tasks, min(count or len(tasks), len(tasks)))
        blank = extras.episode(blank_copy(found.representatives[0]), budget, protocol)
        need = measure_tokens(processor, protocol, found.representatives, budget, settings.turn_tokens, extras)
        parts.append(TrainingTasks(name, tasks, budget, found, need, opening_row(blank.messages), blank.rules))
    first = parts[0]
    for part in parts[1:]:
        for field in ("max_zooms", "zooms_per_turn"):
            one, other = getattr(first.budget, field), getattr(part.budget, field)
            if one != other:
                raise InvalidSetting(
                    f"GRPOSettings.mixture: {field} is {one} for {first.name!r} and {other} for "
                    f"{part.name!r}, but a run has one: set it in the run's budget and in that of the mixture"
                )
    return parts


def _named_sets(texts: Sequence[str]) -> dict[str, TaskSet]:
    """The task sets by their names in the run.

    Raises:
        InvalidSetting: If one is given twice.
    """
    sets: dict[tuple[str, str], tuple[str, TaskSet]] = {}
    for text in texts:
        tasks = load_tasks(text)
        # Files in different folders may have the same name, as all that `vzgym tasks write` lists do.
        file, _ = split_slice(text)
        key = (tasks.name, str(Path(file).resolve()) if is_task_file(file) else "")
        if key in sets:
            raise InvalidSetting(f"GRPOSettings.mixture: {tasks.name!r} is given twice; one of them would be enough")
        sets[key] = text, tasks
    names = [tasks.name for _, tasks in sets.values()]
    return {tasks.name if names.count(tasks.name) == 1 else text: tasks for text, tasks in sets.values()}


def training_rows(parts: Sequence[TrainingTasks]) -> dict[str, list[Any]]:
    """The columns of the training data: `prompt`, `task` and, of several sets, `environment`."""
    rows: dict[str, list[Any]] = {
        "prompt": [part.opening for part in parts for _ in part.found.playable],
        "task": [index for part in parts for index in part.found.playable],
    }
    if len(parts) > 1:
        rows["environment"] = [part.name for part in parts for _ in part.found.playable]
    return rows


def environment_factories(parts: Sequence[TrainingTasks], protocol: TextProtocol, extras: Extras) -> Any:
    """TRL's `environment_factory`: a function, or for several sets a function for each value of `environment`."""

    def factory(part: TrainingTasks) -> Any:
        return lambda: ToolEnvironment(part.tasks, part.budget, protocol, extras, part.name)

    return factory(parts[0]) if len(parts) == 1 else {part.name: factory(part) for part in parts}


def common_budget(parts: Sequence[TrainingTasks]) -> Budget | None:
    """The budget that the model is trained with; None if it differs between the sets."""
    budgets = {part.budget for part in parts}
    return parts[0].budget if len(budgets) == 1 else None
