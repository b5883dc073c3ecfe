"""Importing vzgym must stay cheap, and must not need anything optional."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import vzgym

# What only some people install.
OPTIONAL = {
    "accelerate",
    "datasets",
    "matplotlib",
    "moviepy",
    "peft",
    "pettingzoo",
    "sb3_contrib",
    "stable_baselines3",
    "tensorboard",
    "torch",
    "transformers",
    "trl",
}
DECODERS = {"av", "decord"}
# The room of policies that learn is the one that may need what it teaches with.
ROOMS = [room.name for room in pkgutil.iter_modules(vzgym.__path__) if room.name not in {"__main__", "agents"}]


def imported_by(statement: str) -> set[str]:
    """Top-level packages in a fresh interpreter after `statement`."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_import_vzgym_is_light() -> None:
    loaded = imported_by("import vzgym")
    assert "vzgym" in loaded
    assert loaded & (OPTIONAL | DECODERS) == set()


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_needs_an_optional_package(room: str) -> None:
    assert imported_by(f"import vzgym.{room}") & OPTIONAL == set()


def test_core_needs_numpy_alone() -> None:
    # An empty package stands in for `vzgym/__init__.py`, which may import more than the ground floor does.
    statement = f"""
import sys, types
house = sys.modules["vzgym"] = types.ModuleType("vzgym")
house.__path__ = {list(vzgym.__path__)!r}
import vzgym.core, vzgym.core.registry
"""
    added = imported_by(statement) - imported_by("import numpy")
    assert added - set(sys.stdlib_module_names) == {"vzgym"}
