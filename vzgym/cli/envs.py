"""`vzgym envs`."""

from __future__ import annotations

import inspect

from rich.box import SIMPLE_HEAD
from rich.table import Table

from vzgym.cli.progress import console
from vzgym.envs.registration import ENV_IDS
from vzgym.envs.video_zoom import VideoZoomEnv
from vzgym.tasks import load_tasks

__all__ = ["list_envs"]


def list_envs() -> None:
    """List the environment ids with tasks, modules and budget. Use gymnasium.make after `import vzgym`."""
    defaults = {name: item.default for name, item in inspect.signature(VideoZoomEnv).parameters.items()}
    table = Table(
        "id", "tasks", "observation", "action", "frames", box=SIMPLE_HEAD, pad_edge=False, show_edge=False,
        caption="frames: of the overview + zooms x frames of each, at most. Every keyword of VideoZoomEnv can be given "
        "to gymnasium.make.", caption_justify="left",
    )  # fmt: skip
    for name, settings in ENV_IDS.items():
        given = {**defaults, **settings}
        budget = load_tasks(str(given["tasks"])).budget
        frames = f"{budget.overview_frames} + {budget.max_zooms} x {budget.clip_frames}"
        table.add_row(name, *(str(given[key]) for key in ("tasks", "observation", "action")), frames)
    console.print(table)
