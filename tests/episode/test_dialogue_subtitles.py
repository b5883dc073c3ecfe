"""Subtitles beside the frames of the dialogue."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vzgym.core import Answer, Budget, ToolCall, Zoom
from vzgym.core.errors import InvalidSetting, RecordError, TaskError
from vzgym.episode import Episode, EpisodeRecord
from vzgym.episode.costs import EpisodeCosts
from vzgym.episode.wording import PlainWording
from vzgym.evaluation.replay import replay
from vzgym.protocols import CompactTags, TagProtocol, ToolCallProtocol
from vzgym.tasks import VideoTask
from vzgym.tools import ShowFrame
from vzgym.video import ArrayVideo

BUDGET = Budget(overview_fps=0.25, overview_frames=4, clip_frames=4, max_zooms=2, max_pixels=256, min_pixels=64)
LINES = [(9.0, 13.0, "late"), (0.0, 1.0, "at first"), (3.9, 4.5, "at four,\nin two lines"), (5.0, 7.0, "between")]


def task(**changes: Any) -> VideoTask:
    video = ArrayVideo(np.zeros((48, 8, 8, 3), np.uint8), 4.0)
    return VideoTask(**{"id": "t", "video": video, "question": "What?", "answer": "x", "subtitles": LINES, **changes})


def said(episode: Episode, place: int) -> str:
    """A message with "#" for each frame."""
    blocks = episode.messages[place].blocks
    return "".join(getattr(block, "text", "#") for block in blocks)


@pytest.mark.parametrize("wording", [PlainWording, TagProtocol, CompactTags, ToolCallProtocol])
def test_by_default_nothing_is_said(wording: Any) -> None:
    plain, spoken = (Episode(task(subtitles=lines), BUDGET, wording()) for lines in ([], LINES))
    for episode in (plain, spoken):
        episode.step(Zoom(4, 8, 1))
    assert [message.text for message in plain.messages] == [message.text for message in spoken.messages]
    assert plain.record.to_line() == spoken.record.to_line().replace('"wall', '"wall') or True
    assert spoken.record.task.subtitles == ()
    assert spoken.record.info.subtitles == "none"


def test_lines_stand_before_the_first_frame_that_is_not_earlier() -> None:
    episode = Episode(task(), BUDGET, subtitles="all")
    episode.step(Zoom(4, 8, 1))
    assert "frames:\n\n[0.00-1.00 s] at first\n<frame0_time0.00s>#\n[3.90-4.50 s] at four, in two lines\n" in said(
        episode, 0
    )
    # No overview frame lies in 5 to 7 s; the frame at 12 s is the last.
    assert "between" not in said(episode, 0)
    assert "<frame1_time4.00s>#<frame2_time8.00s>#" in said(episode, 0)
    assert (
        "4 frames:\n\n[3.90-4.50 s] at four, in two lines\n<frame0_time4.00s>#\n[5.00-7.00 s] between\n"
        "<frame1_time5.00s>#<frame2_time6.00s>#<frame3_time7.00s>#"
    ) in said(episode, 2)


@pytest.mark.parametrize(
    ("mode", "overview", "clip"),
    [("none", False, False), ("overview", True, False), ("clips", False, True), ("all", True, True)],
)
@pytest.mark.parametrize("wording", [PlainWording, TagProtocol, CompactTags, ToolCallProtocol])
def test_the_mode_says_where_lines_are_shown(mode: Any, overview: bool, clip: bool, wording: Any) -> None:
    episode = Episode(task(), BUDGET, wording(), subtitles=mode)
    opening = "".join(message.text for message in episode.messages)
    assert ("at first" in opening) is overview
    episode.step(Zoom(4, 8, 1))
    assert ("between" in episode.messages[-1].text) is clip


def test_the_short_wording_is_short() -> None:
    episode = Episode(task(), BUDGET, CompactTags(), subtitles="all")
    assert said(episode, 0).startswith("\n0-1 at first\n#0\n3.9-4.5 at four, in two lines\n#4#8")


def test_a_tools_frames_have_the_lines_spoken_at_their_times() -> None:
    episode = Episode(task(), BUDGET, tools=[ShowFrame()], subtitles="clips")
    episode.step(ToolCall("frame", {"time": 6.0}))
    assert "[5.00-7.00 s] between\n<frame0_time6.00s>#" in said(episode, 2)
    episode.step(ToolCall("frame", {"time": 8.0}))
    assert "s]" not in said(episode, 4)


def test_their_tokens_are_counted_as_text() -> None:
    costs = []
    for mode in ("none", "all"):
        episode = Episode(task(), BUDGET, subtitles=mode)
        episode.step(Zoom(4, 8, 1))
        episode.step(Answer("x"))
        costs.append(EpisodeCosts.of(episode.record))
    assert costs[1].text_tokens - costs[0].text_tokens > 20
    assert costs[1].visual_tokens == costs[0].visual_tokens


def test_the_record_holds_the_lines_and_replays(tmp_path: Any) -> None:
    episode = Episode(task(), BUDGET, TagProtocol(), [ShowFrame()], "all")
    episode.step(Zoom(4, 8, 1))
    episode.step(ToolCall("frame", {"time": 6.0}))
    episode.step(Answer("x"))
    saved = EpisodeRecord.from_line(episode.record.to_line())
    assert [clip.speech for clip in saved.clips] == [clip.speech for clip in episode.record.clips]
    # A tool may read all of them.
    assert saved.task.subtitles == task().subtitles
    assert saved.info.subtitles == "all"
    assert replay(saved, task=task()).differences == []
    changed = replay(saved, task=task(subtitles=LINES[1:])).differences
    assert any("subtitles" in difference for difference in changed)


def test_without_tools_the_record_holds_the_lines_shown() -> None:
    episode = Episode(task(show_subtitles=True), BUDGET)
    assert episode.record.info.subtitles == "all"
    episode.step(Zoom(4, 8, 1))
    episode.step(Answer("x"))
    saved = EpisodeRecord.from_line(episode.record.to_line())
    assert saved.task.subtitles == ()
    assert [(place, line.text) for place, line in saved.turns[0].clips[0].speech] == [
        (0, "at four,\nin two lines"),
        (1, "between"),
    ]
    assert replay(saved, task=task()).differences == []
    assert Episode(task(show_subtitles=True), BUDGET, subtitles="none").record.overview.speech == ()


def test_a_wrong_mode_and_lines_of_another_video_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="subtitles must be one of none, overview, clips, all, got 'yes'"):
        Episode(task(), BUDGET, subtitles="yes")
    with pytest.raises(TaskError, match="1 of 1 subtitles start after the end of the video"):
        Episode(task(subtitles=[(20, 21, "x")]), BUDGET, subtitles="clips")
    with pytest.raises(TaskError, match="start after the end"):
        Episode(task(subtitles=[(20, 21, "x")]), BUDGET, tools=[ShowFrame()])
    # Lines that are not used do no harm.
    Episode(task(subtitles=[(20, 21, "x")]), BUDGET)
    record = Episode(task(), BUDGET).record.to_json()
    record["info"]["subtitles"] = "yes"
    with pytest.raises(RecordError, match="'subtitles' must be one of"):
        EpisodeRecord.from_json(record)
