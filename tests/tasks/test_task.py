"""What makes a task, and what cannot be one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vzgym.core.errors import TaskError
from vzgym.core.interval import Interval
from vzgym.episode.answers import GradeStatus, grade
from vzgym.tasks import Subtitle, VideoTask
from vzgym.tasks.task import answer_index, gold_text
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


COLOURS = ("red", "yellow", "blue")


@pytest.mark.parametrize(
    "answer",
    ["yellow", "B", "b", "(B)", "B.", "Yellow", " yellow.", "\uff39ellow", "(B) yellow", "b) Yellow", "[B] yellow"],
)
def test_an_answer_that_fits_one_option_is_taken(answer: str) -> None:
    task = VideoTask("t", VIDEO, "Which?", COLOURS, answer)
    assert (task.answer, task.answer_index, task.letter) == ("yellow", 1, "B")


@pytest.mark.parametrize(
    ("options", "answer", "reason"),
    [
        (COLOURS, "D", r"is none of the options .* and none of the letters \['A', 'B', 'C'\]"),
        (COLOURS, "(D) yellow", "is none of the options"),
        (COLOURS, "(A) yellow", "contradicts itself: option A is 'red'"),
        (COLOURS, "yelow", r"is none of the options .*; did you mean 'yellow'\?"),
        (("Red", "red"), "RED", r"fits the options A \('Red'\) and B \('red'\): give the right one's letter"),
        (("red", "red"), "red", r"fits the options A \('red'\) and B \('red'\)"),
    ],
)
def test_an_answer_that_fits_none_or_several_is_refused(options: tuple[str, ...], answer: str, reason: str) -> None:
    with pytest.raises(TaskError, match=f"^task 't': answer '.*' {reason}"):
        VideoTask("t", VIDEO, "Which?", options, answer)


@pytest.mark.parametrize(
    "options",
    [("A. red", "B. blue"), ("(A) red", "(B) blue"), ("A) red", "B) blue"), ("A: red", "B: blue"), ("A.red", "B.blue")],
)
def test_letters_of_the_options_themselves_are_removed(options: tuple[str, ...]) -> None:
    for answer in ("B", "blue", options[1]):
        task = VideoTask("t", VIDEO, "Which?", options, answer)
        assert (task.options, task.answer) == (("red", "blue"), "blue")


@pytest.mark.parametrize(
    "options", [("A. Lincoln", "Obama"), ("B. red", "A. blue"), ("A", "B"), ("A.", "B."), ("A man", "B side")]
)
def test_other_options_stay_as_they_are(options: tuple[str, ...]) -> None:
    assert VideoTask("t", VIDEO, "Which?", options, options[0]).options == options


def test_a_letter_stands_for_a_repeated_text() -> None:
    task = VideoTask("t", VIDEO, "Which?", ("red", "blue", "red"), "C")
    assert (task.answer, task.answer_index, task.letter) == ("C", 2, "C")
    again = VideoTask("t", VIDEO, task.question, task.options, task.answer)
    assert again.answer_index == 2


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"question": "Which \ud800?"}, r"question has a lone surrogate \(\\ud800\) at position 6"),
        ({"options": ("a", "\udfff"), "answer": "A"}, "option B has a lone surrogate"),
        ({"answer": "\ud800"}, "answer has a lone surrogate"),
        ({"category": "\ud800"}, "category has a lone surrogate"),
        ({"metadata": {"note": {"deep": ["\ud800"]}}}, r"metadata\['note'\] has a lone surrogate"),
        ({"metadata": {"score": float("nan")}}, r"metadata\['score'\] must be a JSON value .*holds nan"),
        ({"metadata": {"scores": [1.0, float("inf")]}}, r"metadata\['scores'\] must be a JSON value"),
        ({"metadata": {"array": np.zeros(2)}}, r"metadata\['array'\] must be a JSON value .*holds a ndarray"),
        ({"options": ("a", 2), "answer": "A"}, "option B must be text, got 2"),
    ],
)
def test_what_no_record_can_hold_is_refused(facts: dict[str, Any], reason: str) -> None:
    with pytest.raises(TaskError, match=f"^task 't': {reason}"):
        VideoTask(**{"id": "t", "video": VIDEO, "question": "Which?", **facts})


@pytest.mark.parametrize("options", ["red,green", b"red", {"A": "red", "B": "green"}, {"red", "green"}, None, 3])
def test_options_are_a_list(options: Any) -> None:
    with pytest.raises(TaskError, match=r"^task 't': options are a list of texts, such as .*, got "):
        VideoTask("t", VIDEO, "Which?", options, "A")
    with pytest.raises(TaskError, match=r"^task 'hall.mp4': options are a list of texts"):
        VideoTask.from_file("hall.mp4", "Which?", options, "A")


@pytest.mark.parametrize("options", [["red", "green"], np.array(["red", "green"]), iter(["red", "green"])])
def test_options_come_in_any_list(options: Any) -> None:
    assert VideoTask("t", VIDEO, "Which?", options, "A").options == ("red", "green")


def test_deep_metadata_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(TaskError, match=r"metadata\['deep'\] .* nested more than 32 levels deep"):
        VideoTask("t", VIDEO, "Which?", metadata={"deep": deep})
    # Taken apart by hand, since Python's own clean-up would recurse.
    while deep:
        deep = deep.pop()


def test_triples_and_files_are_subtitles(tmp_path: Path) -> None:
    assert VideoTask("t", VIDEO, "Which?", subtitles=[(1, 2, "a")]).subtitles == (Subtitle(1.0, 2.0, "a"),)
    (tmp_path / "a.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\na\n")
    task = VideoTask.from_file("v.mp4", "Which?", subtitles=tmp_path / "a.srt")
    assert task.subtitles == (Subtitle(1.0, 2.0, "a"),)
    for bad in ("a line", [(1, 2)], [(2, 1, "a")], [(0, 1, 7)]):
        with pytest.raises(TaskError, match="task 't': subtitle"):
            VideoTask("t", VIDEO, "Which?", subtitles=bad)


def test_subtitles_of_another_video_are_refused() -> None:
    duration = VIDEO.duration
    lines = [(1, 2, "a"), (3, duration + 9, "b"), (duration + 1, duration + 2, "c")]
    VideoTask("t", VIDEO, "Which?", subtitles=lines).check_subtitles()
    task = VideoTask("t", VIDEO, "Which?", subtitles=[*lines, (duration + 3, duration + 4, "d")])
    with pytest.raises(TaskError, match="task 't': 2 of 4 subtitles start after the end of the video"):
        task.check_subtitles()


def test_an_unknown_answer_is_empty_and_not_graded() -> None:
    task = VideoTask("t", VIDEO, "Which?", ("red", "blue"))
    assert (task.answer, task.answer_index, task.letter) == ("", None, None)
    assert grade("A", task).status is GradeStatus.UNSCORED


@pytest.mark.parametrize(
    ("options", "position"),
    [
        (("red", "blue"), 1),
        (("red", "red", "blue"), 1),
        (("red", "", "blue"), 1),
        (("", "", "blue"), 0),
        (("C", "B", "D", "E", "A"), 2),
        (("B", "x", "x"), 1),  # the letter of the right option is another option's text
    ],
)
def test_the_right_option_is_a_position_whatever_the_options_are(options: tuple[str, ...], position: int) -> None:
    answer = gold_text(options, position)
    assert answer_index(options, answer) == position
    task = VideoTask("t", VIDEO, "Which?", options, answer)
    assert (task.answer_index, task.letter, task.answer) == (position, "ABCDE"[position], answer)
    assert grade("ABCDE"[position], task).is_correct
    assert not grade("ABCDE"[(position + 1) % len(options)], task).is_correct
