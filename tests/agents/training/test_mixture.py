"""Several task sets in one GRPO run: each row is played in its own environment, under its own budget."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from vzgym.agents.metadata import saved_budget
from vzgym.agents.training import grpo
from vzgym.agents.training.config import load_settings
from vzgym.agents.training.grpo import make_trainer, train_grpo
from vzgym.agents.training.rewards import Scorer
from vzgym.agents.training.settings import GRPOSettings
from vzgym.agents.training.tool_environment import ToolEnvironment, opening_row
from vzgym.core.errors import InvalidSetting
from vzgym.episode import EpisodeRecord
from vzgym.evaluation.replay import replay
from vzgym.protocols import PROTOCOLS
from vzgym.rewards import make_reward
from vzgym.tasks import load_tasks
from vzgym.tasks.io.writing import write_tasks
from vzgym.tools.extras import Extras

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


def test_accuracy_and_zooms_of_each_set_are_logged(finished: Path) -> None:
    records = [EpisodeRecord.from_line(line) for line in (finished / "rollouts.jsonl").read_text().splitlines()]
    lines = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    for step in (1, 2):
        (line,) = (line for line in lines if line["step"] == step and "episode/zooms" in line)
        for name, word in zip(NAMES, ("train", "validation"), strict=True):
            part = [record for record in records if record.info.step == step - 1 and word in record.task.id]
            if not part:
                assert not [key for key in line if key.startswith(f"mixture/{name}/")]
                continue
            scores = [record.grade.score for record in part if record.grade and record.grade.score is not None]
            assert float(line[f"mixture/{name}/accuracy"]) == pytest.approx(sum(scores) / len(scores))
            zooms = sum(record.zooms for record in part) / len(part)
            assert float(line[f"mixture/{name}/zooms"]) == pytest.approx(zooms)


def test_further_tasks_of_dynamic_sampling_are_of_all_sets(small_model: Path, tmp_path: Path) -> None:
    # An untrained model answers nothing, so that no group has a signal.
    mixed = settings(small_model, tmp_path / "run", groups=2, steps=1, dynamic_sampling=1)
    out = train_grpo(mixed.replace(mixture=[{"tasks": OTHER}], reward={"accuracy": 1.0}))
    records = [EpisodeRecord.from_line(line) for line in (out / "rollouts.jsonl").read_text().splitlines()]
    assert len({record.task.id for record in records}) == 4
    assert {record.task.id.rpartition("/")[0] for record in records} == {
        "needle-micro/train", "needle-micro/validation"
    }  # fmt: skip
    line = json.loads((out / "log.jsonl").read_text().splitlines()[0])
    assert float(line["dynamic_sampling/batches"]) == 2
    assert {f"mixture/{name}/zooms" for name in NAMES} <= set(line)


def _rollout(name: str, turn: str) -> tuple[ToolEnvironment, list[dict[str, Any]]]:
    tasks = load_tasks("needle-micro/train")
    made = ToolEnvironment(tasks, tasks.budget, PROTOCOLS.make("tags"), name=name)
    opening = Extras().episode(tasks[0], tasks.budget, PROTOCOLS.make("tags")).messages
    made.reset(prompt=opening_row(opening), task=0)
    return made, [{"role": "assistant", "content": turn}]


def test_tasks_of_two_sets_with_the_same_id_are_compared_within_their_set_only() -> None:
    right = f"<think>a</think><answer>{load_tasks('needle-micro/train')[0].answer}</answer>"
    rollouts = [_rollout(name, right if name == "one" else "?") for name in ("one", "one", "two", "two")]
    scorer = Scorer(make_reward({"accuracy": 1.0}), {}, sets=("one", "two", "three"))
    metrics: dict[str, list[float]] = defaultdict(list)
    scorer.functions[0](
        environments=[made for made, _ in rollouts],
        completions=[completion for _, completion in rollouts],
        log_metric=lambda name, value: metrics[name].append(value),
    )
    # No group has a signal, since all roll-outs of a set have the same reward.
    assert metrics["terms/accuracy/groups_moved"] == [0]
    # A value for each roll-out, so that the trainer's means over processes have the right weights.
    assert {name: values for name, values in metrics.items() if name.startswith("mixture/")} == {
        "mixture/one/accuracy": [1, 1],
        "mixture/one/zooms": [0, 0],
        "mixture/two/accuracy": [0, 0],
        "mixture/two/zooms": [0, 0],
    }
    assert scorer.measures["mixture/one/accuracy"] == 1
    assert scorer.measures["mixture/two/accuracy"] == 0
    assert "mixture/three/zooms" not in scorer.measures


def test_a_single_set_has_no_columns_of_its_own() -> None:
    scorer = Scorer(make_reward("videozoomer"), {}, sets=("one",))
    made, completion = _rollout("one", "?")
    metrics: dict[str, float] = {}
    scorer.functions[0](environments=[made], completions=[completion], log_metric=metrics.__setitem__)
    assert "episode/correct" in metrics
    assert not [name for name in metrics if name.startswith("mixture/")]


def test_files_of_the_same_name_are_told_apart(small_model: Path, tmp_path: Path) -> None:
    files = [write_tasks([load_tasks(TRAIN)[place]], tmp_path / folder) for place, folder in enumerate("ab")]
    mixed = settings(small_model, tmp_path / "run", groups=2).replace(
        tasks=str(files[0]), mixture=[{"tasks": str(files[1])}]
    )
    trainer, _ = make_trainer(mixed)
    assert trainer.train_dataset["environment"] == list(map(str, files))
    again = mixed.replace(mixture=[{"tasks": str(files[0].parent / ".." / "a" / "tasks.jsonl")}])
    with pytest.raises(InvalidSetting, match="'tasks' is given twice"):
        make_trainer(again)


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
