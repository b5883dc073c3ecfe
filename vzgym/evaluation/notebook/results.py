"""Reports, comparisons and results of experiments as HTML for notebooks."""

from __future__ import annotations

from vzgym.evaluation.comparison import Comparison
from vzgym.evaluation.experiments.results import Results
from vzgym.evaluation.experiments.tables import experiment_table
from vzgym.evaluation.metrics import cost_quantiles
from vzgym.evaluation.notebook.parts import NEUTRAL, badge, block, plain_text, table_html
from vzgym.evaluation.publication.plotting import TAXONOMY_COLORS
from vzgym.evaluation.publication.results import comparison_table, evaluation_table, tool_modes_table
from vzgym.evaluation.publication.table import Column, DataTable
from vzgym.evaluation.report import EvaluationReport
from vzgym.evaluation.tool_modes import ToolModes

__all__ = ["comparison_html", "experiment_html", "report_html", "tool_modes_html"]


def report_html(report: EvaluationReport) -> str:
    """Describe a report: metrics with intervals, failure taxonomy, costs, tasks that were left out."""
    parts = [table_html(_metrics(report)), _taxonomy(report), table_html(_costs(report))]
    if report.proof_weakened_by:
        names = ", ".join(report.proof_weakened_by)
        parts.append(f"<p>The budget shows more than the tasks were built for ({plain_text(names)}).</p>")
    if report.failed:
        reasons = "".join(
            f"<li>{plain_text(task, 200)}: {plain_text(reason, 300)}</li>"
            for task, reason in list(report.failed.items())[:20]
        )
        parts.append(f"<details><summary>{len(report.failed)} tasks left out</summary><ul>{reasons}</ul></details>")
    return block(parts)


def comparison_html(found: Comparison) -> str:
    """Describe a comparison: every metric of every run, with paired differences."""
    return block([table_html(comparison_table(found))])


def tool_modes_html(found: ToolModes) -> str:
    """Describe a policy's tool modes: accuracy, zooms and frames of each, with the paired effects."""
    return block([table_html(tool_modes_table({found.policy: found}))])


def experiment_html(results: Results) -> str:
    """Describe the current results of an experiment."""
    counts = [(status, sum(row.status == status for row in results.rows)) for status in ("done", "failed", "to do")]
    state = " ".join(badge(f"{count} {status}", NEUTRAL) for status, count in counts if count)
    return block([f"<p>{state}</p>", table_html(experiment_table(results))])


def _metrics(report: EvaluationReport) -> DataTable:
    """The report's row as a column, which fits a narrow page."""
    table = evaluation_table([report])
    (row,) = table.cells()
    pairs = [[column.title, cell] for column, cell in zip(table.columns, row, strict=True) if column.title]
    return DataTable(
        f"{report.policy} on {report.tasks}, seed {report.seed}",
        [Column("metric", "metric", text=True), Column("value", "mean [95 %]")],
        pairs[1:],
        table.note,
    )


def _taxonomy(report: EvaluationReport) -> str:
    counts = {kind: count for kind, count in report.taxonomy.items() if count}
    if not counts:
        return ""
    total = sum(counts.values())
    ordered = sorted(counts, key=list(TAXONOMY_COLORS).index)
    bars, legend, left = [], [], 0.0
    for kind in ordered:
        wide = 900 * counts[kind] / total
        name, color = str(kind).replace("_", " "), TAXONOMY_COLORS[kind]
        bars.append(
            f'<rect x="{left:.1f}" y="0" width="{wide:.1f}" height="18" fill="{color}">'
            f"<title>{plain_text(name)}: {counts[kind]}</title></rect>"
        )
        swatch = f"display:inline-block;width:.8em;height:.8em;background:{color};border:1px solid #8888"
        legend.append(
            f'<span style="white-space:nowrap;margin-right:1em"><span style="{swatch}"></span> '
            f"{plain_text(name)} {counts[kind]}</span>"
        )
        left += wide
    words = ", ".join(f"{str(kind).replace('_', ' ')} {counts[kind]}" for kind in ordered)
    return (
        f'<h4>Failure taxonomy</h4><svg viewBox="0 0 900 18" role="img" aria-label="{plain_text(words)}">'
        f"{''.join(bars)}</svg><p>{''.join(legend)}</p>"
    )


def _costs(report: EvaluationReport) -> DataTable:
    summary = report.summary
    costs = ("frames", "visual_tokens", "text_tokens", "passes", "wall_seconds")
    found = cost_quantiles(report.episodes)
    return DataTable(
        "Cost per episode",
        [
            Column("cost", "cost", text=True),
            *(Column(name, name, ".4g") for name in ("mean", "median")),
            Column("p90", "90th percentile", ".4g"),
        ],
        [
            [name.replace("_", " "), summary[name].value, found[name]["median"], found[name]["p90"]]
            for name in costs
            if name in found
        ],
    )
