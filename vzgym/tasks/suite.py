"""Suites: named mixtures of family configurations, in splits of fixed size.

The seed of a task encodes the name of the suite, the split and the index without collisions: no two tasks share a
seed, and train and test tasks are independent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.core.registry import Registry
from vzgym.tasks.task import VideoTask
from vzgym.tasks.task_slice import TaskSlice

if TYPE_CHECKING:
    from vzgym.tasks.procedural.family import Family

__all__ = ["SPLITS", "SUITES", "ProceduralTasks", "Suite", "register_suite", "task_seed"]

SPLITS: dict[str, int] = {"train": 100_000, "validation": 1_000, "test": 1_000}
"""Splits of every suite and their default sizes."""

_STEPS = 11
_INDEX_BITS, _SPLIT_BITS, _NAME_BITS = 20, 2, 30
_POSITIONS = 1  # separates the random numbers of answer positions from those of tasks


def _digest(name: str) -> int:
    """A hash of 30 bits of a suite's name (BLAKE2b: Python's own hash differs from process to process)."""
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
        difficulty: Sets the difficulty of every member that does not set its own (`SceneSettings.difficulty`). Two
            numbers are a curriculum: it rises with the index, from the first to the second, in 11 steps.
        also: Related suites that are not members, because of their budget or because another member would change
            every task: `vzgym tasks verify` verifies them too.

    Raises:
        InvalidSetting: If the name, the sizes or the members cannot work.
    """

    name: str
    members: tuple[Mapping[str, Any], ...]
    description: str = ""
    sizes: Mapping[str, int] = field(default_factory=lambda: dict(SPLITS))
    difficulty: float | tuple[float, float] | None = None
    also: tuple[str, ...] = ()

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

        if not all(value is None or 0 <= value <= 1 for value in self.difficulties):
            raise InvalidSetting(f"suite {self.name!r}: difficulty must lie in [0, 1], got {self.difficulty!r}")

    @property
    def difficulties(self) -> tuple[float | None, ...]:
        """The difficulty of each step of the curriculum; one step where there is none."""
        if not isinstance(self.difficulty, tuple):
            return (self.difficulty,)
        first, last = self.difficulty
        return tuple(round(first + (last - first) * step / (_STEPS - 1), 6) for step in range(_STEPS))

    @cached_property
    def _steps(self) -> tuple[tuple[Family[Any], ...], ...]:
        """The members, built, for each step of the curriculum."""
        from vzgym.tasks.procedural.family import make_family  # brings the drawing code, which a list of suites spares

        return tuple(
            tuple(
                make_family(dict(member) if value is None else {"difficulty": value, **member})
                for member in self.members
            )
            for value in self.difficulties
        )

    @property
    def families(self) -> tuple[Family[Any], ...]:
        """The members, built; of a curriculum those of its first step."""
        return self._steps[0]

    def step_of(self, index: int, size: int) -> int:
        """Which step of the curriculum task `index` of `size` belongs to."""
        return index * len(self.difficulties) // size

    def family(self, index: int, size: int) -> Family[Any]:
        """The member that builds task `index` of `size`."""
        return self._steps[self.step_of(index, size)][index % len(self.members)]

    @property
    def budget(self) -> Budget:
        """What the suite is built for.

        Raises:
            InvalidSetting: If its members are built for different budgets.
        """
        budgets: set[Budget] = {family.settings.budget for families in self._steps for family in families}
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

    def family(self, index: int) -> Family[Any]:
        """The family of task `index`."""
        return self.suite.family(self._check(index), len(self))

    def seed(self, index: int) -> int:
        """The seed of task `index`."""
        return task_seed(self.suite.name, self.split, self._check(index))

    def position(self, index: int) -> int:
        """Place of the right option in task `index`: uniform, and independent of every other task.

        So neither a constant guess nor one from the answers of earlier tasks is right more often than by chance.
        """
        index = self._check(index)
        entropy = (_POSITIONS, self.seed(index))
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
        return int(rng.integers(self.family(index).num_options))

    def representatives(self, indices: range) -> list[int]:
        """See `TaskSet.representatives`: the first task of each member at each difficulty.

        The videos of a member have one length and one size, whatever the seed, and can always be drawn.
        """
        found: list[int] = []
        for step in range(len(self.suite.difficulties)):
            whole = self._of_step(step)
            # The members are in turn, so that every n-th task has at most as many members as there are.
            found += islice((index for index in indices if index in whole), len(self.suite.members))
        return found

    def variants(self, index: int) -> list[VideoTask]:
        """Task `index` with each of its K answers; see `Family.variants`."""
        index = self._check(index)
        return self.family(index).variants(f"{self.name}/{index}", self.seed(index))

    def at(self, progress: float) -> TaskSlice:
        """The part of a curriculum that belongs to a learner's progress; all tasks where there is no curriculum.

        Every task is in one part, and keeps its id.

        Args:
            progress: From 0 (the first step) to 1 (the last).

        Raises:
            InvalidSetting: If `progress` is out of range.
        """
        if not 0 <= progress <= 1:
            raise InvalidSetting(f"progress must be in [0, 1], got {progress}")
        steps = len(self.suite.difficulties)
        return TaskSlice(self, self._of_step(min(int(progress * steps), steps - 1)))

    def _of_step(self, step: int) -> range:
        """The indices of a curriculum's step: the inverse of `Suite.step_of`."""
        steps = len(self.suite.difficulties)
        return range(*(-(-place * len(self) // steps) for place in (step, step + 1)))

    def _check(self, index: int) -> int:
        size = len(self)
        if not -size <= index < size:
            raise IndexError(f"{self.name} has {size} tasks, so no task {index}")
        return index % size


SUITES: Registry[ProceduralTasks] = Registry("task suite", "vzgym.tasks", "vzgym.tasks.procedural.shipped")
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
