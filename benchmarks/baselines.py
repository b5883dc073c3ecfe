"""Accuracy of every control on needle, count and control tasks, drawn and from video files (the README's table).

    python benchmarks/baselines.py [--episodes 200] [--files 500] [--out runs/baselines]

Arrays: the suites `needle`, `count`, `control` (189 s, 256x144), drawn on demand. Files: `needle-tiny`, `count-tiny`,
`control-tiny` (64 s, 64x64), written as H.264 and read back by PyAV. A stopped run is resumed. Exits with status 1 if a
control's accuracy contradicts its definition.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from vzgym.baselines import CONTROLS
from vzgym.cli.evaluate import run_policies
from vzgym.cli.tasks import write_task_files
from vzgym.core.memory import peak_memory
from vzgym.evaluation import Estimate, EvaluationReport
from vzgym.tasks import TaskSet, load_tasks
from vzgym.tasks.io.jsonl import load_jsonl

FAMILIES = ("needle", "count", "control")
CHANCE = 0.25


def main() -> int:
    """Run everything; print the table, time and memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=200, help="drawn episodes per family")
    parser.add_argument("--files", type=int, default=500, help="episodes from files per family")
    parser.add_argument("--out", type=Path, default=Path("runs/baselines"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes for writing files")
    arguments = parser.parse_args()
    started = time.perf_counter()
    sets: dict[str, TaskSet] = {}
    for family in FAMILIES:
        sets[f"{family}, arrays"] = load_tasks(f"{family}/test")
    for family in FAMILIES:
        sets[f"{family}, files"] = write_files(family, arguments.files, arguments.out, arguments.workers)
    reports = {
        name: run_policies(
            [control.name for control in CONTROLS],
            tasks,
            arguments.files if name.endswith("files") else arguments.episodes,
            arguments.seed,
            arguments.out / name.replace(", ", "-"),
        )
        for name, tasks in sets.items()
    }
    print(table(reports))
    print(
        f"\n{arguments.episodes} episodes a cell on arrays, {arguments.files} on files, seed {arguments.seed}; "
        "accuracy in %, Wilson's 95 % interval."
    )
    print(f"{time.perf_counter() - started:.0f} s, peak memory {peak_memory() or 0.0:.2f} GiB.")
    faults = out_of_place(reports)
    for fault in faults:
        print(f"OUT OF PLACE: {fault}", file=sys.stderr)
    return 1 if faults else 0


def write_files(family: str, episodes: int, out: Path, workers: int) -> TaskSet:
    """Write a family's tiny tasks as video files, with a progress bar, and load them."""
    suite = load_tasks(f"{family}-tiny/test")
    tasks = [suite[index] for index in range(episodes)]
    return load_jsonl(write_task_files(tasks, out / "videos" / family, workers, f"write {family} files"))


def cell(estimate: Estimate) -> str:
    """An accuracy with its interval, in per cent."""
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"


def table(reports: dict[str, list[EvaluationReport]]) -> str:
    """A table with a row per policy, a column per family and kind, and the mean number of frames."""
    lines = ["| policy | frames | " + " | ".join(reports) + " |", "|---|---:|" + "---:|" * len(reports)]
    for row, control in enumerate(CONTROLS):
        of_policy = [found[row] for found in reports.values()]
        frames = [report.summary["frames"].value for report in of_policy]
        cells = [cell(report.accuracy) for report in of_policy]
        hits = [report.hit_rate for report in of_policy]
        if any(hit is not None for hit in hits):
            cells = [
                f"{text}, expected hits {100 * hit:.0f} %" if hit is not None else text
                for text, hit in zip(cells, hits, strict=True)
            ]
        lines.append(f"| {control.name} | {min(frames):.0f}-{max(frames):.0f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def out_of_place(reports: dict[str, list[EvaluationReport]]) -> list[str]:
    """Controls whose results contradict their definition."""
    faults = []
    for name, found in reports.items():
        by_policy = {report.policy: report.accuracy for report in found}
        needs_zoom = not name.startswith("control")
        for policy in ("blind", "overview") if needs_zoom else ("blind",):
            estimate = by_policy[policy]
            # Ten such cells are checked, so each gets a 99.9 % interval to avoid failures by chance.
            room = 3.29 * (CHANCE * (1 - CHANCE) / estimate.n) ** 0.5
            if abs(estimate.value - CHANCE) > room:
                faults.append(f"{policy} on {name}: {cell(estimate)} is not chance")
        if not needs_zoom and by_policy["overview"].value < 0.98:
            faults.append(f"overview on {name}: {cell(by_policy['overview'])} is below 98 %")
        if by_policy["oracle"].value < 0.98:
            faults.append(f"oracle on {name}: {cell(by_policy['oracle'])} is below 98 %")
    return faults


if __name__ == "__main__":
    sys.exit(main())
