"""A tiny video, of which miniature benchmarks hold copies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tasks.benchmarks.miniatures import Folder
from vzgym.tasks.procedural.render.encode import encode_video
from vzgym.video import ArrayVideo


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video file of two seconds, 32x32, 4 fps. Not to be changed."""
    frames = np.zeros((8, 32, 32, 3), np.uint8)
    frames[:, :, :, 0] = np.arange(8, dtype=np.uint8)[:, None, None] * 30
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    encode_video(ArrayVideo(frames, 4.0), path)
    return path


@pytest.fixture
def folder(tmp_path: Path, clip: Path) -> Folder:
    """An empty folder for a benchmark's files."""
    return Folder(tmp_path / "root", clip)
