"""Videos without files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vzgym.video.synthetic import ProceduralVideo, resize


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (2, 8), (1, 4), (16, 1), (3, 4)])
def test_resized_frames_are_those_of_pillows_box_filter(rows: int, columns: int) -> None:
    """Ratios that are powers of two take a shorter path, with the same bits."""
    frames = np.random.default_rng(rows).integers(0, 256, (300, 9 * rows, 6 * columns, 3), dtype=np.uint8)
    small = resize(frames, (9, 6))
    for frame, found in zip(frames[::43], small[::43], strict=True):
        assert np.array_equal(found, np.asarray(Image.fromarray(frame).resize((6, 9), Image.Resampling.BOX)))


def test_repeated_and_descending_times_show_the_frames_of_those_times() -> None:
    def paint(indices: np.ndarray, height: int, width: int) -> np.ndarray:
        return np.broadcast_to(indices.astype(np.uint8)[:, None, None, None], (len(indices), height, width, 3)).copy()

    video = ProceduralVideo("procedural:x", paint, 10, 1.0, 2, 2)
    for times, decoded in (([1.0, 2.0, 5.0], 3), ([5.0, 2.0, 2.0], 2), ([3.0, 3.0], 1)):
        read = video.read(np.array(times))
        assert read.pixels[:, 0, 0, 0].tolist() == read.times.tolist() == times
        assert read.decoded == decoded
