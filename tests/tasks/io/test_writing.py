from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vzgym.cli.tasks import write_task_files
from vzgym.core import Interval, overview_times
from vzgym.core.errors import FolderInUse, InvalidSetting, TaskError
from vzgym.core.files import folder_lock, is_leftover
from vzgym.rollout.executor import LocalProcesses, stateless
from vzgym.tasks import Suite, VideoTask, load_jsonl, load_tasks
from vzgym.tasks.io.writing import file_name, list_files, plan_files, write_file, write_task, write_tasks
from vzgym.tasks.procedural.render.encode import SIZE_QUANTUM, encode_video
from vzgym.tasks.suite import ProceduralTasks
from vzgym.video import ArrayVideo
from vzgym.video.file import FileVideo

SMALL: dict[str, Any] = {
    "budget": load_tasks("tiny").budget, "duration": 24.0, "fps": 10.0, "height": 48, "width": 64, "scenes": 3,
}  # fmt: skip


def small(family: str, **options: Any) -> ProceduralTasks:
    return Suite(f"small-{family}", ({"name": family, **SMALL, **options},))("test")


def digests(folder: Path) -> dict[str, str]:
    files = [file for file in sorted(folder.iterdir()) if not is_leftover(file)]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def decoded(path: Path) -> Iterator[av.VideoFrame]:
    with av.open(str(path)) as container:
        yield from container.decode(video=0)


def test_tasks_written_are_read_back(tmp_path: Path) -> None:
    tasks = small("needle")
    wanted = [tasks[index] for index in range(3)]
    calls: list[tuple[int, int]] = []
    file = write_tasks(wanted, tmp_path / "out", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert file == tmp_path / "out" / "tasks.jsonl"
    for task, filed in zip(wanted, load_jsonl(file), strict=True):
        for name in ("id", "question", "options", "answer", "evidence", "category", "source", "metadata"):
            assert getattr(filed, name) == getattr(task, name), name
        assert (filed.video.duration, filed.video.fps, filed.video.num_frames) == (24.0, 10.0, 240)
        assert (filed.video.height, filed.video.width) == (48, 64)
        times = np.linspace(0, 23.9, 30)
        drawn, read = task.video.read(times), filed.video.read(times)
        assert np.array_equal(drawn.times, read.times)
        error = np.abs(drawn.pixels.astype(int) - read.pixels).mean(axis=(1, 2, 3))
        assert error.max() < 6
        filed.video.close()
    assert load_jsonl(file).budget == tasks.budget
    assert not list((tmp_path / "out").glob(".*.partial"))


def test_files_are_intra_only_420_and_end_in_padding(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_task(small("needle")[0], path)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert len(packets) == 240
        assert all(packet.is_keyframe for packet in packets)
    assert path.stat().st_size % SIZE_QUANTUM == 0
    assert {int(frame.pict_type) for frame in decoded(path)} == {1}  # 1 is "I"


@pytest.mark.parametrize("family", ["needle", "count"])
def test_frames_outside_the_event_decode_alike_for_every_answer_and_files_are_of_one_size(
    tmp_path: Path, family: str
) -> None:
    options = {"counts": (1, 2, 3, 4), "event_seconds": 1.4} if family == "count" else {}
    for index in range(2):
        variants = small(family, **options).variants(index)
        (span,) = variants[0].evidence or ()
        paths = [tmp_path / file_name(task.id) for task in variants]
        for task, path in zip(variants, paths, strict=True):
            assert write_task(task, path)
        frames = [[frame.to_ndarray(format="yuv420p") for frame in decoded(path)] for path in paths]
        times = np.arange(240) / 10
        inside = (times >= span.start - 1e-6) & (times < span.end - 1e-6)
        for other in frames[1:]:
            same = np.array([np.array_equal(a, b) for a, b in zip(frames[0], other, strict=True)])
            assert same[~inside].all()
            assert not same[inside].all()
        assert len({path.stat().st_size for path in paths}) == 1
        grid = overview_times(24.0, load_tasks("tiny").budget)
        overviews = {FileVideo(path).read(grid).pixels.tobytes() for path in paths}
        assert len(overviews) == 1


def test_sizes_of_control_files_do_not_tell_the_answer(tmp_path: Path) -> None:
    variants = small("control").variants(0)
    for task in variants:
        write_task(task, tmp_path / file_name(task.id))
    assert len({file.stat().st_size for file in tmp_path.iterdir()}) == 1


def test_writing_is_deterministic_with_any_number_of_workers(tmp_path: Path) -> None:
    tasks = [small("count", event_seconds=1.8)[index] for index in range(3)]
    write_tasks(tasks, tmp_path / "one")
    files = plan_files(tasks, tmp_path / "two")
    assert list(LocalProcesses(2).map(stateless(write_file), files)) == [True] * 3
    assert list_files(files) == tmp_path / "two" / "tasks.jsonl"
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_a_stopped_run_resumes(tmp_path: Path) -> None:
    tasks = [small("needle")[index] for index in range(4)]
    write_tasks(tasks, tmp_path)
    before = digests(tmp_path)
    paths = [tmp_path / file_name(task.id) for task in tasks]
    kept = paths[0].stat().st_mtime_ns
    paths[1].write_bytes(paths[1].read_bytes()[:20_000])
    paths[2].unlink()
    # A whole file of another task under this one's name.
    paths[3].write_bytes(paths[0].read_bytes())
    (tmp_path / f".{paths[2].name}.7-7.partial").write_bytes(b"half a file")
    write_tasks(tasks, tmp_path)
    assert not list(tmp_path.glob(".*.partial"))
    assert digests(tmp_path) == before
    assert paths[0].stat().st_mtime_ns == kept


@pytest.mark.parametrize("lost", [1, 8, 100, 5000])
def test_a_file_that_lost_its_last_bytes_is_written_anew(tmp_path: Path, lost: int) -> None:
    task = small("needle")[0]
    path = tmp_path / "x.mp4"
    assert write_task(task, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-lost])
    assert write_task(task, path)
    assert path.read_bytes() == whole
    assert not write_task(task, path)


def test_a_second_writer_of_a_folder_is_refused(tmp_path: Path) -> None:
    tasks = [small("needle")[0]]
    with folder_lock(tmp_path), pytest.raises(FolderInUse, match="is being written by another process"):
        write_tasks(tasks, tmp_path)
    with folder_lock(tmp_path), pytest.raises(FolderInUse, match="is being written by another process"):
        write_task_files(tasks, tmp_path, 1)
    assert write_tasks(tasks, tmp_path).exists()


def test_other_tasks_of_a_suite_may_take_the_place_of_written_ones(tmp_path: Path) -> None:
    tasks = load_tasks("tiny", "test")
    write_tasks([tasks[0], tasks[1]], tmp_path)
    assert [task.id for task in load_jsonl(write_tasks([tasks[1]], tmp_path))] == ["tiny/test/1"]
    assert [task.id for task in load_jsonl(write_tasks([tasks[0]], tmp_path))] == ["tiny/test/0"]


MINE = {"id": "mine", "video": "mine.mp4", "question": "What?"}


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(MINE),
        json.dumps({**MINE, "id": "tiny/test/0"}),
        json.dumps({**MINE, "id": "tiny/test/999999"}),
        json.dumps({**MINE, "id": 3}),
        "[]",
        "a note",
        "\xff",
    ],
)
def test_a_list_of_other_tasks_is_not_replaced(tmp_path: Path, line: str) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_bytes(b"\n" + line.encode("latin-1") + b"\n")
    before = digests(tmp_path)
    with pytest.raises(InvalidSetting, match=r"holds something else: .*tasks\.jsonl.*; choose another folder, or move"):
        write_tasks([load_tasks("tiny", "test")[0]], tmp_path)
    assert digests(tmp_path) == before


