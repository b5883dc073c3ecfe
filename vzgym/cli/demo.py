"""`vzgym demo`: the whole of it in a few minutes, on video files that it makes itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from vzgym.baselines import CONTROLS
from vzgym.cli.evaluate import run_policies
from vzgym.cli.progress import console, progress_bar
from vzgym.core.budget import overview_times
from vzgym.core.errors import VideoError
from vzgym.envs.rendering import draw_episode
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation import evaluate
from vzgym.evaluation.tables import rich_table
from vzgym.tasks import TaskSet, load_tasks
from vzgym.tasks.write import write_tasks
from vzgym.tasks.jsonl import load_jsonl
from vzgym.video.file import BACKENDS

__all__ = ["demo"]

SUITE = "short/test"


def demo(
    out: Annotated[Path, typer.Option(help="Where videos, records and the picture go.")] = Path("runs/demo"),
    episodes: Annotated[int, typer.Option(help="Videos to write; a third each of needle, count, control.")] = 30,
    seed: Annotated[int, typer.Option(help="Of the policies' randomness.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that write videos.")] = 2,
) -> None:
    """Write real video files with questions, watch agents look for the answers, and draw one at work."""
    tasks = [load_tasks(SUITE)[index] for index in range(episodes)]
    with progress_bar() as bar:
        job = bar.add_task("write H.264 videos", total=len(tasks))
        listing = write_tasks(
            tasks, out / "videos", workers=workers, progress=lambda done, total: bar.update(job, completed=done)
        )
    files = load_jsonl(listing)
    _compare_decoders(listing, files)
    reports = run_policies([control.name for control in CONTROLS], files, episodes, seed, out / "runs")
    console.print(rich_table(reports, title=f"{episodes} questions about {episodes} video files"))
    picture = _picture(files, out / "episode.png")
    console.print(
        f"\nOverview alone answers the control questions only; needle and count need a zoom into the right place."
        f"\nAn episode as a picture: {picture}\nEvery episode as a record: {out / 'runs'}"
        f"\nPlay them again: vzgym replay {out / 'runs'}",
        highlight=False,
    )


def _compare_decoders(listing: Path, files: TaskSet) -> None:
    """Read the first videos with each decoder that is installed, and say how far the frames differ."""
    wanted = [_overview(files, index) for index in range(min(3, len(files)))]
    for name in BACKENDS.names():
        if name == "pyav":
            continue
        try:
            others = load_jsonl(listing, backend=name)
            found = [_overview(others, index) for index in range(len(wanted))]
        except (VideoError, ImportError) as error:
            console.print(f"{name}: not used here ({error})", highlight=False)
            continue
        apart = max(float(np.abs(a.astype(int) - b.astype(int)).mean()) for a, b in zip(wanted, found, strict=True))
        console.print(f"pyav and {name} read the same frames (mean difference {apart:.2f} of 255)", highlight=False)


def _overview(files: TaskSet, index: int) -> NDArray[np.uint8]:
    video = files[index].video
    return video.read(overview_times(video.duration, files.budget)).pixels


def _picture(files: TaskSet, path: Path) -> Path:
    """Draw the first of the sliding window's episodes: it looks everywhere, once at the right place."""
    drawn: list[EpisodeRecord] = []
    evaluate("sliding", files[0], episodes=1, on_episode=drawn.append)
    Image.fromarray(draw_episode(drawn[0])).save(path)
    return path
