from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

import vzgym
from vzgym.cli import app
from vzgym.core.errors import InvalidSetting, RecordError
from vzgym.core.statistics import Estimate, exact_mcnemar, paired_proportions
from vzgym.evaluation.comparison import RunMetrics, compare_metrics, compare_runs
from vzgym.evaluation.metrics import EpisodeMetrics


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("runs")
    for name, episodes in (("blind", 20), ("expert", 16)):
        vzgym.evaluate(name, "needle-micro", episodes=episodes, out=out / name)
    vzgym.evaluate("random", "needle-micro", episodes=10, samples=2, out=out / "random")
    vzgym.evaluate("blind", "control-micro", episodes=4, out=out / "other")
    return {path.name: path for path in out.iterdir()}


def test_runs_are_compared_on_the_tasks_that_both_have_played(runs):
    found = compare_runs([runs["blind"], runs["expert"]])
    assert len(found.tasks) == 16
    blind, expert = (row["correct"] for row in found.rows)
    assert expert.value.value == 1.0
    right = [value == 1.0 for value in list(found.runs[0].values["correct"].values())[:16]]
    assert expert.difference == paired_proportions([True] * 16, right)
    assert expert.p == exact_mcnemar([True] * 16, right)
    assert blind.difference.value == 0.0
    assert found.rows[1]["zooms"].difference.low > 0


def test_runs_without_a_common_grade_have_no_p(runs, tmp_path):
    one = EpisodeMetrics.of(next(vzgym.evaluation.read_records(runs["blind"])))
    played = [RunMetrics.of(str(grade), tmp_path, [dataclasses.replace(one, correct=grade)]) for grade in (True, None)]
    found = compare_metrics(played).rows[1]["correct"]
    assert found.difference.n == 0
    assert found.p is None


def test_tasks_that_all_differ_by_the_same_give_no_interval_of_accuracy(runs, tmp_path):
    one = EpisodeMetrics.of(next(vzgym.evaluation.read_records(runs["blind"])))

    def run(grades):
        items = [dataclasses.replace(one, task_id=task, correct=grade) for task in "abc" for grade in grades]
        return RunMetrics.of(str(grades), tmp_path, items)

    half, other_half, third = run([True, False]), run([False, True]), run([True, False, False])
    for compared, value in ((other_half, 0.0), (third, -1 / 6)):
        found = compare_metrics([half, compared]).rows[1]["correct"].difference
        assert found.value == pytest.approx(value)
        assert found.n == 3
        assert math.isnan(found.low)
        assert math.isnan(found.high)
    assert compare_metrics([half, third]).rows[0]["correct"].difference == Estimate(0.0, 0.0, 0.0, 3)


def test_several_rollouts_of_a_task_are_one_observation(runs):
    found = compare_runs([runs["blind"], runs["random"]])
    assert found.rows[1]["frames"].difference.n == 10
    assert found.rows[1]["zooms"].value.value == 2.0


def test_intervals_of_shares_hold_possible_values_only(tmp_path):
    def run(name, seen):
        one = EpisodeMetrics.of(next(vzgym.evaluation.read_records(tmp_path / "one")))
        items = [dataclasses.replace(one, task_id=str(place), evidence_seen=value) for place, value in enumerate(seen)]
        return RunMetrics.of(name, tmp_path, items)

    vzgym.evaluate("blind", "needle-micro", episodes=1, out=tmp_path / "one")
    found = compare_metrics([run("none", [0.0, 0.0, 0.5]), run("most", [0.9, 1.0, 1.0])])
    value, difference = found.rows[1]["evidence_seen"].value, found.rows[1]["evidence_seen"].difference
    assert 0.9 < value.low < value.value < value.high == 1.0
    # Student's interval of 0.9, 1.0, 0.5 reaches beyond 1.
    assert difference.value == pytest.approx(0.8)
    assert difference.high == 1.0
    assert 0.0 < difference.low < 0.8


def test_runs_without_a_shared_task_and_too_few_runs_are_refused(runs, tmp_path):
    with pytest.raises(
        InvalidSetting,
        match=r"other shares no task with the runs before it: .*'control-micro/test/0', and .*blind such as",
    ):
        compare_runs([runs["blind"], runs["expert"], runs["other"]])
    with pytest.raises(InvalidSetting, match="two runs or more"):
        compare_runs([runs["blind"]])
    with pytest.raises(RecordError, match=r"no records\.jsonl in this folder"):
        compare_runs([runs["blind"], tmp_path])


def test_the_command_shows_both_and_gives_json(runs):
    shown = CliRunner().invoke(app, ["compare", str(runs["blind"]), str(runs["expert"])])
    assert shown.exit_code == 0
    for word in ("blind", "expert", "100.0", "16 shared tasks", "McNemar"):
        assert word in shown.output
    given = CliRunner().invoke(app, ["compare", str(runs["blind"]), str(runs["expert"]), "--json"])
    data = json.loads(given.output)
    assert data["tasks"] == 16
    assert data["runs"][1]["metrics"]["correct"]["value"]["value"] == 1.0


def test_a_folder_of_runs_and_a_file_of_several_policies_are_several_runs(runs, tmp_path):
    folder = runs["blind"].parent / "together"
    for name in ("blind", "expert"):
        (folder / name).mkdir(parents=True)
        (folder / name / "records.jsonl").write_text((runs[name] / "records.jsonl").read_text())
    assert [run.name for run in compare_runs([folder]).runs] == ["blind", "expert"]
    both = tmp_path / "both.jsonl"
    both.write_text("".join((runs[name] / "records.jsonl").read_text() for name in ("blind", "expert")))
    found = compare_runs([both, runs["random"]])
    assert [run.name for run in found.runs] == ["blind", "expert", "random"]
    twice = compare_runs([runs["blind"], folder / "blind"])
    assert [run.name for run in twice.runs] == [f"blind ({runs['blind']})", f"blind ({folder / 'blind'})"]


def test_a_breakdown_compares_within_groups(runs, monkeypatch):
    found = compare_runs([runs["blind"], runs["expert"]], ["duration", "metadata.difficulty"])
    (rows,) = found.groups["duration"].values()
    assert rows == found.rows
    data = found.to_json()["by"]["metadata.difficulty"]
    assert sum(rows[1]["metrics"]["correct"]["value"]["n"] for rows in data.values()) == 16
    with pytest.raises(InvalidSetting, match=r"broken down by category, duration or metadata\.KEY, got 'length'"):
        compare_runs([runs["blind"], runs["expert"]], ["length"])
    with pytest.raises(InvalidSetting, match="no task has 'colour' in its metadata; there are: budget, cue, diff"):
        compare_runs([runs["blind"], runs["expert"]], ["metadata.colour"])
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, ["compare", *map(str, (runs["blind"], runs["expert"])), "--by", "category"])
    lines = shown.output.split("16 shared tasks")[0].splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("accuracy % by category") for line in lines)
    assert any(line.startswith("needle ") for line in lines)
