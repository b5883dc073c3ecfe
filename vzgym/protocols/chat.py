"""Dialogues as chat messages for processors, trainers and servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from vzgym.episode.dialogue import Block, ImageBlock, Message

__all__ = ["as_chat", "content_of"]


def as_chat(messages: Sequence[Message], *, tool_role: str = "user") -> list[dict[str, Any]]:
    """Convert a dialogue to chat messages with content blocks.

    Args:
        messages: An episode's dialogue.
        tool_role: The role of the environment's replies. "user", as in the paper, for templates without tools; "tool"
            for templates that support it.

    Returns:
        `[{"role": ..., "content": [{"type": "text", "text": ...} | {"type": "image", "image": PIL.Image}]}]`; frames
        in native aspect, within the budget's pixels.
    """
    return [
        {"role": tool_role if message.role == "tool" else message.role, "content": content_of(message.blocks)}
        for message in messages
    ]


def content_of(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    """Convert blocks of a message to content blocks; see `as_chat`."""
    return [
        {"type": "image", "image": Image.fromarray(block.pixels)}
        if isinstance(block, ImageBlock)
        else {"type": "text", "text": block.text}
        for block in blocks
    ]
