"""Every example runs from a foreign folder, and says what it promises to show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

# What each must print.
PROMISES: dict[str, tuple[str, ...]] = {
    "quick_start.py": ("zoom executed: 80 frames seen", "answer correct: reward 1.5", "vzgym_quick_start.png"),
    "own_modules.py": ("As objects:", "reward 0.20", "Registered, by name", "reward 0.12", "reward 1.00"),
    "own_videos.py": ("red at [17.2, 17.5] s", "'B': correct", "holds 3 tasks", "unscored, reward 0.00 (unscored)"),
    "sb3_maskable.py": (
        "512 training steps",
        "of 20 possible: executed",
        "MaskablePPO: accuracy",
        "oracle: accuracy 1.00",
    ),
}


def run(name: str, folder: Path, *arguments: str) -> str:
    """What an example prints; it must leave nothing behind but pictures."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # (Importing torch's optimizers makes an empty folder of torch's own.)
    left = [path for path in folder.iterdir() if not path.name.startswith("torchinductor_")]
    assert {path.suffix for path in left} <= {".png"}
    return done.stdout


@pytest.mark.parametrize("name", PROMISES)
def test_an_example_keeps_its_promise(name: str, tmp_path: Path) -> None:
    printed = run(name, tmp_path)
    for promise in PROMISES[name]:
        assert promise in printed


def test_the_own_policy_beats_chance_and_not_the_oracle(tmp_path: Path) -> None:
    rows = [line.rsplit(maxsplit=6) for line in run("own_policy.py", tmp_path).splitlines()[1:6]]
    accuracy = {row[0].strip(): float(row[1]) for row in rows}
    assert accuracy["blind"] < 0.5 < accuracy["scene sweep"] <= accuracy["oracle"] == 1.0
    assert accuracy["random"] < accuracy["scene sweep"]


def test_the_scripted_team_finds_the_scene_and_the_other_one_trains(tmp_path: Path) -> None:
    printed = run("team.py", tmp_path, "--fast")
    assert "64 episodes:" in printed
    rows = [line.split() for line in printed.splitlines() if " scout " in line and " to " in line]
    right = {row[0]: float(row[2]) for row in rows}
    zooms = {row[0]: float(row[6]) for row in rows}
    assert list(right) == ["random", "learned", "scripted"]
    assert right["random"] < 0.8 < right["scripted"] == 1.0
    assert zooms["scripted"] < zooms["random"] <= 2.0
