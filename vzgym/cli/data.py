"""`vzgym data`: conversion of trajectories and tasks from and to other formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vzgym.cli.data_trainers import skyrl_command, verl_command
from vzgym.cli.outputs import check_jsonl_output
from vzgym.cli.progress import errors, progress_bar, say

__all__ = ["app"]

app = typer.Typer(
    help="Convert trajectories and tasks from and to other formats: ShareGPT, chat messages, ATIF, VideoZoomer's data, "
    "rows for verl and SkyRL.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("verl")(verl_command)
app.command("skyrl")(skyrl_command)

SkipOption = Annotated[
    bool, typer.Option("--skip-broken", help="Skip invalid rows with a message instead of stopping.")
]


@app.command("export")
def export_command(
    path: Annotated[
        Path,
        typer.Argument(help="A run's folder, a folder of runs, a file of records, or a folder of `vzgym collect`."),
    ],
    out: Annotated[Path, typer.Option(help="A new folder for the trajectories and their images.")],
    format: Annotated[
        str,
        typer.Option(help="sharegpt (LLaMA-Factory), chat (OpenAI's chat messages as JSON lines), atif (Harbor)."),
    ] = "sharegpt",
    images: Annotated[
        str, typer.Option(help="files, or urls: data URLs within the documents (chat and atif).")
    ] = "files",
    image_format: Annotated[str, typer.Option(help="png (lossless) or jpeg.")] = "png",
    correct_only: Annotated[
        bool, typer.Option("--correct-only", help="Leave out episodes that are not right.")
    ] = False,
    skip_broken: SkipOption = False,
    backend: Annotated[str, typer.Option(help="Decoder for video files.")] = "pyav",
    trust_code: Annotated[
        bool,
        typer.Option(
            "--trust-code", help="Allow imports of code named by records (module:Class); runs arbitrary code."
        ),
    ] = False,
    name: Annotated[str, typer.Option(help="The dataset's name in dataset_info.json (sharegpt).")] = "vzgym",
) -> None:
    """Write trajectories for other tools: ShareGPT JSON, OpenAI's chat messages, or ATIF.

    Frames of a run are read from its videos again.
    """
    from vzgym.agents.data.sharegpt import export_sharegpt
    from vzgym.evaluation.trajectories import export_run

    # A dataset's own rows are written as they are trained on: they may hold other images than the records.
    if format == "sharegpt" and (path / "dataset_info.json").is_file() and not correct_only:
        rows = export_sharegpt(path, out, name=name)
        say(f"{rows} trajectories in {out}: LLaMA-Factory takes it as dataset_dir, with dataset: {name}")
        return
    with progress_bar() as bar:
        job = bar.add_task(f"export {path}", total=None)
        report = export_run(
            path,
            out,
            format=format,
            images=images,  # type: ignore[arg-type]  # checked there
            image_format=image_format,
            correct_only=correct_only,
            skip_broken=skip_broken,
            backend=backend,
            trust_code=trust_code,
            name=name,
            progress=lambda done, total: bar.update(job, completed=done, total=total),
        )
    for reason in report.broken:
        say(f"left out: {reason}", errors)
    notes = [f"{report.left_out} left out since they are not right"] if correct_only else []
    notes += [f"{len(report.broken)} left out with errors"] if report.broken else []
    say("; ".join([f"{report.written} trajectories with {report.frames} images in {out}", *notes]))


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
