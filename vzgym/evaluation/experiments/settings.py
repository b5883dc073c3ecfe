"""Settings of an experiment: learners, rewards, tasks and budgets by name, and the grid of their combinations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationInfo,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from vzgym.agents.settings import BudgetSetting, ExtrasSettings, Named
from vzgym.agents.training.config import STAGES, preset_names
from vzgym.core.documents import Document, shown
from vzgym.core.settings import FilePath, ListOf, Settings, problem
from vzgym.core.text import known_names
from vzgym.evaluation.metrics import METRICS
from vzgym.evaluation.taxonomy import TAXONOMY_CLASSES
from vzgym.tasks.task_slice import is_task_file

__all__ = [
    "AXES",
    "ContrastSettings",
    "EvaluateSettings",
    "Experiment",
    "ExperimentSettings",
    "GridSettings",
    "Learner",
    "LearnerSettings",
    "PolicyLearner",
    "SB3Learner",
    "TasksSettings",
    "VLMLearner",
]

Axis: TypeAlias = Literal["tasks", "budget", "learner", "reward"]

AXES: Final[tuple[Axis, ...]] = ("tasks", "budget", "learner", "reward")
"""Axes that identify a cell besides its seed, in table order."""

STORE: Final = "store"
"""Name of the folder of all stages, next to the folders of experiments."""

FIXED: Final[Mapping[str, tuple[str, ...]]] = {
    "pretrain": ("out", "seed"),
    "collect": ("budget",),
    "sft": ("out", "seed", "model", "resume"),
    "grpo": ("out", "seed", "model", "resume", "budget", "reward"),
    "sb3": ("out", "seed", "reward"),
}
"""Settings of each stage that are set by the experiment."""


@dataclass(frozen=True)
class _SectionSchema:
    """Gives a learner's section the JSON schema of its stage, without the settings that are fixed."""

    stage: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        full = handler.resolve_ref_schema(handler(STAGES[self.stage].__pydantic_core_schema__))
        kept = {key: value for key, value in full["properties"].items() if key not in FIXED[self.stage]}
        return {**full, "properties": kept}


def _no_fixed(stage: str) -> BeforeValidator:
    def check(section: Any) -> Any:
        for name in FIXED[stage] if isinstance(section, Mapping) else ():
            if name in section:
                raise problem(
                    f"{stage}.{name} is set by the experiment: by its seeds, rewards and budgets, or by the learner's "
                    "own model, budget and resume",
                    name,
                )
        return {} if section is None else section

    return BeforeValidator(check)


# Sections are checked when they are merged into the learner's preset.
_Section: TypeAlias = Mapping[str, Any]
_Pretrain: TypeAlias = Annotated[_Section, _no_fixed("pretrain"), _SectionSchema("pretrain")]
_Collect: TypeAlias = Annotated[_Section, _no_fixed("collect"), _SectionSchema("collect")]
_SFT: TypeAlias = Annotated[_Section, _no_fixed("sft"), _SectionSchema("sft")]
_GRPO: TypeAlias = Annotated[_Section, _no_fixed("grpo"), _SectionSchema("grpo")]
_SB3: TypeAlias = Annotated[_Section, _no_fixed("sb3"), _SectionSchema("sb3")]


class _Learner(Settings):
    """Common settings of all learners."""

    resume: bool = False
    """Whether an interrupted stage continues from its last checkpoint instead of starting again. That is faster, but
    the results can differ from those of an uninterrupted run."""


class PolicyLearner(_Learner):
    """A policy that is evaluated without training."""

    kind: Literal["policy"]

    policy: Named = Field(min_length=1)
    """A registered name, `module:Class`, or a mapping with options."""


