"""What an experiment is made of, as typed data: learners, rewards, tasks and budgets by name, and their grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal

from vzgym.agents.training.config import preset_names
from vzgym.core.errors import InvalidSetting

__all__ = [
    "AXES",
    "SECTIONS",
    "EvaluateSettings",
    "Experiment",
    "ExperimentSettings",
    "GridSettings",
    "Learner",
    "LearnerSettings",
    "TasksSettings",
]

AXES = ("tasks", "budget", "learner", "reward")
"""What names a cell beside its seed, in the order of a table."""

SECTIONS = ("pretrain", "collect", "sft", "grpo", "sb3")
"""Parts of a learner that hold the settings of its stages."""


@dataclass(frozen=True, kw_only=True)
class LearnerSettings:
    """Who plays, and how it came to be."""

    kind: Literal["policy", "vlm", "sb3"]
    """"policy": plays as it is. "vlm": a language model through pre-training, cold start, GRPO. "sb3": a learner of
    Stable-Baselines3."""

    policy: str | Mapping[str, Any] = ""
    """Of kind "policy": a registered name, `module:Class`, or a mapping with options."""

    stages: tuple[Literal["pretrain", "sft", "grpo"], ...] = ("pretrain", "sft", "grpo")
    """Of kind "vlm": the stages it goes through. Without "pretrain" it starts from `model`."""

    model: str = ""
    """Of kind "vlm": where to start, a checkpoint's folder or a name on the Hugging Face hub."""

    preset: str = ""
    """Of kind "vlm": the preset under the sections below. Must be given with `model`; "": "tiny"."""

    budget: Mapping[str, Any] | None = None
    """What may be looked at while learning, over what the tasks were built for. Not given: the cell's budget."""

    resume: bool = False
    """Whether a stage, or a cell's play, that was stopped goes on from what it has saved. That is quicker, but its
    numbers are then not those of one that was never stopped."""

    pretrain: Mapping[str, Any] = field(default_factory=dict)
    """Settings of `vzgym train pretrain`."""

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
            order = ("pretrain", "sft", "grpo")
            if list(self.stages) != [stage for stage in order if stage in self.stages]:
                raise InvalidSetting(
                    f"LearnerSettings.stages must be some of {', '.join(order)}, in this order, got {list(self.stages)}"
                )
            if ("pretrain" in self.stages) == bool(self.model):
                raise InvalidSetting(
                    "LearnerSettings.stages must begin with 'pretrain', or 'model' say where to start: one of the two, "
                    f"got stages {list(self.stages)} and model {self.model!r}"
                )
            # The tiny model's settings would ruin a large one (a learning rate of 2e-3), and nobody would be told.
            if self.model and not self.preset:
                raise InvalidSetting(
                    f"LearnerSettings.model is {self.model!r}, so its 'preset' must be given: one of "
                    f"{', '.join(preset_names())} ('single-gpu' for 3 to 8 billion weights on one GPU)"
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

    answerer: Literal["", "reader", "policy"] = ""
    """Who answers again from chosen clips, to say which zooms were useful; nobody if not given."""

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
