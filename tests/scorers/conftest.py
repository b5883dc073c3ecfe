"""A cheap video file of ten minutes, at one frame per second."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

import vzgym.video


def write_video(path: Path, seconds: int, *, fps: int = 1, size: tuple[int, int] = (32, 48), seed: int = 0) -> Path:
    """Encode flat colors that change with every frame."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "g": "10"})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.thread_count = 1
        for _ in range(seconds * fps):
            pixels = np.full((*size, 3), rng.integers(0, 256, 3), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode(None))
    return path


@pytest.fixture(autouse=True)
def no_frames_in_memory() -> None:
    """Counts of decoded frames do not depend on other tests."""
    vzgym.video.clear()


@pytest.fixture(scope="session")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes at one frame per second. Not to be changed."""
    return write_video(tmp_path_factory.mktemp("videos") / "long.mp4", 600)
