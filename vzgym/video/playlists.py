"""Playlists: text files that name the files of one video (ffconcat, HLS).

They are read only if asked for, since a playlist names further files to open. A subset of both formats is accepted:
local files, whole, one after another.
"""

from __future__ import annotations

import re
from pathlib import Path

from vzgym.core.errors import VideoError
from vzgym.video.decoder import ReadOptions
from vzgym.video.paths import identify

__all__ = ["identity_of", "is_playlist", "playlist_files"]

_FFCONCAT, _HLS = b"ffconcat", b"#EXTM3U"
_MARKS = (_FFCONCAT, _HLS, b"<MPD", b"[playlist]")
_LONGEST = 1 << 20
_CONCAT_FILE = re.compile(r"file\s+(?:'([^'\\]+)'|([^\s'\"\\#]+))")
_CONCAT_OTHER = re.compile(r"(?:ffconcat version 1\.0|duration\s+[\d.:]+|#.*)?")
_HLS_TAGS = re.compile(
    r"#EXT(?:M3U|INF:.*|-X-(?:VERSION:.*|TARGETDURATION:.*|MEDIA-SEQUENCE:.*|PLAYLIST-TYPE:.*|PROGRAM-DATE-TIME:.*"
    r"|INDEPENDENT-SEGMENTS|DISCONTINUITY|ENDLIST))|#(?!EXT).*|"
)


def is_playlist(head: bytes) -> bool:
    """Whether a file that begins with `head` is a playlist of any format, also one that cannot be read."""
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return any(head.startswith(mark) or (head.startswith(b"<?xml") and mark in head) for mark in _MARKS)


def playlist_files(path: str, root: str | None, backend: str) -> tuple[str, ...]:
    """The files that a playlist names; none if the file is no playlist.

    Args:
        path: The file.
        root: The only folder whose files may be named, links followed; the playlist's own folder if None.
        backend: For errors.

    Raises:
        VideoError: If a line is not of the accepted subset, or names a file that is missing, outside the folder, or a
            playlist itself.
    """
    with Path(path).open("rb") as file:
        data = file.read(_LONGEST + 1)
    if not is_playlist(data[:512]):
        return ()
    if not data.startswith((_FFCONCAT, _HLS)):
        raise VideoError(
            "is a playlist of a kind that cannot be read: only ffconcat and HLS", path=path, backend=backend
        )
    if len(data) > _LONGEST:
        raise VideoError(f"is a playlist of more than {_LONGEST} bytes", path=path, backend=backend)
    try:
        lines = [line.strip() for line in data.decode("utf-8").split("\n")]
    except UnicodeDecodeError as error:
        raise VideoError(f"is a playlist that is not UTF-8: {error}", path=path, backend=backend) from error
    names = _concat_names(lines, path, backend) if data.startswith(_FFCONCAT) else _hls_names(lines, path, backend)
    if not names:
        raise VideoError("is a playlist that names no file", path=path, backend=backend)
    folder = Path(path).resolve().parent
    confined = folder if root is None else Path(root).resolve()
    found = []
    for name in names:
        file_path = folder / name
        if not file_path.resolve().is_relative_to(confined):
            reason = f"is a playlist that names a file outside of {str(confined)!r}: {name!r}"
            raise VideoError(reason, path=path, backend=backend)
        if not file_path.is_file():
            raise VideoError(f"is a playlist that names a missing file: {name!r}", path=path, backend=backend)
        with file_path.open("rb") as member:
            if is_playlist(member.read(512)):
                raise VideoError(f"is a playlist that names another playlist: {name!r}", path=path, backend=backend)
        found.append(str(file_path))
    return tuple(found)


def identity_of(path: str, options: ReadOptions, backend: str = "pyav") -> tuple[tuple[str, int, int], ...]:
    """Key of a file's current content, and of the files that it names if it is an allowed playlist.

    Raises:
        VideoError: If a file does not exist, or the playlist is refused.
    """
    own = identify(path, backend)
    named = playlist_files(path, options.root, backend) if options.playlists else ()
    return own, *(identify(file, backend) for file in named)


def _concat_names(lines: list[str], path: str, backend: str) -> list[str]:
    names = []
    for number, line in enumerate(lines, start=1):
        named = _CONCAT_FILE.fullmatch(line)
        if named:
            names.append(_checked(named[1] or named[2], number, path, backend))
        elif not _CONCAT_OTHER.fullmatch(line):
            raise _refused(line, number, path, backend)
    return names


def _hls_names(lines: list[str], path: str, backend: str) -> list[str]:
    if "#EXT-X-ENDLIST" not in lines:
        raise VideoError("is an HLS playlist without an end (a live stream)", path=path, backend=backend)
    names = []
    for number, line in enumerate(lines, start=1):
        if line and not line.startswith("#"):
            names.append(_checked(line, number, path, backend))
        elif not _HLS_TAGS.fullmatch(line):
            raise _refused(line, number, path, backend)
    return names


def _checked(name: str, number: int, path: str, backend: str) -> str:
    # A colon ends a protocol's name; "?" and "%" have a meaning in URLs.
    if any(mark in name for mark in ":?%\\\0"):
        raise _refused(name, number, path, backend)
    return name


def _refused(line: str, number: int, path: str, backend: str) -> VideoError:
    reason = f"is a playlist whose line {number} is not accepted: {line[:100]!r}; a line names one local file"
    return VideoError(reason, path=path, backend=backend)
