"""Policies that speak: batches of dialogues in, texts out."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.episode.dialogue import Message
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation import evaluate
from vzgym.policies.policy import Policy, TextPolicy
from vzgym.tasks import VideoTask, load_tasks
from vzgym.tasks.io.writing import write_tasks

ZOOM = '<video_zoom>{{"segment": [{0}, {1}], "fps": 2}}</video_zoom>'


class Speaker:
    """Zooms as often as its question has a certain length, then answers with the first option's text."""

    name = "speaker"
    protocol: ClassVar[Any] = {"name": "tags", "think": "none"}

    def __init__(self, batch_size: int = 4) -> None:
        self.batch_size = batch_size
        self.seeds: list[list[int]] = []
        self.sizes: list[int] = []

    def reset(self, seeds: Sequence[int]) -> None:
        self.seeds.append(list(seeds))

    def respond(self, dialogues: Sequence[Sequence[Message]]) -> list[str]:
        self.sizes.append(len(dialogues))
        return [self.say(dialogue) for dialogue in dialogues]

    def say(self, dialogue: Sequence[Message]) -> str:
        question = next(message.text for message in dialogue if message.role == "user")
        said = sum(message.role == "assistant" for message in dialogue)
        first = re.search(r"^A\. (.*)$", question, re.MULTILINE)
        assert first is not None
        if said < len(first[1]) % 3:
            return ZOOM.format(said, said + 2)
        return f"<answer>{first[1]}</answer>"


def played(policy: Any, tasks: Any = "tiny", episodes: int = 10, **settings: Any) -> list[EpisodeRecord]:
    records: list[EpisodeRecord] = []
    evaluate(policy, tasks, episodes=episodes, on_episode=records.append, **settings)
    return records


def test_both_kinds_are_told_apart() -> None:
    assert isinstance(Speaker(), TextPolicy)
    assert not isinstance(Speaker(), Policy)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 50])
def test_each_text_goes_to_its_own_dialogue_whatever_the_batch(batch_size: int) -> None:
    records = played(Speaker(batch_size))
    tasks = load_tasks("tiny/test")
    assert [record.task.id for record in records] == [tasks[index].id for index in range(10)]
    for record in records:
        first = record.task.options[0]
        assert record.answer == first
        assert record.windows == [*record.windows[: len(first) % 3]]
        assert len(record.turns) == len(first) % 3 + 1
        assert all(turn.well_formed for turn in record.turns)
    assert len({len(record.turns) for record in records}) > 1  # else no batch would shrink


def test_a_batch_shrinks_as_its_episodes_end() -> None:
    speaker = Speaker(batch_size=10)
    records = played(speaker)
    rounds = [len(record.turns) for record in records]
    assert speaker.sizes == [sum(length > done for length in rounds) for done in range(max(rounds))]
    assert speaker.sizes[0] == 10
    assert speaker.sizes[-1] < 10


def test_batches_are_of_the_size_asked_for() -> None:
    speaker = Speaker(batch_size=4)
    played(speaker)
    assert [len(seeds) for seeds in speaker.seeds] == [4, 4, 2]
    assert len({seed for seeds in speaker.seeds for seed in seeds}) == 10

    class Unsized(Speaker):
        def __init__(self) -> None:
            super().__init__()
            del self.batch_size

    unsized = Unsized()
    played(unsized)
    assert [len(seeds) for seeds in unsized.seeds] == [8, 2]


def test_seeds_are_an_episodes_own_whatever_the_batch() -> None:
    small, large = Speaker(2), Speaker(7)
    played(small)
    played(large)
    assert list(chain(*small.seeds)) == list(chain(*large.seeds))


def test_dialogues_show_frames_and_cannot_be_changed() -> None:
    class Looker(Speaker):
        def say(self, dialogue: Sequence[Message]) -> str:
            images = [image for message in dialogue for image in message.images]
            assert len(images) == 16
            pixels = images[0].pixels
            assert pixels.shape == (64, 64, 3)
            with pytest.raises(ValueError, match="read-only"):
                pixels[0, 0, 0] = 1
            assert isinstance(dialogue, tuple)
            assert dialogue[-1].role == "user"
            return "<answer>A</answer>"

    assert [record.answer for record in played(Looker(), episodes=2)] == ["A", "A"]


