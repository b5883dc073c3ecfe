"""A clip keeps its frames, then their hashes, and makes thumbnails once."""

from __future__ import annotations

import numpy as np
import pytest

from vzgym.core import Interval, Region
from vzgym.core.errors import RecordError
from vzgym.episode import Clip
from vzgym.video import frame_hash


@pytest.fixture
def clip() -> Clip:
    pixels = np.arange(2 * 4 * 8 * 3, dtype=np.uint8).reshape(2, 4, 8, 3)
    return Clip(
        requested=np.array([1.0, 1.3]),
        times=np.array([1.0, 1.25]),
        size=(4, 8),
        window=Interval(1.0, 1.6),
        fps=3.3,
        region=Region(0.0, 0.25, 0.5, 1.0),
        decoded=3,
        seconds=0.12345678,
        pixels=pixels,
    )


def test_hashes_are_those_of_the_frames(clip: Clip) -> None:
    assert clip.pixels is not None
    assert clip.hashes == tuple(frame_hash(frame) for frame in clip.pixels)
    assert len(set(clip.hashes)) == 2
    assert len(clip) == 2


def test_without_pixels_all_but_the_pixels_is_kept(clip: Clip) -> None:
    bare = clip.without_pixels()
    assert bare.pixels is None
    assert bare.hashes == clip.hashes
    assert bare.to_json() == clip.to_json()


def test_json_round_trip(clip: Clip) -> None:
    data = clip.to_json()
    back = Clip.from_json(data)
    assert back.to_json() == data
    assert back.window == clip.window
    assert back.region == clip.region
    assert back.size == clip.size
    assert back.times.tolist() == clip.times.tolist()
    assert back.requested.dtype == np.float64
    assert data["seconds"] == 0.123457


def test_times_and_hashes_must_match_in_number(clip: Clip) -> None:
    data = clip.to_json()
    data["hashes"] = data["hashes"][:1]
    with pytest.raises(RecordError, match="2 requested times, 2 times and 1 hashes"):
        Clip.from_json(data)


def test_thumbnails_keep_the_aspect_and_are_made_once(clip: Clip) -> None:
    small = clip.thumbnails((8, 8))
    assert small.shape == (2, 8, 8, 3)
    assert small[:, :2].max() == 0
    assert small[:, 6:].max() == 0
    np.testing.assert_array_equal(small[:, 2:6], clip.pixels)
    assert clip.thumbnails((8, 8)) is small
    assert not small.flags.writeable
    assert clip.thumbnails((4, 4)).shape == (2, 4, 4, 3)


def test_a_saved_clip_has_no_thumbnails(clip: Clip) -> None:
    with pytest.raises(RecordError, match="replay it to see its frames"):
        clip.without_pixels().thumbnails((8, 8))
