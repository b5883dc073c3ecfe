from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("skyrl_gym", reason='needs pip install "vzgym[skyrl]"')

import skyrl_gym
from skyrl_gym.metrics import aggregate_for_environment

import vzgym
from vzgym.core.errors import EpisodeEnded, InvalidSetting, TaskError, UnknownName, UntrustedName, VideoError
from vzgym.episode.record import EpisodeRecord
from vzgym.interfaces.skyrl import ENV_CLASS, SkyRLVideoZoom, register

ZOOM = '<think>Look.</think><video_zoom>{"segment": [4.0, 6.0], "fps": 4}</video_zoom>'
ROW = {"extra_info": {"tasks": "tiny/train", "index": 0}, "max_turns": 4}
TASK = vzgym.load_tasks("tiny/train")[0]
ANSWER = f"<think>So.</think><answer>{TASK.letter}</answer>"
WRONG = f"<think>So.</think><answer>{'B' if TASK.letter == 'A' else 'A'}</answer>"


def make(row: Any = ROW, **settings: Any) -> SkyRLVideoZoom:
    """As SkyRL's generator makes an environment for each roll-out."""
    register(**settings)
    made = skyrl_gym.make(ENV_CLASS, env_config={}, extras=row)
    assert isinstance(made, SkyRLVideoZoom)
    return made


def pictures(messages: list[dict[str, Any]]) -> list[np.ndarray]:
    """What a model server decodes of the messages' images."""
    urls = [
        block["image_url"]["url"]
        for message in messages
        if not isinstance(message["content"], str)
        for block in message["content"]
        if block["type"] == "image_url"
    ]
    assert all(url.startswith("data:image/") for url in urls)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))) for url in urls]


def test_a_rollout() -> None:
    env = make()
    opening, info = env.init([{"role": "user", "content": "?"}])
    assert info == {}
    assert [message["role"] for message in opening] == ["system", "user"]
    assert len(pictures(opening)) == 16
    assert TASK.question in str(opening)
    out = env.step(ZOOM)
    assert (out["reward"], out["done"]) == (0.0, False)
    assert [message["role"] for message in out["observations"]] == ["user"]
    assert len(pictures(out["observations"])) == 8
    out = env.step(ANSWER)
    assert (out["reward"], out["done"], out["observations"]) == (pytest.approx(1.5), True, [])
    assert out["metadata"]["reward_terms"]["accuracy"]["value"] == 1.0
    assert (out["metadata"]["grade"], out["metadata"]["truncated"]) == ("correct", False)
    metrics = env.get_metrics()
    assert sum(value for name, value in metrics.items() if name.startswith("terms/")) == pytest.approx(1.5)
    facts = {name: metrics[name] for name in ("correct", "zooms", "frames", "rounds", "unscored")}
    assert facts == {"correct": 1.0, "zooms": 1.0, "frames": 24.0, "rounds": 2.0, "unscored": 0.0}
    env.close()
    with pytest.raises(EpisodeEnded):
        env.step(ANSWER)


def test_pixels_reach_the_model() -> None:
    env = make(image_encoder={"format": "png"})
    seen = [*pictures(env.init()[0]), *pictures(env.step(ZOOM)["observations"])]
    shown = np.concatenate([clip.pixels for clip in env.rollout.record.clips])
    assert np.array_equal(np.stack(seen), shown)


def test_nothing_is_told_of_the_answer() -> None:
    env = make()
    said = str([env.init(), env.step(ZOOM)])
    assert "evidence" not in said
    assert "grade" not in said


def test_a_group_shares_its_task() -> None:
    first, second = make(), make()
    assert first.init() == second.init()


def test_a_rollout_that_the_trainer_ends(tmp_path: Path) -> None:
    """SkyRL takes no further step if the next input is too long."""
    env = make(records=str(tmp_path / "records.jsonl"))
    env.init()
    env.step(ZOOM)
    metrics = env.get_metrics()
    env.close()
    assert (metrics["cut_short"], metrics["correct"], metrics["answered"]) == (1.0, 0.0, 0.0)
    (line,) = (tmp_path / "records.jsonl").read_text().splitlines()
    record = EpisodeRecord.from_line(line)
    assert (record.info.interface, str(record.end)) == ("skyrl", "out_of_rounds")


def test_an_unscored_rollout(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make()
    env.init()

    def fail(*args: Any) -> Any:
        raise VideoError("torn", path="a.mp4")

    monkeypatch.setattr(env.rollout.episode, "_look", fail)
    out = env.step(ZOOM)
    assert (out["reward"], out["done"]) == (0.0, True)
    assert (out["metadata"]["reward_status"], out["metadata"]["truncated"]) == ("unscored", True)
    metrics = env.get_metrics()
    assert metrics["unscored"] == 1.0
    assert "correct" not in metrics
    scored = make()
    scored.init()
    scored.step(ANSWER)
    means = aggregate_for_environment(ENV_CLASS, [metrics, scored.get_metrics()])
    assert (means["unscored"], means["correct"]) == (0.5, 1.0)


@pytest.mark.parametrize("text", ["", "\ud800", "<video_zoom>{", "<answer></answer>", "x" * 100_000])
def test_turns_that_are_no_turns(text: str) -> None:
    env = make()
    env.init()
    out = env.step(text)
    assert not out["done"]
    assert str(env.rollout.record.turns[0].refusal) == "malformed"
    assert len(pictures(out["observations"])) == 0
    assert env.step(WRONG)["reward"] == pytest.approx(0.0)


def test_settings_from_the_trainer() -> None:
    register(reward={"accuracy": 2.0})
    env = skyrl_gym.make(ENV_CLASS, env_config={"budget": {"max_zooms": 1}}, extras=ROW)
    env.init()
    env.step(ZOOM)
    assert env.step(ANSWER)["reward"] == 2.0
    assert env.rollout.record.budget.max_zooms == 1


def test_too_few_turns_are_refused() -> None:
    with pytest.raises(InvalidSetting, match=r"generator\.max_turns=4"):
        make({**ROW, "max_turns": 1})


@pytest.mark.parametrize(
    ("row", "error", "words"),
    [
        ({}, TaskError, "lacks tasks and index"),
        ({"extra_info": {"tasks": "tiny/train"}}, TaskError, "lacks index"),
        ({"extra_info": {"tasks": "tiny/train", "index": "0"}}, TaskError, "whole number"),
        ({"extra_info": {"tasks": "tiny/train", "index": -1}}, TaskError, "tasks 0 to"),
        ({"extra_info": {"tasks": "tini", "index": 0}}, UnknownName, "tiny"),
        ({"extra_info": {"tasks": "os:path", "index": 0}}, UntrustedName, "os:path"),
    ],
)
def test_rows_that_name_no_task(row: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make(row)


def test_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(InvalidSetting, match=r"unknown settings: rewards; valid: reward, protocol"):
        register(rewards="videozoomer")
    with pytest.raises(UnknownName, match="videozoomer"):
        register(reward="videozomer")
    with pytest.raises(InvalidSetting, match="image_format"):
        register(image_encoder={"format": "gif"})
    with pytest.raises(InvalidSetting, match="names, numbers, lists and mappings"):
        register(budget=vzgym.Budget())
    with pytest.raises(InvalidSetting, match="another environment named 'gsm8k'"):
        register("gsm8k")


def test_a_step_before_init_is_named() -> None:
    env = make()
    with pytest.raises(EpisodeEnded, match="init"):
        env.step(ANSWER)
    assert env.get_metrics() == {}
    env.close()
