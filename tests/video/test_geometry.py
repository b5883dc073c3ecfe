"""How pictures are shown: orientation, sample aspect, fields, transparency, colors, size changes, on each back-end."""

from __future__ import annotations

import importlib.util
import struct

import av
import numpy as np
import pytest

from vzgym.core.actions import Region
from vzgym.core.errors import InvalidSetting, VideoError
from vzgym.video.barcode import draw_barcode, read_barcode
from vzgym.video.check import check
from vzgym.video.file import FileVideo
from vzgym.video.store import build_store

BACKENDS = ["pyav", *(["decord"] if importlib.util.find_spec("decord") is not None else [])]
FAST = {"preset": "ultrafast", "g": "10", "threads": "1"}
AT = np.array([0.21])  # frame 6


def set_matrix(path, a, b, c, d):
    """Write the display matrix of an mp4's only track: a stored place (x, y) is shown at (a x + c y, b x + d y)."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 20 + 16
    one = 1 << 16
    values = (round(a * one), round(b * one), 0, round(c * one), round(d * one), 0, 0, 0, 1 << 30)
    data[matrix : matrix + 36] = struct.pack(">9i", *values)
    path.write_bytes(data)
    return path


# The eight ways to show a picture: the matrix, and what undoes it.
ORIENTATIONS = {
    "upright": ((1, 0, 0, 1), lambda x: x),
    "mirrored": ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda x: x[::-1]),
    "half turn": ((-1, 0, 0, -1), lambda x: x[::-1, ::-1]),
    "clockwise": ((0, 1, -1, 0), lambda x: np.rot90(x)),
    "counter-clockwise": ((0, -1, 1, 0), lambda x: np.rot90(x, -1)),
    "transposed": ((0, 1, 1, 0), lambda x: x.swapaxes(0, 1)),
    "transposed, half turn": ((0, -1, -1, 0), lambda x: np.rot90(x, 2).swapaxes(0, 1)),
}


@pytest.fixture
def pictures(tmp_path):
    """Encodes pictures at 30 frames a second."""

    def make(shown, *, name="made.mp4", codec="libx264", options=FAST, pix_fmt="yuv420p", **settings):
        path = tmp_path / name
        with av.open(str(path), "w") as out:
            stream = out.add_stream(codec, rate=30, options=options)
            (stream.height, stream.width), stream.pix_fmt = shown[0].shape[:2], pix_fmt
            stream.codec_context.thread_count = 1
            for key, value in settings.items():
                setattr(stream.codec_context, key, value)
            for picture in shown:
                rgb = "rgb24" if picture.shape[2] == 3 else "rgba"
                out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=rgb)))
            out.mux(stream.encode(None))
        return path

    return make


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ORIENTATIONS)
def test_the_whole_display_matrix_is_applied(name, backend, pictures, codes):
    matrix, undo = ORIENTATIONS[name]
    path = set_matrix(pictures([undo(draw_barcode(n, 96, 160)) for n in range(20)]), *matrix)
    video = FileVideo(path, backend=backend)
    if backend == "decord" and name in ("mirrored", "upside down", "transposed", "transposed, half turn"):
        with pytest.raises(VideoError, match=r"mirrored.*use back-end 'pyav'"):
            _ = video.duration
        return
    assert (video.height, video.width) == (96, 160)
    assert codes(video.read(AT).pixels) == [6]
    assert codes(video.read(AT, size=(48, 80)).pixels) == [6]
    whole = video.read(AT).pixels[0]
    part = video.read(AT, region=Region(0.5, 0.0, 1.0, 0.5)).pixels[0]
    np.testing.assert_array_equal(part, whole[:48, 80:])


def test_frames_kept_small_are_shown_the_same_way(pictures, codes):
    """A dense clip keeps what lies between its frames, resized but not yet oriented."""
    matrix, undo = ORIENTATIONS["transposed"]
    path = set_matrix(pictures([undo(draw_barcode(n, 192, 320)) for n in range(20)]), *matrix)
    video = FileVideo(path)
    video.read(np.array([0.01, 0.61]), size=(48, 80))
    between = video.read(AT, size=(48, 80))
    assert between.decoded == 0
    assert codes(between.pixels) == [6]


@pytest.mark.parametrize("backend", BACKENDS)
def test_turns_of_other_angles_are_refused(backend, pictures):
    path = set_matrix(pictures([draw_barcode(0, 96, 160)] * 5), 0.866, 0.5, -0.5, 0.866)
    with pytest.raises(VideoError, match="turned by 30 degrees"):
        _ = FileVideo(path, backend=backend).duration
    assert "30 degrees" in check(path).issues[0].what


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("aspect", "width"), [("2:1", 320), ("1:2", 80), ("12:11", 175)])
def test_pixels_that_are_not_square_are_stretched(aspect, width, backend, pictures, codes):
    from fractions import Fraction

    shown = [draw_barcode(n, 96, 160) for n in range(20)]
    path = pictures(shown, sample_aspect_ratio=Fraction(aspect.replace(":", "/")))
    video = FileVideo(path, backend=backend)
    assert (video.height, video.width) == (96, width)
    frames = video.read(AT)
    assert frames.pixels.shape == (1, 96, width, 3)
    assert codes(frames.pixels) == [6]
    assert video.info.pixel_aspect == pytest.approx(float(Fraction(aspect.replace(":", "/"))))
    turned = FileVideo(set_matrix(path, *ORIENTATIONS["clockwise"][0]), backend=backend)
    assert (turned.height, turned.width) == (width, 96)


def combed(first, second):
    """Two moments in one picture: the first in the even rows, the second in the odd ones."""
    picture = first.copy()
    picture[1::2] = second[1::2]
    return picture


@pytest.fixture
def interlaced(pictures):
    moments = [draw_barcode(n, 96, 160) for n in range(40)]
    shown = [combed(moments[2 * n], moments[2 * n + 1]) for n in range(20)]
    options = {**FAST, "x264-params": "tff=1", "flags": "+ildct+ilme", "qp": "5"}
    return pictures(shown, options=options)


def test_interlaced_frames_are_named_and_shown_as_one_field_by_option(interlaced, codes):
    plain = FileVideo(interlaced)
    assert plain.info.interlaced
    assert codes(plain.read(AT).pixels) == [None]
    one_field = FileVideo(interlaced, deinterlace=True)
    assert codes(one_field.read(AT).pixels) == [12]
    assert codes(one_field.read(AT, size=(48, 80)).pixels) == [12]
    assert codes(one_field.read(np.arange(20) / 30 + 0.01, size=(48, 80)).pixels) == [*range(0, 40, 2)]
    assert one_field.read(AT).pixels.shape == (1, 96, 160, 3)
    for full in (False, True):
        report = check(interlaced, full=full)
        assert report.ok
        assert ["deinterlace=True" in issue.what for issue in report.issues] == [True]


def test_progressive_frames_are_not_deinterlaced(pictures, codes):
    path = pictures([draw_barcode(n, 96, 160) for n in range(20)])
    np.testing.assert_array_equal(FileVideo(path, deinterlace=True).read(AT).pixels, FileVideo(path).read(AT).pixels)


def test_deinterlacing_needs_pyav_and_no_store(tmp_path):
    with pytest.raises(InvalidSetting, match="deinterlace=True needs 'pyav'"):
        FileVideo("a.mp4", backend="decord", deinterlace=True)
    with pytest.raises(InvalidSetting, match="a store holds"):
        FileVideo("a.mp4", grid_fps=4, store=tmp_path, deinterlace=True)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("rle.mov", "qtrle", "argb"),
        ("animated.apng", "apng", "rgba"),
        ("prores.mov", "prores_ks", "yuva444p10le"),
        ("png.mov", "png", "rgba"),
    ],
)
def test_transparent_parts_are_black(name, codec, pix_fmt, pictures):
    picture = np.zeros((48, 64, 4), dtype=np.uint8)
    picture[..., 0] = 250  # red everywhere, hidden on the left
    picture[:, 32:, 3] = 255
    picture[24:, :32, 3] = 128
    path = pictures([picture] * 8, name=name, codec=codec, pix_fmt=pix_fmt, options={})
    video = FileVideo(path)
    for size in (None, (24, 32)):
        frame = video.read(AT, size=size).pixels[0].astype(int)
        rows, columns = frame.shape[:2]
        np.testing.assert_allclose(frame[rows // 4, columns // 4], [0, 0, 0], atol=2)
        np.testing.assert_allclose(frame[rows * 3 // 4, columns // 4], [125, 0, 0], atol=3)
        np.testing.assert_allclose(frame[rows // 2, columns * 3 // 4], [250, 0, 0], atol=3)
    if "decord" in BACKENDS:
        with pytest.raises(VideoError, match=r"transparent|cannot be opened"):
            _ = FileVideo(path, backend="decord").duration


def flat(pictures, size, colour, *, matrix, tagged):
    """A picture of one color, as YUV by the matrix given, which the file names or does not."""
    kr, kb = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114)}[matrix]
    red, green, blue = (value / 255 for value in colour)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    planes = [16 + 219 * luma, 128 + 224 * (blue - luma) / (2 - 2 * kb), 128 + 224 * (red - luma) / (2 - 2 * kr)]
    rows, columns = size
    stacked = np.concatenate(
        [np.full(rows * columns // share, round(v)) for share, v in zip((1, 4, 4), planes, strict=True)]
    )
    return stacked.astype(np.uint8).reshape(rows * 3 // 2, columns), {"colorspace": 1 if tagged else 2}


@pytest.mark.parametrize(
    ("size", "matrix", "tagged", "assumed"),
    [
        ((720, 1280), "bt709", False, "bt709"),
        ((608, 800), "bt709", False, "bt709"),
        ((576, 720), "bt601", False, "bt601"),
        ((96, 160), "bt601", False, "bt601"),
        ((96, 160), "bt709", True, None),
    ],
)
def test_yuv_without_a_named_matrix_is_taken_by_its_size(size, matrix, tagged, assumed, tmp_path, pictures):
    colour = (208, 32, 64)
    planes, tags = flat(pictures, size, colour, matrix=matrix, tagged=tagged)
    path = tmp_path / "flat.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"preset": "ultrafast", "qp": "1"})
        (stream.height, stream.width), stream.pix_fmt = size, "yuv420p"
        stream.codec_context.colorspace = tags["colorspace"]
        for _ in range(8):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.colorspace = tags["colorspace"]
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    video = FileVideo(path)
    assert video.info.assumed_matrix == assumed
    for shown, region in ((None, None), ((48, 64), None), (None, Region(0, 0, 0.5, 0.5))):
        frame = video.read(AT, size=shown, region=region).pixels[0]
        np.testing.assert_allclose(frame.reshape(-1, 3).mean(axis=0), colour, atol=4)


def two_sizes(tmp_path, name):
    """H.264 that changes from 160x96 to 320x192 after 20 frames."""
    raw = b""
    for size, first in (((96, 160), 0), ((192, 320), 20)):
        part = tmp_path / f"{first}.h264"
        with av.open(str(part), "w") as out:
            stream = out.add_stream("libx264", rate=30, options={**FAST, "bf": "0"})
            (stream.height, stream.width), stream.pix_fmt = size, "yuv420p"
            for number in range(first, first + 20):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(draw_barcode(number, *size), format="rgb24")))
            out.mux(stream.encode(None))
        raw += part.read_bytes()
    (tmp_path / "both.h264").write_bytes(raw)
    path = tmp_path / name
    with av.open(str(tmp_path / "both.h264")) as source, av.open(str(path), "w") as out:
        copy = out.add_stream_from_template(source.streams.video[0])
        step = round(1 / 30 / source.streams.video[0].time_base)
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size:
                packet.pts = packet.dts = number * step
                packet.duration = step
                packet.stream = copy
                out.mux(packet)
    return path


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["both.mp4", "both.ts", "both.mkv"])
def test_a_change_of_size_in_mid_stream_is_resized_to_the_first(name, backend, tmp_path, codes):
    if backend == "decord" and name == "both.ts":
        pytest.skip("decord reads no MPEG-TS")
    path = two_sizes(tmp_path, name)
    video = FileVideo(path, backend=backend)
    times = np.array([0.11, 1.21, 0.61])
    frames = video.read(times)
    assert frames.pixels.shape == (3, 96, 160, 3)
    assert codes(frames.pixels) == [3, 36, 18]
    assert codes(video.read(times, size=(48, 80)).pixels) == [3, 36, 18]
    assert video.read(times, region=Region(0, 0, 0.5, 0.5)).pixels.shape == (3, 48, 80, 3)


def test_a_store_holds_frames_as_they_are_shown(pictures, tmp_path):
    matrix, undo = ORIENTATIONS["mirrored"]
    path = set_matrix(pictures([undo(draw_barcode(n, 96, 160)) for n in range(20)]), *matrix)
    build_store(path, tmp_path / "stores", fps=4.0)
    stored = FileVideo(path, grid_fps=4.0, store=tmp_path / "stores").read(np.array([0.0, 0.5]), size=(48, 80))
    assert stored.decoded == 0
    assert [read_barcode(frame) for frame in stored.pixels] == [0, 15]
