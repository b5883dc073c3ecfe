"""From an episode's dialogue to a model's inputs: the one path that acting, imitation and reinforcement share.

A frame that does not reach the model is the worst fault there is, since nothing crashes: the model trains blind. So
what is needed is checked where a processor is opened, and `watch_images` checks every single forward pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, VzgymError
from vzgym.episode.dialogue import Message
from vzgym.protocols import as_chat

__all__ = [
    "BlindModel",
    "answer_spans",
    "chat_of",
    "encode",
    "frame_tokens",
    "image_token",
    "join_inputs",
    "prepare_processor",
    "response_template",
    "watch_images",
]

TOOL = "video_zoom"
"""The tool's name in trainers: the paper's tag."""


class BlindModel(VzgymError, RuntimeError):
    """Frames were lost on their way to the model: their tokens and their pixels do not match."""


def chat_of(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """A dialogue as chat messages; the environment's replies under the role "tool", as trainers give them."""
    return as_chat(messages, tool_role="tool")


def encode(processor: Any, chat: Sequence[Mapping[str, Any]], *, reply: bool = True) -> dict[str, Tensor]:
    """Tokens and pixels of one dialogue.

    Args:
        processor: From `open_checkpoint`.
        chat: Chat messages with their pictures.
        reply: Whether the model's next turn is opened.

    Returns:
        `input_ids`, shape `(tokens,)`, and, where there are pictures, the processor's pixel fields.

    Raises:
        BlindModel: If the tokens of pictures are not as many as the pixels ask for.
    """
    made = processor.apply_chat_template(
        list(chat), add_generation_prompt=reply, tokenize=True, return_dict=True, return_tensors="pt"
    )
    inputs = {
        key: value[0] if key == "input_ids" else value
        for key, value in made.items()
        if key not in ("attention_mask", "mm_token_type_ids", "token_type_ids")
    }
    pictures = sum(block["type"] == "image" for message in chat for block in _blocks(message))
    shown = len(inputs["image_grid_thw"]) if "image_grid_thw" in inputs else 0
    if shown != pictures:
        raise BlindModel(f"a dialogue has {pictures} pictures, but the processor gave pixels for {shown}")
    _match(
        inputs["input_ids"], inputs.get("image_grid_thw"), image_token(processor), processor.image_processor.merge_size
    )
    return inputs


def join_inputs(
    rows: Sequence[Mapping[str, Tensor]], pad_id: int, image_id: int, side: str = "left"
) -> dict[str, Tensor]:
    """A batch of encoded dialogues.

    Args:
        rows: From `encode`.
        pad_id: Fills up shorter rows.
        image_id: The token of pictures.
        side: Where rows are filled up: "left" for acting, "right" for training.

    Returns:
        `input_ids`, `attention_mask`, `mm_token_type_ids`, each of shape `(rows, tokens)`, and the pixel fields.
    """
    length = max(len(row["input_ids"]) for row in rows)
    ids = torch.full((len(rows), length), pad_id)
    mask = torch.zeros((len(rows), length), dtype=torch.long)
    for i, row in enumerate(rows):
        count = len(row["input_ids"])
        place = slice(length - count, length) if side == "left" else slice(0, count)
        ids[i, place] = row["input_ids"]
        mask[i, place] = 1
    batch = {"input_ids": ids, "attention_mask": mask, "mm_token_type_ids": (ids == image_id).long()}
    for key in {key for row in rows for key in row} - {"input_ids"}:
        batch[key] = torch.cat([row[key] for row in rows if key in row])
    return batch


def answer_spans(ids: Sequence[int], header: Sequence[int], end: int) -> list[tuple[int, int]]:
    """Where the model's own turns lie: from behind each assistant header to its end token, that one included.

    Args:
        ids: Tokens of a dialogue.
        header: Tokens that open an assistant turn.
        end: The token that ends a message.

    Returns:
        Half-open spans of positions.
    """
    spans = []
    place, width = 0, len(header)
    while place + width <= len(ids):
        if list(ids[place : place + width]) != list(header):
            place += 1
            continue
        start = place + width
        stop = start
        while stop < len(ids) and ids[stop] != end:
            stop += 1
        spans.append((start, min(stop + 1, len(ids))))
        place = stop
    return spans


# Processors -------------------------------------------------------------------------------------------------------


def image_token(processor: Any) -> int:
    """The id of the token that stands for a visual token."""
    return int(processor.image_token_id)


def assistant_header(processor: Any) -> list[int]:
    """The tokens that open an assistant turn."""
    opened = [_render(processor, [_said("user", "x")], reply=reply) for reply in (False, True)]
    header = processor.tokenizer.encode(opened[1][len(opened[0]) :], add_special_tokens=False)
    return [int(token) for token in header]


