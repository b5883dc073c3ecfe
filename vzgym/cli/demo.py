"""`vzgym demo`: a demonstration on generated video files in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from vzgym.baselines import CONTROLS
from vzgym.cli.evaluate import run_folder, run_policies
from vzgym.cli.learning import learn, missing_packages, quiet_libraries
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
TRAINED = "needle-micro/test"
"""Held-out tasks of the model that is part of the package."""
TRAINED_TASKS = 64


def demo(
    out: Annotated[Path, typer.Option(help="Folder for videos, records and the picture.")] = Path("runs/demo"),
    episodes: Annotated[int, typer.Option(help="Number of videos; a third each of needle, count, control.")] = 30,
    seed: Annotated[int, typer.Option(help="Seed of the policies.")] = 0,
    workers: Annotated[int, typer.Option(help="Number of processes that write videos.")] = 2,
    held_out: Annotated[int, typer.Option(help="Held-out tasks for evaluating the trained model.")] = 256,
    quick: Annotated[
        bool, typer.Option("--quick", help=f"{QUICK} videos at most, and a trained model instead of training one.")
    ] = False,
) -> None:
    """Show agents searching video files for answers, then train a small model to do so."""
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
        "\nThe overview suffices for the control questions; needle and count require a zoom into the evidence."
        f"\nAn episode as a picture ({record.info.policy} on {record.task.id}): {out / 'episode.png'}"
        f"\nEvery episode as a record: {out / 'runs'}"
        f"\nSee them all: vzgym view {out / 'runs'}"
    )
    if quick:
        _show_trained(out / "trained", seed)
    else:
        _learn(out / "learning", held_out, seed)


def _show_trained(out: Path, seed: int) -> None:
    """Play the trained model that is part of the package, if its packages are installed."""
    missing = missing_packages()
    if missing:
        say(f'\nTo play a trained model as well (requires {", ".join(missing)}): pip install "vzgym[llm,plots]"')
        return
    quiet_libraries()
    reports = run_policies(["blind", "random", "tiny", "expert"], load_tasks(TRAINED), TRAINED_TASKS, seed, out)
    console.print(rich_table(reports, title=f"A trained model of 0.3 million weights: {TRAINED_TASKS} held-out tasks"))
    say(f"Its episodes: vzgym view {out}\nTrain one like it: make demo, or vzgym train --help")


def _learn(out: Path, episodes: int, seed: int) -> None:
    """Run the training part if its packages are installed."""
    missing = missing_packages()
    if missing:
        say(f'\nTo train a model as well (requires {", ".join(missing)}): pip install "vzgym[llm,plots]"')
        return
    say("\nTraining a randomly initialized model with 0.3 million weights:")
    reports = learn(out, episodes, seed)
    console.print(rich_table(reports, title=f"{episodes} held-out questions"))
    say(
        f"\nIts learning curve: {out / 'learning.png'}\nThe same with individual commands: vzgym train --help"
        f"\nPlay the trained model: vzgym eval --policy {out / 'grpo'} --tasks needle-micro"
    )


def _compare_decoders(listing: Path, files: TaskSet) -> None:
    """Read the first videos with each installed decoder, and print the difference of their frames."""
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
    """An episode with a useful zoom: a random search that found the evidence, else an oracle episode."""
    for policy in ("random", "oracle"):
        for record in read_records(run_folder(runs, policy, files)):
            right = record.grade is not None and record.grade.is_correct
            if record.task.category == "needle" and right and _clear(record):
                return record
    return record


def _clear(record: EpisodeRecord) -> bool:
    """Whether a zoom shows the evidence with few enough frames to fit into the picture."""
    evidence = record.task.evidence or ()
    times = [time for clip in record.clips[1:] if len(clip) <= 7 for time in clip.times]
    return any(time in span for time in times for span in evidence)
