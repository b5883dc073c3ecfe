"""Estimate the memory of a training run from a model's configuration, without loading weights.

Bytes per device; P weights, T of them trained, b bytes per loaded weight, t bytes per trained weight (4 for adapters,
which are kept in float32, else b), c bytes per computed number (2 in mixed precision, else b). ZeRO's stage, or what
FSDP shards, is distributed over D devices (1: optimizer, 2: also gradients, 3: also weights):

- *weights* `P * b` (+ adapters `T * 4`; + `P * 2` for the cast copies of float32 weights in mixed precision);
  *reference* another `P * b`, if the KL term needs a frozen copy;
- *gradients* `T * t`; *optimizer* `T * 2 * t` (AdamW's two averages), under DeepSpeed `T * 12` (float32 masters too);
- *activations*, for L tokens in a backward pass, h channels, f inner channels, k channels of keys: per token and layer
  `(10h + 4k + 4f) * c`, of which adapters keep `4h` less, and in 2-byte precision `6h` bytes more (`12h` with
  adapters) for what norms and adapters compute in float32; with gradient checkpointing `h * b` per token and layer, and
  one layer in full. Besides, `(2h + 2f) * c` of gradients within a layer, and `4h * b` before and after the layers.
  Attention is assumed to be fused (`sdpa`, flash): no L x L matrix is kept. A frozen vision tower keeps none
  (`freeze_vision` sees to it); a trained one keeps its own, by the same rule;
- *logits*: TRL scores tokens in tiles, `min(L, 4096) * min(V, 32768) * c` for a vocabulary V, with `L * h * 4` for the
  gradient of their hidden states, and `V * h * 4` for that of the output layer where it is trained. Without Triton, as
  on a CPU, all tokens are scored, and a tile takes ten of its kind in float32;
- *pictures*: the patches of all roll-outs of a generation batch (SFT: of a batch), in float32;
- *generation* without vLLM: `2 * layers * k * b` per token of each dialogue in a generation batch for keys and values,
  and `(4h + 3f) * c` for the layer that reads them; only what exceeds activations and logits, which come later;
- *engine*, if vLLM shares the device: its share of the device;
- *rest* 1.5 GiB: the CUDA context, kernels' work space, fragmentation.

`benchmarks/memory.py` measures on a CPU, and `benchmarks/gpu` on a GPU, what these formulas estimate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vzgym.agents.training.lora import adapted_layers
from vzgym.agents.training.settings import LoraSettings
from vzgym.core.errors import InvalidSetting
from vzgym.core.memory import machine_memory

__all__ = ["GIB", "Memory", "ModelFacts", "Sharding", "device_memory", "model_facts"]

GIB = 2**30
_REST = int(1.5 * GIB)
_TILE = (4096, 32_768)
"""Most tokens, and most of the vocabulary, of which TRL holds logits at once (`trl.kernels.chunked_logprob`)."""


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
        patch: Numbers of a patch, as the image processor returns them.
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
    patch: int

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
        stage: ZeRO's stage, by DeepSpeed, or what FSDP shards likewise; 0: each device holds everything.
        precision: The mixed precision that the launcher sets ("bf16", "no", ...); "" if it sets none.
        fsdp: Whether it is FSDP, which keeps no float32 masters.
    """

    devices: int = 1
    stage: int = 0
    precision: str = ""
    fsdp: bool = False

    @property
    def deepspeed(self) -> bool:
        """Whether it is DeepSpeed, whose optimizer keeps float32 masters of the weights."""
        return self.stage > 0 and not self.fsdp

    @property
    def splits_weights(self) -> str:
        """What leaves each process with parts of the weights only, between steps; "" if each has all of them."""
        if self.fsdp and self.stage > 0:
            return "FSDP"
        return "DeepSpeed ZeRO-3" if self.stage == 3 else ""

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
        mixed: bool,
        triton: bool,
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
            mixed: Whether bfloat16 is computed in (mixed precision).
            triton: Whether the device has Triton kernels.
            tokens: Tokens in a backward pass, L.
            loss_tokens: Those of them that are scored. Without Triton, all are.
            patches: Image patches in it.
            reference: Whether a frozen copy of the model is kept.
        """
        trained = facts.trained(freeze_vision)
        each = 4 if facts.adapters else facts.bytes
        moments = 12 if sharding.deepspeed else 2 * each
        number = 2 if mixed else facts.bytes
        whole = facts.weights * facts.bytes // sharding.share(3)
        self.parts["weights"] = whole + facts.adapters * 4 // sharding.share(3)
        if number < facts.bytes:
            self.parts["weights"] += facts.weights * number
        if reference:
            self.parts["reference model"] = whole
        self.parts["gradients"] = trained * each // sharding.share(2)
        self.parts["optimizer"] = trained * moments // sharding.share(1)
        sizes = (facts.layers, facts.width, facts.keys, facts.inner)
        self.parts["activations"] = tokens * _activations(sizes, facts, number, checkpointing)
        if not freeze_vision and not facts.adapters:
            tower = (facts.vision_layers, facts.vision_width, facts.vision_width, facts.vision_inner)
            self.parts["activations"] += patches * _activations(tower, facts, number, checkpointing)
        scored = loss_tokens if triton else tokens
        tile = min(scored, _TILE[0]) * min(facts.vocabulary, _TILE[1])
        self.parts["logits"] = tile * (number if triton else 40) + scored * facts.width * 4
        if not facts.adapters:
            self.parts["logits"] += facts.vocabulary * facts.width * 4
        self.parts["rest"] = _REST

    def add_pictures(self, facts: ModelFacts, patches: int) -> None:
        """Add the pixels of the frames that are kept for a batch.

        Args:
            facts: The model.
            patches: Image patches in the batch.
        """
        self.parts["pictures"] = patches * facts.patch * 4

    def add_generation(self, facts: ModelFacts, dialogues: int, tokens: int, mixed: bool) -> None:
        """Add the memory of a generation batch, without vLLM.

        Activations of the backward pass are not in memory during generation: only the excess over them is added.

        Args:
            facts: The model.
            dialogues: Dialogues that are continued at once.
            tokens: Longest of them.
            mixed: Whether bfloat16 is computed in.
        """
        number = 2 if mixed else facts.bytes
        read = facts.kv_bytes + (4 * facts.width + 3 * facts.inner) * number
        passing = self.parts.get("activations", 0) + self.parts.get("logits", 0)
        self.parts["generation, beyond the backward pass"] = max(0, dialogues * tokens * read - passing)

    def excess(self, available: int, device: str) -> str:
        """One sentence with all parts if the estimate exceeds a device's memory; else ""."""
        if self.total <= available:
            return ""
        parts = ", ".join(f"{part} {size / GIB:.2f}" for part, size in self.parts.items() if size)
        return (
            f"This needs about {self.total / GIB:.2f} GiB on each device by this estimate, but {device} has "
            f"{available / GIB:.2f} GiB: {parts}."
        )


