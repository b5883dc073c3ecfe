"""Tables for LaTeX and CSV, and figures."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

import vzgym
from vzgym.cli import app
from vzgym.core.errors import InvalidSetting
from vzgym.core.statistics import Estimate
from vzgym.evaluation.comparison import compare_runs
from vzgym.evaluation.publication import (
    Column,
    DataTable,
    comparison_figures,
    comparison_table,
    escape_latex,
    evaluation_figures,
    evaluation_table,
    save_figures,
)
from vzgym.evaluation.publication.plotting import escape_mathtext
from vzgym.evaluation.report import EvaluationReport


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[EvaluationReport]:
    return [vzgym.evaluate(name, "tiny", episodes=6) for name in ("blind", "oracle")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("runs")
    for name in ("blind", "oracle"):
        vzgym.evaluate(name, "needle-micro", episodes=6, out=out / name)
    return [out / "blind", out / "oracle"]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("100 % & more_of #1", r"100 \% \& more\_of \#1"),
        (r"a\b{c}", r"a\textbackslash{}b\{c\}"),
        ("$x^2$ ~ <|>", r"\$x\textasciicircum{}2\$ \textasciitilde{} \textless{}\textbar{}\textgreater{}"),
        ("two\nlines\x00\u202e", "two lines"),
        ("größer 東京", "größer 東京"),
    ],
)
def test_latex_specials_are_escaped(text: str, escaped: str) -> None:
    assert escape_latex(text) == escaped


def body(latex: str) -> list[str]:
    """The rows between the head's rule and the end."""
    return latex.split("\\midrule\n", 1)[1].split("\\bottomrule")[0].splitlines()


def test_numbers_have_their_intervals_in_both_forms() -> None:
    columns = [Column("name", "name", text=True), Column("share", "share %", ".1f", 100.0), Column("x", "x", "+.2f")]
    table = DataTable(
        "A title\nin lines",
        columns,
        [
            ["[a]", Estimate(0.5, 0.25, 0.75, 8), -1.0],
            ["*", Estimate(0.5, math.nan, math.nan, 1), None],
            ["b_c", Estimate(math.nan, math.nan, math.nan, 0), math.nan],
            ["d", 0.125, 3],
        ],
    )
    assert body(table.to_latex()) == [
        r"{}[a] & 50.0 {\footnotesize [25.0, 75.0]} & $-1.00$ \\",
        r"{}* & 50.0 & -- \\",
        r"b\_c & -- & -- \\",
        r"d & 12.5 & 3 \\",
    ]
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert rows[0] == {
        "name": "[a]", "share": "0.5", "share_low": "0.25", "share_high": "0.75", "share_n": "8", "x": "-1",
    }  # fmt: skip
    assert (rows[1]["share_low"], rows[2]["share"], rows[2]["x"], rows[3]["x"]) == ("", "", "", "3")
    # A line break in a title does not end the comment.
    assert all(line[0] in "%\\" or "&" in line for line in table.to_latex().splitlines())


def test_groups_are_separated_in_latex_and_repeated_in_csv() -> None:
    columns = [Column("group", "group", text=True), Column("n", "n")]
    table = DataTable("", columns, [["a", 1], ["a", 2], ["b", 3]], groups=1)
    assert body(table.to_latex()) == [r"a & 1 \\", r" & 2 \\", r"\midrule", r"b & 3 \\"]
    assert table.to_csv().splitlines() == ["group,n", "a,1", "a,2", "b,3"]


def test_the_tables_of_reports_and_comparisons(reports: list[EvaluationReport], runs: list[Path]) -> None:
    table = evaluation_table(reports)
    latex = table.to_latex()
    assert latex.count(r"\\") == 3  # the head and two rows
    assert len({row.count(" & ") for row in latex.splitlines() if row.endswith(r"\\")}) == 1
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert [(row["policy"], row["privileged"]) for row in rows] == [("blind", ""), ("oracle", "*")]
    for row, report in zip(rows, reports, strict=True):
        assert float(row["correct"]) == pytest.approx(report.accuracy.value, rel=1e-5)
        assert float(row["correct_low"]) == pytest.approx(report.accuracy.low, rel=1e-5)
    grouped = evaluation_table(reports, by="category")
    assert {row[0] for row in grouped.rows} == set(reports[0].by("category"))
    found = compare_runs(runs)
    lines = list(csv.DictReader(io.StringIO(comparison_table(found).to_csv())))
    accuracy = [line for line in lines if line["metric"] == "accuracy %"]
    assert accuracy[0]["difference"] == ""
    assert float(accuracy[1]["difference_low"]) == pytest.approx(100 * found.rows[1]["correct"].difference.low)
    assert float(accuracy[1]["p"]) == pytest.approx(found.rows[1]["correct"].p, rel=1e-5)


def test_figures_are_pdf_files(reports: list[EvaluationReport], runs: list[Path], tmp_path: Path) -> None:
    figures = {**evaluation_figures(reports), **comparison_figures(compare_runs(runs))}
    axis = figures["accuracy"].axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["blind", "oracle *"]
    files = save_figures(figures, tmp_path / "new" / "figures")
    assert [file.name for file in files] == ["accuracy.pdf", "frames.pdf", "taxonomy.pdf", "differences.pdf"]
    assert all(file.read_bytes().startswith(b"%PDF") and b"/Type3" not in file.read_bytes() for file in files)
    again = save_figures(evaluation_figures(reports), tmp_path)
    assert again[0].read_bytes() == files[0].read_bytes()


def test_names_are_no_formulas() -> None:
    assert escape_mathtext("$x$") == r"\$x\$"
    odd = [vzgym.evaluate("blind", "tiny", episodes=2, name="$\\frac{$ <b>")]
    evaluation_figures(odd)["accuracy"].canvas.draw()


def test_the_commands_write_files(runs: list[Path], tmp_path: Path) -> None:
    paths = [tmp_path / "t" / "table.tex", tmp_path / "t" / "table.csv", tmp_path / "figures"]
    flags = [text for pair in zip(("--latex", "--csv", "--figures"), map(str, paths), strict=True) for text in pair]
    for command in (["eval", "--policy", "blind", "--episodes", "2"], ["compare", *map(str, runs)]):
        result = CliRunner().invoke(app, [*command, *flags])
        assert result.exit_code == 0, result.output
        assert all(path.exists() for path in paths)
    assert {path.name for path in paths[2].iterdir()} == {
        "accuracy.pdf", "frames.pdf", "taxonomy.pdf", "differences.pdf",
    }  # fmt: skip


@pytest.mark.parametrize(
    "flags", [["--latex", "table.txt"], ["--csv", "."], ["--csv", "table.tex"], ["--figures", "figure.pdf"]]
)
def test_wrong_paths_are_refused_before_the_run(flags: list[str]) -> None:
    result = CliRunner().invoke(app, ["eval", "--policy", "none:Such", *flags])
    assert isinstance(result.exception, InvalidSetting)
    assert flags[0] in str(result.exception)
