"""Estimate the memory of a training run from a model's configuration, without loading weights.

Bytes per device; P weights, T of them trained, b bytes per loaded weight, t bytes per trained weight (4 for adapters,
which are kept in float32, else b). DeepSpeed's ZeRO stage shards over D devices (1: optimiser, 2: also gradients, 3:
also weights):

- *weights* `P * b` (+ adapters `T * 4`); *reference* another `P * b`, if the KL term needs a frozen copy;
- *gradients* `T * t`; *optimiser* `T * 2 * t` (AdamW's two averages), under DeepSpeed `T * 12` (float32 masters too);
- *activations*, for L tokens in a backward pass, h channels, f inner channels, k channels of keys:
  `(8h + 2k + 3f) * b` per token and layer; with gradient checkpointing `h * b` per token and layer, and one layer in
  full. Attention is assumed to be fused (`sdpa`, flash): no L x L matrix is kept. A frozen vision tower keeps none; a
  trained one keeps its own, by the same rule;
- *logits* `(b + 8) * vocabulary` per token with a loss: as computed, as float32, and its gradient;
- *keys and values* `2 * layers * k * b` per token of each dialogue in a generation batch;
- *engine*, if vLLM shares the device: its share of the device;
- *rest* 1.5 GiB: the CUDA context, kernels' work space, fragmentation.

`benchmarks/gpu` measures what these formulas estimate.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vzgym.agents.training.settings import LoraSettings
from vzgym.core.errors import InvalidSetting

__all__ = ["GIB", "Memory", "ModelFacts", "Sharding", "device_memory", "model_facts"]

GIB = 2**30
_REST = int(1.5 * GIB)


@dataclass(frozen=True)
class ModelFacts:
    """A model's size, from its configuration.

    Attributes:
        weights: All weights, P.
        vision: Those of the vision tower.
        adapters: Those of the adapters, if there are any.
        bytes: Bytes per weight, as loaded.
        width: Channels of the language model.
        inner: Channels inside its feed-forward layers.
        keys: Channels of keys: number of key heads times their size.
        layers: Its layers.
        vocabulary: Its tokens.
        positions: Longest input in tokens.
        vision_width: Channels of the vision tower.
        vision_inner: Channels inside its feed-forward layers.
        vision_layers: Its layers.
        merged: Patches per visual token.
    """

    weights: int
    vision: int
    adapters: int
    bytes: int
    width: int
    inner: int
    keys: int
    layers: int
    vocabulary: int
    positions: int
    vision_width: int
    vision_inner: int
    vision_layers: int
    merged: int

    @property
    def kv_bytes(self) -> int:
        """Bytes of one token's keys and values, in all layers."""
        return 2 * self.layers * self.keys * self.bytes

    def trained(self, freeze_vision: bool) -> int:
        """Weights that are trained, T."""
        return self.adapters or self.weights - (self.vision if freeze_vision else 0)


@dataclass(frozen=True)
class Sharding:
    """How a run is distributed.

    Attributes:
        devices: Number of processes, each with a device.
        stage: DeepSpeed's ZeRO stage; 0: each device holds everything.
        precision: The mixed precision that the launcher sets ("bf16", "no", ...); "" if it sets none.
    """

    devices: int = 1
    stage: int = 0
    precision: str = ""

    def share(self, stage: int) -> int:
        """The number of devices over which the state that a stage shards is distributed."""
        return self.devices if self.stage >= stage else 1


