"""Vision-language models of real families, built from their configurations with random weights; no downloads.

Processor, chat template, image tokens and positions are those of a real checkpoint; only the weights are random. For
tests of code around models, and for measuring speed and memory at any size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module, resources
from pathlib import Path
from typing import Any, TypeAlias

from vzgym.core.errors import InvalidSetting, UnknownName

__all__ = ["FAMILIES", "SIZES", "ModelSize", "build_checkpoint", "build_config", "build_processor", "build_tokenizer"]


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """The size of a model."""

    width: int = 64
    """Channels of the language model."""
    layers: int = 2
    """Layers of the language model."""
    heads: int = 4
    """Attention heads of the language model."""
    kv_heads: int = 2
    """Heads of its keys and values."""
    inner: int = 128
    """Channels inside its feed-forward layers."""
    vision_width: int = 32
    """Channels of the vision tower."""
    vision_layers: int = 2
    """Layers of the vision tower."""
    vision_heads: int = 2
    """Attention heads of the vision tower."""
    vision_inner: int = 64
    """Channels inside its feed-forward layers."""
    patch: int = 14
    """Side of a patch in pixels."""
    positions: int = 4096
    """Largest number of tokens of a dialogue."""
    vocabulary: int = 0
    """Rows of the embedding; 0: the tokenizer's number of tokens."""


SIZES: Mapping[str, ModelSize] = {
    "tiny": ModelSize(),
    # About 0.6 billion weights as a Qwen3-VL.
    "mid": ModelSize(
        width=1024, layers=24, heads=16, kv_heads=4, inner=4096, vision_width=768, vision_layers=12, vision_heads=12,
        vision_inner=3072, positions=32_768, vocabulary=152_064,
    ),
    # About 2.0 billion weights as a Qwen3-VL.
    "large": ModelSize(
        width=1792, layers=24, heads=14, kv_heads=2, inner=8960, vision_width=1280, vision_layers=16, vision_heads=16,
        vision_inner=5120, positions=32_768, vocabulary=152_064,
    ),
}  # fmt: skip
"""Sizes by name."""

Settings: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class _Family:
    """A family of models in `transformers`.

    Attributes:
        config: The configuration's class in `transformers`.
        processor: The processor's class in `transformers`.
        images: Its image processor's class, a module path under `transformers.models` and a name.
        template: File name of TRL's chat template.
        end: The token that ends a message.
        tokens: The other special tokens.
        settings: Arguments of the configuration from size and token ids.
        image_settings: Arguments of the image processor from size.
        processor_settings: Arguments of the processor from size.
        roles: Special tokens that the tokenizer names (`bos_token`, ...).
    """

    config: str
    processor: str
    images: tuple[str, str]
    template: str
    end: str
    tokens: tuple[str, ...]
    settings: Callable[[ModelSize, Callable[[str], int]], Settings]
    image_settings: Callable[[ModelSize], Settings]
    processor_settings: Callable[[ModelSize], Settings] = lambda size: {}
    roles: Mapping[str, str] = field(default_factory=dict)


def _text(size: ModelSize) -> Settings:
    return {
        "hidden_size": size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "intermediate_size": size.inner,
        "max_position_embeddings": size.positions,
        "vocab_size": size.vocabulary,
    }


def _sections(size: ModelSize, interleaved: bool) -> Settings:
    half = size.width // size.heads // 2
    third = 3 * half // 8
    more = {"mrope_interleaved": True} if interleaved else {}
    kind = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [half - 2 * third, third, third]}
    return {"rope_parameters": {**kind, **more}}


def _qwen_ids(token: Callable[[str], int]) -> Settings:
    names = {"image_token_id": "image_pad", "video_token_id": "video_pad", "vision_start_token_id": "vision_start",
             "vision_end_token_id": "vision_end"}  # fmt: skip
    return {key: token(f"<|{name}|>") for key, name in names.items()}


def _qwen2_5(size: ModelSize, token: Callable[[str], int]) -> Settings:
    vision = {"depth": size.vision_layers, "hidden_size": size.vision_width, "num_heads": size.vision_heads,
              "intermediate_size": size.vision_inner, "patch_size": size.patch, "out_hidden_size": size.width,
              "fullatt_block_indexes": [size.vision_layers - 1], "window_size": 8 * size.patch}  # fmt: skip
    return {"text_config": {**_text(size), **_sections(size, False)}, "vision_config": vision, **_qwen_ids(token)}


