"""The dialogue of an episode: messages of text and frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import RecordError
from vzgym.episode.clip import Clip

__all__ = ["Block", "ImageBlock", "Message", "TextBlock"]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Text within a message.

    Attributes:
        text: The text.
        separates: Whether it stands between the replies to two zooms of one turn; see `Message.parts`.
    """

    text: str
    separates: bool = False


@dataclass(frozen=True, slots=True)
class ImageBlock:
    """One frame within a message, by reference to its clip."""

    clip: Clip
    index: int

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """uint8, shape `(height, width, 3)`, read-only.

        Raises:
            RecordError: If the clip comes from a saved record, which keeps no pixels.
        """
        if self.clip.pixels is None:
            raise RecordError("a saved record keeps hashes, not pixels: replay it to see its frames")
        frame: NDArray[np.uint8] = self.clip.pixels[self.index]
        return frame


Block: TypeAlias = TextBlock | ImageBlock


@dataclass(frozen=True)
class Message:
    """One message of the dialogue.

    Attributes:
        role: The author: "system", "user" (the question), "assistant" (the agent), "tool" (the environment).
        blocks: Text and frames, in order.
        answers: For a reply of the environment, the number of zooms or calls of the turn that it replies to.
    """

    role: Role
    blocks: tuple[Block, ...]
    answers: int = 1

    @cached_property
    def text(self) -> str:
        """The message's text. Each frame has its time as text before it.

        Computed once: every observation of the episode contains it.
        """
        return "".join(block.text for block in self.blocks if isinstance(block, TextBlock))

    @property
    def images(self) -> list[ImageBlock]:
        """The message's frames, in order."""
        return [block for block in self.blocks if isinstance(block, ImageBlock)]

    @property
    def parts(self) -> list[tuple[Block, ...]]:
        """The replies to the single zooms of a turn, without the text that separates them; usually one."""
        parts: list[list[Block]] = [[]]
        for block in self.blocks:
            if isinstance(block, TextBlock) and block.separates:
                parts.append([])
            else:
                parts[-1].append(block)
        return [tuple(part) for part in parts]

    @classmethod
    def from_text(cls, role: Role, text: str) -> Message:
        """Create a message with a single text block."""
        return cls(role, (TextBlock(text),))
