"""Every path from a file to the registries: code that a file names is not imported unless the user says so."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import vzgym
from vzgym.agents.data.dataset import said_protocol
from vzgym.agents.vlm.checkpoint import resolve_protocol, saved_protocol
from vzgym.core.errors import RecordError, UntrustedName, VzgymError
from vzgym.evaluation import ReaderAnswerer, read_records
from vzgym.evaluation.comparison import compare_runs
from vzgym.evaluation.replay import replay
from vzgym.evaluation.rescoring import score_run
from vzgym.rewards import make_reward
from vzgym.tasks import load_jsonl
from vzgym.tasks.io.writing import write_tasks

CANARY = "vzgym_canary"
NAME = f"{CANARY}:Anything"


@pytest.fixture(autouse=True)
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that leaves a file behind when it is imported; its class stands for any component."""
    left = tmp_path / "imported"
    folder = tmp_path / "path"
    folder.mkdir()
    (folder / f"{CANARY}.py").write_text(
        "from pathlib import Path\n"
        "from vzgym.protocols import TagProtocol\n"
        f"Path({str(left)!r}).touch()\n"
        "class Anything(TagProtocol):\n"
        f"    spec = {{'name': {NAME!r}}}\n"
    )
    monkeypatch.syspath_prepend(folder)
    yield left
    sys.modules.pop(CANARY, None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "oracle"
    vzgym.evaluate("oracle", "needle-tiny/test", episodes=1, out=folder)
    return folder


def tampered(run: Path, folder: Path, **changes: Any) -> Path:
    """A copy of a run, changed: "info.wording" and "task.video" name places in its records."""
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text((run / "run.json").read_text())
    lines = []
    for line in (run / "records.jsonl").read_text().splitlines():
        record = json.loads(line)
        for place, value in changes.items():
            part, key = place.split("__")
            record[part][key] = value
        lines.append(json.dumps(record))
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n")
    return folder


HOSTILE: dict[str, dict[str, Any]] = {
    "wording": {"info__wording": {"name": NAME, "args": ["touch", "x"]}},
    "reward": {"info__reward": {"any": {"module": NAME}}},
    "reward_by_its_key": {"info__reward": {NAME: 1.0}},
    "condition": {"info__reward": {"accuracy": {"when": {"module": NAME, "above": 0}}}},
    "nested_condition": {"info__reward": {"accuracy": {"when": ["correct", {"module": NAME, "above": 0}]}}},
    "judge": {"info__reward": {"judged_accuracy": {"url": "https://example.invalid", "cache": "/tmp/x"}}},
    "suite": {"task__video": f"procedural:{NAME}/test/0"},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_record(kind: str, run: Path, tmp_path: Path, canary: Path) -> None:
    folder = tampered(run, tmp_path / "run", **HOSTILE[kind])
    (record,) = read_records(folder)
    with pytest.raises(UntrustedName, match="trust_code=True"):
        replay(record)
    found = CliRunner().invoke(vzgym_app(), ["replay", str(folder)])
    assert isinstance(found.exception, UntrustedName)
    assert not canary.exists()


def vzgym_app() -> Any:
    from vzgym.cli import app

    return app


def test_a_record_whose_code_the_user_trusts(run: Path, tmp_path: Path, canary: Path) -> None:
    folder = tampered(run, tmp_path / "run", info__wording={"name": NAME})
    found = CliRunner().invoke(vzgym_app(), ["replay", str(folder), "--trust-code"])
    assert canary.exists()
    assert "1 records replayed" in found.output


@pytest.mark.parametrize("reward", ["rewards.yaml", "/dev/zero.yml", ["accuracy"], 3])
def test_a_record_whose_reward_is_no_data(reward: Any, run: Path, tmp_path: Path) -> None:
    folder = tampered(run, tmp_path / "run", info__reward=reward)
    with pytest.raises(RecordError, match=r"neither a name nor a mapping|must be a name, a mapping or None"):
        replay(*read_records(folder))


@pytest.mark.parametrize("kind", HOSTILE)
def test_scoring_and_comparing_records(kind: str, run: Path, tmp_path: Path, canary: Path) -> None:
    folder = tampered(run, tmp_path / "run", **HOSTILE[kind])
    records = list(read_records(folder))
    score_run(records, "videozoomer")
    compare_runs([run, folder])
    with pytest.raises(UntrustedName) if kind == "suite" else nullcontext():
        score_run(records, "sufficiency", answerer=ReaderAnswerer())
    assert not canary.exists()


@pytest.mark.parametrize("spec", [NAME, {"name": NAME}])
def test_a_model_folder(spec: Any, tmp_path: Path, canary: Path) -> None:
    (tmp_path / "vzgym.json").write_text(json.dumps({"protocol": spec}))
    for read in (saved_protocol, resolve_protocol):
        with pytest.raises(UntrustedName, match="protocol="):
            read(tmp_path)
    assert not canary.exists()
    assert type(resolve_protocol(tmp_path, NAME)).__name__ == "Anything"


@pytest.mark.parametrize("file", ["collect.json", "import.json"])
def test_a_data_folder(file: str, tmp_path: Path, canary: Path) -> None:
    (tmp_path / file).write_text(json.dumps({"protocol": {"name": NAME}}))
    for given in (None, "tags", {"name": "tags"}):
        with pytest.raises(UntrustedName, match="protocol="):
            said_protocol(tmp_path, given)
    assert not canary.exists()
    assert type(said_protocol(tmp_path, NAME)).__name__ == "Anything"


def test_a_task_file(written: Path, tmp_path: Path, canary: Path) -> None:
    row = json.loads(written.read_text().splitlines()[0])
    row["video"] = str(written.parent / row["video"])
    row["id"], row["category"], row["source"] = f"{NAME}/test/0", NAME, NAME
    row["metadata"] = {**row["metadata"], "family": NAME, "suite": NAME, "reader": NAME}
    file = tmp_path / "tasks.jsonl"
    file.write_text(json.dumps(row) + "\n")
    tasks = load_jsonl(file)
    for policy in ("expert", "oracle", "overview"):
        vzgym.evaluate(policy, tasks)
    assert not canary.exists()


def test_a_task_file_in_the_way_of_writing(tmp_path: Path, canary: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "tasks.jsonl").write_text(json.dumps({"id": f"{NAME}/test/0"}) + "\n")
    with pytest.raises(VzgymError, match="holds something else"):
        write_tasks([vzgym.load_tasks("tiny/test")[0]], folder)
    assert not canary.exists()


def test_task_ids(canary: Path) -> None:
    import gymnasium

    with pytest.raises(UntrustedName, match="trust_code=True"):
        vzgym.get_task(f"{NAME}/test/0")
    env = gymnasium.make("VideoZoomTiny-v0")
    with pytest.raises(UntrustedName):
        env.reset(options={"task": f"{NAME}/test/0"})
    assert not canary.exists()


def test_names_of_servers_and_models_in_data(canary: Path) -> None:
    from vzgym.core.registry import names_from_data
    from vzgym.policies.policy import POLICIES

    for name in ("served", "served:model@http://127.0.0.1:1/v1", "vlm", NAME):
        with names_from_data("a file"), pytest.raises(UntrustedName):
            POLICIES.check({"name": name})
    assert not canary.exists()


def test_what_the_user_types_is_imported(canary: Path) -> None:
    spec: Callable[..., Any] = make_reward
    with pytest.raises(VzgymError):
        spec(NAME)
    assert canary.exists()
