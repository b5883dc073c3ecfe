"""An experiment file: what is compared, as typed data.

A file defines learners, rewards, tasks and budgets by name; the grid says which of them are combined. Every mistake is
an `InvalidSetting` that names the line, what is wrong there, and what would be right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from vzgym.agents import GRPOSettings, SFTSettings, WarmupSettings
from vzgym.agents.collect import CollectSettings
from vzgym.agents.config import load_settings
from vzgym.agents.sb3 import SB3Settings
from vzgym.agents.typed_yaml import Item, build, read_file
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, VzgymError
from vzgym.rewards.mix import make_reward
from vzgym.tasks import load_tasks

__all__ = [
    "AXES",
    "EvaluateSettings",
    "Experiment",
    "ExperimentSettings",
    "GridSettings",
    "Learner",
    "LearnerSettings",
    "TasksSettings",
    "load_experiment",
]

AXES = ("tasks", "budget", "learner", "reward")
"""What names a cell beside its seed, in the order of a table."""

SECTIONS = ("warmup", "collect", "sft", "grpo", "sb3")
_CLASSES: Mapping[str, type[Any]] = {
    "warmup": WarmupSettings,
    "collect": CollectSettings,
    "sft": SFTSettings,
    "grpo": GRPOSettings,
    "sb3": SB3Settings,
}
# What the experiment itself decides of each stage.
_DECIDED = {
    "warmup": ("out", "seed"),
    "collect": ("budget",),
    "sft": ("out", "seed", "model", "resume"),
    "grpo": ("out", "seed", "model", "resume", "budget", "reward"),
    "sb3": ("out", "seed", "reward"),
}


@dataclass(frozen=True, kw_only=True)
class LearnerSettings:
    """Who plays, and how it came to be."""

    kind: Literal["policy", "vlm", "sb3"]
    """"policy": plays as it is. "vlm": a language model through warm-up, cold start, GRPO. "sb3": a learner of
    Stable-Baselines3."""

    policy: str | Mapping[str, Any] = ""
    """Of kind "policy": a registered name, `module:Class`, or a mapping with options."""

    stages: tuple[Literal["warmup", "sft", "grpo"], ...] = ("warmup", "sft", "grpo")
    """Of kind "vlm": the stages it goes through. Without "warmup" it starts from `model`."""

    model: str = ""
    """Of kind "vlm": where to start, a checkpoint's folder or a name on the Hugging Face hub."""

    preset: str = "tiny"
    """Of kind "vlm": the preset under the sections below."""

    budget: Mapping[str, Any] | None = None
    """What may be looked at while learning, over what the tasks were built for. Not given: the cell's budget."""

    resume: bool = False
    """Whether a stage, or a cell's play, that was stopped goes on from what it has saved. That is quicker, but its
    numbers are then not those of one that was never stopped."""

    warmup: Mapping[str, Any] = field(default_factory=dict)
    """Settings of `vzgym train warmup`."""

    collect: Mapping[str, Any] = field(default_factory=dict)
    """Settings of `vzgym collect`."""

    sft: Mapping[str, Any] = field(default_factory=dict)
    """Settings of `vzgym train sft`. With `data`, nothing is collected."""

    grpo: Mapping[str, Any] = field(default_factory=dict)
    """Settings of `vzgym train grpo`."""

    sb3: Mapping[str, Any] = field(default_factory=dict)
    """Settings of `vzgym train sb3`."""

    def __post_init__(self) -> None:
        if self.kind == "policy" and not self.policy:
            raise InvalidSetting("LearnerSettings.policy must be given for kind 'policy', such as 'blind'")
        if self.kind == "vlm":
            order = ("warmup", "sft", "grpo")
            if list(self.stages) != [stage for stage in order if stage in self.stages]:
                raise InvalidSetting(
                    f"LearnerSettings.stages must be some of {', '.join(order)}, in this order, got {list(self.stages)}"
                )
            if ("warmup" in self.stages) == bool(self.model):
                raise InvalidSetting(
                    "LearnerSettings.stages must begin with 'warmup', or 'model' say where to start: one of the two, "
                    f"got stages {list(self.stages)} and model {self.model!r}"
                )
        fits = {
            "policy": {"policy"},
            "vlm": {"stages", "model", "preset", "budget", *SECTIONS[:4]},
            "sb3": {"budget", "sb3"},
        }[self.kind]
        for item in fields(self):
            if item.name in fits or item.name in ("kind", "resume"):
                continue
            usual = item.default_factory() if item.default_factory is not MISSING else item.default
            if getattr(self, item.name) != usual:
                raise InvalidSetting(f"LearnerSettings.{item.name} is of no use to a learner of kind {self.kind!r}")


