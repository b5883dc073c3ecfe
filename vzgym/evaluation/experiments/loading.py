"""Reading an experiment file.

Every mistake is an `InvalidSetting` that names the line, what is wrong there, and what would be right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from vzgym.agents import GRPOSettings, PretrainSettings, SFTSettings
from vzgym.agents.data.settings import CollectSettings
from vzgym.agents.sb3 import SB3Settings
from vzgym.agents.tiny_size import TinySize
from vzgym.agents.training.config import load_settings
from vzgym.agents.training.typed_yaml import Item, build, read_file
from vzgym.baselines import CONTROLS, Expert
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, VzgymError
from vzgym.evaluation.experiments.settings import (
    AXES,
    SECTIONS,
    Experiment,
    ExperimentSettings,
    Learner,
    LearnerSettings,
)
from vzgym.policies.policy import POLICIES
from vzgym.protocols import PROTOCOLS
from vzgym.rewards.making import make_reward
from vzgym.tasks import load_tasks, resolve_budget

__all__ = ["load_experiment"]

_CLASSES: Mapping[str, type[Any]] = {
    "pretrain": PretrainSettings,
    "collect": CollectSettings,
    "sft": SFTSettings,
    "grpo": GRPOSettings,
    "sb3": SB3Settings,
}
# Of a learner whose model is the tiny one; any other must say its preset.
_USUAL_PRESET = "tiny"

# Policies that are made in no time.
_CHEAP = {Expert.name, *(control.name for control in CONTROLS)}

# What the experiment itself decides of each stage.
_DECIDED = {
    "pretrain": ("out", "seed"),
    "collect": ("budget",),
    "sft": ("out", "seed", "model", "resume"),
    "grpo": ("out", "seed", "model", "resume", "budget", "reward"),
    "sb3": ("out", "seed", "reward"),
}


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
    _check_collected(settings, learners, items)
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
    if seeds is not None and type(seeds.value) is int:
        if seeds.value < 1:
            raise InvalidSetting(
                f"{seeds.where}: seeds must be at least 1, or a list of seeds such as [0, 1], got {seeds.value}"
            )
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
    if settings.kind == "policy":
        with _at(given["policy"]):
            _check_policy(settings.policy)
    with _at(given.get("budget", item)):
        Budget.from_mapping(settings.budget or {})
    stages: dict[str, Any] = {}
    wanted = {"policy": (), "vlm": SECTIONS[:4], "sb3": ("sb3",)}[settings.kind]
    # A preset for large models has nothing to say of a pre-training, which they never go through.
    based = {"collect", "sft", "grpo", *settings.stages} if settings.kind == "vlm" else set()
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
            preset = (settings.preset or _USUAL_PRESET) if stage in based else None
            stages[stage] = load_settings(_CLASSES[stage], preset, section=section)
        _check_stage(stages[stage], section)
    return Learner(name, settings, stages, frozenset(own))


def _check_stage(stage: Any, section: Mapping[str, Item]) -> None:
    """Check that what a learner's section names is there: else it came to light hours later, when the stage is run."""
    checks: Mapping[str, Callable[[Any], object]] = {
        "tasks": load_tasks,
        "protocol": PROTOCOLS.make,
        "policy": _check_policy,
        "teacher": _check_policy,
        "size": TinySize.from_mapping,
    }
    for name, check in checks.items():
        if name in section:
            value = getattr(stage, name)
            with _at(section[name]):
                # No tasks are a mistake; no protocol, policy or teacher mean the usual one.
                if value or name == "tasks":
                    check(value)


def _check_policy(policy: str | Mapping[str, Any]) -> None:
    """Check a policy as far as that is cheap: one that may load weights or ask a server is not made."""
    POLICIES.check(policy)
    name = policy if isinstance(policy, str) else policy["name"]
    if name in _CHEAP:
        # Only now are the values of its options looked at.
        POLICIES.make(policy)


def _check_collected(settings: ExperimentSettings, learners: Mapping[str, Learner], items: Mapping[str, Item]) -> None:
    """Check that there are as many tasks as each cold start collects from."""
    count = cache(lambda tasks: len(load_tasks(tasks)))
    for part in settings.grid:
        for name in part.learners or learners:
            learner = learners[name]
            if "collect" not in learner.stages or "sft" not in learner.settings.stages or learner.stages["sft"].data:
                continue
            item, collect = _named(items, "learners")[name], learner.stages["collect"]
            section = _dict(_dict(item).get("collect", item))
            place = section.get("episodes", section.get("start", item)).where
            for play in part.tasks or settings.tasks:
                tasks = collect.tasks if "collect" in learner.own_tasks else settings.tasks[play].learn
                last = collect.start + collect.episodes
                # What there is nothing to learn from is the plan's to tell.
                if tasks and last > count(tasks):
                    raise InvalidSetting(
                        f"{place}: learner {name!r} collects from {tasks!r}, which has {count(tasks)} tasks, fewer "
                        f"than collect.start + collect.episodes = {last}"
                    )


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
                resolve_budget(changes, tasks)


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