def test_a_row_that_was_edited_is_not_replaced(tmp_path: Path) -> None:
    task = load_tasks("tiny", "test")[0]
    file = write_tasks([task], tmp_path)
    file.write_text(file.read_text().replace("What colour", "Which colour"))
    with pytest.raises(InvalidSetting, match=r"tasks\.jsonl, line 1, is no row that writing these or procedural tasks"):
        write_tasks([task], tmp_path)


def test_another_answer_under_the_same_name_is_noticed(tmp_path: Path) -> None:
    first, second = small("needle").variants(0)[:2]
    path = tmp_path / "a.mp4"
    assert write_task(first, path)
    assert not write_task(first, path)
    assert write_task(second, path)


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    task = small("needle")[0]
    odd = ArrayVideo(np.zeros((3, 9, 8, 3), dtype=np.uint8), 5.0, "array:odd")
    with pytest.raises(InvalidSetting, match=r"array:odd: H\.264 needs an even size, got 8x9"):
        write_tasks([replace(task, video=odd)], tmp_path)
    with pytest.raises(TaskError, match="no task to write"):
        write_tasks([], tmp_path)
    with pytest.raises(TaskError, match=r"tasks 'a/b' and 'a:b' would both be written to a-b\.mp4"):
        write_tasks([replace(task, id="a/b"), replace(task, id="a:b")], tmp_path)


def test_any_video_of_known_length_can_be_written(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    task = VideoTask("mine", ArrayVideo(pixels, 3.0), "What?", evidence=(Interval(0.0, 2.0),))
    (filed,) = load_jsonl(write_tasks([task], tmp_path))
    assert filed.video.num_frames == 6
    assert filed.video.duration == pytest.approx(2.0)


def test_every_frame_may_vary(tmp_path: Path) -> None:
    video = small("control", scenes=1)[0].video
    encode_video(video, tmp_path / "a.mp4", [Interval(0.0, 24.0)])
    assert (tmp_path / "a.mp4").stat().st_size % SIZE_QUANTUM == 0
    assert sum(1 for _ in decoded(tmp_path / "a.mp4")) == 240
