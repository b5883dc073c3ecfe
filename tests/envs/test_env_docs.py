"""The manual says what is so: doctests, the guides' code, and the sizes in the tables."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import vzgym.envs.video_zoom
from vzgym.envs import ACTIONS, ENV_IDS, OBSERVATIONS, VideoZoomEnv
from vzgym.episode.turn import Refusal
from vzgym.rewards import REWARDS
from vzgym.tasks import load_tasks

DOCS = Path(__file__).parents[2] / "docs"


def test_the_class_docstring_runs() -> None:
    result = doctest.testmod(vzgym.envs.video_zoom, optionflags=doctest.ELLIPSIS)
    assert result.attempted >= 4
    assert result.failed == 0


@pytest.mark.parametrize("id", ENV_IDS)
def test_the_tables_give_each_ids_sizes(id: str) -> None:
    tasks = load_tasks(str(ENV_IDS[id]["tasks"]))
    budget, video = tasks.budget, tasks[0].video
    sizes = [
        f"{video.duration:g} s, {video.height}x{video.width}, {video.fps:g} fps",
        f"{budget.overview_frames} frames",
        f"{budget.max_zooms} of {budget.clip_frames} frames",
        f"{budget.max_frames} frames of {'16x16' if 'observation' in ENV_IDS[id] else '64x64'}",
    ]
    for text in (VideoZoomEnv.__doc__ or "", (DOCS / "reference" / "environment.md").read_text(encoding="utf-8")):
        row = next(line for line in text.splitlines() if line.strip().startswith(f"| `{id}`"))
        cells = [cell.strip() for cell in row.split("|")]
        for size in sizes:
            assert any(cell.startswith(size) for cell in cells), (size, row)


def test_the_guide_names_what_there_is() -> None:
    text = (DOCS / "reference" / "environment.md").read_text(encoding="utf-8")
    for refusal in Refusal:
        assert f"`{refusal}`" in text
    for name in ("default", "compact", "dialogue"):
        assert name in OBSERVATIONS
        assert f'`"{name}"`' in text
    for name in ("default", "text", "discrete"):
        assert name in ACTIONS
        assert f'`"{name}"`' in text
    assert "iou" in REWARDS
    assert "@@" not in text
    assert "@@" not in (VideoZoomEnv.__doc__ or "")
