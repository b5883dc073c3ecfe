"""Roll-outs in text, as trainers' interfaces share them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import vzgym
from vzgym.core.errors import EpisodeEnded, InvalidSetting, VideoError
from vzgym.episode.record import EpisodeRecord
from vzgym.interfaces.rollouts import TextRollout, TextRollouts, shared_rollouts
from vzgym.video.file import FileVideo

ROW = {"tasks": "tiny/train", "index": 0}
LETTER = vzgym.load_tasks("tiny/train")[0].letter
ZOOM = '<think>Look.</think><video_zoom>{"segment": [4.0, 6.0], "fps": 4}</video_zoom>'
ANSWER = f"<think>So.</think><answer>{LETTER}</answer>"


def start(**settings: Any) -> TextRollout:
    return shared_rollouts("test", settings).start(ROW)


def test_measures_have_the_same_names_and_their_terms_are_the_reward() -> None:
    rollouts = shared_rollouts("test", {"reward": {"accuracy": 0.9, "format": 0.1, "frame_cost": 0.01}})
    played = []
    for turns in ([ZOOM, ANSWER], [ANSWER], ["?", "?", "?", "?"], []):
        rollout = rollouts.start(ROW)
        for turn in turns:
            rollout.step(turn)
        rollout.finish()
        played.append(rollout)
    assert {tuple(rollout.measures) for rollout in played} == {rollouts.measure_names}
    for rollout in played:
        terms = [value for name, value in rollout.measures.items() if name.startswith("terms/")]
        assert len(terms) == 3
        assert sum(terms) == pytest.approx(rollout.total)
        assert rollout.total == pytest.approx(sum(entry["total"] for entry in rollout.record.rewards))
    assert [rollout.measures["correct"] for rollout in played] == [1.0, 1.0, 0.0, 0.0]
    assert [rollout.measures["cut_short"] for rollout in played] == [0.0, 0.0, 0.0, 1.0]


def test_a_turn_gives_the_new_messages_alone() -> None:
    rollout = start()
    before = list(rollout.episode.messages)
    replies = rollout.step(ZOOM)
    assert [message.role for message in replies] == ["tool"]
    assert rollout.episode.messages == [*before, rollout.episode.messages[-2], *replies]
    assert rollout.step(ANSWER) == []
    with pytest.raises(EpisodeEnded):
        rollout.step(ANSWER)


def test_a_turn_that_was_cut_off_holds_no_action() -> None:
    rollout = start()
    assert "token limit" in rollout.step(ANSWER, truncated=True)[0].text
    assert not rollout.ended
    assert not rollout.record.turns[0].well_formed


def test_an_unscored_rollout_is_not_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> Any:
        raise VideoError("torn", path="a.mp4")

    failed, aborted = start(), start()
    monkeypatch.setattr(failed.episode, "_look", fail)
    failed.step(ZOOM)
    failed.finish()
    aborted.step(ZOOM)
    aborted.abort()
    for rollout in (failed, aborted):
        assert rollout.total is None
        assert (rollout.measures["unscored"], rollout.measures["correct"]) == (1.0, None)
        assert rollout.measures["terms/accuracy"] is None


def test_records_of_many_threads(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "records.jsonl"

    def play(number: int) -> None:
        rollout = start(records=str(file))
        rollout.step(ZOOM)
        if number % 4:
            rollout.step(ANSWER)
        rollout.finish()
        rollout.finish()  # once is enough

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(play, range(16)))
    start(records=str(file)).abort()
    records = [EpisodeRecord.from_line(line) for line in file.read_text().splitlines()]
    assert sorted(str(record.end) for record in records) == ["answered"] * 12 + ["out_of_rounds"] * 4
    assert len({record.clips[1].hashes for record in records}) == 1
    assert {record.info.interface for record in records} == {"test"}


def test_roll_outs_of_a_task_share_its_video_until_the_last_has_ended(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    close = FileVideo.close

    def note(video: FileVideo) -> None:
        closed.append(video.path)
        close(video)

    monkeypatch.setattr(FileVideo, "close", note)
    rollouts = TextRollouts("test")
    first, second, third, other = (rollouts.start({"tasks": str(written), "index": index}) for index in (0, 0, 0, 1))
    first.step(ZOOM)
    first.finish()
    second.step(ZOOM)
    # What the first has seen is not decoded again.
    assert [clip.decoded for clip in second.record.clips] == [0, 0]
    del third  # dropped without an end
    assert closed == []
    second.abort()
    assert closed == [second.episode.task.video.uri]
    other.finish()
    assert closed == [second.episode.task.video.uri, other.episode.task.video.uri]


def test_settings_are_made_once() -> None:
    assert shared_rollouts("test", {"reward": "videozoomer"}) is shared_rollouts("test", {"reward": "videozoomer"})
    assert shared_rollouts("test") is not shared_rollouts("other")
    with pytest.raises(InvalidSetting, match="unknown settings: reword; valid: reward"):
        shared_rollouts("test", {"reword": 1})


def test_a_task_set_stands_for_its_name() -> None:
    tasks = vzgym.load_tasks("tiny/train")
    rollouts = TextRollouts("test", budget={"max_zooms": 1})
    assert rollouts.find({"tasks": tasks, "index": 2})[0].id == tasks[2].id
    assert rollouts.find({"tasks": [tasks[5]], "index": 0})[0].id == tasks[5].id
    assert rollouts.find(ROW)[1].max_zooms == 1
