"""`vzgym rewards`: list modules, show one, score a saved run under another reward."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from vzgym.cli.outputs import check_jsonl_output
from vzgym.cli.progress import console, say
from vzgym.core.errors import InvalidSetting, PluginError, RecordError, UnknownName
from vzgym.core.files import JsonLinesWriter, file_lock, replace_file
from vzgym.core.statistics import Estimate
from vzgym.episode.runs import RECORDS, read_records
from vzgym.evaluation.counterfactual import make_answerer
from vzgym.evaluation.rescoring import RunScore, score_run
from vzgym.rewards import PRESETS, REWARDS, make_reward
from vzgym.rewards.describe import FACTS, describe

__all__ = ["app"]

app = typer.Typer(
    help="List reward modules, show one, score a saved run under another reward.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_modules() -> None:
    """List reward modules and presets."""
    table = Table("module", "what", "needs", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in REWARDS.names():
        try:
            facts = describe(name)
        except (InvalidSetting, PluginError) as error:
            # Docstrings of plug-ins are unrestricted, and a broken plug-in must not hide the others.
            table.add_row(Text(name), Text(" ".join(str(error).split()), style="dim"), "?")
            continue
        what = f"another name for {facts.alias_of}" if facts.alias_of else facts.summary
        table.add_row(Text(name), Text(what), Text(", ".join(facts.needs) or "-"))
    console.print(table)
    presets = Table("preset", "weights", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name, weights in PRESETS.items():
        presets.add_row(name, ", ".join(f"{term} {weight:g}" for term, weight in weights.items()))
    console.print(presets)


@app.command()
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="A module or a preset.")]) -> None:
    """Show a module's formula, range, source, needs and known issues, or a preset's weights."""
    if name in PRESETS:
        say(f"preset {name}: " + ", ".join(f"{term} {weight:g}" for term, weight in PRESETS[name].items()))
        return
    if name not in REWARDS and ":" not in name:
        raise UnknownName("reward", name, [*PRESETS, *REWARDS.names()])
    facts = describe(name)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row(Text(name, style="bold"), Text(facts.summary))
    for fact in FACTS:
        table.add_row(fact.lower(), Text(facts.facts[fact]))
    table.add_row("needs", Text("; ".join(f"{need}: {meaning}" for need, meaning in facts.needs.items()) or "nothing"))
    for option, (default, meaning) in facts.options.items():
        table.add_row("option", Text(f"{option} = {default!r}: {meaning}"))
    table.add_row("class", Text(facts.path))
    console.print(table)


@app.command()
def score(
    run: Annotated[Path, typer.Argument(help="A run's folder, a folder of runs, or a .jsonl file of records.")],
    reward: Annotated[str, typer.Option(help="A preset, a module, a .yaml file, or {accuracy: 1, ...}.")],
    answerer: Annotated[
        str | None,
        typer.Option(help="Answerer for terms that need one: reader, or a policy (name or module:Class)."),
    ] = None,
    progress: Annotated[float | None, typer.Option(help="Training progress in [0, 1], for annealed terms.")] = None,
    backend: Annotated[str, typer.Option(help="Decoder for video files, if frames are needed.")] = "pyav",
    out: Annotated[Path | None, typer.Option(help="Write each episode's new ledger into this .jsonl file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Score a saved run under a reward without new roll-outs; print totals and contributions of terms."""
    mix = make_reward(reward)
    files = sorted(run.glob("**/records.jsonl")) if run.is_dir() else [run]
    if not files:
        raise RecordError(f"{run}: no records.jsonl in this folder")
    if out is not None:
        check_jsonl_output(out, files)
        if out.name == RECORDS:
            raise InvalidSetting(f"--out {out}: {RECORDS} is reserved for the episodes of a run; use another name")
    who = make_answerer(answerer, backend=backend) if answerer else None
    scores = {file: score_run(list(read_records(file)), mix, answerer=who, progress=progress) for file in files}
    if out is not None:
        _write(out, scores)
    if as_json:
        print(json.dumps({str(file.parent): score.to_json() for file, score in scores.items()}, indent=2))
        return
    for file, found in scores.items():
        say(_headline(file.parent.name or str(file), found))
        console.print(_table(found))
    if out is not None:
        say(f"Ledgers: {out}")


def _headline(title: str, found: RunScore) -> str:
    saved = [total for total in found.saved if total is not None]
    before = f"; as played {math.fsum(saved) / len(saved):.4f}" if saved else ""
    unscored = sum(total is None for total in found.totals)
    left_out = f"; {unscored} unscored" if unscored else ""
    return f"{title}: {len(found.records)} episodes, total {_words(found.total)}{before}{left_out}"


def _table(found: RunScore) -> Table:
    table = Table(
        "term",
        "weight",
        "value",
        "contribution [95 %]",
        "unscored",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name, (value, paid, share) in found.terms().items():
        table.add_row(
            Text(name),
            f"{found.mix.terms[name].weight:g}",
            "-" if math.isnan(value.value) else f"{value.value:.4f}",
            _words(paid),
            f"{100 * share:.0f} %",
        )
    return table


def _words(estimate: Estimate) -> str:
    return estimate.text(".4f", 1.0) if estimate.n else "unscored"


def _write(out: Path, scores: dict[Path, RunScore]) -> None:
    with file_lock(out), replace_file(out) as partial, JsonLinesWriter(partial) as lines:
        for file, found in scores.items():
            for record, ledger, total in zip(found.records, found.ledgers, found.totals, strict=True):
                entry = {
                    "run": str(file.parent),
                    "task": record.task.id,
                    "index": record.info.index,
                    "total": total,
                    "rewards": [step.to_json() for step in ledger],
                }
                lines.write(entry)
