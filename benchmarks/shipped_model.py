"""Make the tiny model that is part of the package: `vzgym.load_policy("tiny")`.

    OMP_NUM_THREADS=1 python benchmarks/shipped_model.py --out runs/shipped-model

The stages are those of the preset `tiny` from seed 0 on `open-micro`: pre-training, trajectories, cold start, GRPO.
Finished stages are kept, so a stopped run resumes. Then the model is evaluated on held-out tasks, and its files are
copied to `vzgym/agents/tiny/checkpoint` with a model card (README.md) and `scores.json`. About fifteen minutes on one
core.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

SEED = 0
EPISODES = 512
TRAINING = "open-micro/train"
SUITES = ("needle-micro", "open-micro", "control-micro", "mixed-micro", "width-micro")
"""The first two have the questions that it is trained on, with options and without; the others show its limits."""
CHECKED = 64
"""Tasks on which a test plays the model again."""
TARGET = Path(__file__).parents[1] / "vzgym" / "agents" / "tiny" / "checkpoint"
LIMITS = """\
The first row of each task set is greedy, the second sampled at temperature 1. A test of the package plays the first
tasks of each row again.

## Limits

It reads frames of 32x32 pixels of the micro suites: scenes in eight hues, flashes in six colors, questions in one
wording. On `width-micro`, whose flashes are shorter, it still zooms as coarsely as it has learned. The words of
`control-micro` and `mixed-micro` are new to it: it answers them by chance. It is meant for trying evaluation, viewers,
servers and interfaces without a download, not for videos.

## Use

```python
import vzgym

print(vzgym.evaluate("tiny", "needle-micro/test", episodes=64).accuracy)
```
"""


def train(out: Path) -> Path:
    """Run the stages that are not finished.

    Returns:
        The folder of the model.
    """
    from vzgym.agents.data.dataset import collect
    from vzgym.agents.data.settings import CollectSettings
    from vzgym.agents.training.config import load_settings
    from vzgym.agents.training.grpo import train_grpo
    from vzgym.agents.training.pretrain import pretrain
    from vzgym.agents.training.settings import GRPOSettings, PretrainSettings, SFTSettings
    from vzgym.agents.training.sft import train_sft

    def settings(cls: type[Any], **values: Any) -> Any:
        return load_settings(cls, "tiny", None, {"seed": SEED, **values})

    warm, data, sft, grpo = (out / name for name in ("pretrain", "data", "sft", "grpo"))
    stages = {
        warm: lambda: pretrain(
            settings(PretrainSettings, tasks=TRAINING, out=str(warm)), lambda now: print(now.step, now)
        ),
        data: lambda: collect(settings(CollectSettings, tasks=TRAINING), data),
        sft: lambda: train_sft(settings(SFTSettings, model=str(warm), data=str(data), out=str(sft))),
        grpo: lambda: train_grpo(settings(GRPOSettings, tasks=TRAINING, model=str(sft), out=str(grpo))),
    }
    for folder, work in stages.items():
        finished = folder / ".finished"
        if not finished.is_file():
            work()
            finished.touch()
    return grpo


def measure(model: Path, out: Path) -> list[dict[str, Any]]:
    """Evaluate the model on held-out tasks, greedily and sampled as in training.

    Returns:
        For each run the tasks, the temperature, the number of episodes and of right answers, the latter also among the
        first `CHECKED` tasks.
    """
    from vzgym.evaluation import evaluate

    scores = []
    for suite in SUITES:
        for temperature in (0.0, 1.0):
            report = evaluate(
                {"name": "vlm", "path": str(model), "temperature": temperature, "batch_size": 64},
                f"{suite}/test",
                episodes=EPISODES,
                seed=SEED,
                out=out / f"{suite}-{temperature:g}",
            )
            right = [bool(episode.correct) for episode in report.episodes]
            print(f"{report.policy} on {report.tasks}: {report.accuracy.text('.1f', 100)} %")
            scores.append(
                {
                    "tasks": report.tasks,
                    "temperature": temperature,
                    "episodes": len(right),
                    "right": sum(right),
                    "first": CHECKED,
                    "right_of_first": sum(right[:CHECKED]),
                }
            )
    return scores


def ship(model: Path, runs: Path, scores: list[dict[str, Any]]) -> None:
    """Replace the files in the package."""
    from vzgym.agents.training.card import find_reports, model_card, published_files

    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir()
    for file in published_files(model):
        shutil.copyfile(file, TARGET / file.name)  # not its permissions
    card, _, _ = model_card(model, "vzgym/tiny", find_reports(model, [runs])).partition("## Use")
    (TARGET / "README.md").write_text(card + LIMITS, encoding="utf-8")
    (TARGET / "scores.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/shipped-model"))
    out = parser.parse_args().out
    model = train(out)
    scores = measure(model, out / "runs")
    ship(model, out / "runs", scores)


if __name__ == "__main__":
    main()
