"""`vzgym collect`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from vzgym.cli.outputs import sibling
from vzgym.cli.policies import named_policy, named_tools
from vzgym.cli.progress import console, costs_in_words, errors, progress_bar, say
from vzgym.cli.settings import (
    ConfigOption,
    PresetOption,
    SeedOption,
    SetOption,
    SubtitlesOption,
    ToolOption,
    read_settings,
)
from vzgym.cli.workers import GpusOption, RayOption, ShareFramesOption, WorkersOption, make_executor
from vzgym.core.errors import InvalidSetting

__all__ = ["collect_command"]


def collect_command(
    out: Annotated[Path, typer.Option(help="Folder for the dataset; an interrupted run resumes there.")],
    tasks: Annotated[str | None, typer.Option(help="A suite with its split (needle/train), or a .jsonl file.")] = None,
    episodes: Annotated[int | None, typer.Option(help="Number of tasks, from the first.")] = None,
    mix: Annotated[
        str | None,
        typer.Option(
            help="paper, no-reflection, weak, told, subtitles, find_frames, no-tool, policy, policy-reflection, "
            "teacher; or kind=share,..."
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="Policy for kinds 'policy', 'continued', 'taught': a registered name, module:Class, a model's folder, "
            "served:MODEL@URL."
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="Policy that continues wrong roll-outs of kind 'taught'. Default: the policy itself."),
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Roll-outs of the policy per task.")] = None,
    tool: ToolOption = None,
    subtitles: SubtitlesOption = None,
    protocol: Annotated[str | None, typer.Option(help="Text protocol: tags, tool_calls, compact_tags.")] = None,
    thoughts: Annotated[str | None, typer.Option(help="Phrase set of the experts: sentences, short.")] = None,
    seed: SeedOption = None,
    workers: WorkersOption = 1,
    ray: RayOption = None,
    gpus_per_worker: GpusOption = 0.0,
    share_frames: ShareFramesOption = 0.0,
    config: ConfigOption = None,
    preset: PresetOption = None,
    set_: SetOption = None,
) -> None:
    """Collect cold-start trajectories: experts, reflection, rejection sampling; filtered, with statistics."""
    from vzgym.agents.data.dataset import collect
    from vzgym.agents.data.settings import CollectSettings

    flags: dict[str, Any] = {
        "tasks": tasks, "episodes": episodes, "mix": mix, "samples": samples, "protocol": protocol,
        "thoughts": thoughts, "seed": seed, "tools": named_tools(tool), "subtitles": subtitles,
        # Sampled, since greedy decoding gives the same roll-out every time.
        "policy": named_policy(policy, temperature=1.0) if policy else None,
        "teacher": named_policy(teacher) if teacher else None,
    }  # fmt: skip
    settings = read_settings(CollectSettings, preset, config, set_, flags)
    executor = make_executor(workers, ray, gpus_per_worker, share_frames=share_frames)
    with progress_bar() as bar:
        job = bar.add_task(f"collect from {settings.tasks}", total=settings.episodes)
        statistics = collect(settings, out, progress=lambda count: bar.advance(job, count), workers=executor)
    for task, reason in statistics.failed.items():
        say(f"left out: {task}: {reason}", errors)
    console.print(_table(statistics))
    if not statistics.rows:
        raise InvalidSetting(f"no trajectory was kept of {sum(statistics.played.values())} trajectories; see {out}")
    means = statistics.to_json()["means"]
    words = costs_in_words(statistics.costs)
    costs = f"\nServed models: {words}." if words else ""
    say(
        f"{statistics.rows} trajectories in {out}: {means['turns']:.2f} turns, {means['zooms']:.2f} zooms and "
        f"{means['frames']:.1f} frames each, {means['correct']:.1%} right, {means['reflections']:.1%} with reflection; "
        f"{statistics.seconds:.0f} s"
        f"\nZooms by fps: {_counts(statistics.to_json()['fps'])}. Trajectories by turns: "
        f"{_counts(statistics.to_json()['turns'])}."
        f"{costs}"
        f"\nNext: vzgym view {shlex.quote(str(out))}"
        f"\nThen: vzgym train sft{f' --preset {preset}' if preset else ''} --model MODEL "
        f"--data {shlex.quote(str(out))} --out {sibling(out, 'sft')}"
        "\n(MODEL: a folder made by vzgym train pretrain, or a vision-language model's name)"
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{key}: {count}" for key, count in counts.items()) or "none"


def _table(statistics: Any) -> Table:
    """Kept and rejected trajectories by kind."""
    filters = sorted({name for counts in statistics.rejected.values() for name in counts})
    table = Table(
        "kind", "played", "kept", *(f"not {name}" if name != "lucky" else name for name in filters), box=SIMPLE_HEAD
    )
    for kind in sorted(statistics.played):
        rejected = statistics.rejected.get(kind, {})
        cells = [statistics.played[kind], statistics.kept[kind], *(rejected.get(name, 0) for name in filters)]
        table.add_row(kind, *map(str, cells))
    return table
