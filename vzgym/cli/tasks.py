"""`vzgym tasks`: list, show, write, verify, score and import tasks."""

from __future__ import annotations

import math
import shlex
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.box import SIMPLE_HEAD
from rich.progress import TaskID
from rich.table import Column, Table
from rich.text import Text

from vzgym.cli.progress import console, errors, progress_bar, say
from vzgym.cli.scoring import score_command
from vzgym.cli.tasks_import import import_command
from vzgym.cli.workers import RayOption, WorkersOption, make_executor
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, PluginError, TaskError, UnknownName
from vzgym.core.files import folder_lock, write_bytes
from vzgym.core.text import close_name
from vzgym.episode import Episode
from vzgym.episode.evidence import overview_shows_evidence
from vzgym.episode.wording import PlainWording
from vzgym.rollout.executor import Executor, local_executor, stateless
from vzgym.tasks import SUITES, TaskSet, VideoTask, expert_zooms, get_task, load_tasks
from vzgym.tasks.io.writing import encode_task, is_written, list_files, plan_files, write_file
from vzgym.tasks.procedural.contact_sheet import contact_sheet
from vzgym.tasks.procedural.verify import VerifyReport, verify
from vzgym.tasks.suite import SPLITS, Suite
from vzgym.tasks.task_slice import is_task_file, split_slice

__all__ = ["app", "write_task_files"]

app = typer.Typer(
    help="List, show, write, verify, score and import tasks.", no_args_is_help=True, rich_markup_mode=None
)
app.command("score")(score_command)
app.command("import")(import_command)

_IDS_SHOWN = 20

SplitOption = Annotated[str, typer.Option(help=f"Split: {', '.join(SPLITS)}.")]


@app.command("list")
def list_suites() -> None:
    """List the suites with their contents and budgets."""
    table = Table(
        "suite", "tasks", "frames", "what", box=SIMPLE_HEAD, title=f"Suites ({', '.join(SPLITS)})",
        caption="frames: of the overview + zooms x frames of each, at most",
    )  # fmt: skip
    for name in SUITES.names():
        try:
            suite = SUITES.get(name)
            tasks = [load_tasks(name, split) for split in SPLITS]
        except PluginError as error:  # a broken suite must not hide the others
            table.add_row(name, "?", "?", str(error))
            continue
        budget = tasks[0].budget
        about = suite.description if isinstance(suite, Suite) and suite.description else "a plug-in's"
        table.add_row(
            name,
            ", ".join(str(len(part)) for part in tasks),
            f"{budget.overview_frames} + {budget.max_zooms} x {budget.clip_frames}",
            about,
        )
    console.print(table)


@app.command()
def show(
    task_id: Annotated[
        str,
        typer.Argument(metavar="TASK", help="A procedural task's id, such as needle/test/3, or an id from --tasks."),
    ],
    tasks: Annotated[
        str | None, typer.Option(help="File with the task (.jsonl or a table), if it is not procedural.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Save a contact sheet here (PNG or JPEG).")] = None,
    columns: Annotated[int, typer.Option(help="Frames per row of the sheet.", min=2)] = 8,
    rows: Annotated[int, typer.Option(help="Maximum number of rows of overview frames.", min=1)] = 3,
    frame_height: Annotated[int, typer.Option(help="Height of each frame in pixels.", min=16)] = 90,
) -> None:
    """Show a task's question, options, answer, evidence and expert zooms; save a contact sheet."""
    if out is not None:
        _check_picture(out)
    if tasks is None:
        if is_task_file(split_slice(task_id)[0]):
            raise InvalidSetting(
                f"{task_id} is a file of tasks: say vzgym tasks show ID --tasks {shlex.quote(task_id)}"
            )
        task = get_task(task_id, trust_code=True)  # typed by the user
        task_set = load_tasks(task_id.partition("/")[0])
    else:
        task_set = load_tasks(tasks)
        task = _find(task_set, task_id)
    video = task.video
    facts = Table(show_header=False, box=None)
    facts.add_row("question", Text(task.question))
    facts.add_row("options", Text(", ".join(task.options) or "none: an open question"))
    facts.add_row("answer", Text(f"{task.letter or ''} {task.answer}".strip() or "unknown"))
    facts.add_row("video", f"{video.duration:g} s, {video.width}x{video.height}, {video.fps:g} fps")
    facts.add_row("evidence", _spans(task))
    facts.add_row("expert", Text(_expert(task, task_set.budget)))
    if isinstance(difficulty := task.metadata.get("difficulty"), (int, float)):
        facts.add_row("difficulty", f"{difficulty:.2f}")
    console.print(facts)
    if overview_shows_evidence(Episode(task, task_set.budget, PlainWording()).record):
        say("Warning: the overview alone shows the evidence, so this task needs no zoom.", errors)
    if out is not None:
        sheet = contact_sheet(task, task_set, columns=columns, overview_rows=rows, frame_height=frame_height)
        out.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sheet).save(out)
        say(f"saved {out}")


