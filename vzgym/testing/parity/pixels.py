"""The rule that the other side's model sees the pixels.

A policy can be trained blind without anybody noticing: frames get lost on the way, arrive as text, in another order, or
beside the times of other frames. So a video is played whose every frame is a bar code of its number, and the frames are
read back from what the client received.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import re
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vzgym.episode.record import EpisodeRecord
from vzgym.tasks import VideoTask
from vzgym.video.barcode import draw_barcode, read_barcode
from vzgym.video.synthetic import ArrayVideo

__all__ = ["FPS", "Seen", "code_task", "data_of_url", "fault_of_seen"]

Seen: TypeAlias = "str | bytes | NDArray[np.uint8] | Image.Image"
"""What a model receives: text, or a picture as an image file, an array or a `PIL` image."""

FPS = 2.0
"""Frames a second of the video of bar codes."""

_SECONDS = 64
_SIDE = 64
_TIME_AT_END = re.compile(r"(\d+(?:\.\d+)?) ?s\W*$")
_TIME_AT_START = re.compile(r"^\W*(\d+(?:\.\d+)?)")


def code_task() -> VideoTask:
    """A task whose video shows a bar code of each frame's number: 64 s at 2 fps, 64x64 pixels."""
    pixels = np.stack([draw_barcode(number, _SIDE, _SIDE) for number in range(int(_SECONDS * FPS))])
    return VideoTask(
        id="bar-codes",
        video=ArrayVideo(pixels, FPS, "array:bar-codes"),
        question="Which code is shown last?",
        options=("the first", "the second"),
        answer="the second",
        evidence=None,
        category="bar codes",
    )


def data_of_url(url: str) -> bytes:
    """The file in a data URL, or in plain base64.

    Raises:
        ValueError: If it is neither.
    """
    try:
        return base64.b64decode(url.partition(",")[2] if url.startswith("data:") else url, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {url!r:.60}") from error


def fault_of_seen(record: EpisodeRecord, seen: Sequence[Seen]) -> str | None:
    """What is wrong with what a model received in an episode of `code_task`; None if nothing.

    Args:
        record: The episode's record.
        seen: Text and pictures that arrived, in order.

    Returns:
        A sentence, if a frame is missing, was added, is another frame than that of its time, is unreadable, or does not
        stand next to its time: directly after it, as `<frame0_time1.50s>` or `1.5 s`, or all directly before it.
    """
    times = [float(time) for clip in record.clips for time in clip.times]
    pictures = [item for item in seen if not isinstance(item, str)]
    if len(pictures) != len(times):
        return f"the episode showed {len(times)} frames, and {len(pictures)} pictures arrived"
    for place, (picture, time) in enumerate(zip(pictures, times, strict=True)):
        pixels = _pixels(picture)
        number = None if pixels is None else read_barcode(pixels)
        if number != round(time * FPS):
            found = "an unreadable picture" if number is None else f"the frame of {number / FPS:.2f} s"
            return f"picture {place} should be the frame of {time:.2f} s, and is {found}"
    texts = _texts_between(seen)
    before = [_stated(_TIME_AT_END.findall(text)) for text in texts[:-1]]
    after = [_stated(_TIME_AT_START.findall(text)) for text in texts[1:]]
    if _same(before, times) or _same(after, times):
        return None
    place = next(
        place for place, (stated, time) in enumerate(zip(before, times, strict=True)) if not _near(stated, time)
    )
    return (
        f"picture {place} should stand directly after its time, {times[place]:.2f} s, or all pictures directly before "
        f"theirs; the text before it ends {texts[place][-60:]!r}, the text after it begins {texts[place + 1][:60]!r}"
    )


def _texts_between(seen: Sequence[Seen]) -> list[str]:
    """The text before the first picture, between two pictures, and after the last."""
    texts = [""]
    for item in seen:
        if isinstance(item, str):
            texts[-1] += item
        else:
            texts.append("")
    return texts


def _stated(found: Sequence[str]) -> float | None:
    return float(found[-1]) if found else None


def _near(stated: float | None, time: float) -> bool:
    return stated is not None and math.isclose(stated, time, abs_tol=0.0051)


def _same(stated: Sequence[float | None], times: Sequence[float]) -> bool:
    return all(_near(one, other) for one, other in zip(stated, times, strict=True))


def _pixels(picture: bytes | NDArray[np.uint8] | Image.Image) -> NDArray[np.uint8] | None:
    """The pixels of a picture; None if its file is broken."""
    if isinstance(picture, bytes):
        try:
            picture = Image.open(io.BytesIO(picture)).convert("RGB")
        except (UnidentifiedImageError, OSError):
            return None
    return np.asarray(picture, dtype=np.uint8)
