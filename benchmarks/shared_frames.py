"""Measure a group of roll-outs over several processes, with and without shared frames.

    python benchmarks/shared_frames.py             16 roll-outs of 3 zooms over 4 processes, 360p and 720p
    python benchmarks/shared_frames.py --quick     360p alone, a 10-minute file

Files and clips are those of `benchmarks/video.py`. Figures are CPU seconds of all processes, without imports, and the
frames that they decoded.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.video import SIZE, bound, group, make_file
from vzgym.rollout.executor import LocalProcesses, stateless
from vzgym.video.file import FileVideo
from vzgym.video.settings import VideoLimits, configure
from vzgym.video.shared_frames import shared_frames

PROCESSES = 4
ROLLOUTS = 16


class Job(NamedTuple):
    """The clips of one process's roll-outs, and where all processes wait for each other."""

    number: int
    path: Path
    clips: Sequence[NDArray[np.float64]]
    meeting: Path


def play(settings: dict[str, Any], job: Job) -> tuple[float, int]:
    """Read the clips; CPU seconds, and frames decoded."""
    video = FileVideo(job.path, **settings)
    video.read(np.zeros(1), size=SIZE)  # imports, and opens the file
    (job.meeting / str(job.number)).touch()
    while len(list(job.meeting.iterdir())) < PROCESSES:
        time.sleep(0.01)
    before = time.process_time()
    decoded = sum(video.read(times, size=SIZE).decoded for times in job.clips)
    return time.process_time() - before, decoded


def measure(path: Path, clips: list[NDArray[np.float64]], processes: int, shared: int, **settings: Any) -> Any:
    """The cost of a group: CPU seconds and frames decoded, of all processes."""
    mine = [[clip for n, clip in enumerate(clips) if n % ROLLOUTS % processes == number] for number in range(processes)]
    before = configure(VideoLimits(shared_bytes=shared))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(processes, PROCESSES):
            (Path(folder) / str(number)).touch()
        jobs = [Job(number, path, part, Path(folder)) for number, part in enumerate(mine)]
        found = list(LocalProcesses(processes).map(stateless(partial(play, settings)), jobs))
    configure(before)
    if shared:  # nothing is left for the next measurement
        shared_frames(shared).close()
        shared_frames.cache_clear()
    return {"cpu": round(sum(seconds for seconds, _ in found), 2), "decoded": sum(count for _, count in found)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/files"), help="where the video files are kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shared", type=float, default=3.0, help="shared frames, in GB")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    minutes = 10 if arguments.quick else 30
    shared = int(arguments.shared * 1e9)
    print(f"| file | {PROCESSES} processes | CPU s | / bound | frames decoded |\n|---|---|---|---|---|")
    for height in [360] if arguments.quick else [360, 720]:
        file = make_file(arguments.folder, height, minutes, 250)
        clips = group(minutes, arguments.seed)
        least = bound(file.path, clips)
        print(f"| {file.name} | (bound) | {least:.2f} | 1 | |", flush=True)
        for name, processes, nbytes, settings in (
            ("(one process)", 1, 0, {}),
            ("by themselves", PROCESSES, 0, {}),
            ("sharing frames", PROCESSES, shared, {}),
            ("by themselves, grid", PROCESSES, 0, {"grid_fps": 8.0}),
            ("sharing frames, grid", PROCESSES, shared, {"grid_fps": 8.0}),
        ):
            row = measure(file.path, clips, processes, nbytes, **settings)
            print(f"| | {name} | {row['cpu']:.2f} | {row['cpu'] / least:.2f} | {row['decoded']:,} |", flush=True)
            with (arguments.folder / "shared_frames.jsonl").open("a") as log:
                log.write(json.dumps({"file": file.name, "case": name, "bound": round(least, 2), **row}) + "\n")


if __name__ == "__main__":
    main()
