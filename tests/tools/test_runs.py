"""Tools and subtitles through environments, evaluation, workers, replay, collection and the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import pytest
from typer.testing import CliRunner

import vzgym
from vzgym.cli import app
from vzgym.cli.policies import named_tools
from vzgym.core import Answer, ToolCall, Zoom
from vzgym.core.errors import InvalidSetting, UnknownName, UntrustedName, VideoError
from vzgym.episode import EpisodeRecord
from vzgym.evaluation import read_records
from vzgym.evaluation.replay import replay
from vzgym.tasks import VideoTask, load_tasks
from vzgym.tools import ToolResult

CALL = '<think>x</think><tool_call>{"name": "find_frames", "arguments": {"text": "a light"}}</tool_call>'
FIND = {"name": "find_frames", "scorer": "histogram", "fps": 1.0}


class Caller:
    """Calls a tool, then answers the first option."""

    name = "caller"
    protocol = "tags"
    batch_size = 2

    def __init__(self) -> None:
        self.told: list[str] = []

    def use_tools(self, tools: Any) -> None:
        self.told = [tool.name for tool in tools]

    def reset(self, seeds: Any) -> None:
        pass

    def respond(self, dialogues: Any) -> list[str]:
        asked = ["find_frames" in dialogue[0].text for dialogue in dialogues]
        first = [len(dialogue) == 2 for dialogue in dialogues]
        return [CALL if f and a else "<think>x</think><answer>A</answer>" for f, a in zip(first, asked, strict=True)]


def test_an_environment_has_tools(task: VideoTask) -> None:
    env = gymnasium.make("VideoZoom-v0", tasks=[task], tools=["subtitles", "frame"], subtitles="overview")
    zoom_env: Any = env.unwrapped
    _, info = env.reset(seed=0)
    assert [tool["function"]["name"] for tool in info["tools"]] == ["subtitles", "frame"]
    assert info["tools"][1]["function"]["parameters"]["required"] == ["time"]
    observation, _, terminated, _, info = env.step(ToolCall("frame", {"time": 2.0}))
    assert (info["outcome"], terminated) == ("executed", False)
    assert int(observation["num_frames"]) == len(zoom_env.record.overview) + 1
    *_, info = env.step(ToolCall("frame", {"when": 2.0}))
    assert (info["outcome"], info["refusal"]) == ("refused", "tool_arguments")
    assert "'time' is missing" in zoom_env.record.messages[-1].text
    *_, info = env.step(ToolCall("sound", {}))
    assert info["refusal"] == "unknown_tool"
    *_, terminated, _, info = env.step(Answer("rice"))
    assert info["correct"]
    assert zoom_env.record.info.subtitles == "overview"
    plain = gymnasium.make("VideoZoom-v0", tasks=[task])
    assert "tools" not in plain.reset(seed=0)[1]
    with pytest.raises(UnknownName, match="unknown tool 'sound'"):
        vzgym.VideoZoomEnv([task], tools="sound")
    with pytest.raises(InvalidSetting, match="subtitles must be one of"):
        vzgym.VideoZoomEnv([task], subtitles="yes")


def test_an_unreadable_video_is_unscored(task: VideoTask, monkeypatch: pytest.MonkeyPatch) -> None:
    env = vzgym.VideoZoomEnv([task], tools="frame")
    env.reset(seed=0)

    def fail(*args: Any, **options: Any) -> Any:
        raise VideoError("damaged", path="cook.mp4")

    monkeypatch.setattr(type(task.video), "read", fail)
    *_, terminated, truncated, info = env.step(ToolCall("frame", {"time": 2.0}))
    assert (terminated, truncated, info["grade"]) == (False, True, "unscored")


def test_a_run_with_tools_is_recorded_and_replayed(tmp_path: Path) -> None:
    policy = Caller()
    tasks = load_tasks("needle-tiny/test[:3]")
    report = vzgym.evaluate(policy, tasks, tools=[FIND], subtitles="all", out=tmp_path / "run")
    assert policy.told == ["find_frames"]
    assert not report.privileged
    records = list(read_records(tmp_path / "run"))
    assert [record.tool_calls for record in records] == [1, 1, 1]
    costs = [episode.frames_scored for episode in report.episodes]
    assert costs == [64, 64, 64]
    assert all(replay(record).differences == [] for record in records)
    settings = json.loads((tmp_path / "run" / "run.json").read_text())
    assert settings["subtitles"] == "all"
    assert settings["tools"][0]["scorer"] == "histogram"
    # Another mode, or other tools, are another run.
    with pytest.raises(InvalidSetting, match="holds another run"):
        vzgym.evaluate(policy, tasks, tools=[FIND], out=tmp_path / "run")
    with pytest.raises(InvalidSetting, match="holds another run"):
        vzgym.evaluate(policy, tasks, subtitles="all", out=tmp_path / "run")


def test_workers_make_their_own_tools(tmp_path: Path) -> None:
    said: dict[int, list[str]] = {}
    for workers in (1, 2):
        out = tmp_path / str(workers)
        vzgym.evaluate(f"{__name__}:Caller", "needle-tiny/test[:4]", tools=[FIND], out=out, workers=workers)
        said[workers] = [record.turns[0].reply for record in read_records(out)]
    assert said[1] == said[2]
    assert "The best of 64 frames" in said[1][0]


def test_a_run_with_a_privileged_tool_says_so() -> None:
    report = vzgym.evaluate(Caller(), "needle-tiny/test[:1]", tools={"name": "find_frames", "scorer": "evidence"})
    assert report.privileged


def test_a_record_that_names_code_is_not_replayed_unasked(task: VideoTask) -> None:
    env = vzgym.VideoZoomEnv([task], tools="tests.tools.test_tools:Echo")
    env.reset(seed=0)
    env.step(ToolCall("echo", {"text": "a"}))
    env.step(Answer("rice"))
    with pytest.raises(UntrustedName, match=r"tests\.tools\.test_tools:Echo"):
        replay(env.record, task=task)
    assert replay(env.record, task=task, trust_code=True).differences == []


def test_the_command_line_takes_tools() -> None:
    def run(*arguments: str) -> Any:
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    arguments = ["eval", "--policy", f"{__name__}:Caller", "--tasks", "needle-tiny", "--episodes", "1", "--json"]
    (report,) = run(*arguments, "--tool", "find_frames:scorer=histogram", "--tool", "frame", "--subtitles", "clips")
    assert report["metrics"]["frames_scored"]["value"] == 64
    (report,) = run(*arguments, "--tool", "{name: find_frames, scorer: {name: evidence, noise: 0.5}}")
    assert report["privileged"]


def test_scripts_that_call_tools_are_collected(tmp_path: Path) -> None:
    from vzgym.agents.data.dataset import collect
    from vzgym.agents.data.settings import CollectSettings

    with pytest.raises(InvalidSetting, match="mix asks for find_frames, which calls the tool find_frames: --tool"):
        CollectSettings(tasks="needle-tiny/train", episodes=2, mix="find_frames")
    tool = {"name": "find_frames", "scorer": "evidence", "fps": 2.0}
    settings = CollectSettings(tasks="needle-tiny/train", episodes=4, mix="find_frames", tools=[tool])
    statistics = collect(settings, tmp_path / "data")
    assert statistics.rows == 4
    from datasets import load_from_disk

    first = load_from_disk(str(tmp_path / "data"))[0]["messages"]
    roles = [message["role"] for message in first]
    assert roles[:5] == ["system", "user", "assistant", "tool", "assistant"]
    said = "".join(block["text"] or "" for block in first[2]["content"])
    assert '<tool_call>{"name": "find_frames"' in said
    # The evidence scorer names the place, so one zoom suffices.
    assert roles.count("assistant") == 3


def test_a_script_searches_the_subtitles_of_own_videos(task: VideoTask) -> None:
    from vzgym.agents.data.scripted import TRAJECTORY_KINDS, ScriptedRollout, TrajectoryStyle
    from vzgym.protocols import TagProtocol
    from vzgym.tools.extras import Extras

    rollout = ScriptedRollout(task, vzgym.Budget(), TrajectoryStyle(TagProtocol()), 0, Extras.make("subtitles"))
    script = TRAJECTORY_KINDS["subtitles"].script
    assert script is not None
    script(rollout)
    record = rollout.episode.record
    kinds = [type(turn.action) for turn in record.turns]
    assert kinds == [ToolCall, Zoom, Answer]
    assert record.turns[0].reply.splitlines()[1] == "[0.50-2.00 s] First, rinse the rice."
    assert record.turns[1].action.start <= 0.5
    assert record.grade.is_correct
    assert all(turn.well_formed for turn in record.turns)


def test_narrated_tasks_say_when_to_look_and_not_what_is_seen() -> None:
    from vzgym.tasks.procedural.verify import verify

    assert verify("narrated-tiny", count=4).failures == []
    tasks, plain = load_tasks("narrated-tiny/train"), load_tasks("needle-tiny/train")
    for task in (tasks[0], tasks[1]):
        (event,) = [line for line in task.subtitles if line.text.startswith("Watch now")]
        assert task.evidence == (vzgym.Interval(event.start, event.end),)
        assert len(task.subtitles) == 9
    assert plain[0].subtitles == ()


def test_the_script_finds_the_event_of_narrated_tasks_with_one_zoom(tmp_path: Path) -> None:
    from vzgym.agents.data.dataset import collect
    from vzgym.agents.data.settings import CollectSettings

    settings = CollectSettings(tasks="narrated-tiny/train", episodes=6, mix="subtitles", tools=["subtitles"])
    statistics = collect(settings, tmp_path / "data")
    assert (statistics.rows, statistics.correct) == (6, 6)
    assert statistics.to_json()["means"]["zooms"] == 1.0


@pytest.mark.parametrize("scorer", ["clip", {"name": "clip", "model": "someone/else"}, "module:Scorer"])
def test_a_record_does_not_load_weights_or_code_unasked(task: VideoTask, scorer: Any) -> None:
    env = vzgym.VideoZoomEnv([task], tools="frame")
    env.reset(seed=0)
    env.step(Answer("rice"))
    data = env.record.to_json()
    data["tools"][0]["spec"] = {"name": "find_frames", "scorer": scorer}
    with pytest.raises(UntrustedName, match="names the scorer"):
        replay(EpisodeRecord.from_json(data), task=task)


class Loading:
    """A tool that loads something."""

    name = "loading"
    description = "Does nothing."
    parameters: ClassVar[dict[str, Any]] = {"type": "object", "properties": {}}
    spec: ClassVar[dict[str, Any]] = {"name": f"{__name__}:Loading"}
    loaded: ClassVar[list[str]] = []

    def load(self) -> None:
        self.loaded.append("loaded")

    def run(self, call: ToolCall, context: Any) -> Any:
        self.loaded.append("called")
        return ToolResult("nothing")


def test_tools_load_before_the_first_episode(task: VideoTask) -> None:
    Loading.loaded.clear()
    env = vzgym.VideoZoomEnv([task], tools=Loading())
    assert Loading.loaded == ["loaded"]
    env.reset(seed=0)
    env.step(ToolCall("loading", {}))
    assert Loading.loaded == ["loaded", "called"]


def test_missing_weights_are_named_before_anything_is_played(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    weights = {"name": "find_frames", "scorer": {"name": "clip", "model": str(tmp_path / "nothing")}}
    with pytest.raises(InvalidSetting, match="there is no such folder"):
        vzgym.evaluate(Caller(), "needle-tiny/test", episodes=1, tools=[weights], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    words = ["--tool", f"find_frames:scorer=clip:model={tmp_path / 'nothing'}"]
    result = CliRunner().invoke(app, ["eval", "--policy", "blind", "--tasks", "needle-tiny", "--episodes", "1", *words])
    assert isinstance(result.exception, InvalidSetting)
    assert "there is no such folder" in str(result.exception)


def test_none_is_no_tool_on_the_command_line() -> None:
    assert named_tools(None) is None
    assert named_tools(["none"]) == []
    assert named_tools(["frame"]) == ["frame"]
