"""Trains MaskablePPO on the tiny needle tasks from several seeds, and compares it with the controls.

    python benchmarks/sb3.py [--out runs/sb3] [--seeds 5] [--steps 60000]

Seeds that were trained are not trained again; one that was stopped goes on. Prints a Markdown table, and writes
`results.json` and the learning curve (`curve.png`, with matplotlib) into the folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from vzgym.agents.sb3 import SB3Policy, SB3Settings, train_sb3
from vzgym.agents.sb3.training import curve_lines
from vzgym.evaluation import evaluate

TEST = "needle-tiny/test"
CONTROLS = ("blind", "overview", "uniform", "oracle")


def train(folder: Path, seed: int, steps: int) -> Path:
    """One seed; nothing is done if it is finished."""
    if (folder / "model.zip").is_file() and SB3Settings.load(folder).steps >= steps:
        return folder
    started = (folder / "checkpoints").is_dir() and any((folder / "checkpoints").glob("step_*.zip"))
    return train_sb3(SB3Settings(out=str(folder), seed=seed, steps=steps), resume=started, evaluate=evaluate)


def row(policy: Any, episodes: int) -> dict[str, float]:
    """Accuracy on the test split, with its interval."""
    report = evaluate(policy, TEST, episodes=episodes)
    accuracy = report.accuracy
    return {
        "accuracy": accuracy.value,
        "low": accuracy.low,
        "high": accuracy.high,
        "zooms": report.summary["zooms"].value,
        "frames": report.summary["frames"].value,
    }


def draw(curves: list[list[dict[str, float]]], controls: dict[str, dict[str, float]], path: Path) -> None:
    """The learning curves and the controls as lines."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for curve in curves:
        axes.plot([point["steps"] for point in curve], [point["accuracy"] for point in curve], color="tab:blue", lw=1)
    for name, style in (("oracle", "-"), ("uniform", "--"), ("overview", ":")):
        axes.axhline(controls[name]["accuracy"], color="black", ls=style, lw=1, label=name)
    axes.axhline(0.9 * controls["oracle"]["accuracy"], color="tab:red", lw=0.8, label="0.9 of the oracle")
    axes.set_xlabel("steps of the environment")
    axes.set_ylabel("accuracy on the validation split")
    axes.set_ylim(0, 1.05)
    axes.legend(loc="center right")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/sb3"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60_000)
    parser.add_argument("--episodes", type=int, default=200)
    options = parser.parse_args()
    folders = [train(options.out / f"seed{seed}", seed, options.steps) for seed in range(options.seeds)]
    controls = {name: row(name, options.episodes) for name in CONTROLS}
    seeds = [row(SB3Policy(folder), options.episodes) for folder in folders]
    curves = [curve_lines(folder / "curve.jsonl") for folder in folders]
    target = 0.9 * controls["oracle"]["accuracy"]
    print("| policy | accuracy | 95 % interval | zooms | steps | seconds | reaches 0.9 of the oracle at |")
    print("|---|---|---|---|---|---|---|")
    for name, found in controls.items():
        print(
            f"| {name} | {found['accuracy']:.3f} | {found['low']:.3f} to {found['high']:.3f} | {found['zooms']:.2f} |||"
        )
    for seed, (found, curve) in enumerate(zip(seeds, curves, strict=True)):
        first = next((f"{point['steps']:.0f} steps" for point in curve if point["accuracy"] >= target), "never")
        print(
            f"| MaskablePPO, seed {seed} | {found['accuracy']:.3f} | {found['low']:.3f} to {found['high']:.3f} | "
            f"{found['zooms']:.2f} | {curve[-1]['steps']:.0f} | {curve[-1]['seconds']:.0f} | {first} |"
        )
    over = np.array([found["accuracy"] for found in seeds])
    if len(over) > 1:
        # Student's t for a mean over few seeds: 2.776 for five.
        quantile = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}.get(len(over), 1.96)
        half = quantile * over.std(ddof=1) / np.sqrt(len(over))
        print(f"\nMean over {len(over)} seeds: {over.mean():.3f} +- {half:.3f} (95 % interval of the mean).")
    results = {"controls": controls, "seeds": seeds, "curves": curves}
    (options.out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    draw(curves, controls, options.out / "curve.png")


if __name__ == "__main__":
    main()
