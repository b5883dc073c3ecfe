"""Training of a tiny language model from random weights to GRPO, over several seeds.

    OMP_NUM_THREADS=1 python benchmarks/learning.py --seeds 5 --out runs/learning

One process, one core. Finished stages are kept, so a stopped run resumes. Results: `results.json`, a table on the
terminal and in `table.md`, and the learning curves in `curves.png`.

The stages of each seed are perception pre-training of random weights, a deliberately short cold start, and GRPO. As a
control ("no tool"), the same weights are trained for the same steps without zooms. `--curve` selects a variation of the
main path: "no-reflection" (no trajectories that correct a mistake), "no-bonus" (no bonus for a right answer after a
zoom), "control" (questions that the overview answers). Settings are those of the preset "tiny", unless options override
them.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from vzgym.core.memory import peak_memory

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

HELD_OUT = 512
TURN_TOKENS = 20
PRESET = "tiny"
"""The default recipe; each curve lists its differences."""


@dataclass(frozen=True)
class Curve:
    """One variation of the path.

    Args:
        tasks: The suite.
        mix: Kinds of cold-start trajectories and their shares (`vzgym collect --mix`); None for the preset's.
        reward: Weights of the reward's terms; None for the preset's.
        zooms: Zooms allowed; None for as many as the suite has.
        shares: The stages shared with the main path.
    """

    tasks: str = "needle-micro"
    mix: Mapping[str, float] | None = None
    reward: Mapping[str, float] | None = None
    zooms: int | None = None
    shares: tuple[str, ...] = ()


CURVES = {
    "main": Curve(),
    "no-tool": Curve(mix={"direct": 1.0}, zooms=0, shares=("warm",)),
    "no-reflection": Curve(mix={"guess": 0.45, "one_zoom": 0.10, "exemplar": 0.45}, shares=("warm",)),
    "no-bonus": Curve(reward={"accuracy": 1.0, "format": 0.2}, shares=("warm", "data", "sft")),
    "control": Curve(
        tasks="control-micro",
        mix={"guess": 0.25, "needless": 0.45, "exemplar": 0.30},
        reward={"accuracy": 1.0, "format": 0.2, "call_cost": 0.1},
    ),
}


@dataclass
class Journey:
    """The folders of one seed on one curve."""

    root: Path
    curve: str
    seed: int

    def folder(self, stage: str) -> Path:
        """A stage's folder; that of the main path if the curve shares it."""
        curve = "main" if stage in CURVES[self.curve].shares else self.curve
        # Trajectories are the same for all seeds of a curve: they do not depend on the model.
        return self.root / curve / ("data" if stage == "data" else f"seed{self.seed}-{stage}")


def timed(folder: Path, work: Callable[[], Any]) -> dict[str, float]:
    """Run a stage unless it is finished, and save its cost: wall and processor seconds, peak memory so far."""
    note = folder / "took.json"
    if note.is_file():
        took: dict[str, float] = json.loads(note.read_text())
        return took
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    took = {
        "wall_seconds": round(time.perf_counter() - wall, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_memory_gb": round(peak_memory() or 0.0, 2),
    }
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(took))
    return took


def run(path: Journey, args: argparse.Namespace) -> dict[str, Any]:
    """Run all stages of one seed on one curve.

    Returns:
        The cost of each stage, and the result of each evaluation.
    """
    from vzgym.agents.data.dataset import collect
    from vzgym.agents.data.settings import CollectSettings
    from vzgym.agents.training.config import load_settings
    from vzgym.agents.training.grpo import train_grpo
    from vzgym.agents.training.pretrain import pretrain
    from vzgym.agents.training.settings import GRPOSettings, PretrainSettings, SFTSettings
    from vzgym.agents.training.sft import train_sft

    curve = CURVES[path.curve]
    tasks = f"{curve.tasks}/train"
    limits: dict[str, Any] = {} if curve.zooms is None else {"max_zooms": curve.zooms}
    warm, data, sft, grpo = (path.folder(stage) for stage in ("warm", "data", "sft", "grpo"))

    def settings(cls: type[Any], **values: Any) -> Any:
        return load_settings(cls, PRESET, None, {key: value for key, value in values.items() if value is not None})

    warming = settings(PretrainSettings, out=str(warm), tasks=tasks, seed=path.seed)
    collecting = settings(
        CollectSettings, tasks=tasks, episodes=args.rows, mix=curve.mix, budget=limits or None
    )  # fmt: skip
    imitating = settings(
        SFTSettings, model=str(warm), data=str(data), out=str(sft), seed=path.seed, epochs=args.epochs, log_steps=20,
    )  # fmt: skip
    learning = settings(
        GRPOSettings, model=str(sft), out=str(grpo), tasks=tasks, budget=limits or None, reward=curve.reward,
        seed=path.seed, steps=args.steps, learning_rate=args.learning_rate, log_steps=1, save_rollouts=10,
    )  # fmt: skip
    stages: dict[str, Any] = {
        "warm": timed(warm, lambda: pretrain(warming)),
        "data": timed(data, lambda: collect(collecting, data)),
        "sft": timed(sft, lambda: train_sft(imitating)),
    }
    results = {"sft": measure(sft, curve, "cold start")}
    stages["grpo"] = timed(grpo, lambda: train_grpo(learning))
    results["grpo"] = measure(grpo, curve, "cold start + GRPO")
    return {"stages": stages, "results": results, "accuracy": training_curve(grpo)}