def _find(tasks: TaskSet, task_id: str) -> VideoTask:
    """Return the task with this id.

    Raises:
        UnknownName: If there is none.
    """
    for task in tasks:
        if task.id == task_id:
            return task
    ids = [task.id for task in tasks]
    shown = {close_name(task_id, ids), *ids[:_IDS_SHOWN]} - {""}
    more = f"{len(ids)} tasks in all." if len(ids) > len(shown) else ""
    raise UnknownName(f"task of {tasks.name}", task_id, shown, more)


def _expert(task: VideoTask, budget: Budget) -> str:
    """Description of the scripted expert's zooms."""
    try:
        zooms = expert_zooms(task, budget)
    except TaskError as error:
        return f"none: {error}"
    return (
        ", ".join(
            f"{zoom.start:.2f} to {zoom.end:.2f} s at {zoom.fps:.4g} fps"
            + (f" in {zoom.region.to_list()}" if zoom.region else "")
            for zoom in zooms
        )
        or "no zoom"
    )


@app.command()
def write(
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    suite: Annotated[str, typer.Option(help="Suite to write.")] = "tiny",
    split: SplitOption = "test",
    tasks: Annotated[int, typer.Option(help="Number of tasks, from the first.", min=1)] = 20,
    workers: WorkersOption = 1,
    ray: RayOption = None,
) -> None:
    """Write tasks as videos (H.264, intra only) and a tasks.jsonl. An interrupted run resumes."""
    chosen = load_tasks(suite, split)
    wanted = [chosen[index] for index in range(min(tasks, len(chosen)))]
    say(f"{len(wanted)} tasks in {write_task_files(wanted, out, make_executor(workers, ray))}")


def write_task_files(tasks: Sequence[VideoTask], out: Path, workers: int | Executor, title: str = "writing") -> Path:
    """Run `write_tasks` in worker processes, with a progress bar.

    Args:
        tasks: The tasks.
        out: The folder.
        workers: Number of processes, >= 1, or an executor.
        title: Description of the progress bar.

    Returns:
        Path of the folder's `tasks.jsonl`.
    """
    with folder_lock(out), progress_bar() as bar:
        files = plan_files(tasks, out)
        executor = workers if isinstance(workers, Executor) else local_executor(workers)
        job = bar.add_task(title, total=len(files))
        if executor.shares_files:
            for _ in executor.map(stateless(write_file), files):
                bar.advance(job)
            return list_files(files)
        missing = [file for file in files if not is_written(file)]
        bar.advance(job, len(files) - len(missing))
        encoded = executor.map(stateless(encode_task), [file.task for file in missing], ahead=4 * executor.workers)
        for file, data in zip(missing, encoded, strict=True):
            write_bytes(file.path, data)
            bar.advance(job)
        return list_files(files)


@app.command("verify")
def verify_suites(
    suite: Annotated[list[str] | None, typer.Option(help="Suite to verify; may be repeated.")] = None,
    split: SplitOption = "train",
    tasks: Annotated[int, typer.Option(help="Tasks of each family, each rendered with every answer.", min=1)] = 500,
    files: Annotated[bool, typer.Option("--files", help="Also check video files.")] = False,
    file_tasks: Annotated[int, typer.Option(help="With --files: number of tasks of each family.", min=1)] = 1,
    other_frames: Annotated[
        int | None, typer.Option(help="Also report how often this many uniform frames show the event.", min=1)
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the families' cards as a Markdown table.")
    ] = False,
) -> None:
    """Verify that tasks require zooming: the overview is the same for every answer, on arrays and files.

    Related suites (text, speed) are verified with a suite.
    """
    reports: list[VerifyReport] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vzgym-verify-"))) if files else None
        bar = stack.enter_context(progress_bar())
        for name in _with_related(suite or ["tiny"]):
            job = bar.add_task(name, total=None)

            def advance(done: int, total: int, job: TaskID = job) -> None:
                bar.update(job, completed=done, total=total)

            reports.append(
                verify(
                    name,
                    split=split,
                    count=tasks,
                    files=folder,
                    file_count=file_tasks,
                    other=_uniform(name, other_frames),
                    progress=advance,
                )
            )
    if markdown:
        typer.echo(_cards(reports))
    else:
        console.print(_table(reports))
    failures = [f"{report.name}: {failure}" for report in reports for failure in report.failures]
    for failure in failures:
        errors.print(Text.assemble(("failed", "red"), f" {failure}"), soft_wrap=True)
    if failures:
        raise typer.Exit(1)


