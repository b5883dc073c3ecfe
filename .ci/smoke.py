"""Tries an installed wheel, from an environment that has it and its core dependencies alone.

    python .ci/smoke.py FOLDER

FOLDER holds the wheel and the source distribution, whose contents are looked at too. Nothing of the source tree is on
the path: Python puts this file's folder there, not the working one.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from importlib.metadata import requires, version
from pathlib import Path

import gymnasium

import vzgym


def command(*arguments: str) -> str:
    """What `vzgym ...` prints; an error if it fails."""
    program = Path(sys.executable).with_name("vzgym")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"vzgym {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def main() -> None:
    """Try the package; the first thing that is wrong is an error."""
    folder = Path(sys.argv[1])
    assert "site-packages" in str(vzgym.__file__), vzgym.__file__
    assert version("vzgym") == vzgym.__version__
    assert importlib.util.find_spec("torch") is None, "this environment must have the core dependencies alone"
    assert any("extra == 'llm'" in need or 'extra == "llm"' in need for need in requires("vzgym") or [])

    (wheel,) = folder.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert all(name.startswith(("vzgym/", "vzgym-")) for name in names), "the wheel holds something beside the package"
    assert "vzgym/py.typed" in names
    assert any(name.endswith("training/presets/paper.yaml") for name in names)
    assert "vzgym/agents/tiny/checkpoint/model.safetensors" in names
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    wanted = ("README.md", "LICENSE", "CHANGELOG.md", "constraints.txt", "docs/index.md", "docs/images/episode.png")
    assert inside >= set(wanted)

    env = gymnasium.make("VideoZoomTiny-v0")
    _, info = env.reset(seed=0)
    *_, info = env.step(vzgym.Zoom(4.0, 6.0, fps=4))
    assert info["outcome"] == "executed"
    *_, terminated, _, info = env.step(vzgym.Answer("A"))
    assert terminated
    assert info["grade"] in ("correct", "wrong")
    report = vzgym.evaluate("oracle", "needle-tiny/test", episodes=5)
    assert report.summary["correct"].value == 1.0

    assert command("--version") == f"vzgym {vzgym.__version__}\n"
    assert "eval" in command("--help")
    assert "random" in command("eval", "--policy", "random", "--tasks", "tiny", "--episodes", "3")
    assert "pyav" in command("doctor").lower()
    with tempfile.TemporaryDirectory() as run:
        vzgym.evaluate("oracle", "needle-tiny/test", episodes=2, out=run)
        command("view", run, "--no-open")
        assert (Path(run) / "view" / "static" / "viewer.js").stat().st_size > 0
        assert (Path(run) / "view" / "data" / "0" / "1.js").is_file()
    command("tasks", "write", "--tasks", "1", "--out", "written")
    print(f"{wheel.name} works")


if __name__ == "__main__":
    main()
