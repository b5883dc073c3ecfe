"""The guide's very commands, with a tiny model in the place of Qwen, and few steps."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from vzgym.agents.data.dataset import load_trajectories
from vzgym.agents.data.settings import CollectSettings
from vzgym.agents.training.settings import PretrainSettings
from vzgym.cli import app
from vzgym.evaluation import read_records
from vzgym.tasks.procedural.render.encode import encode_video
from vzgym.video.synthetic import ArrayVideo

GUIDE = (Path(__file__).parents[2] / "docs" / "tutorials" / "own-videos.md").read_text(encoding="utf-8")
MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"
TEACHER = "Qwen/Qwen2.5-VL-72B-Instruct"
COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220)}

# What the stand-in and a CPU need, behind the guide's own options.
SMALLER = {
    "sft": ["max_steps=2", "bf16=false", "model_options={}", "batch_size=2", "accumulation=1"],
    "grpo": [
        "steps=1", "bf16=false", "model_options={}", "vllm=false", "trainer={}", "groups=1", "group_size=2",
        "batch_size=2", "turn_tokens=64",
    ],
}  # fmt: skip


def commands() -> list[list[str]]:
    """All `vzgym` commands of the guide's bash blocks, in order."""
    blocks = re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    parts = [shlex.split(line, comments=True) for line in lines]
    assert all(part[0] in ("vzgym", "pip", "export") for part in parts if part)
    return [part[1:] for part in parts if part and part[0] == "vzgym"]


def write_questions() -> list[dict[str, Any]]:
    """The guide's JSONL files, and videos that they ask about: a box shows where the evidence is."""
    rows: list[dict[str, Any]] = []
    for name, text in re.findall(r"`(\w+\.jsonl)`[^\n]*:\n\n```json\n(.*?)```", GUIDE, re.DOTALL):
        Path(name).write_text(text)
        rows += map(json.loads, text.splitlines())
    for row in rows:
        path = Path(row["video"])
        path.parent.mkdir(exist_ok=True)
        pixels = np.full((100, 64, 64, 3), 90, np.uint8)
        start, end = row["evidence"][0]
        colour = COLOURS.get(row["answer"])
        if colour:
            pixels[int(start * 5) : int(end * 5), 20:44, 20:44] = colour
            encode_video(ArrayVideo(pixels, 5.0), path)
    return rows


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_heart: Any) -> Path:
    """A folder with the questions, and a tiny model under Qwen's name that knows what to say about them."""
    from vzgym.agents.training.pretrain import pretrain

    monkeypatch.chdir(tmp_path)
    write_questions()
    size = {"width": 32, "layers": 2, "heads": 2, "inner": 48, "vision_width": 16, "positions": 4096}
    small = pretrain(PretrainSettings(out="small", size=size, videos=4, max_steps=1, batch_size=2, protocol="tags"))
    settings = CollectSettings(tasks="train.jsonl", episodes=3, mix="told", wordings=1)
    by_heart(small, Path(MODEL), settings, 60)
    shutil.copytree(MODEL, TEACHER)
    return tmp_path


def test_every_command_runs(stand_ins: Path, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VZGYM_API_KEY", "a key")
    done: list[str] = []
    with serve(TEACHER) as url:
        for command in commands():
            words = [word.replace("http://localhost:8000/v1", url) for word in command]
            smaller = SMALLER.get(command[1], []) if command[0] == "train" else []
            more = [part for pair in smaller for part in ("--set", pair)]
            result = CliRunner().invoke(app, [*words, *more])
            assert result.exit_code == 0, f"{shlex.join(command)}\n{result.output}\n{result.exception!r}"
            done.append(" ".join(command[:2]))
    assert {"videos check", "collect --tasks", "collect --policy", "train sft", "train grpo"} <= set(done)
    # What the guide promises.
    assert set(load_trajectories("runs/told", in_blocks=False)["kind"]) == {"told"}
    taught = load_trajectories("runs/taught", in_blocks=False)
    assert len(taught) > 0
    assert all(taught["correct"])
    for stage in ("sft", "grpo"):
        assert Path("runs", stage, "adapter", "adapter_model.safetensors").is_file()
        assert Path("runs", stage, "model.safetensors").is_file()
    for stage in ("before", "after-sft", "after-grpo"):
        folders = [path for path in Path("runs", stage).iterdir() if "blind" not in path.name]
        assert [record.task.id for record in read_records(folders[0])] == ["shed-1"]


def test_the_files_are_what_the_page_says() -> None:
    names = re.findall(r"`(\w+\.jsonl)`[^\n]*:\n", GUIDE)
    assert names == ["train.jsonl", "test.jsonl"]
    assert len(commands()) >= 12
