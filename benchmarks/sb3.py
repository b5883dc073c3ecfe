"""Train MaskablePPO on the tiny needle tasks with several seeds, and compare it with the controls.

    OMP_NUM_THREADS=1 python benchmarks/sb3.py --out runs/sb3

One process, one core, one seed after the other. Finished seeds are skipped; a stopped one resumes from its newest
checkpoint. Training uses the train split, the learning curve the first 100 tasks of the validation split, and the table
the first `--episodes` tasks of the test split, each played once by each policy. Prints the table in Markdown and writes
`results.json`, `table.md` and a plot of the curves (`sb3.png`) into the folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vzgym.agents.sb3 import SB3Policy, SB3Settings, train_sb3
from vzgym.agents.sb3.training import curve_lines
from vzgym.cli.progress import progress_bar
from vzgym.evaluation import evaluate

TEST = "needle-tiny/test"
CONTROLS = ("blind", "random", "overview", "uniform", "oracle")
SHARE = 0.9
"""Target accuracy as a share of the oracle's."""
# Student's t for a mean over few seeds, two-sided 95 %.
_STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}

Row = dict[str, Any]


def train(settings: SB3Settings) -> Path:
    """Train one seed, unless it is finished."""
    folder = Path(settings.out)
    if (folder / "model.zip").is_file() and SB3Settings.load(folder).steps >= settings.steps:
        return folder
    started = any((folder / "checkpoints").glob("step_*.zip"))
    with progress_bar() as bar:
        job = bar.add_task(f"seed {settings.seed}", total=settings.steps)

        def show(done: int, measures: Mapping[str, float]) -> None:
            told = f": validation {measures['accuracy']:.1%}" if measures else ""
            bar.update(job, completed=done, description=f"seed {settings.seed}{told}")

        return train_sb3(settings, resume=started, progress=show)


def play(policy: Any, episodes: int) -> Row:
    """A policy's results on the test split."""
    report = evaluate(policy, TEST, episodes=episodes)
    accuracy = report.accuracy
    return {
        "accuracy": accuracy.value,
        "low": accuracy.low,
        "high": accuracy.high,
        "zooms": report.summary["zooms"].value,
        "frames": report.summary["frames"].value,
    }


def first_at(curve: Iterable[Mapping[str, float]], target: float) -> Mapping[str, float] | None:
    """The first point of a learning curve at or above the target."""
    return next((point for point in curve if point["accuracy"] >= target), None)


def table(controls: Mapping[str, Row], seeds: Sequence[Row], curves: Sequence[list[dict[str, float]]]) -> str:
    """All rows in Markdown, and the mean over seeds."""
    target = SHARE * controls["oracle"]["accuracy"]
    lines = [
        "| policy | accuracy, % | zooms | frames | steps | CPU seconds | at least 0.9 of the oracle from |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [f"| {name} | {_cells(found)} | | | |" for name, found in controls.items()]
    for seed, (found, curve) in enumerate(zip(seeds, curves, strict=True)):
        reached = first_at(curve, target)
        when = f"step {reached['steps']:.0f}, {reached['cpu_seconds']:.0f} s" if reached else "never"
        end = curve[-1]
        lines.append(
            f"| MaskablePPO, seed {seed} | {_cells(found)} | {end['steps']:.0f} | {end['cpu_seconds']:.0f} | {when} |"
        )
    if len(seeds) > 1:
        means = {name: _mean([found[name] for found in seeds]) for name in ("accuracy", "zooms", "frames")}
        value, half = means["accuracy"]
        lines.append(
            f"| **MaskablePPO, mean of {len(seeds)}** | **{100 * value:.1f} ± {100 * half:.1f}** | "
            f"{means['zooms'][0]:.2f} | {means['frames'][0]:.1f} | | | |"
        )
    return "\n".join(lines) + "\n"


def _cells(found: Row) -> str:
    span = f"[{100 * found['low']:.1f}, {100 * found['high']:.1f}]"
    return f"{100 * found['accuracy']:.1f} {span} | {found['zooms']:.2f} | {found['frames']:.1f}"


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval by Student's t."""
    spread = float(np.std(values, ddof=1)) / len(values) ** 0.5
    return float(np.mean(values)), _STUDENT.get(len(values), 1.96) * spread


def draw(curves: Sequence[list[dict[str, float]]], controls: Mapping[str, Row], path: Path) -> None:
    """The learning curves, their mean and the controls."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for axes, key in ((left, "accuracy"), (right, "zooms")):
        for seed, curve in enumerate(curves):
            axes.plot(
                [point["steps"] for point in curve],
                [point[key] for point in curve],
                color="tab:blue",
                alpha=0.35,
                lw=1,
                label=f"MaskablePPO, {len(curves)} seeds" if seed == 0 else None,
            )
        if len({len(curve) for curve in curves}) == 1:
            axes.plot(
                [point["steps"] for point in curves[0]],
                np.mean([[point[key] for point in curve] for curve in curves], axis=0),
                color="tab:blue",
                lw=2.2,
                label="their mean",
            )
        for name, style in (("oracle", "-"), ("uniform", "--"), ("overview", ":")):
            axes.axhline(controls[name][key], color="black", ls=style, lw=1, label=name)
        axes.set_xlabel("steps of the environment")
        axes.set_xlim(left=0)
        axes.spines[["top", "right"]].set_visible(False)
    left.axhline(SHARE * controls["oracle"]["accuracy"], color="tab:red", lw=0.8, label="0.9 of the oracle")
    left.set(ylim=(0, 1.03), ylabel="accuracy, validation split")
    right.set(ylim=(0, 3.1), ylabel="zooms an episode, validation split")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    """Train, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/sb3"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=SB3Settings().steps)
    parser.add_argument("--episodes", type=int, default=500)
    options = parser.parse_args()
    folders = [
        train(SB3Settings(out=str(options.out / f"seed{seed}"), seed=seed, steps=options.steps))
        for seed in range(options.seeds)
    ]
    curves = [curve_lines(folder / "curve.jsonl") for folder in folders]
    controls = {name: play(name, options.episodes) for name in CONTROLS}
    seeds = [play(SB3Policy(folder), options.episodes) for folder in folders]
    text = table(controls, seeds, curves)
    print(text)
    (options.out / "table.md").write_text(text, encoding="utf-8")
    results = {"controls": controls, "seeds": seeds, "curves": curves}
    (options.out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    draw(curves, controls, options.out / "sb3.png")


if __name__ == "__main__":
    main()
