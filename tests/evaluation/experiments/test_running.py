"""Running, being killed, failing: with policies that learn nothing, each cell in a process of a second or two."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from vzgym.core.errors import FolderInUse, RecordError, WorkerError
from vzgym.core.files import read_json
from vzgym.evaluation.experiments import Event, Grid, run_grid, stages, write_results
from vzgym.evaluation.experiments.running import _run_chain
from vzgym.evaluation.experiments.stages import DONE, FAILED, LOG, Stage, run_stage

FOUR = """\
tasks: needle-micro
seeds: 2
evaluate: {episodes: 6}
learners:
  blind: {kind: policy, policy: blind}
  expert: {kind: policy, policy: expert}
"""

BROKEN = """\
tasks: needle-micro
seeds: 1
evaluate: {episodes: 3}
learners:
  broken: {kind: policy, policy: "policy_that_breaks:Breaks"}
  killed: {kind: policy, policy: "policy_that_breaks:Killed"}
  blind: {kind: policy, policy: blind}
"""

POLICIES = """
import os, signal
from vzgym import Answer
class Breaks:
    def reset(self, seed): ...
    def act(self, observation, info):
        raise ArithmeticError("the sum was wrong")
class Killed(Breaks):
    def act(self, observation, info):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.usefixtures("in_process")
def test_a_finished_grid_does_not_run_again(grid_of: Callable[[str], Grid], tmp_path: Path) -> None:
    grid = grid_of(FOUR)
    told: list[Event] = []
    outcome = run_grid(grid, tmp_path / "out", workers=2, on_event=told.append)
    assert (outcome.finished, outcome.failed, outcome.skipped) == (4, {}, [])
    assert sorted(event.what for event in told) == ["done"] * 4 + ["started"] * 4
    notes = {path: path.read_bytes() for path in (tmp_path / "out").glob(f"store/*/{DONE}")}
    assert len(notes) == 4
    again: list[Event] = []
    assert run_grid(grid, tmp_path / "out", on_event=again.append).finished == 4
    assert again == []
    assert notes == {path: path.read_bytes() for path in (tmp_path / "out").glob(f"store/*/{DONE}")}


def test_each_stage_notes_its_settings_and_versions(grid_of: Callable[[str], Grid], tmp_path: Path) -> None:
    grid = grid_of(FOUR.replace("seeds: 2", "seeds: 1").replace("  expert: {kind: policy, policy: expert}\n", ""))
    run_grid(grid, tmp_path / "out", threads=3)
    (stage,) = grid.stages
    folder = stage.folder(tmp_path / "out")
    assert json.loads((folder / "stage.json").read_text())["settings"]["seed"] == 0
    facts = stage.done(tmp_path / "out")
    assert facts["threads"] == "3"
    assert {"python", "vzgym", "numpy"} <= set(facts["versions"])
    assert facts["seconds"] > 0
    assert (folder / "out" / "records.jsonl").read_text().count("\n") == 6
    assert "OMP_NUM_THREADS" not in os.environ or os.environ["OMP_NUM_THREADS"] != "3"


def test_keys_that_are_numbers_are_noted_as_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(stages._RUNNERS, "evaluate", lambda stage, out, parents: {})
    stage = Stage("evaluate", "served", 0, {"policy": {"name": "served", "extra": {"logit_bias": {50256: -100}}}})
    run_stage(stage, tmp_path)
    noted = read_json(stage.folder(tmp_path) / "stage.json")
    assert noted["settings"]["policy"]["extra"] == {"logit_bias": {"50256": -100}}
    assert stage.done(tmp_path) is not None


