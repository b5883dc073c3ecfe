"""What the agent reads: the question, the frames after their times, replies, and what is left."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core import Answer, Budget, Malformed, Region, Zoom
from vzgym.core.errors import RecordError
from vzgym.episode import Episode, EpisodeRecord, ImageBlock, Message, PlainWording, TextBlock, validate_zoom
from vzgym.episode.wording import number, seconds
from vzgym.tasks.task import VideoTask
from vzgym.video import ArrayVideo

MakeTask = Callable[..., VideoTask]


def test_a_whole_dialogue(make_task: MakeTask, budget: Budget) -> None:
    episode = Episode(make_task(), budget)
    episode.step(Zoom(4.0, 5.0, 2.5))
    episode.step(Zoom(4.0, 50.0, 2.5))
    episode.step(Answer("B"))
    assert [message.role for message in episode.messages] == ["user", *["assistant", "tool"] * 2, "assistant"]
    question, zoom, clip, far, refused, answer = (message.text for message in episode.messages)
    assert question == (
        "The video is 10.00 s long. Overview, 5 frames:\n"
        "<frame0_time0.00s><frame1_time2.00s><frame2_time4.00s><frame3_time6.00s><frame4_time8.00s>\n"
        "Which colour flashes?\nA. red\nB. blue\nC. green\nRounds left: 3."
    )
    assert zoom == "zoom [4, 5] at 2.5 fps"
    assert clip == (
        "Clip 4.00 to 5.00 s at 2.5 fps, 3 frames:\n<frame0_time4.00s><frame1_time4.25s><frame2_time4.75s>\n"
        "Rounds left: 2."
    )
    assert far == "zoom [4, 50] at 2.5 fps"
    assert refused == (
        "Not shown (outside): [4, 50] s is not inside the video, which lasts from 0 to 10.00 s.\n"
        "This is the last round: answer now, zooming is no longer possible."
    )
    assert answer == "B"


def test_each_frame_follows_its_time(make_task: MakeTask, budget: Budget) -> None:
    episode = Episode(make_task(), budget)
    (clip,) = episode.step(Zoom(4.0, 5.0, 2.5)).clips
    assert clip is not None
    message = episode.messages[-1]
    assert [block.index for block in message.images] == [0, 1, 2]
    assert all(block.clip is clip for block in message.images)
    blocks = message.blocks
    for place, block in enumerate(blocks):
        if isinstance(block, ImageBlock):
            before = blocks[place - 1]
            assert isinstance(before, TextBlock)
            assert before.text == f"<frame{block.index}_time{clip.times[block.index]:.2f}s>"
            np.testing.assert_array_equal(block.pixels, clip.pixels[block.index])  # type: ignore[index]
            assert not block.pixels.flags.writeable


def test_the_end_closes_the_dialogue_without_a_word_on_rounds(make_task: MakeTask, budget: Budget) -> None:
    episode = Episode(make_task(), replace(budget, max_zooms=0))
    episode.step(Malformed("no tag"), text="hm")
    assert [message.text for message in episode.messages[-2:]] == ["hm", "Not shown (malformed): no tag"]


def test_a_video_error_is_told(make_task: MakeTask, budget: Budget) -> None:
    episode = Episode(make_task(good_until=8.0), budget)
    episode.step(Zoom(9.0, 9.5, 2.0))
    # The file and the reason are for the record.
    assert episode.messages[-1].text == "Not shown: the video cannot be read any further."
    assert episode.record.turns[-1].detail == "array:failing at 9.000 s (array): the data ends here"


def test_an_open_question_has_no_options(make_task: MakeTask, budget: Budget) -> None:
    episode = Episode(make_task(options=(), answer="7"), budget)
    assert episode.messages[0].text.endswith("\nWhich colour flashes?\nRounds left: 3.")


def test_neither_answer_nor_evidence_is_told(make_task: MakeTask, budget: Budget) -> None:
    task = make_task(options=(), answer="only-in-the-answer", category="only-the-category")
    text = Episode(task, budget).messages[0].text
    assert "only" not in text


def test_regions_are_told(make_task: MakeTask, budget: Budget) -> None:
    episode = Episode(make_task(), replace(budget, spatial=True))
    episode.step(Zoom(4.0, 5.0, 1.0, Region(0.0, 0.0, 0.5, 1.0)))
    assert episode.messages[-2].text == "zoom [4, 5] at 1 fps region [0.0, 0.0, 0.5, 1.0]"
    assert episode.messages[-1].text.startswith("Clip 4.00 to 5.00 s at 1 fps, region [0.0, 0.0, 0.5, 1.0], 1 frames:")


def test_the_same_record_gives_the_same_words(make_task: MakeTask, budget: Budget) -> None:
    episode = Episode(make_task(), budget)
    episode.step(Zoom(4.0, 5.0, 2.5))
    wording = PlainWording()
    assert wording.reply(episode.record) == wording.reply(episode.record) == episode.messages[-1]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (10.0, "10.00"),
        (9.999, "9.99"),
        (10.006, "10.00"),
        (8.29, "8.29"),  # 828.9999999999999 hundredths
        (0.29, "0.29"),
        (1.005, "1.00"),
        (3661.257, "3661.25"),
        (0.001, "0.00"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_times_are_shown_rounded_down(value: float, shown: str) -> None:
    assert seconds(value) == shown


@given(st.integers(1, 100_000), st.floats(1.0, 120.0))
def test_the_shown_end_of_a_video_lies_in_it(frames: int, fps: float) -> None:
    duration = frames / fps
    shown = float(seconds(duration))
    assert duration - 0.01 - 1e-6 <= shown <= duration + 1e-6
    start = max(0.0, shown - 0.5)
    if shown > start:
        assert validate_zoom(Zoom(start, shown, 30.0), duration, Budget()) is None
        assert validate_zoom(Zoom(start, shown, 0.01), duration, Budget()) is None


def test_the_duration_is_shown_rounded_down(make_task: MakeTask, budget: Budget) -> None:
    video = ArrayVideo(np.zeros((299, 8, 8, 3), dtype=np.uint8), 29.97)  # 9.97664 s
    episode = Episode(make_task(video=video), budget)
    assert episode.messages[0].text.startswith("The video is 9.97 s long.")
    episode.step(Zoom(9.5, 9.97, 4.0))
    assert episode.record.zooms == 1
    episode.step(Zoom(9.5, 9.98, 4.0))
    assert "from 0 to 9.97 s" in episode.messages[-1].text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(4.0, "4"), (2.5, "2.5"), (36_612.125, "36612.125"), (0.1 + 0.2, "0.3"), (1 / 3, "0.3333333333"), (-2, "-2")],
)
def test_numbers_are_short_and_exact(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_saved_dialogue_keeps_its_words_but_not_its_frames(make_task: MakeTask, budget: Budget) -> None:
    episode = Episode(make_task(), budget)
    image = episode.messages[0].images[0]
    back = EpisodeRecord.from_line(episode.record.to_line())
    assert back.messages == [Message.from_text(m.role, m.text) for m in episode.messages]
    with pytest.raises(RecordError, match="replay it to see its frames"):
        _ = ImageBlock(image.clip.without_pixels(), 0).pixels
