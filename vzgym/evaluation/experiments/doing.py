"""Doing one work: a stage of learning, or the playing of a cell, in its own folder.

A work's folder holds `work.json` (what it is), `log.txt` (what was printed), `out/` (what came out), and in the end
`done.json` (what it took, and by which versions) or `failed.json`. It is finished when `done.json` is there, which is
written at once, and last.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from vzgym.evaluation.experiments.plan import FILES, PLAY, Work

__all__ = ["DONE", "FAILED", "LOG", "OUT", "do", "done", "failed", "write_whole"]

DONE, FAILED, LOG, OUT, WORK = "done.json", "failed.json", "log.txt", "out", "work.json"

_PACKAGES: Final = (
    "numpy", "gymnasium", "torch", "transformers", "trl", "datasets", "stable-baselines3", "sb3-contrib",
)  # fmt: skip


def done(work: Work, root: Path) -> dict[str, Any] | None:
    """What a finished work noted; None if it is not finished."""
    return _read(work.folder(root) / DONE)


def failed(work: Work, root: Path) -> dict[str, Any] | None:
    """What a failed work noted; None if it has not failed."""
    return None if done(work, root) is not None else _read(work.folder(root) / FAILED)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def write_whole(path: Path, values: Any) -> None:
    """Write a JSON file that is either there, whole, or not at all, whenever the process is killed."""
    draft = path.with_name(path.name + ".draft")
    with draft.open("w", encoding="utf-8") as file:
        file.write(json.dumps(values, indent=1, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def do(work: Work, root: Path) -> None:
    """Do a work, unless it is done."""
    if done(work, root) is not None:
        return
    folder = work.folder(root)
    out = folder / OUT
    if not work.resume:
        # What a killed process left behind would make its numbers those of another run.
        shutil.rmtree(out, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FAILED).unlink(missing_ok=True)
    write_whole(folder / WORK, work.to_json())
    began, processor = time.perf_counter(), time.process_time()
    found = _DOERS[work.kind](work, out, {role: parent.folder(root) / OUT for role, parent in work.parents.items()})
    facts = {
        "seconds": round(time.perf_counter() - began, 2),
        "cpu_seconds": round(time.process_time() - processor, 2),
        "peak_memory_gb": _peak_memory(),
        "units": work.units,
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "versions": _versions(),
        **found,
    }
    write_whole(folder / DONE, facts)


def _peak_memory() -> float | None:
    """Of this process so far, in GiB; None where the system does not say."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**30 if sys.platform == "darwin" else 2**20), 3)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "vzgym": version("vzgym")}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _settings(work: Work) -> dict[str, Any]:
    """The settings of a stage, without what only tells works apart."""
    return {key: value for key, value in work.settings.items() if key not in ("tasks_file", "start", "own_data", FILES)}


def _pretrain(work: Work, out: Path, parents: Mapping[str, Path]) -> dict[str, Any]:
    from vzgym.agents.training.pretrain import pretrain
    from vzgym.agents.training.settings import PretrainSettings

    pretrain(PretrainSettings(**{**_settings(work), "out": str(out)}))
    return {}


def _collect(work: Work, out: Path, parents: Mapping[str, Path]) -> dict[str, Any]:
    from vzgym.agents.data.dataset import collect
    from vzgym.agents.data.settings import CollectSettings

    statistics = collect(CollectSettings(**_settings(work)), out)
    return {"rows": statistics.rows}


def _sft(work: Work, out: Path, parents: Mapping[str, Path]) -> dict[str, Any]:
    from vzgym.agents.training.settings import SFTSettings
    from vzgym.agents.training.sft import train_sft

    train_sft(SFTSettings(**_placed(work, out, parents)))
    return {}


def _grpo(work: Work, out: Path, parents: Mapping[str, Path]) -> dict[str, Any]:
    from vzgym.agents.training.grpo import train_grpo
    from vzgym.agents.training.settings import GRPOSettings

    train_grpo(GRPOSettings(**_placed(work, out, parents)))
    return {}


def _placed(work: Work, out: Path, parents: Mapping[str, Path]) -> dict[str, Any]:
    """Settings of a trainer with the folders that it reads and writes."""
    places = {role: str(folder) for role, folder in parents.items()}
    return {**_settings(work), **places, "out": str(out), "resume": work.resume}


def _sb3(work: Work, out: Path, parents: Mapping[str, Path]) -> dict[str, Any]:
    from vzgym.agents.sb3 import SB3Settings, train_sb3

    resumes = work.resume and any(out.glob("checkpoints/step_*.zip"))
    train_sb3(SB3Settings(**{**_settings(work), "out": str(out)}), resume=resumes)
    return {}


def _play(work: Work, out: Path, parents: Mapping[str, Path]) -> dict[str, Any]:
    from vzgym.evaluation.evaluate import evaluate

    facts = work.settings
    report = evaluate(
        _player(facts, parents.get("model")),
        facts["tasks"],
        episodes=facts["episodes"],
        seed=facts["seed"],
        budget=facts["budget"],
        reward=facts["reward"],
        out=out,
        samples=facts["samples"],
        answerer=facts["answerer"] or None,
    )
    return {"report": report.to_json()}


def _player(facts: Mapping[str, Any], model: Path | None) -> Any:
    """What `vzgym.evaluate` takes for the cell's policy."""
    if facts["player"] == "policy":
        return facts["policy"]
    if facts["player"] == "sb3":
        greedy = facts["temperature"] == 0
        return {"name": "vzgym.agents.sb3.policy:SB3Policy", "path": str(model), "deterministic": greedy}
    options = {key: facts[key] for key in ("temperature", "top_p", "turn_tokens", "batch_size")}
    return {"name": "vlm", "path": str(model or facts["start"]), **options}


_DOERS: Mapping[str, Callable[[Work, Path, Mapping[str, Path]], dict[str, Any]]] = {
    "pretrain": _pretrain,
    "collect": _collect,
    "sft": _sft,
    "grpo": _grpo,
    "sb3": _sb3,
    PLAY: _play,
}
