from __future__ import annotations

import csv
import json
import math
import re
from io import StringIO
from pathlib import Path

import pytest

from vzgym.core.statistics import student
from vzgym.evaluation.experiments import Grid, Results, load_experiment, make_grid, write_results
from vzgym.evaluation.experiments.page import html_page
from vzgym.evaluation.experiments.results import cells_csv
from vzgym.evaluation.experiments.stages import run_stage
from vzgym.evaluation.experiments.tables import interval_note, markdown_results
from vzgym.rewards.statistics import TermStatistics

TEXT = """
title: Controls & more
about: Who sees what?
tasks: [needle-micro, control-micro]
seeds: 3
evaluate: {episodes: 14}
reference: {learner: blind}
learners:
  blind: {kind: policy, policy: blind}
  expert: {kind: policy, policy: expert}
grid:
  - {tasks: [needle-micro]}
  - {tasks: [control-micro], learners: [blind]}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Grid, Path]:
    """All but the last cell are done, in this process."""
    root = tmp_path_factory.mktemp("experiments")
    (root / "controls.yaml").write_text(TEXT, encoding="utf-8")
    grid = make_grid(load_experiment(root / "controls.yaml"))
    for stage in grid.stages[:-1]:
        run_stage(stage, root)
    return grid, root


def test_a_group_is_the_seeds_of_a_cell_with_students_interval(finished):
    results = Results(*finished)
    assert [group.label for group in results.groups] == [
        "needle-micro, blind", "needle-micro, expert", "control-micro, blind",
    ]  # fmt: skip
    blind, expert, control = results.groups
    values = [row.metric("correct").value for row in blind.rows]
    wanted = student(values)
    assert blind.metric("correct").value == wanted.value
    assert blind.metric("correct").low == max(0.0, wanted.low)
    assert expert.metric("correct").value == 1.0
    assert expert.metric("zooms").n == 3
    assert [len(group.done) for group in results.groups] == [3, 3, 2]
    assert control.rows[-1].status == "to do"


def test_the_note_explains_differences_only_of_a_table_that_has_them(finished):
    results = Results(*finished)
    note = interval_note(results)
    assert note.startswith("14 held-out tasks per cell. Intervals: over seeds")
    assert "The reference is learner 'blind'; differences in points of accuracy" in note
    assert interval_note(results, differences=False) == note.partition(" The reference is")[0]


def test_the_note_gives_both_numbers_of_tasks(tmp_path: Path):
    text = (
        "tasks: {few: 'needle-micro[:3]', many: needle-micro}\nseeds: 1\nlearners: {b: {kind: policy, policy: blind}}\n"
    )
    (tmp_path / "trial.yaml").write_text(text, encoding="utf-8")
    grid = make_grid(load_experiment(tmp_path / "trial.yaml"))
    run_stage(grid.stages[0], tmp_path)
    assert interval_note(Results(grid, tmp_path)).startswith("3 to 200 held-out tasks per cell. Intervals: one seed")


def test_differences_from_the_reference_are_paired_by_seed(finished):
    results = Results(*finished)
    blind, expert, _ = results.groups
    assert results.reference_of(expert) is blind
    assert results.reference_of(blind) is None
    difference = expert.against(blind)
    pairs = [
        b.metric("correct").value - a.metric("correct").value for a, b in zip(blind.rows, expert.rows, strict=True)
    ]
    assert difference == student(pairs)


def test_seeds_that_agree_have_the_interval_over_their_tasks(finished):
    expert = Results(*finished).groups[1]
    found = expert.metric("correct")
    assert [row.metric("correct").value for row in expert.rows] == [1.0] * 3
    assert (found.value, found.high, found.n) == (1.0, 1.0, 3)
    assert found.low == min(row.metric("correct").low for row in expert.rows) < 0.95
    same = expert.against(expert)
    assert same.value == 0.0
    assert math.isnan(same.low)


def test_a_single_seed_has_the_interval_over_its_tasks(finished):
    grid, root = finished
    results = Results(grid, root)
    row = results.groups[0].rows[0]
    alone = type(results.groups[0])(row.cell.names, "alone", [row])
    assert alone.metric("correct") == row.metric("correct")
    assert row.metric("correct").n == 14
    assert row.metric("correct").high > row.metric("correct").value


def test_the_csv_has_a_line_a_cell(finished):
    text = cells_csv(Results(*finished))
    heads = text.splitlines()[0].split(",")
    assert len(set(heads)) == len(heads)
    lines = list(csv.DictReader(StringIO(text)))
    assert len(lines) == 9
    first = lines[0]
    assert (first["tasks"], first["learner"], first["seed"], first["status"]) == ("needle-micro", "blind", "0", "done")
    assert float(first["correct_low"]) <= float(first["correct"]) <= float(first["correct_high"])
    shares = ["right_and_grounded", "right_by_luck", "wrong_segment", "unknown"]
    assert math.isclose(sum(float(first[name]) for name in shares), 1.0, abs_tol=1e-5)
    assert (lines[-1]["status"], lines[-1]["correct"]) == ("to do", "")


def test_all_results_are_made_of_what_is_on_disk(finished):
    grid, root = finished
    write_results(grid, root)
    folder = root / "controls"
    table = (folder / "table.md").read_text()
    assert table.startswith("# Controls & more")
    assert "| needle-micro | expert | 3 | 100.0 [78.5, 100.0] |" in table
    assert "| control-micro | blind | 2 of 3 |" in table
    assert "Student's" in table
    for picture in ("accuracy.png", "differences.png", "frames.png", "tokens.png", "taxonomy.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    assert not (folder / "curves.png").exists()  # nobody has learnt anything
    before = table
    write_results(grid, root)
    assert (folder / "table.md").read_text() == before


def test_the_page_opens_without_a_server_or_a_network(finished):
    grid, root = finished
    write_results(grid, root)
    page = (root / "controls" / "index.html").read_text()
    assert "Controls &amp; more" in page
    assert "8 of 9 cells are done, 1 to do." in page
    assert page.count("data:image/png;base64,") == 5
    assert not re.search(r"(src|href)=[\"'](?!data:)", page)
    assert "<script" not in page
    assert "learner: blind" in page  # the file itself


def test_a_grid_of_which_nothing_is_done_has_tables_too(finished, tmp_path):
    grid, _ = finished
    write_results(grid, tmp_path)
    assert "Nothing is finished yet." in (tmp_path / "controls" / "table.md").read_text()


def test_texts_of_several_lines_do_not_break_tables_and_lists(tmp_path):
    file = tmp_path / "lines.yaml"
    file.write_text(
        "tasks: [needle-micro]\n"
        "seeds: 3\n"
        "evaluate: {episodes: 4}\n"
        "learners:\n"
        '  "two\\nlines": {kind: policy, policy: blind}\n'
        "  expert: {kind: policy, policy: expert}\n"
    )
    grid = make_grid(load_experiment(file))
    failed = grid.cells[0].stage.folder(tmp_path)
    failed.mkdir(parents=True)
    (failed / "failed.json").write_text(json.dumps({"error": "first line\nsecond line"}))
    lines = markdown_results(Results(grid, tmp_path)).splitlines()
    assert any(line.startswith("| two lines | 0 of 3 |") for line in lines)
    assert any(line.endswith("first line second line") for line in lines)


def test_the_page_and_the_table_have_a_row_for_each_reward_term(finished):
    results = Results(*finished)
    blind = results.groups[0]
    rows = {row.term: row for row in results.terms(blind)}
    assert rows["accuracy"].statistics.firing_rate == pytest.approx(blind.metric("correct").value)
    assert not rows["accuracy"].trained
    assert "measured in" in markdown_results(results)
    assert "<h2>Reward terms</h2>" in html_page(results, [])


def test_a_term_that_taught_nothing_is_named_on_the_page(finished, monkeypatch):
    results = Results(*finished)
    dead = TermStatistics(firing_rate=0.0, mean=0.0, variance_share=0.0, groups_moved=0.0)
    monkeypatch.setattr(results, "_training_terms", lambda row: {"bonus": dead})
    assert "NEVER CHANGED AN ADVANTAGE in 3 of 3 seeds" in html_page(results, [])
    assert "NEVER CHANGED AN ADVANTAGE in 3 of 3 seeds" in markdown_results(results)
