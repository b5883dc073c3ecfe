"""Models in folders: how they are opened, checked and saved, tiny or large."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vzgym.core.errors import InvalidSetting
from vzgym.protocols import PROTOCOLS, TextProtocol

__all__ = ["Checkpoint", "open_checkpoint", "save_checkpoint"]

FACTS = "vzgym.json"
"""In a model's folder: the text protocol that it speaks."""


@dataclass(frozen=True)
class Checkpoint:
    """A model with what belongs to it.

    Attributes:
        model: A vision-language model (`transformers.PreTrainedModel`).
        processor: Its processor, padding on the left, with a chat template that shows tools' images and a response
            template.
        protocol: The text protocol that it speaks.
        path: Where it came from.
    """

    model: Any
    processor: Any
    protocol: TextProtocol
    path: str


def save_checkpoint(folder: str | Path, model: Any, processor: Any, protocol: TextProtocol) -> None:
    """Write model, processor and protocol into a folder.

    The response template that trainers read turns by stays out: a server of the folder would take whole turns for
    calls of a tool.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer = processor.tokenizer
    ours = getattr(tokenizer, "response_template", None)
    tokenizer.response_template = getattr(tokenizer, "own_response_template", ours)
    processor.save_pretrained(folder)
    tokenizer.response_template = ours
    (folder / FACTS).write_text(json.dumps({"protocol": dict(protocol.spec)}, indent=2))


def open_checkpoint(path: str | Path, protocol: str | Mapping[str, Any] | None = None, **options: Any) -> Checkpoint:
    """Open a model for acting or training, and check that it can see.

    Args:
        path: A folder, or a name on the Hugging Face hub.
        protocol: The text protocol; the one kept in the folder if not given, else the paper's.
        options: For the model's `from_pretrained` (dtype, device map, ...).

    Raises:
        InvalidSetting: If there is no model, it has no vision, or its chat template drops images.
    """
    from vzgym.agents.dialogues import prepare_processor

    model, processor = _load(str(path), options)
    prepare_processor(processor, str(path))
    return Checkpoint(model, processor, PROTOCOLS.make(protocol or _kept_protocol(path)), str(path))


def _kept_protocol(path: str | Path) -> str | Mapping[str, Any]:
    facts = Path(path) / FACTS
    if not facts.is_file():
        return "tags"
    kept: Mapping[str, Any] = json.loads(facts.read_text())["protocol"]
    return kept


def _load(path: str, options: Mapping[str, Any]) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    if not path:
        raise InvalidSetting("model must be given: a checkpoint folder, or a name on the Hugging Face hub")
    try:
        config = AutoConfig.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise InvalidSetting(f"no model could be opened at {path!r}: {error}") from error
    if getattr(config, "vision_config", None) is None:
        raise InvalidSetting(
            f"the model at {path!r} ({config.model_type}) has no vision: frames could not reach it. Give a "
            "vision-language model, such as Qwen/Qwen3-VL-4B-Instruct or a folder made by `vzgym train warmup`"
        )
    if (config.architectures or [""])[0] == "TinyVLM":
        from vzgym.agents.tiny import TinyProcessor, TinyVLM

        return TinyVLM.from_pretrained(path, **options), TinyProcessor.from_pretrained(path)
    return AutoModelForImageTextToText.from_pretrained(path, **options), AutoProcessor.from_pretrained(path)
