"""The GPU benchmark, as far as it runs without a GPU."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "benchmarks" / "gpu"

PART = """
import json, sys, time
from pathlib import Path

name, out = sys.argv[1], Path(sys.argv[3])
calls = out / f"{name}.calls"
calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
if name == "sft-0.6b":
    sys.exit("out of memory")
if name == "grpo-0.6b":
    import carried
if name == "sft-2b":
    time.sleep(60)
share = 0.2 if name == "grpo-2b" else 0.01
found = {"device_float32": {"loss": 6.0, "apart": 0.001}, "environment_share": share, "weights": 3}
(out / f"{name}.json").write_text(json.dumps(found))
"""


@pytest.fixture
def bench(tmp_path):
    """The script beside parts that take no time."""
    shutil.copy(SCRIPTS / "run.py", tmp_path)
    (tmp_path / "parts.py").write_text(PART)
    return tmp_path


def run(bench, *options, status):
    command = [sys.executable, str(bench / "run.py"), "--out", str(bench / "out"), *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done.stdout


def results(bench):
    return json.loads((bench / "out" / "results.json").read_text())["parts"]


def test_a_second_call_continues_after_the_last_finished_part(bench):
    said = run(bench, "--parts", "precision", "sft-0.6b", status=1)
    assert "sft-0.6b: failed (exit status 1); its output is in" in said
    assert "out of memory" in (bench / "out" / "sft-0.6b.log").read_text()
    assert results(bench)["precision"]["weights"] == 3
    again = run(bench, "--parts", "precision", "sft-0.6b", "generation-0.6b", status=1)
    assert "precision: measured already" in again
    calls = {name: len((bench / "out" / f"{name}.calls").read_text()) for name in results(bench)}
    assert calls == {"precision": 1, "sft-0.6b": 2, "generation-0.6b": 1}
    run(bench, "--parts", "precision", "--again", status=1)
    assert (bench / "out" / "precision.calls").read_text() == "xx"
    lines = (bench / "out" / "results.md").read_text().splitlines()
    assert "| precision | device float32: apart | 0.10% |" in lines
    assert "| precision | environment share | 1.00% |" in lines


def test_a_part_that_takes_too_long_is_stopped_and_one_without_time_is_left(bench):
    script = bench / "run.py"
    script.write_text(script.read_text().replace('"sft-2b": 100', '"sft-2b": 1'))
    assert "sft-2b: stopped after 1 s" in run(bench, "--parts", "sft-2b", status=1)
    said = run(bench, "--parts", "grpo-2b", "--seconds", "50", status=1)
    assert "grpo-2b: 50 s are left, it may take 140: call again" in said


def test_an_environment_that_takes_too_much_of_a_step_is_a_fault(bench):
    assert "grpo-2b: the environment takes 20.0% of a step" in run(bench, "--parts", "grpo-2b", status=1)


def test_packages_are_taken_from_the_archive(bench):
    run(bench, "--parts", "grpo-0.6b", status=1)
    assert "No module named 'carried'" in (bench / "out" / "grpo-0.6b.log").read_text()
    (bench / "carried.py").write_text("")
    with tarfile.open(bench / "site.tar.xz", "w:xz") as archive:
        archive.add(bench / "carried.py", "carried.py")
    (bench / "carried.py").unlink()
    run(bench, "--parts", "grpo-0.6b", "--wheels", str(bench / "site.tar.xz"), status=0)
    assert results(bench)["grpo-0.6b"]["weights"] == 3


def test_results_of_a_rehearsal_are_none_of_a_gpu(bench):
    run(bench, "--device", "cpu", "--parts", "precision", status=0)
    run(bench, "--parts", "precision", status=2)


def test_precision_is_measured_on_a_cpu(tmp_path):
    spec = importlib.util.spec_from_file_location("gpu_parts", SCRIPTS / "parts.py")
    parts = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = parts  # dataclasses look their module up
    try:
        spec.loader.exec_module(parts)
        found = parts.precision(parts.Bench("cpu", tmp_path), "")
    finally:
        del sys.modules[spec.name]
    assert found["device_float32"]["apart"] == 0
    # Eight bits of precision: not equal, but close.
    assert 0 < found["device_bfloat16"]["apart"] < 0.02
