"""CLIP, LongCLIP, SigLIP, BLIP and BLIP-2 as scorers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import InvalidSetting
from vzgym.scorers.base import EmbeddingScorer, Query
from vzgym.scorers.models import TransformersScorer, import_package
from vzgym.video.base import Frames

__all__ = ["Blip2Itm", "BlipItc", "BlipItm", "Clip", "LongClip", "Siglip"]

SIMILARITIES: Final = ("cosine", "logit", "dot")


class _DualEncoder(TransformersScorer, EmbeddingScorer):
    """Two encoders into one space: CLIP and its kin.

    Args:
        model: See `TransformersScorer`, also for the other arguments.
        device: See there.
        dtype: See there.
        batch_size: See there.
        with_options: See there.
        long_text: See there.
        similarity: "cosine"; "logit", the cosine times the model's scale plus its bias; or "dot", the dot product of
            embeddings that are not scaled to length 1.
    """

    def __init__(
        self,
        model: str | Path = "",
        *,
        device: str = "",
        dtype: str = "",
        batch_size: int = 32,
        with_options: bool = False,
        long_text: str = "warn",
        similarity: str = "cosine",
    ) -> None:
        super().__init__(
            model,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            with_options=with_options,
            long_text=long_text,
        )
        if similarity not in SIMILARITIES:
            raise InvalidSetting(
                f"similarity of scorer {self.name!r} must be one of {', '.join(SIMILARITIES)}, got {similarity!r}"
            )
        self.similarity = similarity
        self._unit = similarity != "dot"

    @property
    def identity(self) -> dict[str, Any]:
        """See `TransformersScorer`."""
        return {**super().identity, "similarity": self.similarity}

    @property
    def frame_identity(self) -> dict[str, Any]:
        """See `TransformersScorer`."""
        return {**super().frame_identity, "unit": self._unit}

    @property
    def embedding_size(self) -> int:
        """Length of an embedding."""
        return int(getattr(self.config, "projection_dim", None) or self.config.vision_config.hidden_size)

    def score_embeddings(self, query: Query, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Scores of embedded frames: float64, shape `(n,)`."""
        scores = super().score_embeddings(query, embeddings)
        if self.similarity != "logit":
            return scores
        bias = getattr(self.model, "logit_bias", None)
        return scores * float(self.model.logit_scale.exp()) + (0.0 if bias is None else float(bias))

    def _class(self) -> Any:
        return import_package("transformers").AutoModel

    def _embed_images(self, pixels: Any) -> Any:
        with import_package("torch").inference_mode():
            return self._scaled(self.model.get_image_features(pixel_values=pixels).pooler_output)

    def _embed_texts(self, inputs: Any) -> Any:
        with import_package("torch").inference_mode():
            return self._scaled(self.model.get_text_features(**inputs).pooler_output)

    def _scaled(self, embeddings: Any) -> Any:
        return embeddings / embeddings.norm(dim=-1, keepdim=True) if self._unit else embeddings


class Clip(_DualEncoder):
    """CLIP: the cosine of a frame's and the text's embedding.

    Formula: `cos(f, q)`; with `similarity="logit"` `cos(f, q) * exp(logit_scale)`; with "dot" `f . q` of embeddings
    that are not scaled to length 1.
    Range: [-1, 1]; about 0.15 to 0.35 in practice.
    Source: arXiv 2103.00020; the scorer of BOLT (arXiv 2503.21483) with its default model.
    Cost: one vision pass per frame, one text pass per query. The text is at most 77 tokens.
    """

    name: ClassVar[str] = "clip"
    default_model: ClassVar[str] = "openai/clip-vit-large-patch14"
    _kinds: ClassVar[tuple[str, ...]] = ("clip",)


class LongClip(Clip):
    """LongCLIP: CLIP that reads texts of 248 tokens. It has no default model.

    Formula: as `Clip`.
    Source: arXiv 2403.15378; the scorer of Q-Frame (arXiv 2506.22139), which uses the dot product of embeddings that
    are not scaled to length 1 (`similarity="dot"`).
    Cost: as `Clip`.

    Raises:
        InvalidSetting: If the model reads no more than 77 tokens; raised when it is loaded.
    """

    name: ClassVar[str] = "longclip"
    default_model: ClassVar[str] = ""

    @property
    def max_tokens(self) -> int:
        """Largest number of tokens of a text."""
        most = super().max_tokens
        if most <= 77:
            raise InvalidSetting(
                f"the model at {self.model_name!r} reads {most} tokens, as CLIP does; scorer 'longclip' needs LongCLIP"
            )
        return most


class Siglip(_DualEncoder):
    """SigLIP: the cosine of a frame's and the text's embedding.

    Formula: `cos(f, q)`; with `similarity="logit"` `cos(f, q) * exp(logit_scale) + logit_bias`, whose sigmoid is the
    probability of a match.
    Range: [-1, 1].
    Source: arXiv 2303.15343; the scorer of MDP3 (arXiv 2501.02885), which reads long texts in chunks
    (`long_text="chunk"`, `with_options=True`).
    Cost: one vision pass per frame, one text pass per query or chunk. The text is at most 64 tokens.
    """

    name: ClassVar[str] = "siglip"
    default_model: ClassVar[str] = "google/siglip-so400m-patch14-384"
    _kinds: ClassVar[tuple[str, ...]] = ("siglip",)
    # Trained on texts of this length, without an attention mask.
    _padding: ClassVar[str | bool] = "max_length"
    _text_inputs: ClassVar[tuple[str, ...]] = ("input_ids",)


