"""Accuracy against all frames touched (shown and scored): selectors at five noise levels of the scorer, and zooming.

    python benchmarks/frame_selectors.py [--tasks needle-tiny order-tiny] [--episodes 200] [--frames 8] [--model POLICY]

Each selector chooses `--frames` frames among candidates (`--fps` a second), scored by the evidence scorer with noise
0, 0.2, 0.3, 0.5 and 1; a frame reader answers from them at once. Beside them: blind, random zooms, the overview,
uniform frames, the expert, and a trained model if one is given (`--model runs/sft`, as for `vzgym eval --policy`; it
plays with the budget that it was trained with). A stopped run is resumed. Writes a table and a figure for each suite to
the output folder.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vzgym.cli.policies import named_policy
from vzgym.evaluation import EvaluationReport, evaluate
from vzgym.scorers.evidence import EvidenceScorer

NOISES = (0.0, 0.2, 0.3, 0.5, 1.0)
SELECTORS = ("top-k", "aks", "bolt", "q-frame", "wfs-sb", "focus", "t-star", "tree")
WITHOUT_EVIDENCE = ("motion", "dpselect", "mdp3")
"""Selectors that look at pixels alone, with their default scorers and embeddings."""
GRIDS = (0.5, 1.0, 4.0)
"""Further candidates a second, for top-k."""


@dataclass(frozen=True)
class Cell:
    """One evaluation.

    Attributes:
        name: What is evaluated.
        group: "selector", "zoom" (a selector through the zoom protocol), "grid" (top-k with other candidates),
            "uniform", "pixels" (a selector that knows no evidence), "policy" or "model".
        noise: Of the scorer; None without one.
        accuracy: With its 95 % interval, `low` to `high`.
        low: See there.
        high: See there.
        shown: Frames shown, mean.
        scored: Frames scored, mean.
    """

    name: str
    group: str
    noise: float | None
    accuracy: float
    low: float
    high: float
    shown: float
    scored: float

    @property
    def touched(self) -> float:
        """Frames shown and scored."""
        return self.shown + self.scored

    @classmethod
    def of(cls, name: str, group: str, noise: float | None, report: EvaluationReport) -> Cell:
        """The cell of a report."""
        accuracy, summary = report.accuracy, report.summary
        shown, scored = summary["frames"].value, summary["frames_scored"].value
        return cls(name, group, noise, accuracy.value, accuracy.low, accuracy.high, shown, scored)


def plan(frames: int, fps: float, model: str) -> list[tuple[str, str, float | None, Any]]:
    """All evaluations: name, group, noise and policy."""
    found: list[tuple[str, str, float | None, Any]] = [
        ("blind", "policy", None, "blind"),
        ("overview", "policy", None, "overview"),
        ("random", "policy", None, "random"),
        ("expert", "policy", None, "expert"),
    ]
    counts = (8, 16, 24, 40, 72, 136, 264)
    found += [(f"uniform {count}", "uniform", None, {"name": "uniform", "frames": count}) for count in counts]
    found += [(name, "pixels", None, {"name": name, "frames": frames, "fps": fps}) for name in WITHOUT_EVIDENCE]
    if model:
        found.append(("model", "model", None, named_policy(model)))
    for noise in NOISES:
        scorer = {"name": "evidence", "noise": noise}
        options = {"scorer": scorer, "frames": frames, "fps": fps}
        found += [(name, "selector", noise, {"name": name, **options}) for name in SELECTORS]
        found.append(("aks zoom", "zoom", noise, {"name": "aks", "play": "zoom", **options}))
        found += [(f"top-k {grid:g} fps", "grid", noise, {"name": "top-k", **options, "fps": grid}) for grid in GRIDS]
    return found


def main() -> int:
    """Run everything; print the table and the time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=["needle-tiny"], help="suites, each with a figure of its own")
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--pixel-episodes", type=int, default=50, help="for selectors that look at pixels: slower")
    parser.add_argument("--frames", type=int, default=8, help="frames that a selector shows")
    parser.add_argument("--fps", type=float, default=2.0, help="candidates per second")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="", help="a trained model to evaluate, too, as for vzgym eval")
    parser.add_argument("--out", type=Path, default=Path("runs/selectors"))
    arguments = parser.parse_args()
    for tasks in arguments.tasks:
        run(tasks, arguments)
    return 0


def run(tasks: str, arguments: argparse.Namespace) -> None:
    """Run everything on a suite."""
    started = time.perf_counter()
    cells: list[Cell] = []
    for name, group, noise, policy in plan(arguments.frames, arguments.fps, arguments.model):
        label = name if noise is None else f"{name} noise {noise:g}"
        folder = arguments.out / f"{tasks}-{arguments.episodes}" / label.replace(" ", "-")
        count = min(arguments.episodes, arguments.pixel_episodes) if group == "pixels" else arguments.episodes
        report = evaluate(policy, tasks, episodes=count, seed=arguments.seed, out=folder, name=label)
        cells.append(Cell.of(name, group, noise, report))
        print(f"{label}: {100 * report.accuracy.value:.1f} %", file=sys.stderr, flush=True)
    text = json.dumps([asdict(cell) for cell in cells], indent=1)
    (arguments.out / f"{tasks}.json").write_text(text, encoding="utf-8")
    print(table(cells))
    title = f"{tasks}, {arguments.episodes} episodes, {arguments.frames} selected frames"
    draw(cells, arguments.out / f"{tasks}.png", title)
    print(f"\n{title}, {arguments.fps:g} candidates a second, seed {arguments.seed}; accuracy in %, 95 % interval.")
    print(f"{time.perf_counter() - started:.0f} s.")