@dataclass(frozen=True, kw_only=True)
class TasksSettings:
    """What is learnt from, and what is played."""

    play: str
    """Held-out tasks on which all are measured: a suite with its split, or a .jsonl file."""

    learn: str = ""
    """Tasks to learn from. A stage's own `tasks` goes before it."""


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """How each cell is measured."""

    episodes: int = 200
    """Tasks that are played, from the first."""

    samples: int = 1
    """How often each is played."""

    temperature: float = 1.0
    """Of trained models: 0 takes the likeliest turn, 1 draws as in training."""

    batch_size: int = 64
    """Dialogues that a language model answers at once."""

    answerer: str = ""
    """Who answers again from chosen clips: "reader", "policy", or nobody."""

    def __post_init__(self) -> None:
        for name in ("episodes", "samples", "batch_size"):
            if getattr(self, name) < 1:
                raise InvalidSetting(f"EvaluateSettings.{name} must be >= 1, got {getattr(self, name)}")
        if self.temperature < 0:
            raise InvalidSetting(f"EvaluateSettings.temperature must be >= 0, got {self.temperature}")


@dataclass(frozen=True, kw_only=True)
class GridSettings:
    """Names that are combined with each other; all there are, where none are given."""

    learners: tuple[str, ...] = ()
    """Names of learners."""

    rewards: tuple[str, ...] = ()
    """Names of rewards. A learner that learns nothing from rewards is played once, whatever stands here."""

    tasks: tuple[str, ...] = ()
    """Names of tasks."""

    budgets: tuple[str, ...] = ()
    """Names of budgets."""


@dataclass(frozen=True, kw_only=True)
class ExperimentSettings:
    """What is compared."""

    name: str = ""
    """Names the folder of the results; the file's name if not given."""

    title: str = ""
    """Heads the results."""

    about: str = ""
    """What the experiment asks; stands below the title."""

    learners: Mapping[str, LearnerSettings]
    """Who plays, by name."""

    tasks: Mapping[str, TasksSettings]
    """What is asked, by name. A suite's name, or a list of such, means its train and test splits."""

    rewards: Mapping[str, str | Mapping[str, Any]] = field(default_factory=lambda: {"videozoomer": "videozoomer"})
    """What is paid for, by name: a preset, a module, a YAML file, or weights. A list of presets will do."""

    budgets: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"usual": {}})
    """What may be looked at, by name: settings of `Budget` over what the tasks were built for."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of learning and of play. A single number n means 0 to n - 1."""

    grid: tuple[GridSettings, ...] = (GridSettings(),)
    """What is combined; everything with everything if not given."""

    evaluate: EvaluateSettings = EvaluateSettings()
    """How each cell is measured."""

    reference: Mapping[str, str] = field(default_factory=dict)
    """The cells that others are held against, as `{reward: accuracy}`: a name on one or more axes."""

    def __post_init__(self) -> None:
        for name in ("learners", "tasks", "rewards", "budgets", "seeds", "grid"):
            if not getattr(self, name):
                raise InvalidSetting(f"ExperimentSettings.{name} must not be empty")
        if any(seed < 0 for seed in self.seeds):
            raise InvalidSetting(f"ExperimentSettings.seeds must be >= 0, got {list(self.seeds)}")
        if len(set(self.seeds)) < len(self.seeds):
            raise InvalidSetting(f"ExperimentSettings.seeds must differ, got {list(self.seeds)}")


