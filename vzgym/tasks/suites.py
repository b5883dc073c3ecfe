"""Suites: named mixtures of family configurations, in splits of fixed size.

A task's seed is made of the suite's name, the split and the index, by an injection: no two tasks share a seed, and
no number of draws links train and test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.core.registry import Registry
from vzgym.tasks.families.base import Family, make_family
from vzgym.tasks.task import VideoTask

__all__ = ["SPLITS", "SUITES", "ProceduralTasks", "Suite", "register_suite", "task_seed"]

SPLITS: dict[str, int] = {"train": 100_000, "validation": 1_000, "test": 1_000}
"""Splits of every suite and their default sizes."""

_INDEX_BITS, _SPLIT_BITS, _NAME_BITS = 20, 2, 30
_POSITIONS = 1  # sets the stream of answer positions apart from those of tasks


def _digest(name: str) -> int:
    """30 bits that stand for a suite's name (BLAKE2b: Python's own hash differs from process to process)."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "big") >> (32 - _NAME_BITS)


def task_seed(suite: str, split: str, index: int) -> int:
    """The seed of a task: name (30 bits), split (2) and index (20) side by side, below 2^52 and so exact in JSON."""
    number = list(SPLITS).index(split)
    return (_digest(suite) << _SPLIT_BITS | number) << _INDEX_BITS | index


@dataclass(frozen=True)
class Suite:
    """A mixture of family configurations under one name. Called with a split, it gives that split's tasks.

    Args:
        name: Without "/" and ":".
        members: Specs of families, `{"name": "needle", **settings}`; task i is of member `i % len(members)`.
        description: One sentence for lists.
        sizes: Tasks of each split, each at most 2^20.

    Raises:
        InvalidSetting: If the name, the sizes or the members cannot work.
    """

    name: str
    members: tuple[Mapping[str, Any], ...]
    description: str = ""
    sizes: Mapping[str, int] = field(default_factory=lambda: dict(SPLITS))

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name or ":" in self.name:
            raise InvalidSetting(f"a suite's name must be non-empty and hold no '/' and no ':', got {self.name!r}")
        if not self.members:
            raise InvalidSetting(f"suite {self.name!r} has no members")
        if set(self.sizes) != set(SPLITS) or not all(0 < n <= 1 << _INDEX_BITS for n in self.sizes.values()):
            raise InvalidSetting(
                f"suite {self.name!r}: sizes must give 1 to {1 << _INDEX_BITS} for each of {', '.join(SPLITS)}, "
                f"got {dict(self.sizes)}"
            )

    @cached_property
    def families(self) -> tuple[Family, ...]:
        """The members, built."""
        return tuple(make_family(dict(member)) for member in self.members)

    @property
    def budget(self) -> Budget:
        """What the suite is built for.

        Raises:
            InvalidSetting: If its members are built for different budgets.
        """
        budgets = {family.settings.budget for family in self.families}
        if len(budgets) > 1:
            raise InvalidSetting(f"suite {self.name!r} mixes members built for different budgets")
        return next(iter(budgets))

    def __call__(self, split: str = "train") -> ProceduralTasks:
        """The tasks of a split.

        Raises:
            UnknownName: If there is no such split.
        """
        if split not in SPLITS:
            raise UnknownName("split", split, SPLITS)
        return ProceduralTasks(self, split)


class ProceduralTasks:
    """One split of a suite (a `TaskSet`). Tasks are built when asked for.

    Attributes:
        suite: The suite.
        split: The split's name.
        name: `suite/split`.
        budget: What the tasks are built for.
    """

    def __init__(self, suite: Suite, split: str) -> None:
        self.suite = suite
        self.split = split
        self.name = f"{suite.name}/{split}"
        self.budget = suite.budget

    def __len__(self) -> int:
        return self.suite.sizes[self.split]

    def __getitem__(self, index: int) -> VideoTask:
        index = self._check(index)
        return self.family(index).build(f"{self.name}/{index}", self.seed(index), self.position(index))

    def __iter__(self) -> Iterator[VideoTask]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"<{len(self)} tasks of {self.name}>"

    def family(self, index: int) -> Family:
        """The family of task `index`."""
        families = self.suite.families
        return families[self._check(index) % len(families)]

    def seed(self, index: int) -> int:
        """The seed of task `index`."""
        return task_seed(self.suite.name, self.split, self._check(index))

    def position(self, index: int) -> int:
        """Place of the right option in task `index`.

        Among the tasks of one family each block of K in a row has every place once, in an order drawn for it.
        """
        index = self._check(index)
        members = len(self.suite.families)
        member, turn = index % members, index // members
        places = self.family(index).num_options
        block, place = divmod(turn, places)
        entropy = (_POSITIONS, task_seed(self.suite.name, self.split, 0), member, block)
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
        return int(rng.permutation(places)[place])

    def variants(self, index: int) -> list[VideoTask]:
        """Task `index` with each of its K answers in turn; see `Family.variants`."""
        index = self._check(index)
        return self.family(index).variants(f"{self.name}/{index}", self.seed(index))

    def _check(self, index: int) -> int:
        size = len(self)
        if not -size <= index < size:
            raise IndexError(f"{self.name} has {size} tasks, so no task {index}")
        return index % size


