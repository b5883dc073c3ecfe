"""Dialogues as text and image files, in the order in which the model reads them.

Interfaces differ only in how they wrap these parts. For OpenAI's chat format see `vzgym.video.images.ImageEncoder`, for
processors that take `PIL` images `vzgym.protocols.as_chat`.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image

from vzgym.episode.dialogue import Block, ImageBlock, Message
from vzgym.video.images import ImageEncoder

__all__ = ["EncodedMessage", "Frame", "Part", "encode_blocks", "encode_messages"]

_JPEG = ImageEncoder()


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as an image file.

    Attributes:
        data: The bytes of the file.
        time: Time stamp of the frame in seconds. The text before the frame states it, too.
        format: "jpeg" or "png".
    """

    data: bytes
    time: float
    format: str = "jpeg"

    @property
    def media_type(self) -> str:
        """Such as "image/jpeg"."""
        return f"image/{self.format}"

    @property
    def base64(self) -> str:
        """The file in base64."""
        return base64.b64encode(self.data).decode()

    @property
    def data_url(self) -> str:
        """The file as a data URL."""
        return f"data:{self.media_type};base64,{self.base64}"


Part: TypeAlias = str | Frame
"""A part of a message: text, or a frame."""


@dataclass(frozen=True, slots=True)
class EncodedMessage:
    """A message of the dialogue.

    Attributes:
        role: "system", "user", "assistant" or "tool" (a reply of the environment).
        parts: Text and frames, in order. Two texts are never adjacent, and none is blank.
    """

    role: str
    parts: tuple[Part, ...]

    @property
    def frames(self) -> list[Frame]:
        """The frames, in order."""
        return [part for part in self.parts if isinstance(part, Frame)]

    @property
    def text(self) -> str:
        """The text, without the frames."""
        return "".join(part for part in self.parts if isinstance(part, str))


def encode_messages(messages: Sequence[Message], images: ImageEncoder = _JPEG) -> list[EncodedMessage]:
    """Encode a dialogue, or the new messages of a step.

    Args:
        messages: Messages of an episode, with pixels.
        images: Format, quality and size of the image files.

    Raises:
        RecordError: If a message comes from a saved record, which has no pixels.
    """
    return [EncodedMessage(message.role, tuple(encode_blocks(message.blocks, images))) for message in messages]


def encode_blocks(blocks: Sequence[Block], images: ImageEncoder = _JPEG) -> list[Part]:
    """Encode the blocks of a message; see `encode_messages`.

    Each frame stands directly after the text with its number and time.
    """
    parts: list[Part] = []
    for block in blocks:
        if isinstance(block, ImageBlock):
            data = images.encode(Image.fromarray(block.pixels))
            parts.append(Frame(data, float(block.clip.times[block.index]), images.format))
        elif parts and isinstance(parts[-1], str):
            parts[-1] += block.text
        else:
            parts.append(block.text)
    # Model servers refuse blank text.
    return [part for part in parts if not isinstance(part, str) or part.strip()]
