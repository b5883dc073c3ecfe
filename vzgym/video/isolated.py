"""A decoder in a separate process: if it hangs or crashes, only that read fails."""

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
from vzgym.video.decoder import (
    AS_STORED,
    Deadline,
    DecodedFrame,
    DecoderFactory,
    ReadOptions,
    Rendered,
    RenderSpec,
    StreamInfo,
)
from vzgym.video.worker import read_message, write_message

__all__ = ["IsolatedDecoder"]

# Starting Python and a decoding library takes a while on a busy machine.
_START_SECONDS = 60.0


class IsolatedDecoder:
    """A `Decoder` that runs in another process, which is killed when the time is over.

    A subprocess, not a `multiprocessing` child: it needs no `if __name__ == "__main__"` in the user's script and
    inherits no locks. Its frames are rendered under the requested `RenderSpec`.

    Args:
        path: The file.
        factory: The decoder class, importable by name.
        name: Name of the back-end, for errors.
        threads: Threads of the decoder.
        timeout: Maximum seconds for opening, and for reading between two frames.
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

    def read_frames(
        self, times: NDArray[np.float64], spec: RenderSpec, keep_every: float | None, deadline: Deadline
    ) -> Iterator[DecodedFrame]:
        """See `Decoder.read_frames`. Of the intermediate frames, only those on a grid are sent."""
        yield from self._read("read_frames", times, spec, deadline, keep_every=keep_every or None)

    def split_at_seeks(self, times: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Not split: one reader does all the work."""
        return [times]

    def read_key_frames(
        self, times: NDArray[np.float64], spec: RenderSpec, deadline: Deadline
    ) -> Iterator[DecodedFrame]:
        """See `Decoder.read_key_frames`."""
        yield from self._read("read_key_frames", times, spec, deadline)

    def reaches_without_seek(self, time: float) -> bool:
        """Unknown here: one process serves all positions of the file."""
        return True

    @property
    def is_idle(self) -> bool:
        """Always true: it can seek to any position."""
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
                    continue  # unsent bytes

    def _read(
        self, do: str, times: NDArray[np.float64], spec: RenderSpec, deadline: Deadline, **more: Any
    ) -> Iterator[DecodedFrame]:
        self._request(do, deadline, times=times, spec=spec, **more)
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
                yield DecodedFrame(start, end, Rendered(pixels))
        finally:
            if not finished:
                # Aborted: unread answers are still in the pipe.
                self.close()

    def _request(self, do: str, deadline: Deadline, **more: Any) -> None:
        assert self._process.stdin is not None
        message = {"do": do, "path": self.path, "backend": self.backend, "timeout": deadline.seconds, **more}
        try:
            write_message(self._process.stdin, message)
        except (BrokenPipeError, ValueError) as error:
            raise self._crashed(None) from error

    def _answer(self, deadline: Deadline, time: float | None) -> tuple[str, Any]:
        """The next message; kills the process if it does not arrive in time."""
        assert self._process.stdout is not None
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._process.kill()

        # The process checks its own deadline and may report a better error; this is the fallback.
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
        """Clean up after a process that ended, and return the error."""
        self.close()
        return VideoError(
            f"the decoder's process ended unexpectedly (exit status {self._process.returncode})",
            path=self.path,
            time=time,
            backend=self.backend,
        )
