"""A language model through all its stages, and a learner of Stable-Baselines3: small ones, a few steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from vzgym.evaluation.experiments import Results, load_experiment, make_grid, write_results
from vzgym.evaluation.experiments.stages import run_stage

VLM = """
tasks: needle-micro
seeds: 1
evaluate: {episodes: 4, batch_size: 4}
rewards:
  bonus: {accuracy: 1.0, tool_bonus: 0.5}
learners:
  tiny:
    kind: vlm
    pretrain:
      {max_steps: 4, videos: 8, batch_size: 8, size: {width: 32, layers: 2, heads: 2, inner: 48, vision_width: 16}}
    collect: {episodes: 12}
    sft: {max_steps: 2, batch_size: 4}
    grpo: {steps: 2, groups: 1, group_size: 2, turn_tokens: 6, log_steps: 1}
"""

SB3 = """
tasks: needle-micro
seeds: 1
evaluate: {episodes: 3}
budgets: {one zoom: {max_zooms: 1}}
rewards: {right: {accuracy: 1.0}}
learners:
  ppo:
    kind: sb3
    sb3: {steps: 64, envs: 2, eval_every: 64, eval_episodes: 3, max_options: 6, tensorboard: false,
          options: {n_steps: 16, batch_size: 16, n_epochs: 1}}
"""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def grid_of(folder: Path, text: str):
    (folder / "trial.yaml").write_text(text, encoding="utf-8")
    return make_grid(load_experiment(folder / "trial.yaml"))


def test_a_language_model_goes_through_its_stages(tmp_path: Path) -> None:
    grid = grid_of(tmp_path, VLM)
    for stage in grid.stages:
        run_stage(stage, tmp_path)
    assert all(stage.done(tmp_path) is not None for stage in grid.stages)
    grpo = next(stage for stage in grid.stages if stage.kind == "grpo")
    assert grpo.progress(tmp_path) == 1.0
    results = Results(grid, tmp_path)
    for row in results.rows:
        curve = results.curve(row)
        assert curve.steps == [1.0, 2.0]
        assert all(0 <= share <= 1 for share in curve.accuracy)
        assert row.metric("correct").n == 4
        # Its own evaluation, and all stages before it.
        assert row.seconds > row.cell.stage.done(tmp_path)["seconds"]
    write_results(grid, tmp_path)
    assert (tmp_path / "trial" / "curves.png").is_file()


def test_a_learner_of_stable_baselines3_learns_under_the_cells_budget(tmp_path: Path) -> None:
    grid = grid_of(tmp_path, SB3)
    for stage in grid.stages:
        run_stage(stage, tmp_path)
    (row,) = Results(grid, tmp_path).rows
    assert row.metric("zooms").value <= 1
    assert Results(grid, tmp_path).curve(row).steps[-1] == 64
