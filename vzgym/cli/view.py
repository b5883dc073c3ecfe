"""`vzgym view`."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from vzgym.cli.progress import progress_bar, say
from vzgym.core.errors import InvalidSetting

__all__ = ["open_page", "view"]


def view(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders (vzgym eval --out), folders of runs, or record files; two or more are aligned."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the page. Default: view/ in the run's folder, or beside several runs."),
    ] = None,
    single_file: Annotated[
        Path | None, typer.Option("--single-file", help="Write one .html file with all frames in it.")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Follow runs that are being written, on a page served to this machine only.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port of --serve; 0 takes a free one.", min=0, max=65535)] = 0,
    frames: Annotated[
        bool, typer.Option("--frames/--no-frames", help="Show the frames, read from the videos again.")
    ] = True,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    backend: Annotated[str, typer.Option(help="Decoder for video files.")] = "pyav",
    trust_code: Annotated[
        bool,
        typer.Option(
            "--trust-code", help="Allow imports of code named by records (module:suite); runs arbitrary code."
        ),
    ] = False,
) -> None:
    """Show runs on a page: episodes with frames, dialogue, rewards and costs; several runs side by side."""
    from vzgym.episode.runs import without_views
    from vzgym.evaluation.viewer import write_single_file, write_view

    runs = without_views(runs)
    if serve:
        if out is not None or single_file is not None:
            raise InvalidSetting("--serve writes no page: leave out --out and --single-file")
        _serve(runs, port, open_, frames=frames, backend=backend, trust_code=trust_code)
        return
    if out is not None and single_file is not None:
        raise InvalidSetting("--out writes a folder and --single-file a file: give one of them")
    with _progress() as progress:
        if single_file is not None:
            page = write_single_file(
                runs, single_file, frames=frames, backend=backend, trust_code=trust_code, progress=progress
            )
        else:
            page = write_view(runs, out, frames=frames, backend=backend, trust_code=trust_code, progress=progress)
    say(f"Page: {page}")
    if open_:
        open_page(page.resolve().as_uri())


def open_page(address: str) -> None:
    """Open an address in the browser, if this is a terminal of a desktop."""
    desktop = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if desktop and sys.stdout.isatty():
        webbrowser.open(address)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    with progress_bar() as bar:
        job = bar.add_task("episodes", total=None)
        yield lambda done, total: bar.update(job, completed=done, total=total)


def _serve(runs: list[Path], port: int, open_: bool, *, frames: bool, backend: str, trust_code: bool) -> None:
    from vzgym.evaluation.viewer import LiveView

    with LiveView(runs, port=port, frames=frames, backend=backend, trust_code=trust_code) as live:
        say(f"Page: {live.url}\nNew episodes appear by themselves. Ctrl+C stops.")
        if open_:
            open_page(live.url)
        try:
            live.server.wait()
        except KeyboardInterrupt:
            say("Stopped.")
