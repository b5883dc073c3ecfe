"""Several task sets in one GRPO run: each row is played in its own environment, under its own budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vzgym.agents.metadata import saved_budget
from vzgym.agents.training import grpo
from vzgym.agents.training.config import load_settings
from vzgym.agents.training.grpo import make_trainer, train_grpo
from vzgym.agents.training.settings import GRPOSettings
from vzgym.core.errors import InvalidSetting
from vzgym.episode import EpisodeRecord
from vzgym.evaluation.replay import replay
from vzgym.tasks import load_tasks

TRAIN, OTHER = "needle-micro/train[:3]", "needle-micro/validation[:2]"
NAMES = ("needle-micro/train[0:3]", "needle-micro/validation[0:2]")


def settings(model: Path, out: Path, **more: Any) -> GRPOSettings:
    values = {"steps": 2, "groups": 4, "group_size": 2, "turn_tokens": 8, "log_steps": 1, "learning_rate": 1e-3}
    return GRPOSettings(model=str(model), out=str(out), tasks=TRAIN, **{**values, **more})


@pytest.fixture(scope="module")
def finished(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    own = load_tasks(OTHER).budget
    mixture = [{"tasks": OTHER, "budget": {"overview_frames": own.overview_frames - 2, "clip_frames": 2}}]
    return train_grpo(settings(small_model, tmp_path_factory.mktemp("mixed") / "run", mixture=mixture))


def test_each_row_is_played_under_the_budget_of_its_set(finished: Path) -> None:
    records = [EpisodeRecord.from_line(line) for line in (finished / "rollouts.jsonl").read_text().splitlines()]
    assert len(records) == 16
    budget = load_tasks(TRAIN).budget
    frames = {
        name: {(len(record.overview), record.budget.clip_frames) for record in records if name in record.task.id}
        for name in ("train", "validation")
    }
    assert frames == {
        "train": {(budget.overview_frames, budget.clip_frames)},
        "validation": {(budget.overview_frames - 2, 2)},
    }
    for first, second in zip(records[::2], records[1::2], strict=True):
        assert first.task.id == second.task.id
    assert all(replay(record).differences == [] for record in records[:8])


def test_no_single_budget_is_saved_with_the_model(finished: Path) -> None:
    assert saved_budget(finished) is None
    settings_kept = json.loads((finished / "training.json").read_text())["settings"]
    assert settings_kept["mixture"][0]["tasks"] == OTHER


def test_sets_are_mixed_by_their_numbers_of_tasks(small_model: Path, tmp_path: Path) -> None:
    trainer, _ = make_trainer(settings(small_model, tmp_path / "run", mixture=[{"tasks": OTHER, "num_tasks": 1}]))
    assert trainer.train_dataset["environment"] == [NAMES[0]] * 3 + [NAMES[1]]
    assert trainer.train_dataset["task"] == [0, 1, 2, 0]
    assert list(trainer.environment_factories) == list(NAMES)


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        ([{"tasks": TRAIN}], "given twice"),
        ([{"tasks": OTHER, "budget": {"max_zooms": 5}}], "max_zooms is 2 .* and 5"),
        ([{"tasks": OTHER, "budget": {"zooms_per_turn": 2}}], "zooms_per_turn is 1 .* and 2"),
    ],
)
def test_what_a_run_has_once_cannot_differ(
    small_model: Path, tmp_path: Path, mixture: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(InvalidSetting, match=message):
        make_trainer(settings(small_model, tmp_path / "run", mixture=mixture))


@pytest.mark.parametrize(
    "more", [{"budget": {"min_zooms": 1}}, {"mixture": [{"tasks": OTHER, "budget": {"min_zooms": 1}}]}]
)
def test_required_zooms_are_refused_before_the_model_is_loaded(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    monkeypatch.setattr(grpo, "open_model", None)
    with pytest.raises(InvalidSetting, match=r"ends at its first answer, .* \(min_zooms is 1\): set min_zooms to 0"):
        make_trainer(settings(small_model, tmp_path / "run", **more))


def test_a_setting_of_a_mixture_is_named() -> None:
    with pytest.raises(InvalidSetting, match="mixture"):
        load_settings(GRPOSettings, None, None, {"tasks": TRAIN, "mixture": [{"task": OTHER}]})