def _qwen3(size: ModelSize, token: Callable[[str], int]) -> Settings:
    vision = {"depth": size.vision_layers, "hidden_size": size.vision_width, "num_heads": size.vision_heads,
              "intermediate_size": size.vision_inner, "patch_size": size.patch, "out_hidden_size": size.width,
              "num_position_embeddings": 256, "deepstack_visual_indexes": [0]}  # fmt: skip
    text = {**_text(size), "head_dim": size.width // size.heads, **_sections(size, True)}
    return {"text_config": text, "vision_config": vision, "tie_word_embeddings": True, **_qwen_ids(token)}


def _idefics3(size: ModelSize, token: Callable[[str], int]) -> Settings:
    vision = {"hidden_size": size.vision_width, "num_hidden_layers": size.vision_layers, "image_size": 8 * size.patch,
              "num_attention_heads": size.vision_heads, "intermediate_size": size.vision_inner,
              "patch_size": size.patch}  # fmt: skip
    text = {"model_type": "llama", **_text(size)}
    return {"text_config": text, "vision_config": vision, "scale_factor": 2, "image_token_id": token("<image>")}


def _gemma3(size: ModelSize, token: Callable[[str], int]) -> Settings:
    vision = {"hidden_size": size.vision_width, "num_hidden_layers": size.vision_layers, "image_size": 8 * size.patch,
              "num_attention_heads": size.vision_heads, "intermediate_size": size.vision_inner,
              "patch_size": size.patch}  # fmt: skip
    text = {**_text(size), "head_dim": size.width // size.heads, "sliding_window": 512}
    ids = {"image_token_index": token("<image_soft_token>"), "boi_token_index": token("<start_of_image>"),
           "eoi_token_index": token("<end_of_image>"), "mm_tokens_per_image": 16}  # fmt: skip
    return {"text_config": text, "vision_config": vision, **ids}


_QWEN_TOKENS = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|im_start|>")
_QWEN_IMAGES = ("qwen2_vl.image_processing_pil_qwen2_vl", "Qwen2VLImageProcessorPil")

FAMILIES: Mapping[str, _Family] = {
    "qwen2_5_vl": _Family(
        "Qwen2_5_VLConfig", "Qwen2_5_VLProcessor", _QWEN_IMAGES, "qwen2_5_vl.jinja", "<|im_end|>", _QWEN_TOKENS,
        _qwen2_5, lambda size: {"patch_size": size.patch, "merge_size": 2},
    ),
    "qwen3_vl": _Family(
        "Qwen3VLConfig", "Qwen3VLProcessor", _QWEN_IMAGES, "qwen3_vl.jinja", "<|im_end|>", _QWEN_TOKENS,
        _qwen3, lambda size: {"patch_size": size.patch, "merge_size": 2},
    ),
    "idefics3": _Family(
        "Idefics3Config", "Idefics3Processor", ("idefics3.image_processing_pil_idefics3", "Idefics3ImageProcessorPil"),
        "idefics3.jinja", "<end_of_utterance>",
        ("<image>", "<fake_token_around_image>", "<global-img>", "<|begin_of_text|>"), _idefics3,
        lambda size: {"do_image_splitting": False, "size": {"longest_edge": 8 * size.patch},
                      "max_image_size": {"longest_edge": 8 * size.patch}},
        lambda size: {"image_seq_len": 16}, {"bos_token": "<|begin_of_text|>"},
    ),
    "gemma3": _Family(
        "Gemma3Config", "Gemma3Processor", ("gemma3.image_processing_pil_gemma3", "Gemma3ImageProcessorPil"),
        "gemma3.jinja", "<end_of_turn>",
        ("<bos>", "<start_of_turn>", "<image_soft_token>", "<start_of_image>", "<end_of_image>"), _gemma3,
        lambda size: {"size": {"height": 8 * size.patch, "width": 8 * size.patch}},
        lambda size: {"image_seq_length": 16},
        {"bos_token": "<bos>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>",
         "image_token": "<image_soft_token>"},
    ),
}  # fmt: skip
"""The families that can be built, by the names of their folders in `transformers`."""


def build_tokenizer(family: str) -> Any:
    """Build a byte-level tokenizer with a family's special tokens: a few hundred tokens, trained on protocol text.

    Raises:
        UnknownName: If there is no such family.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    known = _family(family)
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator([_WORDS], trainer)
    core.add_special_tokens(["<|endoftext|>", known.end, *known.tokens])
    core.add_tokens([AddedToken(tag, normalized=False) for tag in ("<tool_call>", "</tool_call>")])
    names = dict(known.roles)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<|endoftext|>", eos_token=known.end, clean_up_tokenization_spaces=False,
        extra_special_tokens={key: names.pop(key) for key in list(names) if key != "bos_token"}, **names,
    )  # fmt: skip


def build_processor(family: str, size: ModelSize | None = None) -> Any:
    """Build a family's processor and chat template, with `build_tokenizer` and an image processor without torchvision.

    Raises:
        UnknownName: If there is no such family.
    """
    import transformers

    from vzgym.agents.vlm.processor import without_video

    known, size = _family(family), size or SIZES["tiny"]
    module, name = known.images
    images = getattr(import_module(f"transformers.models.{module}"), name)
    template = (resources.files("trl") / "chat_templates" / known.template).read_text(encoding="utf-8")
    cls = without_video(getattr(transformers, known.processor))
    return cls(
        images(**known.image_settings(size)),
        build_tokenizer(family),
        chat_template=template,
        **known.processor_settings(size),
    )


def build_config(family: str, tokenizer: Any, size: ModelSize | None = None) -> Any:
    """Build a family's configuration at a size.

    Raises:
        UnknownName: If there is no such family.
        InvalidSetting: If the heads do not divide the channels.
    """
    import transformers

    known, size = _family(family), size or SIZES["tiny"]
    if size.width % (2 * size.heads) or size.vision_width % (2 * size.vision_heads):
        raise InvalidSetting(
            f"width ({size.width}) must be a multiple of 2 * heads ({2 * size.heads}), and vision_width "
            f"({size.vision_width}) of 2 * vision_heads ({2 * size.vision_heads})"
        )
    filled = replace(size, vocabulary=size.vocabulary or len(tokenizer))
    settings = known.settings(filled, tokenizer.convert_tokens_to_ids)
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id,
           "bos_token_id": tokenizer.bos_token_id}  # fmt: skip
    settings["text_config"].update(ids)
    return getattr(transformers, known.config)(**settings)


def build_checkpoint(
    family: str, folder: str | Path, size: ModelSize | None = None, seed: int = 0, dtype: str = "float32"
) -> Path:
    """Write a model of a family with random weights, and its processor, as a folder that `VLMPolicy` opens.

    Args:
        family: A key of `FAMILIES`.
        folder: Output folder.
        size: Size of the model.
        seed: Seed of the weights.
        dtype: Type of the weights in torch, such as "bfloat16".

    Raises:
        UnknownName: If there is no such family.
    """
    import torch
    from transformers import AutoModelForImageTextToText

    processor = build_processor(family, size)
    config = build_config(family, processor.tokenizer, size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(config, dtype=getattr(torch, dtype))
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return Path(folder)


def _family(name: str) -> _Family:
    if name not in FAMILIES:
        raise UnknownName("model family", name, FAMILIES)
    return FAMILIES[name]


_WORDS = (
    "You answer a question about a video. You first see a few frames of all of it, each after its time. Take one "
    "action a turn. Think first, between <think> and </think>. To look more closely, write "
    '<video_zoom>{"segment": [12.0, 14.0], "fps": 8}</video_zoom>, with times in seconds. As soon as you are sure, '
    "write <answer>B</answer>. Rounds left: 4. <frame0_time12.00s><frame1_time12.50s> Clip 4.00 to 5.00 s at 2 fps, "
    "8 frames: Not shown (outside): <tool_response> </tool_response> user assistant system User: Assistant: model "
    "You are a helpful assistant."
)
