"""Opening, checking and saving of models."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vzgym.agents.metadata import read_metadata, saved_budget, saved_extras
from vzgym.core.actions import Zoom
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.core.files import check_model_path, read_json, write_json
from vzgym.core.registry import names_from_data
from vzgym.episode import Episode
from vzgym.policies.fingerprint import METADATA
from vzgym.protocols import PROTOCOLS, TextProtocol
from vzgym.tasks import VideoTask
from vzgym.video import ArrayVideo

__all__ = [
    "Checkpoint",
    "complete_checkpoint",
    "open_checkpoint",
    "open_model",
    "open_processor",
    "prompt_version",
    "resolve_protocol",
    "save_checkpoint",
    "saved_protocol",
    "vision_config",
]


@dataclass(frozen=True)
class Checkpoint:
    """A model with its processor and text protocol.

    Attributes:
        model: A vision-language model (`transformers.PreTrainedModel`).
        processor: Its processor, with left padding and a chat template that renders images of tool replies.
        protocol: The text protocol of its dialogues.
        path: Where it was opened.
        budget: The budget that it was trained with; None if unknown.
        extras: The tools and the subtitle mode that it was trained with, as `Extras.to_json` gives them; None if
            unknown.
    """

    model: Any
    processor: Any
    protocol: TextProtocol
    path: str
    budget: Budget | None = None
    extras: Mapping[str, Any] | None = None


def save_checkpoint(
    folder: str | Path,
    model: Any,
    processor: Any,
    protocol: TextProtocol,
    weights: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    extras: Mapping[str, Any] | None = None,
) -> None:
    """Write model, processor and protocol into a folder.

    Args:
        folder: Created if it does not exist.
        model: The model.
        processor: Its processor; see `complete_checkpoint`.
        protocol: The text protocol of its dialogues.
        weights: A state dict in place of the model's own, if this process holds only a part of the weights.
        budget: The budget that it was trained with, if known.
        extras: The tools and the subtitle mode that it was trained with, if known (`Extras.to_json`).
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, state_dict=weights)
    complete_checkpoint(folder, model.config, processor, protocol, budget, extras)


def complete_checkpoint(
    folder: Path,
    config: Any,
    processor: Any,
    protocol: TextProtocol,
    budget: Budget | None = None,
    extras: Mapping[str, Any] | None = None,
) -> None:
    """Write the files that are needed beside the weights to open a folder as a policy.

    Changes made for training are left out: the response template (a server would parse turns by it), and the text
    prepended to the chat template (it hides a server's `tools`).
    """
    if not (folder / "config.json").is_file():
        # peft saves adapters without the configuration of their base model.
        config.save_pretrained(folder)
    with _original_state(processor):
        processor.save_pretrained(folder)
    # Written last: the run id identifies the weights in the folder (see `vzgym.policies.fingerprint`).
    metadata = {
        "protocol": dict(protocol.spec),
        "prompt": prompt_version(protocol),
        "budget": None if budget is None else budget.to_dict(),
        "extras": None if extras is None else dict(extras),
        "run_id": uuid.uuid4().hex,
    }
    write_json(folder / METADATA, metadata)


@contextmanager
def _original_state(processor: Any) -> Iterator[None]:
    """Restore a processor's templates and defaults to their state before `prepare_processor`, within the block."""
    tokenizer, images = processor.tokenizer, processor.image_processor
    tensors = vars(images).pop("return_tensors", None)
    ours = getattr(tokenizer, "response_template", None), processor.chat_template
    tokenizer.response_template = getattr(tokenizer, "own_response_template", ours[0])
    processor.chat_template = getattr(processor, "own_chat_template", ours[1])
    try:
        yield
    finally:
        tokenizer.response_template, processor.chat_template = ours
        images.return_tensors = tensors


def open_checkpoint(path: str | Path, protocol: str | Mapping[str, Any] | None = None, **options: Any) -> Checkpoint:
    """Open a model for inference or training, and check that it takes images.

    Args:
        path: A folder, or a name on the Hugging Face hub.
        protocol: The text protocol; if not given, the one that the folder names, else the paper's.
        options: For the model's `from_pretrained` (dtype, device map, ...).

    Raises:
        InvalidSetting: If there is no model, it has no vision, or its chat template drops images.
    """
    model, processor = open_model(str(path), options), open_processor(path)
    chosen = resolve_protocol(path, protocol)
    return Checkpoint(model, processor, chosen, str(path), saved_budget(path), saved_extras(path))


def resolve_protocol(path: str | Path, given: str | Mapping[str, Any] | None = None) -> TextProtocol:
    """The text protocol of a model: the given one, else the one that its folder names, else the paper's.

    Raises:
        UnknownName: If there is no such protocol.
    """
    return PROTOCOLS.make(given) if given else saved_protocol(path) or PROTOCOLS.make("tags")


