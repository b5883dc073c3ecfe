"""From an experiment to the work it takes: what cells share is there once, under a name made of its settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from vzgym.core.errors import InvalidSetting
from vzgym.core.secrets import redact
from vzgym.core.settings import plain
from vzgym.evaluation.experiments.settings import STORE, Experiment, GridSettings, Learner
from vzgym.policies.fingerprint import fingerprints_in
from vzgym.rewards.making import make_reward
from vzgym.tasks import BudgetSpec, TaskSet, load_tasks, resolve_budget

__all__ = ["Cell", "Plan", "Work", "make_plan"]

PLAY = "play"
"""The kind of work that measures a cell; every other kind is a stage of learning."""

FILES = "files"
"""The setting that holds the fingerprints of the files that a work's other settings name."""

# What changes how a stage is run or kept, but nothing of what comes out.
_NO_MATTER = ("out", "model", "data", "resume", "log_steps", "save_steps", "save_limit", "report_to", "tensorboard")

# Settings that may name a model or data on disk, which can be made anew in its place; and policies, whose options may.
_PLACES: Final = ("start", "own_data")
_PLAYERS: Final = ("policy", "teacher")


@dataclass(frozen=True)
class Work:
    """A stage of learning, or the playing of a cell: what one process does.

    Attributes:
        kind: "pretrain", "collect", "sft", "grpo", "sb3" or "play".
        label: For people.
        settings: JSON values: all that decides what comes out.
        parents: The works that it builds on, by their part in it ("model", "data").
        units: How much there is to do (steps, episodes, ...), for estimates of time.
        resume: Whether it goes on from what it has saved, if it was stopped.
    """

    kind: str
    label: str
    settings: Mapping[str, Any]
    parents: Mapping[str, Work] = field(default_factory=dict)
    units: float = 1.0
    resume: bool = False

    @cached_property
    def digest(self) -> str:
        """Names the work by what decides its outcome: equal settings, equal digests, in any experiment."""
        facts = {
            "kind": self.kind,
            "settings": {key: value for key, value in self.settings.items() if key not in _NO_MATTER},
            "parents": {role: parent.digest for role, parent in self.parents.items()},
            "vzgym": _version(),
        }
        text = json.dumps(facts, sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()

    def folder(self, root: Path) -> Path:
        """Where its results lie, below the folder of all experiments."""
        return root / STORE / f"{self.kind}-{self.digest}"

    def lineage(self) -> Iterator[Work]:
        """All that it builds on, parents before children, and itself last."""
        for parent in self.parents.values():
            yield from parent.lineage()
        yield self

    def to_json(self) -> dict[str, Any]:
        """JSON form; parents by their digests."""
        return {
            "kind": self.kind,
            "label": self.label,
            "digest": self.digest,
            "settings": redact(self.settings),
            "parents": {role: f"{parent.kind}-{parent.digest}" for role, parent in self.parents.items()},
        }


@dataclass(frozen=True)
class Cell:
    """One point of the grid.

    Attributes:
        names: Its name on each axis: tasks, budget, learner, reward ("" where nothing is learnt from rewards).
        seed: The seed.
        work: Its play; what was learnt before are the work's parents.
    """

    names: Mapping[str, str]
    seed: int
    work: Work

    @property
    def name(self) -> str:
        """Its name on all axes, and the seed."""
        return " / ".join(name for name in self.names.values() if name) + f" / seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """All cells of an experiment, seed by seed."""

    experiment: Experiment
    cells: Sequence[Cell]

    @cached_property
    def works(self) -> list[Work]:
        """Each work once; parents before their children, and both in the order of the cells."""
        found: dict[str, Work] = {}
        for cell in self.cells:
            for work in cell.work.lineage():
                found.setdefault(work.digest, work)
        return list(found.values())

    def chains(self) -> list[list[Work]]:
        """The works as chains that one process does in a row: a child stays with its only parent's only child."""
        children: dict[str, list[Work]] = {}
        for work in self.works:
            for parent in work.parents.values():
                children.setdefault(parent.digest, []).append(work)
        chains: list[list[Work]] = []
        placed: dict[str, list[Work]] = {}
        for work in self.works:
            parents = list(work.parents.values())
            if len(parents) == 1 and len(children[parents[0].digest]) == 1:
                chain = placed[parents[0].digest]
            else:
                chain = []
                chains.append(chain)
            chain.append(work)
            placed[work.digest] = chain
        return chains

    @property
    def axes(self) -> list[str]:
        """The axes on which cells differ, in the order of a table; the learner where they differ on none."""
        names = [axis for axis in self.cells[0].names if len({cell.names[axis] for cell in self.cells}) > 1]
        return names or ["learner"]


def make_plan(experiment: Experiment) -> Plan:
    """All cells of an experiment, with the works they take.

    Raises:
        InvalidSetting: If two cells are equal, or a learner cannot learn what it is asked to.
    """
    cells: dict[str, Cell] = {}
    for seed in experiment.settings.seeds:
        for part in experiment.settings.grid:
            for names in _combinations(experiment, part):
                cell = Cell(names, seed, _Builder(experiment, names, seed).play())
                twin = cells.get(cell.work.digest)
                if twin is not None:
                    raise InvalidSetting(
                        f"two cells are equal: {_described(experiment, twin)} and {_described(experiment, cell)}; "
                        "leave one of them out"
                    )
                cells[cell.work.digest] = cell
    return Plan(experiment, list(cells.values()))


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
    """Makes the works of one cell."""

    def __init__(self, experiment: Experiment, names: Mapping[str, str], seed: int) -> None:
        self.experiment, self.names, self.seed = experiment, names, seed
        self.learner: Learner = experiment.learners[names["learner"]]
        self.tasks = experiment.settings.tasks[names["tasks"]]
        self.changes = experiment.settings.budgets[names["budget"]]
        own = getattr(self.learner.settings, "budget", None)
        self.learn_changes = self.changes if own is None else own

    def play(self) -> Work:
        """The cell's play, behind all that its learner went through."""
        settings, how = self.learner.settings, self.experiment.settings.evaluate
        facts: dict[str, Any] = {
            "tasks": self.tasks.play,
            "tasks_file": _file_digest(self.tasks.play),
            "budget": _budget(self.tasks.play, self.changes),
            "episodes": how.episodes,
            "samples": how.samples,
            "answerer": how.answerer,
            "seed": self.seed,
            "reward": self._reward(),
            "player": settings.kind,
        }
        parents: dict[str, Work] = {}
        if settings.kind == "policy":
            facts["policy"] = plain(settings.policy)
        elif settings.kind == "sb3":
            facts["temperature"] = how.temperature
            parents["model"] = self._sb3()
        else:
            facts |= {
                "temperature": how.temperature,
                "batch_size": how.batch_size,
                "turn_tokens": self.learner.stages["grpo"].turn_tokens,
                "top_p": self.learner.stages["grpo"].top_p,
                "start": settings.model,
            }
            last = self._model()
            if last is not None:
                parents["model"] = last
        where = f"{self.names['tasks']}, {self.names['budget']}" if self.names["budget"] else self.names["tasks"]
        label = f"{self.names['learner']} {self.names['reward']}".strip()
        facts |= self._files(facts)
        return Work(
            PLAY, f"play {label} on {where}, seed {self.seed}", facts, parents, how.episodes * how.samples,
            settings.resume,
        )  # fmt: skip

    def _model(self) -> Work | None:
        """The last stage of a language model; None if it goes through none."""
        stages: Sequence[str] = getattr(self.learner.settings, "stages", ())
        last: Work | None = None
        if "pretrain" in stages:
            last = self._stage("pretrain", 1.0, {})
        if "sft" in stages:
            sft = self.learner.stages["sft"]
            parents = {} if last is None else {"model": last}
            rows = float(sft.limit)
            if not sft.data:
                parents["data"] = self._stage("collect", self._collected, {})
                rows = rows or self._collected
            passes = sft.max_steps * sft.batch_size * sft.accumulation if sft.max_steps else rows * sft.epochs
            last = self._stage("sft", passes, parents)
        if "grpo" in stages:
            grpo = self.learner.stages["grpo"]
            rollouts = grpo.steps * grpo.groups * grpo.group_size
            last = self._stage("grpo", rollouts, {} if last is None else {"model": last})
        return last

    @property
    def _collected(self) -> float:
        collect = self.learner.stages["collect"]
        return float(collect.episodes * (collect.samples if collect.policy else 1))

    def _stage(self, kind: str, units: float, parents: Mapping[str, Work]) -> Work:
        values: dict[str, Any] = self.learner.stages[kind].to_dict()
        values.pop("out", None)
        learner = self.learner.settings
        if kind != "sft":
            values["tasks"] = self._learn_tasks(kind)
            values["tasks_file"] = _file_digest(values["tasks"])
        if kind == "collect":
            values["budget"] = plain(self.learn_changes)
        else:
            values["seed"] = self.seed
        if kind in ("sft", "grpo"):
            values["model"] = getattr(learner, "model", "")
            values["start"] = "" if "model" in parents else values["model"]
        if kind == "sft":
            values["own_data"] = values["data"]
        if kind == "grpo":
            # None: what the tasks were built for.
            values["budget"] = _budget(values["tasks"], self.learn_changes) if self.learn_changes else None
            values["reward"] = self._reward()
        values |= self._files(values)
        told = {"collect": "", "grpo": f" {self.names['reward']}"}.get(kind, "")
        seed = "" if kind == "collect" else f", seed {self.seed}"
        return Work(kind, f"{kind} {self.learner.name}{told}{seed}", values, parents, units, learner.resume)

    def _files(self, settings: Mapping[str, Any]) -> dict[str, Mapping[str, Mapping[str, str]]]:
        """Fingerprints of the files that settings name; no entry where they name none."""
        # A policy given as a text is a registered name, and no file that happens to have it.
        players = [player for role in _PLAYERS if isinstance(player := settings.get(role), Mapping)]
        found = fingerprints_in([*(settings.get(place) for place in _PLACES), *players])
        return {FILES: found} if found else {}

    def _sb3(self) -> Work:
        values = self.learner.stages["sb3"].to_dict()
        values.pop("out", None)
        values |= {"tasks": self._learn_tasks("sb3"), "seed": self.seed, "reward": self._reward()}
        values["budget"] = plain(self.learn_changes) or None
        label = f"sb3 {self.learner.name} {self.names['reward']}, seed {self.seed}"
        return Work("sb3", label, values, {}, float(values["steps"]), self.learner.settings.resume)

    def _learn_tasks(self, kind: str) -> str:
        if kind in self.learner.own_tasks:
            return str(self.learner.stages[kind].tasks)
        if not self.tasks.learn:
            place = self.experiment.where("tasks", self.names["tasks"])
            raise InvalidSetting(
                f"{place}: tasks {self.names['tasks']!r} do not say from what to learn, which learner "
                f"{self.learner.name!r} must: give 'learn' and 'play', or the name of a suite"
            )
        return self.tasks.learn

    def _reward(self) -> Any:
        """The reward spelled out, so that a preset and its weights are the same."""
        name = self.names["reward"]
        return make_reward(self.experiment.settings.rewards[name] if name else "videozoomer").to_spec()


@cache
def _version() -> str:
    return version("vzgym")


@cache
def _task_set(tasks: str) -> TaskSet:
    return load_tasks(tasks)


def _budget(tasks: str, changes: BudgetSpec) -> dict[str, Any]:
    return resolve_budget(changes, _task_set(tasks)).to_dict()


def _file_digest(tasks: str) -> str:
    """What tells two contents of a task file apart; "" for a suite."""
    if not tasks.endswith(".jsonl"):
        return ""
    return hashlib.blake2b(Path(tasks).read_bytes(), digest_size=8).hexdigest()
