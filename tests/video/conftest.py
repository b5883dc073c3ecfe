"""Video files of every kind, made by PyAV's encoders; each frame carries its own number as a bar code."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from vzgym.video import sharing
from vzgym.video.barcode import draw_barcode, read_barcode

BASE = Fraction(1, 90_000)


@dataclass(frozen=True)
class MadeFile:
    """A file and the truth about it.

    Attributes:
        path: The file.
        times: When each shown frame is shown, seconds from the stream's start.
        numbers: The bar code of each shown frame.
        end: When the last frame ends.
        size: `(height, width)` as shown.
        tolerance: How exactly the container keeps time stamps, in seconds.
    """

    path: Path
    times: NDArray[np.float64]
    numbers: NDArray[np.int64]
    end: float
    size: tuple[int, int]
    tolerance: float

    def expected(self, times: Sequence[float]) -> list[int]:
        """Bar codes of the frames shown at `times`."""
        place = np.searchsorted(self.times, np.asarray(times) + 1e-6, side="right") - 1
        return [int(n) for n in self.numbers[np.maximum(place, 0)]]


def write(
    path: Path,
    stamps: Sequence[float],
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (96, 160),
    rate: Fraction | int = 30,
    shift: float = 0.0,
    container_options: dict[str, str] | None = None,
    format: str | None = None,
) -> Path:
    """Encode bar codes 0, 1, 2, ... shown at `stamps`; `shift` moves all packets in time when they are written."""
    with av.open(str(path), "w", format=format, options=container_options or {}) as out:
        stream = out.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *size, pix_fmt
        stream.time_base = BASE
        stream.codec_context.time_base = BASE
        stream.codec_context.thread_count = 1
        offset = round(shift / BASE)

        def mux(packets: list[av.Packet]) -> None:
            for packet in packets:
                if offset:
                    packet.pts += offset
                    packet.dts += offset
                out.mux(packet)

        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(draw_barcode(number, *size), format="rgb24")
            frame.pts, frame.time_base = round(stamp / BASE), BASE
            mux(stream.encode(frame))
        mux(stream.encode(None))
    return path


def encode_pictures(
    path: Path,
    pictures: Sequence[NDArray[np.uint8]],
    options: dict[str, str] | None = None,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: int = 30,
    **settings: object,
) -> Path:
    """Encode RGB or RGBA pictures at a constant rate; `settings` are attributes of the codec context."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, options=options or {})
        (stream.height, stream.width), stream.pix_fmt = pictures[0].shape[:2], pix_fmt
        stream.codec_context.thread_count = 1
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24" if picture.shape[2] == 3 else "rgba")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def turn(path: Path, degrees: int) -> None:
    """Ask players to turn the picture clockwise: writes the display matrix of an mp4's only track."""
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd")
    matrix = header + 4 + 4 + 20 + 16  # version and flags, times and ids, layer to volume (version 0)
    one = 1 << 16
    a, b, c, d = {90: (0, one, -one, 0), 180: (-one, 0, 0, -one), 270: (0, -one, one, 0)}[degrees]
    data[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


CFR = [n / 30 for n in range(120)]
_gaps = np.random.default_rng(7).choice([1 / 60, 1 / 24, 0.1, 0.35], size=119, p=[0.4, 0.3, 0.2, 0.1])
VFR = [0.0, *np.cumsum(np.round(_gaps * 1000) / 1000).tolist()]
FAST = {"preset": "ultrafast", "g": "24", "threads": "1"}
B_FRAMES = {"preset": "veryfast", "g": "48", "bf": "3", "threads": "1"}

Maker = Callable[[Path], MadeFile]


def _whole(path: Path, stamps: Sequence[float], size: tuple[int, int] = (96, 160), tolerance: float = 1e-4) -> MadeFile:
    times = np.asarray(stamps, dtype=np.float64) - stamps[0]
    last = times[-1] - times[-2] if len(times) > 1 else 1 / 30
    return MadeFile(path, times, np.arange(len(times)), float(times[-1] + last), size, tolerance)


def _cfr(folder: Path) -> MadeFile:
    return _whole(write(folder / "cfr.mp4", CFR, options=FAST), CFR)


def _b_frames(folder: Path) -> MadeFile:
    return _whole(write(folder / "bframes.mp4", CFR, options=B_FRAMES), CFR)


def _open_groups(folder: Path) -> MadeFile:
    options = {**B_FRAMES, "x264-params": "open-gop=1:keyint=30:bframes=3"}
    return _whole(write(folder / "open.mp4", CFR, options=options), CFR)


def _vfr(folder: Path) -> MadeFile:
    return _whole(write(folder / "vfr.mp4", VFR, options=B_FRAMES), VFR)


def _vfr_mkv(folder: Path) -> MadeFile:
    return _whole(write(folder / "vfr.mkv", VFR, options=B_FRAMES), VFR, tolerance=1.1e-3)


def _edit_list(folder: Path) -> MadeFile:
    """The first 1.3 s are hidden by an edit list; they begin in mid-group."""
    path = write(folder / "edit.mp4", CFR, options=B_FRAMES, shift=-1.3)
    shown = [n for n in range(120) if n / 30 - 1.3 > -1e-9]
    times = np.array([n / 30 - 1.3 for n in shown])
    return MadeFile(path, times, np.array(shown), 4.0 - 1.3, (96, 160), 1e-3)


def _late_start(folder: Path) -> MadeFile:
    stamps = [37.5 + t for t in CFR]
    return _whole(write(folder / "late.mkv", stamps, options=B_FRAMES), stamps, tolerance=1.1e-3)


def _hevc(folder: Path) -> MadeFile:
    options = {"preset": "ultrafast", "x265-params": "log-level=error:pools=1:keyint=40:bframes=3:frame-threads=1"}
    return _whole(write(folder / "hevc.mp4", CFR, codec="libx265", options=options), CFR)


def _hevc_closed(folder: Path) -> MadeFile:
    parameters = "log-level=error:pools=1:keyint=40:bframes=3:frame-threads=1:open-gop=0"
    options = {"preset": "ultrafast", "x265-params": parameters}
    return _whole(write(folder / "hevc-closed.mp4", CFR, codec="libx265", options=options), CFR)


def _vp9(folder: Path) -> MadeFile:
    options = {"deadline": "realtime", "cpu-used": "8", "g": "40", "auto-alt-ref": "1", "lag-in-frames": "12"}
    return _whole(write(folder / "vp9.webm", CFR, codec="libvpx-vp9", options=options), CFR, tolerance=1.1e-3)


def _vp8(folder: Path) -> MadeFile:
    options = {"deadline": "realtime", "cpu-used": "8", "g": "40", "auto-alt-ref": "1", "lag-in-frames": "12"}
    return _whole(write(folder / "vp8.webm", CFR, codec="libvpx", options=options), CFR, tolerance=1.1e-3)


def _av1(folder: Path) -> MadeFile:
    options = {"preset": "12", "g": "40", "svtav1-params": "lp=1"}
    return _whole(write(folder / "av1.mp4", CFR, codec="libsvtav1", options=options), CFR)


def _ten_bit(folder: Path) -> MadeFile:
    return _whole(write(folder / "ten.mp4", CFR, options=B_FRAMES, pix_fmt="yuv420p10le"), CFR)


def _odd_size(folder: Path) -> MadeFile:
    size = (91, 161)
    return _whole(write(folder / "odd.mp4", CFR, options=FAST, pix_fmt="yuv444p", size=size), CFR, size)


def _turned(folder: Path) -> MadeFile:
    """Stored lying on its side; the metadata turn it upright, where the bar code reads."""
    path = folder / "turned.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options=FAST)
        stream.height, stream.width, stream.pix_fmt = 160, 96, "yuv420p"
        for number in range(len(CFR)):
            lying = np.ascontiguousarray(np.rot90(draw_barcode(number, 96, 160)))  # counter-clockwise
            out.mux(stream.encode(av.VideoFrame.from_ndarray(lying, format="rgb24")))
        out.mux(stream.encode(None))
    turn(path, 90)
    return _whole(path, CFR)


def _transport(folder: Path) -> MadeFile:
    return _whole(write(folder / "transport.ts", CFR, options=B_FRAMES), CFR)


def _no_cues(folder: Path) -> MadeFile:
    """Matroska as it is streamed: no index, no length."""
    path = write(folder / "nocues.mkv", CFR, options=B_FRAMES, container_options={"live": "1"})
    return _whole(path, CFR, tolerance=1.1e-3)


def _one_key(folder: Path) -> MadeFile:
    return _whole(write(folder / "onekey.mp4", CFR, options={**FAST, "g": "1000"}), CFR)


def _intra(folder: Path) -> MadeFile:
    return _whole(write(folder / "intra.mp4", CFR, options={**FAST, "g": "1"}), CFR)


def _slow(folder: Path) -> MadeFile:
    """One frame in three seconds."""
    stamps = [3.0 * n for n in range(12)]
    return _whole(write(folder / "slow.mp4", stamps, options=FAST), stamps)


def _fragments(folder: Path) -> MadeFile:
    movflags = {"movflags": "frag_keyframe+empty_moov"}
    return _whole(write(folder / "fragments.mp4", CFR, options=B_FRAMES, container_options=movflags), CFR)


def _at_rate(
    path: Path, options: dict[str, str], *, codec: str = "libx264", pix_fmt: str = "yuv420p", rate: int = 30
) -> MadeFile:
    """A constant rate that the container knows: some store no time stamps, but count frames."""
    numbers = range(120)
    encode_pictures(path, [draw_barcode(n, 96, 160) for n in numbers], options, codec=codec, pix_fmt=pix_fmt, rate=rate)
    return _whole(path, [n / rate for n in numbers], tolerance=1.1e-3)


def _hevc_cut(folder: Path) -> MadeFile:
    """Matroska cut at an open group: the leading pictures of its first key frame have lost what they refer to."""
    gops = "open-gop=1:keyint=28:min-keyint=28:scenecut=0:b-adapt=0:bframes=3"
    options = {"preset": "fast", "x265-params": "log-level=error:pools=1:frame-threads=1:" + gops}
    whole = _at_rate(folder / "hevc-whole.mkv", options, codec="libx265").path
    path = folder / "hevc-cut.mkv"
    cut = 0
    # As `ffmpeg -ss -c copy` does: Matroska has no times before 0, and stores none there.
    kept = {"avoid_negative_ts": "disabled"}
    with av.open(str(whole)) as source, av.open(str(path), "w", container_options=kept) as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        source.seek(1000, stream=stream)
        for number, packet in enumerate(source.demux(stream)):
            if packet.size:
                cut = cut or int(packet.pts)
                # Matroska stores no decoding times: any that ascend will do.
                packet.pts, packet.dts = packet.pts - cut, number - 1000
                packet.stream = copy
                out.mux(packet)
    first = round(cut * 30 / 1000)
    shown = np.arange(first, 120)
    return MadeFile(path, (shown - first) / 30, shown, (120 - first) / 30, (96, 160), 1.1e-3)


def _wrapped(folder: Path) -> MadeFile:
    """MPEG-TS whose clock of 33 bits overflows after 1.5 s."""
    return _whole(write(folder / "wrapped.ts", CFR, options=B_FRAMES, shift=2**33 / 90_000 - 3.0), CFR)


KINDS: dict[str, Maker] = {
    "constant-rate": _cfr,
    "b-frames": _b_frames,
    "open-groups": _open_groups,
    "variable-rate": _vfr,
    "variable-rate-mkv": _vfr_mkv,
    "edit-list": _edit_list,
    "late-start": _late_start,
    "hevc": _hevc,
    "hevc-closed-groups": _hevc_closed,
    "vp9": _vp9,
    "vp8": _vp8,
    "av1": _av1,
    "ten-bit": _ten_bit,
    "odd-size": _odd_size,
    "turned": _turned,
    "mpeg-ts": _transport,
    "mkv-without-cues": _no_cues,
    "one-key-frame": _one_key,
    "intra-only": _intra,
    "slow": _slow,
    "fragmented-mp4": _fragments,
    "avi": lambda folder: _at_rate(folder / "plain.avi", {**B_FRAMES, "bf": "0"}),
    "avi-b-frames": lambda folder: _at_rate(folder / "bframes.avi", B_FRAMES),
    "avi-mpeg4": lambda folder: _at_rate(folder / "mpeg4.avi", {"g": "25", "bf": "2"}, codec="mpeg4"),
    "mpeg-ps": lambda folder: _at_rate(folder / "ps.mpg", {"g": "12", "bf": "2"}, codec="mpeg2video"),
    "asf": lambda folder: _at_rate(folder / "wmv.wmv", {"g": "25"}, codec="wmv2"),
    "flv": lambda folder: _at_rate(folder / "flv.flv", B_FRAMES),
    "gif": lambda folder: _at_rate(folder / "gif.gif", {}, codec="gif", pix_fmt="rgb8", rate=25),
    "apng": lambda folder: _at_rate(folder / "apng.apng", {}, codec="apng", pix_fmt="rgb24"),
    "hevc-open-group-cut": _hevc_cut,
    "wrapped-clock": _wrapped,
}


@pytest.fixture(scope="session")
def make_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], MadeFile]:
    """The file of a kind; made once."""
    folder = tmp_path_factory.mktemp("videos")
    made: dict[str, MadeFile] = {}

    def get(kind: str) -> MadeFile:
        if kind not in made:
            made[kind] = KINDS[kind](folder)
        return made[kind]

    return get


@pytest.fixture
def encode() -> Callable[..., Path]:
    """The encoder of bar codes."""
    return write


@pytest.fixture
def codes() -> Callable[[NDArray[np.uint8]], list[int | None]]:
    """Reads the bar codes of frames, shape `(n, height, width, 3)`."""
    return lambda pixels: [read_barcode(picture) for picture in pixels]


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    """Each test begins with nothing open and nothing cached."""
    sharing.clear()