def response_template(header: str, end: str) -> dict[str, Any]:
    """How TRL's loop reads a turn: one without `<answer>` is a call of the tool, with the whole turn as its argument.

    The engine's own parser then decides what the turn means, as everywhere else. A turn that was cut off before its
    end token is no call: the roll-out ends there.
    """
    whole = {"content": "text", "content_args": {"strip": False}, "close": end}
    return {
        "defaults": {"role": "assistant"},
        "start_anchor": header,
        "fields": {
            "tool_calls": {
                **whole,
                "open_pattern": rf"\A(?=(?:(?!<answer>|{_escaped(end)}).)+{_escaped(end)})",
                "transform": [{"type": "function", "function": {"name": TOOL, "arguments": {"turn": "{content}"}}}],
            },
            "content": whole,
        },
    }


def prepare_processor(processor: Any, path: str) -> None:
    """Make a processor ready for dialogues with zooms, and check it.

    Args:
        processor: Loaded for a vision-language model; its tokenizer gets left padding and a response template.
        path: Names the model in errors.

    Raises:
        InvalidSetting: If it is a bare tokenizer, has no chat template, or its template drops pictures or replies.
    """
    if not hasattr(processor, "image_processor") or not hasattr(processor, "tokenizer"):
        raise InvalidSetting(
            f"the processor of {path!r} is {type(processor).__name__}, without an image processor: frames could not "
            "reach the model. Save the model's own processor beside it"
        )
    if not processor.chat_template:
        raise InvalidSetting(f"the processor of {path!r} has no chat template: set processor.chat_template and save it")
    probe = [
        _said("user", "question"),
        _said("assistant", "call"),
        {"role": "tool", "name": TOOL, "content": [{"type": "image"}, {"type": "text", "text": "reply"}]},
    ]
    rendered = _render(processor, probe, reply=True)
    if "reply" not in rendered or processor.image_token not in rendered:
        lost = "pictures" if "reply" in rendered else "replies"
        raise InvalidSetting(
            f"the chat template of {path!r} drops {lost} in messages of role 'tool': the model would never see what it "
            "zoomed into. Set processor.chat_template to one that renders them, such as TRL's qwen3_vl.jinja"
        )
    tokenizer = processor.tokenizer
    tokenizer.padding_side = "left"
    closed = _render(processor, [_said("user", "x")], reply=False)
    opened = _render(processor, [_said("user", "x")], reply=True)
    # What the model came with goes back into saved folders: see `save_checkpoint`.
    if not hasattr(tokenizer, "own_response_template"):
        tokenizer.own_response_template = getattr(tokenizer, "response_template", None)
    tokenizer.response_template = response_template(opened[len(closed) :], tokenizer.eos_token)


def frame_tokens(processor: Any, budget: Budget, height: int, width: int) -> int:
    """Visual tokens of one frame of a video of `height` x `width`, as shown under a budget."""
    shown = budget.fit(height, width)
    blank = Image.fromarray(np.zeros((*shown, 3), dtype=np.uint8))
    grid = processor.image_processor(images=[blank], return_tensors="pt")["image_grid_thw"][0]
    return int(grid.prod()) // int(processor.image_processor.merge_size) ** 2


def watch_images(model: Any, image_id: int, merge_size: int) -> Any:
    """Check each forward pass of a model: as many visual tokens as pixels for them, neither lost nor left over.

    Args:
        model: A Qwen-VL model, or one that takes the same inputs.
        image_id: The token of pictures.
        merge_size: Patches along one side of a visual token.

    Returns:
        A handle; `remove()` ends the watch.
    """

    def check(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = kwargs.get("input_ids")
        if ids is None:
            return
        seen = (kwargs.get("mm_encoder_outputs") or {}).get("image")
        if seen is not None:
            # While generating, the library runs the vision tower first and passes on what it made.
            _agree(int((ids == image_id).sum()), sum(len(picture) for picture in seen.pooler_output))
        else:
            grids = kwargs.get("image_grid_thw") if kwargs.get("pixel_values") is not None else None
            _match(ids, grids, image_id, merge_size)

    return model.register_forward_pre_hook(check, with_kwargs=True)


def _match(ids: Tensor, grids: Tensor | None, image_id: int, merge_size: int) -> None:
    wanted = 0 if grids is None else int(grids.prod(-1).sum()) // merge_size**2
    _agree(int((ids == image_id).sum()), wanted)


def _agree(tokens: int, pixels: int) -> None:
    if tokens != pixels:
        raise BlindModel(
            f"the model was given {tokens} visual tokens but pixels for {pixels}: frames were cut off or lost. If this "
            "comes from a trainer, its limit on lengths (max_length, max_completion_length) is too small"
        )


def _blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return [] if isinstance(content, str) else list(content)


def _said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}


def _render(processor: Any, chat: Sequence[Mapping[str, Any]], *, reply: bool) -> str:
    return str(processor.apply_chat_template(list(chat), add_generation_prompt=reply, tokenize=False))


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if not letter.isalnum() and letter != "_" else letter for letter in text)
