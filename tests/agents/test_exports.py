from __future__ import annotations

import subprocess
import sys

import pytest

import vzgym.agents

HEAVY = {"torch", "transformers", "trl", "datasets", "openai", "stable_baselines3"}


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, vzgym.agents, vzgym.agents.tiny; dir(vzgym.agents); vzgym.agents.PretrainSettings; "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & HEAVY == set()


@pytest.mark.parametrize("name", vzgym.agents.__all__)
def test_every_exported_name_resolves(name):
    if "SB3" in name or name.endswith("sb3"):
        pytest.importorskip("stable_baselines3")
    found = getattr(vzgym.agents, name)
    assert found.__name__ == name
    assert found.__module__.startswith("vzgym.agents.")
