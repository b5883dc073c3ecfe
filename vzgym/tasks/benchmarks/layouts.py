"""Where a benchmark's files lie on a disk: detection of known layouts, and look-up of files by name."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from vzgym.core.errors import InvalidSetting, TaskError
from vzgym.tasks.benchmarks.definition import Benchmark, Layout

__all__ = ["SUBTITLE_SUFFIXES", "VIDEO_SUFFIXES", "FileIndex", "Place", "find_place"]

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".flv")
"""Suffixes of video files, in the order in which they are tried; capital letters too."""

SUBTITLE_SUFFIXES = (".srt", ".vtt", ".json", ".jsonl", ".txt")
"""Suffixes of subtitle files."""

_ANNOTATION_SUFFIXES = (".parquet", ".jsonl", ".json", ".tsv", ".csv", ".txt")
_SKIPPED_FOLDERS = ("__MACOSX", ".cache", ".git")


@dataclass(frozen=True)
class Place:
    """The files of a benchmark.

    Attributes:
        layout: Name of the layout ("lmms-eval", "VLMEvalKit", "official", "given paths").
        annotations: The annotation files.
        videos: Folders of videos that exist.
        subtitles: Folders of subtitles that exist.
    """

    layout: str
    annotations: tuple[Path, ...]
    videos: tuple[Path, ...]
    subtitles: tuple[Path, ...] = ()


def find_place(
    benchmark: Benchmark,
    root: str | os.PathLike[str] | None,
    annotations: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    videos: str | os.PathLike[str] | None = None,
    subtitle_files: str | os.PathLike[str] | None = None,
) -> Place:
    """Find a benchmark's files.

    Args:
        benchmark: The benchmark.
        root: Folder with the files in a known layout; None if all are given.
        annotations: Annotation files, or a folder of them, in place of those below `root`.
        videos: Folder of videos, likewise.
        subtitle_files: Folder of subtitles, likewise.

    Returns:
        The files of the first layout that has annotations and a folder of videos; else of the first with annotations.

    Raises:
        InvalidSetting: If nothing is given, or a given path does not exist.
        TaskError: If no annotation file is found; lists what was looked for.
    """
    if root is None and annotations is None:
        raise InvalidSetting(
            f"{benchmark.name} needs the folder with its files: root (--root), or annotations, videos and "
            f"subtitle_files. {how_to_get(benchmark)}"
        )
    folder = None if root is None else Path(root).expanduser()
    for what, path in (("root", folder), ("videos", videos), ("subtitle_files", subtitle_files)):
        if path is not None and not Path(path).is_dir():
            raise InvalidSetting(f"{what}: there is no folder {os.fspath(path)!r}")
    given = _given_annotations(benchmark, annotations)
    found = [] if folder is None else [_look(layout, folder, benchmark) for layout in benchmark.layouts]
    usable = [place for place in found if place.annotations or given]
    best = next((place for place in usable if place.videos), usable[0] if usable else None)
    if best is None and not given:
        looked = "; ".join(f"{layout.name}: {' or '.join(layout.annotations)}" for layout in benchmark.layouts)
        raise TaskError(
            f"{benchmark.name}: no annotation file in {folder}. Looked for {looked} (cache: a Hugging Face snapshot "
            f"there; snapshot: root or cache). {how_to_get(benchmark)} Any other arrangement: name the files, "
            f"--tasks '{{name: {benchmark.name}, annotations: FILE, videos: FOLDER}}' (bench check: --annotations, "
            "--videos)"
        )
    layout = "given paths" if given or best is None else best.layout
    if videos is not None:
        folders: tuple[Path, ...] = (Path(videos),)
    elif best is not None and best.videos:
        folders = best.videos
    else:
        folders = (folder,) if folder is not None else (given[0].parent,)
    speech = (Path(subtitle_files),) if subtitle_files is not None else (best.subtitles if best is not None else ())
    return Place(layout, given or (best.annotations if best is not None else ()), folders, speech)


def how_to_get(benchmark: Benchmark) -> str:
    """How to get the files, in one sentence."""
    if benchmark.source.access == "elsewhere" or not benchmark.source.hub:
        return benchmark.source.how or "See its page in the documentation."
    size = "" if benchmark.source.size == "?" else f" ({benchmark.source.size})"
    return f"Download it with `vzgym bench download {benchmark.name} --root FOLDER`{size}."


def _given_annotations(
    benchmark: Benchmark,
    annotations: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None,
) -> tuple[Path, ...]:
    if annotations is None:
        return ()
    names = {pattern.rpartition("/")[2] for layout in benchmark.layouts for pattern in layout.annotations}
    listed = [annotations] if isinstance(annotations, (str, os.PathLike)) else list(annotations)
    files: list[Path] = []
    for path in map(Path, listed):
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in _ANNOTATION_SUFFIXES)
            inside = [file for file in inside if not file.name.startswith(".")]
            # Of a folder with other files, too, those with a known name.
            known = [file for file in inside if any(fnmatchcase(file.name, name) for name in names)]
            files += known or inside
        elif path.is_file():
            files.append(path)
        else:
            raise InvalidSetting(f"annotations: there is no file {str(path)!r}")
    if not files:
        raise InvalidSetting(f"annotations: no annotation file in {', '.join(map(str, listed))}")
    return tuple(files)


def _look(layout: Layout, root: Path, benchmark: Benchmark) -> Place:
    """The part of a layout that exists below a root."""
    cached = list(_snapshots(root, benchmark.source.hub))
    bases = {"{root}": [root], "{cache}": cached, "{snapshot}": list(dict.fromkeys([root, *cached]))}
    annotations: list[Path] = []
    for pattern in layout.annotations:
        annotations = annotations or _matches(pattern, bases)
    videos = [path for pattern in layout.videos for path in _matches(pattern, bases) if path.is_dir()]
    subtitles = [path for pattern in layout.subtitles for path in _matches(pattern, bases) if path.is_dir()]
    return Place(layout.name, tuple(annotations), tuple(dict.fromkeys(videos)), tuple(dict.fromkeys(subtitles)))


def _matches(pattern: str, bases: dict[str, list[Path]]) -> list[Path]:
    """Paths that match a pattern in the first of its bases that has any."""
    head, _, rest = pattern.partition("/")
    for base in bases[head]:
        found = sorted(base.glob(rest)) if rest else [base]
        found = [path for path in found if not path.name.startswith("._")]
        if found:
            return found
    return []


def _snapshots(root: Path, hub: Sequence[str]) -> Iterator[Path]:
    """Snapshots of hub datasets in a Hugging Face cache at or below a root, newest first."""
    if root.absolute().parent.name == "snapshots":
        yield root
    found = []
    for name in hub:
        folder = f"datasets--{name.replace('/', '--')}"
        for base in (root, root / "hub", root / "huggingface" / "hub"):
            found += [path for path in (base / folder / "snapshots").glob("*") if path.is_dir()]
    found += [path for path in (root / "snapshots").glob("*") if path.is_dir()]
    yield from sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


@dataclass
class FileIndex:
    """The files of some folders and their sub-folders, for look-up by the names that annotations give.

    Only files found in the folders can be returned, whatever a row names: names are looked up, never opened.

    Args:
        folders: The folders.
        suffixes: Suffixes of the files of interest, in the order of preference. Small and capital letters are equal.
        identifying_folders: How many folders above a file must be those of the name that is looked up.
    """

    folders: Sequence[Path]
    suffixes: Sequence[str] = VIDEO_SUFFIXES
    identifying_folders: int = 0
    _by_name: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list), repr=False)
    _by_stem: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list), repr=False)
    _allowed: list[Path] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        seen: set[Path] = set()
        for folder in self.folders:
            self._allowed += [folder.resolve(), *_blobs(folder)]
            for path in _files(folder):
                if path.suffix.lower() in self.suffixes and path not in seen:
                    seen.add(path)
                    self._by_name[path.name].append(path)
                    self._by_stem[path.stem].append(path)

    @property
    def files(self) -> list[Path]:
        """All files, sorted."""
        return sorted(path for paths in self._by_name.values() for path in paths)

    def find(self, name: str) -> Path | None:
        """The file for a name: as given, else with another suffix, in any sub-folder; None if there is none.

        Args:
            name: A file's path relative to a folder, its name, or its name without the suffix.

        Raises:
            TaskError: If the file is a link out of the folders.
        """
        wanted = PurePosixPath(name.replace("\\", "/"))
        found = self._by_name.get(wanted.name) or self._by_stem.get(wanted.name) or []
        if not found and wanted.suffix.lower() in VIDEO_SUFFIXES + SUBTITLE_SUFFIXES:
            found = self._by_stem.get(wanted.stem, [])
        if self.identifying_folders:
            found = [path for path in found if _common_end(path, wanted) >= self.identifying_folders]
        if not found:
            return None
        path = min(found, key=lambda path: (-_common_end(path, wanted), self.suffixes.index(path.suffix.lower()), path))
        self._check_inside(path)
        return path

    def expected(self, name: str) -> Path:
        """Where a missing file would be looked for first."""
        wanted = PurePosixPath(name.replace("\\", "/"))
        last = wanted.name if wanted.suffix else f"{wanted.name}{self.suffixes[0]}"
        return self.folders[0] / last

    def _check_inside(self, path: Path) -> None:
        if path.is_symlink() or path.parent.resolve() != path.parent:
            real = path.resolve()
            if not any(real.is_relative_to(folder) for folder in self._allowed):
                raise TaskError(
                    f"{path} is a link out of the folder to which files are confined: name the folder of the files "
                    "themselves (--videos)"
                )


def _blobs(folder: Path) -> list[Path]:
    """The folder to which the files of a hub snapshot are links, if `folder` lies in a snapshot."""
    for parent in (folder.absolute(), *folder.absolute().parents):
        if parent.parent.name == "snapshots":
            return [(parent.parent.parent / "blobs").resolve()]
    return []


def _common_end(path: Path, wanted: PurePosixPath) -> int:
    """How many folders above the file agree, from the file upwards."""
    count = 0
    for one, other in zip(reversed(path.parts[:-1]), reversed(wanted.parts[:-1]), strict=False):
        if one != other:
            break
        count += 1
    return count


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder. Links to folders are followed once."""
    visited: set[str] = set()
    for base, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(base)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if name not in _SKIPPED_FOLDERS)
        for name in sorted(names):
            if not name.startswith("._"):
                yield Path(base, name)
