"""What keeping keys and values between turns saves: `VLMPolicy(reuse=True)` against reading everything again.

    OMP_NUM_THREADS=1 python benchmarks/reuse.py [--family qwen2_5_vl] [--rows 2]

A real architecture at small size with random weights on one CPU core; the dialogues are a real episode's: an overview,
then full zooms. Times are the processor's, so that other programs on the machine disturb them little. Both ways must
say the same text, or the script fails.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch

from vzgym.agents.vlm.checkpoint import Checkpoint, open_checkpoint
from vzgym.agents.vlm.policy import VLMPolicy
from vzgym.core.actions import Zoom
from vzgym.core.budget import Budget
from vzgym.episode import Episode
from vzgym.tasks import TaskSet, load_tasks
from vzgym.testing.models import FAMILIES, ModelSize, build_checkpoint

SIZE = ModelSize(width=256, layers=8, heads=4, kv_heads=2, inner=1024, vision_width=128, vision_layers=4,
                 vision_heads=4, vision_inner=512, positions=16_384)  # fmt: skip
ZOOMS = (Zoom(0, 8, 2), Zoom(40, 48, 2), Zoom(80, 88, 2))


def play(start: Checkpoint, tasks: TaskSet, budget: Budget, rows: int, reuse: bool) -> tuple[list[float], list[str]]:
    """Seconds of each turn, and what was said."""
    policy = VLMPolicy(checkpoint=start, turn_tokens=16, device="cpu", temperature=1.0, reuse=reuse)
    episodes = [Episode(tasks[i], budget, start.protocol) for i in range(rows)]
    policy.reset(range(rows))
    seconds, said = [], []
    for zoom in (*ZOOMS, None):
        began = time.process_time()
        texts = policy.respond([episode.messages for episode in episodes])
        seconds.append(time.process_time() - began)
        said += texts
        for episode, text in zip(episodes, texts, strict=True):
            if zoom is not None:
                episode.step(zoom, text=text)
    return seconds, said


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=sorted(FAMILIES), default="qwen2_5_vl")
    parser.add_argument("--rows", type=int, default=2, help="dialogues of a batch")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tasks = load_tasks("needle/test")
    budget = Budget(overview_frames=32, clip_frames=16, max_zooms=4, max_pixels=25_088, min_pixels=1)
    with tempfile.TemporaryDirectory() as folder:
        start = open_checkpoint(build_checkpoint(options.family, folder, SIZE))
        plain, said = play(start, tasks, budget, options.rows, reuse=False)
        kept, again = play(start, tasks, budget, options.rows, reuse=True)
    if said != again:
        raise SystemExit("the two ways said different texts")
    print(f"{options.family}, {options.rows} dialogues at once; the same {len(said)} turns either way\n")
    print("| turn | everything read again, s | only what is new, s | times quicker |\n|---|---|---|---|")
    for turn, (slow, quick) in enumerate(zip(plain, kept, strict=True), 1):
        print(f"| {turn} | {slow:.2f} | {quick:.2f} | {slow / quick:.2f} |")
    print(f"| all | {sum(plain):.2f} | {sum(kept):.2f} | {sum(plain) / sum(kept):.2f} |")


if __name__ == "__main__":
    main()