def test_what_fails_is_told_and_the_rest_goes_on(
    grid_of: Callable[[str], Grid], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policy_that_breaks.py").write_text(POLICIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    grid, out = grid_of(BROKEN), tmp_path / "out"
    outcome = run_grid(grid, out)
    broken, killed, blind = grid.stages
    assert outcome.failed == {
        broken.digest: "ArithmeticError: the sum was wrong",
        killed.digest: outcome.failed[killed.digest],
    }
    assert "a worker process died" in outcome.failed[killed.digest]
    assert blind.done(out) is not None
    assert "the sum was wrong" in (broken.folder(out) / LOG).read_text()
    results = write_results(grid, out)
    assert [row.status for row in results.rows] == ["failed", "failed", "done"]
    page = (out / "trial" / "index.html").read_text()
    assert "the sum was wrong" in page
    assert "2 failed" in page
    assert broken.why_not_done(out) == "failed before: ArithmeticError: the sum was wrong"
    # A failed stage runs again; what it left is removed.
    again: list[Event] = []
    run_grid(grid, out, on_event=again.append)
    assert [event.stage for event in again if event.what == "started"] == [broken, killed]
    # With mended code it is another stage.
    (tmp_path / "policy_that_breaks.py").write_text(
        POLICIES.replace('raise ArithmeticError("the sum was wrong")', "return Answer('A')")
    )
    mended = grid_of(BROKEN)
    assert mended.stages[0].why_not_done(out) == "the source code of a module changed: policy_that_breaks"
    assert run_grid(mended, out).finished == 3 - 1


@pytest.mark.usefixtures("in_process")
def test_a_stage_that_fails_takes_its_cells_with_it(grid_of: Callable[[str], Grid], tmp_path: Path) -> None:
    grid = grid_of(
        "tasks: needle-micro\nseeds: 1\nevaluate: {episodes: 2}\n"
        "learners:\n  gone: {kind: vlm, stages: [sft], model: no/where, preset: tiny, sft: {data: nowhere}}\n"
        "  blind: {kind: policy, policy: blind}\n"
    )
    outcome = run_grid(grid, tmp_path / "out", workers=2)
    assert [stage.kind for stage in outcome.skipped] == ["evaluate"]
    assert len(outcome.failed) == 1
    assert outcome.finished == 1


def test_an_error_that_is_removed_while_it_is_read_is_none(
    grid_of: Callable[[str], Grid], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = grid_of(FOUR).stages[0]
    file = stage.folder(tmp_path) / FAILED
    file.parent.mkdir(parents=True)
    file.write_text("{")
    with pytest.raises(RecordError, match="not JSON"):
        stage.failed(tmp_path)

    def remove_first(path: Path) -> object:
        path.unlink()
        return read_json(path)

    monkeypatch.setattr(stages, "read_json", remove_first)
    assert stage.failed(tmp_path) is None


def test_two_do_not_work_in_one_folder(grid_of: Callable[[str], Grid], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"), pytest.raises(FolderInUse):
        run_grid(grid_of(FOUR), tmp_path / "out")


def test_workers_elsewhere_must_see_the_folder(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"does not see the folder .* give --out on a disk that all nodes share"):
        _run_chain(tmp_path, "a mark", [])
    (tmp_path / ".driver").write_text("a mark")
    _run_chain(tmp_path, "a mark", [])


@pytest.mark.usefixtures("in_process")
def test_killed_and_started_again_it_gives_the_same_table(grid_of: Callable[[str], Grid], tmp_path: Path) -> None:
    grid = grid_of(FOUR)
    run_grid(grid, tmp_path / "whole", workers=2)
    write_results(grid, tmp_path / "whole")
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "vzgym", "ablate", str(tmp_path / "trial.yaml"), "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(out.glob(f"store/*/{DONE}")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.read_bytes() for path in out.glob(f"store/*/{DONE}")}
    assert 1 <= len(kept) < 4
    # What a kill in the middle of a write leaves.
    torn = next(stage for stage in grid.stages if stage.done(out) is None).folder(out) / ".stage.json.1-2.partial"
    torn.parent.mkdir(exist_ok=True)
    torn.touch()
    # A process of its own, too, was at work; it ends with its parent and leaves the folder to the next.
    run_grid(grid, out)
    assert not torn.exists()
    write_results(grid, out)
    assert kept.items() <= {path: path.read_bytes() for path in out.glob(f"store/*/{DONE}")}.items()
    assert (out / "trial" / "table.md").read_text() == (tmp_path / "whole" / "trial" / "table.md").read_text()
