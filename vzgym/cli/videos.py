"""`vzgym videos`: check video files, remux them, and build frame stores."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from vzgym.cli.progress import console, errors, progress_bar, say
from vzgym.core.errors import InvalidSetting, VzgymError
from vzgym.core.files import is_disk_full
from vzgym.rollout.executor import local_executor, stateless
from vzgym.video.check import VideoIssue, VideoReport, check
from vzgym.video.remux import remux
from vzgym.video.store import FrameStore, build_store

__all__ = ["app"]

app = typer.Typer(
    help="Check video files, remux them, build frame stores.", no_args_is_help=True, rich_markup_mode=None
)

_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .flv .ts .m2ts .mts .mpg .mpeg .vob .wmv .asf .ogv .3gp .mxf .gif .apng".split()
)

Paths = Annotated[list[Path], typer.Argument(help="Video files, or folders of them.", show_default=False)]
Timeout = Annotated[float, typer.Option(help="Maximum waiting time for a frame, in seconds.", min=0.1)]


@app.command("check")
def check_command(
    paths: Paths,
    full: Annotated[bool, typer.Option("--full", help="Decode every frame instead of 16 positions.")] = False,
    remux_to: Annotated[
        Path | None,
        typer.Option(
            "--remux",
            help="Folder for copies, as mp4, of files with slow or missing indices, or with missing or wrong time "
            "stamps; each at its place in the folders given.",
        ),
    ] = None,
    stream: Annotated[
        int | None,
        typer.Option(help="Index of the video stream, as ffprobe counts. Default: the one that FFmpeg chooses.", min=0),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    timeout: Timeout = 30.0,
) -> None:
    """Inspect video files and report problems.

    Exit status 1 if a file has an error and no correct copy of it was made.
    """
    if remux_to is not None and remux_to.exists() and not remux_to.is_dir():
        raise InvalidSetting(f"--remux must name a folder, but {remux_to} is a file")
    reports = []
    copies: dict[str, str] = {}
    for path, place in _files(paths):
        report = check(path, full=full, timeout=timeout, stream=stream)
        if remux_to is not None and any(issue.remux_helps for issue in report.issues):
            target = (remux_to / place).with_suffix(".mp4")
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                copies[str(path)] = str(remux(path, target, timeout=timeout, stream=stream))
            except (VzgymError, OSError) as error:
                if is_disk_full(error):
                    raise
                issues = (VideoIssue("error", str(error)), *report.issues)
                report = replace(report, issues=issues)
        reports.append(report)
    if as_json:
        typer.echo(json.dumps([{**r.to_dict(), "remuxed_to": copies.get(r.path)} for r in reports], indent=1))
    else:
        _print(reports, copies)
    if not all(report.ok or report.path in copies for report in reports):
        raise typer.Exit(1)


@app.command("store")
def store_command(
    paths: Paths,
    root: Annotated[Path, typer.Option("--root", help="Folder of all frame stores.")],
    fps: Annotated[float, typer.Option(help="Frames stored per second of video.")] = 4.0,
    max_pixels: Annotated[int, typer.Option(help="Maximum number of pixels of a stored frame.", min=1)] = 100_352,
    quality: Annotated[int, typer.Option(help="JPEG quality, 1 to 95.")] = 90,
    timeout: Timeout = 30.0,
    workers: Annotated[int, typer.Option(help="Number of worker processes, one file each at a time.", min=1)] = 1,
) -> None:
    """Store frames of frequently read videos as JPEGs. An interrupted build resumes.

    Use them with FileVideo(path, grid_fps=FPS, store=ROOT).
    """
    files = [path for path, _ in _files(paths)]
    failed = False
    settings: dict[str, Any] = {"fps": fps, "max_pixels": max_pixels, "quality": quality, "timeout": timeout}
    with progress_bar() as progress:
        bar = progress.add_task("storing", total=len(files))
        done = 0

        def show(seconds: float, duration: float) -> None:
            progress.update(bar, completed=done + seconds / duration)

        # Worker processes cannot call back, so that the bar advances once per file.
        build = partial(_build, root=root, progress=show if workers == 1 else None, **settings)
        for path, built in zip(files, local_executor(workers).map(stateless(build), files), strict=True):
            done += 1
            progress.update(bar, completed=done)
            if isinstance(built, Path):
                size = (built / "frames.bin").stat().st_size
                say(f"{path}: {len(FrameStore(built))} frames, {size / 1e6:.1f} MB in {built}")
            else:
                say(built, errors)
                failed = True
    if failed:
        raise typer.Exit(1)


def _build(path: Path, **settings: Any) -> Path | str:
    """Frame store of a file, or the reason why it cannot be built."""
    try:
        return build_store(path, **settings)
    except VzgymError as error:
        if is_disk_full(error):
            raise
        return str(error)


def _files(paths: list[Path]) -> list[tuple[Path, Path]]:
    """List the given files and the video files in the given folders, sorted, with their relative paths.

    The relative path of a file given directly is its name.

    Raises:
        InvalidSetting: If a folder holds no video file, which must not pass as free of errors.
    """
    found: list[tuple[Path, Path]] = []
    for path in paths:
        if not path.is_dir():
            found.append((path, Path(path.name)))
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
        if not inside:
            raise InvalidSetting(f"no video files in {path}; suffixes: {', '.join(sorted(_SUFFIXES))}")
        found.extend((file, file.relative_to(path)) for file in inside)
    return found


def _print(reports: list[VideoReport], copies: dict[str, str]) -> None:
    """Print a table of the files, and below it a line for each issue."""
    table = Table("file", "length", "size", "fps", "codec", "key frames", "state", box=SIMPLE_HEAD)
    for report in reports:
        info = report.info
        if info is None:
            row = ["", "", "", "", ""]
        else:
            minutes, seconds = divmod(info.duration, 60)
            every = "not indexed" if info.key_distance is None else f"{info.key_distance:.1f} s"
            row = [
                f"{minutes:.0f}:{seconds:04.1f}",
                f"{info.width}x{info.height}",
                f"{info.fps:.4g}",
                info.codec,
                every,
            ]
        state = Text("fine", "green") if not report.issues else Text("see below", "yellow" if report.ok else "red")
        # Plain text, not markup: file names may contain brackets.
        table.add_row(Text(Path(report.path).name, overflow="fold"), *row, state)
    console.print(table)
    for report in reports:
        for issue in report.issues:
            where = "" if issue.time is None else f" (at {issue.time:.2f} s)"
            say(f"{report.path}: {issue.level}: {issue.what}{where}")
        if report.path in copies:
            say(f"{report.path}: remuxed to {copies[report.path]}")
    if any(report.info is not None and not report.full for report in reports):
        say("Of each file, the time stamps and frames at 16 positions were checked; --full decodes every frame.")
