"""Tools and subtitles: learned from trajectories, kept by the checkpoint, used again by evaluation and GRPO."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

import vzgym
from vzgym.agents.data.dataset import collect, played_extras
from vzgym.agents.data.settings import CollectSettings
from vzgym.agents.metadata import saved_extras
from vzgym.agents.training.grpo import make_trainer
from vzgym.agents.training.settings import GRPOSettings, SFTSettings
from vzgym.agents.training.sft import train_sft
from vzgym.agents.vlm.policy import VLMPolicy
from vzgym.cli.policies import trained_extras
from vzgym.core.errors import InvalidSetting, UntrustedName
from vzgym.evaluation import read_records
from vzgym.evaluation.policy_evaluation import UntrainedExtras
from vzgym.policies.fingerprint import METADATA

TOOL = {"name": "find_frames", "scorer": "evidence", "fps": 1.0, "results": 1}


@pytest.fixture(scope="module")
def tool_user(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model after two steps on trajectories that call a tool, with subtitles beside the overview."""
    folder = tmp_path_factory.mktemp("tools")
    settings = CollectSettings(
        tasks="needle-micro/train", episodes=3, mix="find_frames", tools=[TOOL], subtitles="overview",
        protocol="compact_tags", thoughts="short",
    )  # fmt: skip
    assert collect(settings, folder / "data").rows
    assert played_extras(folder / "data") == {"tools": [{**TOOL, **_defaults()}], "subtitles": "overview"}
    sft = SFTSettings(
        model=str(small_model), data=str(folder / "data"), out=str(folder / "sft"), max_steps=2, batch_size=2,
        learning_rate=1e-3, log_steps=1, save_steps=1,
    )  # fmt: skip
    return train_sft(sft, progress=lambda *_: None)


def _defaults() -> dict[str, object]:
    from vzgym.tools import FindFrames

    return {key: value for key, value in FindFrames().options.items() if key not in TOOL}


def test_a_checkpoint_keeps_its_tools_and_subtitles(tool_user: Path) -> None:
    losses = [json.loads(line) for line in (tool_user / "log.jsonl").read_text().splitlines()]
    assert sum("loss" in line for line in losses) == 2
    for folder in (tool_user, tool_user / "checkpoint-1"):
        assert saved_extras(folder) == {"tools": [{**TOOL, **_defaults()}], "subtitles": "overview"}
    assert trained_extras(str(tool_user)) == saved_extras(tool_user)
    assert trained_extras("blind") == {}


def test_evaluation_uses_them_unless_told_otherwise(tool_user: Path, tmp_path: Path) -> None:
    policy = VLMPolicy(tool_user, turn_tokens=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UntrainedExtras)
        vzgym.evaluate(policy, "needle-micro/test", episodes=1, out=tmp_path / "as-trained")
    (record,) = read_records(tmp_path / "as-trained")
    assert [tool.name for tool in record.tools] == ["find_frames"]
    assert record.info.subtitles == "overview"
    words = r"tools none \(trained with find_frames .*evidence.* and subtitles none \(trained with overview\)"
    with pytest.warns(UntrainedExtras, match=words):
        vzgym.evaluate(policy, "needle-micro/test", episodes=1, tools=[], subtitles="none", out=tmp_path / "without")
    (record,) = read_records(tmp_path / "without")
    assert (record.tools, record.info.subtitles) == ((), "none")


def test_grpo_goes_on_with_them(tool_user: Path, tmp_path: Path) -> None:
    settings = GRPOSettings(
        model=str(tool_user), tasks="needle-micro/train", out=str(tmp_path), steps=1, groups=1, group_size=2,
        turn_tokens=4,
    )  # fmt: skip
    _, start = make_trainer(settings)
    assert start.extras == saved_extras(tool_user)
    _, start = make_trainer(settings.replace(tools=(), subtitles="none", out=str(tmp_path / "without")))
    assert start.extras == {"subtitles": "none"}


def test_a_folder_cannot_name_code_or_weights(tool_user: Path, tmp_path: Path) -> None:
    values = json.loads((tool_user / METADATA).read_text())
    for tool in ({"name": "somebodys:Tool"}, {"name": "find_frames", "scorer": "clip"}):
        policy = VLMPolicy(tool_user, turn_tokens=4)
        policy.trained_extras = {"tools": [tool]}
        with pytest.raises(UntrustedName, match=r"the trained model names the (tool|scorer) .*--tool NAME"):
            vzgym.evaluate(policy, "needle-micro/test", episodes=1)
    (tmp_path / METADATA).write_text(json.dumps({**values, "extras": {"tools": "frame"}}))
    with pytest.raises(InvalidSetting, match="extras must be an object with a list of tools"):
        saved_extras(tmp_path)
    (tmp_path / METADATA).write_text(json.dumps({key: value for key, value in values.items() if key != "extras"}))
    assert saved_extras(tmp_path) is None
