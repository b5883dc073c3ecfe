"""Contract of video back-ends."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import VideoError
from vzgym.testing.report import ConformanceReport, ContractViolation, Rule, apply_rules, need
from vzgym.video.barcode import draw_barcode, read_barcode
from vzgym.video.base import Frames
from vzgym.video.file import BACKENDS, FileVideo

__all__ = ["check_backend", "write_numbered"]

FPS, COUNT, HEIGHT, WIDTH = 12, 60, 64, 96


def write_numbered(path: Path) -> Path:
    """Write 5 s of H.264 whose frame n encodes the number n, with a key frame every 15 frames and B-frames.

    Args:
        path: The file to write, `.mp4`.
    """
    import av

    with av.open(str(path), "w") as container:
        options = {"bf": "2", "g": "15", "crf": "18", "threads": "1"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for number in range(COUNT):
            frame = av.VideoFrame.from_ndarray(draw_barcode(number, HEIGHT, WIDTH), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@dataclass(frozen=True, slots=True)
class _Bench:
    """A back-end and the folder with the test files."""

    backend: str
    folder: Path

    @contextmanager
    def video(self, name: str = "numbered.mp4") -> Iterator[FileVideo]:
        """Open a file, and close it at the end."""
        video = FileVideo(self.folder / name, backend=self.backend)
        try:
            yield video
        finally:
            video.close()

    def numbers(self, times: NDArray[np.float64], size: tuple[int, int] | None = None) -> tuple[list[int], Frames]:
        """The numbers of the frames that the back-end returns for these times."""
        with self.video() as video:
            frames = video.read(times, size=size)
        found = [read_barcode(frame) for frame in frames.pixels]
        if None in found:
            raise ContractViolation(
                f"the picture for {times[found.index(None)]:.3f} s is damaged or rotated: return RGB, rows from the top"
            )
        return [number for number in found if number is not None], frames


def _b_shape(bench: _Bench) -> None:
    factory = BACKENDS.get(bench.backend)
    for part in ("isolated", "finds_key_frames"):
        need(
            isinstance(getattr(factory, part, None), bool),
            f"it needs the class attribute {part!r}, True or False (see vzgym.video.decoder.DecoderFactory)",
        )
    if getattr(factory, "isolated", False):
        return  # runs in a separate process
    opened = factory(str(bench.folder / "numbered.mp4"), threads=1, timeout=30.0)
    try:
        for part in (
            "raw",
            "decoded",
            "info",
            "read_frames",
            "split_at_seeks",
            "read_key_frames",
            "reaches_without_seek",
            "is_idle",
            "close",
        ):
            need(hasattr(opened, part), f"an open file has no {part!r} (see vzgym.video.decoder.Decoder)")
    finally:
        opened.close()


def _b_info(bench: _Bench) -> None:
    with bench.video() as video:
        info = video.info
    need((info.height, info.width) == (HEIGHT, WIDTH), f"info says {info.height}x{info.width}, it is {HEIGHT}x{WIDTH}")
    need(abs(info.duration - COUNT / FPS) < 1e-3, f"info says {info.duration} s, it is {COUNT / FPS} s")
    need(abs(info.fps - FPS) < 1e-3, f"info says {info.fps} fps, it is {FPS}")
    need(info.num_frames in (None, COUNT), f"info says {info.num_frames} frames, it is {COUNT} (or None: unknown)")


def _expect(bench: _Bench, wanted: list[int], shift: float) -> None:
    """Request frames at a fraction `shift` of a frame after their start."""
    times = (np.array(wanted, dtype=np.float64) + shift) / FPS
    found, frames = bench.numbers(times)
    wrong = next((place for place, pair in enumerate(zip(wanted, found, strict=True)) if pair[0] != pair[1]), None)
    if wrong is not None:
        raise ContractViolation(
            f"at {times[wrong]:.4f} s it returns frame {found[wrong]}, expected {wanted[wrong]}: return the last "
            "frame whose own time is at or before the requested time"
        )
    own = np.array(wanted) / FPS
    off = np.abs(frames.times - own)
    need(
        (off < 1e-4).all(),
        f"frame {wanted[int(np.argmax(off))]} is reported at {frames.times[int(np.argmax(off))]:.4f} s, its own time "
        f"is {own[int(np.argmax(off))]:.4f} s: report the frame's own time, not the requested time",
    )


def _b_order(bench: _Bench) -> None:
    _expect(bench, list(range(0, COUNT, 7)), 0.0)
    _expect(bench, list(range(20, 36)), 0.5)


def _b_between(bench: _Bench) -> None:
    _expect(bench, [0, 13, 14, 15, 16, 29, 44, 59], 0.9)


def _b_random(bench: _Bench) -> None:
    order = np.random.default_rng(0).integers(0, COUNT, 24).tolist()
    _expect(bench, [*order, *order[:3]], 0.3)
    for number in (50, 3, 31, 30):
        _expect(bench, [number], 0.25)


def _b_end(bench: _Bench) -> None:
    found, _ = bench.numbers(np.array([COUNT / FPS]))
    need(found == [COUNT - 1], f"the end of the video shows frame {found[0]}; the last frame is {COUNT - 1}")


def _b_size(bench: _Bench) -> None:
    found, frames = bench.numbers(np.array([1.0, 2.0]), size=(32, 48))
    need(frames.pixels.shape == (2, 32, 48, 3), f"asked for 32x48 it gives {frames.pixels.shape[1:]}")
    need(frames.pixels.dtype == np.uint8, f"pixels are uint8, got {frames.pixels.dtype}")
    need(found == [12, 24], f"at 32x48 it gives frames {found}, not 12 and 24")


def _b_errors(bench: _Bench) -> None:
    for name, what in (("missing.mp4", "a missing file"), ("text.mp4", "a file that is not a video")):
        try:
            with bench.video(name) as video:
                video.read(np.array([0.0]))
        except VideoError as error:
            need(name in str(error), f"the error for {what} does not name the file: {error}")
            continue
        except (OSError, RuntimeError, ValueError, LookupError) as error:
            raise ContractViolation(
                f"{what} raises {type(error).__name__}: raise vzgym.core.errors.VideoError"
            ) from error
        raise ContractViolation(f"{what} raises nothing: raise VideoError with path and reason")


def _b_again(bench: _Bench) -> None:
    with bench.video() as video:
        first = video.read(np.array([1.0]))
        video.close()
        second = video.read(np.array([1.0]))
    need(
        np.array_equal(first.pixels, second.pixels),
        "after close() and reopening, the same time gives a different picture",
    )


BACKEND_RULES: tuple[Rule[_Bench], ...] = (
    Rule("has the methods of a back-end", _b_shape),
    Rule("reports the file's size, duration and frame rate", _b_info),
    Rule("frames requested in order are exact", _b_order),
    Rule("a time between two frames shows the earlier one", _b_between),
    Rule("frames requested repeatedly in any order are exact", _b_random),
    Rule("the end of the video shows the last frame", _b_end),
    Rule("pictures have the requested size", _b_size),
    Rule("files that cannot be read raise VideoError", _b_errors),
    Rule("can be reopened after close()", _b_again),
)


def check_backend(backend: str) -> ConformanceReport:
    """Check a video back-end on generated files.

    Args:
        backend: A registered name, or `"module:Class"`.

    Raises:
        UnknownName: If there is no such back-end.
        PluginError: If it cannot be imported.
    """
    BACKENDS.get(backend)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_numbered(folder / "numbered.mp4")
        (folder / "text.mp4").write_text("This is no video.", encoding="utf-8")
        return apply_rules("video back-end", backend, BACKEND_RULES, partial(_Bench, backend, folder))
