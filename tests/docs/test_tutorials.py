"""The tutorials' commands, in order, with tiny models, a local server and few steps in place of the real ones.

`pip` and `export` lines are skipped; the Python blocks are run by the root conftest.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from tests.tasks.benchmarks.conftest import clip
from tests.tasks.benchmarks.miniatures import MINIATURES, Folder
from vzgym.agents import CollectSettings, PretrainSettings, pretrain
from vzgym.agents.data.dataset import load_trajectories
from vzgym.cli import app
from vzgym.evaluation import read_records
from vzgym.tasks import BUDGETS, FAMILIES
from vzgym.tasks.procedural.render.encode import encode_video
from vzgym.video import ArrayVideo

# The videos of the questions are short: their overview shows the evidence, which the commands say in a warning.
pytestmark = pytest.mark.filterwarnings("ignore:the overview alone shows the evidence")

__all__ = ["clip"]

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
URL = "http://localhost:8000/v1"
MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"
TEACHER = "Qwen/Qwen2.5-VL-72B-Instruct"
SIZE = {"width": 32, "layers": 2, "heads": 2, "inner": 48, "vision_width": 16, "positions": 4096}
COLORS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220)}


class Tutorial:
    """A page of docs/tutorials: the files that it shows, and its shell commands.

    A file is a block of code whose sentence before it names the file and ends with a colon.
    """

    def __init__(self, name: str) -> None:
        text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
        self.files = dict(re.findall(r"`(\w+\.\w+)`[^\n]*:\n\n```\w+\n(.*?)```", text, re.DOTALL))
        blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        lines = "".join(blocks).replace("\\\n", " ").splitlines()
        commands = [words for words in (shlex.split(line, comments=True) for line in lines) if words]
        assert {words[0] for words in commands} <= {"vzgym", "pip", "export"}
        self.commands = [words[1:] for words in commands if words[0] == "vzgym"]

    def run(
        self, more: Mapping[str, Sequence[str]] | None = None, url: str = URL, incomplete: Sequence[str] = ()
    ) -> list[str]:
        """Run all commands in the working folder.

        Args:
            more: Words to add to a command, by the words that it starts with.
            url: The address of the server that stands in for the one that the page names.
            incomplete: Beginnings of commands that exit with 1, since the test has only a part of the data.

        Returns:
            The commands that were run, as text.
        """
        done = []
        for command in self.commands:
            words = [path for word in command for path in expand(word.replace(URL, url))]
            line = shlex.join(command)
            for start, added in (more or {}).items():
                if line.startswith(start):
                    words += added
            result = CliRunner().invoke(app, words)
            expected = int(any(line.startswith(start) for start in incomplete))
            assert result.exit_code == expected, f"{line}\n{result.output}\n{result.exception!r}"
            done.append(line)
        return done


def expand(word: str) -> list[str]:
    """What a shell makes of a word with a `*`."""
    found = sorted(str(path) for path in Path().glob(word)) if "*" in word and not Path(word).is_absolute() else []
    return found or [word]


def settings(*pairs: str) -> list[str]:
    return [part for pair in pairs for part in ("--set", pair)]


def write_questions(tutorial: Tutorial) -> None:
    """The page's JSONL files, and the videos that they ask about: a box is shown where the evidence is."""
    for name, text in tutorial.files.items():
        Path(name).write_text(text)
        for row in map(json.loads, text.splitlines()):
            path = Path(row["video"])
            path.parent.mkdir(exist_ok=True)
            color = COLORS.get(row["answer"])
            if color and not path.exists():
                pixels = np.full((100, 64, 64, 3), 90, np.uint8)
                start, end = row["evidence"][0]
                pixels[int(start * 5) : int(end * 5), 20:44, 20:44] = color
                encode_video(ArrayVideo(pixels, 5.0), path)


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder, in which `module:Class` is found as by the `vzgym` command."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory, by_heart: Any) -> Path:
    """A tiny model that has memorized what an expert says about the questions of `own-videos`."""
    folder = tmp_path_factory.mktemp("qwen")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_questions(Tutorial("own-videos"))
        small = pretrain(PretrainSettings(out="small", size=SIZE, videos=4, max_steps=1, batch_size=2, protocol="tags"))
        collected = CollectSettings(tasks="train.jsonl", episodes=3, mix="told", wordings=1)
        by_heart(small, Path("model"), collected, 60)
    return folder / "model"


def test_first_policy() -> None:
    tutorial = Tutorial("first-policy")
    done = tutorial.run(
        {
            "eval": ["--episodes", "4"],
            "train sb3": settings("steps=32", "envs=2", "eval_every=0", "options={n_steps: 8, batch_size: 16}"),
        }
    )
    assert any(line.startswith("train sb3") for line in done)
    assert Path("runs/ppo/model.zip").is_file()