class VLMLearner(_Learner):
    """A vision-language model that is trained in stages: pre-training, SFT (cold start), GRPO."""

    kind: Literal["vlm"]

    stages: ListOf[Literal["pretrain", "sft", "grpo"]] = ("pretrain", "sft", "grpo")
    """Training stages, in this order. Without `pretrain` training starts from `model`."""

    model: FilePath = ""
    """Model to start from: a checkpoint folder, or a name on the Hugging Face hub."""

    preset: str = ""
    """Preset that the sections below override. Required with `model`; otherwise `tiny` by default."""

    budget: BudgetSetting | None = None
    """Budget while training: fields that override those of the task set's budget, or a budget's name. Default: the
    cell's budget."""

    pretrain: _Pretrain = Field(default_factory=dict)
    """Settings of `vzgym train pretrain`."""

    collect: _Collect = Field(default_factory=dict)
    """Settings of `vzgym collect`."""

    sft: _SFT = Field(default_factory=dict)
    """Settings of `vzgym train sft`. With `data`, nothing is collected."""

    grpo: _GRPO = Field(default_factory=dict)
    """Settings of `vzgym train grpo`."""

    @model_validator(mode="after")
    def _check_stages(self) -> Self:
        order = ("pretrain", "sft", "grpo")
        if self.stages != tuple(stage for stage in order if stage in self.stages):
            raise problem(
                f"stages must be some of {', '.join(order)}, in this order, got {list(self.stages)}", "stages"
            )
        if ("pretrain" in self.stages) == bool(self.model):
            raise problem(
                "either stages must begin with 'pretrain', or 'model' must be given, got stages "
                f"{list(self.stages)} and model {self.model!r}",
                "stages",
            )
        # The tiny model's settings, such as a learning rate of 2e-3, would ruin a large model.
        if self.model and not self.preset:
            raise problem(
                f"model is {self.model!r}, so 'preset' must be given: one of {', '.join(preset_names())} "
                "('single-gpu' for a model of 3 to 8 billion weights on one GPU)",
                "model",
            )
        return self


class SB3Learner(_Learner):
    """A learner of Stable-Baselines3."""

    kind: Literal["sb3"]

    budget: BudgetSetting | None = None
    """Budget while training: fields that override those of the task set's budget, or a budget's name. Default: the
    cell's budget."""

    sb3: _SB3 = Field(default_factory=dict)
    """Settings of `vzgym train sb3`."""


LearnerSettings: TypeAlias = PolicyLearner | VLMLearner | SB3Learner
"""Settings of any kind of learner."""


class TasksSettings(Settings):
    """Tasks to train on, and tasks to evaluate on."""

    evaluate: str
    """Held-out tasks to evaluate on: a suite (by default its test split), or a .jsonl file."""

    train: str = ""
    """Tasks to train on. A stage's own `tasks` replaces it."""


class EvaluateSettings(ExtrasSettings):
    """Settings of the evaluation of each cell."""

    episodes: PositiveInt | None = None
    """Number of tasks, from the first. Default: 200, or all tasks if there are fewer."""

    samples: PositiveInt = 1
    """Episodes per task."""

    temperature: NonNegativeFloat = 1.0
    """Sampling temperature of trained models; 0 is greedy, 1 is as in training."""

    batch_size: PositiveInt = 64
    """Batch size: dialogues that a language model answers at once."""

    answerer: Literal["", "reader", "policy"] = ""
    """Answerer from selected clips, to find useful zooms. Default: none."""


def _known_metric(name: str) -> str:
    known = [*(metric.name for metric in METRICS), *map(str, TAXONOMY_CLASSES)]
    if name not in known:
        # Tables show a metric by its title.
        titles = {metric.title: metric.name for metric in METRICS}
        raise ValueError(f"there is no metric {name!r}; {known_names([titles.get(name, name)], known)}")
    return name


class GridSettings(Settings):
    """Names whose combinations are cells. Default for each axis: all names."""

    learners: ListOf[str] = ()
    """Names of learners."""

    rewards: ListOf[str] = ()
    """Names of rewards. A learner that is not trained on rewards gets a single cell."""

    tasks: ListOf[str] = ()
    """Names of tasks."""

    budgets: ListOf[str] = ()
    """Names of budgets."""