@dataclass
class Memory:
    """An estimate for one device: bytes by part."""

    parts: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All parts."""
        return sum(self.parts.values())

    def add_training(
        self,
        facts: ModelFacts,
        sharding: Sharding,
        *,
        freeze_vision: bool,
        checkpointing: bool,
        tokens: int,
        loss_tokens: int,
        patches: int,
        reference: bool,
    ) -> None:
        """Add the memory of a backward pass and a step of AdamW.

        Args:
            facts: The model.
            sharding: How the run is distributed.
            freeze_vision: Whether the vision tower is frozen.
            checkpointing: Whether gradient checkpointing is used.
            tokens: Tokens in a backward pass, L.
            loss_tokens: Those of them whose logits are computed.
            patches: Image patches in it.
            reference: Whether a frozen copy of the model is kept.
        """
        trained = facts.trained(freeze_vision)
        each = 4 if facts.adapters else facts.bytes
        moments = 12 if sharding.stage else 2 * each
        whole = facts.weights * facts.bytes // sharding.share(3)
        self.parts["weights"] = whole + facts.adapters * 4 // sharding.share(3)
        if reference:
            self.parts["reference model"] = whole
        self.parts["gradients"] = trained * each // sharding.share(2)
        self.parts["optimiser"] = trained * moments // sharding.share(1)
        full = (8 * facts.width + 2 * facts.keys + 3 * facts.inner) * facts.bytes * tokens
        kept = facts.width * facts.bytes * tokens
        self.parts["activations"] = facts.layers * kept + full if checkpointing else facts.layers * full
        if not freeze_vision and not facts.adapters:
            seen = (10 * facts.vision_width + 3 * facts.vision_inner) * facts.bytes * patches
            small = facts.vision_width * facts.bytes * patches
            layers = facts.vision_layers
            self.parts["activations"] += layers * small + seen if checkpointing else layers * seen
        self.parts["logits"] = (facts.bytes + 8) * facts.vocabulary * loss_tokens
        self.parts["rest"] = _REST

    def add_generation(self, facts: ModelFacts, dialogues: int, tokens: int) -> None:
        """Add the keys and values of a generation batch, without vLLM.

        Activations of the backward pass are not in memory during generation: only the excess over them is added.
        """
        keys = facts.kv_bytes * dialogues * tokens
        passing = self.parts.get("activations", 0) + self.parts.get("logits", 0)
        self.parts["keys and values, beyond activations"] = max(0, keys - passing)

    def excess(self, available: int, device: str) -> str:
        """One sentence with all parts if the estimate exceeds a device's memory; else ""."""
        if self.total <= available:
            return ""
        parts = ", ".join(f"{part} {size / GIB:.2f}" for part, size in self.parts.items() if size)
        return (
            f"This needs about {self.total / GIB:.2f} GiB on each device by this estimate, but {device} has "
            f"{available / GIB:.2f} GiB: {parts}."
        )


def device_memory() -> tuple[int, str]:
    """Memory of the first GPU, or of the machine without a GPU: bytes, and the device's name."""
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return int(properties.total_memory), str(properties.name)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "this machine (no GPU was found)"


def model_facts(path: str, lora: LoraSettings, options: Mapping[str, Any]) -> ModelFacts:
    """Count a model's weights from its `config.json`; it is built on the meta device, without memory.

    Args:
        path: A folder with a `config.json`, or a name on the Hugging Face hub.
        lora: `LoraSettings`.
        options: For `from_pretrained`; `dtype` decides the bytes of a weight.

    Raises:
        InvalidSetting: If there is no configuration, it has no vision, or adapters would find no layer.
    """
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoModelForImageTextToText

    from vzgym.agents.training.common import adapted_layers
    from vzgym.agents.vlm.checkpoint import vision_config

    config = vision_config(path)
    with init_empty_weights():
        model = AutoModelForImageTextToText.from_config(config)
    # Tied weights are separate on the meta device.
    model.tie_weights()
    text, vision = config.get_text_config(), config.vision_config
    dtype = options.get("dtype") or config.dtype or torch.float32
    loaded = getattr(torch, dtype) if isinstance(dtype, str) and dtype != "auto" else config.dtype or torch.float32
    heads = int(getattr(text, "num_key_value_heads", None) or text.num_attention_heads)
    size = int(getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads)
    vision_width = int(_first(vision, "hidden_size", "embed_dim"))
    adapters = 0
    if lora.rank:
        wanted = re.compile(adapted_layers(model, lora))
        found = [part for name, part in model.named_modules() if wanted.fullmatch(name)]
        adapters = sum(lora.rank * (part.in_features + part.out_features) for part in found)
    return ModelFacts(
        weights=sum(weight.numel() for weight in model.parameters()),
        vision=sum(weight.numel() for weight in model.get_encoder(modality="image").parameters()),
        adapters=adapters,
        bytes=loaded.itemsize,
        width=int(text.hidden_size),
        inner=int(text.intermediate_size),
        keys=heads * size,
        layers=int(text.num_hidden_layers),
        vocabulary=int(text.vocab_size),
        positions=int(text.max_position_embeddings),
        vision_width=vision_width,
        vision_inner=int(_first(vision, "intermediate_size", default=4 * vision_width)),
        vision_layers=int(_first(vision, "depth", "num_hidden_layers")),
        merged=int(getattr(vision, "spatial_merge_size", None) or getattr(config, "scale_factor", None) or 1) ** 2,
    )


def _first(config: Any, *names: str, default: int | None = None) -> Any:
    """The first of several names that a configuration has."""
    found = next((getattr(config, name) for name in names if getattr(config, name, None) is not None), default)
    if found is None:
        raise InvalidSetting(f"{type(config).__name__} has none of {', '.join(names)}: its size is unknown")
    return found
