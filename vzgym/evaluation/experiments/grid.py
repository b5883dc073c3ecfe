"""Grid of an experiment: its cells and their stages. Cells share equal stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from vzgym.core.errors import InvalidSetting
from vzgym.core.settings import plain
from vzgym.evaluation.experiments.settings import Experiment, GridSettings, Learner
from vzgym.evaluation.experiments.stages import EVALUATE, Stage
from vzgym.evaluation.sources import source_digests
from vzgym.policies.fingerprint import fingerprints_in
from vzgym.rewards.making import make_reward
from vzgym.tasks import BudgetSpec, TaskSet, load_tasks, resolve_budget
from vzgym.tasks.task_slice import split_slice, task_file_digest

__all__ = ["Cell", "Grid", "has_names", "make_grid"]

_DEFAULT_EPISODES = 200
# Settings that may name models or data on disk.
_PATHS = ("model", "data")
# Settings of policies, whose options may also name models or data.
_POLICIES = ("policy", "teacher")


@dataclass(frozen=True)
class Cell:
    """One point of the grid.

    Attributes:
        names: Its name on each axis: tasks, budget, learner, reward ("" for a learner that is not trained on rewards).
        seed: The seed.
        stage: Its evaluation; the training stages before it are the stage's parents.
    """

    names: Mapping[str, str]
    seed: int
    stage: Stage

    @property
    def name(self) -> str:
        """Its name on all axes, and the seed."""
        return " / ".join(name for name in self.names.values() if name) + f" / seed {self.seed}"


@dataclass(frozen=True)
class Grid:
    """All cells of an experiment, seed by seed."""

    experiment: Experiment
    cells: Sequence[Cell]

    @cached_property
    def stages(self) -> list[Stage]:
        """Each stage once, in the order of the cells, with parents before their children."""
        found: dict[str, Stage] = {}
        for cell in self.cells:
            for stage in cell.stage.lineage():
                found.setdefault(stage.digest, stage)
        return list(found.values())

    def chains(self) -> list[list[Stage]]:
        """The stages as chains that one process runs in sequence: an only child follows its only parent.

        A process spends more time on imports than on many evaluations.
        """
        children: dict[str, int] = {}
        for stage in self.stages:
            for parent in stage.parents.values():
                children[parent.digest] = children.get(parent.digest, 0) + 1
        chains: list[list[Stage]] = []
        chain_of: dict[str, list[Stage]] = {}
        for stage in self.stages:
            parents = list(stage.parents.values())
            if len(parents) == 1 and children[parents[0].digest] == 1:
                chain = chain_of[parents[0].digest]
            else:
                chain = []
                chains.append(chain)
            chain.append(stage)
            chain_of[stage.digest] = chain
        return chains

    @property
    def axes(self) -> list[str]:
        """The axes on which cells differ, in the order of a table; the learner if they differ on none."""
        names = [axis for axis in self.cells[0].names if len({cell.names[axis] for cell in self.cells}) > 1]
        return names or ["learner"]


def make_grid(experiment: Experiment) -> Grid:
    """Build all cells of an experiment with their stages.

    Raises:
        InvalidSetting: If two cells are equal, a learner has no tasks to train on, rewards are named though no learner
            is trained on them, or a contrast does not name two groups of cells.
    """
    cells: dict[str, Cell] = {}
    for seed in experiment.settings.seeds:
        for part in experiment.settings.grid:
            for names in _combinations(experiment, part):
                cell = Cell(names, seed, _Builder(experiment, names, seed).evaluation())
                twin = cells.get(cell.stage.digest)
                if twin is not None:
                    raise InvalidSetting(
                        f"two cells are equal: {_described(experiment, twin)} and {_described(experiment, cell)}; "
                        "remove one of them"
                    )
                cells[cell.stage.digest] = cell
    grid = Grid(experiment, list(cells.values()))
    _check_rewards(grid)
    _check_contrasts(grid)
    return grid


def has_names(names: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether a cell with these names on all axes has the wanted ones."""
    return all(names[axis] == name for axis, name in wanted.items())


