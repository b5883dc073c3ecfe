"""Progress of a training run: a line for each step, with the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from transformers import PrinterCallback, TrainerCallback

from vzgym.core.text import duration_text

__all__ = ["ShowProgress", "StepProgress", "StepReport", "print_step"]

_SHOWN = (
    ("loss", "loss", ".3f", 1.0),
    ("reward", "reward", ".3f", 1.0),
    ("episode/correct", "right %", ".1f", 100.0),
    ("episode/zooms", "zooms", ".2f", 1.0),
)


@dataclass(frozen=True, slots=True)
class StepProgress:
    """The progress of a training run after a step.

    Attributes:
        step: Number of optimizer steps done.
        steps: Number of optimizer steps in all.
        seconds_left: Estimate from the mean time of the steps so far.
        measures: `loss`, or of GRPO's latest roll-outs `reward`, `episode/correct`, `episode/zooms`, ...
    """

    step: int
    steps: int
    seconds_left: float
    measures: Mapping[str, float]

    @property
    def summary(self) -> str:
        """The main measures, such as "reward 0.831, right % 62.5, zooms 1.40"."""
        return ", ".join(
            f"{title} {format(self.measures[key] * scale, form)}"
            for key, title, form, scale in _SHOWN
            if key in self.measures
        )

    def __str__(self) -> str:
        left = f"{duration_text(self.seconds_left)} left"
        return ", ".join(part for part in (f"step {self.step}/{self.steps}", self.summary, left) if part)


ShowProgress: TypeAlias = Callable[[StepProgress], None]


def print_step(progress: StepProgress) -> None:
    """Print a line to stderr."""
    sys.stderr.write(f"{progress}\n")
    sys.stderr.flush()


class StepReport(TrainerCallback):  # type: ignore[misc]
    """Reports each step in place of the trainer's own output, and ensures that the last step is logged.

    Args:
        show: Called with the progress.
        measures: The latest measures after each step. None: steps are reported when the trainer logs its loss.
    """

    def __init__(self, show: ShowProgress, measures: Callable[[], Mapping[str, float]] | None = None) -> None:
        self.show = show
        self.measures = measures
        self._began, self._first = time.perf_counter(), 0

    def attach(self, trainer: Any) -> None:
        """Disable the trainer's own output."""
        trainer.remove_callback(PrinterCallback)

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Called by the trainer."""
        self._began, self._first = time.perf_counter(), state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Called by the trainer."""
        if state.global_step >= state.max_steps:
            # The last step is always logged.
            control.should_log = True
        if self.measures is not None:
            self._report(state, self.measures())

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **rest: Any) -> None:
        """Called by the trainer."""
        if self.measures is None and logs and "loss" in logs:
            self._report(state, {"loss": float(logs["loss"])})

    def _report(self, state: Any, measures: Mapping[str, float]) -> None:
        if not state.is_world_process_zero:
            return
        done = max(1, state.global_step - self._first)
        left = (time.perf_counter() - self._began) / done * max(0, state.max_steps - state.global_step)
        self.show(StepProgress(state.global_step, state.max_steps, left, measures))
