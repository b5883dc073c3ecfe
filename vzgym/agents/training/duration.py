"""Estimate how long a training run takes, by a rule or from a few measured steps.

The rule counts 2 operations a weight and token in a forward pass, 2 more for the backward pass to the inputs, 2 more
for each trained weight, and another forward pass with gradient checkpointing. A roll-out reads its dialogue once with
vLLM, whose cache keeps earlier turns, and once per turn without it. Every dialogue counts as the longest one, and
dynamic sampling as if it always played all its further batches. A device
reaches 30 % of its peak: the measured speed of a matrix product on this device, or 312 TFLOP/s (an A100 in bfloat16) if
the run is planned for other devices. Generation of single tokens is far slower, and video decoding is not counted, so
the rule underestimates GRPO; calibration is more accurate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vzgym.agents.training.memory import ModelFacts
from vzgym.agents.training.progress import StepProgress
from vzgym.agents.training.settings import GRPOSettings, SFTSettings

__all__ = ["RunLength", "calibrate", "device_flops", "training_flops"]

_UTILISATION = 0.3
_PLANNED_FLOPS = 312e12


@dataclass(frozen=True)
class RunLength:
    """The length of a run.

    Attributes:
        epoch_steps: Optimizer steps of a pass over the data.
        steps: Optimizer steps of the run.
        flops: Operations of a step on each device.
        speed: Operations a second of a device.
        device: Name of the device.
    """

    epoch_steps: float
    steps: int
    flops: float
    speed: float
    device: str

    @property
    def step_seconds(self) -> float:
        """Seconds of a step, by the rule."""
        return self.flops / (_UTILISATION * self.speed)

    @property
    def rule(self) -> str:
        """How `step_seconds` is derived."""
        return (
            f"{self.flops:.3g} operations a step and device, at {_UTILISATION:.0%} of {self.speed / 1e12:.3g} TFLOP/s "
            f"({self.device})"
        )


def training_flops(facts: ModelFacts, tokens: float, *, trained: int, checkpointing: bool) -> float:
    """Operations of a forward and a backward pass over a number of tokens."""
    return tokens * (facts.weights * (6 if checkpointing else 4) + 2 * trained)


def device_flops(bf16: bool, planned: bool) -> tuple[float, str]:
    """Operations a second of a device, and which one.

    Args:
        bf16: Whether the run computes in bfloat16.
        planned: Whether the run is planned for other devices.
    """
    import torch

    if planned:
        return _PLANNED_FLOPS, "an A100 in bfloat16"
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    gpu = device is not None and device.type != "cpu"
    size, count = (8192, 10) if gpu else (512, 4)
    matrix = torch.ones(size, size, device=device, dtype=torch.bfloat16 if gpu and bf16 else torch.float32)

    def run() -> float:
        start = time.perf_counter()
        result = matrix
        for _ in range(count):
            result = matrix @ matrix
        float(result[0, 0])  # waits for the device
        return time.perf_counter() - start

    run()
    return 2 * size**3 * count / min(run() for _ in range(3)), "a matrix product measured here"


def calibrate(settings: SFTSettings | GRPOSettings) -> float:
    """Seconds of an optimizer step, measured by training a few steps in a temporary folder.

    The first step is left out. With GRPO, whole cycles of roll-outs and updates are measured.

    Raises:
        VzgymError: Any error that the run would raise.
    """
    grpo = isinstance(settings, GRPOSettings)
    measured = 2 * settings.updates * settings.iterations if isinstance(settings, GRPOSettings) else 3
    ends: list[float] = []

    def note(progress: StepProgress) -> None:
        ends.append(time.perf_counter())

    with TemporaryDirectory(prefix="vzgym-calibrate-") as folder:
        changes: dict[str, Any] = {
            "out": str(Path(folder) / "run"), "resume": False, "save_steps": 0, "log_steps": 1, "report_to": "none",
            "steps" if grpo else "max_steps": measured + 1,
        }  # fmt: skip
        if grpo:
            changes |= {"save_rollouts": 0, "log_rollouts_steps": 0}
        trainer = _trainer(settings.replace(**changes), note)
        trainer.train()
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def _trainer(settings: SFTSettings | GRPOSettings, progress: Callable[[StepProgress], None]) -> Any:
    if isinstance(settings, GRPOSettings):
        from vzgym.agents.training.grpo import make_trainer as make_grpo

        return make_grpo(settings, progress=progress)[0]
    from vzgym.agents.training.sft import make_trainer as make_sft

    return make_sft(settings, progress=progress)[0]
