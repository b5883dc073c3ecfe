"""Which tasks of a set can be played, and which stand for the rest."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from vzgym.agents.training.task_checks import blank_copy, check_tasks
from vzgym.core.budget import Budget, overview_times
from vzgym.core.errors import InvalidSetting, VideoError
from vzgym.episode import Episode
from vzgym.tasks import TaskList, VideoTask, load_tasks
from vzgym.video import ArrayVideo


class Closed(ArrayVideo):
    """Cannot be opened."""

    opened = 0

    def __init__(self):
        super().__init__(np.zeros((8, 8, 8, 3), np.uint8), 4.0, "closed.mp4")

    @property
    def height(self):
        Closed.opened += 1
        raise VideoError("no video in it", path=self.uri)

    @height.setter
    def height(self, value):
        """As the base class sets it."""


def task(name, video=None, question="Which?"):
    return VideoTask(name, video or ArrayVideo(np.zeros((8, 8, 8, 3), np.uint8), 4.0), question)


def test_tasks_whose_videos_cannot_be_opened_are_named_once(caplog):
    closed = Closed()
    tasks = TaskList([task("a"), task("b", closed), task("c", closed), task("d", question="Which of them?")])
    before = Closed.opened
    found = check_tasks(tasks, 4)
    assert found.playable == [0, 3]
    assert found.failed == {"b": "closed.mp4: no video in it", "c": "closed.mp4: no video in it"}
    assert Closed.opened == before + 1
    # One for each length and size: the one with the longest question.
    assert [kind.id for kind in found.representatives] == ["d"]
    (said,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert said.getMessage().startswith("2 of 4 tasks are left out")
    assert "left out: b: closed.mp4: no video in it" in said.getMessage()


def test_tasks_whose_evidence_lies_outside_their_video_are_named(caplog):
    film = ArrayVideo(np.zeros((256, 8, 8, 3), np.uint8), 4.0)
    # The same video, whose other question is sound.
    outside = VideoTask("b", film, "Which?", evidence=[[400, 500]])
    inside = VideoTask("c", film, "Which?", evidence=[[40, 50]])
    found = check_tasks(TaskList([task("a"), outside, inside]), 3)
    assert found.playable == [0, 2]
    assert found.failed == {"b": "task 'b': evidence [400, 500] lies outside the video of 64 s"}
    assert "left out: b: task 'b': evidence [400, 500] lies outside" in caplog.text
    with pytest.raises(InvalidSetting, match=r"none of the 1 tasks used .* can be played.*lies outside the video"):
        check_tasks(TaskList([outside]), 1)


def test_what_is_not_used_is_not_looked_at(caplog):
    assert check_tasks(TaskList([task("a"), task("b", Closed())]), 1).playable == [0]
    assert not caplog.records


def test_none_left_is_an_error():
    with pytest.raises(InvalidSetting, match=r"none of the 1 tasks used of 'mine' .* no video in it.*videos check"):
        check_tasks(TaskList([task("b", Closed())], name="mine"), 1)


def test_of_procedural_tasks_only_one_of_each_kind_is_built(monkeypatch):
    tasks = load_tasks("micro/train")
    built = []
    build = type(tasks).__getitem__

    def watched(self, index):
        built.append(index)
        return build(self, index)

    monkeypatch.setattr(type(tasks), "__getitem__", watched)
    assert len(check_tasks(tasks, len(tasks)).playable) == len(tasks)
    assert len(built) == 2


@pytest.mark.parametrize("frames", [8, 13, 1001])
def test_a_stand_in_has_the_videos_length_and_size_and_reads_nothing(frames, monkeypatch):
    real = ArrayVideo(np.zeros((frames, 6, 10, 3), np.uint8), 29.97)
    monkeypatch.setattr(ArrayVideo, "read", None)
    blank = blank_copy(task("a", real))
    assert blank.video.duration == pytest.approx(real.duration, abs=1e-9)
    assert (blank.video.height, blank.video.width) == (6, 10)
    budget = Budget(overview_fps=2.0, min_pixels=1)
    assert len(Episode(blank, budget).record.overview) == len(overview_times(real.duration, budget))
