"""Validation of video paths."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from vzgym.core.errors import VideoError

__all__ = ["check_regular", "identify", "local_path"]


def local_path(path: str | os.PathLike[str]) -> str:
    """The path of a local file, given as a path or as a `file:` URI with an absolute path (RFC 8089).

    Anything else is a path: colons, percent signs and names such as `concat:a.mp4` have no special meaning. `pathlib`
    turns `file:///a.mp4` into `file:/a.mp4`; both are URIs.

    Raises:
        VideoError: If the URI names another host.
    """
    name = os.fspath(path)
    if not name.startswith("file:/") or os.path.lexists(name):
        return name
    parts = urlsplit(name, allow_fragments=False)
    if parts.netloc not in ("", "localhost"):
        raise VideoError(f"names the host {parts.netloc!r}; a video is read from a local file", path=name)
    # A "?" is an ordinary character of a path; RFC 8089 defines no queries.
    return url2pathname(f"{parts.path}?{parts.query}" if "?" in name else parts.path)


def identify(path: str, backend: str) -> tuple[str, int, int]:
    """Key of a file's current content: real path, size and modification time.

    Raises:
        VideoError: If the file does not exist.
    """
    status = _status(path, backend)
    return os.path.realpath(path), status.st_size, status.st_mtime_ns


def check_regular(path: str, backend: str) -> None:
    """Raise `VideoError` unless `path` is a non-empty regular file (a pipe would block for ever)."""
    status = _status(path, backend)
    if not stat.S_ISREG(status.st_mode):
        raise VideoError("is not a regular file", path=path, backend=backend)
    if status.st_size == 0:
        raise VideoError("the file is empty", path=path, backend=backend)


def _status(path: str, backend: str) -> os.stat_result:
    try:
        return Path(path).stat()
    except OSError as error:
        reason = error.strerror
    except ValueError as error:  # a zero byte in the path
        reason = str(error)
    hint = "; a video is read from a local file: download it first" if "://" in path else ""
    raise VideoError(f"cannot be found: {reason}{hint}", path=path, backend=backend)
