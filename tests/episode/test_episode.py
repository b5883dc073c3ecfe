"""The engine: rounds, refusals, ends, and what the agent is shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vzgym.core import Action, Answer, Budget, Malformed, Region, Zoom
from vzgym.core.errors import ActionTypeError, EpisodeEnded, TaskError, VideoError
from vzgym.episode import End, Episode, EpisodeRecord, GradeStatus, Outcome, Refusal
from vzgym.tasks.task import VideoTask
from vzgym.video import frame_hash

MakeTask = Callable[..., VideoTask]
GOOD = Zoom(4.0, 5.0, 4.0)


@pytest.fixture
def episode(make_task: MakeTask, budget: Budget) -> Episode:
    return Episode(make_task(), budget)


def test_the_overview_shows_the_grids_frames(episode: Episode, pixels: NDArray[np.uint8]) -> None:
    overview = episode.record.overview
    assert overview.requested.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert overview.times.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    np.testing.assert_array_equal(overview.pixels, pixels[[0, 8, 16, 24, 32]])
    assert overview.window is None
    assert overview.fps is None
    assert episode.record.frames == 5
    assert not episode.ended
    assert (episode.rounds_left, episode.zooms_left, episode.frames_left) == (3, 2, 8)


def test_a_zoom_shows_its_frames(episode: Episode, pixels: NDArray[np.uint8]) -> None:
    turn = episode.step(Zoom(4.0, 5.0, 3.0))
    assert turn.outcome is Outcome.EXECUTED
    assert turn.refusal is None
    (clip,) = turn.clips
    np.testing.assert_allclose(clip.requested, [4.0, 4 + 1 / 3, 4 + 2 / 3])
    # Each frame's own time, at or before the time asked for.
    assert clip.times.tolist() == [4.0, 4.25, 4.5]
    np.testing.assert_array_equal(clip.pixels, pixels[[16, 17, 18]])
    assert clip.hashes == tuple(frame_hash(pixels[i]) for i in (16, 17, 18))
    assert (clip.size, clip.fps, clip.region, clip.decoded) == ((24, 32), 3.0, None, 3)
    assert clip.window is not None
    assert clip.window.to_list() == [4.0, 5.0]
    assert episode.record.windows == [clip.window]
    assert (episode.rounds_left, episode.zooms_left, episode.frames_left) == (2, 1, 4)


def test_frames_are_shown_within_the_pixels_of_the_budget(make_task: MakeTask) -> None:
    small = Episode(make_task(), Budget(min_pixels=1, max_pixels=192))
    assert small.record.overview.size == (12, 16)
    assert small.record.overview.pixels is not None
    assert small.record.overview.pixels.shape == (5, 12, 16, 3)
    large = Episode(make_task(), Budget(min_pixels=3072, max_pixels=100_000))
    assert large.record.overview.size == (48, 64)


def test_a_region_is_cut_out_before_it_is_scaled(make_task: MakeTask, budget: Budget) -> None:
    episode = Episode(make_task(), replace(budget, spatial=True))
    (clip,) = episode.step(Zoom(4.0, 5.0, 2.0, Region(0.0, 0.0, 0.5, 0.5))).clips
    assert clip.size == (12, 16)
    assert clip.pixels is not None
    # The bright right half is gone.
    assert sorted(set(clip.pixels.ravel().tolist())) == [16, 18]


def test_what_is_shown_cannot_be_changed(episode: Episode) -> None:
    (clip,) = episode.step(GOOD).clips
    assert clip.pixels is not None
    for array in (clip.pixels, clip.times, clip.requested, episode.record.overview.pixels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0  # type: ignore[index]


def test_the_end_of_the_video_may_be_overshot_by_rounding(episode: Episode) -> None:
    (clip,) = episode.step(Zoom(9.5, 10.0000005, 4.0)).clips
    assert clip.times.tolist() == [9.5, 9.75]
    (last,) = episode.step(Zoom(10.0, 10.0000005, 4.0)).clips
    assert last is not None
    assert last.times.tolist() == [9.75]


def test_an_answer_terminates(episode: Episode) -> None:
    episode.step(GOOD)
    turn = episode.step(Answer("(B)"))
    assert turn.outcome is Outcome.ANSWERED
    assert turn.clips == ()
    assert episode.ended
    assert not episode.truncated
    assert episode.record.end is End.ANSWERED
    assert episode.record.answer == "(B)"
    assert episode.record.grade is not None
    assert episode.record.grade.is_correct
    assert (episode.rounds_left, episode.zooms_left, episode.frames_left) == (0, 0, 0)


@pytest.mark.parametrize("last", [Zoom(4.0, 5.0, 4.0), Malformed("no tag"), Zoom(5.0, 4.0, 1.0)])
def test_the_last_round_without_an_answer_terminates(episode: Episode, last: Action) -> None:
    episode.step(GOOD)
    episode.step(GOOD)
    assert not episode.ended
    turn = episode.step(last)
    assert turn.outcome is Outcome.REFUSED
    assert episode.record.end is End.OUT_OF_ROUNDS
    assert episode.ended
    assert not episode.truncated
    assert episode.record.answer is None
    assert episode.record.grade is not None
    assert episode.record.grade.status is GradeStatus.MISSING
    assert episode.record.grade.score == 0.0


def test_the_last_round_says_so_and_refuses_a_zoom(episode: Episode) -> None:
    episode.step(GOOD)
    assert "last round" not in episode.messages[-1].text
    episode.step(GOOD)
    assert "This is the last round: answer now" in episode.messages[-1].text
    turn = episode.step(GOOD)
    assert turn.refusal is Refusal.LAST_ROUND
    assert turn.clips == ()
    assert "last round" in turn.detail


def test_in_the_last_round_a_bad_zoom_is_refused_as_too_late(episode: Episode) -> None:
    episode.step(GOOD)
    episode.step(GOOD)
    assert episode.step(Zoom(5.0, 4.0, 1.0)).refusal is Refusal.LAST_ROUND


def test_bad_actions_use_up_rounds_and_change_nothing_else(episode: Episode) -> None:
    before = (episode.record.frames, episode.record.overview.hashes)
    turn = episode.step(Zoom(9.0, 11.0, 1.0))
    assert (turn.outcome, turn.refusal) == (Outcome.REFUSED, Refusal.OUTSIDE)
    assert episode.rounds_left == 2
    turn = episode.step(Malformed("no tag"))
    assert (turn.outcome, turn.refusal, turn.detail) == (Outcome.REFUSED, Refusal.MALFORMED, "no tag")
    assert episode.rounds_left == 1
    assert (episode.record.frames, episode.record.overview.hashes) == before
    assert episode.record.windows == []
    assert episode.record.zooms == 0
    assert episode.step(Answer("blue")).outcome is Outcome.ANSWERED


def test_without_zooms_the_first_round_is_the_last(make_task: MakeTask, budget: Budget) -> None:
    episode = Episode(make_task(), replace(budget, max_zooms=0))
    assert (episode.rounds_left, episode.zooms_left) == (1, 0)
    assert "This is the last round" in episode.messages[-1].text
    assert episode.step(GOOD).refusal is Refusal.LAST_ROUND
    assert episode.record.end is End.OUT_OF_ROUNDS


def test_without_a_glance_there_is_no_frame_before_the_first_zoom(make_task: MakeTask, budget: Budget) -> None:
    episode = Episode(make_task(), replace(budget, overview_frames=0))
    assert episode.record.frames == 0
    assert episode.record.overview.pixels is not None
    assert episode.record.overview.pixels.shape == (0, 24, 32, 3)
    assert episode.messages[0].images == []
    episode.step(GOOD)
    assert episode.record.frames == 4
    assert EpisodeRecord.from_line(episode.record.to_line()).frames == 4


def test_a_video_error_truncates_and_is_unscored(make_task: MakeTask, budget: Budget) -> None:
    episode = Episode(make_task(good_until=8.0), budget)
    assert episode.step(GOOD).outcome is Outcome.EXECUTED
    turn = episode.step(Zoom(8.5, 9.5, 2.0))
    assert turn.outcome is Outcome.FAILED
    assert turn.refusal is None
    assert turn.clips == ()
    assert turn.detail == "array:failing at 8.500 s (array): the data ends here"
    assert episode.ended
    assert episode.truncated
    assert episode.record.end is End.VIDEO_ERROR
    assert episode.record.grade is not None
    assert episode.record.grade.status is GradeStatus.UNSCORED
    assert episode.record.grade.score is None
    assert episode.rounds_left == 0
    with pytest.raises(EpisodeEnded, match="video_error"):
        episode.step(Answer("B"))


def test_a_video_error_in_the_last_but_one_round_is_no_lack_of_rounds(make_task: MakeTask, budget: Budget) -> None:
    episode = Episode(make_task(good_until=8.0), replace(budget, max_zooms=1))
    episode.step(Zoom(8.5, 9.5, 2.0))
    assert episode.record.end is End.VIDEO_ERROR


def test_a_video_that_fails_at_the_glance_raises(make_task: MakeTask, budget: Budget) -> None:
    with pytest.raises(VideoError, match=r"array:failing at 6\.000 s \(array\): the data ends here"):
        Episode(make_task(good_until=5.0), budget)


def test_an_ended_episode_takes_no_action(episode: Episode) -> None:
    episode.step(Answer("B"))
    line = episode.record.to_line()
    with pytest.raises(EpisodeEnded, match=r"episode of task 'ramp/1' has ended \(answered\)"):
        episode.step(GOOD)
    assert episode.record.to_line() == line


@pytest.mark.parametrize(
    ("action", "says"),
    [
        ("B", "an action is a Zoom, Zooms, a ToolCall, an Answer or Malformed, got str"),
        (None, "got NoneType"),
        (Answer(2), "an answer is text, got 2"),  # type: ignore[arg-type]
        (Zoom("1", 2.0, 1.0), "a zoom is made of numbers, got '1'"),  # type: ignore[arg-type]
        (Zoom(1.0, 2.0, None), "a zoom is made of numbers, got None"),  # type: ignore[arg-type]
        (Zoom(1.0, 2.0, 1.0, (0, 0, 1, 1)), r"region is a Region or None, got \(0, 0, 1, 1\)"),  # type: ignore[arg-type]
        (Zoom(1.0, 2.0, 1.0, Region(0, 0, 1, "1")), "a zoom is made of numbers, got '1'"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_action_is_a_programs_mistake(episode: Episode, action: Action, says: str) -> None:
    line = episode.record.to_line()
    with pytest.raises(ActionTypeError, match=says):
        episode.step(action)
    # And leaves no trace: the episode goes on.
    assert episode.record.to_line() == line
    assert episode.step(GOOD).outcome is Outcome.EXECUTED


def test_numbers_of_any_kind_make_a_zoom(episode: Episode) -> None:
    turn = episode.step(Zoom(np.float32(4.0), np.int64(5), 4))  # type: ignore[arg-type]
    assert turn.outcome is Outcome.EXECUTED
    assert turn.action == GOOD
    huge = episode.step(Zoom(0, 10**400, 1))
    assert huge.refusal is Refusal.NOT_FINITE
    assert EpisodeRecord.from_line(episode.record.to_line()).turns[1].action == Zoom(0.0, math.inf, 1.0)


def test_text_and_form_are_kept_as_given(episode: Episode) -> None:
    turn = episode.step(GOOD, text="<video_zoom>…</video_zoom>", well_formed=False)
    assert (turn.text, turn.well_formed) == ("<video_zoom>…</video_zoom>", False)
    assert episode.messages[-2].role == "assistant"
    assert episode.messages[-2].text == turn.text
    assert episode.step(Malformed("why"), well_formed=True).well_formed is False
    turn = episode.step(Answer("B"))
    assert (turn.text, turn.well_formed) == ("B", True)


def test_evidence_outside_the_video_makes_no_episode(make_task: MakeTask, budget: Budget) -> None:
    with pytest.raises(TaskError, match=r"evidence \[400, 500\] lies outside the video of 10 s"):
        Episode(make_task(evidence=[[400, 500]]), budget)


def test_the_same_actions_leave_the_same_record(make_task: MakeTask, budget: Budget) -> None:
    def play() -> list[object]:
        episode = Episode(make_task(), budget)
        for action in (GOOD, Zoom(0.1, 1.0, 3.3), Answer("blue")):
            episode.step(action)
        record = episode.record
        facts = [(clip.times.tolist(), clip.hashes, clip.window) for clip in record.clips]
        return [facts, record.messages[-1].text, [turn.action for turn in record.turns], record.grade]

    assert play() == play()


ACTIONS = st.one_of(
    st.builds(Zoom, st.floats(-1, 11), st.floats(-1, 11), st.floats(0, 40)),
    st.builds(lambda start: Zoom(start, start + 1, 4.0), st.floats(0, 9)),
    st.builds(Zoom, st.floats(), st.floats(), st.floats()),
    st.builds(Malformed, st.text(max_size=5)),
    st.builds(Answer, st.sampled_from(["B", "red", "?", "A man"])),
)


@given(st.lists(ACTIONS, min_size=1, max_size=5))
def test_whatever_is_done_the_rules_hold(make_task: MakeTask, budget: Budget, actions: list[Action]) -> None:
    episode = Episode(make_task(), budget)
    played = 0
    for action in actions:
        if episode.ended:
            break
        left = episode.rounds_left
        turn = episode.step(action)
        played += 1
        assert episode.rounds_left == (0 if episode.ended else left - 1)
        assert (turn.refusal is not None) == (turn.outcome is Outcome.REFUSED)
        assert bool(turn.detail) or turn.outcome in (Outcome.EXECUTED, Outcome.ANSWERED) or action == Malformed("")
        assert bool(turn.clips) == (turn.outcome is Outcome.EXECUTED)
    record = episode.record
    assert len(record.turns) == played <= budget.max_rounds
    assert record.frames <= budget.max_frames
    assert record.zooms == len(record.windows) <= budget.max_zooms
    assert record.frames == sum(len(clip) for clip in record.clips)
    assert episode.ended == (record.grade is not None) == (record.end is not None)
    assert episode.ended == (record.answer is not None or played == budget.max_rounds)
    assert (record.end is End.ANSWERED) == (record.answer is not None)
    # One message of the agent's and, but for an answer, one reply a turn, after the question.
    assert len(record.messages) == 1 + 2 * played - (record.answer is not None)
    assert EpisodeRecord.from_line(record.to_line()).to_line() == record.to_line()
