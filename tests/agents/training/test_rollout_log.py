"""Pictures of roll-outs in trackers."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import vzgym
from vzgym.agents.training.grpo import train_grpo
from vzgym.agents.training.rollout_log import PICTURE_TRACKERS, RolloutPictures
from vzgym.agents.training.settings import GRPOSettings
from vzgym.core.errors import InvalidSetting
from vzgym.episode import EpisodeRecord


@pytest.fixture(scope="module")
def records() -> list[EpisodeRecord]:
    found: list[EpisodeRecord] = []
    vzgym.evaluate("random", "needle-micro", episodes=6, on_episode=found.append)
    return found


def state(step: int, first: bool = True) -> Any:
    return SimpleNamespace(global_step=step, is_world_process_zero=first)


def test_tensorboard_gets_pictures_every_n_steps(small_model: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    values: dict[str, Any] = {"model": str(small_model), "out": str(tmp_path / "run"), "tasks": "needle-micro/train"}
    values |= {"steps": 3, "groups": 1, "group_size": 2, "turn_tokens": 8, "log_steps": 1}
    train_grpo(GRPOSettings(**values, report_to="tensorboard", log_rollouts_steps=2))
    (file,) = tmp_path.rglob("events.out.tfevents.*")
    events = EventAccumulator(str(file)).Reload()
    assert {"rollouts/0", "rollouts/1"} == {tag for tag in events.Tags()["images"] if tag.startswith("rollouts")}
    (image,) = events.Images("rollouts/0")
    assert (image.step, image.width, image.height) == (2, 1280, 720)
    assert "train/reward" in events.Tags()["scalars"]


class Recorder(ModuleType):
    """A tracker that notes what it is given."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.given: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def note(*args: Any, **options: Any) -> Any:
            self.given.append((name, args, options))
            return (name, args, options)

        return note


@pytest.mark.parametrize("name", ["wandb", "trackio", "mlflow"])
def test_the_other_trackers_get_the_first_four_pictures(
    records: list[EpisodeRecord], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    tracker = Recorder(name)
    monkeypatch.setitem(sys.modules, name, tracker)
    callback = RolloutPictures(name, 5, lambda: records, "runs/grpo")
    callback.attach(SimpleNamespace())
    for step in range(1, 11):
        callback.on_step_end(None, state(step), None)
    callback.on_step_end(None, state(15, first=False), None)
    pictures = [
        value for call in tracker.given for value in (*call[1], *call[2].values()) if isinstance(value, np.ndarray)
    ]
    assert [picture.shape for picture in pictures] == [(720, 1280, 3)] * 8
    steps = [call for call in tracker.given if call[0] in ("log", "log_image")]
    assert {10, 5} <= {
        value for call in steps for value in (*call[1], *call[2].values(), *_numbers(call[1])) if isinstance(value, int)
    }
    assert records[0].task.id in str(tracker.given)


def _numbers(args: tuple[Any, ...]) -> list[int]:
    return [value for arg in args if isinstance(arg, dict) for value in arg.values() if isinstance(value, int)]


def test_saved_records_and_trackers_without_pictures_get_none(
    records: list[EpisodeRecord], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "vzgym.agents"):
        callback = RolloutPictures("swanlab", 1, lambda: records, "runs/grpo")
    assert "vzgym view --serve runs/grpo" in caplog.text
    callback.on_step_end(None, state(1), None)
    saved = [EpisodeRecord.from_line(record.to_line()) for record in records]
    RolloutPictures("wandb", 1, lambda: saved, "").on_step_end(None, state(1), None)
    assert "swanlab" not in PICTURE_TRACKERS


def test_pictures_need_a_tracker() -> None:
    with pytest.raises(InvalidSetting, match="log_rollouts_steps sends pictures to a tracker: set report_to"):
        GRPOSettings(log_rollouts_steps=5)


@pytest.mark.parametrize("name", ["wandb", "trackio", "mlflow"])
def test_an_installed_tracker_keeps_metrics_and_pictures(small_model: Path, tmp_path: Path, name: str) -> None:
    """Offline, in local files; skipped where the tracker is not installed. Trackers read the environment on import."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    settings: dict[str, Any] = {
        "model": str(small_model),
        "out": "run",
        "tasks": "needle-micro/train",
        "report_to": name,
    }
    settings |= {"steps": 2, "groups": 1, "group_size": 2, "turn_tokens": 8, "log_steps": 1, "log_rollouts_steps": 1}
    code = (
        "import json, sys\n"
        "from vzgym.agents.training.grpo import train_grpo\n"
        "from vzgym.agents.training.settings import GRPOSettings\n"
        "train_grpo(GRPOSettings(**json.loads(sys.argv[1])))\n"
    )
    environment = {
        **os.environ, "WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_DATA_DIR": str(tmp_path / "data"),
        "TRACKIO_DIR": str(tmp_path / "trackio"), "MLFLOW_TRACKING_URI": f"file://{tmp_path}/mlruns",
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }  # fmt: skip
    subprocess.run([sys.executable, "-c", code, json.dumps(settings)], cwd=tmp_path, env=environment, check=True)
    pictures = [path for path in tmp_path.rglob("*.png") if "run" not in path.relative_to(tmp_path).parts[:1]]
    assert len(pictures) >= 4