def _activations(sizes: tuple[int, int, int, int], facts: ModelFacts, number: int, checkpointing: bool) -> int:
    """Bytes of a token's activations: of `(layers, channels, channels of keys, inner channels)`."""
    layers, width, keys, inner = sizes
    layer = ((6 if facts.adapters else 10) * width + 4 * keys + 4 * inner) * number
    if number == 2:
        layer += (12 if facts.adapters else 6) * width
    kept = layers * width * facts.bytes + layer if checkpointing else layers * layer
    return kept + (2 * width + 2 * inner) * number + 4 * width * facts.bytes


def device_memory() -> tuple[int, str, bool]:
    """Memory of the first GPU, or of the machine without a GPU: bytes, the device's name, whether it is a GPU.

    Raises:
        InvalidSetting: If there is no GPU, and the system does not report its memory, as Windows does not.
    """
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return int(properties.total_memory), str(properties.name), True
    found = machine_memory()
    if found is None:
        raise InvalidSetting("no GPU was found, and this system does not report its memory: give it by --device-memory")
    return found, "this machine (no GPU was found)", False


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
        patch=3 * int(getattr(vision, "temporal_patch_size", None) or 1) * int(vision.patch_size) ** 2,
    )


def _first(config: Any, *names: str, default: int | None = None) -> Any:
    """The first of several names that a configuration has."""
    found = next((getattr(config, name) for name in names if getattr(config, name, None) is not None), default)
    if found is None:
        raise InvalidSetting(f"{type(config).__name__} has none of {', '.join(names)}: its size is unknown")
    return found
