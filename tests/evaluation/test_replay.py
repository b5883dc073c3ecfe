"""Saved episodes played again: they come out the same, and whatever was changed in them is found."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from vzgym.core.actions import Answer, Zoom
from vzgym.core.errors import RecordError, UnknownName, VideoError
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation import evaluate, read_records
from vzgym.evaluation.replay import replay
from vzgym.rewards import RewardContext
from vzgym.tasks import VideoTask


class Clumsy:
    """Zooms well, then backwards, then answers; so there are an executed and a refused round."""

    def reset(self, seed: int) -> None:
        self.actions = [Zoom(10.0, 12.0, 4.0), Zoom(5.0, 1.0, 4.0), Answer("A")]

    def act(self, observation: Any, info: dict[str, Any]) -> Any:
        return self.actions.pop(0)


class Speaking:
    """The same in words, one of which is no action."""

    protocol: ClassVar[Any] = {"name": "tags", "think": "optional"}

    def reset(self, seeds: Any) -> None:
        self.round = 0

    def respond(self, dialogues: Any) -> list[str]:
        self.round += 1
        texts = {1: '<video_zoom>{"segment": [10, 12], "fps": 4}</video_zoom>', 2: "Hm, où est-ce ?"}
        return [texts.get(self.round, "<think>so</think><answer>A</answer>") for _ in dialogues]


def saved(policy: Any, tasks: Any, out: Path, **settings: Any) -> list[EpisodeRecord]:
    """A run's records as they come back from disk."""
    evaluate(policy, tasks, out=out, **settings)
    return list(read_records(out))


@pytest.mark.parametrize("policy", ["blind", "random", "uniform", "oracle", Clumsy(), Speaking()])
def test_a_saved_run_comes_out_the_same(policy: Any, tmp_path: Path) -> None:
    for record in saved(policy, "tiny", tmp_path, episodes=3):
        found = replay(record)
        assert found.differences == []
        assert found.record.overview.pixels is not None
        assert found.record.grade == record.grade
        assert found.record.rewards == record.rewards


