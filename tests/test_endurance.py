"""The small form of `benchmarks/endurance.py`: a server with faults, and a run that is killed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import endurance
from vzgym.evaluation import evaluate

pytest.importorskip("openai")


def test_a_server_with_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endurance, "TIMEOUT", 3.0)
    found = []
    for rate in (0.0, 0.35):
        server = endurance.Server(rate, seed=1)
        policy = {
            "name": "served",
            "model": "m",
            "url": server.url,
            "check_images": False,
            "timeout": 3.0,
            "retries": 12,
        }
        evaluate(policy, "tiny/train", episodes=10, out=tmp_path / str(rate))
        server.close()
        found.append(endurance.records(tmp_path / str(rate) / "records.jsonl"))
    assert set(server.counts) == {"answered", *endurance.FAULTS}
    calm, rough = found
    assert endurance.check_served(calm, rough, 10, server.counts) == []
    # What the check would notice.
    assert endurance.check_served(calm, rough[:-1], 10, server.counts)[0].startswith("records are missing")
    rough[3]["turns"].pop()
    assert "records differ" in endurance.check_served(calm, rough, 10, server.counts)[0]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_killed_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "--policy", "random", "--tasks", "tiny/train", "--episodes", "40", "--out"]

    def result(out: Path) -> list[dict[str, object]]:
        (file,) = out.glob("*/records.jsonl")
        return [endurance.without_clocks(record) for record in endurance.records(file)]

    case = endurance.Case(lambda out: [*words, str(out)], result)
    assert endurance.kill_case("eval", case, tmp_path, kills=1, seed=0)
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["kills"]) == (True, 1)
    assert said["finished"] >= 1
