"""CLIP, SigLIP and BLIP with random weights, each saved to a folder with its tokenizer and image processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    Blip2Config,
    Blip2ForImageTextRetrieval,
    BlipConfig,
    BlipForImageTextRetrieval,
    BlipImageProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

WORDS = "what which color shape lights up in the a red green blue scene left right of is ? . A B".split()
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def tokenizer(form: str, length: int) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words; `form` says where special tokens are put."""
    vocabulary = {word: place for place, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single=form, special_tokens=[("<s>", 1), ("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
        model_max_length=length,
    )  # fmt: skip


def save_clip(folder: Path, *, positions: int = 77, image_size: int = 32, seed: int = 0, **vision: Any) -> Path:
    torch.manual_seed(seed)
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = CLIPConfig(
        text_config={**SMALL, "vocab_size": 64, "max_position_embeddings": positions, **special},
        vision_config={**SMALL, "image_size": image_size, "patch_size": 8, **vision},
        projection_dim=12,
    )
    CLIPModel(config).save_pretrained(folder)
    tokenizer("<s> $A </s>", positions).save_pretrained(folder)
    size = {"height": image_size, "width": image_size}
    CLIPImageProcessor(size={"shortest_edge": image_size}, crop_size=size).save_pretrained(folder)
    return folder


def save_siglip(folder: Path) -> Path:
    torch.manual_seed(1)
    config = SiglipConfig(
        text_config={
            **SMALL,
            "vocab_size": 64,
            "max_position_embeddings": 64,
            "projection_size": 16,
            "pad_token_id": 0,
        },
        vision_config={**SMALL, "image_size": 32, "patch_size": 8},
    )
    model = SiglipModel(config)
    torch.nn.init.constant_(model.logit_scale, 2.0)
    torch.nn.init.constant_(model.logit_bias, -3.0)
    model.save_pretrained(folder)
    tokenizer("$A </s>", 64).save_pretrained(folder)
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def save_blip(folder: Path) -> Path:
    torch.manual_seed(2)
    config = BlipConfig(
        text_config={**SMALL, "vocab_size": 64, "max_position_embeddings": 40, "encoder_hidden_size": 16,
                     "bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 2, "pad_token_id": 0},
        # The default, 1e-10, makes all images alike.
        vision_config={**SMALL, "image_size": 32, "patch_size": 8, "initializer_range": 0.3},
        image_text_hidden_size=12,
    )  # fmt: skip
    BlipForImageTextRetrieval(config).save_pretrained(folder)
    tokenizer("<s> $A </s>", 40).save_pretrained(folder)
    BlipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def save_blip2(folder: Path) -> Path:
    torch.manual_seed(3)
    config = Blip2Config(
        vision_config={**SMALL, "image_size": 32, "patch_size": 8, "initializer_range": 0.3},
        qformer_config={**SMALL, "vocab_size": 64, "max_position_embeddings": 40, "encoder_hidden_size": 16,
                        "cross_attention_frequency": 1, "use_qformer_text_input": True, "initializer_range": 0.3},
        text_config={"model_type": "opt", "vocab_size": 64, "hidden_size": 16, "ffn_dim": 16, "num_hidden_layers": 1,
                     "num_attention_heads": 2, "word_embed_proj_dim": 16},
        num_query_tokens=4, image_text_hidden_size=12, image_token_index=None,
    )  # fmt: skip
    model = Blip2ForImageTextRetrieval(config)
    torch.nn.init.normal_(model.query_tokens)
    model.save_pretrained(folder)
    tokenizer("<s> $A </s>", 40).save_pretrained(folder)
    BlipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder
