"""Model cards of trained models, and the files that are published with them.

A card states what the run's files record: base model, data, reward, budget, and scores with their intervals.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from vzgym.agents.metadata import read_metadata
from vzgym.core.errors import InvalidSetting
from vzgym.core.files import read_json
from vzgym.core.secrets import redact

__all__ = ["find_reports", "model_card", "published_files"]

# Not settings and logs: they hold local paths, and the card states what matters in them.
_KEPT_BACK = (
    "README.md", "settings.yaml", "training.json", "pretrain.json", "log.jsonl", "rollouts.jsonl", "training_args.bin",
)  # fmt: skip


@dataclass(frozen=True)
class _Stage:
    """A training stage of a model: kind, settings and results."""

    kind: str
    folder: Path
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]


def published_files(folder: str | Path) -> list[Path]:
    """The files to publish of a trained model: weights, configuration, processor and `vzgym.json`.

    Raises:
        InvalidSetting: If the folder holds no finished model of `vzgym train`.
    """
    folder = Path(folder)
    list(_stages(folder))  # validates the folder
    return sorted(
        file
        for file in folder.iterdir()
        if file.is_file() and not file.name.startswith(".") and file.name not in _KEPT_BACK
    )


def find_reports(model: str | Path, folders: Sequence[str | Path]) -> list[dict[str, Any]]:
    """Find the reports of a model's evaluations.

    Args:
        model: The model's folder.
        folders: Where to look for runs of `vzgym eval`, each with `run.json` and `report.json`, at any depth.

    Returns:
        The reports of this model; those of other policies and of other weights are left out.

    Raises:
        InvalidSetting: If a folder holds no report of this model.
    """
    run_id = read_metadata(model).get("run_id")
    found = []
    for folder in folders:
        reports = []
        for file in sorted(Path(folder).rglob("report.json")):
            run = file.with_name("run.json")
            # The policy's identity holds the run id of the weights.
            if run_id and run.is_file() and str(run_id) in json.dumps(read_json(run).get("options")):
                reports.append(read_json(file))
        if not reports:
            raise InvalidSetting(
                f"{folder} holds no report of the model in {model}: give a folder of its evaluation, made by "
                f"vzgym eval --policy {model} --out FOLDER"
            )
        found += reports
    return found


def model_card(folder: str | Path, repo: str, reports: Sequence[Mapping[str, Any]] = ()) -> str:
    """Write the card as Markdown with a YAML header.

    Args:
        folder: A model's folder, made by `vzgym train`.
        repo: Name of the repository that the model will have on the hub.
        reports: Reports of its evaluations; see `find_reports`.

    Raises:
        InvalidSetting: If the folder holds no finished model of `vzgym train`.
    """
    stages = list(_stages(Path(folder)))
    base, is_hub = _base(stages[0])
    metadata = read_metadata(folder)
    header: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "image-text-to-text",
        "tags": ["vzgym", "video", *(stage.kind for stage in stages)],
    }
    if is_hub:
        header["base_model"] = base
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---",
        f"# {repo.rpartition('/')[2]}",
        (
            "A vision-language model that answers questions about videos: it sees a coarse overview, zooms into "
            f"intervals turn by turn, and answers. It was trained with vzgym {version('vzgym')}."
        ),
        (
            f"- Base model: {f'[{base}](https://huggingface.co/{base})' if is_hub else base}\n"
            f"- Text protocol: `{json.dumps(metadata.get('protocol'))}`\n"
            f"- Budget of the training: {_budget(metadata.get('budget'))}"
        ),
        "## Training",
        *(_stage_text(stage) for stage in stages),
        "## Scores",
        _scores(reports),
        "## Use",
        f'```python\nimport vzgym\n\nreport = vzgym.evaluate({{"name": "vlm", "path": "{repo}"}}, "needle")\n```',
    ]
    return "\n\n".join(parts) + "\n"


def _stages(folder: Path) -> Iterator[_Stage]:
    """The model's training stages, in order."""
    for name in ("training.json", "pretrain.json"):
        if (folder / name).is_file() and (folder / "config.json").is_file():
            facts = read_json(folder / name, InvalidSetting)
            settings = redact(facts["settings"])
            kind = "pretrain" if name == "pretrain.json" else "grpo" if "reward" in settings else "sft"
            parent = Path(settings.get("model") or "")
            if settings.get("model") and any((parent / file).is_file() for file in ("training.json", "pretrain.json")):
                yield from _stages(parent)
            yield _Stage(kind, folder, settings, facts)
            return
    raise InvalidSetting(f"{folder} holds no finished model: give the folder (--out) of a run of vzgym train")


