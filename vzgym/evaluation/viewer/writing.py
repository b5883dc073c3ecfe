"""Writes the page of runs: a folder that opens from disk, or a single file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from vzgym.core.errors import InvalidSetting, RecordError
from vzgym.core.files import write_bytes, write_json, write_text
from vzgym.episode.runs import VIEW
from vzgym.evaluation.viewer.data import ViewData
from vzgym.evaluation.viewer.frames import FrameSheets
from vzgym.evaluation.viewer.pages import ASSETS, asset, data_script, folder_page, page_title, single_page

__all__ = ["default_folder", "write_single_file", "write_view"]


def default_folder(paths: Sequence[Path]) -> Path:
    """Where the page of some runs is written: in the run's folder, else beside the first."""
    first = paths[0]
    if len(paths) == 1 and first.is_dir():
        return first / "view"
    return first.parent / ("view" if len(paths) > 1 else f"{first.stem}-view")


def check_folder(out: Path) -> None:
    """Check that a folder is missing, empty, or was written by `write_view`.

    Raises:
        InvalidSetting: If it holds something else.
    """
    if out.exists() and not out.is_dir():
        raise InvalidSetting(f"--out {out} is not a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / VIEW).is_file():
        raise InvalidSetting(f"--out {out} holds other files; choose a new folder")


def write_view(
    paths: Sequence[str | Path],
    out: str | Path | None = None,
    *,
    frames: bool = True,
    backend: str = "pyav",
    trust_code: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write a page that shows runs: `index.html` in a folder, which opens without a server.

    Args:
        paths: Folders of runs, folders of several runs, or files of records.
        out: The folder. Default: `view` in the run's folder, or beside the first of several runs. A folder that this
            function wrote before is written anew; frames that it holds already are kept.
        frames: Whether to read the frames from the videos.
        backend: Decoder for video files.
        trust_code: Whether code that records name (`module:suite`) may be imported.
        progress: Called with the number of written episodes, and of all.

    Returns:
        The path of `index.html`.

    Raises:
        InvalidSetting: If a path does not exist, or `out` holds other files.
        RecordError: If there are no records at a path. Other lines that cannot be read are listed on the page.
    """
    places = [Path(path) for path in paths]
    folder = Path(out) if out is not None else default_folder(places)
    check_folder(folder)
    data = ViewData(places)
    data.poll()
    data.check_files()
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / VIEW, {"runs": [str(place) for place in places]})
    _write_assets(folder)
    shutil.rmtree(folder / "data", ignore_errors=True)
    sheets = FrameSheets(folder / "frames", backend, trust_code=trust_code) if frames else None
    used: set[str] = set()
    for run, number, done, total in _episodes(data):
        (folder / "data" / str(run)).mkdir(parents=True, exist_ok=True)
        name = f"{run}/{number}"
        try:
            episode = data.episode(run, number, sheets)
        except RecordError as error:
            episode = {"problem": str(error)}
        used.update(clip["sheet"][0] for clip in episode.get("clips", ()) if "sheet" in clip)
        (folder / "data" / f"{name}.js").write_text(data_script(name, episode), encoding="utf-8")
        progress(done, total)
    for file in (folder / "frames").glob("*.webp"):
        if file.name not in used:
            file.unlink()
    (folder / "data").mkdir(exist_ok=True)
    write_text(folder / "data" / "index.js", data_script("index", data.index()))
    write_text(folder / "index.html", folder_page(page_title(places)))
    return folder / "index.html"


def write_single_file(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    frames: bool = True,
    backend: str = "pyav",
    trust_code: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write the page of `write_view` as one HTML file, with all frames in it; see there.

    Args:
        paths: Folders of runs, folders of several runs, or files of records.
        out: The file; it must end in .html.
        frames: Whether to read the frames from the videos.
        backend: Decoder for video files.
        trust_code: Whether code that records name (`module:suite`) may be imported.
        progress: Called with the number of read episodes, and of all.

    Returns:
        `out`.

    Raises:
        InvalidSetting: If a path does not exist, or `out` does not end in .html.
        RecordError: If there are no records at a path.
    """
    file = Path(out)
    if file.suffix.lower() not in (".html", ".htm"):
        raise InvalidSetting(f"--single-file must end in .html, got {file}")
    places = [Path(path) for path in paths]
    data = ViewData(places)
    data.poll()
    data.check_files()
    values = {"index": data.index()}
    pictures: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        sheets = FrameSheets(Path(folder), backend, trust_code=trust_code) if frames else None
        for run, number, done, total in _episodes(data):
            try:
                episode = data.episode(run, number, sheets)
            except RecordError as error:
                episode = {"problem": str(error)}
            values[f"{run}/{number}"] = episode
            for clip in episode.get("clips", ()):
                if "sheet" in clip and clip["sheet"][0] not in pictures:
                    pictures[clip["sheet"][0]] = (Path(folder) / clip["sheet"][0]).read_bytes()
            progress(done, total)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, single_page(page_title(places), values, pictures))
    return file


def _write_assets(folder: Path) -> None:
    (folder / "static").mkdir(exist_ok=True)
    for name in ASSETS:
        write_bytes(folder / "static" / name, asset(name))


def _episodes(data: ViewData) -> list[tuple[int, int, int, int]]:
    """Run, number, how many so far, and how many in all."""
    found = [(run, number) for run, item in enumerate(data.runs) for number in range(len(item.lines))]
    return [(run, number, done, len(found)) for done, (run, number) in enumerate(found, start=1)]