@pytest.mark.parametrize("policy", ["overview", "oracle", Speaking()])
def test_so_do_files(policy: Any, written: Path, tmp_path: Path) -> None:
    records = saved(policy, written, tmp_path)
    assert len(records) == 3
    assert [replay(record).differences for record in records] == [[], [], []]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One record with an executed, a refused and an answering round."""
    folder = tmp_path_factory.mktemp("clumsy")
    evaluate(Clumsy(), "needle-tiny", episodes=1, out=folder)
    return (folder / "records.jsonl").read_text()


def put(data: Any, path: str, value: Any) -> None:
    """Set `data["a"][0]["b"]` by the path "a 0 b"."""
    *way, last = path.split()
    for key in way:
        data = data[int(key) if isinstance(data, list) else key]
    data[int(last) if isinstance(data, list) else last] = value


HASH = "0" * 32


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("overview hashes 3", HASH, "the overview's frames differ"),
        ("overview times 3", 12.25, "the overview's times differ"),
        ("turns 0 clips 0 hashes 0", HASH, "round 1: the clip's frames differ"),
        ("turns 0 clips 0 times 0", 10.1, "round 1: the clip's times differ"),
        ("turns 0 clips", [], "round 1: 1 clip, was no clips"),
        ("turns 0 action zoom", [20.0, 22.0, 4.0], "round 1: the clip's frames differ"),
        ("turns 0 action zoom", [10.0, 99.0, 4.0], "round 1: outside, was executed"),
        ("turns 1 refusal", "outside", "round 2: reversed, was outside"),
        ("turns 1 action zoom", [1.0, 2.0, 4.0], "round 2: executed, was reversed"),
        ("grade status", "correct", "the grade is wrong"),
        ("grade status", "unscored", "the grade is wrong"),
        ("grade", None, "the grade is wrong"),
        ("grade read", "beige", "the grade is wrong"),
        ("end", "out_of_rounds", "the end is answered, was out_of_rounds"),
        ("rewards 2 total", 1.0, "the rewards differ"),
        ("rewards 0 terms accuracy value", 1.0, "the rewards differ"),
        ("rewards", [], "the rewards differ"),
        ("messages 0 text", "Which colour?", "the dialogue differs"),
        ("messages 2 role", "user", "the dialogue differs"),
        ("messages 4 text", "", "the dialogue differs"),
        ("messages", [], "the dialogue differs"),
        ("task question", "Which colour?", "the task's question is"),
        ("task options", ["a", "b", "c", "d"], "the task's options is"),
        ("task duration", 63.0, "the task's duration is 64.0, was 63.0"),
        ("task evidence", [[0.0, 1.0]], "the task's evidence is"),
        ("budget max_zooms", 1, "round 3: the episode had ended before"),
        ("turns 2 action answer", "B", "the grade is"),
        ("turns", [], "the end is None, was answered"),
        ("info wording", {"name": "tags"}, "the dialogue differs"),
        ("info reward", "accuracy", "the rewards differ"),
    ],
)
def test_what_was_changed_is_found(line: str, path: str, value: Any, found: str) -> None:
    data = json.loads(line)
    assert replay(EpisodeRecord.from_json(copy.deepcopy(data))).differences == []
    put(data, path, value)
    differences = replay(EpisodeRecord.from_json(data)).differences
    assert any(difference.startswith(found) for difference in differences), differences


def test_a_clip_where_there_can_be_none_is_found(line: str) -> None:
    data = json.loads(line)
    data["turns"][1]["clips"] = data["turns"][0]["clips"]  # of the zoom that was refused
    assert "round 2: no clips, was 1 clip" in replay(EpisodeRecord.from_json(data)).differences


def test_a_turn_that_never_failed_is_found(line: str) -> None:
    data = json.loads(line)
    data["turns"][0] |= {"outcome": "failed", "clips": []}
    found = replay(EpisodeRecord.from_json(data)).differences
    assert "round 1: a video error, but the episode went on" in found
    assert any(difference.startswith("the grade is unscored, was wrong") for difference in found)


def test_an_episode_that_failed_is_compared_up_to_there(make_task: Callable[..., VideoTask], tmp_path: Path) -> None:
    class Eager(Clumsy):
        def reset(self, seed: int) -> None:
            self.actions = [Zoom(0.0, 1.0, 4.0), Zoom(0.0, 4.0, 4.0), Answer("A")]

    record = saved(Eager(), make_task(most=5), tmp_path)[0]
    assert record.turns[-1].outcome == "failed"
    # Whether the video has recovered or not.
    assert replay(record, task=make_task(most=5)).differences == []
    assert replay(record, task=make_task()).differences == []
    data = json.loads(record.to_line())
    data["messages"][1]["text"] = "zoom"
    assert replay(EpisodeRecord.from_json(data), task=make_task()).differences == ["the dialogue differs"]


def test_a_video_that_has_failed_since_is_a_difference(make_task: Callable[..., VideoTask], tmp_path: Path) -> None:
    class Eager(Clumsy):
        def reset(self, seed: int) -> None:
            self.actions = [Zoom(0.0, 4.0, 4.0), Answer("A")]

    record = saved(Eager(), make_task(), tmp_path)[0]
    found = replay(record, task=make_task(most=5)).differences
    assert "round 1: failed, was executed" in found
    assert "round 2: the episode had ended before (video_error)" in found


def test_tasks_in_memory_must_be_given(make_task: Callable[..., VideoTask], tmp_path: Path) -> None:
    record = saved("blind", make_task(), tmp_path)[0]
    with pytest.raises(RecordError, match="its video lay in memory; pass the task itself"):
        replay(record)
    assert replay(record, task=make_task()).differences == []
    other = replay(record, task=make_task("other", answer="that")).differences
    assert "the task's id is 'other', was 'hand-made'" in other
    assert "the task's answer is 'that', was 'this'" in other


def test_a_reward_of_ones_own_must_be_given_again(tmp_path: Path) -> None:
    class Local:
        """Lives in a function: no name leads to it."""

        name: ClassVar[str] = "local"
        needs: ClassVar[frozenset[Any]] = frozenset()

        def score(self, record: EpisodeRecord, context: RewardContext) -> float:
            return float(len(record.turns))

    record = saved("oracle", "tiny", tmp_path, episodes=1, reward=[Local()])[0]
    assert record.info.reward is None
    assert replay(record).record.rewards is None
    assert replay(record, reward=[Local()]).differences == []
    assert replay(record, reward=[(Local(), 0.5)]).differences == ["the rewards differ"]


def test_a_file_that_is_gone_is_named(written: Path, tmp_path: Path, make_task: Callable[..., VideoTask]) -> None:
    data = json.loads(saved("blind", written, tmp_path)[0].to_line())
    data["task"]["video"] = str(tmp_path / "gone.mp4")
    with pytest.raises(VideoError, match=r"gone\.mp4"):
        replay(EpisodeRecord.from_json(data))


@pytest.mark.parametrize(
    ("path", "value", "error", "told"),
    [
        ("task video", "procedural:needle-tiny/test/9999", RecordError, "cannot be rebuilt: no task"),
        ("task video", "procedural:nowhere/test/0", RecordError, "cannot be rebuilt: unknown task suite 'nowhere'"),
        ("info wording", {}, RecordError, "lacks its wording"),
        ("info wording", {"name": "runes"}, UnknownName, "unknown text protocol 'runes'; valid: .*tags"),
        ("info reward", "gold", UnknownName, "unknown reward 'gold'"),
    ],
)
def test_what_cannot_be_replayed(line: str, path: str, value: Any, error: type[Exception], told: str) -> None:
    data = json.loads(line)
    put(data, path, value)
    with pytest.raises(error, match=told):
        replay(EpisodeRecord.from_json(data))


def test_facts_that_make_no_task(written: Path, tmp_path: Path) -> None:
    data = json.loads(saved("blind", written, tmp_path)[0].to_line())
    data["task"]["options"] = ["same", "same"]
    with pytest.raises(RecordError, match=r"cannot be rebuilt: .*none of the options"):
        replay(EpisodeRecord.from_json(data))
