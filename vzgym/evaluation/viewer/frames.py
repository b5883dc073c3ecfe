"""The frames of records as pictures: one WebP sheet for each clip, read from the videos again."""

from __future__ import annotations

import hashlib
import io
import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vzgym.core.errors import VzgymError
from vzgym.core.files import write_bytes
from vzgym.episode.clip import Clip
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation.replay import task_of
from vzgym.video.base import Video, frame_hash

__all__ = ["FrameSheets", "Sheet"]

_QUALITY: Final = 85
_LARGEST_SIDE: Final = 16_000
"""WebP pictures have at most 16,383 pixels a side."""
_MOST_PIXELS: Final = 1 << 27
"""Largest number of pixels of a clip: the size in a record is untrusted."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The frames of a clip in one picture, row by row.

    Attributes:
        name: The file's name.
        columns: Frames in a row.
        rows: Number of rows; the last one may be incomplete.
    """

    name: str
    columns: int
    rows: int


class FrameSheets:
    """Makes the sheets of records, in a folder. A sheet is named after its content, and kept if it is there already.

    Args:
        folder: Where they are written; created when it is needed.
        backend: Decoder for video files.
        trust_code: Whether code that a record names (`module:suite`) may be imported.
    """

    def __init__(self, folder: Path, backend: str = "pyav", *, trust_code: bool = False) -> None:
        self.folder = folder
        self.backend = backend
        self.trust_code = trust_code
        self._lock = threading.Lock()

    def of(self, record: EpisodeRecord) -> list[Sheet | str | None]:
        """The sheet of each clip of a record.

        Returns:
            For each clip, the sheet; or, as a text, the reason why its frames cannot be shown; None if it has no
            frames.
        """
        clips = record.clips
        with self._lock:
            known = [self._planned(clip) for clip in clips]
            missing = [
                number
                for number, sheet in enumerate(known)
                if isinstance(sheet, Sheet) and not (self.folder / sheet.name).is_file()
            ]
            if not missing:
                return known
            try:
                video: Video = task_of(record.task, self.backend, trust_code=self.trust_code).video
            except VzgymError as error:
                reason: Any = str(error)
                return [reason if number in missing else sheet for number, sheet in enumerate(known)]
            try:
                for number in missing:
                    sheet = known[number]
                    if isinstance(sheet, Sheet):
                        known[number] = self._make(clips[number], sheet, video)
            finally:
                video.close()
        return known

    def _planned(self, clip: Clip) -> Sheet | str | None:
        count, (height, width) = len(clip), clip.size
        if count == 0:
            return None
        if not (height > 0 and width > 0 and height * width * count <= _MOST_PIXELS):
            return f"the record gives {count} frames of {width} x {height} pixels, which is too large to show"
        if clip.region is not None and not clip.region.is_valid:
            return "the record gives a region that is not inside the frame"
        columns = min(count, max(1, math.ceil(math.sqrt(1.5 * count * height / width))))
        facts = f"{clip.size} {columns} {' '.join(clip.hashes)}"
        name = hashlib.blake2b(facts.encode(errors="replace"), digest_size=16).hexdigest()
        return Sheet(f"{name}.webp", columns, math.ceil(count / columns))

    def _make(self, clip: Clip, sheet: Sheet, video: Video) -> Sheet | str:
        try:
            pixels = video.read(clip.requested, size=clip.size, region=clip.region).pixels
        except VzgymError as error:
            return str(error)
        if tuple(map(frame_hash, pixels)) != clip.hashes:
            return "the video no longer shows the frames of the record"
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(self.folder / sheet.name, _encoded(pixels, sheet))
        return sheet


def _encoded(pixels: NDArray[np.uint8], sheet: Sheet) -> bytes:
    """The sheet as WebP."""
    count, height, width, _ = pixels.shape
    canvas = np.zeros((sheet.rows * height, sheet.columns * width, 3), dtype=np.uint8)
    for number in range(count):
        row, column = divmod(number, sheet.columns)
        canvas[row * height : (row + 1) * height, column * width : (column + 1) * width] = pixels[number]
    picture = Image.fromarray(canvas)
    largest = max(picture.size)
    if largest > _LARGEST_SIDE:
        picture = picture.reduce(math.ceil(largest / _LARGEST_SIDE))
    target = io.BytesIO()
    picture.save(target, format="WEBP", quality=_QUALITY, method=4)
    return target.getvalue()