def _with_related(names: Sequence[str]) -> list[str]:
    """Suites, each followed by its related ones."""
    found: list[str] = []
    for name in names:
        plain, _, split = name.partition("/")
        suite = SUITES.get(plain)
        related = suite.also if isinstance(suite, Suite) else ()
        found += [name, *(f"{other}/{split}" if split else other for other in related)]
    return list(dict.fromkeys(found))


def _uniform(name: str, frames: int | None) -> Budget | None:
    """The suite's budget with a fixed number of overview frames."""
    if frames is None:
        return None
    return replace(load_tasks(name).budget, overview_fps=math.inf, overview_frames=frames)


def _table(reports: Sequence[VerifyReport]) -> Table:
    other = next((report.other for report in reports), None)
    filed = any(row.files for report in reports for row in report.families)
    table = Table(
        Column("suite", no_wrap=True), Column("family", no_wrap=True),
        "tasks", *(["files"] if filed else []), Column("overview", no_wrap=True), "right", "meta", "needs", "right",
        *(["hits"] if other else []), Column("proof", no_wrap=True),
        box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False,
        title="Is zooming needed? Each task rendered with every one of its answers",
        caption="overview: whether its decoded frames are the same for all answers; right: read from it, and from "
        "the expert's frames; meta: guessed from duration, frames, file size and question; needs: zooms and "
        "frames of the expert" + (f"; hits: {other.overview_frames} uniform frames show the event" if other else ""),
    )  # fmt: skip
    for report in reports:
        for row in report.families:
            table.add_row(
                report.name.removesuffix("/train"),
                row.family,
                f"{row.tasks}x{row.options}",
                *([str(row.files)] if filed else []),
                "same" if row.zoom_needed else "differs",
                _share(row.overview_right, row.overview_readings),
                _share(row.guessed_right, row.guessed),
                f"{row.expert_zooms / row.tasks:.0f}/{row.expert_frames / row.tasks:.0f}",
                _share(row.right, row.readings, 1).replace(".0%", "%"),
                *([f"{row.hits / row.tasks:.0%}"] if other else []),
                "[green]holds[/green]" if row.ok else "[red]fails[/red]",
            )
    return table


def _share(part: int, whole: int, digits: int = 0) -> str:
    return f"{part / whole:.{digits}%}" if whole else "-"


def _cards(reports: Sequence[VerifyReport]) -> str:
    """Measurements of each family as a Markdown table."""
    other = next((report.other for report in reports), None)
    head = ["suite", "family", "chance", "overview alone", "metadata alone", "expert", "its zooms", "its frames"]
    head += [f"{other.overview_frames} uniform frames show it"] if other else []
    lines = [f"| {' | '.join(head)} |", "|---|---|" + "---:|" * (len(head) - 2)]
    for report in reports:
        for row in report.families:
            cells = [
                f"`{report.name}`",
                row.family,
                f"1/{row.options}",
                _share(row.overview_right, row.overview_readings),
                _share(row.guessed_right, row.guessed),
                _share(row.right, row.readings, 1),
                f"{row.expert_zooms / row.tasks:.0f}",
                f"{row.expert_frames / row.tasks:.0f}",
                *([f"{row.hits / row.tasks:.0%}"] if other else []),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _check_picture(path: Path) -> None:
    """Check that the suffix is that of an image format, before drawing."""
    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        found = f"ends in {path.suffix!r}" if path.suffix else "has no suffix"
        raise InvalidSetting(f"--out must name an image file, such as sheet.png or sheet.jpg; {str(path)!r} {found}")


def _spans(task: VideoTask) -> str:
    if task.evidence is None:
        return "unknown"
    return ", ".join(f"{span.start:.2f} to {span.end:.2f} s" for span in task.evidence) or "none: the overview suffices"
