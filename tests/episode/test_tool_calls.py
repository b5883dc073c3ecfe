"""Tool calls in an episode: execution, refusals, costs, and what the record keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from vzgym.core import Answer, Budget, ToolCall, Zoom
from vzgym.core.errors import ActionTypeError, InvalidSetting, ToolArgumentError
from vzgym.episode import End, Episode, EpisodeRecord, Outcome, Refusal, ToolContext, ToolResult
from vzgym.episode.costs import EpisodeCosts
from vzgym.tasks.task import VideoTask

MakeTask = Callable[..., VideoTask]


class Look:
    """Shows the frames at given times; `size` is their `max_pixels`."""

    def __init__(self, name: str = "look", size: int | None = None) -> None:
        self.name, self.size = name, size
        self.description = "Shows the frames at given times."
        self.parameters: Mapping[str, Any] = {"type": "object", "properties": {"times": {"type": "array"}}}
        self.spec: Mapping[str, Any] = {"name": name}

    def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        times = call.arguments.get("times")
        if not isinstance(times, list):
            raise ToolArgumentError('"times" must be a list of seconds.')
        clip = context.look(times, max_pixels=self.size) if times else None
        return ToolResult(f"{len(times)} asked.", clip, {"frames_scored": 7})


class Broken(Look):
    """Returns what it is given."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result

    def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        result: ToolResult = self.result
        return result


def start(make_task: MakeTask, budget: Budget, *tools: Any, **facts: Any) -> Episode:
    return Episode(make_task(**facts), budget, tools=tools or [Look()])


def test_a_call_shows_text_and_frames(make_task: MakeTask, budget: Budget) -> None:
    episode = start(make_task, budget)
    turn = episode.step(ToolCall("look", {"times": [4.0, 1.0]}))
    assert turn.outcome is Outcome.EXECUTED
    assert (turn.tool, turn.reply, turn.costs, turn.zooms) == ("look", "2 asked.", {"frames_scored": 7}, ())
    (clip,) = turn.clips
    assert clip.times.tolist() == [4.0, 1.0]
    assert clip.window is None
    assert episode.record.clips[1:] == [clip]
    assert (episode.record.zooms, episode.record.tool_calls, episode.record.windows) == (0, 1, [])
    assert "2 asked.\n2 frames:\n<frame0_time4.00s><frame1_time1.00s>\nRounds left: 2." in episode.messages[-1].text
    assert len(episode.messages[-1].images) == 2
    assert episode.rounds_left == 2


def test_a_call_may_return_text_alone(make_task: MakeTask, budget: Budget) -> None:
    episode = start(make_task, budget)
    turn = episode.step(ToolCall("look", {"times": []}))
    assert (turn.outcome, turn.clips) == (Outcome.EXECUTED, ())
    assert episode.messages[-1].text == "0 asked.\nRounds left: 2."


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        (ToolCall("find"), Refusal.UNKNOWN_TOOL, "there is no tool 'find'; the tools are: look."),
        (ToolCall("look", {"times": 3}), Refusal.TOOL_ARGUMENTS, '"times" must be a list of seconds.'),
    ],
)
def test_a_bad_call_is_a_reply_and_uses_a_round(
    make_task: MakeTask, budget: Budget, call: ToolCall, code: Refusal, says: str
) -> None:
    episode = start(make_task, budget)
    turn = episode.step(call)
    assert (turn.outcome, turn.refusal, turn.detail, turn.clips) == (Outcome.REFUSED, code, says, ())
    assert f"No result ({code}): {says}" in episode.messages[-1].text
    assert episode.rounds_left == 2


def test_without_tools_a_call_is_refused(make_task: MakeTask, budget: Budget) -> None:
    turn = Episode(make_task(), budget).step(ToolCall("look", {}))
    assert turn.refusal is Refusal.UNKNOWN_TOOL
    assert "there are no tools beside the zoom" in turn.detail


def test_the_last_round_is_for_the_answer(make_task: MakeTask, budget: Budget) -> None:
    episode = start(make_task, replace(budget, max_zooms=1))
    episode.step(ToolCall("look", {"times": []}))
    assert "answer now, zooms and tool calls are no longer possible" in episode.messages[-1].text
    assert episode.step(ToolCall("look", {"times": []})).refusal is Refusal.LAST_ROUND
    assert episode.record.end is End.OUT_OF_ROUNDS


def test_a_video_error_in_a_tool_truncates_the_episode(make_task: MakeTask, budget: Budget) -> None:
    episode = start(make_task, budget, good_until=8.5)
    assert episode.step(ToolCall("look", {"times": [9.0]})).outcome is Outcome.FAILED
    assert episode.truncated


