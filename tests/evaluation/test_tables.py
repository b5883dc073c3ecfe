"""Reports as tables: in 80 columns, and as Markdown."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from vzgym.core.budget import Budget
from vzgym.evaluation import EpisodeMetrics, EvaluationReport
from vzgym.evaluation.breakdown import break_down
from vzgym.evaluation.metrics import cost_quantiles
from vzgym.evaluation.tables import (
    markdown_costs,
    markdown_table,
    rich_breakdown,
    rich_costs,
    rich_scorer_costs,
    rich_table,
)
from vzgym.evaluation.taxonomy_tables import rich_quadrants


def report(
    policy: str = "mine", *, privileged: bool = False, hit_rate: float | None = None, n: int = 200
) -> EvaluationReport:
    episodes = [
        EpisodeMetrics(
            task_id=f"t/{index}",
            category="needle",
            correct=True,
            frames=128,
            zooms=4,
            refused=1,
            evidence_seen=1.0,
            evidence_coverage=0.5,
            evidence_iou=0.25,
            reward=1.5,
            decoded=128,
            decode_seconds=0.1,
            wall_seconds=123.456,
        )
        for index in range(n)
    ]
    return EvaluationReport(policy, "needle/test", 0, Budget(), privileged, episodes, hit_rate)


def printed(*reports: EvaluationReport, title: str | None = None, width: int = 80) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(rich_table(reports, title=title))
    return out.getvalue().splitlines()


def test_the_fullest_table_fits_into_80_columns() -> None:
    lines = printed(report("oracle", privileged=True, hit_rate=1.0, n=1000), title="A title")
    row = next(line for line in lines if "oracle" in line)
    assert max(map(len, lines)) <= 80
    assert row.split() == [
        "oracle", "*", "1000", "100.0", "[99.6,", "100.0]", "128.0", "4.00", "1.00", "100.0", "100.0", "123",
    ]  # fmt: skip


def test_a_long_name_gives_way_not_the_numbers() -> None:
    lines = printed(report("MyVeryOwnPolicyWithAVeryLongName" * 2, privileged=True, hit_rate=1.0, n=1000))
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "100.0 [99.6, 100.0]" in text
    assert "123" in text
    assert "…" not in text


def test_a_name_is_no_markup() -> None:
    assert any("[red]mine[/red]" in line for line in printed(report("[red]mine[/red]")))


def test_only_columns_with_something_in_them_are_shown() -> None:
    head = printed(report())[0]
    assert "lost" in head
    assert "hit %" not in head
    text = "\n".join(printed(report()))
    assert "hit %" not in text  # nor is it explained
    assert "with the 95 % interval" in text


def test_unscored_episodes() -> None:
    nothing = EvaluationReport("mine", "mine", 0, Budget(), False, [])
    assert any("unscored" in line for line in printed(nothing))
    assert "unscored" in markdown_table([nothing])


def test_markdown_has_every_column_in_every_row() -> None:
    lines = markdown_table([report("one"), report("two | three", hit_rate=0.305)]).splitlines()
    assert len(lines) == 4
    cells = [[cell.strip() for cell in line.replace(r"\|", "/")[1:-1].split("|")] for line in lines]
    assert len({len(row) for row in cells}) == 1
    named = [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]
    assert [row["policy"] for row in named] == ["one", "two / three"]
    assert [row["hit %"] for row in named] == ["-", "30.5"]
    assert named[0]["accuracy % [95 %]"] == "100.0 [98.1, 100.0]"
    assert named[0]["cover %"] == "50.0"
    assert set(cells[1]) == {"---", "---:"}


@pytest.mark.parametrize("width", [40, 60])
def test_a_narrow_terminal_breaks_nothing(width: int) -> None:
    assert max(map(len, printed(report(), width=width))) <= width


def test_a_breakdown_has_a_row_for_each_group_and_policy_in_80_columns() -> None:
    first, second = report("one", n=3), report("two", n=2)
    first.episodes[0] = replace(first.episodes[0], category="", correct=False)
    out = io.StringIO()
    Console(file=out, width=80).print(rich_breakdown([first, second], "category"))
    rows = [line.split() for line in out.getvalue().splitlines() if "one" in line or "two" in line]
    assert [row[:3] for row in rows] == [["needle", "one", "2"], ["two", "2", "100.0"], ["(none)", "one", "1"]]


def test_costs_have_median_and_tail() -> None:
    mine = report(n=10)
    mine.episodes[:] = [replace(item, visual_tokens=100 * index) for index, item in enumerate(mine.episodes)]
    assert cost_quantiles(mine.episodes)["visual_tokens"] == {"median": 450.0, "p90": 810.0}
    out = io.StringIO()
    Console(file=out, width=80).print(rich_costs([mine, report("other", n=0)]))
    assert "450 / 450 / 810" in out.getvalue()
    assert cost_quantiles([]) == {}


def test_frames_scored_are_shown_if_a_policy_scored_any() -> None:
    plain, scoring = report("plain", n=3), report("scoring", n=3)
    assert rich_scorer_costs([plain]) is None
    assert "scored" not in printed(plain)[0]
    assert "frames scored" not in markdown_costs([plain])
    scoring.episodes[:] = [
        replace(item, frames_scored=60 * (place + 1), candidates_decoded=70, scorer_passes=0, cached_passes=0)
        for place, item in enumerate(scoring.episodes)
    ]
    out = io.StringIO()
    Console(file=out, width=80).print(table := rich_scorer_costs([plain, scoring]))
    assert table is not None
    assert [column.header for column in table.columns] == ["policy", "decoded", "scored"]
    assert "120 / 120 / 168" in out.getvalue()
    assert scoring.summary["frames_scored"].low < 120 < scoring.summary["frames_scored"].high
    assert "| 70.0 | 120.0 |" in markdown_costs([scoring])
    assert "scored" in printed(scoring)[0]


def test_durations_are_grouped_at_fixed_bounds_and_numbers_in_order() -> None:
    seconds = [3600.0, 14.9, 15.0, 59.0, 700.0]
    mine = report(n=5)
    items = [
        replace(item, duration=each, metadata={"level": place or None})
        for item, each, place in zip(mine.episodes, seconds, [10, 9, 0, 2, 10], strict=True)
    ]
    assert {name: len(part) for name, part in break_down(items, "duration").items()} == {
        "< 15 s": 1, "15 s to 1 min": 2, "10 to 30 min": 1, ">= 1 h": 1,
    }  # fmt: skip
    assert list(break_down(items, "metadata.level")) == ["2", "9", "10", "(none)"]
    # The cells of a table are texts.
    for cells, order in (("10 9 -1.5 2 10", ["-1.5", "2", "9", "10"]), ("10 9 b nan 10", ["10", "9", "b", "nan"])):
        texts = [replace(item, metadata={"level": cell}) for item, cell in zip(items, cells.split(), strict=True)]
        assert list(break_down(texts, "metadata.level")) == order


def test_frames_scored_fit_into_80_columns() -> None:
    full = report("aks (histogram)", privileged=True, n=1000)
    full.episodes[:] = [replace(item, frames_scored=3600) for item in full.episodes]
    lines = printed(full)
    assert max(map(len, lines)) <= 80
    assert "3600.0" in next(line for line in lines if "1000" in line)
    assert not any("…" in line for line in lines)


def test_quadrants_count_answers_by_evidence_and_leave_out_what_is_unknown() -> None:
    base = report(n=1).episodes[0]
    facts = [(True, 1.0), (True, 1.0), (True, 0.5), (False, 1.0), (False, 0.0), (False, 0.0), (None, 1.0), (True, None)]
    found = replace(report(), episodes=[replace(base, correct=correct, evidence_seen=seen) for correct, seen in facts])
    # One of two intervals seen is not enough.
    assert found.quadrants == {"right_seen": 2, "right_unseen": 1, "wrong_seen": 1, "wrong_unseen": 2}
    assert found.to_json()["quadrants"] == found.quadrants
    table = rich_quadrants([found, report("a policy with a very long name " * 3)])
    assert table is not None
    out = io.StringIO()
    Console(file=out, width=80).print(table)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert next(line for line in lines if "mine" in line).split() == ["mine", "33.3", "16.7", "16.7", "33.3"]
    unknown = replace(found, episodes=[replace(base, evidence_seen=None)])
    assert rich_quadrants([unknown]) is None
