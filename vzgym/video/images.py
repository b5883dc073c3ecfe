"""Encoding of frames for servers: image files in data URLs, with a given format and size."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from vzgym.core.errors import InvalidSetting

__all__ = ["ImageEncoder", "encode_image"]


@dataclass(frozen=True)
class ImageEncoder:
    """Encodes the frames of chat messages as image files.

    Args:
        format: "jpeg" or "png".
        quality: JPEG quality, 1 to 100.
        max_pixels: Larger frames are downscaled to this area; 0: sent unchanged.
        detail: OpenAI's `detail` of an image; "": not sent.

    Raises:
        InvalidSetting: If a value is invalid.
    """

    format: str = "jpeg"
    quality: int = 90
    max_pixels: int = 0
    detail: str = ""

    def __post_init__(self) -> None:
        if self.format not in ("jpeg", "png"):
            raise InvalidSetting(f"image_format must be 'jpeg' or 'png', got {self.format!r}")
        if not 1 <= self.quality <= 100:
            raise InvalidSetting(f"quality must be 1 to 100, got {self.quality!r}")
        if self.max_pixels < 0:
            raise InvalidSetting(f"max_pixels must be >= 0, got {self.max_pixels!r}")
        if self.detail not in ("", "low", "high", "auto"):
            raise InvalidSetting(f"detail must be 'low', 'high', 'auto' or '', got {self.detail!r}")

    def to_json(self) -> dict[str, Any]:
        """All fields; the quality only for JPEG."""
        quality = {"quality": self.quality} if self.format == "jpeg" else {}
        return {"format": self.format, **quality, "max_pixels": self.max_pixels, "detail": self.detail}

    def in_chat(self, chat: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Convert chat messages: images become OpenAI's `image_url` blocks, text-only content a string.

        Args:
            chat: From `as_chat`.
        """
        return [{**message, "content": self._content(message["content"])} for message in chat]

    def measure(self, chat: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
        """Number of images in a chat, and the total bytes of their files."""
        urls = [
            block["image_url"]["url"]
            for message in chat
            if isinstance(message["content"], list)
            for block in message["content"]
            if block["type"] == "image_url"
        ]
        return len(urls), sum(_file_bytes(url) for url in urls)

    def _content(self, content: str | Sequence[Mapping[str, Any]]) -> str | list[dict[str, Any]]:
        if isinstance(content, str):
            return content
        # Some servers accept no blocks in system or assistant messages.
        if all(block["type"] == "text" for block in content):
            return "".join(block["text"] for block in content)
        blocks: list[dict[str, Any]] = []
        for block in content:
            if block["type"] == "image":
                blocks.append(self.block(block["image"]))
            elif blocks and blocks[-1]["type"] == "text":
                blocks[-1]["text"] += block["text"]
            else:
                blocks.append(dict(block))
        # Strict servers refuse blank blocks.
        return [block for block in blocks if block["type"] != "text" or block["text"].strip()]

    def encode(self, image: Image.Image) -> bytes:
        """The bytes of an image's file, downscaled if it is larger than `max_pixels`."""
        if self.max_pixels and image.width * image.height > self.max_pixels:
            scale = math.sqrt(self.max_pixels / (image.width * image.height))
            size = max(1, math.floor(image.width * scale)), max(1, math.floor(image.height * scale))
            image = image.resize(size, Image.Resampling.BICUBIC)
        return encode_image(image, self.format, self.quality)

    def block(self, image: Image.Image) -> dict[str, Any]:
        """OpenAI's `image_url` block of an image."""
        data = base64.b64encode(self.encode(image)).decode()
        detail = {"detail": self.detail} if self.detail else {}
        return {"type": "image_url", "image_url": {"url": f"data:image/{self.format};base64,{data}", **detail}}


def encode_image(image: Image.Image, format: str, quality: int = 90) -> bytes:
    """Encode an image as the bytes of a file.

    Args:
        image: RGB.
        format: "jpeg" (without chroma subsampling, since small colored objects matter) or "png" (lossless).
        quality: JPEG quality.
    """
    buffer = io.BytesIO()
    if format == "png":
        # Level 1 needs a third of the default's time and 10 % more bytes.
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def _file_bytes(url: str) -> int:
    data = url[url.index(",") + 1 :]
    return len(data) * 3 // 4 - data.count("=", -2)