def test_text_without_an_action_uses_up_rounds() -> None:
    class Mute(Speaker):
        def say(self, dialogue: Sequence[Message]) -> str:
            return ""

    record = played(Mute(), episodes=1)[0]
    assert record.end == "out_of_rounds"
    assert {turn.refusal for turn in record.turns} == {"malformed"}
    assert len(record.turns) == record.budget.max_rounds


@pytest.mark.parametrize("wanted", [0, 1, 3])
def test_a_wrong_number_of_texts(wanted: int) -> None:
    class Miscounting(Speaker):
        def respond(self, dialogues: Sequence[Sequence[Message]]) -> list[str]:
            return ["<answer>A</answer>"] * wanted

    with pytest.raises(InvalidSetting, match=rf"'speaker' gave {wanted} texts for 2 dialogues"):
        evaluate(Miscounting(), "tiny", episodes=2)


@pytest.mark.parametrize("texts", [None, "<answer>A</answer>", 7, [b"A", b"B"], [None, "A"]])
def test_things_that_are_no_texts(texts: Any) -> None:
    class Wordless(Speaker):
        def respond(self, dialogues: Sequence[Sequence[Message]]) -> Any:
            return texts

    with pytest.raises(InvalidSetting, match=r"respond\(\) of policy 'speaker' must return"):
        evaluate(Wordless(), "tiny", episodes=2)


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "8"])
def test_impossible_batch_sizes(size: Any) -> None:
    with pytest.raises(InvalidSetting, match="batch_size of policy 'speaker' must be a whole number >= 1"):
        evaluate(Speaker(size), "tiny", episodes=2)


def test_it_may_prepare_and_be_told() -> None:
    class Told(Speaker):
        def prepare(self, budget: Budget) -> Budget:
            return replace(budget, max_zooms=0)

        def reveal(self, tasks: Sequence[VideoTask]) -> None:
            self.answers = [task.answer for task in tasks]

        def respond(self, dialogues: Sequence[Sequence[Message]]) -> list[str]:
            return [f"<answer>{answer}</answer>" for answer in self.answers]

    report = evaluate(Told(), "tiny", episodes=5)
    assert report.privileged
    assert report.budget.max_zooms == 0
    assert report.accuracy.value == 1.0
    assert report.hit_rate is not None


def test_a_broken_video_leaves_its_batch_alone(tmp_path: Path) -> None:
    tasks = load_tasks("tiny/test")
    listing = write_tasks([tasks[0], tasks[1], tasks[2]], tmp_path)
    rows = [json.loads(line) for line in listing.read_text().splitlines()]
    shutil.copy(listing, tmp_path / rows[1]["video"])
    speaker = Speaker()
    report = evaluate(speaker, listing)
    assert list(report.failed) == ["tiny/test/1"]
    assert [item.task_id for item in report.episodes] == ["tiny/test/0", "tiny/test/2"]
    assert [len(seeds) for seeds in speaker.seeds] == [2]


def test_a_batch_shares_its_time_among_its_episodes() -> None:
    records = played(Speaker(batch_size=5), episodes=5)
    assert len({record.info.wall_seconds for record in records}) == 1


def test_a_stopped_run_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    whole = [record.to_json()["turns"] for record in played(Speaker(batch_size=4))]
    evaluate(Speaker(batch_size=4), "tiny", episodes=6, out=tmp_path)
    rest: list[EpisodeRecord] = []
    speaker = Speaker(batch_size=4)
    evaluate(speaker, "tiny", episodes=10, out=tmp_path, on_episode=rest.append)
    assert [record.info.index for record in rest] == [6, 7, 8, 9]
    assert [len(seeds) for seeds in speaker.seeds] == [2, 2]  # the rest of the second batch, and the third
    for record, turns in zip(rest, whole[6:], strict=True):
        assert [turn["action"] for turn in record.to_json()["turns"]] == [turn["action"] for turn in turns]


def test_numpys_seeds_are_plain_numbers() -> None:
    speaker = Speaker()
    evaluate(speaker, "tiny", episodes=2, seed=np.int64(3))  # type: ignore[arg-type]
    assert all(type(seed) is int for seeds in speaker.seeds for seed in seeds)
