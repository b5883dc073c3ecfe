"""Frames of exported trajectories: as image files beside them, or as data URLs."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Protocol

from PIL import Image

from vzgym.core.errors import InvalidSetting
from vzgym.episode.dialogue import ImageBlock
from vzgym.video.images import encode_image

__all__ = ["IMAGE_FORMATS", "FrameFiles", "FrameURLs", "StoreFrame"]

IMAGE_FORMATS = {"png": ("png", "png"), "jpeg": ("jpeg", "jpg")}
"""Media subtype and file suffix by format."""


class StoreFrame(Protocol):
    """Stores a frame and returns its address within the trajectory: a relative path or a data URL."""

    @property
    def media_type(self) -> str:
        """The media type of the images, such as "image/png"."""
        ...

    def __call__(self, frame: ImageBlock) -> str:
        """Store a frame.

        Raises:
            RecordError: If the frame has no pixels.
        """
        ...


class FrameFiles:
    """Writes frames as numbered image files.

    Args:
        root: The folder to which the returned paths are relative.
        folder: The folder of the files, relative to `root`; created with the first frame.
        image_format: "png" (lossless) or "jpeg".

    Raises:
        InvalidSetting: If there is no such format.
    """

    def __init__(self, root: Path, folder: str, image_format: str = "png") -> None:
        self.root = root
        self.folder = folder
        self._format, self._suffix = _known(image_format)
        self._count = 0

    @property
    def media_type(self) -> str:
        """See `StoreFrame.media_type`."""
        return f"image/{self._format}"

    def __call__(self, frame: ImageBlock) -> str:
        """Write the frame; returns its path with forward slashes."""
        data = encode_image(Image.fromarray(frame.pixels), self._format)
        path = f"{self.folder}/{self._count:03d}.{self._suffix}"
        self._count += 1
        (self.root / self.folder).mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(data)
        return path


class FrameURLs:
    """Encodes frames as data URLs.

    Args:
        image_format: "png" (lossless) or "jpeg".

    Raises:
        InvalidSetting: If there is no such format.
    """

    def __init__(self, image_format: str = "png") -> None:
        self._format, _ = _known(image_format)

    @property
    def media_type(self) -> str:
        """See `StoreFrame.media_type`."""
        return f"image/{self._format}"

    def __call__(self, frame: ImageBlock) -> str:
        """Encode the frame."""
        data = base64.b64encode(encode_image(Image.fromarray(frame.pixels), self._format)).decode()
        return f"data:{self.media_type};base64,{data}"


def _known(image_format: str) -> tuple[str, str]:
    if image_format not in IMAGE_FORMATS:
        raise InvalidSetting(f"the image format must be {' or '.join(IMAGE_FORMATS)}, got {image_format!r}")
    return IMAGE_FORMATS[image_format]
