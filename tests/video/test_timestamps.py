"""Time stamps that are missing, guessed, copied from decoding times, or begin again: exact, or refused by name."""

from __future__ import annotations

import itertools

import av
import numpy as np
import pytest

from vzgym.core.errors import VideoError
from vzgym.video import pyav_facts, pyav_open
from vzgym.video.barcode import draw_barcode
from vzgym.video.check import check
from vzgym.video.file import FileVideo
from vzgym.video.remux import remux
from vzgym.video.timestamps import StoredStamps, display_stamps


def copied(source, target, *, decoding_times=False, leave_out=frozenset(), shift=0):
    """A copy of the packets; `decoding_times` stores those as display times, as `ffmpeg -c copy` of an AVI does."""
    options = {"fflags": "nofillin"} if decoding_times else {}
    with av.open(str(source), container_options=options) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for number, packet in enumerate(old.demux(stream)):
            if packet.size and number not in leave_out:
                if decoding_times:
                    packet.pts = packet.dts
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = copy
                new.mux(packet)
    return target


def joined(target, *sources):
    target.write_bytes(b"".join(source.read_bytes() for source in sources))
    return target


def order_of(path, codes):
    """The bar codes of FFmpeg's frames, in its order."""
    with av.open(str(path)) as container:
        return codes([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def sweep(video, codes):
    """The bar code in the middle of each thirtieth of a second, read one by one in no order."""
    times = (np.arange(round(video.duration * 30)) + 0.5) / 30
    read = {}
    for place in np.random.default_rng(1).permutation(len(times)):
        read[place] = codes(video.read(times[[place]]).pixels)[0]
    return [read[place] for place in range(len(times))]


@pytest.mark.parametrize("kind", ["avi-b-frames", "avi-mpeg4", "mpeg-ps", "avi"])
def test_what_a_container_does_not_store_is_worked_out(kind, make_file, codes):
    made = make_file(kind)
    video = FileVideo(made.path)
    assert video.duration == pytest.approx(4.0)
    assert video.num_frames == 120
    assert video.fps == pytest.approx(30)
    assert sweep(video, codes) == order_of(made.path, codes) == list(range(120))
    for full in (False, True):
        report = check(made.path, full=full)
        assert report.ok
        assert report.issues[0].remux_helps


@pytest.mark.parametrize("kind", ["avi-b-frames", "mpeg-ps"])
def test_long_files_without_display_times_are_refused_and_remuxed(kind, make_file, codes, monkeypatch, tmp_path):
    made = make_file(kind)
    monkeypatch.setattr(pyav_facts, "_MOST_DECODED", 100)
    monkeypatch.setattr(pyav_open, "_known", {})
    with pytest.raises(VideoError, match=r"does not store all display times.*--remux") as refused:
        _ = FileVideo(made.path).duration
    for full in (False, True):
        report = check(made.path, full=full)
        assert [issue.what for issue in report.issues if issue.level == "error"] == [refused.value.reason]
    target = remux(made.path, tmp_path / "out.mp4")
    assert check(target, full=True).issues == ()
    assert sweep(FileVideo(target), codes) == list(range(120))
    if kind == "mpeg-ps":
        with pytest.raises(VideoError, match=r"open groups.*back-end 'pyav'"):
            _ = FileVideo(target, backend="decord").duration
    else:
        assert sweep(FileVideo(target, backend="decord"), codes) == list(range(120))


@pytest.mark.parametrize("kind", ["avi-b-frames", "avi-mpeg4"])
def test_copied_decoding_times_are_refused_everywhere_and_remuxed(kind, make_file, codes, tmp_path):
    path = copied(make_file(kind).path, tmp_path / "copy.mp4", decoding_times=True)
    assert order_of(path, codes) == list(range(120))
    for backend in ("pyav", "decord"):
        with pytest.raises(VideoError, match=r"display times are wrong.*--remux") as refused:
            FileVideo(path, backend=backend).read(np.array([1.0]))
        assert "use back-end" not in str(refused.value)
    assert check(path).issues == check(path, full=True).issues
    assert check(path).issues[0].remux_helps
    assert sweep(FileVideo(remux(path, tmp_path / "out.mp4")), codes) == list(range(120))


def test_a_copy_without_reordered_frames_is_sound(make_file, codes, tmp_path):
    path = copied(make_file("avi").path, tmp_path / "copy.mp4", decoding_times=True)
    assert check(path, full=True).issues == ()
    assert sweep(FileVideo(path), codes) == list(range(120))


def with_wrong_times(source, target, start, stop):
    """A copy in which packets from `start` to `stop` are displayed in decoding order."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        packets = [packet for packet in old.demux(stream) if packet.size]
        lead = packets[start].pts - packets[start].dts
        for number, packet in enumerate(packets):
            if start <= number < stop:
                packet.pts = packet.dts + lead
            packet.stream = copy
            new.mux(packet)
    return target


def groups_of(path):
    """Numbers of the key frames' packets, and the number of packets."""
    with av.open(str(path)) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    return [number for number, is_key in enumerate(keys) if is_key], len(keys)


def test_wrong_times_further_on_are_refused_when_they_are_read(make_file, codes, tmp_path):
    """The first frames are in order: only decoding further shows that the later ones are not."""
    source = make_file("b-frames").path
    keys, count = groups_of(source)
    path = with_wrong_times(source, tmp_path / "late.mp4", keys[1], count)
    video = FileVideo(path)
    times = (np.arange(120) + 0.5) / 30
    right, refused = 0, []
    for number in np.random.default_rng(0).permutation(120):
        try:
            read = codes(video.read(times[[number]]).pixels)[0]
        except VideoError as error:
            refused.append(error.reason)
        else:
            assert read == number
            right += 1
    assert len(refused) > 20
    assert all("time stamps" in reason or "cannot be decoded" in reason for reason in refused)
    assert right >= keys[1]


@pytest.mark.parametrize("part", ["one group", "the end", "within a group", "a short group"])
def test_check_finds_wrong_times_anywhere(part, encode, tmp_path):
    """Beyond the first 64 packets, and between the 16 positions at which frames are decoded."""
    options = {"preset": "veryfast", "g": "12" if part == "a short group" else "50", "bf": "3", "b_adapt": "0"}
    source = encode(tmp_path / "source.mp4", [n / 30 for n in range(1000)], size=(48, 80), options=options)
    keys, count = groups_of(source)
    first = keys[len(keys) // 2]
    start, stop = {
        "one group": (first, first + 50),
        "the end": (keys[-1], count),
        "within a group": (first + 13, first + 40),
        "a short group": (first, first + 12),
    }[part]
    path = with_wrong_times(source, tmp_path / "wrong.mp4", start, stop)
    assert check(source).issues == check(source, full=True).issues == ()
    for full in (False, True):
        report = check(path, full=full)
        assert not report.ok
        assert any("time stamps, which are wrong" in issue.what for issue in report.issues)
        assert min(issue.time for issue in report.issues if issue.time is not None) == pytest.approx(
            start / 30, abs=1.0
        )
        assert report.frames_checked < 600 or full
    with pytest.raises(VideoError, match="time stamps"):
        remux(path, tmp_path / "out.mp4")


def test_many_doubtful_packets_are_named_not_decoded(encode, monkeypatch, tmp_path):
    from vzgym.video import check as check_module

    options = {"preset": "veryfast", "g": "50", "bf": "3"}
    source = encode(tmp_path / "source.mp4", [n / 30 for n in range(300)], size=(48, 80), options=options)
    path = with_wrong_times(source, tmp_path / "wrong.mp4", *groups_of(source)[0][2:4])
    monkeypatch.setattr(check_module, "_MOST_DECODED", 10)
    report = check(path)
    assert any("known only once they are decoded; check --full does so" in issue.what for issue in report.issues)


JOINED = {
    "mpeg-ts": "ts",
    "mpeg-ps": "mpg",
    "vp8": "webm",
    "variable-rate-mkv": "mkv",
    "mkv-without-cues": "mkv",
    "fragmented-mp4": "mp4",
    "b-frames": "mp4",
}


@pytest.mark.parametrize("kind", JOINED)
def test_files_joined_byte_for_byte_are_refused(kind, make_file, tmp_path):
    made = make_file(kind)
    path = joined(tmp_path / f"joined.{JOINED[kind]}", made.path, made.path)
    with pytest.raises(VideoError, match="joined byte for byte"):
        _ = FileVideo(path).duration
    for full in (False, True):
        assert not check(path, full=full).ok
    target = tmp_path / "out.mp4"
    if kind not in ("mpeg-ts", "mpeg-ps", "mkv-without-cues"):
        return
    video = FileVideo(remux(path, target))
    assert video.num_frames == 2 * len(made.times)
    assert video.duration == pytest.approx(2 * made.end, abs=0.1)
    assert check(target, full=True).issues == ()


@pytest.mark.parametrize("kind", ["mpeg-ts", "mkv-without-cues"])
def test_a_remux_of_joined_files_plays_them_one_after_the_other(kind, make_file, codes, tmp_path):
    made = make_file(kind)
    path = joined(tmp_path / made.path.name, made.path, made.path)
    video = FileVideo(remux(path, tmp_path / "out.mp4"))
    assert sweep(video, codes) == order_of(path, codes) == [*range(120), *range(120)]


def test_a_clock_that_jumps_ahead_is_refused_and_closed_up(make_file, codes, tmp_path):
    made = make_file("mpeg-ts")
    later = copied(made.path, tmp_path / "later.ts", shift=90_000 * 1000)
    path = joined(tmp_path / "jump.ts", made.path, later)
    with pytest.raises(VideoError, match=r"jump ahead by 99\d\.\d s") as refused:
        _ = FileVideo(path).duration
    assert refused.value.time == pytest.approx(4.0, abs=0.2)
    video = FileVideo(remux(path, tmp_path / "out.mp4"))
    assert video.duration == pytest.approx(8.0, abs=0.1)
    assert sweep(video, codes) == [*range(120), *range(120)]


def test_a_pause_is_no_jump(encode, codes, tmp_path):
    stamps = [*(n / 30 for n in range(40)), *(20 + n / 30 for n in range(40))]
    path = encode(tmp_path / "pause.mkv", stamps, options={"preset": "ultrafast"}, container_options={"live": "1"})
    video = FileVideo(path)
    assert video.duration == pytest.approx(20 + 40 / 30, abs=0.1)
    assert codes(video.read(np.array([15.0, 1.0, 20.51])).pixels) == [39, 30, 55]


def test_frames_do_not_depend_on_what_was_read_before(make_file, codes):
    for kind in ("wrapped-clock", "avi-b-frames", "mpeg-ps", "hevc-open-group-cut"):
        made = make_file(kind)
        times = (made.times[:-1] + made.times[1:]) / 2
        alone = [codes(FileVideo(made.path).read(times[[place]]).pixels)[0] for place in (40, 3, 70)]
        video = FileVideo(made.path)
        video.read(times[::-1][:30])
        assert codes(video.read(times[[40, 3, 70]]).pixels) == alone == made.numbers[[40, 3, 70]].tolist()


def test_hidden_frames_are_not_counted(make_file):
    made = make_file("edit-list")
    assert FileVideo(made.path).num_frames == len(made.times)


def test_a_rate_in_the_header_of_an_avi_is_not_believed(tmp_path):
    """AVI headers that count in 1/600 s: the frames say how many they are."""
    path = tmp_path / "600.avi"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=600)
        stream.height, stream.width, stream.pix_fmt = 96, 160, "yuv420p"
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(draw_barcode(number, 96, 160), format="rgb24")
            frame.pts = 24 * number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    video = FileVideo(path)
    assert video.num_frames == 50
    assert video.fps == pytest.approx(25)
    assert video.duration == pytest.approx(2.0)


def stamps_of(order, pts, dts, step=10):
    """`display_stamps` of a stream whose packets come out in `order`."""

    class Packet:
        def __init__(self, number):
            self.pts = self.dts = number
            self.size = 1

    class Codec:
        def decode(self, packet):
            return [] if packet is not None else [Packet(number) for number in order]

    class Stream:
        codec_context = Codec()

    class Container:
        def demux(self, stream):
            packets = [Packet(number) for number in range(len(pts) + 1)]
            packets[-1].size = 0
            return iter(packets)

    return display_stamps(Container(), Stream(), StoredStamps(tuple(pts), tuple(dts)), step, "a.mpg", "pyav")


@pytest.mark.parametrize(
    ("order", "pts", "dts", "wanted"),
    [
        # Decoding times only, in order of display.
        ([0, 2, 1, 3], [None] * 4, [0, 10, 20, 30], [0, 20, 10, 30]),
        # Copies of the decoding times, of uneven lengths.
        ([0, 2, 1, 3], [0, 10, 25, 30], [0, 10, 25, 30], [0, 25, 10, 30]),
        # Some display times: the others lie between them.
        ([0, 2, 1, 3, 5, 4], [100, None, None, 130, None, None], [None] * 6, [100, 120, 110, 130, 150, 140]),
        # The first is not known.
        ([0, 1, 2], [None, 110, None], [None] * 3, [100, 110, 120]),
        # A second clock: 1000 and on again.
        ([*range(40)], [*range(1000, 1200, 10)] * 2, [None] * 40, [*range(1000, 1400, 10)]),
        # A packet that shows nothing.
        ([0, 2], [0, None, 10], [0, 5, 10], [0, None, 10]),
    ],
)
def test_display_times_follow_the_order_of_the_decoder(order, pts, dts, wanted):
    assert stamps_of(order, pts, dts) == wanted


@pytest.mark.parametrize(
    ("order", "pts", "dts", "reason"),
    [
        ([0, 1, 2, 3], [0, None, 45, None], [None] * 4, "not evenly spaced"),
        ([0, 1, 2, 3], [0, 20, 10, 30], [None] * 4, "out of order by a few frames"),
        ([0, 1], [None, None], [None, 10], "neither display nor decoding times"),
        ([0, 1, 1], [0, 10, 20], [0, 10, 20], "several frames"),
    ],
)
def test_display_times_that_cannot_be_worked_out_are_refused(order, pts, dts, reason):
    with pytest.raises(VideoError, match=reason):
        stamps_of(order, pts, dts)


def test_every_kind_is_remuxed_or_refused_by_name(make_file, codes, tmp_path):
    for number, kind in enumerate(["flv", "asf", "gif", "apng", "vp9", "variable-rate", "hevc-open-group-cut"]):
        made = make_file(kind)
        target = tmp_path / f"{number}.mp4"
        if kind in ("asf", "gif", "apng"):  # wmv2, gif, apng
            assert not any(issue.remux_helps for issue in check(made.path).issues)
            with pytest.raises(VideoError, match="mp4 cannot hold its codec"):
                remux(made.path, target)
            continue
        remux(made.path, target)
        video = FileVideo(target)
        assert codes(video.read(made.times + made.tolerance).pixels) == made.numbers.tolist()
        gaps = [later - earlier for earlier, later in itertools.pairwise(video.read(made.times + made.tolerance).times)]
        np.testing.assert_allclose(gaps, np.diff(made.times), atol=2.1e-3)
