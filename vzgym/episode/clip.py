"""Clips: shown frames, with their pixels or, in records, their hashes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vzgym.core.actions import Region
from vzgym.core.errors import RecordError
from vzgym.core.interval import Interval
from vzgym.tasks.subtitles.subtitle import Subtitle
from vzgym.video.base import frame_hash
from vzgym.video.synthetic import letterbox

__all__ = ["Clip"]


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames shown to the agent: the overview, those of one executed zoom, or those that a tool returned.

    Attributes:
        requested: float64, shape `(n,)`: the requested times, in seconds.
        times: float64, shape `(n,)`: the decoded frames' own times.
        size: `(height, width)` at which they were shown.
        window: The zoom's interval; None for the overview and for frames of a tool.
        fps: The zoom's frames per second; None as above.
        region: The region of the frame that is shown; None for the whole frame.
        max_pixels: Maximum pixels of a frame, where the zoom or the tool chose it; None: the budget's.
        decoded: Number of frames decoded for the clip (0 if all came from a cache).
        seconds: Wall time of reading the frames.
        pixels: uint8, shape `(n, height, width, 3)`, read-only; None in a record that was loaded from a file.
        speech: The subtitles shown with the frames, each with the index of the frame before which it stands (their
            number: after the last).
    """

    requested: NDArray[np.float64]
    times: NDArray[np.float64]
    size: tuple[int, int]
    window: Interval | None = None
    fps: float | None = None
    region: Region | None = None
    max_pixels: int | None = None
    decoded: int = 0
    seconds: float = 0.0
    pixels: NDArray[np.uint8] | None = None
    speech: tuple[tuple[int, Subtitle], ...] = ()
    _hashes: list[str] = field(default_factory=list, repr=False)
    _thumbnails: dict[tuple[int, int], NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def hashes(self) -> tuple[str, ...]:
        """Each frame's `frame_hash`. Computed on first use, because hashing takes longer than an environment step."""
        if not self._hashes and self.pixels is not None:
            self._hashes.extend(frame_hash(frame) for frame in self.pixels)
        return tuple(self._hashes)

    def thumbnails(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """The frames letterboxed (aspect ratio kept, black borders) to a fixed size; computed once.

        Args:
            size: `(height, width)` in pixels.

        Returns:
            uint8, shape `(n, *size, 3)`, read-only.

        Raises:
            RecordError: If the clip comes from a saved record, which keeps no pixels.
        """
        if self.pixels is None:
            raise RecordError("a saved record keeps hashes, not pixels: replay it to see its frames")
        if size not in self._thumbnails:
            made = letterbox(self.pixels, size)
            made.flags.writeable = False
            self._thumbnails[size] = made
        return self._thumbnails[size]

    def without_pixels(self) -> Clip:
        """The clip with hashes in place of pixels, as records store it."""
        return Clip(
            self.requested,
            self.times,
            self.size,
            self.window,
            self.fps,
            self.region,
            self.max_pixels,
            self.decoded,
            self.seconds,
            None,
            self.speech,
            list(self.hashes),
        )

    def to_json(self) -> dict[str, Any]:
        """JSON form: times, size and hashes; no pixels."""
        return {
            "window": self.window.to_list() if self.window else None,
            "fps": self.fps,
            "region": self.region.to_list() if self.region else None,
            "max_pixels": self.max_pixels,
            "requested": self.requested.tolist(),
            "times": self.times.tolist(),
            "size": list(self.size),
            "hashes": list(self.hashes),
            "decoded": self.decoded,
            "seconds": round(self.seconds, 6),
            **(
                {"speech": [[index, line.start, line.end, line.text] for index, line in self.speech]}
                if self.speech
                else {}
            ),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Clip:
        """Rebuild from `to_json`.

        Raises:
            RecordError: If times and hashes do not match in number.
        """
        if not len(data["times"]) == len(data["hashes"]) == len(data["requested"]):
            raise RecordError(
                f"a clip has {len(data['requested'])} requested times, {len(data['times'])} times and "
                f"{len(data['hashes'])} hashes"
            )
        height, width = data["size"]
        return cls(
            requested=np.asarray(data["requested"], dtype=np.float64),
            times=np.asarray(data["times"], dtype=np.float64),
            size=(int(height), int(width)),
            window=Interval(*data["window"]) if data["window"] else None,
            fps=data["fps"],
            region=Region(*data["region"]) if data["region"] else None,
            max_pixels=None if data["max_pixels"] is None else int(data["max_pixels"]),
            decoded=int(data["decoded"]),
            seconds=float(data["seconds"]),
            speech=tuple(
                (int(index), Subtitle(start, end, text)) for index, start, end, text in data.get("speech", ())
            ),
            _hashes=list(data["hashes"]),
        )


def _line_to_json(index: int, line: Subtitle) -> list[Any]:
    return [index, line.start, line.end, line.text]
