"""`vzgym doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vzgym.cli.progress import console
from vzgym.core.errors import VzgymError

__all__ = ["doctor"]

_PACKAGES = {
    "numpy": "", "gymnasium": "", "av": "", "decord": "", "pillow": "", "rich": "", "typer": "", "pyyaml": "",
    "torchcodec": "", "torch": "llm", "transformers": "llm", "trl": "llm", "datasets": "llm", "accelerate": "llm",
    "peft": "llm", "stable-baselines3": "sb3", "sb3-contrib": "sb3", "pettingzoo": "multiagent",
    "matplotlib": "plots", "moviepy": "video",
}  # fmt: skip


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Say what is installed, which decoders really decode here, and what the machine has."""
    packages = {name: _version(name) for name in _PACKAGES}
    decoders = _decoders()
    machine = _machine()
    if as_json:
        console.print_json(data={"packages": packages, "decoders": decoders, "machine": machine})
        return
    table = Table("package", "version", title="Packages", title_justify="left")
    for name, found in packages.items():
        extra = _PACKAGES[name]
        missing = f'not installed: pip install "vzgym[{extra}]"' if extra else "not installed"
        table.add_row(name, found or f"[yellow]{missing}[/]")
    console.print(table)
    table = Table("decoder", "state", title="Decoders, tried on a small file", title_justify="left")
    for name, state in decoders.items():
        table.add_row(name, f"[green]{state}[/]" if state == "works" else f"[yellow]{state}[/]")
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


def _decoders() -> dict[str, str]:
    """Each back-end's state: "works" if it reads the right frame of a file written for the purpose."""
    import numpy as np

    from vzgym.tasks import get_task
    from vzgym.tasks.encode import encode_video
    from vzgym.video.file import BACKENDS, FileVideo

    states = {}
    with tempfile.TemporaryDirectory() as folder:
        video = get_task("needle-tiny/test/0").video
        path = Path(folder) / "probe.mp4"
        encode_video(video, path)
        wanted = video.read(np.array([10.0])).pixels.astype(int)
        for name in BACKENDS.names():
            try:
                with_backend = FileVideo(path, backend=name)
                frames = with_backend.read(np.array([10.0]))
                with_backend.close()
            except (VzgymError, ImportError) as error:
                states[name] = f"{type(error).__name__}: {error}"
                continue
            error_level = float(np.abs(frames.pixels.astype(int) - wanted).mean())
            states[name] = "works" if error_level < 8 else f"wrong frame (mean error {error_level:.1f} of 255)"
    return states


def _machine() -> dict[str, str]:
    facts = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        facts["memory"] = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB"
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