def _check_rewards(grid: Grid) -> None:
    """Check that the file names no rewards if no learner of the grid is trained on them."""
    if any(cell.names["reward"] for cell in grid.cells):
        return
    settings, document = grid.experiment.settings, grid.experiment.document
    named: list[tuple[str, ...]] = [("rewards",)] if "rewards" in document.data else []
    if "reward" in settings.reference:
        named.append(("reference", "reward"))
    for name, contrast in settings.contrasts.items():
        named += [
            ("contrasts", name, side, "reward") for side in ("of", "against") if "reward" in getattr(contrast, side)
        ]
    if named:
        raise InvalidSetting(
            "\n".join(
                f"{document.prefix(*path)}{'.'.join(path)!r} has no effect, since no learner of the grid is trained on "
                "rewards: remove it, or add a learner of kind 'sb3', or of kind 'vlm' with the stage 'grpo'"
                for path in named
            )
        )


def _check_contrasts(grid: Grid) -> None:
    """Check that each side of each contrast names the cells of one group, not the same one."""
    known = {tuple(cell.names.values()): cell.names for cell in grid.cells}.values()
    for name, contrast in grid.experiment.settings.contrasts.items():
        groups = []
        for side, wanted in zip(("of", "against"), grid.experiment.sides(contrast), strict=True):
            found = [names for names in known if has_names(names, wanted)]
            if len(found) != 1:
                told = ", ".join(f"{axis} {value!r}" for axis, value in wanted.items())
                raise InvalidSetting(
                    f"{grid.experiment.document.where('contrasts', name, side)}: contrast {name!r}: {told} names "
                    f"{len(found) or 'no'} groups of cells, but must name one: give a name on each of "
                    f"{', '.join(grid.axes)}"
                )
            groups += found
        if groups[0] == groups[1]:
            untrained = not groups[0]["reward"] and "reward" in {**contrast.of, **contrast.against}
            cause = f"; learner {groups[0]['learner']!r} is not trained on rewards" if untrained else ""
            raise InvalidSetting(
                f"{grid.experiment.document.where('contrasts', name)}: contrast {name!r}: 'of' and 'against' name the "
                f"same group of cells{cause}"
            )


def _described(experiment: Experiment, cell: Cell) -> str:
    places = [place for axis, name in cell.names.items() if (place := experiment.where(axis, name))]
    return f"{cell.name!r} ({', '.join(places)})"


def _combinations(experiment: Experiment, part: GridSettings) -> Iterator[dict[str, str]]:
    settings = experiment.settings
    for tasks in part.tasks or settings.tasks:
        for budget in part.budgets or settings.budgets:
            for learner in part.learners or settings.learners:
                rewarded = experiment.learners[learner].rewarded
                for reward in (part.rewards or settings.rewards) if rewarded else [""]:
                    yield {"tasks": tasks, "budget": budget, "learner": learner, "reward": reward}


