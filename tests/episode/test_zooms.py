"""Several zooms in one turn, and the size of a zoom's frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core import Answer, Budget, Zoom, Zooms
from vzgym.core.budget import group_zooms
from vzgym.core.errors import ActionTypeError
from vzgym.episode import Episode, EpisodeRecord, Outcome, Refusal, validate_zooms
from vzgym.episode.costs import EpisodeCosts, PatchRule
from vzgym.tasks.task import VideoTask

MakeTask = Callable[..., VideoTask]
FIRST, SECOND, THIRD = Zoom(1.0, 2.0, 2.0), Zoom(6.0, 7.0, 2.0), Zoom(8.0, 8.5, 2.0)


@pytest.fixture
def several(budget: Budget) -> Budget:
    return replace(budget, zooms_per_turn=2)


def test_a_turn_shows_a_clip_for_each_zoom(make_task: MakeTask, several: Budget) -> None:
    episode = Episode(make_task(), several)
    turn = episode.step(Zooms((SECOND, FIRST)))
    assert turn.outcome is Outcome.EXECUTED
    assert turn.zooms == (SECOND, FIRST)
    assert [clip.times.tolist() for clip in turn.clips] == [[6.0, 6.5], [1.0, 1.5]]
    assert [clip.window.to_list() for clip in turn.clips if clip.window] == [[6.0, 7.0], [1.0, 2.0]]
    assert turn.windows == episode.record.windows
    # Zooms are counted as the budget counts them: in turns.
    assert (episode.record.zooms, episode.rounds_left, episode.zooms_left, episode.frames_left) == (1, 2, 1, 4)
    assert [len(part) for part in episode.messages[-1].parts] == [5, 6]
    assert episode.messages[-2].text == "zoom [6, 7] at 2 fps; zoom [1, 2] at 2 fps"
    assert episode.messages[-1].text.startswith("Clip 6.00 to 7.00 s at 2 fps, 2 frames:\n")
    assert "\nClip 1.00 to 2.00 s at 2 fps, 2 frames:\n" in episode.messages[-1].text
    assert episode.messages[-1].text.endswith("\nRounds left: 2.")


def test_one_zoom_is_the_same_as_a_list_of_one(make_task: MakeTask, budget: Budget) -> None:
    one, listed = (Episode(make_task(), budget) for _ in range(2))
    one.step(FIRST)
    turn = listed.step(Zooms((FIRST,)))
    assert turn.action == FIRST
    assert [message.text for message in one.messages] == [message.text for message in listed.messages]


@pytest.mark.parametrize(
    ("zooms", "code", "says"),
    [
        ((FIRST, SECOND, THIRD), Refusal.TOO_MANY_ZOOMS, "at most 2 zooms can be made in one turn, got 3."),
        ((FIRST, Zoom(6.0, 5.0, 2.0)), Refusal.REVERSED, "zoom 2 of 2: the end (5 s) must be greater"),
        ((Zoom(1.0, 2.0, 99.0), Zoom(6.0, 5.0, 2.0)), Refusal.FPS_OUT_OF_RANGE, "zoom 1 of 2: fps must be between"),
        (
            (FIRST, Zoom(6.0, 7.5, 2.0)),
            Refusal.TOO_MANY_FRAMES,
            "the 2 zooms are 2 + 3 = 5 frames; all zooms of a turn together may have 4",
        ),
    ],
)
def test_one_bad_zoom_refuses_the_turn(
    make_task: MakeTask, several: Budget, zooms: tuple[Zoom, ...], code: Refusal, says: str
) -> None:
    episode = Episode(make_task(), several)
    turn = episode.step(Zooms(zooms))
    assert (turn.outcome, turn.refusal, turn.clips) == (Outcome.REFUSED, code, ())
    assert turn.detail.startswith(says)
    assert (episode.record.zooms, episode.rounds_left) == (0, 2)


def test_the_papers_budget_has_one_zoom_a_turn(make_task: MakeTask, budget: Budget) -> None:
    turn = Episode(make_task(), budget).step(Zooms((FIRST, SECOND)))
    assert turn.refusal is Refusal.TOO_MANY_ZOOMS
    assert turn.detail == "at most one zoom can be made in one turn, got 2."


def test_the_last_round_takes_no_zooms(make_task: MakeTask, several: Budget) -> None:
    episode = Episode(make_task(), replace(several, max_zooms=0))
    assert episode.step(Zooms((FIRST, SECOND))).refusal is Refusal.LAST_ROUND


def test_a_video_error_in_one_zoom_fails_the_turn(make_task: MakeTask, several: Budget) -> None:
    episode = Episode(make_task(good_until=8.0), several)
    turn = episode.step(Zooms((FIRST, Zoom(8.5, 9.0, 2.0))))
    assert (turn.outcome, turn.clips) == (Outcome.FAILED, ())
    assert episode.truncated


def test_the_opening_states_the_limits(make_task: MakeTask, several: Budget, budget: Budget) -> None:
    text = Episode(make_task(), replace(several, zoom_max_pixels=900)).messages[-1].text
    assert "A round may have up to 2 zooms, together of at most 4 frames; they are carried out all or none." in text
    assert "A zoom may choose the most pixels of its frames, 1 to 900; otherwise 100352." in text
    assert "may" not in Episode(make_task(), budget).messages[-1].text


@pytest.mark.parametrize("zooms", [(), "ab", (FIRST, "x"), 5])
def test_what_is_no_list_of_zooms_is_a_programming_error(make_task: MakeTask, several: Budget, zooms: object) -> None:
    with pytest.raises(ActionTypeError, match="Zooms takes a tuple of one Zoom or more"):
        Episode(make_task(), several).step(Zooms(zooms))  # type: ignore[arg-type]


def test_a_zoom_chooses_the_size_of_its_frames(make_task: MakeTask, budget: Budget) -> None:
    sizes = replace(budget, max_pixels=192, min_pixels=48, zoom_max_pixels=24 * 32)
    episode = Episode(make_task(), replace(sizes, max_zooms=3))
    clips = [episode.step(replace(FIRST, max_pixels=most)).clips[0] for most in (48, None, 24 * 32)]
    assert [clip.size for clip in clips] == [(6, 8), (12, 16), (24, 32)]
    assert [clip.max_pixels for clip in clips] == [48, None, 768]
    assert "Clip 1.00 to 2.00 s at 2 fps, 8x6 pixels, 2 frames:" in episode.messages[2].text
    assert episode.messages[1 + 4].text == "zoom [1, 2] at 2 fps max_pixels 768"


def test_the_size_is_charged_in_visual_tokens(make_task: MakeTask, budget: Budget) -> None:
    sizes = replace(budget, max_pixels=192, min_pixels=48, zoom_max_pixels=24 * 32)
    rule = PatchRule("squares", 4)
    charged = []
    for size in (48, None, 24 * 32):
        episode = Episode(make_task(), sizes)
        before = EpisodeCosts.of(episode.record, rule).visual_tokens
        episode.step(replace(FIRST, max_pixels=size))
        again = EpisodeRecord.from_line(episode.record.to_line())
        charged.append(EpisodeCosts.of(again, rule).visual_tokens - before)
    # Two frames of 4 x 8 (6 x 8 shrunk to whole squares within 48 pixels), 12 x 16 and 24 x 32, in squares of 4 x 4.
    assert charged == [2 * 1 * 2, 2 * 3 * 4, 2 * 6 * 8]


@pytest.mark.parametrize(
    ("size", "allowed", "code"),
    [
        (100, 0, Refusal.SIZE_NOT_ALLOWED),
        (9, 768, Refusal.SIZE_OUT_OF_RANGE),
        (769, 768, Refusal.SIZE_OUT_OF_RANGE),
        (-5, 768, Refusal.SIZE_OUT_OF_RANGE),
        (1 << 100, 768, Refusal.SIZE_OUT_OF_RANGE),
    ],
)
def test_other_sizes_are_refused(make_task: MakeTask, budget: Budget, size: int, allowed: int, code: Refusal) -> None:
    episode = Episode(make_task(), replace(budget, min_pixels=10, zoom_max_pixels=allowed))
    turn = episode.step(replace(FIRST, max_pixels=size))
    assert turn.refusal is code
    EpisodeRecord.from_line(episode.record.to_line())


@pytest.mark.parametrize("size", [2.5, "9", True])
def test_a_size_that_is_no_number_is_a_programming_error(make_task: MakeTask, budget: Budget, size: object) -> None:
    with pytest.raises(ActionTypeError, match="max_pixels is an integer or None"):
        Episode(make_task(), budget).step(replace(FIRST, max_pixels=size))  # type: ignore[arg-type]


def test_the_record_keeps_zooms_and_sizes(make_task: MakeTask, several: Budget) -> None:
    episode = Episode(make_task(), replace(several, zoom_max_pixels=900))
    episode.step(Zooms((replace(FIRST, max_pixels=500), SECOND)))
    episode.step(Zooms((FIRST, Zoom(float("nan"), float("inf"), 2.0))))
    episode.step(Answer("B"))
    again = EpisodeRecord.from_line(episode.record.to_line())
    assert again.to_json() == episode.record.to_json()
    assert again.turns[0].action == episode.record.turns[0].action
    assert [clip.hashes for clip in again.clips] == [clip.hashes for clip in episode.record.clips]


_zooms = st.builds(
    lambda start, length, fps: Zoom(start, start + length, fps),
    st.floats(0.0, 8.0),
    st.floats(0.1, 2.0),
    st.sampled_from([0.5, 1.0, 2.0, 4.0]),
)


@given(st.lists(_zooms, max_size=8), st.integers(1, 4))
def test_zooms_are_grouped_into_turns_that_the_episode_accepts(zooms: list[Zoom], most: int) -> None:
    budget = Budget(clip_frames=8, zooms_per_turn=most)
    turns = group_zooms(zooms, budget)
    listed = [turn.zooms if isinstance(turn, Zooms) else (turn,) for turn in turns]
    assert [zoom for turn in listed for zoom in turn] == zooms
    assert all(validate_zooms(turn, 10.0, budget) is None for turn in listed)
    # No turn could have taken the first zoom of the next one.
    for turn, following in pairwise(listed):
        assert validate_zooms((*turn, following[0]), 10.0, budget) is not None
