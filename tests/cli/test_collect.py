from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from vzgym.agents.data.dataset import load_trajectories
from vzgym.agents.training.config import load_settings, preset_names
from vzgym.agents.training.settings import GRPOSettings, SFTSettings
from vzgym.cli.collect import collect_command
from vzgym.cli.policies import named_policy
from vzgym.core.errors import InvalidSetting, UnknownName

app = typer.Typer()
app.command("collect")(collect_command)
MICRO = ["--tasks", "needle-micro/train", "--episodes", "10", "--protocol", "compact_tags", "--thoughts", "short"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_a_dataset_and_its_statistics_come_out(tmp_path: Path) -> None:
    out = tmp_path / "data"
    result = run("--out", str(out), *MICRO, "--mix", "exemplar=1,guess=1")
    assert result.exit_code == 0, result.output
    assert len(load_trajectories(out)) == 10
    for words in (
        "exemplar",
        "guess",
        "10 trajectories in",
        "turns",
        "zooms",
        "Zooms by fps: 1:",
        "Next: vzgym view",
        "Then: vzgym train",
    ):
        assert words in result.output


def test_a_preset_with_flags_over_it(tmp_path: Path) -> None:
    out = tmp_path / "data"
    result = run("--out", str(out), "--preset", "tiny", "--episodes", "4", "--seed", "7", "--set", "mix={exemplar: 1}")
    assert result.exit_code == 0, result.output
    notes = json.loads((out / "collect.json").read_text())
    assert notes["protocol"]["name"] == "compact_tags"
    assert (notes["episodes"], notes["seed"], notes["mix"]) == (4, 7, {"exemplar": 1.0})
    assert "--preset tiny" in result.output


@pytest.mark.parametrize("preset", preset_names())
def test_the_next_command_takes_the_protocol_of_the_data(tmp_path: Path, preset: str) -> None:
    out = tmp_path / "data"
    result = run(
        "--out", str(out), "--preset", preset, *MICRO, "--protocol", "tool_calls", "--set", "mix={exemplar: 1}"
    )
    assert result.exit_code == 0, result.output
    assert f"Then: vzgym train sft --preset {preset} --model MODEL --data {out}" in result.output
    for stage in (SFTSettings, GRPOSettings):
        assert load_settings(stage, preset).protocol is None


def test_a_second_call_finds_the_first_ones_work(tmp_path: Path) -> None:
    out = str(tmp_path / "data")
    first = run("--out", out, *MICRO)
    second = run("--out", out, *MICRO)
    assert second.exit_code == 0
    assert [line for line in first.output.splitlines() if "trajectories in" in line] == [
        line for line in second.output.splitlines() if "trajectories in" in line
    ]


def test_a_policy_is_sampled(tmp_path: Path) -> None:
    out = tmp_path / "data"
    result = run("--out", str(out), *MICRO, "--policy", "expert", "--samples", "1")
    assert result.exit_code == 0, result.output
    assert set(load_trajectories(out, in_blocks=False)["kind"]) == {"policy"}


def test_nothing_kept_is_an_error(tmp_path: Path) -> None:
    out = str(tmp_path / "data")
    result = run("--out", out, *MICRO, "--policy", "blind", "--samples", "1", "--episodes", "3")
    assert isinstance(result.exception, InvalidSetting)
    assert "no trajectory was kept of 3" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["--mix", "best"], InvalidSetting, "mixture 'best'"),
        (["--set", "mixture=best"], InvalidSetting, "no setting 'mixture'; did you mean 'mix'"),
        (["--set", "episodes=many"], InvalidSetting, "a whole number"),
        (["--preset", "huge"], UnknownName, "preset 'huge'"),
        (["--policy", "genius"], UnknownName, "policy 'genius'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, arguments: list[str], error: type[Exception], words: str) -> None:
    result = run("--out", str(tmp_path / "data"), *MICRO, *arguments)
    assert isinstance(result.exception, error)
    assert words in str(result.exception)
    assert not (tmp_path / "data").exists()


def test_policies_are_named_in_three_ways(tmp_path: Path) -> None:
    assert named_policy("oracle") == "oracle"
    assert named_policy("my.module:Policy") == "my.module:Policy"
    assert named_policy("{name: uniform, frames: 8}") == {"name": "uniform", "frames": 8}
    assert named_policy("{name: vlm, temperature: 1e-1}") == {"name": "vlm", "temperature": 0.1}
    (tmp_path / "config.json").write_text("{}")
    found = named_policy(str(tmp_path), temperature=1.0)
    assert found == {"name": "vlm", "path": str(tmp_path), "temperature": 1.0}
    served = "served:qwen@http://localhost:8000/v1"
    assert named_policy(served, temperature=1.0) == {"name": served, "temperature": 1.0}
    for bad in ("{frames: 8}", "{name: [}"):
        with pytest.raises(InvalidSetting, match="--policy"):
            named_policy(bad)
