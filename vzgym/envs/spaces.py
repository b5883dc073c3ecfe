"""A space of Unicode text that works in vector environments.

gymnasium's own `Text` has a fixed character set (none of its defaults has both a space and "é"), and in an
`AsyncVectorEnv` with shared memory it returns the first string for ever (Gymnasium issue 1164).
"""

from __future__ import annotations

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
from numpy.typing import NDArray

from vzgym.core.errors import InvalidSetting

__all__ = ["UnicodeText"]

# Sampled from: printable ASCII and some letters beyond it, so that a test which samples meets both.
_ALPHABET = [chr(code) for code in range(32, 127)] + list("äéèêëïñöøßüçåłžабвгд日本語中文数字")
# Marks unused places of a flattened text; no character has this code.
_PAD = -1


class UnicodeText(Space[str]):
    """All strings of at most `max_length` characters, of any script.

    Args:
        max_length: Most characters (code points), >= 1.
        seed: For `sample`.

    Raises:
        InvalidSetting: If `max_length` is no positive integer.
    """

    def __init__(self, max_length: int, seed: int | np.random.Generator | None = None) -> None:
        if not isinstance(max_length, int) or isinstance(max_length, bool) or max_length < 1:
            raise InvalidSetting(f"UnicodeText.max_length must be an integer >= 1, got {max_length!r}")
        self.max_length = max_length
        # What it flattens to: `OneOf` and `FlattenObservation` go by a space's dtype.
        super().__init__(shape=None, dtype=np.int32, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """True: flattens to the characters' code points."""
        return True

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> str:
        """A random string of 0 to 32 characters (fewer if `max_length` is smaller).

        Raises:
            InvalidSetting: If a mask or probabilities are given: text has none.
        """
        if mask is not None or probability is not None:
            raise InvalidSetting("UnicodeText.sample takes neither mask nor probability")
        count = int(self.np_random.integers(0, min(self.max_length, 32) + 1))
        return "".join(self.np_random.choice(_ALPHABET, size=count)) if count else ""

    def contains(self, x: Any) -> bool:
        """Whether `x` is a string that is short enough."""
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
    """The texts of all workers, read from shared memory whenever they are looked at.

    `AsyncVectorEnv` reads shared memory once, when it is made, and afterwards copies what it got: right for arrays,
    which are views of that memory. This is a view too, and its copy is a plain tuple of what stands there now. With
    `copy=False` users get the view itself: like the arrays beside it, it changes with the next step.
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

    __hash__ = None  # type: ignore[assignment]  # what changes cannot be a key

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