def saved_protocol(path: str | Path) -> TextProtocol | None:
    """The text protocol that a model's folder names; None if it has no `vzgym.json`.

    Raises:
        InvalidSetting: If its `vzgym.json` cannot be read, or names none.
        UntrustedName: If the folder names one that is not registered, that is, code from the folder's author.
    """
    metadata = Path(path) / METADATA
    values = read_metadata(path)
    if not values:
        return None
    if "protocol" not in values:
        raise InvalidSetting(f"{metadata} does not name a text protocol")
    hint = 'If you trust it, name the protocol yourself: protocol="module:Class".'
    with names_from_data(str(metadata), hint=hint):
        return PROTOCOLS.make(values["protocol"])


def prompt_version(protocol: TextProtocol) -> str:
    """A digest of the texts by which a protocol asks and replies: it changes where their wording changes."""
    video = ArrayVideo(np.zeros((16, 8, 8, 3), np.uint8), fps=1)
    task = VideoTask("prompt", video, "What is shown?", ("this", "that"), "this")
    episode = Episode(task, Budget(), protocol)
    # A clip, a refusal and the last round: the replies there are.
    for zoom in (Zoom(0, 4, 1), Zoom(4, 0, 1), Zoom(0, 4, 1)):
        episode.step(zoom)
    texts = [f"{message.role}: {message.text}" for message in episode.messages]
    return hashlib.blake2b("\n".join(texts).encode(), digest_size=6).hexdigest()


def vision_config(path: str) -> Any:
    """A model's configuration.

    Raises:
        InvalidSetting: If there is none, or the model has no vision.
    """
    from transformers import AutoConfig

    if not path:
        raise InvalidSetting("model must be given: a checkpoint folder, or a name on the Hugging Face hub")
    check_model_path(path)
    try:
        config = AutoConfig.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise InvalidSetting(f"no model could be opened at {path!r}: {error}") from error
    if getattr(config, "vision_config", None) is None:
        raise InvalidSetting(
            f"the model at {path!r} ({config.model_type}) has no vision: it could not get frames. Give a "
            "vision-language model, such as Qwen/Qwen3-VL-4B-Instruct or a folder made by `vzgym train pretrain`"
        )
    return config


def open_processor(path: str | Path) -> Any:
    """A model's processor, prepared for dialogues; no weights are loaded.

    Raises:
        InvalidSetting: If there is no model, it has no vision, or its chat template drops images.
    """
    from vzgym.agents.vlm.chat import prepare_processor
    from vzgym.agents.vlm.processor import load_processor

    if _is_tiny(vision_config(str(path))):
        from vzgym.agents.tiny.processor import TinyProcessor

        processor: Any = TinyProcessor.from_pretrained(path)
    else:
        processor = load_processor(str(path))
    prepare_processor(processor, str(path))
    return processor


def _is_tiny(config: Any) -> bool:
    from vzgym.agents.tiny.size import MARK

    return bool(getattr(config, MARK, False))


def open_model(path: str, options: Mapping[str, Any]) -> Any:
    """Load a model; for a folder of adapters, their base model with the adapters merged.

    Args:
        path: See `open_checkpoint`.
        options: For the model's `from_pretrained`.

    Raises:
        InvalidSetting: If there is no model, or it has no vision, or adapters name no base model or are their own.
    """
    adapters: list[str] = []
    base = path
    while (file := Path(base) / "adapter_config.json").is_file():
        adapters.append(base)
        base = read_json(file, InvalidSetting).get("base_model_name_or_path")
        if not isinstance(base, str) or not base:
            raise InvalidSetting(f"{file} names no base model (base_model_name_or_path)")
        if Path(base).resolve() in {Path(folder).resolve() for folder in adapters}:
            chain = " -> ".join([*adapters, base])
            raise InvalidSetting(
                f"the adapters in {path} are their own base model ({chain}): set base_model_name_or_path in "
                f"{file} to the model that they were trained on"
            )
    model = _open_weights(base, options)
    for folder in reversed(adapters):
        model = _merged(model, folder)
    return model


def _open_weights(path: str, options: Mapping[str, Any]) -> Any:
    """Load a model that has all its weights."""
    from transformers import AutoModelForImageTextToText

    if _is_tiny(vision_config(path)):
        from vzgym.agents.tiny.modeling import TinyVLM

        return TinyVLM.from_pretrained(path, **options)
    return AutoModelForImageTextToText.from_pretrained(path, **options)


def _merged(base: Any, path: str) -> Any:
    """A model with the adapters in a folder merged into its weights."""
    from peft import PeftModel

    model = PeftModel.from_pretrained(base, path).merge_and_unload()
    # A full model: all of it can be trained, and new adapters name this folder as their base.
    model.requires_grad_(True)
    model.name_or_path = model.config.name_or_path = path
    return model
