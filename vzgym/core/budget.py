"""Budgets of episodes, and the times of the overview."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vzgym.core.actions import Zoom, Zooms
from vzgym.core.errors import InvalidSetting
from vzgym.core.text import known_names

__all__ = ["Budget", "ToolMode", "checked_overview", "group_zooms", "overview_times", "with_last_time"]


class ToolMode(StrEnum):
    """Whether an agent may, must or must not use its tools: zooms and, if there are any, tool calls."""

    FREE = "free"
    """As the budget says."""
    NO_TOOL = "no_tool"
    """No zooms and no tool calls: the answer comes from the overview."""
    FORCED = "forced"
    """At least one turn with an executed zoom or tool call before an answer is accepted."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of an episode. The defaults are the paper's (VideoZoomer, sections 3 and 4.1).

    Args:
        overview_fps: Frames per second of the overview, > 0. `inf` always takes `overview_frames` frames.
        overview_frames: Maximum number of overview frames, >= 0; 0 means no overview.
        clip_frames: Maximum number of frames shown in one turn, >= 1: those of a zoom, of all zooms of a turn
            together, or of a tool call.
        max_zooms: Maximum number of turns with zooms or tool calls, >= 0, however many zooms each has. An episode has
            `max_zooms + 1` rounds.
        min_fps: Lowest fps of a zoom.
        max_fps: Highest fps of a zoom.
        max_pixels: Maximum pixels of a shown frame; larger frames are downscaled, keeping their aspect ratio.
        min_pixels: Minimum pixels of a shown frame; smaller frames are upscaled, keeping their aspect ratio.
        spatial: Whether a zoom may select a region of the frame.
        zooms_per_turn: Maximum number of zooms in one turn, >= 1.
        zoom_max_pixels: Greatest `max_pixels` that a zoom may choose for its frames, at least `min_pixels`; 0: a zoom
            may not choose.
        overview_last: Whether the overview always shows the video's last frame, also if it is sampled at
            `overview_fps`.
        min_zooms: Number of turns with executed zooms or tool calls before an answer is accepted, 0 to `max_zooms`. An
            earlier answer is refused; the last round accepts every answer.

    Raises:
        InvalidSetting: If a value is of the wrong type or out of range; the message names it.
    """

    overview_fps: float = 0.5
    overview_frames: int = 64
    clip_frames: int = 16
    max_zooms: int = 4
    min_fps: float = 0.01
    max_fps: float = 30.0
    max_pixels: int = 100_352
    min_pixels: int = 25_088
    spatial: bool = False
    zooms_per_turn: int = 1
    zoom_max_pixels: int = 0
    overview_last: bool = False
    min_zooms: int = 0

    def __post_init__(self) -> None:
        def need(ok: bool, name: str, rule: str) -> None:
            if not ok:
                raise InvalidSetting(f"Budget.{name} must be {rule}, got {getattr(self, name)!r}")

        rates = ("overview_fps", "min_fps", "max_fps")
        for name in rates:
            need(_is_real(getattr(self, name)), name, "a number")
        need(self.overview_fps > 0, "overview_fps", "> 0")
        need(_is_count(self.overview_frames, 0), "overview_frames", "an integer >= 0")
        need(_is_count(self.clip_frames, 1), "clip_frames", "an integer >= 1")
        need(_is_count(self.max_zooms, 0), "max_zooms", "an integer >= 0")
        need(0 < self.min_fps < math.inf, "min_fps", "finite and > 0")
        need(self.min_fps <= self.max_fps < math.inf, "max_fps", f"finite and >= min_fps ({self.min_fps})")
        need(_is_count(self.min_pixels, 1), "min_pixels", "an integer >= 1")
        need(
            _is_count(self.max_pixels, self.min_pixels),
            "max_pixels",
            f"an integer >= min_pixels ({self.min_pixels})",
        )
        need(isinstance(self.spatial, bool), "spatial", "True or False")
        need(isinstance(self.overview_last, bool), "overview_last", "True or False")
        need(_is_count(self.zooms_per_turn, 1), "zooms_per_turn", "an integer >= 1")
        need(
            self.zoom_max_pixels == 0 or _is_count(self.zoom_max_pixels, self.min_pixels),
            "zoom_max_pixels",
            f"0 or an integer >= min_pixels ({self.min_pixels})",
        )
        need(
            _is_count(self.min_zooms, 0) and self.min_zooms <= self.max_zooms,
            "min_zooms",
            f"an integer from 0 to max_zooms ({self.max_zooms})",
        )
        # numpy's numbers, as produced by sweeps, are not JSON-serializable.
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, bool):
                object.__setattr__(self, field.name, float(value) if field.name in rates else int(value))

    @property
    def max_rounds(self) -> int:
        """Rounds of an episode: each action uses one, valid or not; the last is for the answer."""
        return self.max_zooms + 1

    @property
    def max_frames(self) -> int:
        """Maximum number of frames of an episode: the overview and all turns (128 in the paper)."""
        return self.overview_frames + self.max_zooms * self.clip_frames

    @property
    def largest_pixels(self) -> int:
        """Most pixels of a frame that a zoom may ask for: the greater of `max_pixels` and `zoom_max_pixels`."""
        return max(self.max_pixels, self.zoom_max_pixels)

    def with_zooms(self, most: int, **changes: Any) -> Budget:
        """This budget with `max_zooms=most`, no more required zooms than that, and further changes.

        Args:
            most: The new `max_zooms`, >= 0.
            changes: New values of other fields.
        """
        return replace(self, max_zooms=most, min_zooms=min(self.min_zooms, most), **changes)

    def for_tool(self, mode: ToolMode) -> Budget:
        """This budget in a tool mode.

        Raises:
            InvalidSetting: For `FORCED`, if the budget has no zooms.
        """
        if mode is ToolMode.NO_TOOL:
            return self.with_zooms(0)
        if mode is ToolMode.FREE:
            return self
        if not self.max_zooms:
            raise InvalidSetting("the budget has no zooms (max_zooms is 0), so none can be required before an answer")
        return replace(self, min_zooms=max(1, self.min_zooms))

    def fit(self, height: int, width: int, max_pixels: int | None = None) -> tuple[int, int]:
        """The size at which a frame of `height` x `width` is shown.

        Keeps the aspect ratio as far as whole pixels allow. Never more than `max_pixels`; at least `min_pixels`, unless
        the limits are so close that no size of about this aspect ratio is between them. A frame within both limits
        keeps its size.

        Args:
            height: In pixels, >= 1.
            width: In pixels, >= 1.
            max_pixels: Maximum pixels in place of the budget's, >= 1.

        Returns:
            `(height, width)` in pixels, each >= 1.
        """
        most = self.max_pixels if max_pixels is None else max_pixels
        pixels = height * width
        if self.min_pixels <= pixels <= most:
            return height, width
        if pixels < self.min_pixels:
            scale = math.sqrt(self.min_pixels / pixels)
            grown = (math.ceil(height * scale), math.ceil(width * scale))
            if grown[0] * grown[1] <= most:
                return grown
        scale = math.sqrt(most / pixels)
        rows, columns = max(1, math.floor(height * scale)), max(1, math.floor(width * scale))
        # Otherwise, a strip one pixel high or wide could remain longer than the limit.
        return min(rows, most // columns) or 1, min(columns, most // rows) or 1

    def to_dict(self) -> dict[str, float | int | bool | str]:
        """All fields as JSON values; an infinite `overview_fps` becomes "inf".

        `min_zooms` is left out if it is 0, so that budgets without it keep the form they have in earlier records, runs
        and experiments.
        """
        values = {name: "inf" if value == math.inf else value for name, value in asdict(self).items()}
        if not self.min_zooms:
            del values["min_zooms"]
        return values

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> Budget:
        """Build from a mapping of field names, as in YAML or a record; "inf" is an infinite `overview_fps`.

        Raises:
            InvalidSetting: If a name is not a field (the message lists the fields) or a value is out of range.
        """
        valid = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(valid))
        if unknown:
            raise InvalidSetting(f"unknown budget setting {', '.join(unknown)}; {known_names(unknown, valid)}")
        infinite = {"overview_fps": math.inf} if values.get("overview_fps") == "inf" else {}
        return cls(**{**values, **infinite})  # type: ignore[arg-type]


def _is_real(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= least


def with_last_time(times: NDArray[np.float64], duration: float, budget: Budget) -> NDArray[np.float64]:
    """Times of the overview and the video's end, which takes the place of the last one where there is no room."""
    earlier = np.asarray(times, dtype=np.float64)
    return np.append(earlier[earlier < duration][: max(0, budget.overview_frames - 1)], duration)


