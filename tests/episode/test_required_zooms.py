"""Budgets that require zooms before an answer (`Budget.min_zooms`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from vzgym.core import Answer, Budget, Malformed, ToolCall, Zoom
from vzgym.core.errors import InvalidSetting
from vzgym.episode import End, Episode, EpisodeRecord, Outcome, Refusal, ToolContext, ToolResult
from vzgym.episode.wording import PlainWording
from vzgym.protocols import CompactTags, DirectProtocol, TagProtocol, ToolCallProtocol
from vzgym.tasks.task import VideoTask

MakeTask = Callable[..., VideoTask]
GOOD = Zoom(4.0, 5.0, 4.0)
RULE = "Zoom at least once before you answer: an earlier answer is refused and uses up its round."


class Note:
    """A tool that returns text only."""

    def __init__(self) -> None:
        self.name, self.description = "note", "Returns a note."
        self.parameters: Mapping[str, Any] = {"type": "object"}
        self.spec: Mapping[str, Any] = {"name": "note"}

    def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        return ToolResult("A note.")


@pytest.fixture
def forced(budget: Budget) -> Budget:
    """Three rounds, of which one must be a zoom."""
    return replace(budget, min_zooms=1)


def test_an_early_answer_is_refused_and_uses_up_its_round(make_task: MakeTask, forced: Budget) -> None:
    episode = Episode(make_task(), forced)
    assert (episode.zooms_due, episode.rounds_left) == (1, 3)
    turn = episode.step(Answer("B"))
    assert (turn.outcome, turn.refusal, turn.action) == (Outcome.REFUSED, Refusal.ZOOM_FIRST, Answer("B"))
    assert not episode.ended
    assert episode.record.answer is None
    assert episode.record.grade is None
    assert (episode.zooms_due, episode.rounds_left) == (1, 2)
    assert episode.messages[-1].role == "tool"
    assert episode.messages[-1].text.startswith("Not accepted (zoom_first): zoom once before you answer.")


def test_after_the_zoom_an_answer_is_accepted(make_task: MakeTask, forced: Budget) -> None:
    episode = Episode(make_task(), forced)
    episode.step(GOOD)
    assert episode.zooms_due == 0
    assert episode.step(Answer("B")).outcome is Outcome.ANSWERED
    assert (episode.record.end, episode.record.answer, episode.zooms_due) == (End.ANSWERED, "B", 0)


@pytest.mark.parametrize("waste", [Zoom(5.0, 4.0, 1.0), Malformed("no tag"), Answer("A")])
def test_only_an_executed_zoom_counts(make_task: MakeTask, forced: Budget, waste: Any) -> None:
    episode = Episode(make_task(), forced)
    episode.step(waste)
    assert episode.step(Answer("B")).refusal is Refusal.ZOOM_FIRST


def test_the_last_round_accepts_every_answer(make_task: MakeTask, forced: Budget) -> None:
    episode = Episode(make_task(), forced)
    for _ in range(forced.max_zooms):
        episode.step(Answer("A"))
    assert episode.zooms_due == 0
    assert "answer now" in episode.messages[-1].text
    assert episode.step(Answer("B")).outcome is Outcome.ANSWERED
    assert episode.record.grade is not None
    assert episode.record.grade.is_correct
    assert episode.record.zooms == 0


def test_several_turns_may_be_required(make_task: MakeTask, budget: Budget) -> None:
    episode = Episode(make_task(), replace(budget, max_zooms=4, min_zooms=3))
    assert "in at least 3 turns before you answer" in episode.messages[0].text
    assert "zoom in 3 turns before you answer." in episode.step(Answer("B")).detail
    episode.step(GOOD)
    assert "zoom in 2 more turns before you answer." in episode.step(Answer("B")).detail
    episode.step(GOOD)
    # The round of the third zoom was used up by answers, but the last round accepts them.
    assert episode.step(Answer("B")).outcome is Outcome.ANSWERED


def test_a_tool_call_counts_as_a_zoom(make_task: MakeTask, forced: Budget) -> None:
    episode = Episode(make_task(), forced, tools=[Note()])
    assert "Zoom or call a tool at least once before you answer" in episode.messages[0].text
    assert episode.step(Answer("B")).detail == "zoom or call a tool once before you answer."
    assert episode.step(ToolCall("note", {})).outcome is Outcome.EXECUTED
    assert episode.step(Answer("B")).outcome is Outcome.ANSWERED


def test_a_record_with_a_refused_answer_survives_json(make_task: MakeTask, forced: Budget) -> None:
    episode = Episode(make_task(), forced)
    for action in (Answer("A"), GOOD, Answer("B")):
        episode.step(action)
    again = EpisodeRecord.from_line(episode.record.to_line())
    assert again.budget == forced
    assert [turn.refusal for turn in again.turns] == [Refusal.ZOOM_FIRST, None, None]
    assert (again.answer, again.zooms_due) == ("B", 0)
    assert again.upto(1).answer is None


@pytest.mark.parametrize("protocol", [TagProtocol(), ToolCallProtocol(), ToolCallProtocol(structured=True)])
def test_protocols_state_the_rule_and_reply(make_task: MakeTask, forced: Budget, protocol: TagProtocol) -> None:
    episode = Episode(make_task(), forced, protocol)
    assert f"{RULE} " in episode.messages[0].text
    assert RULE not in episode.messages[1].text
    episode.step(Answer("B"))
    assert "Not accepted (zoom_first): zoom once before you answer." in episode.messages[-1].text
    assert len(episode.messages[-1].parts) == 1


def test_without_required_zooms_no_protocol_names_them(make_task: MakeTask, budget: Budget) -> None:
    for wording in (PlainWording(), TagProtocol(), ToolCallProtocol(), CompactTags()):
        text = "".join(message.text for message in Episode(make_task(), budget, wording).messages)
        assert "before you answer" not in text
        assert "Zoom first" not in text


def test_the_compact_protocol_says_it_briefly(make_task: MakeTask, forced: Budget) -> None:
    episode = Episode(make_task(), forced, CompactTags())
    assert episode.messages[0].text.endswith("flashes? Zoom first.")
    episode.step(Answer("B"))
    assert episode.messages[-1].text == "no: zoom_first"
    episode.step(Answer("B"))
    assert episode.messages[-1].text == "no: zoom_first Answer now."
    episode.step(Answer("B"))
    assert episode.record.end is End.ANSWERED


def test_a_protocol_without_zooms_is_refused(make_task: MakeTask, forced: Budget) -> None:
    with pytest.raises(InvalidSetting, match="'direct' has no zoom, but the budget requires one"):
        Episode(make_task(), forced, DirectProtocol())
