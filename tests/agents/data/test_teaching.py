"""Teachers that go on from wrong roll-outs."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from vzgym.agents.data.collector import Collector
from vzgym.agents.data.dataset import collect, load_trajectories
from vzgym.agents.data.phrases import compose
from vzgym.agents.data.settings import CollectSettings
from vzgym.agents.data.teaching import HINT
from vzgym.core import Answer, Zoom
from vzgym.core.errors import InvalidSetting
from vzgym.episode import Message
from vzgym.episode.runs import read_records
from vzgym.evaluation.replay import replay
from vzgym.protocols import CompactTags
from vzgym.tasks import load_tasks

TASKS = load_tasks("needle-micro/train")
BACK = "The previous tool call was incorrect because it showed another scene."


def settings(**changes: Any) -> CollectSettings:
    usual = {"tasks": "needle-micro/train", "episodes": 6, "samples": 2, "mix": "taught=1", "policy": "mine"}
    return CollectSettings(**{**usual, "protocol": "compact_tags", **changes})


def place(task: Any) -> float:
    """Where its flash begins, rounded down to the grid of a second."""
    return float(int(task.evidence[0].start))


class Speaker(ABC):
    """Knows the tasks it plays (a `TextPolicy`)."""

    protocol = "compact_tags"
    batch_size = 4

    def __init__(self) -> None:
        self.tasks: list[Any] = []
        self.told: list[str] = []
        self.costs: list[dict[str, float]] = []

    def find(self, dialogue: Sequence[Message]) -> Any:
        # Scenes, and so pictures, tell tasks apart.
        first = dialogue[0].images[0].clip.pixels
        return next(
            task for task in TASK_LIST if (task.video.read(dialogue[0].images[0].clip.times).pixels == first).all()
        )

    def reset(self, seeds: Sequence[int]) -> None:
        self.seeds = list(seeds)

    def respond(self, dialogues: Sequence[Sequence[Message]]) -> list[str]:
        self.told += [dialogue[-1].text for dialogue in dialogues]
        self.costs = [{"requests": 1} for _ in dialogues]
        return [
            self.say(self.find(dialogue), sum(message.role == "assistant" for message in dialogue), dialogue)
            for dialogue in dialogues
        ]

    @abstractmethod
    def say(self, task: Any, turn: int, dialogue: Sequence[Message]) -> str:
        """The turn's text."""


TASK_LIST = [TASKS[index] for index in range(6)]


class Wrong(Speaker):
    """Zooms into the wrong half of the video, as often as it is asked to, and answers wrong."""

    def __init__(self, zooms: int = 1) -> None:
        super().__init__()
        self.zooms = zooms

    def say(self, task: Any, turn: int, dialogue: Sequence[Message]) -> str:
        if turn < self.zooms:
            start = (place(task) + 40.0 + 7 * turn) % 90.0
            return compose(CompactTags(), Zoom(start, start + 6, 1.0), "here")
        other = next(option for option in task.options if option != task.answer)
        return compose(CompactTags(), Answer(other), "seen")


class Teacher(Speaker):
    """Looks where the flash is, then answers right."""

    def __init__(self, thought: str = BACK, zoom: bool = True) -> None:
        super().__init__()
        self.thought, self.zoom = thought, zoom

    def say(self, task: Any, turn: int, dialogue: Sequence[Message]) -> str:
        if HINT in dialogue[-1].text and self.zoom:
            start = place(task)
            return compose(CompactTags(), Zoom(start, start + 3, 2.0), self.thought)
        return compose(CompactTags(), Answer(task.answer), self.thought if turn == 1 else "seen")


def play(policy: Speaker, teacher: Speaker, **changes: Any) -> list[Any]:
    return list(Collector(settings(**changes), policy, teacher).play(range(6)))


