"""A person's session is a run like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import vzgym
from vzgym.core.actions import Answer, Region, Zoom
from vzgym.core.errors import FolderInUse, InvalidSetting, RecordError
from vzgym.evaluation import read_records
from vzgym.evaluation.comparison import compare_runs
from vzgym.evaluation.play import PlayStopped, play
from vzgym.evaluation.play.session import UNFINISHED
from vzgym.evaluation.replay import replay
from vzgym.evaluation.viewer import write_view
from vzgym.tasks import load_tasks

TASKS = load_tasks("needle-micro", split="test")
ZOOM = Zoom(1.0, 2.0, 3.0)


def start(player: Any, out: Path, **options: Any) -> Any:
    return play(player, TASKS, out, **{"interface": "terminal", "episodes": 2, **options})


def test_a_session_is_a_run(scripted: Any, tmp_path: Path) -> None:
    player = scripted([ZOOM, Answer("A"), Zoom(3.0, 2.0, 1.0), Answer("b")])
    report = start(player, tmp_path / "run")
    assert (report.policy, len(report.episodes), report.privileged) == ("human", 2, False)
    assert player.numbers == [1, 1, 2, 2]
    # The person sees what a policy sees, in the frames' own size.
    first, second = player.views[0], player.views[1]
    assert [len(clip) for clip in second.clips] == [len(first.clips[0]), 3]
    assert first.clips[0].pixels is not None
    assert (first.zooms_left, second.zooms_left, second.frames_left) == (2, 1, TASKS.budget.clip_frames)
    records = list(read_records(tmp_path / "run"))
    assert [record.info.policy for record in records] == ["human", "human"]
    assert all(not replay(record).differences for record in records)
    settings = json.loads((tmp_path / "run" / "run.json").read_text())
    assert settings["options"] == {"interface": "terminal", "feedback": False}
    vzgym.evaluate("oracle", TASKS, episodes=2, out=tmp_path / "oracle")
    assert len(compare_runs([tmp_path / "oracle", tmp_path / "run"]).tasks) == 2
    assert not (tmp_path / "run" / UNFINISHED).exists()
    page = write_view([tmp_path / "run"], tmp_path / "page")
    assert page.is_file()


def test_the_view_holds_neither_answer_nor_evidence(scripted: Any, tmp_path: Path) -> None:
    player = scripted([Answer("A"), Answer("A")])
    start(player, tmp_path / "run")
    names = set(vars(player.views[0]))
    assert names == {
        "question", "options", "duration", "budget", "clips", "turns", "rounds_left", "zooms_left", "zooms_due",
        "frames_left",
    }  # fmt: skip
    assert player.ends == [None, None]


def test_feedback_is_given_on_request_and_recorded(scripted: Any, tmp_path: Path) -> None:
    player = scripted([Answer("A"), Answer("A")])
    start(player, tmp_path / "run", feedback=True)
    assert [record.task.answer for record in player.ends] == [TASKS[0].answer, TASKS[1].answer]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["options"]["feedback"] is True
    for changed in ({"feedback": False}, {"feedback": True, "interface": "browser"}):
        with pytest.raises(InvalidSetting, match="holds another run"):
            start(scripted([]), tmp_path / "run", episodes=3, **changed)


def test_an_interrupted_episode_goes_on_where_it_stopped(scripted: Any, tmp_path: Path) -> None:
    region = Zoom(1.0, 2.0, 3.0, Region(0.0, 0.0, 0.5, 0.5))
    first = scripted([Answer("A"), ZOOM])
    with pytest.raises(PlayStopped):
        start(first, tmp_path / "run")
    assert len(list(read_records(tmp_path / "run"))) == 1
    # The zoom is not given back: it is executed again, without asking.
    second = scripted([Answer("B")])
    report = start(second, tmp_path / "run")
    assert second.numbers == [2]
    assert len(second.views[0].turns) == 1
    assert [item.zooms for item in report.episodes] == [0, 1]
    whole = scripted([Answer("A"), ZOOM, Answer("B")])
    start(whole, tmp_path / "whole")
    for one, other in zip(read_records(tmp_path / "run"), read_records(tmp_path / "whole"), strict=True):
        assert [turn.action for turn in one.turns] == [turn.action for turn in other.turns]
        assert [clip.hashes for clip in one.clips] == [clip.hashes for clip in other.clips]
    # A refused zoom, and one with a region, are kept too.
    with pytest.raises(PlayStopped):
        start(scripted([region]), tmp_path / "spatial", budget={"spatial": True})
    again = scripted([Answer("A"), Answer("A")])
    start(again, tmp_path / "spatial", budget={"spatial": True})
    assert again.views[0].turns[0].action == region


def test_actions_for_another_budget_or_task_are_not_executed(scripted: Any, tmp_path: Path) -> None:
    with pytest.raises(PlayStopped):
        start(scripted([ZOOM]), tmp_path / "run")
    player = scripted([Answer("A"), Answer("A")])
    start(player, tmp_path / "run", budget={"max_zooms": 1})
    assert player.views[0].turns == ()
    with pytest.raises(PlayStopped):
        start(scripted([ZOOM]), tmp_path / "other")
    (tmp_path / "other" / UNFINISHED).write_text('{"actions": 3}')
    with pytest.raises(RecordError, match=rf"{UNFINISHED}: not the actions of an unfinished episode; delete the file"):
        start(scripted([Answer("A")]), tmp_path / "other")
    data = {"task": TASKS[0].id, "budget": TASKS.budget.to_dict(), "actions": [{"zoom": [1]}]}
    (tmp_path / "other" / UNFINISHED).write_text(json.dumps(data))
    with pytest.raises(RecordError, match="not the actions of an unfinished episode"):
        start(scripted([Answer("A")]), tmp_path / "other")


def test_runs_of_another_suite_and_second_players_are_refused(scripted: Any, tmp_path: Path) -> None:
    start(scripted([Answer("A"), Answer("A")]), tmp_path / "run")
    with pytest.raises(InvalidSetting, match="holds another run: its tasks is 'needle-micro/test', not 'control-"):
        play(scripted([]), load_tasks("control-micro", split="test"), tmp_path / "run", interface="terminal")

    class Intruder(scripted):  # type: ignore[misc]
        def act(self, view: Any, number: int) -> Any:
            with pytest.raises(FolderInUse):
                start(scripted([]), tmp_path / "new")
            raise PlayStopped

    with pytest.raises(PlayStopped):
        start(Intruder([]), tmp_path / "new")


def test_a_question_whose_rounds_run_out_is_over(scripted: Any, tmp_path: Path) -> None:
    player = scripted([Zoom(5.0, 4.0, 1.0)] * 3 + [Answer("A")])
    report = start(player, tmp_path / "run")
    assert player.numbers == [1, 1, 1, 2]
    assert report.episodes[0].refused == 3
    assert report.episodes[0].correct is False