def overview_times(duration: float, budget: Budget) -> NDArray[np.float64]:
    """The times of the overview frames.

    If `duration * overview_fps` is at most `overview_frames`, the times are `i / overview_fps` over `[0, duration)`. A
    longer video gets `overview_frames` times spread evenly over `[0, duration]`, including both ends (spacing `duration
    / (overview_frames - 1)`); the last time shows the video's last frame. With `overview_last` the shorter video's
    last frame is shown too: beside the others, or in place of the last of `overview_frames`.

    Args:
        duration: Length of the video in seconds, finite and > 0.
        budget: The budget, with `overview_fps` and `overview_frames`.

    Returns:
        float64, shape `(n,)`, n <= `overview_frames`, increasing, from 0.

    Raises:
        InvalidSetting: If `duration` is not finite and positive.
    """
    if not (math.isfinite(duration) and duration > 0):
        raise InvalidSetting(f"a video's duration must be finite and > 0 seconds, got {duration}")
    most = budget.overview_frames
    if most == 0:
        return np.empty(0, dtype=np.float64)
    natural = duration * budget.overview_fps
    if math.isfinite(natural) and math.ceil(natural - 1e-6) <= most:
        times = np.arange(max(1, math.ceil(natural - 1e-6)), dtype=np.float64) / budget.overview_fps
        return with_last_time(times, duration, budget) if budget.overview_last else times
    if most == 1:
        return np.full(1, duration if budget.overview_last else 0.0)
    return np.linspace(0.0, duration, most, dtype=np.float64)


