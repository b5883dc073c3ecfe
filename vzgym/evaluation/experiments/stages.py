"""Stages of an experiment: training stages and evaluations of cells, each in a folder named by a digest.

A stage's folder holds `stage.json` (its identity), `log.txt` (its output), `out/` (its results), and finally
`done.json` (time, versions) or `failed.json`. A stage is done when `done.json` exists; it is written last and
atomically.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from vzgym.core.differences import first_difference
from vzgym.core.errors import RecordError
from vzgym.core.files import is_leftover, read_json, read_json_lines, write_json
from vzgym.core.memory import peak_memory
from vzgym.core.secrets import redact
from vzgym.episode.runs import count_records
from vzgym.evaluation.experiments.settings import STORE

__all__ = ["DONE", "EVALUATE", "FAILED", "LOG", "OUT", "Stage", "log_tail", "run_stage"]

EVALUATE: Final = "evaluate"
"""The kind of stage that evaluates a cell; every other kind is a training stage."""

DONE, FAILED, LOG, OUT, STAGE = "done.json", "failed.json", "log.txt", "out", "stage.json"

# Settings that affect how a stage runs or what it stores, but not its results.
_IRRELEVANT: Final = ("log_steps", "log_rollouts_steps", "save_steps", "save_limit", "report_to", "tensorboard")

_PACKAGES: Final = (
    "numpy", "gymnasium", "torch", "transformers", "trl", "datasets", "stable-baselines3", "sb3-contrib",
)  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """A training stage, or the evaluation of a cell.

    Attributes:
        kind: "pretrain", "collect", "sft", "grpo", "sb3" or "evaluate".
        name: Display name, without the seed.
        seed: The seed; None if the stage is the same for all seeds.
        settings: JSON values that determine the results.
        inputs: Digests of all other inputs that determine them: task files, models and data on disk, user code.
        parents: Stages whose results it uses, by role ("model", "data").
        resume: Whether it continues from its checkpoints if it was interrupted.
    """

    kind: str
    name: str
    seed: int | None
    settings: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    parents: Mapping[str, Stage] = field(default_factory=dict)
    resume: bool = False

    @property
    def label(self) -> str:
        """Display name with the seed."""
        return self.name if self.seed is None else f"{self.name}, seed {self.seed}"

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that determines the results, as JSON values."""
        return {
            "kind": self.kind,
            "settings": {key: value for key, value in self.settings.items() if key not in _IRRELEVANT},
            "inputs": dict(self.inputs),
            "parents": {role: parent.digest for role, parent in self.parents.items()},
            "vzgym": _version(),
        }

    @cached_property
    def digest(self) -> str:
        """Digest of the identity, shared by stages with equal results in all experiments."""
        text = json.dumps(self.identity, sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()

    def folder(self, root: Path) -> Path:
        """Folder of the stage in the folder of all experiments."""
        return root / STORE / f"{self.kind}-{self.digest}"

    def lineage(self) -> Iterator[Stage]:
        """All required stages, parents before children, and the stage itself last."""
        for parent in self.parents.values():
            yield from parent.lineage()
        yield self

    def done(self, root: Path) -> dict[str, Any] | None:
        """The content of `done.json`; None if the stage is not done."""
        return _read(self.folder(root) / DONE)

    def failed(self, root: Path) -> dict[str, Any] | None:
        """The content of `failed.json`; None if the stage has not failed."""
        return None if self.done(root) is not None else _read(self.folder(root) / FAILED)

    def progress(self, root: Path) -> float | None:
        """Progress of a running stage in [0, 1]; None if unknown."""
        out = self.folder(root) / OUT
        if self.kind == EVALUATE:
            return min(1.0, count_records(out) / int(self.settings["episodes"] * self.settings["samples"]))
        log = out / "log.jsonl"
        if self.kind != "grpo" or not log.is_file():
            return None
        lines = [line for _, line in read_json_lines(log, torn="skip")]
        return min(1.0, lines[-1]["step"] / int(self.settings["steps"])) if lines else 0.0

    def why_not_done(self, root: Path) -> str:
        """Reason to run an unfinished stage: it never ran, failed, was interrupted, or differs from an earlier run."""
        if (failure := self.failed(root)) is not None:
            return f"failed before: {failure['error']}"
        if (self.folder(root) / STAGE).is_file():
            return "was interrupted"
        earlier = self._earlier(root)
        if earlier is None:
            return "has not run yet"
        wanted = json.loads(json.dumps(redact(self.identity)))
        # Changes of the stage are reported before changes of its parents.
        for part in ("settings", "inputs", "vzgym", "parents"):
            change = first_difference({part: earlier.get(part)}, {part: wanted[part]})
            if change is not None:
                return _change(part, *change)
        return "has not run yet"

    def _earlier(self, root: Path) -> dict[str, Any] | None:
        """The identity of the latest run of a stage of this kind, name and seed."""
        found = sorted(root.glob(f"{STORE}/{self.kind}-*/{STAGE}"), key=lambda path: path.stat().st_mtime, reverse=True)
        for file in found:
            noted: dict[str, Any] = read_json(file)
            if noted.get("label") == self.label:
                return noted
        return None


def _change(part: str, key: str, before: Any, now: Any) -> str:
    """Description of a difference between two identities."""
    where = key.removeprefix(f"{part}.")
    if part == "parents":
        return f"its {where} comes from another stage"
    if part == "inputs":
        kind, _, name = where.partition(".")
        return f"{_INPUTS.get(kind, kind)} changed: {name}" if name else f"{_INPUTS.get(kind, kind)} changed"
    return f"{where} changed from {_shown(before)} to {_shown(now)}"


_INPUTS: Final = {"sources": "the source code of a module", "files": "a file", "tasks": "the task file"}


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}..."