def measure(model: Path, curve: Curve, name: str) -> dict[str, Any]:
    """Evaluate greedily and with sampling on held-out tasks; results are kept in the model's folder."""
    from vzgym.agents.vlm.policy import VLMPolicy
    from vzgym.evaluation import evaluate
    from vzgym.tasks import load_tasks

    note = model / "held-out.json"
    if note.is_file():
        found: dict[str, Any] = json.loads(note.read_text())
        return found
    tasks = load_tasks(f"{curve.tasks}/test")
    limits = {} if curve.zooms is None else {"max_zooms": curve.zooms}
    found = {}
    for way, temperature in (("greedy", 0.0), ("sampled", 1.0)):
        policy = VLMPolicy(model, temperature=temperature, turn_tokens=TURN_TOKENS, batch_size=64, name=name)
        report = evaluate(policy, tasks, episodes=HELD_OUT, budget=limits)
        found[way] = {key: report.summary[key].to_json() for key in ("correct", "zooms", "frames", "refused")}
    note.write_text(json.dumps(found))
    return found


def reference(out: Path, suite: str) -> dict[str, Any]:
    """Results of the expert and the blind baseline on the same held-out tasks."""
    from vzgym.evaluation import evaluate

    note = out / f"reference-{suite}.json"
    if note.is_file():
        found: dict[str, Any] = json.loads(note.read_text())
        return found
    found = {}
    for policy in ("blind", "overview", "random", "expert"):
        report = evaluate(policy, f"{suite}/test", episodes=HELD_OUT)
        found[policy] = {key: report.summary[key].to_json() for key in ("correct", "zooms", "frames", "refused")}
    out.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(found))
    return found


def training_curve(folder: Path) -> list[tuple[int, float, float]]:
    """Step, accuracy of that step's roll-outs, and their zooms, from a GRPO run's log."""
    points = []
    for line in (folder / "log.jsonl").read_text().splitlines():
        logged = json.loads(line)
        if "rewards/accuracy/mean" in logged:
            points.append((logged["step"], float(logged["rewards/accuracy/mean"]), float(logged["episode/zooms"])))
    return points


