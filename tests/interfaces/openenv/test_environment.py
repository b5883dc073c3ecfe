"""The environment of a session, without a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openenv", reason='needs the extra "openenv": make test-interfaces')

from vzgym.core.errors import InvalidSetting
from vzgym.core.interval import Interval
from vzgym.episode import Episode
from vzgym.episode.runs import read_records
from vzgym.evaluation.replay import replay
from vzgym.interfaces.messages import encode_messages
from vzgym.interfaces.openenv import RequestRefused, Served, VideoZoomAction, VideoZoomEnvironment
from vzgym.interfaces.tasks import ServedTasks
from vzgym.protocols import TagProtocol
from vzgym.protocols.turns import MAX_TURN_LENGTH
from vzgym.tasks import TaskList, VideoTask, load_tasks
from vzgym.testing import scenes

LOOK = '<think>Look.</think><video_zoom>{"segment": [4, 6], "fps": 4}</video_zoom>'


def said(text: str) -> VideoZoomAction:
    return VideoZoomAction(text=text)


def answer(text: str) -> VideoZoomAction:
    return said(f"<think>So.</think><answer>{text}</answer>")


def of(*tasks: VideoTask, **settings: Any) -> VideoZoomEnvironment:
    return VideoZoomEnvironment(Served.make(ServedTasks([TaskList(tasks, "own", scenes.BUDGETS[0])]), **settings))


def test_an_episode(served: Served) -> None:
    environment = VideoZoomEnvironment(served)
    start = environment.reset(split="test", index=0)
    engine = Episode(load_tasks("tiny/test")[0], load_tasks("tiny/test").budget, TagProtocol())
    assert (start.done, start.reward, start.reward_status, start.outcome) == (False, None, "", "")
    assert [message.role for message in start.messages] == ["system", "user"]
    assert (start.rounds_left, start.frames_left) == (engine.rounds_left, engine.frames_left)
    looked = environment.step(said(LOOK))
    assert (looked.outcome, looked.refusal, looked.done, looked.reward) == ("executed", "", False, 0.0)
    # Times of the frames shown: 10 a second.
    assert [image.time for image in looked.images] == [4.0, 4.2, 4.5, 4.7, 5.0, 5.2, 5.5, 5.7]
    refused = environment.step(said(LOOK.replace("[4, 6]", "[6, 4]")))
    assert (refused.outcome, refused.refusal, refused.images) == ("refused", "reversed", [])
    assert [message.role for message in refused.messages] == ["tool"]
    end = environment.step(answer(load_tasks("tiny/test")[0].letter))
    assert (end.done, end.truncated, end.end, end.grade, end.correct) == (True, False, "answered", "correct", True)
    assert (end.reward, end.reward_status, end.messages, end.rounds_left) == (1.5, "scored", [], 0)
    assert {name: (term.value, term.weight) for name, term in end.reward_terms.items()} == {
        "accuracy": (1.0, 0.9),
        "format": (1.0, 0.1),
        "conditional_tool": (1.0, 0.5),
    }


def test_images_are_in_their_own_field_and_in_order(served: Served) -> None:
    environment = VideoZoomEnvironment(served)
    seen = environment.reset(split="test", index=1)
    tasks = load_tasks("tiny/test")
    wanted = encode_messages(Episode(tasks[1], tasks.budget, TagProtocol()).messages)
    frames = [frame for message in wanted for frame in message.frames]
    assert [(image.data, image.time) for image in seen.images] == [(frame.base64, frame.time) for frame in frames]
    parts = seen.messages[1].content
    assert [part.image for part in parts if part.type == "image"] == list(range(len(frames)))
    texts = [part.text for part in parts if part.type == "text"]
    assert all(frame.base64[:40] not in text for text in texts for frame in frames)
    for place, part in enumerate(parts):
        if part.type == "image":
            assert f"{seen.images[part.image].time:.2f}".rstrip("0").rstrip(".") in parts[place - 1].text
    assert "metadata" not in seen.model_dump(exclude_defaults=True)
    chat = seen.chat()
    urls = [block["image_url"]["url"] for block in chat[1]["content"] if block["type"] == "image_url"]
    assert urls == [frame.data_url for frame in frames]
    assert seen.images[0].pil.size == (64, 64)


def test_the_same_seed_gives_the_same_task_and_resets_differ_without_one(served: Served) -> None:
    environments = [VideoZoomEnvironment(served) for _ in range(2)]
    drawn = [each.reset(seed=7, split="train").task_id for each in environments for _ in range(3)]
    assert len(set(drawn)) == 1
    assert environments[0].reset(seed=8, split="train").task_id != drawn[0]
    one, other = environments[0].reset(split="validation"), environments[1].reset(split="validation")
    assert one.task_id != other.task_id


def test_the_state_follows_the_episode(served: Served) -> None:
    environment = VideoZoomEnvironment(served)
    assert environment.state.episode_id is None
    environment.reset(seed=3, episode_id="mine", split="test", index=2)
    environment.step(said(LOOK))
    state = environment.state
    assert (state.episode_id, state.step_count, state.split, state.index) == ("mine", 1, "test", 2)
    assert (state.task_id, state.seed, state.done) == ("tiny/test/2", None, False)
    environment.step(answer("A"))
    assert (environment.state.step_count, environment.state.done, environment.state.rounds_left) == (2, True, 0)
    environment.reset(seed=3)
    assert (environment.state.step_count, environment.state.seed, environment.state.done) == (0, 3, False)
    assert environment.state.episode_id not in (None, "mine")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"task": 3}, "InvalidSetting: unknown argument of reset: task; valid: seed"),
        ({"split": "nowhere"}, "UnknownName: unknown split 'nowhere'; valid: test, train, validation"),
        ({"split": "test", "index": 1000}, "there is no task 1000"),
        ({"index": -1}, "index must be an integer >= 0"),
        ({"index": "0"}, "index must be an integer >= 0"),
        ({"seed": True}, "seed must be an integer >= 0"),
        ({"seed": 1.5}, "seed must be an integer >= 0"),
        ({"split": 1}, "split must be a text"),
        ({"episode_id": "x" * 256}, "episode_id must be a text of at most 255"),
    ],
)
def test_wrong_arguments_of_reset_are_refused(served: Served, arguments: dict[str, Any], words: str) -> None:
    environment = VideoZoomEnvironment(served)
    environment.reset(index=0)
    with pytest.raises(RequestRefused, match=words.replace("(", r"\(")):
        environment.reset(**arguments)
    with pytest.raises(RequestRefused, match="ResetNeeded: step before reset"):
        environment.step(answer("A"))  # nor does the previous episode go on


def test_a_step_needs_an_episode_and_an_open_session(served: Served) -> None:
    environment = VideoZoomEnvironment(served)
    with pytest.raises(RequestRefused, match="ResetNeeded: step before reset"):
        environment.step(said(LOOK))
    environment.reset(index=0)
    with pytest.raises(RequestRefused, match="unknown argument of step: fast"):
        environment.step(said(LOOK), fast=True)
    environment.step(answer("A"))
    with pytest.raises(RequestRefused, match=r"EpisodeEnded: .* has ended"):
        environment.step(answer("A"))
    environment.reset(index=0)
    environment.close()
    assert environment.state.closed
    for call in (lambda: environment.step(said(LOOK)), lambda: environment.reset(index=0)):
        with pytest.raises(RequestRefused, match=r"SessionClosed: .* in a closed session"):
            call()


def test_an_episode_that_is_left_releases_its_video_unless_another_session_plays_it(
    make_task: Callable[..., VideoTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = make_task(), make_task()
    closed: list[object] = []
    monkeypatch.setattr(type(tasks[0].video), "close", lambda video: closed.append(video))
    first = of(*tasks)
    second = VideoZoomEnvironment(first._served)
    first.reset(index=0)
    second.reset(index=0)
    first.reset(index=1)
    assert closed == []  # the second session still reads it
    second.close()
    assert closed == [tasks[0].video]
    first.step(answer("A"))
    assert closed == [tasks[0].video, tasks[1].video]
    first.reset(index=0)
    with pytest.raises(RequestRefused):
        first.reset(index=-1)
    assert closed == [tasks[0].video, tasks[1].video, tasks[0].video]


def test_a_video_error_truncates_and_is_unscored(make_task: Callable[..., VideoTask]) -> None:
    environment = of(make_task(most=16))
    environment.reset(index=0)
    failing = make_task(most=1)
    environment = of(failing, reward="videozoomer")
    environment._served.tasks.budgets["own"] = replace(scenes.BUDGETS[0], overview_frames=1)
    environment.reset(index=0)
    end = environment.step(said(LOOK))
    assert (end.done, end.truncated, end.end, end.outcome) == (True, True, "video_error", "failed")
    assert (end.reward, end.reward_status, end.correct, end.grade) == (0.0, "unscored", None, "unscored")
    assert end.reward_terms["accuracy"].value is None


def test_an_unknown_answer_is_unscored(make_task: Callable[..., VideoTask]) -> None:
    environment = of(make_task(answer="", evidence=None))
    environment.reset(index=0)
    end = environment.step(answer("A"))
    assert (end.done, end.truncated, end.reward, end.reward_status, end.correct) == (True, False, 0.0, "unscored", None)


def test_a_turn_that_was_cut_off_is_no_answer(served: Served) -> None:
    environment = VideoZoomEnvironment(served)
    environment.reset(index=0)
    cut = environment.step(VideoZoomAction(text="<answer>A", cut_off=True))
    assert (cut.outcome, cut.refusal, cut.done) == ("refused", "malformed", False)


def test_texts_are_cleaned_and_bounded() -> None:
    assert said("a\ud800b").text == "a\ufffdb"
    assert VideoZoomAction.model_validate(json.loads('{"text": "\\ud83d"}')).text == "\ufffd"
    assert len(said("x" * (MAX_TURN_LENGTH + 100)).text) == MAX_TURN_LENGTH + 1  # which a protocol refuses


def test_a_reward_that_is_not_finite_is_an_error(make_task: Callable[..., VideoTask]) -> None:
    environment = of(make_task(), reward={"frame_cost": 1e308})
    environment.reset(index=0)
    with pytest.raises(RequestRefused, match="InvalidSetting: the reward of task 'hand-made' is -inf"):
        environment.step(said(LOOK))


def test_nothing_tells_the_answer_or_the_evidence_before_the_end() -> None:
    """Tasks that look the same until they are zoomed into, with another answer each, cannot be told apart."""
    told = set()
    for task in scenes.twins():
        environment = of(task)
        start = environment.reset(index=0, episode_id="same")
        parts = [start.model_dump_json(), environment.state.model_dump_json()]
        parts += [json.dumps(environment.get_task("own", 0)), json.dumps(environment.list_tasks("own"))]
        refused = environment.step(said("No action."))
        told.add("\n".join([*parts, refused.model_dump_json(), environment.state.model_dump_json()]))
    assert len(told) == 1


def test_a_faulty_task_tells_the_client_nothing(
    make_task: Callable[..., VideoTask], caplog: pytest.LogCaptureFixture
) -> None:
    environment = of(make_task(evidence=(Interval(41.0, 45.0),)))
    with pytest.raises(RequestRefused, match="TaskError: the task cannot be played") as caught:
        environment.reset(index=0)
    assert "41" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "41" in caplog.text  # the server's log has the reason
    environment = of(make_task(most=1))
    with pytest.raises(RequestRefused, match="VideoError: the task cannot be played"):
        environment.reset(index=0)


def test_tools_that_know_the_evidence_are_not_served(make_task: Callable[..., VideoTask]) -> None:
    class Tells:
        name, description, parameters, privileged = "tells", "Tells.", {"type": "object", "properties": {}}, True
        spec: dict[str, Any] = {"name": "tells"}  # noqa: RUF012

        def run(self, call: Any, context: Any) -> Any:
            raise AssertionError

    with pytest.raises(InvalidSetting, match="knows the evidence"):
        of(make_task(), tools=[Tells()])


def test_finished_episodes_are_recorded(served: Served, tmp_path: Path) -> None:
    own = Served.make(served.tasks, records=tmp_path / "run", name="mine")
    environment = VideoZoomEnvironment(own)
    environment.reset(split="test", index=4)
    environment.step(said(LOOK))
    environment.reset(seed=5, split="test")  # the first is abandoned
    environment.step(said(LOOK))
    environment.step(answer("A"))
    environment.close()
    own.close()
    (record,) = read_records(tmp_path / "run")
    assert (record.info.interface, record.info.policy, record.info.seed, record.info.index) == ("openenv", "mine", 5, 0)
    assert not replay(record).differences


def test_the_task_api(served: Served) -> None:
    environment = VideoZoomEnvironment(served)
    assert environment.list_splits() == [{"name": name, "type": name} for name in ("train", "validation", "test")]
    assert environment.num_tasks("train") == 100_000
    task = environment.get_task("test", 3)
    assert set(task) == {"id", "split", "index", "question", "options"}
    assert environment.reset(split="test", index=3).task_id == task["id"]
    assert [each["index"] for each in environment.get_task_range("test", 998)] == [998, 999]
    assert len(environment.list_tasks("test")) == 100
    for call in (
        lambda: environment.get_task("test", 1000),
        lambda: environment.get_task("test", -1),
        lambda: environment.num_tasks("nowhere"),
        lambda: environment.get_task_range("test", 0, 101),
    ):
        with pytest.raises(IndexError):
            call()


def test_the_web_interface_shows_frames_and_escapes_text(make_task: Callable[..., VideoTask]) -> None:
    environment = of(make_task(question="Is <b>1</b> shown?"))
    seen = environment.reset(index=0)
    page = environment.render_web(seen.model_dump())
    assert page.count("<img ") == len(seen.images) > 0
    assert "Is &lt;b&gt;1&lt;/b&gt; shown?" in page


def test_splits_of_other_task_sets_keep_apart() -> None:
    sets = [load_tasks(name) for name in ("needle-tiny/test", "count-tiny/test")]
    assert list(Served.make(ServedTasks(sets)).splits) == ["needle-tiny/test", "count-tiny/test"]
    assert list(Served.make(ServedTasks([load_tasks("tiny/test[:5]")])).splits) == ["test"]
