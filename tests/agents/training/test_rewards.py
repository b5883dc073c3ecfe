"""What GRPO pays is what the mix pays, gates, clips, annealing and categories included."""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vzgym.agents.training import rewards
from vzgym.agents.training.rewards import Scorer
from vzgym.core.errors import FolderInUse
from vzgym.core.files import JsonLinesWriter, file_lock
from vzgym.episode import EpisodeRecord
from vzgym.episode.runs import read_records
from vzgym.evaluation import evaluate
from vzgym.rewards import make_reward, rescore

MIXES: dict[str, Any] = {
    "plain": {"accuracy": 0.9, "format": 0.1, "frame_cost": 0.01},
    "composed": {
        "accuracy": 0.9,
        "thrift": {"module": "frame_cost", "weight": 0.01, "when": "correct", "clip": [-3, 0], "anneal": {"to": 0}},
        "iou": {"weight": 0, "by_category": {"needle": 0.5}},
        "format": 0.0,
        "quality_first": {"weight": 0.05, "clip": [0, 1]},
    },
}


@pytest.mark.parametrize("name", MIXES)
def test_columns_times_weights_are_the_mix_s_totals(name: str) -> None:
    records: list[EpisodeRecord] = []
    evaluate("random", "tiny", episodes=6, samples=2, on_episode=records.append)
    mix = make_reward(MIXES[name])
    scorer = Scorer(mix, {"policy": "learner"})
    scorer._score(records, SimpleNamespace(global_step=3, max_steps=12), ["tiny"] * len(records))
    for number, record in enumerate(records):
        columns = [scorer._columns[term][number] for term in mix.terms]
        paid = math.fsum((value or 0.0) * weight for value, weight in zip(columns, scorer.weights, strict=True))
        assert record.rewards is not None
        assert paid == pytest.approx(math.fsum(entry["total"] for entry in record.rewards))
        assert record.info.progress == 0.25
    # The records say all that it takes to score them anew.
    saved = [EpisodeRecord.from_line(record.to_line()) for record in records]
    again = [[step.to_json() for step in ledger] for ledger in rescore(mix, saved)]
    assert again == [record.rewards for record in records]


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_take_turns_in_writing_rollouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    free = []

    class Watched(JsonLinesWriter):
        def write_line(self, line: str) -> None:
            with ExitStack() as stack:
                try:
                    stack.enter_context(file_lock(self.path))
                except FolderInUse:
                    free.append(False)
                else:
                    free.append(True)
            super().write_line(line)

    monkeypatch.setattr(rewards, "JsonLinesWriter", Watched)
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    records: list[EpisodeRecord] = []
    evaluate("random", "tiny", episodes=2, on_episode=records.append)
    scorer = Scorer(make_reward("videozoomer"), {"policy": "learner"}, tmp_path / "rollouts.jsonl")
    scorer._score(records, SimpleNamespace(global_step=0, max_steps=1), ["tiny"] * 2)
    assert len(list(read_records(tmp_path / "rollouts.jsonl"))) == 2
    assert free == [processes == 1] * 2


@pytest.mark.parametrize("hold", [False, True])
def test_rollouts_of_a_step_have_numbers_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hold: bool
) -> None:
    """With accumulation, a step plays several generation batches; with dynamic sampling, each is settled by itself."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        scorer = Scorer(make_reward("accuracy"), {}, tmp_path / "rollouts.jsonl", hold=hold)
        for step in (3, 3, 4):
            records: list[EpisodeRecord] = []
            evaluate("random", "tiny", episodes=2, on_episode=records.append)
            scorer._score(records, SimpleNamespace(global_step=step, max_steps=9), ["tiny"] * 2)
            if hold:
                scorer.settle([[False, False]])
    saved = map(EpisodeRecord.from_line, (tmp_path / "rollouts.jsonl").read_text().splitlines())
    found = [(record.info.step or 0, record.info.rollout or 0) for record in saved]
    assert sorted(found) == [(3, number) for number in range(8)] + [(4, number) for number in range(4)]


def test_a_batch_logs_what_each_term_did_within_its_groups() -> None:
    records: list[EpisodeRecord] = []
    evaluate("random", "tiny", episodes=6, samples=4, on_episode=records.append)
    mix = make_reward({"accuracy": 0.9, "format": 0.1, "dead": {"module": "accuracy", "weight": 1, "clip": [0, 0]}})
    scorer = Scorer(mix, {"policy": "learner"})
    scorer._score(records, SimpleNamespace(global_step=0, max_steps=1), ["tiny"] * len(records))
    found = scorer.statistics
    right = sum(bool(record.grade and record.grade.is_correct) for record in records)
    assert 0 < right < len(records)
    assert found["accuracy"].firing_rate == pytest.approx(right / len(records))
    assert found["accuracy"].mean == pytest.approx(0.9 * right / len(records))
    assert found["accuracy"].variance_share == pytest.approx(1.0)
    assert found["accuracy"].groups_moved > 0
    # The control's form is always right, and a value that is clipped to 0 never counts.
    assert (found["format"].firing_rate, found["format"].variance_share, found["format"].groups_moved) == (1, 0, 0)
    assert (found["dead"].firing_rate, found["dead"].mean, found["dead"].groups_moved) == (0, 0, 0)
    assert scorer.measures["episode/correct"] == pytest.approx(right / len(records))
    assert scorer.measures["reward"] == pytest.approx(0.9 * right / len(records) + 0.1)


def test_a_term_that_moves_no_advantage_is_named_after_some_batches(caplog: pytest.LogCaptureFixture) -> None:
    records: list[EpisodeRecord] = []
    evaluate("random", "tiny", episodes=6, samples=4, on_episode=records.append)
    scorer = Scorer(make_reward({"accuracy": 1.0, "format": 0.1, "iou": 0.0}), {"policy": "learner"})
    for step in range(25):
        scorer._score(records, SimpleNamespace(global_step=step, max_steps=25), ["tiny"] * len(records))
    told = [record.getMessage() for record in caplog.records if "changed no advantage" in record.getMessage()]
    assert len(told) == 1
    assert "'format'" in told[0]
