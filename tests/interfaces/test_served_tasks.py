"""The tasks that clients may choose from, and the folder with their records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import vzgym
from vzgym.core.errors import FolderInUse, InvalidSetting, TaskError, UnknownName, UntrustedName
from vzgym.episode import Episode
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.runs import read_records
from vzgym.interfaces.records import ServedRun
from vzgym.interfaces.rollouts import TextRollouts
from vzgym.interfaces.tasks import ServedTasks, load_confined
from vzgym.rewards.making import make_reward
from vzgym.tasks import TaskList, load_tasks


@pytest.fixture(scope="module")
def served() -> ServedTasks:
    return ServedTasks([load_tasks("needle-tiny/test"), load_tasks("count-tiny/test[10:20]")], {"max_zooms": 1})


def test_the_first_set_is_the_default_and_is_gone_through_in_order(served: ServedTasks) -> None:
    chosen = [served.choose() for _ in range(2)]
    assert [(item.tasks, item.index, item.task.id) for item in chosen] == [
        ("needle-tiny/test", 0, "needle-tiny/test/0"),
        ("needle-tiny/test", 1, "needle-tiny/test/1"),
    ]
    assert chosen[0].budget.max_zooms == 1
    assert chosen[0].budget.overview_frames == load_tasks("needle-tiny/test").budget.overview_frames


def test_a_task_has_an_index_and_an_id(served: ServedTasks) -> None:
    for name, index in (("needle-tiny/test", 5), ("count-tiny/test[10:20]", 3)):
        by_index = served.choose(name, index)
        by_id = served.choose(name, id=by_index.task.id)
        assert (by_id.index, by_id.task.id) == (index, by_index.task.id)
    assert by_index.task.id == "count-tiny/test/13"


def test_a_seed_draws_the_same_task_again(served: ServedTasks) -> None:
    drawn = [served.choose(seed=seed).index for seed in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 2


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"tasks": "other"}, UnknownName),
        ({"tasks": "/etc/passwd"}, UnknownName),
        ({"tasks": "os:system"}, UnknownName),
        ({"index": 1000}, InvalidSetting),
        ({"index": -1}, InvalidSetting),
        ({"seed": -1}, InvalidSetting),
        ({"index": 0, "seed": 0}, InvalidSetting),
        ({"id": "needle-tiny/train/0"}, UnknownName),
        ({"id": "needle-tiny/test/01"}, UnknownName),
        ({"tasks": "count-tiny/test[10:20]", "id": "count-tiny/test/9"}, UnknownName),
        ({"tasks": "count-tiny/test[10:20]", "index": 10}, InvalidSetting),
    ],
)
def test_nothing_else_can_be_chosen(served: ServedTasks, settings: dict, error: type[Exception]) -> None:
    with pytest.raises(error):
        served.choose(**settings)


def test_sets_have_different_names() -> None:
    with pytest.raises(InvalidSetting, match="two task sets"):
        ServedTasks([load_tasks("needle-tiny/test"), load_tasks("needle-tiny/test")])
    with pytest.raises(InvalidSetting, match="at least one"):
        ServedTasks([])


def test_tasks_in_memory_are_found_by_id() -> None:
    tasks = TaskList([load_tasks("needle-tiny/test")[place] for place in (3, 4)], name="two")
    served = ServedTasks([tasks])
    assert served.choose(id="needle-tiny/test/4").index == 1
    with pytest.raises(UnknownName, match="needle-tiny/test/3"):
        served.choose(id="needle-tiny/test/5")


def test_rows_name_no_code_and_no_video_elsewhere(tmp_path: Path) -> None:
    for code in ("os:system", {"name": "os:system"}):
        with pytest.raises(UntrustedName):
            load_confined(code)
        with pytest.raises(UntrustedName):
            TextRollouts("test").find({"tasks": code, "index": 0})
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"not a video")
    file = tmp_path / "inside" / "tasks.jsonl"
    file.write_text(json.dumps({"id": "a", "video": "../secret.mp4", "question": "What?"}) + "\n")
    with pytest.raises(TaskError, match="outside"):
        load_confined(str(file))
    assert len(load_confined(str(file), root=tmp_path)) == 1
    table = file.with_suffix(".csv")
    table.write_text("video,question\n../secret.mp4,What?\n")
    for options in ({}, {"root": str(tmp_path)}, {"videos": str(tmp_path / "other"), "root": None}):
        with pytest.raises(TaskError, match="outside"):
            load_confined({"name": str(table), **options})
    assert len(load_confined({"name": str(table), "root": "/"}, root=tmp_path)) == 1
    assert load_confined("needle-tiny") is load_confined("needle-tiny")
    assert load_confined("needle-tiny").name == "needle-tiny/test"


def played(served: ServedTasks, index: int) -> EpisodeRecord:
    chosen = served.choose(index=index)
    episode = Episode(chosen.task, chosen.budget)
    episode.step(vzgym.Answer("A"))
    episode.record.rewards = [step.to_json() for step in make_reward("videozoomer").score_all(episode.record)]
    return episode.record


def test_a_server_continues_its_run(served: ServedTasks, tmp_path: Path) -> None:
    def run(**settings: object) -> ServedRun:
        return ServedRun(
            tmp_path / "run", served, interface="mcp", **{"reward": make_reward("videozoomer"), **settings}
        )

    first = run()
    first.add(played(served, 0))
    first.add(played(served, 0), sample=1)
    with pytest.raises(FolderInUse):
        run()
    first.close()
    again = run()
    again.add(played(served, 1))
    again.close()
    records = list(read_records(tmp_path / "run"))
    assert [record.info.index for record in records] == [0, 1, 2]
    assert {record.info.policy for record in records} == {"mcp"}
    assert records[1].info.sample == 1
    assert make_reward(records[0].info.reward) == make_reward("videozoomer")
    with pytest.raises(InvalidSetting, match="holds another run"):
        run(name="another agent")
    with pytest.raises(InvalidSetting, match="holds another run"):
        run(reward=make_reward("accuracy"))
