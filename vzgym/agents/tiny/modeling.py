"""Qwen3-VL with equal results, but faster for many small images of one size.

The library loops over images in Python: for attention within each, for the positions of its patches, and for those of
its tokens. With a thousand images of four patches in a batch, that is most of the time. If all images have the same
grid, the loops are replaced by batched operations; otherwise the library's own code runs. Weights have the same names.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration
from transformers.models.qwen3_vl.modeling_qwen3_vl import (
    Qwen3VLModel,
    Qwen3VLVisionAttention,
    apply_rotary_pos_emb_vision,
    get_vision_interpolation_indices_and_weights,
    get_vision_position_ids,
)

__all__ = ["TinyVLM"]


class _FrameAttention(Qwen3VLVisionAttention):  # type: ignore[misc]
    """Attention within images, batched if all have the same number of patches."""

    def forward(
        self,
        hidden_states: Tensor,
        cu_seqlens: Tensor,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        max_seqlen: int | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """See `Qwen3VLVisionAttention.forward`; `hidden_states` has shape `(patches of all images, channels)`."""
        lengths = cu_seqlens[1:] - cu_seqlens[:-1]
        size = int(lengths[0])
        if position_embeddings is None or not bool((lengths == size).all()):
            output: Tensor = super().forward(hidden_states, cu_seqlens, position_embeddings, max_seqlen, **kwargs)
            return output
        count = hidden_states.shape[0]
        query, key, value = self.qkv(hidden_states).reshape(count, 3, self.num_heads, -1).unbind(1)
        query, key = apply_rotary_pos_emb_vision(query, key, *position_embeddings)
        # Each becomes: images, heads, patches, channels.
        query, key, value = (
            x.reshape(-1, size, self.num_heads, self.head_dim).transpose(1, 2) for x in (query, key, value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, scale=self.scaling)
        projected: Tensor = self.proj(mixed.transpose(1, 2).reshape(count, -1))
        return projected


class _Inner(Qwen3VLModel):  # type: ignore[misc]
    """Patch positions computed once if all images have one size; token positions batched if each is one token."""

    def get_image_features(self, pixel_values: Tensor, image_grid_thw: Tensor | None = None, **kwargs: Any) -> Any:
        """See `Qwen3VLModel.get_image_features`."""
        if image_grid_thw is not None and len(image_grid_thw) > 1 and bool((image_grid_thw == image_grid_thw[0]).all()):
            tower, first, count = self.visual, image_grid_thw[:1], len(image_grid_thw)
            indices, weights = get_vision_interpolation_indices_and_weights(
                first,
                num_grid_per_side=tower.num_grid_per_side,
                mode=tower.interpolation_mode,
                align_corners=tower.interpolation_align_corners,
                spatial_merge_size=tower.spatial_merge_size,
            )
            kwargs = {
                **kwargs,
                "position_ids": get_vision_position_ids(first, tower.spatial_merge_size).repeat(count, 1),
                "interp_indices": indices.repeat(count, 1),
                "interp_weights": weights.repeat(count, 1),
            }
        return super().get_image_features(pixel_values, image_grid_thw, **kwargs)

    def get_rope_index(
        self,
        input_ids: Tensor,
        mm_token_type_ids: Tensor,
        image_grid_thw: Tensor | None = None,
        video_grid_thw: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """See `Qwen3VLModel.get_rope_index`.

        Returns:
            Positions, shape `(3, batch, tokens)`, and the difference between each sample's next position and its number
            of tokens, shape `(batch, 1)`.
        """
        merged = self.config.vision_config.spatial_merge_size**2
        single = image_grid_thw is not None and bool((image_grid_thw.prod(-1) == merged).all())
        if not single or video_grid_thw is not None:
            found: tuple[Tensor, Tensor] = super().get_rope_index(
                input_ids, mm_token_type_ids, image_grid_thw, video_grid_thw, attention_mask, **kwargs
            )
            return found
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask[:, : input_ids.shape[1]].long()
        positions = (mask.cumsum(-1) - 1).masked_fill(mask == 0, 0)
        # The library counts from the padded length of the attention mask, so the difference is 0.
        ahead = torch.zeros(input_ids.shape[0], 1, dtype=torch.long, device=input_ids.device)
        return positions[None].expand(3, -1, -1), ahead


class TinyVLM(Qwen3VLForConditionalGeneration):  # type: ignore[misc]
    """Qwen3-VL that processes many small images of one size quickly. Saved folders also open as plain Qwen3-VL."""

    def __init__(self, config: Qwen3VLConfig) -> None:
        super().__init__(config)
        self.model = _Inner(config)
        for block in self.model.visual.blocks:
            block.attn = _FrameAttention(config.vision_config)
        self.post_init()


# Saved as the architecture of a folder, by which servers and TRL's reference model know it.
TinyVLM.__name__ = Qwen3VLForConditionalGeneration.__name__
