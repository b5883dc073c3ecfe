"""Dialogues as messages of OpenAI's chat completions API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vzgym.episode.dialogue import ImageBlock, Message
from vzgym.evaluation.trajectories.frames import StoreFrame

__all__ = ["to_chat"]


def to_chat(messages: Sequence[Message], store: StoreFrame) -> list[dict[str, Any]]:
    """Convert a dialogue to chat messages.

    The environment's replies have the role "user", as in the paper's data: the API accepts images only there. A message
    without frames has a string as its content, any other one a list of `text` and `image_url` blocks.

    Args:
        messages: The dialogue, with pixels.
        store: Stores each frame; its address becomes the URL of the `image_url` block.
    """
    return [
        {
            "role": "user" if message.role == "tool" else message.role,
            "content": _content(message, store) if message.images else message.text,
        }
        for message in messages
    ]


def _content(message: Message, store: StoreFrame) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for block in message.blocks:
        if isinstance(block, ImageBlock):
            blocks.append({"type": "image_url", "image_url": {"url": store(block)}})
        elif blocks and blocks[-1]["type"] == "text":
            blocks[-1]["text"] += block.text
        else:
            blocks.append({"type": "text", "text": block.text})
    return blocks
