"""What makes a task, and what cannot be one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vzgym.core.errors import TaskError
from vzgym.core.interval import Interval
from vzgym.tasks import VideoTask
from vzgym.video import ArrayVideo

VIDEO = ArrayVideo(np.zeros((40, 8, 8, 3), np.uint8), 4.0)


@pytest.mark.parametrize(
    "given",
    [
        [(1, 2), (3, 4.5)],
        [[1, 2], [3, 4.5]],
        (Interval(1.0, 2.0), (3.0, 4.5)),
        np.array([[1.0, 2.0], [3.0, 4.5]]),
        iter([(1, 2), (3, 4.5)]),
    ],
    ids=["tuples", "lists", "mixed", "array", "iterator"],
)
def test_pairs_of_seconds_are_evidence(given: Any) -> None:
    wanted = (Interval(1.0, 2.0), Interval(3.0, 4.5))
    task = VideoTask.from_file("v.mp4", "Which?", ["a", "b"], "a", evidence=given)
    assert task.evidence == wanted
    assert all(type(bound) is float for span in task.evidence for bound in (span.start, span.end))


def test_no_evidence_and_unknown_evidence_stay_apart() -> None:
    assert VideoTask("t", VIDEO, "Which?", evidence=[]).evidence == ()  # type: ignore[arg-type]
    assert VideoTask("t", VIDEO, "Which?").evidence is None


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ((1, 2), r"evidence is made of \[start, end\] in seconds, got 1"),
        ([(1, 2, 3)], r"evidence is made of \[start, end\] in seconds, got \(1, 2, 3\)"),
        (["12"], r"evidence is made of \[start, end\] in seconds, got '12'"),
        ([(True, 2)], r"evidence is made of \[start, end\] in seconds, got \(True, 2\)"),
        ([("1", "2")], r"evidence is made of \[start, end\] in seconds"),
        ("1-2", r"evidence is a list of \[start, end\] in seconds or None, got '1-2'"),
        (7, r"evidence is a list of \[start, end\] in seconds or None, got 7"),
        ({1: 2}, r"evidence is a list of \[start, end\] in seconds or None"),
        ([(2, 1)], r"bad evidence: an interval needs end > start, got \[2.0, 1.0\)"),
        ([(0, float("inf"))], "bad evidence: an interval needs finite bounds"),
    ],
)
def test_other_evidence_is_refused(given: Any, reason: str) -> None:
    with pytest.raises(TaskError, match=f"^task 'mine': {reason}"):
        VideoTask("mine", VIDEO, "Which?", evidence=given)
    with pytest.raises(TaskError, match=f"^task 'mine': {reason}"):
        VideoTask.from_file("v.mp4", "Which?", id="mine", evidence=given)


@pytest.mark.parametrize("span", [(0, 10), (9.5, 10.5), (10, 10.4)])
def test_evidence_may_end_half_a_second_late(span: tuple[float, float]) -> None:
    VideoTask("t", VIDEO, "Which?", evidence=[span]).check_evidence()  # type: ignore[arg-type]


@pytest.mark.parametrize("span", [(9, 10.6), (400, 500), (-1, 2)])
def test_evidence_outside_the_video_is_refused(span: tuple[float, float]) -> None:
    task = VideoTask("t", VIDEO, "Which?", evidence=[(1, 2), span])  # type: ignore[arg-type]
    with pytest.raises(TaskError, match=r"task 't': evidence \[\S+, \S+\] lies outside the video of 10 s"):
        task.check_evidence()
