"""A benchmark's own prompt, and the reply to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vzgym.core.actions import Answer, Malformed
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.episode import Episode
from vzgym.protocols import PROTOCOLS, DirectProtocol, TruncatedText, make_wording
from vzgym.tasks import VideoTask
from vzgym.video import ArrayVideo

VIDEO = ArrayVideo(np.zeros((40, 24, 32, 3), dtype=np.uint8), 4.0, "array:direct")
TASK = VideoTask("t", VIDEO, "What is it?", ("A. Apples", "B. Pears"), "B", source="videomme")
BUDGET = Budget(overview_frames=3, max_zooms=0, min_pixels=1)


def ask(style: str, task: VideoTask = TASK) -> list[tuple[str, int, str]]:
    """Role, number of frames and text of each message."""
    messages = Episode(task, BUDGET, DirectProtocol(style)).messages
    return [(message.role, len(message.images), message.text) for message in messages]


def test_the_official_prompt_of_video_mme() -> None:
    ((role, frames, text),) = ask("official")
    assert (role, frames) == ("user", 3)
    assert text == (
        "\nChoose the best answer to this multiple-choice question, based on the video. Reply with only the letter (A, "
        "B, C, or D) of the correct option.\nWhat is it?\nA. Apples\nB. Pears\nThe best answer is:"
    )


def test_the_other_styles() -> None:
    assert ask("vlmevalkit")[0][2].endswith("Question: What is it?\nA. Apples\nB. Pears\nAnswer: ")
    assert ask("lmms-eval")[0][2].endswith("Answer with the option's letter from the given choices directly.")
    assert "A. Apples\nB. Pears" in ask("direct", replace(TASK, source=""))[0][2]
    system, user = ask("official", replace(TASK, source="mlvu_dev"))
    assert (system[0], user[0]) == ("system", "user")
    assert user[2].endswith("Options:\n(A) Apples\n(B) Pears\nOnly give the best option.\nBest Option: (")


def test_a_prompt_of_ones_own() -> None:
    own = DirectProtocol(
        text="{question}\n{options}\nOne of {letters}:", system="Be brief.", option="<{letter}> {text}"
    )
    episode = Episode(TASK, BUDGET, own)
    assert [message.text for message in episode.messages] == [
        "Be brief.",
        "\nWhat is it?\n<A> Apples\n<B> Pears\nOne of A or B:",
    ]
    again = make_wording(episode.record.info.wording)
    assert [message.text for message in Episode(TASK, BUDGET, again).messages][1:] == [episode.messages[1].text]
    for wrong in ({"style": ""}, {"text": "?", "style": "official"}, {"text": 3}):
        with pytest.raises(InvalidSetting):
            DirectProtocol(**wrong)


def test_a_track_chooses_the_prompt() -> None:
    def asked(track: str, options: tuple[str, ...] = ("x", "y"), answer: str = "x") -> str:
        metadata = {"track": track}
        task = VideoTask("t", VIDEO, "Why?", options, answer, source="video_mmmu", metadata=metadata)
        return ask("official", task)[0][2]

    assert "Ignore the quiz question in the video's last frame" in asked("perception")
    assert "multi-choice question" in asked("adaptation")
    open_question = asked("adaptation", (), "3")
    assert "open-ended question" in open_question
    assert "A. " not in open_question


def test_an_interval_is_asked_for_by_its_query() -> None:
    task = VideoTask("t", VIDEO, "When?", source="timelens", metadata={"query": "he runs"})
    assert "The event: he runs\n" in ask("lmms-eval", task)[0][2]


@pytest.mark.parametrize("source", ["lvbench", "", "nowhere", "os:getcwd"])
def test_a_style_that_the_benchmark_does_not_have(source: str) -> None:
    with pytest.raises(InvalidSetting, match=r"unknown prompt style 'official' .*; valid: direct"):
        ask("official", replace(TASK, source=source))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("B", "B"),
        (" B. Pears\n", "B. Pears"),
        ("<think>A?</think> B", "B"),
        ("Maybe A.</think>\nB", "B"),
        ("<think>A?</think><answer> B </answer> done", "B"),
        ("<think>A", None),
        ("", None),
        (" \n", None),
        (TruncatedText("B"), None),
        ("x" * (1 << 20), None),
    ],
)
def test_the_whole_reply_is_the_answer(text: str, answer: str | None) -> None:
    parsed = DirectProtocol().parse(text)
    if answer is None:
        assert isinstance(parsed.action, Malformed)
        assert not parsed.well_formed
    else:
        assert parsed.action == Answer(answer)


def test_an_episode_from_prompt_to_grade() -> None:
    protocol = PROTOCOLS.make({"name": "direct", "style": "official"})
    episode = Episode(TASK, BUDGET, protocol)
    parsed = protocol.parse("B")
    episode.step(parsed.action, text="B")
    assert episode.record.grade is not None
    assert episode.record.grade.is_correct
    assert episode.record.info.wording == {"name": "direct", "style": "official"}
    again = Episode(TASK, BUDGET, make_wording(episode.record.info.wording))
    assert [message.text for message in again.messages] == [message.text for message in episode.messages[:1]]


def test_a_reply_without_an_answer_is_asked_again() -> None:
    protocol = DirectProtocol("official")
    episode = Episode(TASK, replace(BUDGET, max_zooms=1), protocol)
    episode.step(protocol.parse("").action, text="")
    assert episode.messages[-1].text == "No answer: the reply is empty. Reply with the answer."
    assert not episode.ended