@dataclass(frozen=True)
class Learner:
    """A learner with the finished settings of its stages.

    Attributes:
        name: In the experiment.
        settings: As in the file.
        stages: Settings by stage; preset and file laid over each other.
        own_tasks: The stages that name tasks of their own.
    """

    name: str
    settings: LearnerSettings
    stages: Mapping[str, Any]
    own_tasks: frozenset[str]

    @property
    def rewarded(self) -> bool:
        """Whether it learns from rewards."""
        kind = self.settings.kind
        return kind == "sb3" or (kind == "vlm" and "grpo" in self.settings.stages)


@dataclass(frozen=True)
class Experiment:
    """A checked experiment file.

    Attributes:
        settings: As in the file.
        learners: By name.
        text: The file's own text.
        places: Where names of an axis stand in the file, by axis and name.
    """

    settings: ExperimentSettings
    learners: Mapping[str, Learner]
    text: str
    places: Mapping[tuple[str, str], str]


def load_experiment(path: str | Path) -> Experiment:
    """Read and check an experiment file.

    Raises:
        InvalidSetting: If the file cannot be read, a name is unknown, or a value cannot work; with the line.
        UnknownName: If a name is not registered; with the line.
    """
    items = _with_short_forms(read_file(path), str(path))
    settings = build(ExperimentSettings, items)
    if not settings.name:
        settings = replace(settings, name=Path(path).stem)
    if settings.name == "works" or "/" in settings.name:
        raise InvalidSetting(f"{path}: name must be a folder's name other than 'works', got {settings.name!r}")
    for name, item in _named(items, "rewards").items():
        with _at(item):
            make_reward(settings.rewards[name])
    learners = {name: _learner(name, item, settings.learners[name]) for name, item in _named(items, "learners").items()}
    _check_tasks(settings, items)
    _check_names_used(settings, items)
    places = {
        (axis.removesuffix("s"), name): item.where
        for axis in ("learners", "rewards", "budgets")
        for name, item in _named(items, axis).items()
    }
    places |= {("tasks", name): item.where for name, item in _named(items, "tasks").items()}
    return Experiment(settings, learners, Path(path).read_text(encoding="utf-8"), places)


@contextmanager
def _at(item: Item) -> Iterator[None]:
    """Adds a place to errors raised inside: the line of a key that the message quotes, else the item's own."""
    try:
        yield
    except VzgymError as error:
        message = str(error)
        if item.where.rpartition(":")[0] in message:
            raise
        raise InvalidSetting(f"{_quoted(item, message) or item.where}: {message}") from error


def _quoted(item: Item, message: str) -> str:
    """The place of the innermost key that a message quotes."""
    if not isinstance(item.value, dict):
        return ""
    children: Mapping[str, Item] = item.value
    for key, child in children.items():
        if found := _quoted(child, message):
            return found
        if repr(key) in message or f".{key} " in message:
            return child.where
    return ""


def _named(items: Mapping[str, Item], name: str) -> Mapping[str, Item]:
    return items[name].value if name in items else {}


def _with_short_forms(items: Mapping[str, Item], source: str) -> dict[str, Item]:
    """The file with its short forms spelled out."""
    full = dict(items)
    for needed in ("learners", "tasks"):
        if needed not in full:
            raise InvalidSetting(f"{source}: an experiment must say its {needed}")
    full["tasks"] = _mapped(full["tasks"])
    spelled = {name: _suite(item) for name, item in _dict(full["tasks"]).items()}
    full["tasks"] = Item(spelled or full["tasks"].value, full["tasks"].where)
    if "rewards" in full:
        full["rewards"] = _mapped(full["rewards"])
    seeds = full.get("seeds")
    if seeds is not None and type(seeds.value) is int and seeds.value > 0:
        full["seeds"] = Item([Item(seed, seeds.where) for seed in range(seeds.value)], seeds.where)
    return full