class _Blip(TransformersScorer):
    """BLIP with its heads for retrieval."""

    default_model: ClassVar[str] = "Salesforce/blip-itm-large-coco"
    _kinds: ClassVar[tuple[str, ...]] = ("blip",)

    @property
    def embedding_size(self) -> int:
        """Length of an embedding."""
        return int(self.config.image_text_hidden_size)

    def _class(self) -> Any:
        return import_package("transformers").BlipForImageTextRetrieval

    def _embed_images(self, pixels: Any) -> Any:
        torch = import_package("torch")
        with torch.inference_mode():
            states = self.model.vision_model(pixel_values=pixels).last_hidden_state
            return torch.nn.functional.normalize(self.model.vision_proj(states[:, 0]), dim=-1)

    def _embed_texts(self, inputs: Any) -> Any:
        torch = import_package("torch")
        with torch.inference_mode():
            states = self.model.text_encoder(**inputs).last_hidden_state
            return torch.nn.functional.normalize(self.model.text_proj(states[:, 0]), dim=-1)


class BlipItc(_Blip, EmbeddingScorer):
    """BLIP's contrastive head: the cosine of a frame's and the text's embedding.

    Formula: `cos(f, q)` of the projected first states of both encoders.
    Range: [-1, 1].
    Source: arXiv 2201.12086.
    Cost: one vision pass per frame, one text pass per query. The text is at most 512 tokens.
    """

    name: ClassVar[str] = "blip-itc"


class BlipItm(_Blip):
    """BLIP's matching head: the probability that frame and text match. A cross-encoder: its scores need both at once.

    Formula: `softmax(itm_head(frame, text))[1]`.
    Range: [0, 1].
    Source: arXiv 2201.12086; the scorer of AKS (arXiv 2502.21271) and FOCUS (arXiv 2510.27280) with its default model.
    Cost: one pass of the vision model and one of the text model with cross-attention per frame and query, counted as
    one. Another query scores every frame again. Its embeddings are those of `BlipItc`. The text is at most 512 tokens.
    """

    name: ClassVar[str] = "blip-itm"
    long_texts: ClassVar[tuple[str, ...]] = ("warn", "error")

    def score(self, query: Query, frames: Frames) -> NDArray[np.float64]:
        """See `Scorer.score`."""
        torch = import_package("torch")
        (ids,) = self._chunks(query.to_text(self.with_options))
        text = self._padded([ids])
        self.costs = {}
        scores = []
        for pixels in self._batches(frames):
            with torch.inference_mode():
                states = self.model.vision_model(pixel_values=pixels).last_hidden_state
                # On the model's device, unlike the mask in the model's own forward().
                mask = torch.ones(states.shape[:2], dtype=torch.long, device=states.device)
                repeated = {name: value.expand(len(states), -1) for name, value in text.items()}
                joint = self.model.text_encoder(
                    **repeated, encoder_hidden_states=states, encoder_attention_mask=mask
                ).last_hidden_state
                logits = self.model.itm_head(joint[:, 0]).float()
                scores.append(self._to_numpy(torch.softmax(logits, dim=-1)[:, 1]))
        return np.concatenate(scores).astype(np.float64)


class Blip2Itm(TransformersScorer):
    """BLIP-2's matching head: the probability that frame and text match. A cross-encoder without embeddings.

    Formula: `softmax(mean of itm_head over the query tokens)[1]`.
    Range: [0, 1].
    Source: arXiv 2301.12597; the scorer of WFS-SB (arXiv 2603.00512) with its default model.
    Cost: one pass of the vision model and one of the Q-Former per frame and query, counted as one. Another query scores
    every frame again. The text is at most 512 tokens.
    """

    name: ClassVar[str] = "blip2-itm"
    default_model: ClassVar[str] = "Salesforce/blip2-itm-vit-g"
    long_texts: ClassVar[tuple[str, ...]] = ("warn", "error")
    # Its contrastive head compares each query token with the text: a frame has no single embedding.
    embed_frames: Any = None
    embed_text: Any = None
    _kinds: ClassVar[tuple[str, ...]] = ("blip-2",)

    @property
    def max_tokens(self) -> int:
        """Largest number of tokens of a text, special ones included."""
        return int(self.config.qformer_config.max_position_embeddings)

    def score(self, query: Query, frames: Frames) -> NDArray[np.float64]:
        """See `Scorer.score`."""
        torch = import_package("torch")
        (ids,) = self._chunks(query.to_text(self.with_options))
        text = self._padded([ids])
        self.costs = {}
        model, scores = self.model, []
        for pixels in self._batches(frames):
            with torch.inference_mode():
                # The Q-Former stays in float32, whatever the vision model's dtype.
                states = model.vision_model(pixel_values=pixels).last_hidden_state.to(model.query_tokens.dtype)
                count = len(states)
                queries = model.query_tokens.expand(count, -1, -1)
                mask = torch.ones(queries.shape[:2], dtype=torch.long, device=states.device)
                inputs = model.embeddings(input_ids=text["input_ids"].expand(count, -1), query_embeds=queries)
                joint = model.qformer(
                    query_embeds=inputs,
                    query_length=queries.shape[1],
                    attention_mask=torch.cat([mask, text["attention_mask"].expand(count, -1)], dim=1),
                    encoder_hidden_states=states,
                    encoder_attention_mask=torch.ones(states.shape[:2], dtype=torch.long, device=states.device),
                ).last_hidden_state[:, : queries.shape[1]]
                logits = model.itm_head(joint.to(model.itm_head.weight.dtype)).mean(dim=1).float()
                scores.append(self._to_numpy(torch.softmax(logits, dim=-1)[:, 1]))
        return np.concatenate(scores).astype(np.float64)

    def _class(self) -> Any:
        return import_package("transformers").Blip2ForImageTextRetrieval
