"""`vzgym doctor`."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from vzgym.cli.progress import console
from vzgym.core.errors import VzgymError
from vzgym.core.memory import machine_memory

__all__ = ["doctor"]

_PACKAGES = {
    "numpy": "", "gymnasium": "", "av": "", "decord": "", "pillow": "", "rich": "", "typer": "", "pyyaml": "",
    "torchcodec": "", "torch": "llm", "transformers": "llm", "trl": "llm", "datasets": "llm", "accelerate": "llm",
    "peft": "llm", "stable-baselines3": "sb3", "sb3-contrib": "sb3", "pettingzoo": "multiagent",
    "matplotlib": "plots", "pandas": "pandas", "moviepy": "video", "openai": "served",
    "vllm": "llm,gpu", "deepspeed": "llm,gpu", "ray": "ray",
    "mcp": "mcp", "skyrl-gym": "skyrl", "openenv": "openenv", "verifiers": "verifiers", "verl": "verl",
    "bm25s": "tools", "snowballstemmer": "tools", "scipy": "selectors", "pywavelets": "selectors",
}  # fmt: skip


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Print installed packages, working decoders, and hardware."""
    packages = {name: _version(name) for name in _PACKAGES}
    faults = _unmet()
    decoders = _decoders()
    machine = _machine()
    if as_json:
        facts = {"packages": packages, "unmet": faults, "decoders": decoders, "machine": machine}
        print(json.dumps(facts, indent=2))
        return
    table = Table("package", "version", title="Packages", title_justify="left")
    for name, found in packages.items():
        extra = _PACKAGES[name]
        missing = f'not installed: pip install "vzgym[{extra}]"' if extra else "not installed"
        table.add_row(name, found or Text(missing, "yellow"))
    console.print(table)
    for fault in faults:
        console.print(Text(fault, "yellow"))
    table = Table("decoder", "state", title="Decoders, tried on a small file", title_justify="left")
    for name, state in decoders.items():
        table.add_row(name, Text(state, "green" if state == "works" else "yellow"))
    console.print(table)
    table = Table("what", "value", title="Machine", title_justify="left")
    for what, value in machine.items():
        table.add_row(what, value)
    console.print(table)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _unmet() -> list[str]:
    """What vLLM and DeepSpeed need in other releases than are installed; a sentence for each package."""
    # Packages of the extra `gpu` come with those of `llm`.
    if _version("transformers") is None:
        return []
    from vzgym.agents.training.processes import unmet_requirements

    needs = {name: unmet_requirements(name) for name in ("vllm", "deepspeed", "trl")}
    return [f"{name} needs {', '.join(unmet)}" for name, unmet in needs.items() if unmet]


def _decoders() -> dict[str, str]:
    """State of each back-end: "works" if it reads the right frames, by time, of a test file."""
    import numpy as np

    from vzgym.tasks.procedural.render.encode import encode_video
    from vzgym.video.file import BACKENDS, FileVideo
    from vzgym.video.synthetic import ArrayVideo

    # Every frame has a distinct gray level.
    fps, greys = 10.0, np.arange(24, 234, 10, dtype=np.uint8)
    pixels = np.broadcast_to(greys[:, None, None, None], (len(greys), 64, 64, 3)).copy()
    asked = np.array([1.95, 0.0, 0.51, 1.2, 2.09])
    wanted = greys[(asked * fps + 1e-6).astype(int)].astype(int)
    states = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.mp4"
        encode_video(ArrayVideo(pixels, fps), path)
        for name in BACKENDS.names():
            try:
                video = FileVideo(path, backend=name)
                with closing(video):
                    found = video.read(asked).pixels.mean(axis=(1, 2, 3))
            except (VzgymError, ImportError) as error:
                states[name] = f"{type(error).__name__}: {error}"
                continue
            wrong = asked[np.abs(found - wanted) >= 5]
            states[name] = f"wrong frame at {wrong[0]:g} s" if len(wrong) else "works"
    return states


def _machine() -> dict[str, str]:
    facts = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
    }
    memory = machine_memory()
    if memory is not None:
        facts["memory"] = f"{memory / 2**30:.1f} GiB"
    if _version("torch") is None:
        facts["gpu"] = "unknown: torch is not installed"
        return facts
    import torch

    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        facts["gpu"] = f"{torch.cuda.device_count()} x {gpu.name}, {gpu.total_memory / 2**30:.0f} GiB"
    else:
        facts["gpu"] = "none that torch can use"
    return facts
