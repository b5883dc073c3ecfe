"""Trajectories about videos that no reader can read: told where to look, and what to answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vzgym.agents.data.scripted import TRAJECTORY_KINDS, ScriptedRollout, TrajectoryStyle
from vzgym.core import Budget, Interval, Zoom
from vzgym.core.errors import TaskError
from vzgym.episode import evidence_shown
from vzgym.protocols import PROTOCOLS, TagProtocol
from vzgym.tasks import EvidenceRequirements, VideoTask, load_tasks
from vzgym.video.synthetic import ArrayVideo

BUDGET = Budget(overview_fps=0.2, overview_frames=8, clip_frames=16, max_zooms=2)


def played(evidence: Any, min_fps: float | None = None) -> Any:
    video = ArrayVideo(np.zeros((300, 32, 32, 3), dtype=np.uint8), 10.0)
    spans = None if evidence is None else tuple(Interval(*span) for span in evidence)
    needs = EvidenceRequirements(min_fps=min_fps)
    task = VideoTask("mine", video, "What is it?", ("a cat", "a dog"), "a dog", evidence=spans, requirements=needs)
    player = ScriptedRollout(task, BUDGET, TrajectoryStyle(TagProtocol()), seed=0)
    script = TRAJECTORY_KINDS["told"].script
    assert script is not None
    script(player)
    return player.episode.record


def test_it_zooms_where_it_is_told_and_answers_right() -> None:
    record = played([(10.0, 12.0), (20.0, 20.5)])
    assert [turn.action for turn in record.turns[:2]] == [Zoom(10.0, 12.0, 4.0), Zoom(20.0, 20.5, 15.0)]
    assert record.grade.is_correct
    assert record.answer == "B"
    assert all(turn.well_formed for turn in record.turns)


def test_a_known_rate_is_kept() -> None:
    assert played([(10.0, 12.0)], min_fps=2.5).turns[0].action == Zoom(10.0, 12.0, 2.5)


def test_where_there_is_nothing_to_find_it_answers_at_once() -> None:
    assert len(played([]).turns) == 1


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (None, "evidence is unknown"),
        ([(1.0, 2.0), (5.0, 6.0), (9.0, 10.0)], "3 evidence intervals, but 2 turns with zooms"),
    ],
)
def test_what_cannot_be_told_is_named(evidence: Any, words: str) -> None:
    with pytest.raises(TaskError, match=words):
        played(evidence)


@pytest.mark.parametrize("protocol", ["tags", "compact_tags", "tool_calls"])
@pytest.mark.parametrize("kind", ["oracle", "told"])
def test_several_places_are_looked_at_in_one_turn_where_the_budget_allows_it(protocol: str, kind: str) -> None:
    tasks = load_tasks("order-tiny/train")
    style = TrajectoryStyle(PROTOCOLS.make(protocol), "sentences")
    for zooms in (1, 2):
        rollout = ScriptedRollout(tasks[0], replace(tasks.budget, zooms_per_turn=zooms), style, seed=0)
        script = TRAJECTORY_KINDS[kind].script
        assert script is not None
        script(rollout)
        record = rollout.episode.record
        assert [len(turn.zooms) for turn in record.turns] == ([1, 1, 0] if zooms == 1 else [2, 0])
        assert all(turn.well_formed for turn in record.turns)
        assert record.grade is not None
        assert record.grade.is_correct
        assert evidence_shown(record)
    first, second = record.turns[0].zooms
    assert f"{first.start:g} to" in record.turns[0].text.partition("</think>")[0]
    assert first.end < second.start


@pytest.mark.parametrize("book", ["short", "sentences"])
def test_the_thought_after_a_card_names_its_hue_and_where_that_scene_begins(book: str) -> None:
    tasks = load_tasks("twohop-micro/train")
    for index in range(3):
        task = tasks[index]
        card, flash = task.evidence or ()
        first, second = (int(span.start // 12) * 12 for span in (card, flash))
        player = ScriptedRollout(task, tasks.budget, TrajectoryStyle(PROTOCOLS.make("compact_tags"), book), seed=index)
        goal = next(hue for hue, where in player.memory.scenes if where.start == second)
        script = TRAJECTORY_KINDS["exemplar"].script
        assert script is not None
        script(player)
        record = player.episode.record
        assert record.grade is not None
        assert record.grade.is_correct
        asked = task.question.split(" scene")[0].split()[-1]
        for turn in record.turns[:-1]:
            start = turn.zooms[0].start
            thought = turn.text.split("</think>")[0]
            if start in (first + 6, second + 6):
                assert book == "sentences" or thought == "<think>nothing"
            elif start == first:
                assert book == "sentences" or thought == f"<think>{asked}{first}"
            else:
                assert start == second
                assert goal in thought
                assert str(second) in thought
                assert book == "sentences" or thought == f"<think>{goal}{second}"
            if start >= second and start < second + 12:
                assert asked not in thought
        assert asked not in record.turns[-1].text
