"""Which of several video streams is read: the one that the ffmpeg program chooses, or the one that is named."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.stream import Disposition

from vzgym.core.errors import InvalidSetting, VideoError
from vzgym.video.barcode import draw_barcode
from vzgym.video.check import check
from vzgym.video.file import FileVideo
from vzgym.video.remux import remux

SMALL, LARGE = (48, 80), (96, 160)


def write_streams(path, streams):
    """Video streams of 20 frames each; stream k counts from 100 k. `streams`: size and disposition of each."""
    with av.open(str(path), "w") as out:
        made = []
        for size, disposition in streams:
            stream = out.add_stream("libx264", rate=30, options={"preset": "ultrafast", "g": "10"})
            (stream.height, stream.width), stream.pix_fmt = size, "yuv420p"
            stream.disposition = disposition
            made.append(stream)
        for number in range(20):
            for place, stream in enumerate(made):
                picture = draw_barcode(100 * place + number, *streams[place][0])
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for stream in made:
            out.mux(stream.encode(None))
    return path


NONE, DEFAULT = Disposition(0), Disposition.default
CASES = {
    "the default one": ([(SMALL, NONE), (LARGE, DEFAULT)], 1),
    "the default one, though small": ([(LARGE, NONE), (SMALL, DEFAULT)], 1),
    "the larger of two default ones": ([(SMALL, DEFAULT), (LARGE, DEFAULT)], 1),
    "the first of equals": ([(LARGE, DEFAULT), (LARGE, DEFAULT)], 0),
}


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize("case", CASES)
def test_the_stream_is_chosen_as_ffmpeg_does(case, suffix, codes, tmp_path):
    streams, chosen = CASES[case]
    path = write_streams(tmp_path / f"several{suffix}", streams)
    video = FileVideo(path)
    assert (video.info.stream, video.info.video_streams) == (chosen, 2)
    assert codes(video.read(np.array([0.21])).pixels) == [100 * chosen + 6]
    assert any(f"stream {chosen} is read" in issue.what for issue in check(path).issues)
    other = FileVideo(path, stream=1 - chosen)
    assert codes(other.read(np.array([0.21])).pixels) == [100 * (1 - chosen) + 6]
    assert (video.height, other.height) == (streams[chosen][0][0], streams[1 - chosen][0][0])
    # What is known and kept of one stream is not taken for the other's.
    assert codes(video.read(np.array([0.21])).pixels) == [100 * chosen + 6]
    assert video != other
    if suffix == ".mp4":
        copy = FileVideo(remux(path, tmp_path / "copy.mp4", stream=1 - chosen))
        assert codes(copy.read(np.array([0.21])).pixels) == [100 * (1 - chosen) + 6]


def test_mpeg_ts_names_no_default_so_the_largest_is_read(codes, tmp_path):
    path = write_streams(tmp_path / "several.ts", [(SMALL, NONE), (LARGE, NONE)])
    assert codes(FileVideo(path).read(np.array([0.21])).pixels) == [106]


def test_decord_refuses_several_streams(tmp_path):
    path = write_streams(tmp_path / "several.mp4", CASES["the default one"][0])
    with pytest.raises(VideoError, match=r"2 video streams.*use back-end 'pyav'"):
        _ = FileVideo(path, backend="decord").duration


def test_a_stream_that_is_not_there_is_named(make_file):
    path = make_file("b-frames").path
    with pytest.raises(VideoError, match="stream 3 is no video stream of this file; its video streams: 0"):
        _ = FileVideo(path, stream=3).duration
    assert "its video streams: 0" in check(path, stream=3).issues[0].what
    for wrong in (-1, True, "0"):
        with pytest.raises(InvalidSetting, match="stream must be the index"):
            FileVideo(path, stream=wrong)