class ContrastSettings(Settings):
    """An expected difference between two groups of cells, stated before the experiment runs."""

    of: Mapping[Axis, str] = Field(min_length=1)
    """The cells that are expected to differ: a name on each axis on which cells differ, as in
    `{learner: GRPO, reward: + bonus}`."""

    against: Mapping[Axis, str] = Field(min_length=1)
    """The cells that they are compared with: the names that differ from `of`, such as `{reward: + format}`."""

    expect: Literal["more", "less", "same"]
    """How the metric of `of` is expected to differ from that of `against`."""

    margin: float = Field(gt=0)
    """Smallest difference that matters, in the metric's unit (0.05 for five points of accuracy). If the interval shows
    that the expected difference is smaller, the expectation is not reproduced."""

    metric: Annotated[str, AfterValidator(_known_metric)] = "correct"
    """Metric that is compared (a column of `cells.csv`), or a class of the failure taxonomy, as its share."""

    source: str = ""
    """Where the expectation comes from."""


def _by_name(value: Any, info: ValidationInfo) -> Any:
    """A name, or a list of names, as a mapping of each name to itself."""
    names = [value] if isinstance(value, str) else value
    if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names):
        return {name: name for name in names}
    if not isinstance(value, Mapping):
        raise ValueError(f"{info.field_name} must be a name, a list of names or a mapping by name, got {shown(value)}")
    return value


def _tasks_by_name(value: Any, info: ValidationInfo) -> Any:
    """As `_by_name`. Refuses the keys of one task set in place of names."""
    if (
        isinstance(value, Mapping)
        and value
        and all(key in TasksSettings.model_fields and isinstance(tasks, str) for key, tasks in value.items())
    ):
        given = ", ".join(f"{key}: {tasks}" for key, tasks in value.items())
        raise ValueError(f"tasks are given by name, as in 'tasks: {{NAME: {{{given}}}}}', got the keys of one of them")
    return _by_name(value, info)


def _splits(value: Any) -> Any:
    """The name of a suite as its train and test splits."""
    if not isinstance(value, str):
        return value
    suite, slash, _ = value.partition("/")
    if slash or value.endswith("]") or is_task_file(value):
        return {"evaluate": value}
    return {"evaluate": f"{suite}/test", "train": f"{suite}/train"}


def _seeds(value: Any) -> Any:
    """A number n as the seeds 0 to n - 1."""
    if type(value) is int and value >= 1:
        return tuple(range(value))
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, Mapping)):
        raise ValueError(f"seeds must be a whole number >= 1, or a list of seeds such as [0, 1], got {shown(value)}")
    return value


