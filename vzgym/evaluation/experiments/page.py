"""Results as a self-contained HTML page: embedded plots, no script, no external resources."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import yaml

from vzgym.core.secrets import redact
from vzgym.evaluation.experiments.plots import PICTURES
from vzgym.evaluation.experiments.results import Results, Row
from vzgym.evaluation.experiments.settings import Experiment
from vzgym.evaluation.experiments.stages import LOG, log_tail
from vzgym.evaluation.experiments.tables import (
    TERM_NOTE,
    finer_tables,
    interval_note,
    table_rows,
    term_rows,
)

__all__ = ["html_page", "text_without_secrets"]

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem; }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid #8884; text-align: right; white-space: nowrap; }
th.text, td.text { text-align: left; }
th { border-bottom: 2px solid #8888; }
.wide { overflow-x: auto; }
figure { margin: 1.5rem 0; }
figure img { max-width: 100%; background: white; }
figcaption, .note { color: #777; font-size: 0.9rem; }
pre { background: #8881; padding: 0.8rem; overflow-x: auto; font-size: 0.85rem; }
.failed { color: #c0392b; }
"""


def text_without_secrets(experiment: Experiment) -> str:
    """Text of an experiment file, with possible secrets in headers and URLs removed."""
    shown = redact(experiment.document.data)
    if shown == experiment.document.data:
        return experiment.text
    return "# Values that may be secrets are replaced by ***.\n" + yaml.safe_dump(shown, sort_keys=False)


def html_page(results: Results, pictures: Sequence[Path], by: Sequence[str] = ()) -> str:
    """Render the page.

    Args:
        results: The results.
        pictures: Paths of the plots.
        by: Grouping keys for accuracy: "category", "duration", "metadata.KEY".
    """
    settings = results.grid.experiment.settings
    title = escape(settings.title or settings.name)
    heads, rows = table_rows(results)
    parts = [f"<h1>{title}</h1>"]
    if settings.about:
        parts.append(f"<p>{escape(settings.about.strip())}</p>")
    parts.append(f"<p>{escape(_state(results))}</p>")
    parts += ["<h2>Results</h2>", _table(heads, rows, len(results.grid.axes))]
    parts.append(f'<p class="note">{escape(interval_note(results))}</p>')
    term_heads, terms = term_rows(results)
    if terms:
        parts += ["<h2>Reward terms</h2>", _table(term_heads, terms, len(results.grid.axes) + 2)]
        parts.append(f'<p class="note">{escape(TERM_NOTE)}</p>')
    for path in pictures:
        data = base64.b64encode(path.read_bytes()).decode()
        caption = escape(PICTURES[path.name])
        image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
        parts.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
    for table in finer_tables(results, by):
        parts += [f"<h2>{escape(table.title)}</h2>", _table(table.heads, table.rows, table.left)]
        if table.note:
            parts.append(f'<p class="note">{escape(table.note)}</p>')
    parts += ["<h2>Every cell</h2>", _cells(results), _failures(results)]
    parts += [
        "<h2>The experiment</h2>",
        f"<pre>{escape(text_without_secrets(results.grid.experiment))}</pre>",
        _versions(results),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{_STYLE}</style>\n</head>\n'
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _state(results: Results) -> str:
    count = {status: sum(row.status == status for row in results.rows) for status in ("done", "failed", "to do")}
    told = f"{count['done']} of {len(results.rows)} cells are done"
    told += "".join(f", {count[status]} {status}" for status in ("failed", "to do") if count[status])
    return f"{told}."


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        marks = [' class="text"' if place < left else "" for place in range(len(cells))]
        return "".join(f"<{tag}{mark}>{escape(cell)}</{tag}>" for cell, mark in zip(cells, marks, strict=True))

    head = f"<thead><tr>{line(heads, 'th')}</tr></thead>"
    body = "\n".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f'<div class="wide"><table>\n{head}\n<tbody>\n{body}\n</tbody>\n</table></div>'


def _cells(results: Results) -> str:
    axes = results.grid.axes
    heads = [*axes, "seed", "state", "accuracy % [95 %, Wilson]", "zooms", "frames", "seconds, with stages", "folder"]
    rows = []
    for row in results.rows:
        numbers = [row.metric(name) for name in ("zooms", "frames")]
        told = [f"{number.value:.2f}" if number.n else "-" for number in numbers]
        rows.append(
            [
                *(row.cell.names[axis] or "-" for axis in axes), str(row.cell.seed), row.status,
                row.metric("correct").text(), *told, f"{row.seconds:.0f}",
                row.cell.stage.folder(results.root).relative_to(results.root).as_posix(),
            ]
        )  # fmt: skip
    return f"<details><summary>One row per seed</summary>{_table(heads, rows, len(axes))}</details>"


def _failures(results: Results) -> str:
    broken = [row for row in results.rows if row.status == "failed"]
    if not broken:
        return ""
    parts = ['<h2 class="failed">Failures</h2>']
    for row in broken:
        parts.append(f"<h3>{escape(row.cell.name)}</h3><p>{escape(row.error)}</p>")
        if log := _log_of(row, results):
            parts.append(f"<details><summary>End of the log</summary><pre>{escape(log)}</pre></details>")
    return "\n".join(parts)


def _log_of(row: Row, results: Results) -> str:
    """The end of the log of the stage that failed."""
    for stage in row.cell.stage.lineage():
        if stage.failed(results.root) is not None:
            return "\n".join(log_tail(stage.folder(results.root) / LOG))
    return ""


def _versions(results: Results) -> str:
    found: dict[str, set[str]] = {}
    for row in results.rows:
        versions: Mapping[str, str] = (row.facts or {}).get("versions", {})
        for name, value in versions.items():
            found.setdefault(name, set()).add(value)
    told = ", ".join(f"{name} {' and '.join(sorted(values))}" for name, values in sorted(found.items()))
    return f'<p class="note">Played with {escape(told)}.</p>' if told else ""
