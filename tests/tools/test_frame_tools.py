"""Tools that return frames or times of frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vzgym.video
from vzgym.core.errors import InvalidSetting, ScorerError, TaskError
from vzgym.scorers import SCORERS, Frames, Query
from vzgym.tasks import load_tasks
from vzgym.tools import FindFrames, ShowFrame, ToolArgumentError, ToolCall, ToolContext


class Brightness:
    """Scores frames by brightness; the text "dark" turns it round."""

    name = "brightness"
    uses_model = True

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken

    def score(self, query: Query, frames: Frames) -> np.ndarray:
        scores = frames.pixels.mean(axis=(1, 2, 3))
        return np.full(len(frames), np.nan) if self.broken else (-scores if query.text == "dark" else scores)


def find(context: ToolContext, tool: FindFrames, **arguments: Any) -> list[str]:
    return tool.run(ToolCall("find_frames", arguments), context).text.splitlines()


def brightest(**options: Any) -> FindFrames:
    return FindFrames(f"{__name__}:Brightness", **options)


def test_frames_are_found_by_a_text_best_first_and_apart(context: ToolContext) -> None:
    tool = brightest(fps=2.0, results=3, gap=2.0)
    assert find(context, tool, text="bright") == [
        "The best of 20 frames from 0 to 10 s:",
        "9.50 s (score 228)",
        "7.50 s (score 180)",
        "5.50 s (score 132)",
    ]
    assert [line.split()[0] for line in find(context, tool, text="dark")[1:]] == ["0.00", "2.00", "4.00"]


def test_a_search_may_be_limited_to_an_interval(context: ToolContext) -> None:
    tool = brightest(fps=2.0, results=9, gap=1.0)
    found = find(context, tool, text="bright", start=2, end=4.25)[1:]
    assert [line.split()[0] for line in found] == ["4.00", "3.00", "2.00"]
    assert find(context, tool, text="bright", start=9.9, end=10)[0] == "The best of 1 frames from 9.9 to 10 s:"


def test_costs_are_those_of_the_scorer(context: ToolContext) -> None:
    result = brightest(fps=2.0).run(ToolCall("find_frames", {"text": "bright"}), context)
    assert (result.costs["frames_scored"], result.costs["scorer_passes"], result.clip) == (20, 20, None)
    assert result.costs["candidates_decoded"] >= 20
    few = brightest(fps=2.0, candidates=5).run(ToolCall("find_frames", {"text": "bright"}), context)
    assert few.costs["frames_scored"] == 5


def test_a_second_search_takes_the_embeddings_from_disk(context: ToolContext, written: Path, tmp_path: Path) -> None:
    task = load_tasks(written)[0]
    known = ToolContext.of(task, task.video.duration, context.budget)
    tool = FindFrames("histogram", cache=tmp_path)
    first = tool.run(ToolCall("find_frames", {"text": "red"}), known)
    vzgym.video.clear()
    assert tool.run(ToolCall("find_frames", {"text": "red"}), known) == first
    assert len(list(tmp_path.glob("*/entry.json"))) == 1
    assert "cache" not in tool.options


def test_only_a_privileged_scorer_knows_the_evidence(context: ToolContext, told: ToolContext) -> None:
    tool = FindFrames("evidence", fps=4.0, results=1)
    assert tool.privileged
    assert not brightest().privileged
    assert find(told, tool, text="anything")[1] == "6.00 s (score 1)"
    with pytest.raises(TaskError, match="needs a task with known evidence"):
        find(context, tool, text="anything")


def test_a_failing_scorer_is_no_answer(context: ToolContext) -> None:
    with pytest.raises(ScorerError, match="is nan for the frame"):
        find(context, FindFrames({"name": f"{__name__}:Brightness", "broken": True}), text="bright")


def test_a_scorer_must_be_named(context: ToolContext) -> None:
    with pytest.raises(InvalidSetting, match="given by name or mapping"):
        FindFrames(SCORERS.make("hash"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [({}, "'text' is missing"), ({"text": ""}, "'text'"), ({"text": "a", "start": 8, "end": 2}, "must be greater")],
)
def test_wrong_arguments_of_a_search(context: ToolContext, arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(ToolArgumentError, match=reason):
        find(context, brightest(), **arguments)


def test_a_frame_is_shown_at_full_size(context: ToolContext) -> None:
    result = ShowFrame().run(ToolCall("frame", {"time": 3.1}), context)
    assert result.text == "The frame at 3.1 s, 60x40 pixels."
    assert (len(result.clip), result.clip.size, result.clip.max_pixels) == (1, (40, 60), 2400)
    assert result.clip.times.tolist() == [3.0]
    assert (result.clip.pixels == 72).all()


def test_a_frame_may_be_limited_in_size(context: ToolContext) -> None:
    assert ShowFrame(600).run(ToolCall("frame", {"time": 10}), context).clip.size == (20, 30)
    # Never below what the budget shows at least.
    height, width = ShowFrame(1).run(ToolCall("frame", {"time": 0}), context).clip.size
    assert height * width >= 350


@pytest.mark.parametrize("time", [10.5, -1, "3", None, float("inf")])
def test_a_frame_outside_the_video(context: ToolContext, time: Any) -> None:
    with pytest.raises(ToolArgumentError):
        ShowFrame().run(ToolCall("frame", {"time": time}), context)
