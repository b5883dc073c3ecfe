"""GRPO with and without dynamic sampling from the same cold start: accuracy against seconds and roll-outs played.

    OMP_NUM_THREADS=1 python benchmarks/dynamic_sampling.py --model runs/sft --seeds 5 --out runs/dynamic
    OMP_NUM_THREADS=1 python benchmarks/dynamic_sampling.py --quick --out runs/dynamic-quick

One process, one core. A stopped run continues from its newest checkpoint, and finished evaluations are kept. Without
`--model`, a cold start of the tiny model is made once and shared by all seeds. Settings are those of the preset "tiny",
changed by `--set name=value`.

Every `--every` steps the model is evaluated (sampled) on held-out tasks. The two runs of a seed take different times
and play different numbers of roll-outs for as many steps, so they are compared at the same seconds, and at the same
number of roll-outs: the largest that all runs reach, and a quarter, a half, three quarters of it, by linear
interpolation between evaluations. Seconds are those of training alone. `--quick` only shows that all of this works.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from statistics import mean, stdev
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np

PRESET = "tiny"
SHARES = (0.25, 0.5, 0.75, 1.0)
QUICK: dict[str, Any] = {"seeds": 1, "steps": 4, "every": 2, "held_out": 16, "warm_steps": 40, "rows": 64}


def cold_start(out: Path, args: argparse.Namespace) -> Path:
    """A tiny model after perception pre-training and SFT on a few trajectories; made once."""
    from vzgym.agents.data.dataset import collect
    from vzgym.agents.data.settings import CollectSettings
    from vzgym.agents.training.config import load_settings
    from vzgym.agents.training.pretrain import pretrain
    from vzgym.agents.training.settings import PretrainSettings, SFTSettings
    from vzgym.agents.training.sft import train_sft

    warm, data, sft = out / "warm", out / "data", out / "sft"
    tasks = f"{args.suite}/train"
    if not (sft / "training.json").is_file():
        for folder in (warm, data, sft):
            shutil.rmtree(folder, ignore_errors=True)
        limits = {"max_steps": args.warm_steps} if args.warm_steps else {}
        pretrain(load_settings(PretrainSettings, PRESET, None, {"out": str(warm), "tasks": tasks, **limits}))
        rows = {"episodes": args.rows} if args.rows else {}
        collect(load_settings(CollectSettings, PRESET, None, {"tasks": tasks, **rows}), data)
        train_sft(load_settings(SFTSettings, PRESET, None, {"model": str(warm), "data": str(data), "out": str(sft)}))
    return sft


def train(model: Path, out: Path, seed: int, further: int, args: argparse.Namespace) -> list[dict[str, float]]:
    """Run GRPO and evaluate its checkpoints.

    Returns:
        A point for each evaluation: `step`, `seconds`, `rollouts`, `accuracy`, and `reward` of the training roll-outs
        since the one before.
    """
    from vzgym.agents.training.config import load_settings, parse_overrides
    from vzgym.agents.training.grpo import train_grpo
    from vzgym.agents.training.settings import GRPOSettings

    changes: dict[str, Any] = {"tasks": f"{args.suite}/train", **parse_overrides(args.set)}
    if args.steps:
        changes["steps"] = args.steps
    changes |= {"model": str(model), "out": str(out), "seed": seed, "dynamic_sampling": further, "log_steps": 1}
    changes |= {"save_rollouts": 0, "save_steps": args.every, "save_limit": 10_000, "resume": True}
    settings = load_settings(GRPOSettings, PRESET, None, changes)
    if not (out / "training.json").is_file():
        train_grpo(settings)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "loss" in line]
    batch = settings.groups * settings.group_size
    points = [{"step": 0.0, "seconds": 0.0, "rollouts": 0.0, "accuracy": accuracy(model, out / "start.json", args)}]
    rollouts, rewards = 0.0, []
    for line in lines:
        rollouts += line.get("dynamic_sampling/rollouts", batch)
        rewards.append(float(line["reward"]))
        folder = out / f"checkpoint-{line['step']}"
        if folder.is_dir():
            points.append(
                {
                    "step": float(line["step"]),
                    "seconds": float(line["seconds"]),
                    "rollouts": rollouts,
                    "accuracy": accuracy(folder, folder / "held-out.json", args),
                    "reward": mean(rewards),
                }
            )
            rewards = []
    return points


def accuracy(model: Path, note: Path, args: argparse.Namespace) -> float:
    """Share of held-out tasks that the model answers right, sampled; kept in a file."""
    from vzgym.agents.vlm.policy import VLMPolicy
    from vzgym.evaluation import evaluate

    if not note.is_file():
        policy = VLMPolicy(model, temperature=1.0, turn_tokens=20, batch_size=64)
        report = evaluate(policy, f"{args.suite}/{args.split}", episodes=args.held_out)
        note.write_text(json.dumps(report.summary["correct"].to_json()))
    return float(json.loads(note.read_text())["value"])


def compare(curves: dict[str, list[list[dict[str, float]]]]) -> str:
    """A table: accuracy at the same seconds and at the same roll-outs, mean and standard error over seeds."""
    names = list(curves)
    lines = [f"| at the same | {' | '.join(names)} | difference by seed |", f"|---|{'---|' * (len(names) + 1)}"]
    for unit in ("seconds", "rollouts", "step"):
        most = min(points[-1][unit] for runs in curves.values() for points in runs)
        for share in SHARES:
            place = share * most
            found = {
                name: [
                    float(np.interp(place, [p[unit] for p in points], [p["accuracy"] for p in points]))
                    for points in runs
                ]
                for name, runs in curves.items()
            }
            difference = [b - a for a, b in zip(found[names[0]], found[names[1]], strict=True)]
            cells = [spread(found[name]) for name in names] + [spread(difference)]
            lines.append(f"| {place:,.0f} {unit} | {' | '.join(cells)} |")
    lines += [
        "",
        "| run | seconds a step | roll-outs a step | gain a minute | gain per 1,000 roll-outs |",
        "|---|" + "---|" * 4,
    ]
    for name, runs in curves.items():
        gains = [points[-1]["accuracy"] - points[0]["accuracy"] for points in runs]
        last = [points[-1] for points in runs]
        columns = (
            [f"{mean(end['seconds'] / end['step'] for end in last):.2f}"],
            [f"{mean(end['rollouts'] / end['step'] for end in last):.0f}"],
            [spread([gain / end["seconds"] * 60 for gain, end in zip(gains, last, strict=True)])],
            [spread([gain / end["rollouts"] * 1000 for gain, end in zip(gains, last, strict=True)])],
        )
        lines.append(f"| {name} | {' | '.join(text for (text,) in columns)} |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """A mean with its standard error, in percent."""
    error = f" ± {100 * stdev(values) / len(values) ** 0.5:.1f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.1f}{error} %"


def main() -> None:
    """Train, evaluate, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/dynamic-sampling"))
    parser.add_argument("--model", type=Path, help="cold start; default: one is made")
    parser.add_argument("--suite", default="needle-micro")
    parser.add_argument("--split", default="validation", help="of the suite, for the evaluations")
    parser.add_argument("--held-out", type=int, default=256, help="tasks of an evaluation")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="GRPO steps; default: the preset's")
    parser.add_argument("--every", type=int, default=20, help="steps between evaluations")
    parser.add_argument("--further", type=int, default=3, help="limit of further batches (dynamic_sampling)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="GRPO settings of both runs")
    parser.add_argument("--warm-steps", type=int, help="most pre-training steps of the cold start")
    parser.add_argument("--rows", type=int, help="trajectories of the cold start")
    parser.add_argument("--quick", action="store_true", help="only show that it works")
    args = parser.parse_args()
    if args.quick:
        for name, value in QUICK.items():
            setattr(args, name, value)

    import torch

    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    model = args.model or cold_start(args.out, args)
    curves: dict[str, list[list[dict[str, float]]]] = {"without": [], f"dynamic_sampling={args.further}": []}
    for seed in range(args.seeds):
        for name, further in zip(curves, (0, args.further), strict=True):
            curves[name].append(train(model, args.out / f"seed{seed}-further{further}", seed, further, args))
        (args.out / "curves.json").write_text(json.dumps(curves, indent=1))
        table = compare(curves)
        (args.out / "table.md").write_text(table + "\n")
        print(f"\nafter {seed + 1} of {args.seeds} seeds:\n{table}", flush=True)
    print(f"written: {args.out / 'curves.json'}, {args.out / 'table.md'}")


if __name__ == "__main__":
    main()
