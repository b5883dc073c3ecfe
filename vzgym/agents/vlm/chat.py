"""Conversion of dialogues to model inputs, shared by inference, SFT and GRPO.

A processor is checked when it is opened. Dropped frames are detected in `encode` and, in every forward pass, by
`vzgym.agents.vlm.image_checks.watch_images`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import torch
from jinja2 import TemplateError
from torch import Tensor

from vzgym.agents.vlm.image_checks import ImagesDropped, image_placeholder, image_token
from vzgym.core.errors import InvalidSetting
from vzgym.episode.dialogue import Message
from vzgym.protocols import as_chat

__all__ = [
    "assistant_header",
    "chat_of",
    "encode",
    "end_tokens",
    "join_inputs",
    "prepare_processor",
    "suppressed_tokens",
    "turn_end",
    "turn_lead",
    "turn_spans",
]

TOOL = "video_zoom"
"""The name of the zoom tool in trainers: the paper's tag."""


_OUTPUT_TAGS = {f"<{slash}{tag}>" for tag in ("think", "answer", "video_zoom", "tool_call") for slash in ("", "/")}
"""Tags that a model may write, even if a tokenizer marks them as special."""


def chat_of(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Convert a dialogue to chat messages; the environment's replies have the role "tool", as in trainers."""
    return as_chat(messages, tool_role="tool")


def encode(processor: Any, chat: Sequence[Mapping[str, Any]], *, reply: bool = True) -> dict[str, Tensor]:
    """Encode one dialogue as tokens and pixels.

    Args:
        processor: From `open_checkpoint`.
        chat: Chat messages with their images.
        reply: Whether to append the header of the model's next turn.

    Returns:
        `input_ids` and other fields per token, shape `(tokens,)`; with images, also the processor's pixel fields, in
        its own shapes.

    Raises:
        ImagesDropped: If the rendered text has another number of image placeholders than the dialogue has images.
    """
    images = [block["image"] for message in chat for block in _blocks(message) if block["type"] == "image"]
    text = _render(processor, chat, reply=reply)
    shown = text.count(image_placeholder(processor))
    if shown != len(images):
        raise ImagesDropped(
            f"a dialogue has {len(images)} images, but its text has {shown} image placeholders: the chat template "
            "dropped some, or a text contains the placeholder"
        )
    bos = processor.tokenizer.bos_token
    made = processor(
        text=[text],
        images=[images] if images else None,
        return_tensors="pt",
        # As the library's own `apply_chat_template` does: the template may have written the token already.
        **({"add_special_tokens": False} if bos is not None and text.startswith(bos) else {}),
    )
    length = made["input_ids"].shape[1]
    return {
        key: value[0] if tuple(value.shape) == (1, length) else value
        for key, value in made.items()
        if key != "attention_mask"
    }


def join_inputs(rows: Sequence[Mapping[str, Tensor]], pad_id: int, side: str = "left") -> dict[str, Tensor]:
    """Collate encoded dialogues into a batch.

    Args:
        rows: From `encode`.
        pad_id: The padding token.
        side: The side of the padding: "left" for generation, "right" for training.

    Returns:
        `input_ids`, `attention_mask` and other fields per token, each of shape `(rows, tokens)`, and the pixel fields,
        concatenated in the order of the rows; where they differ in a further dimension, padded with 0.
    """
    length = max(len(row["input_ids"]) for row in rows)
    batch: dict[str, Tensor] = {}
    for key in sorted({key for row in rows for key in row}):
        parts = [row[key] for row in rows if key in row]
        if all(key in row and row[key].dim() == 1 and len(row[key]) == len(row["input_ids"]) for row in rows):
            batch[key] = torch.stack([_fill(part, length, pad_id if key == "input_ids" else 0, side) for part in parts])
        else:
            batch[key] = torch.cat(_same_size(parts))
    masks = [torch.ones(len(row["input_ids"]), dtype=torch.long) for row in rows]
    return {**batch, "attention_mask": torch.stack([_fill(mask, length, 0, side) for mask in masks])}


def _fill(values: Tensor, length: int, value: int, side: str) -> Tensor:
    rest = length - len(values)
    return torch.nn.functional.pad(values, (rest, 0) if side == "left" else (0, rest), value=value)


def _same_size(parts: Sequence[Tensor]) -> list[Tensor]:
    """Tensors padded with 0 at the end, so that they differ in their first dimension only."""
    sizes = [max(part.shape[axis] for part in parts) for axis in range(1, parts[0].dim())]
    filled = []
    for part in parts:
        pads = [amount for axis in range(part.dim() - 1, 0, -1) for amount in (0, sizes[axis - 1] - part.shape[axis])]
        filled.append(torch.nn.functional.pad(part, pads) if any(pads) else part)
    return filled


def turn_spans(ids: Sequence[int], header: Sequence[int], end: int) -> list[tuple[int, int]]:
    """Spans of the model's own turns: from after each assistant header up to and including the end token.

    Args:
        ids: Tokens of a dialogue.
        header: Tokens that open an assistant turn.
        end: The token that ends a message.

    Returns:
        Half-open ranges of positions.
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


def assistant_header(processor: Any) -> list[int]:
    """The tokens that open an assistant turn.

    Raises:
        InvalidSetting: If the chat template writes no token there: the model's turns could not be located.
    """
    header = processor.tokenizer.encode(_header(processor), add_special_tokens=False)
    if not header:
        raise InvalidSetting(
            "the chat template writes no token at the start of the assistant's turn, so the loss could not be limited "
            "to the model's own turns: set processor.chat_template to one that does"
        )
    return [int(token) for token in header]


def turn_end(processor: Any) -> int:
    """The token that ends the model's turn: the one that the chat template writes after it."""
    text = "turn"
    rendered = _render(processor, [_message("user", "x"), _message("assistant", text)], reply=False)
    after = processor.tokenizer.encode(rendered[rendered.rindex(text) + len(text) :], add_special_tokens=False)
    special = _special(processor.tokenizer)
    return int(next((token for token in after if token in special), processor.tokenizer.eos_token_id))


def end_tokens(processor: Any) -> list[int]:
    """The tokens that end the model's turn. A turn that has none of them was cut off by the token limit."""
    return sorted({int(processor.tokenizer.eos_token_id), turn_end(processor)})


def turn_lead(processor: Any) -> str:
    """White space that the chat template writes between the header of an assistant turn and its text; mostly none."""
    text, header = "turn", _header(processor)
    rendered = _render(processor, [_message("user", "x"), _message("assistant", text)], reply=False)
    before = rendered[: rendered.rindex(text)]
    return before[before.rindex(header) + len(header) :] if header and header in before else ""


def suppressed_tokens(processor: Any) -> list[int]:
    """Tokens that a turn may not contain: image tokens and message headers, so that a model cannot invent frames."""
    tokenizer = processor.tokenizer
    ends = {tokenizer.eos_token_id, turn_end(processor)}
    tags = {token for token, content in _special(tokenizer).items() if content in _OUTPUT_TAGS}
    return sorted({*_special(tokenizer), image_token(processor)} - ends - tags)


def _special(tokenizer: Any) -> dict[int, str]:
    """Special tokens by id."""
    added = {int(token): str(mark) for token, mark in tokenizer.added_tokens_decoder.items() if mark.special}
    return {**added, **dict(zip(map(int, tokenizer.all_special_ids), tokenizer.all_special_tokens, strict=True))}


def _header(processor: Any) -> str:
    closed, opened = (_render(processor, [_message("user", "x")], reply=reply) for reply in (False, True))
    return opened[len(closed) :]


def prepare_processor(processor: Any, path: str) -> None:
    """Prepare a processor for dialogues with zooms, and check it.

    `templates/dialogue.jinja` is prepended to a chat template that does not render the environment's replies and the
    model's own turns as they are played, or that writes a trainer's tools into the prompt.

    Args:
        processor: Loaded for a vision-language model; its tokenizer gets left padding.
        path: Names the model in errors.

    Raises:
        InvalidSetting: If it is only a tokenizer, has no chat template, or its template drops images or replies.
    """
    if not hasattr(processor, "image_processor") or not hasattr(processor, "tokenizer"):
        raise InvalidSetting(
            f"the processor of {path!r} is {type(processor).__name__}, without an image processor: the model could not "
            "get frames. Save the model's own processor in the folder"
        )
    if not processor.chat_template:
        raise InvalidSetting(f"the processor of {path!r} has no chat template: set processor.chat_template and save it")
    if _fault(processor) or _writes_tools(processor):
        processor.own_chat_template = processor.chat_template
        adapter = (resources.files("vzgym.agents.vlm") / "templates" / "dialogue.jinja").read_text(encoding="utf-8")
        processor.chat_template = adapter + processor.chat_template
    fault = _fault(processor)
    if fault:
        raise InvalidSetting(
            f"the chat template of {path!r} {fault}: the model would not see the result of a zoom. Set "
            "processor.chat_template to one that renders them, such as TRL's qwen3_vl.jinja"
        )
    # TRL tokenizes prompts without `return_tensors`, and then expects image tensors.
    processor.image_processor.return_tensors = "pt"
    tokenizer = processor.tokenizer
    tokenizer.padding_side = "left"


def _fault(processor: Any) -> str:
    """What a chat template drops from a dialogue with a zoom; "" if nothing."""
    image = {"type": "image", "image": None}
    call = {"type": "function", "function": {"name": TOOL, "arguments": {"turn": "callturn"}}}
    probe: list[dict[str, Any]] = [
        _message("user", "question"),
        {"role": "assistant", "content": [{"type": "text", "text": ""}], "tool_calls": [call]},
        {"role": "tool", "name": TOOL, "content": [image, {"type": "text", "text": "reply"}]},
    ]
    try:
        rendered = _render(processor, probe, reply=True)
        probe[-1]["content"] = [{"type": "text", "text": "reply"}]
        plain = _render(processor, probe, reply=True)
    except (TemplateError, TypeError) as error:
        return f"cannot render a dialogue with replies ({error})"
    lost = {"replies": "reply" not in rendered, "images": rendered == plain, "turns": "callturn" not in rendered}
    return next((f"drops {what} in messages of role 'tool'" for what, gone in lost.items() if gone), "")


def _writes_tools(processor: Any) -> bool:
    """Whether tools that a trainer passes on would change the prompt."""
    tool = {"type": "function", "function": {"name": TOOL, "description": "", "parameters": {"type": "object"}}}
    chat = [_message("system", "rules"), _message("user", "question")]
    shown = processor.apply_chat_template(chat, tools=[tool], add_generation_prompt=True, tokenize=False)
    return str(shown) != _render(processor, chat, reply=True)


def _blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return [] if isinstance(content, str) else list(content)


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}


def _render(processor: Any, chat: Sequence[Mapping[str, Any]], *, reply: bool) -> str:
    return str(processor.apply_chat_template(list(chat), add_generation_prompt=reply, tokenize=False))
