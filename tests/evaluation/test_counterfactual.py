"""Answering again from chosen clips: what a reader and a policy get to see, live and from a saved run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vzgym.baselines.readers import Reading
from vzgym.core import Answer, Zoom
from vzgym.core.errors import InvalidSetting, RecordError
from vzgym.episode import EpisodeRecord
from vzgym.episode.dialogue import Message
from vzgym.evaluation import PolicyAnswerer, ReaderAnswerer, credit, evaluate, make_answerer

TASK = "needle-tiny/test"


class TwoLooks:
    """Zooms beside the evidence, then at it, then answers what the frames show."""

    name = "two-looks"

    def reveal(self, task: Any) -> None:
        self.task = task

    def reset(self, seed: int) -> None:
        self.turn = 0

    def act(self, observation: Any, info: dict[str, Any]) -> Any:
        self.turn += 1
        (span,) = self.task.evidence
        if self.turn == 1:
            return Zoom(span.end + 0.2, span.end + 1.2, 2.0)
        if self.turn == 2:
            return Zoom(span.start, span.end, 4.0)
        return Answer(self.task.answer)


def two_looks() -> EpisodeRecord:
    records: list[EpisodeRecord] = []
    evaluate(TwoLooks(), TASK.partition("/")[0], episodes=1, on_episode=records.append)
    return records[0]


def saved(record: EpisodeRecord) -> EpisodeRecord:
    return EpisodeRecord.from_line(record.to_line())


class Eye:
    """A reader that keeps what it was shown."""

    def read(
        self, frames: NDArray[np.uint8], times: NDArray[np.float64], question: str, options: Sequence[str]
    ) -> Reading:
        self.frames, self.times, self.question = frames, times, question
        return Reading(options[0], 1.0)


@pytest.mark.parametrize("load", [False, True])
@pytest.mark.parametrize("chosen", [[0], [2], [0, 1, 2], [2, 1], [1, 1]])
def test_a_reader_sees_the_chosen_clips_and_nothing_else(load: bool, chosen: list[int]) -> None:
    live = two_looks()
    eye = Eye()
    said = ReaderAnswerer(eye).answer_from(saved(live) if load else live, chosen)
    assert said == live.task.options[0]
    clips = [live.clips[place] for place in sorted(set(chosen))]
    np.testing.assert_array_equal(eye.times, np.concatenate([clip.times for clip in clips]))
    np.testing.assert_array_equal(
        eye.frames, np.concatenate([clip.pixels for clip in clips if clip.pixels is not None])
    )
    assert eye.question == live.task.question


def test_the_reader_s_credit_finds_the_clip_that_counts() -> None:
    live = two_looks()
    found = credit(live, ReaderAnswerer())
    assert (found.everything, found.overview) == (True, False)
    assert found.without == (True, False)
    assert found.alone == (False, True)
    assert found.useful == (False, True)
    assert credit(saved(live), make_answerer("reader")) == found


def test_no_clip_no_word() -> None:
    assert ReaderAnswerer(Eye()).answer_from(two_looks(), []) is None


@pytest.mark.parametrize("answerer", [ReaderAnswerer(), PolicyAnswerer("overview")])
def test_a_clip_that_is_not_there(answerer: Any) -> None:
    with pytest.raises(InvalidSetting, match="has clips 0 to 2, none at 3"):
        answerer.answer_from(two_looks(), [0, 3])


def test_frames_that_changed_are_noticed() -> None:
    record = saved(two_looks())
    data = record.to_json()
    data["turns"][1]["clips"][0]["hashes"][0] = "0" * 32
    with pytest.raises(RecordError, match="clip 2 no longer has the frames of the record"):
        ReaderAnswerer().answer_from(EpisodeRecord.from_json(data), [0])


class Watcher:
    """A policy that keeps its last observation."""

    name = "watcher"

    def prepare(self, budget: Any) -> Any:
        self.budget = budget
        return budget

    def reset(self, seed: int) -> None:
        self.seed = seed

    def act(self, observation: Any, info: dict[str, Any]) -> Any:
        self.seen, self.info = observation, info
        return Answer("A")


@pytest.mark.parametrize("load", [False, True])
@pytest.mark.parametrize("chosen", [(0,), (1,), (0, 2), (0, 1, 2), ()])
def test_a_policy_sees_an_episode_with_those_zooms_only(load: bool, chosen: tuple[int, ...]) -> None:
    live = two_looks()
    record = saved(live) if load else live
    watcher = Watcher()
    assert PolicyAnswerer(watcher).answer_from(record, chosen) == "A"
    times = [float(time) for place in chosen for time in live.clips[place].times]
    count = int(watcher.seen["num_frames"])
    assert watcher.seen["frame_times"][:count].tolist() == times
    # The last round, in which only an answer is possible.
    assert watcher.seen["budget_left"].tolist() == [0, 0, 1]
    assert "last round" in watcher.seen["dialogue"]
    assert watcher.seen["dialogue"].count("assistant: zoom") == len([place for place in chosen if place])
    assert watcher.budget == live.budget
    assert watcher.info["question"] == live.task.question
    assert set(watcher.info) == {"task_id", "question", "options", "duration"}


def test_the_same_choice_has_the_same_seed() -> None:
    record, watcher = two_looks(), Watcher()
    answerer = PolicyAnswerer(watcher)
    seeds = []
    for chosen in ([0], [0, 1], [1, 0], [0]):
        answerer.answer_from(record, chosen)
        seeds.append(watcher.seed)
    assert seeds[0] == seeds[3] != seeds[1] == seeds[2]


class Speaker:
    """Zooms twice, thinking aloud of what it saw; answers at last."""

    name = "speaker"
    batch_size = 2

    def reset(self, seeds: Sequence[int]) -> None:
        self.seeds = list(seeds)

    def respond(self, dialogues: Sequence[Sequence[Message]]) -> list[str]:
        self.dialogues = dialogues
        return [self._turn(dialogue) for dialogue in dialogues]

    def _turn(self, dialogue: Sequence[Message]) -> str:
        said = sum(message.role == "assistant" for message in dialogue)
        if "last round" in dialogue[-1].text or said == 2:
            return "<think>so</think><answer>B</answer>"
        at = 3.0 + 5.0 * said
        return (
            f'<think>I saw the secret at {at}</think><video_zoom>{{"segment": [{at}, {at + 1}], "fps": 2}}</video_zoom>'
        )


def test_a_speaking_policy_reads_no_thought_of_its_own() -> None:
    records: list[EpisodeRecord] = []
    speaker = Speaker()
    evaluate(speaker, "needle-tiny", episodes=1, on_episode=records.append)
    live = records[0]
    assert any("secret" in message.text for message in live.messages)
    for record in (live, saved(live)):
        assert PolicyAnswerer(speaker).answer_from(record, [0, 2]) == "B"
        (dialogue,) = speaker.dialogues
        text = " ".join(message.text for message in dialogue)
        assert "secret" not in text
        assert [len(message.images) for message in dialogue if message.images] == [16, 2]
        assert [image.clip.times[image.index] for image in dialogue[-1].images] == list(live.clips[2].times)
        assert "last round" in dialogue[-1].text
    assert PolicyAnswerer(speaker).answer_from(live, [2]) == "B"
    assert sum(len(message.images) for message in speaker.dialogues[0]) == 2


def test_who_does_anything_but_answer_has_not_answered() -> None:
    class Stubborn(Watcher):
        def act(self, observation: Any, info: dict[str, Any]) -> Any:
            return Zoom(0.0, 1.0, 1.0)

    assert PolicyAnswerer(Stubborn()).answer_from(two_looks(), [0]) is None


def test_the_oracle_may_be_asked_again() -> None:
    # It is told the task; asked about the right clip it reads the right answer, about the wrong one it guesses.
    record = two_looks()
    assert PolicyAnswerer("oracle").answer_from(record, [2]) == record.task.answer


def test_no_policy_no_answerer() -> None:
    with pytest.raises(InvalidSetting, match="is no policy"):
        PolicyAnswerer(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="got the class Watcher: call it"):
        PolicyAnswerer(Watcher)  # type: ignore[arg-type]


class TurnsOfAllKinds(Speaker):
    """Two zooms in one turn, then a call of the tool `frame`, then an answer; and the answer alone in a last round."""

    def _turn(self, dialogue: Sequence[Message]) -> str:
        said = sum(message.role == "assistant" for message in dialogue)
        if "last round" in dialogue[-1].text or said == 2:
            return "<think>so</think><answer>B</answer>"
        if said == 0:
            zoom = '<video_zoom>{"segment": [%d, %d], "fps": 2}</video_zoom>'
            return f"<think>secret</think>{zoom % (3, 4)}{zoom % (8, 9)}"
        return '<think>secret</think><tool_call>{"name": "frame", "arguments": {"time": 20.0}}</tool_call>'


@pytest.mark.parametrize("load", [False, True])
def test_each_zoom_of_a_turn_and_each_tool_s_frames_can_be_chosen(load: bool) -> None:
    records: list[EpisodeRecord] = []
    speaker = TurnsOfAllKinds()
    evaluate(
        speaker, "needle-tiny", episodes=1, budget={"zooms_per_turn": 2}, tools=["frame"], on_episode=records.append
    )
    record = saved(records[0]) if load else records[0]
    assert [len(turn.clips) for turn in record.turns] == [2, 1, 0]
    for chosen in ([1], [2], [1, 2], [3], [0, 2, 3]):
        assert PolicyAnswerer(speaker).answer_from(record, chosen) == "B"
        (dialogue,) = speaker.dialogues
        images = [image for message in dialogue for image in message.images]
        times = [time for place in chosen for time in records[0].clips[place].times]
        assert [image.clip.times[image.index] for image in images] == times
        assert "secret" not in " ".join(message.text for message in dialogue)
        assert ("The frame at 20 s" in dialogue[-1].text) == (chosen[-1] == 3)
