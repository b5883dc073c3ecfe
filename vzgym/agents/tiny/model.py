"""The tiny model: Qwen3-VL's architecture with under half a million weights, initialized from a seed."""

from __future__ import annotations

import torch
from transformers import PreTrainedTokenizerBase, Qwen3VLConfig

from vzgym.agents.tiny.modeling import TinyVLM
from vzgym.agents.tiny.size import MARK, TinySize
from vzgym.agents.tiny.tokenizer import IMAGE

__all__ = ["build_model"]


def build_model(tokenizer: PreTrainedTokenizerBase, size: TinySize | None = None, seed: int = 0) -> TinyVLM:
    """A model with random weights.

    Args:
        tokenizer: Defines the vocabulary size and the ids of special tokens.
        size: The model's size; the default fits the micro suites.
        seed: Seed of the weights.
    """
    size = size or TinySize()
    head = size.head_width or size.width // size.heads
    third = head // 8
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": size.width,
            "intermediate_size": size.inner,
            "num_hidden_layers": size.layers,
            "num_attention_heads": size.heads,
            "num_key_value_heads": size.heads,
            "head_dim": head,
            "max_position_embeddings": size.positions,
            # Far above the usual 0.02: with so few layers, smaller initial weights do not learn look-ups.
            "initializer_range": 0.05,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e4,
                "mrope_section": [head // 2 - 2 * third, third, third],
                "mrope_interleaved": True,
            },
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={
            "depth": size.vision_layers,
            "hidden_size": size.vision_width,
            "intermediate_size": 2 * size.vision_width,
            "num_heads": 4,
            "patch_size": size.patch,
            "spatial_merge_size": 2,
            "temporal_patch_size": 1,
            "out_hidden_size": size.width,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [],
            "initializer_range": 0.05,
        },
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
        tie_word_embeddings=True,
        **{MARK: True},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = TinyVLM(config)
    for layer in model.model.language_model.layers:
        # Normalized queries and keys of 16 channels give scores of at most 4: too flat to select one of 80 tokens.
        layer.self_attn.q_norm.weight.data.fill_(2.0)
        layer.self_attn.k_norm.weight.data.fill_(2.0)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    # Saved with the weights, so that a server of the model cannot generate image tokens or message headers either.
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    model.generation_config.suppress_tokens = sorted(special - {tokenizer.eos_token_id})
    return model
