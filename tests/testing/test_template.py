"""The template plug-in, installed as a user would install it, beside a plug-in that is broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).parents[2] / "examples" / "plugin_template"
PARTS = {
    "policy": "template_guess",
    "selector": "template_apart",
    "observation": "template_colors",
    "action": "template_eighths",
    "reward": "template_on_target",
    "scorer": "template_sharpness",
    "family": "template_corner",
    "video": "template_pyav",
}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs Python where the template is installed, and a package whose only part cannot be imported."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(TEMPLATE, folder / "source")
    site = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # Offline: what builds it is installed already, and so is what it needs.
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(site)]
    subprocess.run([*pip, *offline, str(source)], check=True, timeout=120)
    lost = site / "lost-1.0.dist-info"
    lost.mkdir()
    (lost / "METADATA").write_text("Metadata-Version: 2.1\nName: lost\nVersion: 1.0\n", encoding="utf-8")
    (lost / "entry_points.txt").write_text(
        "[vzgym.rewards]\nlost_reward = lost_package:Reward\n[vzgym.families]\nlost_family = lost_package:Family\n",
        encoding="utf-8",
    )
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return call


def test_check_finds_each_part_and_names_what_cannot_be_imported(run: Run) -> None:
    done = run("-m", "vzgym", "check", "--json")
    assert done.returncode == 1, done.stderr  # because of the broken plug-in alone
    said = json.loads(done.stdout)
    assert sorted(said["faults"]) == [
        f"vzgym.{group} {name!r} ({path}): cannot import module 'lost_package' of {path!r}: "
        "No module named 'lost_package'"
        for group, name, path in (
            ("families", "lost_family", "lost_package:Family"),
            ("rewards", "lost_reward", "lost_package:Reward"),
        )
    ]
    found = {report["subject"]: report["ok"] for report in said["reports"]}
    assert set(PARTS.values()) <= set(found)
    assert all(found.values()), said["reports"]


USE = """
import gymnasium, vzgym
from vzgym.core.errors import PluginError
report = vzgym.evaluate("template_guess", "template_long", episodes=2)
print(report.accuracy.n, "episodes of", vzgym.tasks.load_tasks("template_long")[0].video.duration, "s")
print(vzgym.evaluate("overview", "control-tiny", episodes=1).accuracy.n, "episode of a control that reads")
env = gymnasium.make("VideoZoomTiny-v0", observation="template_colors", action="template_eighths",
                     reward={"accuracy": 1.0, "template_on_target": 0.5})
env.reset(seed=0)
print(sorted(env.step(3)[4]["reward_terms"]))
print("lost_reward" in vzgym.rewards.REWARDS.names())
try:
    gymnasium.make("VideoZoomTiny-v0", reward="lost_reward")
except PluginError as error:
    print(error)
"""


def test_its_names_work_like_our_own_and_a_broken_one_is_an_error_only_where_it_is_used(run: Run) -> None:
    done = run("-c", USE)
    assert done.returncode == 0, done.stderr
    assert "left out: plug-in task family 'lost_family'" in done.stderr
    assert done.stdout.splitlines() == [
        "2 episodes of 600.0 s",
        "1 episode of a control that reads",
        "['accuracy', 'template_on_target']",
        "True",
        "plug-in reward module 'lost_reward' (lost_package:Reward) cannot be imported: No module named 'lost_package'",
    ]


def test_its_own_tests_pass(run: Run) -> None:
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "source/tests")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
