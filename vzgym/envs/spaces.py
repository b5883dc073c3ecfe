"""Spaces of the environment: Unicode text that works in vector environments, and boxes of real numbers.

gymnasium's own `Text` has a fixed character set (none of its defaults has both a space and "é"), and in an
`AsyncVectorEnv` with shared memory it always returns the first string (Gymnasium issue 1164). `UnicodeText` is
registered with every function that gymnasium's wrappers and vector environments dispatch on the type of space.
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Tuple
from gymnasium.spaces.utils import flatdim, flatten, flatten_space, is_space_dtype_shape_equiv, unflatten
from gymnasium.vector.utils import (
    batch_differing_spaces,
    create_empty_array,
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)
from gymnasium.wrappers.utils import create_zero_array
from numpy.typing import NDArray

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting

__all__ = ["MAX_SECONDS", "RealBox", "UnicodeText", "ZoomBox"]

MAX_SECONDS = 1e6
"""Upper bound of times in a space, in seconds (eleven days): a space must be finite to be checked and sampled."""

# Characters to sample: printable ASCII and some letters beyond it, so that tests that sample cover both.
_ALPHABET = [chr(code) for code in range(32, 127)] + list("äéèêëïñöøßüçåłžабвгд日本語中文数字")
# Marks unused places of a flattened text; no character has this code.
_PAD = -1


class UnicodeText(Space[str]):
    """All strings of at most `max_length` characters, of any script.

    Args:
        max_length: Most characters (code points), >= 1.
        seed: Seed of `sample`.

    Raises:
        InvalidSetting: If `max_length` is not a positive integer.
    """

    def __init__(self, max_length: int, seed: int | np.random.Generator | None = None) -> None:
        if not isinstance(max_length, int) or isinstance(max_length, bool) or max_length < 1:
            raise InvalidSetting(f"UnicodeText.max_length must be an integer >= 1, got {max_length!r}")
        self.max_length = max_length
        # The dtype when flattened: `OneOf` and `FlattenObservation` use a space's dtype.
        super().__init__(shape=None, dtype=np.int32, seed=seed)

    @property
    def shape(self) -> tuple[int, ...]:
        """Text has no shape.

        Raises:
            InvalidSetting: Always; the message names the alternatives. gymnasium asks only array spaces for a shape, so
                the caller is an array-only learner such as Stable-Baselines3.
        """
        raise InvalidSetting(
            "this learner takes arrays only, but the space holds text: make the array environment, "
            "gym.make('VideoZoomTinyArrays-v0'), or choose the modules, "
            "gym.make('VideoZoom-v0', observation='flat', action='discrete')"
        )

    @property
    def is_np_flattenable(self) -> bool:
        """True: a text flattens to its characters' code points."""
        return True

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> str:
        """A random string of 0 to 32 characters (fewer if `max_length` is smaller).

        Raises:
            InvalidSetting: If a mask or probabilities are given; text supports neither.
        """
        if mask is not None or probability is not None:
            raise InvalidSetting("UnicodeText.sample supports neither mask nor probability")
        count = int(self.np_random.integers(0, min(self.max_length, 32) + 1))
        return "".join(self.np_random.choice(_ALPHABET, size=count)) if count else ""

    def contains(self, x: Any) -> bool:
        """Whether `x` is a string of at most `max_length` characters."""
        return isinstance(x, str) and len(x) <= self.max_length

    def to_jsonable(self, sample_n: Iterable[str]) -> list[Any]:
        """Strings are JSON already."""
        return list(sample_n)

    def from_jsonable(self, sample_n: list[Any]) -> list[str]:
        """Strings are JSON already."""
        return list(sample_n)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnicodeText) and other.max_length == self.max_length

    def __hash__(self) -> int:
        return hash((UnicodeText, self.max_length))

    def __repr__(self) -> str:
        return f"UnicodeText({self.max_length})"


