"""A decoder in a process of its own: it may hang or crash, and costs no more than that read."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import VideoError
from vzgym.video.decoder import AS_STORED, Deadline, DecoderFactory, Picture, ReadOptions, Rendered, StreamInfo, View
from vzgym.video.worker import read_message, write_message

__all__ = ["IsolatedDecoder"]

# Starting Python and a decoding library takes a while on a busy machine; this is not the decoder's fault.
_START_SECONDS = 60.0


class IsolatedDecoder:
    """A `Decoder` whose work is done by another process, ended by force when time is up.

    A plain program, not a `multiprocessing` child: it needs no `if __name__ == "__main__"` in the user's script and
    inherits no locks. Its pictures come drawn, at the view asked for.

    Args:
        path: The file.
        factory: The decoder class, importable by name.
        name: Name of the back-end, for errors.
        threads: Threads of the decoder.
        timeout: Seconds that opening may take, and that reading may take between two frames.
        options: Which stream, and how it is shown.

    Raises:
        VideoError: If the file cannot be opened, or opening hangs or crashes.
    """

    raw = False

    def __init__(
        self,
        path: str,
        factory: DecoderFactory,
        *,
        name: str,
        threads: int = 1,
        timeout: float = 30.0,
        options: ReadOptions = AS_STORED,
    ) -> None:
        self.path = path
        self.backend = name
        self.decoded = 0
        made: Any = factory
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vzgym.video.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self._request(
            "open",
            Deadline(timeout, path, name),
            factory=f"{made.__module__}:{made.__qualname__}",
            threads=threads,
            options=options,
        )
        try:
            kind, value = self._answer(Deadline(timeout + _START_SECONDS, path, name), None)
        except VideoError:
            self.close()
            raise
        if kind == "error":
            self.close()
            raise value
        self.info: StreamInfo = value

    def pictures(
        self, times: NDArray[np.float64], view: View, keep_every: float | None, deadline: Deadline
    ) -> Iterator[Picture]:
        """See `Decoder.pictures`. Of pictures decoded on the way, only those on a grid are sent."""
        yield from self._read("pictures", times, view, deadline, keep_every=keep_every or None)

    def split_at_seeks(self, times: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """One: all is done by one reader."""
        return [times]

    def key_pictures(self, times: NDArray[np.float64], view: View, deadline: Deadline) -> Iterator[Picture]:
        """See `Decoder.key_pictures`."""
        yield from self._read("key_pictures", times, view, deadline)

    def reaches_without_seek(self, time: float) -> bool:
        """Not known from here: the file's one process serves all its places."""
        return True

    @property
    def is_idle(self) -> bool:
        """Always: it may be moved to any place."""
        return True

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue  # bytes that it will never read

    def _read(
        self, do: str, times: NDArray[np.float64], view: View, deadline: Deadline, **more: Any
    ) -> Iterator[Picture]:
        self._request(do, deadline, times=times, view=view, **more)
        finished = False
        try:
            place = 0
            while True:
                kind, value = self._answer(deadline, float(times[min(place, len(times) - 1)]))
                if kind == "error":
                    finished = True
                    raise value
                if kind == "done":
                    finished = True
                    self.decoded += value
                    return
                start, end, pixels = value
                place = int(np.searchsorted(times, end))
                deadline.extend()
                yield Picture(start, end, Rendered(pixels))
        finally:
            if not finished:
                # Left in the middle: answers that nobody will read are on their way.
                self.close()

    def _request(self, do: str, deadline: Deadline, **more: Any) -> None:
        assert self._process.stdin is not None
        message = {"do": do, "path": self.path, "backend": self.backend, "timeout": deadline.seconds, **more}
        try:
            write_message(self._process.stdin, message)
        except (BrokenPipeError, ValueError) as error:
            raise self._crashed(None) from error

    def _answer(self, deadline: Deadline, time: float | None) -> tuple[str, Any]:
        """The next message; ends the process if it does not come in time."""
        assert self._process.stdout is not None
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._process.kill()

        # The process watches itself too and may give a better error; this is for when it cannot.
        timer = threading.Timer(deadline.left + 1.0, expire)
        timer.daemon = True
        timer.start()
        try:
            answer: tuple[str, Any] = read_message(self._process.stdout)
            return answer
        except (EOFError, ValueError) as error:
            crash = self._crashed(time)
            raise (deadline.error(time) if expired.is_set() else crash) from error
        finally:
            timer.cancel()

    def _crashed(self, time: float | None) -> VideoError:
        """Clears up behind a process that is gone, and says so."""
        self.close()
        return VideoError(
            f"the decoder's process ended unexpectedly (exit status {self._process.returncode})",
            path=self.path,
            time=time,
            backend=self.backend,
        )
