"""Several processes play what one would have played."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from vzgym.baselines import RandomZoom
from vzgym.core.errors import InvalidSetting, UnknownName, WorkerError
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation import evaluate, read_records
from vzgym.rewards import RewardContext

Facts = Callable[[EpisodeRecord], dict[str, Any]]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of policies that other processes find, too."""
    (tmp_path / "policies_of_mine.py").write_text(
        "import os\n\n\n"
        "class Speaker:\n"
        "    batch_size = 2\n\n"
        "    def reset(self, seeds):\n"
        "        self.seeds = list(seeds)\n\n"
        "    def respond(self, dialogues):\n"
        "        return [f'<answer>{chr(65 + sum(self.seeds) % 4)}</answer>' for _ in dialogues]\n\n\n"
        "class Deadly:\n"
        "    def reset(self, seed):\n"
        "        os._exit(3)\n\n"
        "    def act(self, observation, info): ...\n\n\n"
        "class Buggy:\n"
        "    def reset(self, seed):\n"
        "        raise ZeroDivisionError('mine')\n\n"
        "    def act(self, observation, info): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "policies_of_mine"


def test_the_same_records_in_the_same_order_and_a_stopped_run_goes_on(
    tmp_path: Path, written: Path, facts: Facts
) -> None:
    class Stopped(Exception):
        pass

    def stop(record: EpisodeRecord) -> None:
        assert record.overview.pixels is None
        if record.info.index == 2:
            raise Stopped

    one, two = tmp_path / "one", tmp_path / "two"
    evaluate("random", "tiny", episodes=7, seed=3, out=one)
    with pytest.raises(Stopped):
        evaluate({"name": "random"}, "tiny", episodes=7, seed=3, out=two, workers=2, on_episode=stop)
    assert [record.info.index for record in read_records(two)] == [0, 1, 2]
    seen: list[int] = []
    report = evaluate(
        "random", "tiny", episodes=7, seed=3, out=two, workers=2, on_episode=lambda r: seen.append(r.info.index)
    )
    assert seen == [3, 4, 5, 6]
    assert [facts(record) for record in read_records(two)] == [facts(record) for record in read_records(one)]
    assert [item.task_id for item in report.episodes] == [f"tiny/test/{index}" for index in range(7)]


def test_batches_are_those_of_one_worker(mine: str, facts: Facts) -> None:
    runs: list[list[EpisodeRecord]] = [[], []]
    for workers, records in enumerate(runs, start=1):
        evaluate(f"{mine}:Speaker", "tiny", episodes=5, workers=workers, on_episode=records.append)
    assert [facts(record) for record in runs[0]] == [facts(record) for record in runs[1]]


def test_a_broken_video_is_listed(written: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in written.read_text().splitlines()]
    for row in rows:
        row["video"] = str(written.parent / row["video"])
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    rows[1]["video"] = "broken.mp4"
    listing = tmp_path / "tasks.jsonl"
    listing.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = evaluate("uniform", listing, workers=2)
    assert list(report.failed) == ["tiny/test/1"]
    assert "broken.mp4" in report.failed["tiny/test/1"]
    assert [item.task_id for item in report.episodes] == ["tiny/test/0", "tiny/test/2"]


def test_errors_come_back_as_they_are(mine: str, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError, match="mine"):
        evaluate(f"{mine}:Buggy", "tiny", episodes=2, workers=2)
    with pytest.raises(WorkerError, match="a worker process died"):
        evaluate(f"{mine}:Deadly", "tiny", episodes=2, workers=2, out=tmp_path / "run")
    # Nothing holds the folder afterwards.
    assert len(evaluate("blind", "tiny", episodes=1, out=tmp_path / "run").episodes) == 1


def test_what_cannot_be_made_again_is_refused(tmp_path: Path) -> None:
    class Local:
        name: ClassVar[str] = "local"
        needs: ClassVar[frozenset[Any]] = frozenset()

        def score(self, record: EpisodeRecord, context: RewardContext) -> float:
            return 0.0

    with pytest.raises(InvalidSetting, match="give both by name, mapping or 'module:Class'"):
        evaluate(RandomZoom(), "tiny", episodes=2, workers=2, out=tmp_path / "run")
    with pytest.raises(InvalidSetting, match="give both by name, mapping or 'module:Class'"):
        evaluate("random", "tiny", episodes=2, workers=2, reward=[Local()], out=tmp_path / "run")
    for workers in (0, -1, 1.5, True, "2"):
        with pytest.raises(InvalidSetting, match="workers must be a whole number >= 1"):
            evaluate("random", "tiny", episodes=2, workers=workers, out=tmp_path / "run")  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="unknown policy 'nobody'"):
        evaluate("nobody", "tiny", episodes=2, workers=2, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
