"""Every command that writes files: a full disk and a second writer are one line, and the command succeeds later."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

from vzgym.agents.data.dataset import load_trajectories
from vzgym.cli import main
from vzgym.core.files import file_lock, folder_lock

resource = pytest.importorskip("resource", reason="needs limits on the sizes of files")

LIMIT = 150
"""Bytes that fit into a file, as a stand-in for the space left on a disk."""


@contextmanager
def full_disk(limit: int = LIMIT) -> Iterator[None]:
    """Writes beyond `limit` bytes of a file fail, in this process and the ones that it starts."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], int]:
    """Runs a command as the shell does, in `tmp_path`; returns its exit status."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("COLUMNS", "200")

    def run(arguments: list[str]) -> int:
        monkeypatch.setattr(sys, "argv", ["vzgym", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run


COMMANDS = {
    "tasks write": "tasks write --suite tiny --tasks 2 --out files",
    "tasks show": "tasks show tiny/test/0 --out sheet.png",
    "videos store": "videos store video.mp4 --root stores --fps 1",
    "videos check": "videos check video.ts --remux fixed",
    "data export": "data export trajectories --out exported",
    "data import-sft": "data import-sft sharegpt/trajectories.json --out imported --protocol compact_tags",
    "data import-rl": "data import-rl rows.jsonl --out tasks.jsonl",
    "rewards score": "rewards score run --reward accuracy --out ledgers.jsonl",
    "eval": "eval --policy random --tasks tiny --episodes 2 --out runs",
    "collect": "collect --tasks needle-micro/train --episodes 2 --mix exemplar=1 --out collected",
    "ablate": "ablate trial.yaml --out experiments",
    "push": "push model me/model --dry-run",
    "train pretrain": "train pretrain --out small --set videos=4 --set max_steps=1 --set batch_size=2",
    "train sft": "train sft --preset tiny --model model --data trajectories --out sft --set epochs=0.05",
    "train grpo": "train grpo --preset tiny --model model --tasks needle-micro/train --out grpo --set steps=1 "
    "--set groups=1 --set group_size=2",
    "train sb3": "train sb3 --tasks needle-tiny/train --out sb3 --steps 16 --set eval_every=0 "
    "--set envs=8 --set tensorboard=false",
}


@pytest.fixture
def files(tmp_path: Path, small_model: Path, trajectories: Path, make_inputs: Callable[[Path], None]) -> None:
    """What the commands read."""
    shutil.copytree(small_model, tmp_path / "model")
    shutil.copytree(trajectories, tmp_path / "trajectories")
    make_inputs(tmp_path)


@pytest.fixture(scope="module")
def make_inputs(trajectories: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """Copies inputs that are made once."""
    from vzgym.agents.data.sharegpt import export_sharegpt
    from vzgym.evaluation import evaluate
    from vzgym.tasks import load_tasks
    from vzgym.tasks.procedural.render.encode import encode_video

    root = tmp_path_factory.mktemp("inputs")
    export_sharegpt(trajectories, root / "sharegpt", name="x")
    evaluate("random", "tiny", episodes=2, out=root / "run")
    video = load_tasks("tiny/test")[0].video
    encode_video(video, root / "video.mp4")
    with av.open(str(root / "video.mp4")) as old, av.open(str(root / "video.ts"), "w") as new:
        stream = old.streams.video[0]
        copied = new.add_stream_from_template(stream)
        for packet in old.demux(stream):
            if packet.size:
                packet.stream = copied
                new.mux(packet)
    row = {"doc_id": "1", "problem": "<video>What? A. red B. blue", "solution": "<answer>A</answer>",
           "videos": ["video.mp4"], "data_source": "x" * 200, "extra_info": {}}  # fmt: skip
    (root / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (root / "trial.yaml").write_text(
        "title: A trial\ntasks: needle-micro\nseeds: 1\nevaluate: {episodes: 2}\n"
        "learners: {expert: {kind: policy, policy: expert}}\n"
    )

    def copy_inputs(target: Path) -> None:
        shutil.copytree(root, target, dirs_exist_ok=True)

    return copy_inputs


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_full_disk_is_one_line_and_the_command_can_be_run_again(
    command: str, call: Callable[[list[str]], int], files: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with full_disk():
        status = call(command.split())
    printed = capsys.readouterr().err
    assert status == 1
    assert "Traceback" not in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("DiskFull: ")]
    assert "File too large" in line
    assert line.endswith("Free some space and run the same command again")
    assert call(command.split()) == 0


def test_leftovers_of_a_killed_run_and_a_disk_full_in_the_middle_do_not_block_the_same_command(
    call: Callable[[list[str]], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data"
    out.mkdir()
    # What a kill leaves between the making of the folder and its settings.
    (out / ".lock").touch()
    (out / ".collect.json.7-7.partial").write_text('{"tas')
    command = ["collect", "--out", "data", "--tasks", "needle-micro/train", "--episodes", "40", "--mix", "paper"]
    with full_disk(60_000):
        assert call(command) == 1
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    assert "File too large" in printed.splitlines()[-1]
    assert "Free some space and run the same command again" in printed.splitlines()[-1]
    assert (out / "collect.json").exists()
    assert call(command) == 0
    assert len(load_trajectories(out)) > 0


LOCKED = {
    "train pretrain": (folder_lock, "small"),
    "train sft": (folder_lock, "sft"),
    "train grpo": (folder_lock, "grpo"),
    "train sb3": (folder_lock, "sb3"),
    "data export": (file_lock, "exported"),
    "data import-sft": (file_lock, "imported"),
    "tasks write": (folder_lock, "files"),
    "collect": (folder_lock, "collected"),
}


@pytest.mark.parametrize("name", LOCKED)
def test_a_second_writer_is_refused_in_one_line(
    name: str,
    call: Callable[[list[str]], int],
    files: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lock, out = LOCKED[name]
    with lock(tmp_path / out):
        before = sorted(tmp_path.rglob("*"))
        status = call(COMMANDS[name].split())
        assert sorted(tmp_path.rglob("*")) == before
    printed = capsys.readouterr().err
    assert status == 1
    assert "Traceback" not in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("FolderInUse: ")]
    assert line.startswith(f"FolderInUse: {out} is being written by another process: wait until it has finished")