class _Builder:
    """Makes the stages of one cell."""

    def __init__(self, experiment: Experiment, names: Mapping[str, str], seed: int) -> None:
        self.experiment, self.names, self.seed = experiment, names, seed
        self.learner: Learner = experiment.learners[names["learner"]]
        self.tasks = experiment.settings.tasks[names["tasks"]]
        self.budget = experiment.settings.budgets[names["budget"]]
        own = getattr(self.learner.settings, "budget", None)
        self.train_budget = self.budget if own is None else own

    def evaluation(self) -> Stage:
        """The evaluation of the cell, with all preceding training stages."""
        how = self.experiment.settings.evaluate
        model, policy = self._policy()
        tasks = self.tasks.evaluate
        settings = {
            "tasks": tasks,
            "budget": _budget(tasks, self.budget, "test"),
            "episodes": min(how.episodes or _DEFAULT_EPISODES, self.experiment.counts[self.names["tasks"]]),
            "samples": how.samples,
            "answerer": how.answerer,
            "reward": self._reward(),
            "policy": policy,
            **({"tools": how.extras().specs} if how.tools is not None else {}),
            **({"subtitles": how.subtitles} if how.subtitles else {}),
        }
        subject = f"{self.names['learner']} {self.names['reward']}".strip()
        name = f"{subject} on {', '.join(name for name in (self.names['tasks'], self.names['budget']) if name)}"
        return self._stage(EVALUATE, name, settings, {} if model is None else {"model": model})

    def _policy(self) -> tuple[Stage | None, Any]:
        """The last training stage, and the evaluated policy."""
        learner, how = self.learner.settings, self.experiment.settings.evaluate
        match learner.kind:
            case "policy":
                return None, plain(learner.policy)
            case "sb3":
                policy = {"name": "vzgym.agents.sb3.policy:SB3Policy", "deterministic": how.temperature == 0}
                return self._sb3(), policy
        grpo = self.learner.stages["grpo"]
        options = {"top_p": grpo.top_p, "turn_tokens": grpo.turn_tokens, "batch_size": how.batch_size}
        model = self._vlm(learner.stages, learner.model)
        path = {} if model else {"path": learner.model}
        return model, {"name": "vlm", "temperature": how.temperature, **options, **path}

    def _vlm(self, stages: Sequence[str], start: str) -> Stage | None:
        """The last training stage of a language model; None if it is not trained."""
        name, last = self.learner.name, None
        if "pretrain" in stages:
            last = self._training("pretrain", name, {"tasks": self._train_tasks("pretrain")})
        if "sft" in stages:
            parents = {"model": last} if last else {}
            if not self.learner.stages["sft"].data:
                settings = {"tasks": self._train_tasks("collect"), "budget": plain(self.train_budget)}
                parents["data"] = self._training("collect", name, settings)
            last = self._training("sft", name, {"model": start}, parents)
        if "grpo" in stages:
            tasks = self._train_tasks("grpo")
            budget = _budget(tasks, self.train_budget, "train") if self.train_budget else None
            settings = {"model": start, "tasks": tasks, "budget": budget, "reward": self._reward()}
            name = f"{name} {self.names['reward']}"
            last = self._training("grpo", name, settings, {"model": last} if last else {})
        return last

    def _sb3(self) -> Stage:
        budget = plain(self.train_budget) or None
        settings = {"tasks": self._train_tasks("sb3"), "reward": self._reward(), "budget": budget}
        return self._training("sb3", f"{self.learner.name} {self.names['reward']}", settings)

    def _training(
        self, kind: str, name: str, fixed: Mapping[str, Any], parents: Mapping[str, Stage] | None = None
    ) -> Stage:
        """A training stage, with the settings of the learner and of the experiment."""
        values: dict[str, Any] = {**self.learner.stages[kind].to_dict(), **fixed}
        # Folders of the stage and its parents are set when the stage runs.
        for key in ("out", "resume", *(parents or {})):
            values.pop(key, None)
        return self._stage(kind, name, values, parents or {})

    def _stage(self, kind: str, name: str, settings: dict[str, Any], parents: Mapping[str, Stage]) -> Stage:
        # Trajectories are collected once for all seeds.
        seed = None if kind == "collect" else self.seed
        if seed is not None:
            settings["seed"] = seed
        # A policy given as text is a registered name, even if a file has that name.
        policies = [policy for key in _POLICIES if isinstance(policy := settings.get(key), Mapping)]
        inputs: dict[str, Mapping[str, Any]] = {
            "tasks": _task_files([settings.get("tasks", ""), *(part["tasks"] for part in settings.get("mixture", ()))]),
            "files": fingerprints_in([*(settings[key] for key in _PATHS if settings.get(key)), *policies]),
            "sources": source_digests(settings),
        }
        inputs = {key: value for key, value in inputs.items() if value}
        return Stage(kind, f"{kind} {name}", seed, settings, inputs, parents, self.learner.settings.resume)

    def _train_tasks(self, kind: str) -> str:
        if kind in self.learner.own_tasks:
            return str(self.learner.stages[kind].tasks)
        if not self.tasks.train:
            name = self.names["tasks"]
            raise InvalidSetting(
                f"{self.experiment.where('tasks', name)}: tasks {name!r} need 'train', the tasks that learner "
                f"{self.learner.name!r} is trained on: give 'train' and 'evaluate', or the name of a suite"
            )
        return self.tasks.train

    def _reward(self) -> Any:
        """The complete reward, so that a preset equals its weights."""
        name = self.names["reward"]
        return make_reward(self.experiment.settings.rewards[name] if name else "videozoomer").to_spec()


@cache
def _task_set(tasks: str, split: str) -> TaskSet:
    return load_tasks(tasks, split)


def _budget(tasks: str, spec: BudgetSpec, split: str) -> dict[str, Any]:
    return resolve_budget(spec, _task_set(tasks, split)).to_dict()


def _task_files(specs: Sequence[str]) -> dict[str, str]:
    """Digests of the task files among some tasks, by path."""
    return {split_slice(spec)[0]: digest for spec in specs if (digest := task_file_digest(spec))}