def table(results: Mapping[str, Any], references: Mapping[str, Any]) -> str:
    """The results as a Markdown table: medians over seeds, and the lowest and highest seed."""

    def share(estimate: Mapping[str, float]) -> str:
        return f"{estimate['value']:.1%} ({estimate['low']:.1%} to {estimate['high']:.1%})"

    def spread(values: list[float], unit: str) -> str:
        shown = [
            f"{value:.1%}" if unit == "share" else f"{value:.2f}"
            for value in (median(values), min(values), max(values))
        ]
        return f"{shown[0]} [{shown[1]}, {shown[2]}]" if len(values) > 1 else shown[0]

    lines = ["| Policy | accuracy, greedy | accuracy, sampled | zooms g / s | frames g / s |", "|---|---|---|---|---|"]
    for suite, policies in references.items():
        for name, found in policies.items():
            zooms, frames = found["zooms"]["value"], found["frames"]["value"]
            lines.append(f"| {suite}: {name} | {share(found['correct'])} | | {zooms:.2f} | {frames:.1f} |")
    for curve, seeds in results.items():
        for stage in ("sft", "grpo"):
            ways = {way: [seed["results"][stage][way] for seed in seeds.values()] for way in ("greedy", "sampled")}
            cells = [spread([found["correct"]["value"] for found in ways[way]], "share") for way in ways]
            cells += [
                " / ".join(f"{median([found[key]['value'] for found in ways[way]]):.2f}" for way in ways)
                for key in ("zooms", "frames")
            ]
            name = {"sft": "cold start", "grpo": "+ GRPO"}[stage]
            lines.append(f"| {curve}: {name} ({len(seeds)} seeds) | {' | '.join(cells)} |")
    lines += ["", "| Stage | processor seconds | wall seconds | peak memory (GB) |", "|---|---|---|---|"]
    for curve, seeds in results.items():
        for stage in ("warm", "data", "sft", "grpo"):
            took = [seed["stages"][stage] for seed in seeds.values()]
            cells = [
                spread([item[key] for item in took], "") for key in ("cpu_seconds", "wall_seconds", "peak_memory_gb")
            ]
            lines.append(f"| {curve}: {stage} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(results: Mapping[str, Any], references: Mapping[str, Any], file: Path) -> None:
    """Plot accuracy and zooms of the roll-outs over GRPO's steps: a thin line per seed, the median thick."""
    import matplotlib

    matplotlib.use("Agg")
    import numpy as np
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    for number, (curve, seeds) in enumerate(results.items()):
        color = f"C{number}"
        runs = [np.array(seed["accuracy"]) for seed in seeds.values()]
        length = min(map(len, runs))
        for axis, column in ((left, 1), (right, 2)):
            smooth = [_smoothed(run[:length, column]) for run in runs]
            for line in smooth:
                axis.plot(runs[0][:length, 0], line, color=color, alpha=0.25, linewidth=0.8)
            axis.plot(runs[0][:length, 0], np.median(smooth, axis=0), color=color, linewidth=2.2, label=curve)
    for suite, style in zip(dict.fromkeys(CURVES[curve].tasks for curve in results), ("--", "-."), strict=False):
        expert = references[suite]["expert"]
        left.axhline(expert["correct"]["value"], color="0.4", linestyle=style, linewidth=1)
        right.axhline(expert["zooms"]["value"], color="0.4", linestyle=style, linewidth=1, label=f"expert, {suite}")
    left.axhline(1 / 6, color="0.4", linestyle=":", linewidth=1, label="chance")
    left.set(xlabel="GRPO step", ylabel="share of right answers (sampled)", ylim=(0, 1.02))
    right.set(xlabel="GRPO step", ylabel="zooms per question", ylim=(0, 2.05))
    left.legend(fontsize=8, loc="center right")
    right.legend(fontsize=8, loc="center right")
    for axis in (left, right):
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle("A model of 0.3 million weights learns where to look, and where not to (one core)", fontsize=11)
    figure.tight_layout()
    figure.savefig(file, dpi=130)
    plt.close(figure)


def _smoothed(values: Any, width: int = 7) -> Any:
    import numpy as np

    kernel = np.ones(width)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones_like(values), kernel, "same")


def main() -> None:
    """Run, print the table, draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/learning"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--curve", action="append", choices=list(CURVES), help="default: main and no-tool")
    parser.add_argument("--rows", type=int, help="number of cold-start trajectories")
    parser.add_argument("--epochs", type=float, help="passes over the cold-start trajectories")
    parser.add_argument("--steps", type=int, help="GRPO steps")
    parser.add_argument("--learning-rate", type=float, help="of GRPO")
    args = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    # The table keeps curves measured by earlier calls.
    kept = args.out / "results.json"
    before = json.loads(kept.read_text()) if kept.is_file() else {"references": {}, "curves": {}}
    references: dict[str, Any] = before["references"]
    results: dict[str, dict[str, Any]] = before["curves"]
    for seed in range(args.seeds):
        for curve in args.curve or ["main", "no-tool"]:
            suite = CURVES[curve].tasks
            references[suite] = reference(args.out, suite)
            results.setdefault(curve, {})[str(seed)] = run(Journey(args.out, curve, seed), args)
            kept.write_text(json.dumps({"references": references, "curves": results}, indent=1))
            written = table(results, references)
            (args.out / "table.md").write_text(written + "\n")
            print(f"\nafter seed {seed}, {curve}:\n{written}", flush=True)
    draw(results, references, args.out / "curves.png")
    print(f"written: {kept}, {args.out / 'table.md'}, {args.out / 'curves.png'}")


if __name__ == "__main__":
    main()