SUITES: Registry[ProceduralTasks] = Registry("task suite", "vzgym.tasks")
"""Suites by name: factories that take a split and give its tasks."""


def register_suite(suite: Suite) -> Suite:
    """Make a suite known by its name.

    Raises:
        InvalidSetting: If the name is taken, or its seeds would be those of another suite.
    """
    for name in SUITES.names():
        if name != suite.name and _digest(name) == _digest(suite.name):
            raise InvalidSetting(f"suite {suite.name!r} would share its seeds with {name!r}: choose another name")
    SUITES.register(suite.name, suite)
    return suite


TINY_BUDGET = Budget(
    overview_fps=0.25,
    overview_frames=16,
    clip_frames=8,
    max_zooms=3,
    min_fps=0.1,
    max_fps=10.0,
    max_pixels=4096,
    min_pixels=1024,
)
"""For CPUs: 16 overview frames, three zooms of 8, of at most 64x64 pixels."""

_TINY: dict[str, Any] = {
    "budget": TINY_BUDGET,
    "duration": 64.0,
    "fps": 10.0,
    "height": 64,
    "width": 64,
    "scenes": 8,
    "even_scenes": True,
    "wordings": 1,
}
_MEMBERS: dict[str, dict[str, Any]] = {
    "needle": {"name": "needle"},
    "count": {"name": "count"},
    "control": {"name": "control"},
}
_TINY_MEMBERS: dict[str, dict[str, Any]] = {
    "needle": {"name": "needle", "event_seconds": 0.5, "flash_size": 0.86, **_TINY},
    "count": {"name": "count", "event_seconds": 1.4, "counts": (1, 2, 3, 4), "lamp_size": 0.7, **_TINY},
    "control": {"name": "control", "balloon_size": 0.5, **_TINY},
}
# Files of it are written in seconds; the flash is so short that uniform frames of the same number miss some.
_SHORT: dict[str, Any] = {"duration": 60.0, "scenes": 5}
_SHORT_MEMBERS: dict[str, dict[str, Any]] = {
    "needle": {"name": "needle", "event_seconds": 0.32, **_SHORT},
    "count": {"name": "count", **_SHORT},
    "control": {"name": "control", **_SHORT},
}
_ABOUT = {
    "needle": "one short flash in each scene; what colour?",
    "count": "a lamp blinks in a short burst in each scene; how often?",
    "control": "a balloon that the overview shows; what colour?",
}

for _name, _about in _ABOUT.items():
    register_suite(Suite(_name, (_MEMBERS[_name],), f"189 s, 256x144, 7 scenes: {_about}"))
    register_suite(Suite(f"{_name}-tiny", (_TINY_MEMBERS[_name],), f"64 s, 64x64, 8 scenes: {_about}"))
register_suite(Suite("standard", tuple(_MEMBERS.values()), "189 s, 256x144: needle, count and control in turn"))
register_suite(Suite("tiny", tuple(_TINY_MEMBERS.values()), "64 s, 64x64: needle, count and control in turn"))
register_suite(Suite("short", tuple(_SHORT_MEMBERS.values()), "60 s, 256x144: the same, for writing files"))

MICRO_BUDGET = Budget(
    overview_fps=1 / 12,
    overview_frames=8,
    clip_frames=6,
    max_zooms=2,
    min_fps=0.1,
    max_fps=10.0,
    max_pixels=1024,
    min_pixels=1024,
)
"""For models that learn in minutes: 8 overview frames, two zooms of 6, of 32x32 pixels. A zoom covers half a scene."""

_MICRO: dict[str, Any] = {
    "budget": MICRO_BUDGET,
    "duration": 96.0,
    "fps": 10.0,
    "height": 32,
    "width": 32,
    "scenes": 8,
    "even_scenes": True,
    "wordings": 1,
    "colors": 6,
}
_MICRO_MEMBERS: dict[str, dict[str, Any]] = {
    "needle": {"name": "needle", "event_seconds": 1.0, "flash_size": 0.9, **_MICRO},
    "control": {"name": "control", "balloon_size": 0.6, **_MICRO},
}
for _name, _member in _MICRO_MEMBERS.items():
    register_suite(Suite(f"{_name}-micro", (_member,), f"96 s, 32x32, 8 scenes of 12 s: {_ABOUT[_name]}"))
