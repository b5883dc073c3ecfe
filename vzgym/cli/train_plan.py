"""Output of `vzgym train ... --dry-run`: settings, token budget, memory, and the command that starts the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from vzgym.cli.progress import console, say
from vzgym.core.text import duration_text

if TYPE_CHECKING:
    from vzgym.agents.training.plan import Plan

__all__ = ["CalibrateOption", "DevicesOption", "DryOption", "LaunchOption", "MemoryOption", "show_plan"]

DryOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Print settings, token budget, estimated memory, steps and time, and stop; tokens that do not fit are "
        "refused.",
    ),
]
CalibrateOption = Annotated[
    bool,
    typer.Option("--calibrate", help="With --dry-run: train a few steps in a temporary folder, and measure the time."),
]
LaunchOption = Annotated[
    str | None, typer.Option(help="With --dry-run: zero2, zero3, ddp, or a configuration file of accelerate.")
]
DevicesOption = Annotated[
    int | None, typer.Option(help="With --dry-run: number of GPUs that train. Default: that of --launch.")
]
MemoryOption = Annotated[
    float | None, typer.Option(help="With --dry-run: memory of each GPU in GiB. Default: that of the first GPU here.")
]


def show_plan(plan: Plan, launch: str | None, preset: str | None, measured: bool = False) -> None:
    """Print a plan that fits.

    Args:
        plan: The plan.
        launch: Launch configuration, if any.
        preset: Preset, if any.
        measured: Whether to train a few steps and measure their time.
    """
    from vzgym.agents.training.config import to_yaml
    from vzgym.agents.training.memory import GIB
    from vzgym.agents.training.plan import launch_file
    from vzgym.core.settings import section_of

    section = section_of(type(plan.settings))
    print(f"# Settings, as resolved\n{to_yaml(plan.settings)}")
    tokens = _table("tokens", "", "how it is computed")
    for what, count, why in plan.tokens:
        tokens.add_row(what, f"{count:,}", why)
    console.print(tokens)
    facts, sharding = plan.facts, plan.sharding
    trained = facts.trained(plan.settings.freeze_vision)
    memory = _table(f"memory of each of {sharding.devices} device(s)", "GiB", "")
    for part, size in plan.memory.parts.items():
        memory.add_row(part, f"{size / GIB:.2f}", "")
    memory.add_row("together", f"{plan.memory.total / GIB:.2f}", f"of {plan.available / GIB:.2f}: {plan.device}")
    console.print(memory)
    say(
        f"{facts.weights / 1e9:.3f} billion weights of {facts.bytes} bytes, {trained / 1e9:.3f} billion trained"
        f"{f' in adapters of rank {plan.settings.lora.rank}' if facts.adapters else ''}; DeepSpeed ZeRO stage "
        f"{sharding.stage}. Memory is an estimate; see vzgym.agents.training.memory."
    )
    _show_length(plan, measured)
    for note in (*plan.missing, *plan.notes):
        say(f"Note: {note}")
    if (server := plan.server) is not None:
        say(f"Start vLLM on GPUs of its own, before the run:\n  {server}")
    if launch is not None:
        say(
            f"Start with:\n  accelerate launch --config_file {launch_file(launch)} --num_processes {sharding.devices} "
            f"-m vzgym train {section}{f' --preset {preset}' if preset else ''} ..."
        )


def _show_length(plan: Plan, measured: bool) -> None:
    from vzgym.agents.training.duration import calibrate
    from vzgym.agents.training.settings import GRPOSettings, SFTSettings

    length = plan.length
    assert length is not None
    say(
        f"{length.epoch_steps:.4g} steps an epoch, {length.steps:,} optimizer steps. Time by the rule of "
        f"vzgym.agents.training.duration: {duration_text(length.steps * length.step_seconds)} "
        f"({length.step_seconds:.3g} s a step: {length.rule})."
    )
    if measured:
        assert isinstance(plan.settings, (SFTSettings, GRPOSettings))
        seconds = calibrate(plan.settings)
        say(f"Measured here: {duration_text(length.steps * seconds)} ({seconds:.3g} s a step).")


def _table(*columns: str) -> Table:
    table: Any = Table(*columns, box=SIMPLE_HEAD)
    table.columns[1].justify = "right"
    return table  # type: ignore[no-any-return]
