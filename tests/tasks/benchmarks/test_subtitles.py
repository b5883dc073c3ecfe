"""Subtitles beside the frames, and the last frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vzgym
from tests.tasks.benchmarks.miniatures import MINIATURES, Folder, load_set
from vzgym.core.budget import Budget, overview_times
from vzgym.core.errors import InvalidSetting
from vzgym.episode import Episode, PlainWording
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation import read_records
from vzgym.evaluation.replay import replay
from vzgym.protocols import CompactTags, DirectProtocol, TagProtocol
from vzgym.tasks import load_jsonl, write_jsonl

SMALL = {"max_pixels": 1024, "min_pixels": 256}


def test_lines_stand_beside_the_first_frame_that_shows_them(folder: Folder) -> None:
    MINIATURES["videomme"].layouts["official"](folder)
    tasks = load_set("videomme_w_subtitle", root=folder.root)
    assert (tasks.name, tasks.without_subtitles) == ("videomme+subtitles", 7)
    task = tasks[0]
    assert [(line.start, line.text) for line in task.subtitles] == [(0.0, "hello"), (1.0, "world")]
    budget = Budget(overview_fps=2.0, **SMALL)
    episode = Episode(task, budget, TagProtocol())
    assert [(index, line.text) for index, line in episode.record.overview.speech] == [(0, "hello"), (2, "world")]
    opening = episode.messages[1].text
    assert "\n[0.00-" in opening
    assert "s] hello\n<frame0_time0.00s><frame1_time0.50s>\n[1.00-" in opening
    assert "s] world\n<frame2_time1.00s>" in opening
    turn = episode.step(vzgym.Zoom(1.0, 2.0, 2.0))
    assert [(index, line.text) for index, line in turn.clips[0].speech] == [(0, "world")]
    assert "s] world\n" in episode.messages[-1].text
    assert " hello\n" in Episode(task, budget, CompactTags()).messages[0].text
    assert "s] hello\n" in Episode(task, budget, PlainWording()).messages[0].text
    assert "hello" not in Episode(task, budget, subtitles="clips").messages[0].text
    prompt = Episode(task, replace(budget, max_zooms=0), DirectProtocol("official")).messages[0].text
    assert prompt.startswith("\nThe video's subtitles:\nhello\nworld\nChoose the best answer")
    # A video without subtitles, and the set without them.
    assert not Episode(tasks[9], budget).record.overview.speech
    assert not Episode(load_set("videomme", root=folder.root)[0], budget).record.overview.speech


def test_longvideobench_shifts_its_subtitles(folder: Folder) -> None:
    MINIATURES["longvideobench_val_v"].layouts["official"](folder)
    tasks = load_set("longvideobench_val_i", root=folder.root)
    assert [(line.start, line.end, line.text) for line in tasks[1].subtitles] == [(0.5, 1.5, "shifted")]
    assert [line.text for line in tasks[0].subtitles] == ["first", "last"]


def test_word_level_lines(folder: Folder) -> None:
    MINIATURES["videomme_v2"].layouts["official"](folder)
    tasks = load_set("videomme_v2_w_subtitle", root=folder.root)
    assert [line.text for line in tasks[0].subtitles] == ["hello", "world"]


def test_a_record_keeps_what_was_shown_and_replays(folder: Folder, tmp_path: Path) -> None:
    MINIATURES["videomme"].layouts["official"](folder)
    tasks = load_set("videomme_w_subtitle[:2]", root=folder.root)
    vzgym.evaluate("uniform", tasks, budget=SMALL, out=tmp_path / "run")
    (first, _) = read_records(tmp_path / "run")
    assert [line.text for _, line in first.overview.speech]
    assert EpisodeRecord.from_line(first.to_line()).overview.speech == first.overview.speech
    assert replay(first).differences == []


def test_a_task_file_may_show_its_subtitles(folder: Folder, tmp_path: Path) -> None:
    MINIATURES["videomme"].layouts["official"](folder)
    task = load_set("videomme_w_subtitle", root=folder.root)[0]
    again = load_jsonl(write_jsonl([task], tmp_path / "t.jsonl"))[0]
    assert (again.show_subtitles, again.subtitles) == (True, task.subtitles)


def test_a_set_without_subtitles_says_so(folder: Folder) -> None:
    MINIATURES["video_holmes"].layouts["official"](folder)
    with pytest.raises(InvalidSetting, match="video_holmes has no subtitles"):
        load_set({"name": "video_holmes", "root": folder.root, "subtitles": True})


def test_videommmu_always_shows_the_last_frame(folder: Folder) -> None:
    MINIATURES["video_mmmu"].layouts["official"](folder)
    tasks = load_set("video_mmmu", root=folder.root)
    assert tasks.budget.overview_last
    assert tasks.budget == replace(Budget(), overview_last=True)
    episode = Episode(tasks[0], replace(tasks.budget, overview_fps=1.0, **SMALL))
    assert episode.record.overview.times.tolist() == [0.0, 1.0, 1.75]
    chosen = Episode(tasks[0], replace(tasks.budget, overview_frames=2, **SMALL), overview=np.array([0.25, 0.75]))
    assert chosen.record.overview.times.tolist() == [0.25, 1.75]


def test_the_last_frame_replaces_another_where_there_is_no_room() -> None:
    def times(**fields: object) -> list[float]:
        return overview_times(10.0, Budget(overview_last=True, **fields)).tolist()

    assert times(overview_fps=0.5) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert times(overview_fps=0.5, overview_frames=5) == [0.0, 2.0, 4.0, 6.0, 10.0]
    assert times(overview_fps=1.0, overview_frames=5) == [0.0, 2.5, 5.0, 7.5, 10.0]
    assert times(overview_fps=0.4, overview_frames=4) == [0.0, 2.5, 5.0, 10.0]
    assert times(overview_frames=1) == [10.0]
    assert times(overview_frames=0) == []
    assert np.all(np.diff(times(overview_fps=1.0)) > 0)
