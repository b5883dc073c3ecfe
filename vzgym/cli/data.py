"""`vzgym data`: conversion of trajectories and tasks from and to other formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vzgym.cli.outputs import check_jsonl_output
from vzgym.cli.progress import errors, say

__all__ = ["app"]

app = typer.Typer(
    help="Convert trajectories and tasks from and to other formats: LLaMA-Factory's ShareGPT JSON, VideoZoomer's data.",
    no_args_is_help=True,
)

SkipOption = Annotated[
    bool, typer.Option("--skip-broken", help="Skip invalid rows with a message instead of stopping.")
]


@app.command("export")
def export_command(
    folder: Annotated[Path, typer.Argument(help="Folder that `vzgym collect` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for trajectories.json, images/ and dataset_info.json.")],
    name: Annotated[str, typer.Option(help="The dataset's name in dataset_info.json.")] = "vzgym",
) -> None:
    """Write trajectories as ShareGPT JSON for LLaMA-Factory."""
    from vzgym.agents.data.sharegpt import export_sharegpt

    rows = export_sharegpt(folder, out, name=name)
    say(f"{rows} trajectories in {out}: LLaMA-Factory takes it as dataset_dir, with dataset: {name}")


@app.command("import-sft")
def import_sft(
    file: Annotated[Path, typer.Argument(help="Rows of messages with <image>, and images: .json, .jsonl, .parquet.")],
    out: Annotated[Path, typer.Option(help="Folder for the trajectories, as `vzgym collect` writes them.")],
    images: Annotated[Path | None, typer.Option(help="Base folder of image paths. Default: the file's folder.")] = None,
    protocol: Annotated[str, typer.Option(help="Text protocol of the turns: tags, tool_calls, compact_tags.")] = "tags",
    skip_broken: SkipOption = False,
) -> None:
    """Read cold-start data in ShareGPT form, such as VideoZoomer's, into trajectories for `vzgym train sft`."""
    from vzgym.agents.data.sharegpt import import_sharegpt

    report = import_sharegpt(file, out, images=images, protocol=protocol, skip_broken=skip_broken)
    for reason in report.broken:
        say(f"left out: {reason}", errors)
    say(
        f"{report.rows} trajectories in {out}: {report.turns} turns, {report.zooms} zooms, {report.frames} frames; "
        f"{report.unreadable} turns without an action in {protocol}, {report.untidy} not fully well-formed; "
        f"{len(report.broken)} rows left out\nNext: vzgym train sft --model MODEL --data {out} --out runs/sft"
    )


@app.command("import-rl")
def import_rl(
    file: Annotated[Path, typer.Argument(help="RL rows: doc_id, problem, solution, videos, data_source, extra_info.")],
    out: Annotated[Path, typer.Option(help="The .jsonl file of tasks to write.")],
    videos: Annotated[Path | None, typer.Option(help="Base folder of video paths. Default: the file's folder.")] = None,
    skip_broken: SkipOption = False,
) -> None:
    """Read VideoZoomer's RL data into a file of tasks."""
    from vzgym.tasks.io.jsonl import write_jsonl
    from vzgym.tasks.io.videozoomer import read_rl_rows

    check_jsonl_output(out, [file])
    tasks, broken = read_rl_rows(file, videos, skip_broken=skip_broken)
    for reason in broken:
        say(f"left out: {reason}", errors)
    write_jsonl(tasks, out)
    choices = sum(bool(task.options) for task in tasks)
    say(
        f"{len(tasks)} tasks in {out}: {choices} multiple choice, {len(tasks) - choices} open; {len(broken)} rows left "
        f"out\nNext: vzgym videos check, then vzgym train grpo --model MODEL --tasks {out} --out runs/grpo"
    )
