"""`vzgym demo`: the whole of it in a few minutes, on video files that it makes itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from vzgym.baselines import CONTROLS
from vzgym.cli.evaluate import run_folder, run_policies
from vzgym.cli.learning import learn, missing_packages
from vzgym.cli.progress import console, say
from vzgym.cli.tasks import write_task_files
from vzgym.core.budget import overview_times
from vzgym.core.errors import DependencyNotInstalled, InvalidSetting, VideoError
from vzgym.envs.rendering import draw_episode
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation import read_records
from vzgym.evaluation.replay import replay
from vzgym.evaluation.tables import rich_table
from vzgym.tasks import TaskSet, load_jsonl, load_tasks
from vzgym.video.file import BACKENDS

__all__ = ["demo"]

SUITE = "short/test"
QUICK = 9
"""Videos of the short demo."""


def demo(
    out: Annotated[Path, typer.Option(help="Where videos, records and the picture go.")] = Path("runs/demo"),
    episodes: Annotated[int, typer.Option(help="Videos to write; a third each of needle, count, control.")] = 30,
    seed: Annotated[int, typer.Option(help="Of the policies' randomness.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that write videos.")] = 2,
    held_out: Annotated[int, typer.Option(help="Held-out tasks on which the learning model is played.")] = 256,
    quick: Annotated[bool, typer.Option("--quick", help=f"{QUICK} videos at most, and no learning.")] = False,
) -> None:
    """Watch agents search real video files for answers; then watch a small model learn to."""
    suite = load_tasks(SUITE)
    if not 1 <= episodes <= len(suite):
        raise InvalidSetting(f"--episodes must be 1 to {len(suite)}, the size of {suite.name}, got {episodes}")
    episodes = min(episodes, QUICK) if quick else episodes
    tasks = [suite[index] for index in range(episodes)]
    listing = write_task_files(tasks, out / "videos", workers, "write H.264 videos")
    files = load_jsonl(listing)
    _compare_decoders(listing, files)
    reports = run_policies([control.name for control in CONTROLS], files, episodes, seed, out / "runs")
    console.print(rich_table(reports, title=f"{episodes} questions about {episodes} video files"))
    record = _worth_looking_at(files, out / "runs")
    Image.fromarray(draw_episode(replay(record).record)).save(out / "episode.png")
    say(
        "\nThe overview alone answers the control questions; needle and count need a zoom into the right place."
        f"\nAn episode as a picture ({record.info.policy} on {record.task.id}): {out / 'episode.png'}"
        f"\nEvery episode as a record: {out / 'runs'}"
        f"\nPlay them again: vzgym replay {out / 'runs'}"
    )
    if not quick:
        _learn(out / "learning", held_out, seed)


def _learn(out: Path, episodes: int, seed: int) -> None:
    """The learning half, where its packages are installed."""
    missing = missing_packages()
    if missing:
        say(f'\nTo watch a model learn as well (it needs {", ".join(missing)}): pip install "vzgym[llm,plots]"')
        return
    say("\nNow a model of 0.3 million weights, built from a seed, learns where to look:")
    reports = learn(out, episodes, seed)
    console.print(rich_table(reports, title=f"{episodes} held-out questions"))
    say(
        f"\nIts learning curve: {out / 'learning.png'}\nThe same by single commands: vzgym train --help"
        f"\nPlay the trained model: vzgym eval --policy {out / 'grpo'} --tasks needle-micro"
    )


def _compare_decoders(listing: Path, files: TaskSet) -> None:
    """Read the first videos with each decoder that is installed, and print how far the frames differ."""
    wanted = [_overview(files, index) for index in range(min(3, len(files)))]
    for name in BACKENDS.names():
        if name == "pyav":
            continue
        try:
            others = load_jsonl(listing, backend=name)
            found = [_overview(others, index) for index in range(len(wanted))]
        except DependencyNotInstalled:
            continue
        except (VideoError, ImportError) as error:
            say(f"{name}: not used here ({error})")
            continue
        apart = max(float(np.abs(a.astype(int) - b.astype(int)).mean()) for a, b in zip(wanted, found, strict=True))
        say(f"pyav and {name} read the same frames (mean difference {apart:.2f} of 255)")


def _overview(files: TaskSet, index: int) -> NDArray[np.uint8]:
    video = files[index].video
    return video.read(overview_times(video.duration, files.budget)).pixels


def _worth_looking_at(files: TaskSet, runs: Path) -> EpisodeRecord:
    """An episode in which looking closely paid: a random search that found the flash, else what the oracle did."""
    for policy in ("random", "oracle"):
        for record in read_records(run_folder(runs, policy, files)):
            right = record.grade is not None and record.grade.is_correct
            if record.task.category == "needle" and right and _clear(record):
                return record
    return record


def _clear(record: EpisodeRecord) -> bool:
    """Whether a zoom shows the evidence among so few frames that the picture has room for all of them."""
    evidence = record.task.evidence or ()
    times = [time for clip in record.clips[1:] if len(clip) <= 7 for time in clip.times]
    return any(time in span for time in times for span in evidence)