def _encode(text: str) -> NDArray[np.int32]:
    """Code points of a string, int32, shape `(len(text),)`."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<i4")


def _decode(codes: NDArray[np.int32]) -> str:
    return codes.astype("<i4").tobytes().decode("utf-32-le", "surrogatepass")


class _LiveTexts(Sequence[str]):
    """The texts of all workers, read from shared memory on each access.

    `AsyncVectorEnv` reads shared memory once, when it is created, and afterwards copies the result: correct for arrays,
    which are views of that memory. This is a view too; its copy is a tuple of the current strings. With `copy=False`
    users get the view itself: like the arrays, it changes with the next step.
    """

    def __init__(self, codes: NDArray[np.int32]) -> None:
        self._codes = codes  # shape (n, 1 + max_length): the length, then the characters

    def __len__(self) -> int:
        return len(self._codes)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(self)[index]
        row = self._codes[index]
        return _decode(row[1 : 1 + row[0]])

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return tuple(self) == (tuple(other) if isinstance(other, _LiveTexts) else other)

    __hash__ = None  # type: ignore[assignment]  # mutable, so not hashable

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[str, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        return repr(tuple(self))


@create_shared_memory.register(UnicodeText)
def _create_shared_memory(space: UnicodeText, n: int = 1, ctx: Any = multiprocessing) -> Any:
    return ctx.Array(np.dtype(np.int32).char, n * (space.max_length + 1))


@read_from_shared_memory.register(UnicodeText)
def _read_from_shared_memory(space: UnicodeText, shared_memory: Any, n: int = 1) -> _LiveTexts:
    codes = np.frombuffer(shared_memory.get_obj(), dtype=np.int32)
    return _LiveTexts(codes.reshape(n, space.max_length + 1))


@write_to_shared_memory.register(UnicodeText)
def _write_to_shared_memory(space: UnicodeText, index: int, value: str, shared_memory: Any) -> None:
    codes = np.frombuffer(shared_memory.get_obj(), dtype=np.int32)
    row = codes.reshape(-1, space.max_length + 1)[index]
    row[1 : 1 + len(value)] = _encode(value)
    row[0] = len(value)


@create_empty_array.register(UnicodeText)
def _create_empty_array(space: UnicodeText, n: int = 1, fn: Callable[..., Any] = np.zeros) -> tuple[str, ...]:
    return ("",) * n


@create_zero_array.register(UnicodeText)
def _create_zero_array(space: UnicodeText) -> str:  # type: ignore[misc]
    return ""


@batch_differing_spaces.register(UnicodeText)
def _batch_differing_spaces(spaces: Sequence[UnicodeText]) -> Tuple[Any]:  # type: ignore[misc]
    return Tuple([UnicodeText(space.max_length) for space in spaces])


@flatdim.register(UnicodeText)
def _flatdim(space: UnicodeText) -> int:
    return space.max_length


@flatten_space.register(UnicodeText)
def _flatten_space(space: UnicodeText) -> Box:
    return Box(low=_PAD, high=0x10FFFF, shape=(space.max_length,), dtype=np.int32)


@flatten.register(UnicodeText)
def _flatten(space: UnicodeText, x: str) -> NDArray[np.int32]:  # type: ignore[misc]
    codes = np.full(space.max_length, _PAD, dtype=np.int32)
    codes[: len(x)] = _encode(x)
    return codes


@unflatten.register(UnicodeText)
def _unflatten(space: UnicodeText, x: NDArray[np.int32]) -> str:  # type: ignore[misc]
    return _decode(x[x != _PAD])


@is_space_dtype_shape_equiv.register(UnicodeText)
def _is_equivalent(space_1: UnicodeText, space_2: Space[Any]) -> bool:
    return space_1 == space_2


class RealBox(Box):
    """A `Box` that also contains lists and tuples of real numbers.

    `Box` converts any list, so it would contain texts such as `["0.5"]`.
    """

    def contains(self, x: Any) -> bool:
        """Whether `x` is an array, a list or a tuple of numbers within the bounds."""
        numbers = real_numbers(x, self.shape)
        return numbers is not None and bool(np.all(numbers >= self.low) and np.all(numbers <= self.high))


def real_numbers(value: Any, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    """Real numbers as an array; None if `value` is anything else.

    Args:
        value: An array of numbers, or a list or tuple of them (one dimension).
        shape: The shape that the array must have.
    """
    if isinstance(value, (list, tuple)):
        # Not np.asarray directly: it reads texts as numbers and fails for ragged lists and huge integers.
        if len(shape) != 1 or len(value) != shape[0] or not all(map(_is_real, value)):
            return None
        value = np.array([float(number) for number in value])
    if not isinstance(value, np.ndarray) or value.shape != shape or value.dtype.kind not in "biuf":
        return None
    return value.astype(np.float64)


def _is_real(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.shape == () and value.dtype.kind in "biuf"
    if isinstance(value, int):
        return abs(value) < 1 << 1023  # the range of a float
    return isinstance(value, (float, np.integer, np.floating))


class ZoomBox(RealBox):
    """Start, end (seconds) and frame rate of a zoom, float64, shape `(3,)`.

    The bounds are the same for every video. Samples are mostly valid zooms: a number of frames that fits into a clip,
    at a frame rate within the budget, inside a video of `duration` seconds.

    Args:
        budget: Its frame rates are the bounds of the third number.
        seed: Seed of `sample`.

    Attributes:
        duration: Length in seconds of the video that `sample` draws zooms for. `VideoZoomEnv` sets it to that of the
            episode's video. It affects `sample` only, not the bounds, `contains` or equality.
    """

    def __init__(self, budget: Budget, seed: int | np.random.Generator | None = None) -> None:
        self.duration = 60.0
        self._rates = (budget.min_fps, budget.max_fps)
        self._frames = budget.clip_frames
        low = np.array([0.0, 0.0, budget.min_fps])
        super().__init__(low, np.array([MAX_SECONDS, MAX_SECONDS, budget.max_fps]), dtype=np.float64, seed=seed)

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> NDArray[Any]:
        """Draw a zoom: number of frames (1 to `clip_frames`) and place uniform, frame rate log-uniform.

        Raises:
            InvalidSetting: If a mask or probabilities are given; this space supports neither.
        """
        if mask is not None or probability is not None:
            raise InvalidSetting("ZoomBox.sample supports neither mask nor probability")
        slowest, fastest = self._rates
        fps = math.exp(self.np_random.uniform(math.log(slowest), math.log(fastest)))
        fps = min(max(fps, slowest), fastest)
        length = min(int(self.np_random.integers(1, self._frames + 1)) / fps, self.duration)
        start = self.np_random.uniform(0.0, self.duration - length)
        return np.array([start, min(start + length, self.duration), fps])
