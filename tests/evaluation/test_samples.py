"""Playing a task several times: groups, seeds, intervals, resume; and that a saved run is re-scored exactly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vzgym.core.errors import InvalidSetting
from vzgym.episode import EpisodeRecord
from vzgym.episode.costs import EpisodeCosts
from vzgym.evaluation import ReaderAnswerer, evaluate, mean, read_records, summarise
from vzgym.evaluation.replay import replay
from vzgym.evaluation.rescoring import score_run
from vzgym.evaluation.tables import markdown_costs
from vzgym.evaluation.taxonomy_tables import markdown_taxonomy, rich_taxonomy
from vzgym.rewards import RewardContext, make_reward, rescore

Facts = Callable[[EpisodeRecord], dict[str, Any]]

ALL_KINDS = {
    "accuracy": 0.9,
    "format": 0.1,
    "thrift": {"module": "frame_cost", "weight": 0.01, "free": 4, "when": "correct", "clip": [-6, 0]},
    "iou": 0.2,
    "potential": {"gamma": 0.9},
    "curiosity": 0.5,
    "quality_first": 0.05,
    "difficulty": {"weight": 0.1, "by_category": {"control": 0.0}},
    "sufficiency": 0.3,
    "needed_clips": 0.2,
    "rescue_regress": 0.1,
    "clock": {"module": "ledger_cost", "item": "model_seconds", "weight": 0.01},
}


def played(policy: Any, episodes: int, **options: Any) -> list[EpisodeRecord]:
    records: list[EpisodeRecord] = []
    evaluate(policy, "tiny", episodes=episodes, on_episode=records.append, **options)
    return records


def test_the_first_sample_is_the_run_of_one(facts: Facts) -> None:
    once, thrice = played("random", 3), played("random", 3, samples=3)
    assert [record.task.id for record in thrice] == [record.task.id for record in once for _ in range(3)]
    assert [(record.info.index, record.info.sample) for record in thrice] == [(i, i % 3) for i in range(9)]
    for single, first in zip(once, thrice[::3], strict=True):
        assert single.info.sample is None
        assert facts(single)["turns"] == facts(first)["turns"]
    # The samples of a task differ.
    assert len({str(facts(record)["turns"]) for record in thrice[:3]}) == 3


@pytest.mark.parametrize("samples", [0, -1, True, 1.5, "2"])
def test_bad_samples(samples: Any) -> None:
    with pytest.raises(InvalidSetting, match="samples must be a whole number >= 1"):
        evaluate("blind", "tiny", episodes=1, samples=samples)


@pytest.mark.parametrize("samples", [1, 3])
def test_a_saved_run_is_scored_anew_to_the_bit(samples: int, tmp_path: Path) -> None:
    out = tmp_path / "run"
    evaluate("random", "tiny", episodes=4, samples=samples, reward=ALL_KINDS, answerer="reader", out=out)
    records = list(read_records(out))
    assert len(records) == 4 * samples
    spec = records[0].info.reward
    assert make_reward(spec) == make_reward(ALL_KINDS)
    again = rescore(make_reward(spec), records, RewardContext(answerer=ReaderAnswerer()))
    assert [[step.to_json() for step in ledger] for ledger in again] == [record.rewards for record in records]
    found = score_run(records, spec, answerer=ReaderAnswerer())
    assert found.totals == found.saved
    unscored = {name for name, (_, _, share) in found.terms().items() if share == 1}
    # Groups are there only where tasks were played several times.
    assert unscored == (set() if samples > 1 else {"curiosity", "quality_first", "difficulty"})


def test_scores_of_groups_in_a_run() -> None:
    records = played("random", 2, samples=4, reward={"accuracy": 1.0, "quality_first": 0.05})
    for task in (records[:4], records[4:]):
        values = [record.rewards[-1]["terms"]["quality_first"]["value"] for record in task if record.rewards]
        for right in (True, False):
            equals = [v for v, r in zip(values, task, strict=True) if r.grade and r.grade.is_correct is right]
            assert sum(equals) == pytest.approx(0.0)
        assert any(values)


def test_a_stopped_run_goes_on_with_its_groups(tmp_path: Path, facts: Facts) -> None:
    settings: dict[str, Any] = {"samples": 3, "reward": {"accuracy": 1.0, "curiosity": 1.0, "quality_first": 0.05}}
    whole = tmp_path / "whole"
    evaluate("random", "tiny", episodes=3, out=whole, **settings)
    lines = (whole / "records.jsonl").read_text().splitlines(keepends=True)
    for keep in (1, 3, 5):
        part = tmp_path / f"part{keep}"
        part.mkdir()
        (part / "run.json").write_text((whole / "run.json").read_text())
        (part / "records.jsonl").write_text("".join(lines[:keep]))
        report = evaluate("random", "tiny", episodes=3, out=part, **settings)
        assert len(report.episodes) == 9
        assert [facts(record) for record in read_records(part)] == [facts(record) for record in read_records(whole)]
    with pytest.raises(InvalidSetting, match="holds another run: its samples is 3, not None"):
        evaluate("random", "tiny", episodes=3, out=whole, reward=settings["reward"])


def test_speaking_policies_are_grouped_over_batches() -> None:
    from vzgym.episode.dialogue import Message

    class Speaker:
        name, batch_size = "speaker", 2

        def reset(self, seeds: Any) -> None:
            self.seeds = list(seeds)

        def respond(self, dialogues: list[list[Message]]) -> list[str]:
            # One in two of a batch zooms first.
            first = '<think></think><video_zoom>{"segment": [0, 1], "fps": 1}</video_zoom>'
            texts = ["<think></think><answer>A</answer>" for _ in dialogues]
            if len(dialogues) == 2 and len(dialogues[0]) == 2:
                texts[0] = first
            return texts

    records = played(Speaker(), 2, samples=3, reward={"curiosity": 1.0})
    assert [record.info.index for record in records] == list(range(6))
    assert [record.zooms for record in records] == [1, 0, 1, 0, 1, 0]
    # Of the first task two of three zoomed, of the second one: too often for a bonus, but known to all.
    assert all(record.rewards and record.rewards[-1]["terms"]["curiosity"]["status"] == "scored" for record in records)


def test_intervals_are_over_tasks() -> None:
    report = evaluate("blind", "tiny", episodes=12, samples=4)
    assert report.samples == 4
    assert report.accuracy.n == 12
    assert report.summary == summarise(report.episodes, by_task=True)
    rights: dict[str, list[float]] = {}
    for item in report.episodes:
        rights.setdefault(item.task_id, []).append(float(bool(item.correct)))
    means = [sum(values) / 4 for values in rights.values()]
    expected = mean(means)
    assert report.accuracy.value == pytest.approx(expected.value)
    assert report.accuracy.high == pytest.approx(expected.high)
    assert report.to_json()["samples"] == 4
    needles = {item.task_id for item in report.episodes if item.category == "needle"}
    assert report.by("category")["needle"].summary["correct"].n == len(needles) > 0


# What a report says of costs and findings ----------------------------------------------------------------------


def test_costs_of_a_run() -> None:
    records: list[EpisodeRecord] = []
    report = evaluate("sliding", "tiny", episodes=3, on_episode=records.append)
    ledgers = [EpisodeCosts.of(record) for record in records]
    assert report.totals["visual_tokens"] == sum(ledger.visual_tokens for ledger in ledgers) == 3 * 40 * 4
    assert report.totals["passes"] == 3 * 4
    assert report.totals["frames"] == 3 * 40
    assert report.totals["text_tokens"] == sum(ledger.text_tokens or 0 for ledger in ledgers)
    for record, ledger in zip(records, ledgers, strict=True):
        assert ledger.tool_seconds is not None
        assert ledger.model_seconds is not None
        assert ledger.wall_seconds == pytest.approx(ledger.tool_seconds + ledger.model_seconds, abs=1e-5)
        assert ledger.decode_seconds <= ledger.tool_seconds + 1e-5
        assert record.info.wall_seconds == ledger.wall_seconds
    assert report.summary["visual_tokens"].value == 160.0
    assert json.loads(json.dumps(report.to_json()))["totals"]["passes"] == 12
    assert "| sliding | 160 |" in markdown_costs([report])


def test_where_nothing_was_shown_the_record_says_so() -> None:
    assert played("blind", 1)[0].info.sees_frames is False
    assert played("overview", 1)[0].info.sees_frames


def test_tables_of_findings() -> None:
    reports = [evaluate(policy, "tiny", episodes=6) for policy in ("blind", "random", "sliding", "oracle")]
    head, rule, *rows = markdown_taxonomy(reports).splitlines()
    assert head.count("|") == rule.count("|") == rows[0].count("|") == 15
    assert rows[-1] == "| oracle | 6 | 6 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |"
    titles = [str(column.header) for column in rich_taxonomy(reports).columns]
    assert titles[:2] == ["policy", "grounded"]
    assert "video" not in titles  # a class that nobody is in


def test_the_widest_table_of_findings_fits_into_80_columns() -> None:
    from dataclasses import replace
    from io import StringIO

    from rich.console import Console

    from vzgym.evaluation import TAXONOMY_CLASSES

    report = evaluate("blind", "tiny", episodes=1)
    (episode,) = report.episodes
    many = [replace(episode, taxonomy_class=kind) for kind in TAXONOMY_CLASSES for _ in range(200)]
    wide = replace(report, policy="a_module_of_mine:MyVeryOwnPolicy", episodes=many)
    console = Console(width=80, file=StringIO())
    console.print(rich_taxonomy([wide]))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= 80
    assert text.count(" 200") == len(TAXONOMY_CLASSES)
    assert "…" not in text


# Replay --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 2])
def test_a_replay_compares_what_one_record_can_tell(samples: int) -> None:
    records = played("random", 3, samples=samples, reward=ALL_KINDS, answerer="reader")
    for record in records:
        line = EpisodeRecord.from_line(record.to_line())
        assert replay(line).differences == []
        assert line.rewards is not None
        line.rewards[-1]["terms"]["iou"]["value"] = 0.123
        assert replay(line).differences == ["the rewards differ"]


def test_a_reward_from_a_file_is_kept_as_data(tmp_path: Path) -> None:
    file = tmp_path / "reward.yaml"
    file.write_text("accuracy: 1\nframe_cost: {weight: 0.01, free: 2}\n")
    record = played("oracle", 1, reward=str(file))[0]
    file.unlink()
    assert make_reward(record.info.reward) == make_reward({"accuracy": 1, "frame_cost": {"weight": 0.01, "free": 2}})
    assert replay(EpisodeRecord.from_line(record.to_line())).differences == []


def test_scoring_a_run_by_hand() -> None:
    records = played("oracle", 3)  # needle, count, control
    found = score_run(records, {"accuracy": 1.0, "call_cost": 0.1})
    assert found.totals == [pytest.approx(0.9), pytest.approx(0.9), pytest.approx(1.0)]
    assert found.saved == [pytest.approx(1.5), pytest.approx(1.5), pytest.approx(1.0)]
    value, paid, unscored = found.terms()["call_cost"]
    assert [value.value, paid.value, unscored] == pytest.approx([-2 / 3, -0.2 / 3, 0.0])
    data = json.loads(json.dumps(found.to_json()))
    assert data["reward"] == {"accuracy": 1.0, "call_cost": 0.1}
    assert data["episodes"] == 3
    with pytest.raises(InvalidSetting, match="no records to score"):
        score_run([], "accuracy")
    with pytest.raises(InvalidSetting, match=r"progress must be in \[0, 1\], got 2"):
        score_run(records, "accuracy", progress=2)


def test_scores_of_several_samples_count_once_a_task() -> None:
    records = played("random", 3, samples=4)
    found = score_run(records, "accuracy")
    assert found.total.n == 3
    assert found.terms()["accuracy"][0] == found.total
    rights = [[bool(r.grade and r.grade.is_correct) for r in records[first : first + 4]] for first in (0, 4, 8)]
    assert found.total == mean([sum(task) / 4 for task in rights])


def test_progress_is_the_record_s_own_first() -> None:
    records = played("oracle", 2)
    records[0].set_info(progress=1.0)
    spec = {"accuracy": {"anneal": {"to": 0.5}}}
    assert score_run(records, spec, progress=0.0).totals == [0.5, 1.0]
    assert score_run(records, spec).totals == [0.5, None]
