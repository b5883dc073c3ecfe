"""Measure each family's drawing speed, compared with decoding the same frames from an H.264 file.

    python benchmarks/painter.py [--frames 640] [--repeats 3]

One core. For each family's tiny suite a task is drawn at 64x64, all frames in batches of 64, and written to a file,
which PyAV then decodes from end to end (one thread, resized to 64x64 if larger). Both are timed alternately, in CPU
seconds, and the best repeat counts. Exits with status 1 if a family draws fewer than 2,000 frames a second.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from vzgym.tasks import FAMILIES, load_tasks
from vzgym.tasks.procedural.render.encode import encode_video
from vzgym.tasks.procedural.render.scenery import forget_scenes
from vzgym.video.base import Video
from vzgym.video.synthetic import ProceduralVideo, resize

SIDE, BATCH, LEAST = 64, 64, 2_000.0


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=640, help="frames of each video (default: all 640)")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(f"{SIDE}x{SIDE}, one core, CPU time; Python {platform.python_version()}, {platform.machine()}.\n")
    print("| family | drawn, frames/s | decoded by PyAV, frames/s | ratio |\n|---|---:|---:|---:|")
    slow = []
    with tempfile.TemporaryDirectory() as folder:
        for family in FAMILIES.names():
            drawn, decoded = measure(family, Path(folder), arguments.frames, arguments.repeats)
            print(f"| {family} | {drawn:,.0f} | {decoded:,.0f} | {drawn / decoded:.1f} |", flush=True)
            if drawn < LEAST:
                slow.append(family)
    for family in slow:
        print(f"TOO SLOW: {family} draws fewer than {LEAST:,.0f} frames a second", file=sys.stderr)
    return 1 if slow else 0


def measure(family: str, folder: Path, frames: int, repeats: int) -> tuple[float, float]:
    """Frames a second drawn, and decoded from the file."""
    video = load_tasks(f"{family}-tiny/test")[0].video
    assert isinstance(video, ProceduralVideo)
    count = min(frames, video.num_frames)
    path = folder / f"{family}.mp4"
    encode_video(video, path)
    drawing = best(lambda: draw(video, count), repeats)
    decoding = best(lambda: decode(path, count), repeats)
    return count / drawing, count / decoding


def best(work: Callable[[], None], repeats: int) -> float:
    """The shortest CPU time of several runs, after a warm-up run."""
    work()
    took = []
    for _ in range(max(1, repeats)):
        started = time.process_time()
        work()
        took.append(time.process_time() - started)
    return min(took)


def draw(video: Video, count: int) -> None:
    """Draw the first frames of a video, batch by batch."""
    forget_scenes()  # the cache of the last repeat would bias the result
    for start in range(0, count, BATCH):
        video.read(np.arange(start, min(count, start + BATCH)) / video.fps, size=(SIDE, SIDE))


def decode(path: Path, count: int) -> None:
    """Decode the first frames of a file to RGB."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for index, frame in enumerate(container.decode(stream)):
            if index == count:
                break
            resize(np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)[None], (SIDE, SIDE))


if __name__ == "__main__":
    sys.exit(main())
