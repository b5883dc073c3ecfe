"""Requirements on how evidence must be seen: event placement, frame rate, and region."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vzgym.core.actions import Region
from vzgym.core.errors import InvalidSetting
from vzgym.core.interval import Interval
from vzgym.core.text import known_names
from vzgym.video.base import FRAME_SLACK

__all__ = ["EvidenceRequirements", "Placement"]

# Four days at 25 frames per second: a file must not make a hit rate take all memory.
_MOST_FRAMES = 10_000_000


@dataclass(frozen=True, slots=True)
class Placement:
    """The distribution of an event's start, and which of its frames must be seen.

    Args:
        starts: Half-open ranges of frames. The event starts at any frame of them, all equally likely.
        needs: Half-open ranges of frames, counted from the event's start. Of each, at least one frame must be seen.
        fps: Frames per second of the video.
        also: Further events that must be seen too, each placed independently of the others.
    """

    starts: tuple[tuple[int, int], ...]
    needs: tuple[tuple[int, int], ...]
    fps: float
    also: tuple[Placement, ...] = ()

    @property
    def events(self) -> tuple[Placement, ...]:
        """The placement of each event, in the order of the evidence."""
        return (replace(self, also=()), *self.also)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        own = {"starts": [list(r) for r in self.starts], "needs": [list(r) for r in self.needs], "fps": self.fps}
        return {**own, "also": [event.to_dict() for event in self.also]} if self.also else own

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Placement:
        """Back from `to_dict`.

        Raises:
            InvalidSetting: If a key is missing or unknown, or a value is of the wrong form.
        """
        values = _mapping("placement", values)
        _known("placement", values, [field.name for field in fields(cls)])
        missing = [key for key in ("starts", "needs", "fps") if key not in values]
        if missing:
            raise InvalidSetting(f"a placement needs {', '.join(map(repr, missing))}")
        fps = _positive("placement.fps", values["fps"])
        starts, needs = (_frame_ranges(f"placement.{key}", values[key]) for key in ("starts", "needs"))
        return cls(starts, needs, fps, tuple(map(cls.from_dict, _list("placement.also", values.get("also", ())))))

    @property
    def seconds(self) -> float:
        """How many seconds of starts there are: what must be searched."""
        return sum(high - low for event in self.events for low, high in event.starts) / self.fps

    def at(self, starts: Sequence[int]) -> Placement:
        """The same where it is known at which frame each event starts."""
        one, *others = (
            replace(event, starts=((start, start + 1),)) for event, start in zip(self.events, starts, strict=True)
        )
        return replace(one, also=tuple(others))

    def hit_rate(self, times: ArrayLike) -> float:
        """The share of starts for which frames at `times` (seconds) show all that is needed, exact."""
        return math.prod(event._own_hit_rate(times) for event in self.events)

    def _own_hit_rate(self, times: ArrayLike) -> float:
        seen = np.unique(np.floor((np.asarray(times, dtype=np.float64).reshape(-1) + FRAME_SLACK) * self.fps))
        starts = np.concatenate([np.arange(low, high) for low, high in self.starts])
        enough = np.ones(len(starts), dtype=bool)
        for low, high in self.needs:
            enough &= np.searchsorted(seen, starts + high) > np.searchsorted(seen, starts + low)
        return float(enough.mean())


@dataclass(frozen=True, slots=True)
class EvidenceRequirements:
    """How the evidence intervals of a task must be seen. By default one frame of each suffices.

    Args:
        min_fps: Smallest frame rate that suffices, in frames per second, > 0; None if unknown.
        min_rows: Rows of pixels that the whole picture must have at the scale of a clip, >= 0.
        regions: The part of the picture that holds each piece of evidence, one for each interval; empty if unknown.
        placement: Where the events may lie in the video, and which of their frames must be seen; None if unknown.
        varies: Intervals in which frames depend on the answer; None if they are the evidence intervals.

    Raises:
        InvalidSetting: If a value is out of range.
    """

    min_fps: float | None = None
    min_rows: float = 0.0
    regions: tuple[Region, ...] = ()
    placement: Placement | None = None
    varies: tuple[Interval, ...] | None = None

    def __post_init__(self) -> None:
        if self.min_fps is not None:
            _positive("min_fps", self.min_fps)
        if not (_is_number(self.min_rows) and 0 <= self.min_rows < math.inf):
            raise InvalidSetting(f"min_rows must be a number >= 0, got {self.min_rows!r}")
        for region in self.regions:
            if not region.is_valid:
                raise InvalidSetting(f"regions must lie in the picture, got {region.to_list()}")

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, without those that are the defaults."""
        found: dict[str, Any] = {}
        if self.min_fps is not None:
            found["min_fps"] = self.min_fps
        if self.min_rows:
            found["min_rows"] = self.min_rows
        if self.regions:
            found["regions"] = [region.to_list() for region in self.regions]
        if self.placement is not None:
            found["placement"] = self.placement.to_dict()
        if self.varies is not None:
            found["varies"] = [span.to_list() for span in self.varies]
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EvidenceRequirements:
        """Back from `to_dict`.

        Raises:
            InvalidSetting: If a key is unknown (the message lists the valid ones) or a value is of the wrong form.
        """
        values = _mapping("requirements", values)
        _known("requirements", values, [field.name for field in fields(cls)])
        placement, varies, min_fps = (values.get(key) for key in ("placement", "varies", "min_fps"))
        return cls(
            min_fps=None if min_fps is None else _positive("min_fps", min_fps),
            min_rows=values.get("min_rows", 0.0),
            regions=tuple(
                Region(*numbers)
                for numbers in _numbers("regions", values.get("regions", ()), "[left, top, right, bottom]", 4)
            ),
            placement=None if placement is None else Placement.from_dict(placement),
            varies=None
            if varies is None
            else tuple(Interval(*numbers) for numbers in _numbers("varies", varies, "[start, end]", 2)),
        )


def _mapping(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidSetting(f"{name} must be an object, got {value!r}")
    return value


def _known(name: str, values: Mapping[str, Any], valid: Sequence[str]) -> None:
    unknown = sorted(set(values) - set(valid), key=str)
    if unknown:
        raise InvalidSetting(f"{name}: unknown key {', '.join(map(repr, unknown))}; {known_names(unknown, valid)}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _positive(name: str, value: Any) -> float:
    if not (_is_number(value) and 0 < value < math.inf):
        raise InvalidSetting(f"{name} must be a number > 0, got {value!r}")
    return float(value)


def _list(name: str, value: object) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise InvalidSetting(f"{name} must be a list, got {value!r}")
    return list(value)


def _numbers(name: str, value: object, form: str, count: int) -> Iterable[list[float]]:
    for item in _list(name, value):
        if not (isinstance(item, (list, tuple)) and len(item) == count and all(map(_is_number, item))):
            raise InvalidSetting(f"{name} must hold {form}, got {item!r}")
        yield [float(number) for number in item]


def _frame_ranges(name: str, value: object) -> tuple[tuple[int, int], ...]:
    found = list(_numbers(name, value, "[first, last + 1] in frames", 2))
    if not found or not all(0 <= low < high <= _MOST_FRAMES for low, high in found):
        raise InvalidSetting(f"{name} must hold ranges of frames, 0 <= first < last + 1 <= {_MOST_FRAMES}, got {value}")
    return tuple((int(low), int(high)) for low, high in found)
