"""Reads experiment files.

Every fault is an `InvalidSetting` that names the line, the fault and the valid values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from vzgym.agents.training.config import STAGES, load_settings
from vzgym.baselines import CONTROLS, Expert
from vzgym.core.documents import Document, read_file
from vzgym.core.errors import InvalidSetting
from vzgym.core.settings import build
from vzgym.evaluation.experiments.settings import Experiment, ExperimentSettings, Learner, LearnerSettings
from vzgym.policies.policy import POLICIES
from vzgym.protocols import PROTOCOLS
from vzgym.rewards.making import make_reward
from vzgym.tasks import load_tasks, resolve_budget

__all__ = ["QUICK", "load_experiment"]

_DEFAULT_PRESET = "tiny"

QUICK: Final[Mapping[str, Mapping[str, int]]] = {
    "pretrain": {"max_steps": 40, "videos": 60},
    "collect": {"episodes": 200},
    "sft": {"max_steps": 10},
    "grpo": {"steps": 2},
    "sb3": {"steps": 1024},
    "evaluate": {"episodes": 16},
}
"""Limits of each stage in a quick run, which shows that an experiment works."""
_QUICK_SEEDS = 2

# Policies that are cheap to create.
_CHEAP = {Expert.name, *(control.name for control in CONTROLS)}


def load_experiment(path: str | Path, *, quick: bool = False) -> Experiment:
    """Read and check an experiment file.

    Args:
        path: The file.
        quick: Whether to cut every stage short (see `QUICK`) and to use the first two seeds only. The name of the
            experiment ends in "-quick". Its results say nothing.

    Raises:
        InvalidSetting: If the file cannot be read, a name is unknown, or a value is invalid; names the line.
    """
    document = read_file(path)
    settings = build(ExperimentSettings, document)
    if not settings.name:
        with document.at("name"):
            settings = settings.replace(name=Path(path).stem)
    for name, reward in settings.rewards.items():
        make_reward(document.part("rewards", document.data.get("rewards", {})).part(name, reward))
    learners = {name: _learner(name, learner, document) for name, learner in settings.learners.items()}
    counts = _count_tasks(settings, document)
    if quick:
        evaluate = _shortened("evaluate", settings.evaluate)
        seeds = settings.seeds[:_QUICK_SEEDS]
        settings = settings.replace(name=f"{settings.name}-quick", seeds=seeds, evaluate=evaluate)
        learners = {name: _quick_learner(learner) for name, learner in learners.items()}
    _check_collected(settings, learners, document)
    return Experiment(settings, learners, counts, Path(path).read_text(encoding="utf-8-sig"), document)


def _learner(name: str, settings: LearnerSettings, document: Document) -> Learner:
    place = ("learners", name)
    if settings.kind == "policy":
        with document.at(*place, "policy"):
            _check_policy(settings.policy)
        return Learner(name, settings, {}, frozenset())
    sections = ("sb3",) if settings.kind == "sb3" else ("pretrain", "collect", "sft", "grpo")
    # A preset for large models has no settings for pre-training, which they do not need.
    presets: Mapping[str, str] = {}
    if settings.kind == "vlm":
        presets = dict.fromkeys(("collect", "sft", "grpo", *settings.stages), settings.preset or _DEFAULT_PRESET)
    given = document.part("learners", document.data["learners"]).part(name, document.data["learners"][name])
    stages: dict[str, Any] = {}
    for stage in sections:
        section = given.part(stage, getattr(settings, stage))
        with document.at(*place):
            stages[stage] = load_settings(STAGES[stage], presets.get(stage), section=section)
        _check_components(stages[stage], section)
    own = frozenset(stage for stage in sections if "tasks" in getattr(settings, stage))
    return Learner(name, settings, stages, own)


def _quick_learner(learner: Learner) -> Learner:
    return replace(learner, stages={kind: _shortened(kind, stage) for kind, stage in learner.stages.items()})


def _shortened(kind: str, stage: Any) -> Any:
    """A stage's settings within the limits of a quick run. A limit of 0 or None stands for none."""
    return stage.replace(**{name: min(getattr(stage, name) or most, most) for name, most in QUICK[kind].items()})


def _check_components(stage: Any, section: Document) -> None:
    """Check that the components named in a learner's section exist, before any stage runs."""
    checks: Mapping[str, Callable[[Any], object]] = {
        "tasks": load_tasks,
        "protocol": PROTOCOLS.make,
        "policy": _check_policy,
        "teacher": _check_policy,
    }
    for name, check in checks.items():
        # Tasks must not be empty; an empty protocol, policy or teacher stands for the default.
        if name in section.data and (getattr(stage, name) or name == "tasks"):
            with section.at(name):
                check(getattr(stage, name))
    for place, part in enumerate(getattr(stage, "mixture", ())):
        with section.at("mixture", place, "tasks"):
            load_tasks(part.tasks)


def _check_policy(policy: str | Mapping[str, Any]) -> None:
    """Check a policy without loading weights or calling a server."""
    POLICIES.check(policy)
    name = policy if isinstance(policy, str) else policy["name"]
    if name in _CHEAP:
        # Creating the policy checks its options.
        POLICIES.make(policy)


def _check_collected(settings: ExperimentSettings, learners: Mapping[str, Learner], document: Document) -> None:
    """Check that each learner has enough tasks for its trajectories."""
    count = cache(lambda tasks: len(load_tasks(tasks)))
    for part in settings.grid:
        for name in part.learners or learners:
            learner = learners[name]
            how = learner.settings
            if how.kind != "vlm" or "sft" not in how.stages or learner.stages["sft"].data:
                continue
            collect = learner.stages["collect"]
            key = next((key for key in ("episodes", "start") if key in how.collect), "")
            for held_out in part.tasks or settings.tasks:
                tasks = collect.tasks if "collect" in learner.own_tasks else settings.tasks[held_out].train
                last = collect.start + collect.episodes
                # Tasks without a training set are refused when the stages are created.
                if tasks and last > count(tasks):
                    raise InvalidSetting(
                        f"{document.prefix('learners', name, 'collect', key)}learner {name!r} collects from {tasks!r}, "
                        f"which has {count(tasks)} tasks, fewer than collect.start + collect.episodes = {last}"
                    )


def _count_tasks(settings: ExperimentSettings, document: Document) -> dict[str, int]:
    """Check that tasks can be loaded, are sufficient, and fit every budget. Returns how many there are by name."""
    counts = {}
    for name, chosen in settings.tasks.items():
        with document.at("tasks", name):
            tasks = load_tasks(chosen.evaluate, "test")
            counts[name] = len(tasks)
            wanted = settings.evaluate.episodes
            if wanted is not None and wanted > len(tasks):
                raise InvalidSetting(f"{tasks.name!r} has {len(tasks)} tasks, fewer than evaluate.episodes = {wanted}")
            if chosen.train:
                load_tasks(chosen.train)
        for budget, changes in settings.budgets.items():
            with document.at("budgets", budget):
                resolve_budget(changes, tasks)
    return counts
