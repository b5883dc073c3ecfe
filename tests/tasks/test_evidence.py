"""How the evidence of a task must be seen: values, JSON form, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vzgym.core import Interval, Region
from vzgym.core.errors import InvalidSetting, TaskError
from vzgym.episode.record import TaskFacts
from vzgym.tasks import EvidenceRequirements, Placement, VideoTask, get_task
from vzgym.video import ArrayVideo

SECOND = Placement(((130, 150),), ((0, 10),), 20.0)
FULL = EvidenceRequirements(
    min_fps=4.0,
    min_rows=36.0,
    regions=(Region(0.0, 0.0, 0.5, 1.0), Region(0.25, 0.5, 1.0, 1.0)),
    placement=Placement(((80, 100), (110, 112)), ((0, 5), (15, 20)), 20.0, (SECOND,)),
    varies=(Interval(7.0, 7.5),),
)
VIDEO = ArrayVideo(np.zeros((200, 8, 8, 3), dtype=np.uint8), 20.0)
TASK = VideoTask("t", VIDEO, "Which?", ("a", "b"), "a", (Interval(4.5, 5.5), Interval(7.0, 7.5)), FULL)


@pytest.mark.parametrize("given", [EvidenceRequirements(), EvidenceRequirements(varies=()), FULL])
def test_json_gives_the_same_back(given: EvidenceRequirements) -> None:
    assert EvidenceRequirements.from_dict(json.loads(json.dumps(given.to_dict()))) == given


def test_defaults_take_no_room() -> None:
    assert EvidenceRequirements().to_dict() == {}


@pytest.mark.parametrize("name", ["order-tiny", "text-tiny", "control-tiny", "twohop-tiny"])
def test_a_record_keeps_the_requirements_of_a_task(name: str) -> None:
    task = get_task(f"{name}/test/0")
    facts = TaskFacts.from_json(json.loads(json.dumps(TaskFacts.of(task).to_json())))
    assert facts.requirements == task.requirements
    assert facts.with_video(task.video) == task
    assert facts.requirements.placement is not None


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (7, "requirements must be an object, got 7"),
        ({"needed_fps": 1}, "requirements: unknown key 'needed_fps'; valid: min_fps, min_rows, regions, placement"),
        ({"min_fps": True}, "min_fps must be a number > 0, got True"),
        ({"min_fps": float("inf")}, "min_fps must be a number > 0, got inf"),
        ({"min_rows": -1}, "min_rows must be a number >= 0, got -1"),
        ({"min_rows": "many"}, "min_rows must be a number >= 0, got 'many'"),
        ({"regions": [[0, 0, 1]]}, r"regions must hold \[left, top, right, bottom\], got \[0, 0, 1\]"),
        ({"regions": [[0, 0, 1.5, 1]]}, "regions must lie in the picture"),
        ({"regions": {"a": 1}}, "regions must be a list"),
        ({"varies": [[2, 1]]}, "an interval needs end > start"),
        ({"varies": [["1", 2]]}, r"varies must hold \[start, end\]"),
        ({"placement": {"starts": [[0, 5]]}}, "a placement needs 'needs', 'fps'"),
        (
            {"placement": {"starts": [[0, 5]], "needs": [[0, 1]], "fps": 10, "x": 1}},
            "placement: unknown key 'x'; valid",
        ),
        ({"placement": {"starts": [[5, 5]], "needs": [[0, 1]], "fps": 10}}, "placement.starts must hold ranges of fra"),
        ({"placement": {"starts": [], "needs": [[0, 1]], "fps": 10}}, "placement.starts must hold ranges of frames"),
        ({"placement": {"starts": [[0, 1e30]], "needs": [[0, 1]], "fps": 10}}, "placement.starts must hold ranges of"),
        ({"placement": {"starts": [[0, 5]], "needs": [[0, 1]], "fps": 0}}, "placement.fps must be a number > 0, got 0"),
    ],
)
def test_other_values_are_refused_by_name(given: Any, reason: str) -> None:
    with pytest.raises(InvalidSetting, match=reason):
        EvidenceRequirements.from_dict(given)


def test_requirements_are_those_of_the_evidence() -> None:
    with pytest.raises(TaskError, match="task 't': 2 regions for 1 evidence intervals"):
        replace(TASK, evidence=(Interval(4.5, 5.5),))
    with pytest.raises(TaskError, match="task 't': a placement of 2 events for 3 evidence intervals"):
        replace(TASK, evidence=(*(TASK.evidence or ()), Interval(9, 9.5)), requirements=replace(FULL, regions=()))
    assert replace(TASK, evidence=None).requirements == FULL
    one = replace(FULL, placement=SECOND, regions=())
    assert replace(TASK, evidence=(), requirements=one).varying == (Interval(7.0, 7.5),)


def test_frames_vary_in_the_evidence_unless_the_task_says_where() -> None:
    assert TASK.varying == (Interval(7.0, 7.5),)
    assert replace(TASK, requirements=EvidenceRequirements()).varying == TASK.evidence
    assert replace(TASK, requirements=EvidenceRequirements(varies=())).varying == ()
    assert VideoTask("t", VIDEO, "Which?").varying == ()