def _dict(item: Item) -> dict[str, Item]:
    return item.value if isinstance(item.value, dict) else {}


def _mapped(item: Item) -> Item:
    """A name, or a list of names, as a mapping of each name to itself."""
    listed = item.value if isinstance(item.value, list) else [item]
    if all(isinstance(entry.value, str) for entry in listed):
        return Item({entry.value: entry for entry in listed}, item.where)
    return item


def _suite(item: Item) -> Item:
    """A suite's name as its two splits."""
    if not isinstance(item.value, str):
        return item
    suite, mark, _ = item.value.partition("/")
    if item.value.endswith(".jsonl") or mark:
        return Item({"play": item}, item.where)
    return Item({"play": Item(f"{suite}/test", item.where), "learn": Item(f"{suite}/train", item.where)}, item.where)


def _learner(name: str, item: Item, settings: LearnerSettings) -> Learner:
    given = _dict(item)
    stages: dict[str, Any] = {}
    wanted = {"policy": (), "vlm": SECTIONS[:4], "sb3": ("sb3",)}[settings.kind]
    own = set()
    for stage in wanted:
        section = _dict(given[stage]) if stage in given else {}
        for taken in _DECIDED[stage]:
            if taken in section:
                raise InvalidSetting(
                    f"{section[taken].where}: {stage}.{taken} is decided by the experiment: by its seeds, rewards, "
                    "budgets, or the learner's own model, budget and resume"
                )
        own |= {stage} if "tasks" in section else set()
        with _at(item):
            preset = settings.preset if stage != "sb3" else None
            stages[stage] = load_settings(_CLASSES[stage], preset, section=section)
    return Learner(name, settings, stages, frozenset(own))


def _check_tasks(settings: ExperimentSettings, items: Mapping[str, Item]) -> None:
    """Check that tasks can be loaded, are enough, and go with every budget."""
    budgets = _named(items, "budgets")
    for name, item in _named(items, "tasks").items():
        with _at(item):
            tasks = load_tasks(settings.tasks[name].play)
            wanted = settings.evaluate.episodes
            if wanted > len(tasks):
                raise InvalidSetting(f"{tasks.name!r} has {len(tasks)} tasks, fewer than evaluate.episodes = {wanted}")
            if settings.tasks[name].learn:
                load_tasks(settings.tasks[name].learn)
        for budget, changes in settings.budgets.items():
            with _at(budgets[budget]) if budget in budgets else _at(item):
                Budget.from_mapping({**tasks.budget.to_dict(), **changes})


def _check_names_used(settings: ExperimentSettings, items: Mapping[str, Item]) -> None:
    """Check that the grid and the reference name what there is."""
    known: dict[str, Sequence[str]] = {
        "learners": list(settings.learners),
        "rewards": list(settings.rewards),
        "tasks": list(settings.tasks),
        "budgets": list(settings.budgets),
    }
    for part in items["grid"].value if "grid" in items else ():
        for axis, item in part.value.items():
            for entry in item.value:
                if entry.value not in known[axis]:
                    raise InvalidSetting(
                        f"{entry.where}: grid: there is nothing called {entry.value!r} among the {axis}; "
                        f"valid: {', '.join(known[axis])}"
                    )
    for axis, item in _named(items, "reference").items():
        if axis not in AXES:
            raise InvalidSetting(f"{item.where}: reference has no axis {axis!r}; valid: {', '.join(AXES)}")
        names = known[axis if axis == "tasks" else f"{axis}s"]
        if item.value not in names:
            raise InvalidSetting(
                f"{item.where}: reference: there is no {axis} {item.value!r}; valid: {', '.join(names)}"
            )