def test_a_wrong_rollout_is_continued_and_judged_again() -> None:
    policy, teacher = Wrong(), Teacher()
    played = play(policy, teacher)
    assert [(item.index, item.sample) for item in played] == [(i, s) for i in range(6) for s in range(2)]
    assert {(item.kind, item.rejected, item.reflects) for item in played} == {("taught", "", True)}
    for item in played:
        first, second, last = item.record.turns
        assert isinstance(first.action, Zoom)
        assert BACK in second.text
        assert item.record.grade.is_correct
        assert isinstance(last.action, Answer)
        # The wrong answer is gone, and the hint was never there.
        assert HINT.strip() not in "".join(message.text for message in item.record.messages)
        # Two requests of the wrong roll-out, two of the teacher.
        assert item.record.info.costs == {"requests": 4}
    # The teacher alone is told.
    assert sum(HINT in text for text in teacher.told) == 12
    assert not any(HINT in text for text in policy.told)


def test_a_policy_may_teach_itself() -> None:
    class Itself(Teacher):
        def say(self, task: Any, turn: int, dialogue: Sequence[Message]) -> str:
            untold = turn < 2 and HINT not in dialogue[-1].text
            return Wrong.say(Wrong(), task, turn, dialogue) if untold else super().say(task, turn, dialogue)

    played = list(Collector(settings(), Itself()).play(range(2)))
    assert {(item.kind, item.rejected) for item in played} == {("taught", "")}


@pytest.mark.parametrize(
    ("teacher", "rejected"),
    [
        (Teacher(thought="I look here instead."), "reflection"),
        (Teacher(zoom=False), "reflection"),
        (Wrong(zooms=2), "correct"),
    ],
    ids=["no word about it", "no better zoom", "still wrong"],
)
def test_what_is_no_reflection_is_dropped(teacher: Speaker, rejected: str) -> None:
    filters = ("correct", "well_formed", "reflection")
    assert {item.rejected for item in play(Wrong(), teacher, filters=filters)} == {rejected}


def test_a_zoom_is_left_to_the_teacher() -> None:
    played = play(Wrong(zooms=2), Teacher())
    assert all(item.record.zooms == 2 and not item.rejected for item in played)


def test_right_rollouts_and_those_without_a_zoom_stay_as_they_are() -> None:
    teacher = Teacher()
    right = play(Teacher(zoom=False), teacher, filters=("correct",))
    assert {(item.kind, item.rejected) for item in right} == {("policy", "")}
    blind = play(Wrong(zooms=0), teacher)
    assert {(item.kind, item.rejected) for item in blind} == {("policy", "correct")}
    assert not teacher.told


def test_the_folder_says_what_was_spent_and_replays(tmp_path: Path) -> None:
    collect(settings(mix="teacher", episodes=6), tmp_path / "data", policy=Wrong(), teacher=Teacher())
    rows = load_trajectories(tmp_path / "data", in_blocks=False)
    assert set(rows["kind"]) == {"taught"}
    statistics = json.loads((tmp_path / "data" / "statistics.json").read_text())
    taught = statistics["played"]["taught"]
    # Wrong roll-outs that nobody continued were paid for, too.
    assert statistics["costs"]["requests"] == 4 * taught + 2 * statistics["played"]["policy"]
    for record in read_records(tmp_path / "data"):
        assert replay(record).differences == []


@pytest.mark.parametrize(
    ("changes", "teacher", "words"),
    [
        ({}, "oracle", "a teacher must be a text policy"),
        ({"protocol": {"name": "compact_tags", "think": "none"}}, None, "has no thoughts"),
        ({"protocol": "tags"}, None, "give both the same protocol"),
    ],
)
def test_teachers_that_cannot_teach_are_named(changes: Any, teacher: Any, words: str) -> None:
    with pytest.raises(InvalidSetting, match=words):
        Collector(settings(**changes, teacher=teacher or "x"), Wrong(), None if teacher else Teacher())


def test_a_teacher_needs_something_to_teach() -> None:
    with pytest.raises(InvalidSetting, match="--mix teacher"):
        settings(mix="exemplar=1", teacher="x")
    assert settings(mix="", teacher="x").shares == {"policy": 0.6, "taught": 0.4}
