"""`vzgym train sb3`: flags and files become settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from vzgym.agents.sb3 import SB3Settings
from vzgym.core.errors import InvalidSetting

Run = Callable[..., Result]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[SB3Settings]:
    """The command line alone: what the trainer does is tested with it."""
    seen: list[SB3Settings] = []

    def train(settings: SB3Settings, **rest: Any) -> Path:
        seen.append(settings)
        return Path(settings.out)

    monkeypatch.setattr("vzgym.agents.sb3.train_sb3", train)
    return seen


def test_flags_and_settings_become_what_the_fields_say(run: Run, trained: list[SB3Settings], tmp_path: Path) -> None:
    pairs = ("learning_rate=1e-3", "fps=[1, 2]", "frame_size=[6, 8]", "gamma=1", "options.n_steps=32", "seed=3")
    flags = ("--algo", "ppo", "--tasks", "micro", "--steps", 64, "--seed", 2)
    result = run("train", "sb3", "--out", tmp_path, *flags, *(part for pair in pairs for part in ("--set", pair)))
    assert result.exit_code == 0, result.output
    wanted = SB3Settings(
        out=str(tmp_path), algo="ppo", tasks="micro", steps=64, seed=3, learning_rate=0.001, fps=(1.0, 2.0),
        frame_size=(6, 8), gamma=1.0, options={"n_steps": 32},
    )  # fmt: skip
    assert trained == [wanted]


def test_a_file_of_settings_is_overridden_by_flags(run: Run, trained: list[SB3Settings], tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("sb3: {algo: dqn, steps: 64, seed: 5}\n", encoding="utf-8")
    assert run("train", "sb3", "--out", tmp_path, "--config", file, "--seed", 2).exit_code == 0
    assert trained == [SB3Settings(out=str(tmp_path), algo="dqn", steps=64, seed=2)]
    missing = run("train", "sb3", "--config", file).exception
    assert isinstance(missing, InvalidSetting)
    assert "--out FOLDER" in str(missing)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("gamma=abc", "--set gamma: gamma must be a number, got 'abc'"),
        ("fps=2", "--set fps: fps must be a list, got 2"),
        ("frame_size=8", "--set frame_size: frame_size must be a list, got 8"),
        ("frame_size=[8]", "frame_size must be a list of more values, got [8]"),
        ("steps=abc", "--set steps: steps must be a whole number, got 'abc'"),
        ("options=3", "--set options: options must be a mapping, got 3"),
        ("gama=1", "--set gama: sb3 has no setting 'gama'; did you mean 'gamma'?"),
        ("gamma", "--set takes name=value"),
        ("gamma=[", "--set gamma=[: not YAML"),
    ],
)
def test_mistakes_are_named(run: Run, trained: list[SB3Settings], tmp_path: Path, pair: str, words: str) -> None:
    result = run("train", "sb3", "--out", tmp_path / "o", "--set", pair)
    assert isinstance(result.exception, InvalidSetting)
    assert words in str(result.exception)
    assert not trained


def test_an_option_that_the_learner_lacks_is_named(run: Run, tmp_path: Path) -> None:
    result = run("train", "sb3", "--out", tmp_path / "o", "--set", "options={foo: 1}")
    assert isinstance(result.exception, InvalidSetting)
    assert "options: maskable_ppo has no option 'foo'" in str(result.exception)
    assert not (tmp_path / "o").exists()