class ExperimentSettings(Settings):
    """An experiment: learners, rewards, tasks, budgets, seeds and evaluation."""

    name: str = ""
    """Name of the folder of results. Default: the file's name."""

    title: str = ""
    """Title of the results."""

    about: str = ""
    """Question of the experiment, shown below the title."""

    learners: Mapping[str, Annotated[LearnerSettings, Field(discriminator="kind")]] = Field(min_length=1)
    """Learners by name."""

    tasks: Annotated[
        Mapping[str, Annotated[TasksSettings, BeforeValidator(_splits, json_schema_input_type=TasksSettings | str)]],
        BeforeValidator(_tasks_by_name, json_schema_input_type=Mapping[str, TasksSettings | str] | list[str] | str),
    ] = Field(min_length=1)
    """Tasks by name. The name of a suite, or a list of them, stands for their train and test splits."""

    rewards: Annotated[
        Mapping[str, str | Mapping[str, Any]],
        BeforeValidator(_by_name, json_schema_input_type=Mapping[str, str | Mapping[str, Any]] | list[str] | str),
    ] = Field({"videozoomer": "videozoomer"}, min_length=1)
    """Rewards by name: a preset, a module, a YAML file, or terms by name. A list of presets is allowed too."""

    budgets: Mapping[str, BudgetSetting] = Field({"usual": {}}, min_length=1)
    """Budgets by name, as fields that override those of the task set's budget, or a budget's name."""

    seeds: Annotated[ListOf[NonNegativeInt], BeforeValidator(_seeds, json_schema_input_type=list[int] | int)] = Field(
        (0, 1, 2, 3, 4), min_length=1
    )
    """Seeds of training and evaluation. A number n stands for 0 to n - 1."""

    grid: ListOf[GridSettings] = Field((GridSettings(),), min_length=1)
    """Combinations of names; by default, everything with everything."""

    evaluate: EvaluateSettings = EvaluateSettings()
    """Settings of the evaluation of each cell."""

    reference: Mapping[Axis, str] = Field(default_factory=dict)
    """The cells that others are compared with: a name on one or more axes, such as `{reward: accuracy}`."""

    contrasts: Mapping[str, ContrastSettings] = Field(default_factory=dict)
    """Expected differences by name, each with a verdict in the results. State them before the experiment runs."""

    @model_validator(mode="after")
    def _check_names_used(self) -> Self:
        if self.name in (STORE, ".", "..") or set(self.name) & set("/\\"):
            raise problem(f"name must be the name of a folder, other than {STORE!r}, got {self.name!r}", "name")
        if len(set(self.seeds)) < len(self.seeds):
            raise problem(f"seeds must differ, got {list(self.seeds)}", "seeds")
        for index, part in enumerate(self.grid):
            for axis, names in part:
                for place, name in enumerate(names):
                    self._check_known(axis, name, "grid", index, axis, place)
        for axis, name in self.reference.items():
            self._check_known(axis if axis == "tasks" else f"{axis}s", name, "reference", axis)
        for contrast, settings in self.contrasts.items():
            for side in ("of", "against"):
                for axis, name in getattr(settings, side).items():
                    plural = axis if axis == "tasks" else f"{axis}s"
                    self._check_known(plural, name, "contrasts", contrast, side, axis)
        return self

    def _check_known(self, axis: str, name: str, *path: str | int) -> None:
        known = getattr(self, axis)
        if name not in known:
            raise problem(f"{path[0]}: there is no {name!r} in {axis}; {known_names([name], known)}", *path)


@dataclass(frozen=True)
class Learner:
    """A learner with the complete settings of its stages.

    Attributes:
        name: Its name in the experiment.
        settings: As in the file.
        stages: Settings by stage, the preset's and the file's combined.
        own_tasks: Stages that specify their own tasks.
    """

    name: str
    settings: LearnerSettings
    stages: Mapping[str, Any]
    own_tasks: frozenset[str]

    @property
    def rewarded(self) -> bool:
        """Whether the learner is trained on rewards."""
        settings = self.settings
        return settings.kind == "sb3" or (settings.kind == "vlm" and "grpo" in settings.stages)


@dataclass(frozen=True)
class Experiment:
    """A checked experiment file.

    Attributes:
        settings: As in the file.
        learners: By name.
        counts: Number of tasks to evaluate on, by the name of the tasks.
        text: The text of the file.
        document: The data of the file, with lines.
    """

    settings: ExperimentSettings
    learners: Mapping[str, Learner]
    counts: Mapping[str, int]
    text: str
    document: Document

    def sides(self, contrast: ContrastSettings) -> tuple[dict[str, str], dict[str, str]]:
        """The names of both groups of cells of a contrast; the reward of a learner that is trained on none is ""."""
        first = {str(axis): name for axis, name in contrast.of.items()}
        second = first | {str(axis): name for axis, name in contrast.against.items()}
        for names in (first, second):
            if "learner" in names and not self.learners[names["learner"]].rewarded:
                names["reward"] = ""
        return first, second

    def where(self, axis: str, name: str) -> str:
        """`"file:line"` of a name on an axis; "" for the default reward and budget."""
        section = axis if axis == "tasks" else f"{axis}s"
        return self.document.where(section, name) if name and section in self.document.data else ""
