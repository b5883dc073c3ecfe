"""Episodes by calls of tools: handles, mistakes, ends, records, sheets, and nothing that tells the answer."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vzgym.core.errors import InvalidSetting, ToolArgumentError, VzgymError
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.tools import ToolResult
from vzgym.interfaces.mcp.episodes import AgentEpisodes, Reply
from vzgym.interfaces.mcp.sheet import draw_sheet
from vzgym.interfaces.messages import Frame
from vzgym.interfaces.tasks import ServedTasks
from vzgym.tasks import TaskList, VideoTask, load_tasks
from vzgym.testing import code_task, scenes
from vzgym.tools.extras import Extras
from vzgym.video.barcode import read_barcode

TINY = load_tasks("needle-tiny/test")


class Agent:
    """Calls tools, and remembers all text and the records that were kept."""

    def __init__(self, tasks: ServedTasks | None = None, **settings: Any) -> None:
        self.records: list[EpisodeRecord] = []
        self.told: list[str] = []
        self.episodes = AgentEpisodes(
            tasks or ServedTasks([TINY]), keep=lambda record, **_: self.records.append(record), **settings
        )
        self.handle = ""

    def call(self, name: str, **arguments: Any) -> Reply:
        reply = self.episodes.call(name, arguments)
        self.told += [part for part in reply.parts if isinstance(part, str)]
        return reply

    def start(self, **arguments: Any) -> Reply:
        reply = self.call("start", **arguments)
        assert not reply.is_error, reply
        found = re.match(r"episode: (\S+) \(task \d+ of ", str(reply.parts[0]))
        assert found
        self.handle = found[1]
        return reply

    def play(self, name: str, **arguments: Any) -> Reply:
        return self.call(name, episode=self.handle, **arguments)


def text_of(reply: Reply) -> str:
    return "".join(part for part in reply.parts if isinstance(part, str))


def frames_of(reply: Reply) -> list[Frame]:
    return [part for part in reply.parts if isinstance(part, Frame)]


def pixels_of(frame: Frame) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(frame.data)).convert("RGB"))


def test_an_episode_from_start_to_answer() -> None:
    agent = Agent()
    opening = agent.start(task=3)
    assert len(frames_of(opening)) == 16
    assert "(task 3 of needle-tiny/test)" in text_of(opening)
    assert "Overview, 16 frames:" in text_of(opening)
    assert TINY[3].question in text_of(opening)
    clip = agent.play("zoom", start=4.0, end=6.0, fps=2.0)
    assert [frame.time for frame in frames_of(clip)] == [4.0, 4.5, 5.0, 5.5]
    assert "4 frames:" in text_of(clip)
    end = agent.play("answer", text="A")
    assert text_of(end) == "The answer is recorded. The episode has ended."
    (record,) = agent.records
    assert (record.task.id, str(record.end), record.answer) == ("needle-tiny/test/3", "answered", "A")
    assert record.rewards is not None
    assert len(record.rewards) == 2
    assert agent.play("answer", text="A").is_error


def test_without_a_number_tasks_come_in_order() -> None:
    agent = Agent()
    ids = []
    for _ in range(2):
        agent.start()
        agent.play("answer", text="A")
        ids.append(agent.records[-1].task.id)
    assert ids == ["needle-tiny/test/0", "needle-tiny/test/1"]


def test_a_refused_zoom_is_a_reply_and_uses_a_round() -> None:
    agent = Agent()
    agent.start(task=0)
    reply = agent.play("zoom", start=6.0, end=4.0, fps=2.0)
    assert not reply.is_error
    assert "Not shown (reversed)" in text_of(reply)
    assert "Rounds left: 3." in text_of(reply)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("zoom", {}),
        ("zoom", {"start": 1.0, "end": 2.0}),
        ("zoom", {"start": "1", "end": 2.0, "fps": 1.0}),
        ("zoom", {"start": True, "end": 2.0, "fps": 1.0}),
        ("zoom", {"start": 1.0, "end": 2.0, "fps": [1]}),
        ("zoom", {"start": 1.0, "end": 2.0, "fps": 1.0, "speed": 2}),
        ("zoom", {"start": 1.0, "end": 2.0, "fps": 1.0, "region": "all"}),
        ("zooms", {}),
        ("zooms", {"zooms": []}),
        ("zooms", {"zooms": [1]}),
        ("zooms", {"zooms": [{"start": 1.0}]}),
        ("zooms", {"zooms": [{"start": 1.0, "end": 2.0, "fps": 1.0}] * 65}),
        ("answer", {}),
        ("answer", {"text": 4}),
        ("answer", {"text": "A", "letter": "A"}),
        ("look", {}),
    ],
)
def test_wrong_arguments_use_a_round_as_unreadable_text_does(name: str, arguments: dict[str, Any]) -> None:
    agent = Agent()
    agent.start(task=0)
    reply = agent.play(name, **arguments)
    assert not reply.is_error
    assert "Rounds left: 3." in text_of(reply)
    assert "(malformed)" in text_of(reply) or "(unknown_tool)" in text_of(reply)


def test_numbers_beyond_all_bounds_are_refused() -> None:
    agent = Agent()
    agent.start(task=0)
    for value in (float("nan"), float("inf"), 10**400):
        assert "Not shown" in text_of(agent.play("zoom", start=0.0, end=value, fps=1.0))


def test_the_last_round_without_an_answer_ends_the_episode() -> None:
    agent = Agent()
    agent.start(task=0)
    for _ in range(3):
        reply = agent.play("zoom", start=0.0, end=2.0, fps=1.0)
    assert "last round" in text_of(reply)
    end = agent.play("zoom", start=0.0, end=2.0, fps=1.0)
    assert "ended without an answer" in text_of(end)
    assert str(agent.records[0].end) == "out_of_rounds"
    assert agent.play("answer", text="A").is_error


@pytest.mark.parametrize(
    "arguments",
    [{"task": -1}, {"task": 1000}, {"task": 1.5}, {"task": "1"}, {"task": True}, {"task": 1 << 60}, {"seed": -1},
     {"task": 1, "seed": 1}, {"tasks": "needle-tiny/train"}, {"tasks": 3}, {"tasks": "../x"}, {"frames": "all"},
     {"video": "/etc/passwd"}],
)  # fmt: skip
def test_nothing_else_can_be_started(arguments: dict[str, Any]) -> None:
    agent = Agent()
    reply = agent.call("start", **arguments)
    assert reply.is_error
    assert frames_of(reply) == []


def test_null_is_an_argument_that_was_left_out() -> None:
    agent = Agent()
    agent.start(task=None, seed=7, frames=None)
    first = agent.play("zoom", start=0.0, end=2.0, fps=1.0, region=None, max_pixels=None)
    assert len(frames_of(first)) == 2


@pytest.mark.parametrize("handle", ["", "x", "0" * 22, None, 5, ["a"]])
def test_another_handle_opens_no_episode(handle: object) -> None:
    agent = Agent()
    agent.start(task=0)
    reply = agent.call("answer", episode=handle, text="A")
    assert reply.is_error
    assert "start" in text_of(reply).lower()
    assert agent.records == []


def test_two_episodes_do_not_mix() -> None:
    one, other = Agent(), None
    one.start(task=0)
    first = one.handle
    one.start(task=1)
    other = one.handle
    assert first != other
    for handle, letter in ((first, "B"), (other, "C")):
        one.call("answer", episode=handle, text=letter)
    assert [(record.task.id[-2:], record.answer) for record in one.records] == [("/0", "B"), ("/1", "C")]


def test_too_many_episodes_end_the_one_unused_for_longest(caplog: pytest.LogCaptureFixture) -> None:
    agent = Agent(max_episodes=2)
    agent.start(task=0)
    first = agent.handle
    agent.start(task=1)
    agent.start(task=2)
    assert agent.call("answer", episode=first, text="A").is_error
    assert agent.records == []
    assert "needle-tiny/test/0" in caplog.text


def test_nothing_tells_the_answer_or_the_evidence() -> None:
    """Variants of a task differ in the answer alone: an agent that does not see the evidence is told the same."""
    told = []
    for variant in scenes.variants():
        agent = Agent(ServedTasks([TaskList([variant], name="one")]), extras=Extras.make("frame"))
        opening = agent.start(task=0)
        agent.play("zoom", start=9.0, end=2.0, fps=1.0)
        agent.play("frame", time=0.0)
        agent.play("answer", text="A")
        assert agent.play("answer", text="B").is_error
        hidden = "\n".join(agent.told).replace(agent.handle, "")
        told.append((hidden, [frame.data for frame in frames_of(opening)]))
    assert len(told) > 2
    assert all(item == told[0] for item in told)


def test_feedback_is_given_if_the_user_wants_it() -> None:
    task = TINY[0]
    wrong = next(option for option in task.options if option != task.answer)
    for answer, grade in ((task.answer, "Grade: correct. Reward: 1."), (wrong, "Grade: wrong. Reward: 0.1.")):
        agent = Agent(feedback=True)
        agent.start(task=0)
        assert text_of(agent.play("answer", text=answer)).endswith(grade)


def test_a_video_that_fails_ends_the_episode_unscored(
    make_task: Callable[..., VideoTask], caplog: pytest.LogCaptureFixture
) -> None:
    tasks = TaskList([make_task(most=4)], name="failing")
    agent = Agent(ServedTasks([tasks], {"overview_frames": 4, "clip_frames": 16}))
    agent.start(task=0)
    with caplog.at_level(logging.WARNING):
        reply = agent.play("zoom", start=0.0, end=4.0, fps=2.0)
    assert text_of(reply) == "The video cannot be read any further. The episode has ended and is not scored."
    assert "array:failing" in caplog.text
    record = agent.records[0]
    assert (str(record.end), record.grade.status) == ("video_error", "unscored")


def test_a_video_that_cannot_be_opened_is_named_on_the_server_alone(
    make_task: Callable[..., VideoTask], caplog: pytest.LogCaptureFixture
) -> None:
    agent = Agent(ServedTasks([TaskList([make_task(most=0)], name="failing")]))
    reply = agent.call("start", task=0)
    assert reply.is_error
    assert text_of(reply) == "task 0 of failing cannot be played: start another one"
    assert "array:failing" in caplog.text


def test_an_answer_has_a_largest_length() -> None:
    agent = Agent()
    agent.start(task=0)
    assert agent.play("answer", text="A" * 10_001).is_error
    assert not agent.play("answer", text="A" * 10_000).is_error


def test_an_answer_may_hold_any_character() -> None:
    agent = Agent()
    agent.start(task=0)
    agent.play("answer", text="\ud800 \x00 é 象")
    assert json.loads(agent.records[0].to_line())["turns"][0]["action"]["answer"] == "\ufffd \x00 é 象"


# Tools --------------------------------------------------------------------------------------------------------------


def test_registered_tools_are_tools_of_the_server() -> None:
    agent = Agent(extras=Extras.make("frame"))
    described = {tool["name"]: tool["parameters"] for tool in agent.episodes.tools}
    assert list(described) == ["start", "zoom", "frame", "answer"]
    assert set(described["frame"]["properties"]) == {"episode", "time"}
    assert described["frame"]["required"] == ["episode", "time"]
    agent.start(task=0)
    (frame,) = frames_of(agent.play("frame", time=5.0))
    assert frame.time == 5.0
    assert "tool_arguments" in text_of(agent.play("frame", when=5.0))


class Odd:
    """A tool that is not like others."""

    description = "An odd tool."
    spec = {"name": "odd"}  # noqa: RUF012

    def __init__(self, name: str = "odd", argument: str = "text", error: Exception | None = None) -> None:
        self.name, self.error = name, error
        self.parameters = {"type": "object", "properties": {argument: {"type": "string"}}}

    def run(self, call: object, context: object) -> ToolResult:
        if self.error is not None:
            raise self.error
        return ToolResult("odd")


@pytest.mark.parametrize("tool", [Odd("start"), Odd("zoom"), Odd("zooms"), Odd(argument="episode")])
def test_a_tool_that_would_hide_the_servers_is_refused(tool: Odd) -> None:
    with pytest.raises(InvalidSetting, match="the server"):
        Agent(extras=Extras((tool,)))


def test_a_tool_that_fails_ends_the_episode_without_a_record() -> None:
    agent = Agent(extras=Extras((Odd(error=VzgymError("the scorer's server is gone")),)))
    agent.start(task=0)
    with pytest.raises(VzgymError, match="gone"):
        agent.play("odd")
    assert agent.play("answer", text="A").is_error
    assert agent.records == []
    agent = Agent(extras=Extras((Odd(error=ToolArgumentError("text is needed.")),)))
    agent.start(task=0)
    assert "text is needed." in text_of(agent.play("odd"))


def test_the_schemas_follow_the_budget() -> None:
    def described(**budget: Any) -> dict[str, Any]:
        return {tool["name"]: tool["parameters"] for tool in Agent(ServedTasks([TINY], budget)).episodes.tools}

    assert set(described()["zoom"]["properties"]) == {"episode", "start", "end", "fps"}
    assert "zooms" not in described()
    rich = described(spatial=True, zoom_max_pixels=8192, zooms_per_turn=2)
    assert set(rich["zoom"]["properties"]) == {"episode", "start", "end", "fps", "region", "max_pixels"}
    assert rich["zooms"]["properties"]["zooms"]["maxItems"] == 2
    assert list(described(max_zooms=0)) == ["start", "answer"]


def test_several_sets_are_named_in_the_schema() -> None:
    agent = Agent(ServedTasks([TINY, load_tasks("count-tiny/test[:5]")]))
    (start, *_) = agent.episodes.tools
    assert start["parameters"]["properties"]["tasks"]["enum"] == ["needle-tiny/test", "count-tiny/test[0:5]"]
    agent.start(tasks="count-tiny/test[0:5]", task=4)
    agent.play("answer", text="A")
    assert agent.records[0].task.id == "count-tiny/test/4"


# Sheets -------------------------------------------------------------------------------------------------------------


def test_a_sheet_shows_every_frame_in_order() -> None:
    agent = Agent(
        ServedTasks(
            [TaskList([code_task()], name="codes")],
            {"overview_frames": 9, "clip_frames": 4, "min_pixels": 1024, "max_pixels": 4096},
        )
    )
    opening = agent.start(task=0, frames="sheet")
    (sheet,) = frames_of(opening)
    assert "[one picture with these 9 frames" in text_of(opening)
    times = [float(found) for found in re.findall(r"<frame\d+_time([\d.]+)s>", text_of(opening))]
    pixels = pixels_of(sheet)
    side = 64
    codes = [
        read_barcode(pixels[top : top + side, left : left + side])
        for top in range(4, pixels.shape[0] - side, side + 20)
        for left in range(4, pixels.shape[1] - side, side + 4)
    ]
    assert codes == [round(time * 2) for time in times]
    (clip,) = frames_of(agent.play("zoom", start=10.0, end=12.0, fps=1.0))
    assert clip.time == 10.0


def test_the_times_are_drawn_under_the_frames() -> None:
    white = np.full((2, 40, 80, 3), 255, dtype=np.uint8)
    one, other = (np.asarray(draw_sheet(white, times)) for times in ((1.0, 2.0), (1.0, 3.0)))
    changed = np.argwhere((one != other).any(axis=2))
    assert changed[:, 0].min() >= 44
    assert changed[:, 1].min() >= 88


def test_small_frames_leave_room_for_their_times() -> None:
    frames = np.zeros((5, 8, 8, 3), dtype=np.uint8)
    sheet = draw_sheet(frames, [1000.0 + number for number in range(5)])
    assert sheet.width > 3 * 45


def test_each_zoom_of_a_turn_has_its_sheet() -> None:
    agent = Agent(ServedTasks([TINY], {"zooms_per_turn": 2}), frames="sheet")
    agent.start(task=0)
    reply = agent.play("zooms", zooms=[{"start": 1.0, "end": 3.0, "fps": 2.0}, {"start": 5.0, "end": 7.0, "fps": 1.0}])
    first, second = [part for part in reply.parts if isinstance(part, str) and "one picture" in part]
    assert "Clip 1.00 to 3.00 s" in first
    assert "these 4 frames" in first
    assert "Clip 5.00 to 7.00 s" in second
    assert "these 2 frames" in second
    assert [frame.time for frame in frames_of(reply)] == [1.0, 5.0]