def test_own_videos(qwen: Path, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VZGYM_API_KEY", "a key")
    tutorial = Tutorial("own-videos")
    assert list(tutorial.files) == ["train.jsonl", "test.jsonl"]
    write_questions(tutorial)
    for name in (MODEL, TEACHER):
        shutil.copytree(qwen, name)
    small = {
        "train sft": settings("max_steps=2", "bf16=false", "model_options={}", "batch_size=2", "accumulation=1"),
        "train grpo": settings(
            "steps=1", "bf16=false", "model_options={}", "vllm=false", "trainer={}", "groups=1", "group_size=2",
            "batch_size=2", "turn_tokens=64",
        ),
    }  # fmt: skip
    with serve(TEACHER) as url:
        done = tutorial.run(small, url)
    starts = {" ".join(line.split()[:2]) for line in done}
    assert {"videos check", "collect --preset", "train sft", "train grpo"} <= starts
    # What the page promises.
    assert set(load_trajectories("runs/told", in_blocks=False)["kind"]) == {"told"}
    taught = load_trajectories("runs/taught", in_blocks=False)
    assert len(taught) > 0
    assert all(taught["correct"])
    for stage in ("sft", "grpo"):
        assert Path("runs", stage, "adapter", "adapter_model.safetensors").is_file()
        assert Path("runs", stage, "model.safetensors").is_file()
    for stage in ("before", "after-sft", "after-grpo"):
        folders = [path for path in Path("runs", stage).iterdir() if "blind" not in path.name]
        (record,) = read_records(folders[0])
        assert record.task.id == "shed-1"
        # One budget throughout.
        assert record.budget == BUDGETS.make("single-gpu")
    assert all(record.budget == BUDGETS.make("single-gpu") for record in read_records("runs/grpo/rollouts.jsonl"))


@pytest.mark.usefixtures("in_process")
def test_reward_ablation() -> None:
    tutorial = Tutorial("reward-ablation")
    assert list(tutorial.files) == ["my_rewards.py", "first_zoom.yaml", "my_reward.yaml"]
    experiment = yaml.safe_load(tutorial.files["first_zoom.yaml"])
    experiment["seeds"] = 1
    experiment["evaluate"]["episodes"] = 3
    experiment["learners"]["tiny"] |= {
        "pretrain": {"max_steps": 2, "videos": 4, "batch_size": 4, "size": SIZE},
        "collect": {"episodes": 12},
        "sft": {"max_steps": 2, "batch_size": 4},
        "grpo": {"steps": 1, "groups": 1, "group_size": 2, "turn_tokens": 6},
    }
    for name, text in tutorial.files.items():
        Path(name).write_text(text)
    Path("first_zoom.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))
    done = tutorial.run({"ablate first_zoom.yaml --workers": ["--workers", "1"]})
    assert sum(line.startswith("ablate") for line in done) == 2
    for name in ("index.html", "table.md", "cells.csv"):
        assert Path("runs/experiments/first_zoom", name).is_file()


def test_evaluate_a_model(qwen: Path, serve: Any) -> None:
    tutorial = Tutorial("evaluate-a-model")
    assert list(tutorial.files) == ["questions.jsonl"]
    write_questions(tutorial)
    Path(MODEL).parent.mkdir()
    shutil.copytree(qwen, MODEL)
    with serve(MODEL) as url:
        done = tutorial.run(url=url)
    assert any(line.startswith("compare") for line in done)
    (run,) = [file.parent for file in Path("runs/qwen").glob("*/records.jsonl") if "blind" not in file.parent.name]
    assert all(record.info.costs["input_tokens"] > 0 for record in read_records(run))


def test_video_mme(qwen: Path, serve: Any, clip: Path) -> None:
    MINIATURES["videomme"].layouts["official"](Folder(Path("videomme"), clip))
    shutil.copytree(qwen, MODEL)
    # Few frames of one token, each after its time: the tiny model reads neither long dialogues nor adjacent frames.
    small = ["--episodes", "1", "--budget", "min_pixels=784", "--budget", "max_pixels=784", "--prompt", "agent"]
    asked = f"eval --policy served:{MODEL}@{URL} --name"
    frames = {"direct": "3", "agent": "2", "model": "1,2"}
    with serve(MODEL) as url:
        done = Tutorial("video-mme").run(
            {f"{asked} {name}": [*small, "--frames", count] for name, count in frames.items()},
            url,
            incomplete=["bench check"],
        )
    assert sum(line.startswith("bench") for line in done) == 5
    (record, *_) = read_records("runs/direct/direct-videomme")
    assert (record.budget.overview_frames, record.budget.max_zooms) == (3, 0)
    assert json.loads(Path("videomme.json").read_text())[0]["questions"]
    assert Path("page/index.html").is_file()


def test_task_family() -> None:
    tutorial = Tutorial("task-family")
    assert list(tutorial.files) == ["corner.py", "pyproject.toml"]
    Path("corner.py").write_text(tutorial.files["corner.py"])
    assert {"corner", "corners"} <= set(re.findall(r"^(\w+) = ", tutorial.files["pyproject.toml"], re.MULTILINE))
    try:
        done = tutorial.run({"tasks verify": ["--tasks", "4"], "eval": ["--episodes", "8", "--out", "runs"]})
    finally:
        FAMILIES._factories.pop("corner", None)
    assert [line.split()[0] for line in done] == ["tasks", "check", "tasks", "eval"]
    assert Path("corner.png").is_file()
    grades = {name: [record.grade for folder in Path("runs").glob(f"{name}-*") for record in read_records(folder)]
              for name in ("blind", "overview", "expert", "oracle")}  # fmt: skip
    assert all(len(found) == 8 for found in grades.values())
    right = {name: sum(grade is not None and grade.is_correct for grade in found) for name, found in grades.items()}
    assert right["expert"] == right["oracle"] == 8
    assert right["blind"] < 8


def test_each_tutorial_is_tested() -> None:
    tested = {"first-policy", "own-videos", "reward-ablation", "evaluate-a-model", "video-mme", "task-family"}
    assert {path.stem for path in FOLDER.glob("*.md")} == tested