def test_the_opening_names_the_tools(make_task: MakeTask, budget: Budget) -> None:
    assert "look: Shows the frames at given times." in start(make_task, budget).messages[-1].text
    assert "look" not in start(make_task, replace(budget, max_zooms=0)).messages[-1].text


def test_the_record_keeps_calls_and_tools(make_task: MakeTask, budget: Budget) -> None:
    episode = start(make_task, budget)
    episode.step(ToolCall("look", {"times": [4.0], "note": {"a": [None, True, "\ud800"]}}))
    episode.step(ToolCall("find", {}))
    episode.step(Answer("B"))
    again = EpisodeRecord.from_line(episode.record.to_line())
    assert again.to_json() == episode.record.to_json()
    assert again.turns[0].action == ToolCall("look", {"times": [4.0], "note": {"a": [None, True, "\ufffd"]}})
    assert again.rules == episode.rules
    assert again.rules.tools == ("look",)


def test_large_frames_of_a_tool_are_charged_in_full(make_task: MakeTask, budget: Budget) -> None:
    small = replace(budget, max_pixels=192)
    costs = []
    for size in (None, 24 * 32):
        episode = start(make_task, small, Look(size=size))
        before = EpisodeCosts.of(episode.record).visual_tokens
        (clip,) = episode.step(ToolCall("look", {"times": [1.0]})).clips
        assert clip.size == ((12, 16) if size is None else (24, 32))
        costs.append(EpisodeCosts.of(episode.record).visual_tokens - before)
    large = Episode(make_task(), replace(budget, max_pixels=24 * 32))
    before = EpisodeCosts.of(large.record).visual_tokens
    large.step(Zoom(1.0, 2.0, 1.0))
    assert costs == [1, EpisodeCosts.of(large.record).visual_tokens - before]


@pytest.mark.parametrize(
    "result",
    [
        "text",
        ToolResult(3),  # type: ignore[arg-type]
        ToolResult("", "clip"),  # type: ignore[arg-type]
        ToolResult("", None, {"passes": -1.0}),
        ToolResult("", None, {"passes": float("nan")}),
    ],
)
def test_a_broken_tool_is_named(make_task: MakeTask, budget: Budget, result: object) -> None:
    with pytest.raises(InvalidSetting, match="the tool 'look'"):
        start(make_task, budget, Broken(result)).step(ToolCall("look"))


def test_a_tool_may_not_show_more_than_a_clip(make_task: MakeTask, budget: Budget) -> None:
    episode = start(make_task, budget)
    with pytest.raises(InvalidSetting, match=r"1 to 4 frames \(clip_frames\), got 5"):
        episode.step(ToolCall("look", {"times": [1.0] * 5}))


@pytest.mark.parametrize(
    ("tools", "says"),
    [
        ([object()], "not a tool"),
        ([Look], "not a tool"),
        ([Look("1st")], "a tool's name must be"),
        ([Look("video_zoom")], "text protocols use that name"),
        ([Look(), Look()], "two tools named 'look'"),
        ({"see": Look()}, "given under the name 'see'"),
    ],
)
def test_bad_tools_are_named_before_the_episode(make_task: MakeTask, budget: Budget, tools: Any, says: str) -> None:
    with pytest.raises(InvalidSetting, match=says):
        Episode(make_task(), budget, tools=tools)


@pytest.mark.parametrize(
    "call",
    [
        ToolCall(5),  # type: ignore[arg-type]
        ToolCall("look", [1]),  # type: ignore[arg-type]
        ToolCall("look", {"times": float("nan")}),
        ToolCall("look", {"times": {1, 2}}),
        ToolCall("look", {3: 4}),  # type: ignore[dict-item]
    ],
)
def test_calls_that_no_record_could_hold_are_programming_errors(
    make_task: MakeTask, budget: Budget, call: ToolCall
) -> None:
    episode = start(make_task, budget)
    with pytest.raises(ActionTypeError):
        episode.step(call)
    assert episode.record.turns == []


def test_the_ledger_adds_the_costs_of_tools(make_task: MakeTask, budget: Budget) -> None:
    episode = start(make_task, budget)
    for _ in range(2):
        episode.step(ToolCall("look", {"times": [1.0]}))
    episode.step(Answer("B"))
    episode.record.set_info(costs={"frames_scored": 5})
    costs = EpisodeCosts.of(episode.record)
    assert (costs.frames_scored, costs.candidates_decoded, costs.frames_shown) == (19, 0, 7)