def table(cells: list[Cell]) -> str:
    """Two tables: policies without a scorer, and selectors by noise."""
    lines = ["| policy | frames shown | frames scored | accuracy |", "|---|---:|---:|---:|"]
    lines += [
        f"| {cell.name} | {cell.shown:.0f} | {cell.scored:.0f} | {_percent(cell)} |"
        for cell in cells
        if cell.noise is None
    ]
    heads = [f"noise {noise:g} (AUC {EvidenceScorer(noise).auc:.3f})" for noise in NOISES]
    lines += ["", "| selector | frames scored | " + " | ".join(heads) + " |", "|---|---:|" + "---:|" * len(heads)]
    for name in dict.fromkeys(cell.name for cell in cells if cell.noise is not None):
        row = [cell for cell in cells if cell.name == name]
        scored = sum(cell.scored for cell in row) / len(row)
        lines.append(f"| {name} | {scored:.0f} | " + " | ".join(map(_percent, row)) + " |")
    return "\n".join(lines)


def _percent(cell: Cell) -> str:
    return f"{100 * cell.accuracy:.1f} [{100 * cell.low:.0f}, {100 * cell.high:.0f}]"


def draw(cells: list[Cell], path: Path, title: str) -> None:
    """Draw accuracy against all frames touched, and against the scorer's quality."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 6.2), sharey=True)
    colors = pyplot.get_cmap("viridis_r")
    markers = dict(zip((*SELECTORS, "aks zoom"), "osD^vP*Xh", strict=True))
    uniform = [cell for cell in cells if cell.group == "uniform"]
    left.errorbar(
        [cell.touched for cell in uniform], [100 * cell.accuracy for cell in uniform], yerr=_errors(uniform),
        color="0.4", marker=".", label="uniform", capsize=2, zorder=1,
    )  # fmt: skip
    labels: dict[tuple[float, float], list[str]] = {}
    for cell in cells:
        if cell.group in ("policy", "model", "pixels"):
            left.errorbar(
                [cell.touched], [100 * cell.accuracy], yerr=_errors([cell]), color="k", marker="s", ms=4, capsize=2
            )
            labels.setdefault((cell.touched, 100 * cell.accuracy), []).append(cell.name)
        elif cell.name in markers:
            # Those that score all candidates touch the same number of frames, and are drawn side by side.
            place = list(markers).index(cell.name)
            touched = cell.touched * (1 + 0.04 * (place + 1) * (place < 5))
            color = colors(cell.noise or 0.0)
            left.plot([touched], [100 * cell.accuracy], marker=markers[cell.name], color=color, ls="", ms=6)
    for place, names in labels.items():
        # The axis begins at the fewest frames.
        side, shift = ("left", (6, -11)) if place[0] == min(labels)[0] else ("right", (-6, 5))
        left.annotate(", ".join(names), place, shift, textcoords="offset points", ha=side, fontsize=9)
    for name, marker in markers.items():
        left.plot([], [], marker=marker, color="0.3", ls="", label=name)
    left.set(xscale="log", xlabel="frames touched: shown and scored", ylabel="accuracy, %", ylim=(0, 106))
    left.legend(fontsize=8, loc="upper center", ncols=5, bbox_to_anchor=(0.5, -0.11))
    bar = figure.colorbar(pyplot.cm.ScalarMappable(cmap=colors), ax=left, ticks=NOISES)
    bar.set_label("noise of the scorer")
    for name, marker in markers.items():
        row = [cell for cell in cells if cell.name == name]
        right.errorbar(
            [-(cell.noise or 0.0) for cell in row], [100 * cell.accuracy for cell in row], yerr=_errors(row),
            marker=marker, label=name, ms=5, capsize=2, elinewidth=0.7,
        )  # fmt: skip
    lines: dict[float, list[str]] = {}
    for cell in cells:
        if cell.name in ("expert", "uniform 8", "uniform 40", "uniform 72", "uniform 136", "model"):
            words = cell.name if cell.group == "uniform" else f"{cell.name} ({cell.shown:.0f} frames)"
            lines.setdefault(100 * cell.accuracy, []).append(words)
    for height, names in lines.items():
        right.axhline(height, color="0.5", lw=0.8, ls="--")
        right.annotate(", ".join(names), (-1.02, height + 0.8), fontsize=8, color="0.3")
    ticks = [f"{noise:g}\n{EvidenceScorer(noise).auc:.3f}" for noise in NOISES]
    right.set_xticks([-noise for noise in NOISES], ticks)
    right.set(xlabel="noise of the scorer, and its AUC: a frame of the evidence scores higher than another")
    right.legend(fontsize=8, loc="upper center", ncols=5, bbox_to_anchor=(0.5, -0.14))
    figure.suptitle(title)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _errors(cells: list[Cell]) -> list[list[float]]:
    return [
        [100 * (cell.accuracy - cell.low) for cell in cells],
        [100 * (cell.high - cell.accuracy) for cell in cells],
    ]


if __name__ == "__main__":
    sys.exit(main())
