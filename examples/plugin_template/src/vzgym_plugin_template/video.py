"""A video back-end."""

from __future__ import annotations

from vzgym.video.decoder import AS_STORED, ReadOptions
from vzgym.video.pyav_backend import PyAVDecoder


class PatientPyAV(PyAVDecoder):
    """PyAV that waits at least a minute. A custom decoder implements `vzgym.video.decoder.Decoder`."""

    def __init__(self, path: str, *, threads: int = 1, timeout: float = 30.0, options: ReadOptions = AS_STORED) -> None:
        super().__init__(path, threads=threads, timeout=max(timeout, 60.0), options=options)