def checked_overview(times: NDArray[np.float64], budget: Budget) -> NDArray[np.float64]:
    """A copy of the times of an overview, validated as far as possible without the video.

    Args:
        times: In seconds, shape `(n,)`.
        budget: The budget, with `overview_frames`.

    Raises:
        InvalidSetting: If they are not ascending, or more than `overview_frames`.
    """
    found: NDArray[np.float64] = np.array(times, dtype=np.float64)
    if found.ndim != 1 or not (np.diff(found) > 0).all():
        raise InvalidSetting(
            f"the times of an overview must be a list of ascending seconds, got {found.tolist()!r:.200}"
        )
    if len(found) > budget.overview_frames:
        raise InvalidSetting(f"an overview of {len(found)} frames, but overview_frames is {budget.overview_frames}")
    return found


def group_zooms(zooms: Sequence[Zoom], budget: Budget) -> list[Zoom | Zooms]:
    """Distribute zooms over as few turns as possible, in their order.

    Each turn takes the following zooms up to `zooms_per_turn`, as long as they have at most `clip_frames` frames.

    Args:
        zooms: The zooms, each valid by itself.
        budget: The limits.

    Returns:
        One action for each turn: a `Zoom`, or `Zooms` of two or more.
    """
    turns: list[list[Zoom]] = []
    for zoom in zooms:
        last = turns[-1] if turns else []
        frames = sum(other.num_frames for other in last) + zoom.num_frames
        if last and len(last) < budget.zooms_per_turn and frames <= budget.clip_frames:
            last.append(zoom)
        else:
            turns.append([zoom])
    return [turn[0] if len(turn) == 1 else Zooms(tuple(turn)) for turn in turns]
