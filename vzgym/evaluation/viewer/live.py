"""Serves the page of runs that are being written, on the loopback interface."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from vzgym.core.errors import RecordError
from vzgym.evaluation.viewer.data import ViewData
from vzgym.evaluation.viewer.frames import FrameSheets
from vzgym.evaluation.viewer.pages import ASSETS, asset, data_script, folder_page, page_title
from vzgym.evaluation.viewer.server import LoopbackServer, Request, Response

__all__ = ["LiveView"]

_KINDS: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_EPISODE: Final = re.compile(r"data/(\d{1,6})/(\d{1,9})\.js")
_SHEET: Final = re.compile(r"frames/([0-9a-f]{32}\.webp)")


class LiveView:
    """A page that follows runs while they are written. Use as a context manager.

    Args:
        paths: Folders of runs, folders of several runs, or files of records; they may still be empty.
        port: The port; 0 takes a free one.
        frames: Whether to read the frames from the videos.
        backend: Decoder for video files.
        trust_code: Whether code that records name (`module:suite`) may be imported.

    Attributes:
        url: The page's address.

    Raises:
        InvalidSetting: If a path does not exist or the port is not free.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        port: int = 0,
        frames: bool = True,
        backend: str = "pyav",
        trust_code: bool = False,
    ) -> None:
        self.data = ViewData(paths, live=True)
        self._pictures = tempfile.TemporaryDirectory(prefix="vzgym-view-")
        self._folder = Path(self._pictures.name)
        self._sheets = FrameSheets(self._folder, backend, trust_code=trust_code) if frames else None
        self.server = LoopbackServer(self.answer, port)
        self.url = self.server.url

    def answer(self, request: Request) -> Response:
        """Answer a request of the page."""
        path = request.path
        if path == "":
            return Response(folder_page(page_title(self.data.paths), live=True).encode(), "text/html; charset=utf-8")
        if path.startswith("static/") and path.removeprefix("static/") in ASSETS:
            return Response(asset(path.removeprefix("static/")), _KINDS[Path(path).suffix])
        if path == "data/index.js":
            self.data.poll()
            return Response(data_script("index", self.data.index()).encode(), _KINDS[".js"])
        if path == "data/new.json":
            return self._new(request)
        if found := _EPISODE.fullmatch(path):
            run, number = int(found[1]), int(found[2])
            try:
                episode = self.data.episode(run, number, self._sheets)
            except RecordError as error:
                episode = {"problem": str(error)}
            return Response(data_script(f"{run}/{number}", episode).encode(), _KINDS[".js"])
        if found := _SHEET.fullmatch(path):
            file = self._folder / found[1]
            if file.is_file():
                return Response(file.read_bytes(), "image/webp", keep=True)
        return Response.error(HTTPStatus.NOT_FOUND, f"there is no {path:.200}")

    def _new(self, request: Request) -> Response:
        """What was added since the page asked last: `?state=...&generation=0&have=12,30`."""
        self.data.poll()
        if request.query.get("state") == self.data.state:
            return Response.json({"same": True})
        same = request.query.get("generation") == str(self.data.generation)
        counts = request.query.get("have", "")
        have = [int(count) for count in counts.split(",") if count.isdecimal() and len(count) < 10] if same else []
        return Response.json(self.data.index(have))

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.close()
        self._pictures.cleanup()