@cache
def _version() -> str:
    return version("vzgym")


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        found: dict[str, Any] = read_json(path)
    except RecordError:
        # A stage that runs again removes its old error in another process.
        if path.is_file():
            raise
        return None
    return found


def log_tail(log: Path, count: int = 20) -> list[str]:
    """The last non-empty lines of a log."""
    if not log.is_file():
        return []
    text = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
    return [line for line in text.splitlines() if line.strip()][-count:]


# Running ---------------------------------------------------------------------------------------------------------


def run_stage(stage: Stage, root: Path) -> None:
    """Run a stage in this process unless it is done. Its parents must be done."""
    if stage.done(root) is not None:
        return
    folder = stage.folder(root)
    out = folder / OUT
    if not stage.resume:
        # Files of an interrupted run would affect the results.
        shutil.rmtree(out, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FAILED).unlink(missing_ok=True)
    for path in filter(is_leftover, folder.iterdir()):
        path.unlink()  # a process was killed while it wrote a file
    # YAML has keys that are numbers, as in `logit_bias`: they become texts.
    write_json(folder / STAGE, {"label": stage.label, **json.loads(json.dumps(redact(stage.identity)))})
    start, cpu_start = time.perf_counter(), time.process_time()
    parents = {role: parent.folder(root) / OUT for role, parent in stage.parents.items()}
    results = _RUNNERS[stage.kind](stage, out, parents)
    facts = {
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(time.process_time() - cpu_start, 2),
        "peak_memory_gb": peak_memory(),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "versions": _versions(),
        **results,
    }
    write_json(folder / DONE, facts)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "vzgym": version("vzgym")}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _pretrain(stage: Stage, out: Path, parents: Mapping[str, Path]) -> dict[str, Any]:
    from vzgym.agents.training.pretrain import pretrain
    from vzgym.agents.training.settings import PretrainSettings

    pretrain(PretrainSettings(**{**stage.settings, "out": out}))
    return {}


def _collect(stage: Stage, out: Path, parents: Mapping[str, Path]) -> dict[str, Any]:
    from vzgym.agents.data.dataset import collect
    from vzgym.agents.data.settings import CollectSettings

    return {"rows": collect(CollectSettings(**stage.settings), out).rows}


def _sft(stage: Stage, out: Path, parents: Mapping[str, Path]) -> dict[str, Any]:
    from vzgym.agents.training.settings import SFTSettings
    from vzgym.agents.training.sft import train_sft

    train_sft(SFTSettings(**{**stage.settings, **parents, "out": out, "resume": stage.resume}))
    return {}


def _grpo(stage: Stage, out: Path, parents: Mapping[str, Path]) -> dict[str, Any]:
    from vzgym.agents.training.grpo import train_grpo
    from vzgym.agents.training.settings import GRPOSettings

    train_grpo(GRPOSettings(**{**stage.settings, **parents, "out": out, "resume": stage.resume}))
    return {}


def _sb3(stage: Stage, out: Path, parents: Mapping[str, Path]) -> dict[str, Any]:
    from vzgym.agents.sb3 import SB3Settings, train_sb3

    resumes = stage.resume and any(out.glob("checkpoints/step_*.zip"))
    train_sb3(SB3Settings(**{**stage.settings, "out": out}), resume=resumes)
    return {}


def _evaluate(stage: Stage, out: Path, parents: Mapping[str, Path]) -> dict[str, Any]:
    from vzgym.core.budget import Budget
    from vzgym.evaluation import evaluate

    settings = stage.settings
    policy = settings["policy"]
    if "model" in parents:
        policy = {**policy, "path": str(parents["model"])}
    report = evaluate(
        policy,
        settings["tasks"],
        episodes=settings["episodes"],
        seed=settings["seed"],
        budget=Budget.from_mapping(settings["budget"]),
        reward=settings["reward"],
        out=out,
        samples=settings["samples"],
        answerer=settings["answerer"] or None,
        tools=settings.get("tools"),
        subtitles=settings.get("subtitles"),
    )
    return {"report": report.to_json()}


_RUNNERS: Mapping[str, Callable[[Stage, Path, Mapping[str, Path]], dict[str, Any]]] = {
    "pretrain": _pretrain,
    "collect": _collect,
    "sft": _sft,
    "grpo": _grpo,
    "sb3": _sb3,
    EVALUATE: _evaluate,
}