def _base(first: _Stage) -> tuple[str, bool]:
    """The base model, and whether it is on the hub."""
    if first.kind == "pretrain":
        return f"none; built from seed {first.settings['seed']} (vzgym train pretrain)", False
    model = str(first.settings["model"])
    # Not the path, which is local.
    return (f"a local model, {Path(model).name}", False) if Path(model).exists() else (model, True)


def _stage_text(stage: _Stage) -> str:
    settings, facts = stage.settings, stage.facts
    lines = [f"### {stage.kind}", ""]
    lines.append(f"- Data: {_data(stage)}")
    if stage.kind == "grpo":
        lines.append(f"- Reward: `{json.dumps(_local_name(settings['reward']))}`")
        lines.append(f"- Roll-outs a step: {settings['groups']} tasks of {settings['group_size']}")
    rank = (settings.get("lora") or {}).get("rank")
    lines.append(f"- Weights: {f'adapters of rank {rank}, merged' if rank else 'all'}" + _frozen(settings))
    lines.append(
        f"- {facts['steps']} steps, learning rate {settings['learning_rate']:g}, seed {settings['seed']}, "
        f"{facts['seconds']:.0f} s"
    )
    terms = facts.get("reward_terms") or {}
    if terms:
        lines += ["", "| reward term | fires % | mean | share of the variance % |", "|---|---:|---:|---:|"]
        for name, term in terms.items():
            cells = [(term["firing_rate"], 100), (term["mean"], 1), (term["variance_share"], 100)]
            shown = ["-" if value is None else f"{value * scale:.3g}" for value, scale in cells]
            lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _frozen(settings: Mapping[str, Any]) -> str:
    return "; the vision tower was frozen" if settings.get("freeze_vision") else ""


def _data(stage: _Stage) -> str:
    settings = stage.settings
    if stage.kind != "sft":
        return f"the tasks {_local_name(settings['tasks'])}"
    notes = Path(settings["data"]) / "collect.json"
    if notes.is_file():
        return f"trajectories collected from the tasks {_local_name(read_json(notes).get('tasks', ''))}"
    return f"trajectories, {_local_name(settings['data']) or 'given from Python'}"


def _local_name(value: Any) -> Any:
    """A file or folder by its name alone; anything else unchanged."""
    if isinstance(value, str) and (Path(value).is_absolute() or Path(value).exists()):
        return Path(value).name
    return value


def _budget(budget: Mapping[str, Any] | None) -> str:
    return "unknown" if budget is None else ", ".join(f"{name} {value}" for name, value in budget.items())


def _scores(reports: Sequence[Mapping[str, Any]]) -> str:
    if not reports:
        return "It has not been evaluated."
    lines = [
        "| tasks | episodes | accuracy % [95 % interval] | zooms | frames | seed |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for report in reports:
        metrics = report["metrics"]
        right = metrics["correct"]
        accuracy = "unscored"
        if right["value"] is not None:
            accuracy = f"{100 * right['value']:.1f} [{_percent(right['low'])}, {_percent(right['high'])}]"
        means = [_mean(metrics[name]["value"]) for name in ("zooms", "frames")]
        cells = [_local_name(report["tasks"]), report["episodes"], accuracy, *means, report["seed"]]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    budgets = {_budget(report["budget"]) for report in reports}
    lines += ["", *(f"Played with the budget: {budget}." for budget in sorted(budgets))]
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "?" if value is None or math.isnan(value) else f"{100 * value:.1f}"


def _mean(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.2f}"
