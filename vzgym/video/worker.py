"""The decoding process: `python -m vzgym.video.worker`. See `isolated` for its client.

It communicates over standard input and output: messages are pickles, each preceded by its length. It ends with its
parent, when its input closes, whatever the decoder is doing.
"""

from __future__ import annotations

import os
import pickle
import queue
import struct
import sys
import threading
from types import ModuleType
from typing import IO, Any

from vzgym.core.errors import VideoError, VzgymError
from vzgym.core.registry import import_object
from vzgym.video.decoder import Deadline, Decoder

resource: ModuleType | None
try:
    import resource
except ImportError:  # not on Windows
    resource = None

__all__ = ["read_message", "write_message"]

_LENGTH = struct.Struct("<Q")


def write_message(stream: IO[bytes], message: Any) -> None:
    """Send one message."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def read_message(stream: IO[bytes]) -> Any:
    """Receive one message.

    Raises:
        EOFError: If the stream is closed.
    """
    head = _read_exactly(stream, _LENGTH.size)
    return pickle.loads(_read_exactly(stream, _LENGTH.unpack(head)[0]))


def _read_exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError("the stream is closed")
    return data


def _serve(requests: queue.SimpleQueue[Any], out: IO[bytes]) -> None:
    """Serve requests one at a time, in order."""
    decoder: Decoder | None = None
    while True:
        request = requests.get()
        try:
            if request["do"] == "open":
                factory = import_object(request["factory"])
                decoder = factory(
                    request["path"],
                    threads=request["threads"],
                    timeout=request["timeout"],
                    options=request["options"],
                )
                write_message(out, ("opened", decoder.info))
                continue
            if decoder is None:
                raise VzgymError("asked to read before a file was opened")
            deadline = Deadline(request["timeout"], request["path"], request["backend"])
            times, spec = request["times"], request["spec"]
            if request["do"] == "read_key_frames":
                frames = decoder.read_key_frames(times, spec, deadline)
            else:
                frames = decoder.read_frames(times, spec, request["keep_every"], deadline)
            before = decoder.decoded
            for frame in frames:
                write_message(out, ("frame", (frame.start, frame.end, frame.pixels.render(spec))))
            write_message(out, ("done", decoder.decoded - before))
        except VzgymError as error:
            write_message(out, ("error", error))
        except Exception as error:  # noqa: BLE001 - forwarded: the client of a thread that ended waits for nothing
            reason = f"the decoder failed: {type(error).__qualname__}: {error}"
            forwarded = VideoError(reason, path=request["path"], backend=request["backend"])
            write_message(out, ("error", forwarded))


def main() -> None:
    """Serve requests until the parent closes the input."""
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no core dump if the decoder crashes
    # Libraries may print to standard output; messages use a private duplicate of it.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    server = threading.Thread(target=_serve, args=(requests, out), daemon=True)
    server.start()
    while True:
        try:
            requests.put(read_message(sys.stdin.buffer))
        except EOFError:
            os._exit(0)  # at once: a hanging decoder would block a normal exit


if __name__ == "__main__":
    main()
