"""`vzgym paper`: what a paper's tables need and cost, and measured beside published values."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from vzgym.cli.evaluate import run_folder, run_policies
from vzgym.cli.named_tasks import load_named_tasks, say_left_out
from vzgym.cli.progress import console, errors, say
from vzgym.cli.workers import GpusOption, RayOption, WorkersOption, make_executor
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.runs import read_records
from vzgym.evaluation.benchmarks.paper import (
    Cell,
    Cost,
    CostRule,
    Measured,
    Paper,
    benchmark_root,
    cells,
    check_column,
    cost_of,
    episodes_of,
    load_paper,
    row_budget,
    run_cells,
)
from vzgym.evaluation.benchmarks.scoring import Judge
from vzgym.tasks.benchmarks.checking import BenchmarkCheck

__all__ = ["paper_command"]


def paper_command(
    name: Annotated[str, typer.Argument(help="videozoomer, or a .yaml file with the tables of another paper.")],
    root: Annotated[
        Path | None, typer.Option(help="Folder with the benchmarks' files, or a Hugging Face cache.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="KEY=POLICY: the policy of one of the paper's models, such as base=served:MODEL@URL."),
    ] = None,
    table: Annotated[list[str] | None, typer.Option(help="Table to run; repeatable. All if not given.")] = None,
    row: Annotated[list[str] | None, typer.Option(help="Row to run, by its name; repeatable.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="Column to run; repeatable.")] = None,
    episodes: Annotated[
        int | None, typer.Option(help="Questions per benchmark, from the first. All if not given.")
    ] = None,
    workers: WorkersOption = 1,
    ray: RayOption = None,
    gpus_per_worker: GpusOption = 0.0,
    out: Annotated[Path, typer.Option(help="Folder for the runs; interrupted ones resume.")] = Path("runs/paper"),
    judge_url: Annotated[str, typer.Option(help="OpenAI-compatible endpoint that judges open answers.")] = "",
    judge_model: Annotated[str, typer.Option(help="The judge's model.")] = "judge",
    input_rate: Annotated[float, typer.Option(help="Estimate: input tokens a second of one GPU.")] = 20_000.0,
    output_rate: Annotated[float, typer.Option(help="Estimate: written tokens a second of one GPU.")] = 2_000.0,
    gpu_price: Annotated[float, typer.Option(help="Estimate: price of a GPU hour.")] = 3.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what is there, what is missing, and costs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Reproduce the tables of a paper: run the rows whose models and videos are there, beside published values.

    With --dry-run: print what is there, what is missing, and what each row would cost at most.
    """
    paper = load_paper(name)
    policies = dict(_pair(text, paper) for text in model or ())
    chosen = list(cells(paper, table or (), column or (), row or ()))
    checks = {key: check_column(paper.columns[key], root) for key in dict.fromkeys(cell.column for cell in chosen)}
    if dry_run:
        for option, rate in (("--input-rate", input_rate), ("--output-rate", output_rate)):
            if not rate > 0:
                raise InvalidSetting(f"{option} must be > 0, got {rate:g}")
        rule = CostRule(input_rate=input_rate, output_rate=output_rate, gpu_price=gpu_price)
        _dry_run(paper, chosen, checks, policies, rule, episodes, as_json)
        return
    if not policies:
        raise InvalidSetting(
            f"say which policy plays each model: --model KEY=POLICY with KEY one of {', '.join(paper.models)}; "
            "--dry-run shows what is missing"
        )
    ready = [cell for cell in chosen if cell.row.model in policies and _complete(checks[cell.column])]
    for key, reason in {cell.column: _missing(checks[cell.column]) for cell in chosen}.items():
        if reason:
            say(f"left out: {key}: {reason}", errors)
    for key in dict.fromkeys(cell.row.model for cell in chosen if cell.row.model not in policies):
        say(f"left out: rows of model {key}: no --model {key}=POLICY", errors)
    if not ready:
        raise InvalidSetting("no row can run: its model or its videos are missing; --dry-run shows what")

    executor = make_executor(workers, ray, gpus_per_worker)

    def play(cell: Cell, tasks: str, budget: Budget) -> Sequence[EpisodeRecord]:
        task_set = load_named_tasks(tasks, root=benchmark_root(root, tasks.partition("/")[0]))
        say_left_out(task_set)
        policy, count = policies[cell.row.model], len(task_set) if episodes is None else min(episodes, len(task_set))
        run_policies([policy], task_set, count, 0, out, budget, workers=executor, names=[cell.folder])
        return list(read_records(run_folder(out, policy, task_set, cell.folder)))

    measured = list(run_cells(paper, ready, policies, play, _judge(out, judge_url, judge_model)))
    if as_json:
        print(json.dumps([_entry(item) for item in measured], indent=2, ensure_ascii=False))
        return
    for key in dict.fromkeys(item.cell.table for item in measured):
        say(f"{paper.tables[key].title} ({paper.source})")
        console.print(_results(paper, [item for item in measured if item.cell.table == key]))
    _say_notes(paper, [item.cell for item in measured])
    say(f"Records: {out}. Other conventions: vzgym bench score RUN")


def _pair(text: str, paper: Paper) -> tuple[str, str]:
    key, mark, policy = text.partition("=")
    if not mark or key not in paper.models:
        raise InvalidSetting(f"--model takes KEY=POLICY with KEY one of {', '.join(paper.models)}, got {text!r}")
    return key, policy


def _judge(out: Path, url: str, model: str) -> Judge | None:
    if not url:
        return None
    from vzgym.rewards.judge import JudgedAccuracy

    return JudgedAccuracy(url=url, model=model, cache=str(out / "verdicts.jsonl")).verdict


def _complete(check: BenchmarkCheck | str) -> bool:
    return isinstance(check, BenchmarkCheck) and not check.missing and not check.empty


def _missing(check: BenchmarkCheck | str) -> str:
    """What is missing, in one line; "" if nothing is."""
    if isinstance(check, str):
        return check
    if _complete(check):
        return ""
    names = [*check.missing, *map(str, check.empty)]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{len(names)} of {check.videos} videos missing: {names[0]}{more}"


def _dry_run(
    paper: Paper,
    chosen: Sequence[Cell],
    checks: dict[str, BenchmarkCheck | str],
    policies: dict[str, str],
    rule: CostRule,
    episodes: int | None,
    as_json: bool,
) -> None:
    counts = {key: episodes_of(paper.columns[key], check) for key, check in checks.items()}
    if episodes is not None:
        counts = {key: min(count, episodes) for key, count in counts.items()}
    rows: dict[tuple[str, str], list[Cell]] = {}
    for cell in chosen:
        rows.setdefault((cell.table, cell.row.name), []).append(cell)
    costs = {key: _row_cost(paper, members, counts, rule) for key, members in rows.items()}
    if as_json:
        print(json.dumps(_plan(paper, rows, costs, counts, checks, policies, rule), indent=2, ensure_ascii=False))
        return
    say(f"{paper.title} ({paper.source})")
    found = Table(
        "column", "tasks", "questions", "convention", "files",
        box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False,
    )  # fmt: skip
    for key, check in checks.items():
        column = paper.columns[key]
        state = Text(_missing(check) or "complete", "" if _complete(check) else "red")
        found.add_row(Text(key), Text(column.tasks), f"{counts[key]:,}", Text(column.convention), state)
    console.print(found)
    plan = Table(
        "table", "row", "model", "columns", "input tokens", "GPU hours", "price",
        box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False,
    )  # fmt: skip
    for (table, name), members in rows.items():
        cost, key = costs[table, name], members[0].row.model
        plan.add_row(
            Text(table), Text(name), Text(key, "" if key in policies else "red"), str(len(members)),
            f"{cost.input_tokens / 1e6:,.0f} M", f"{cost.gpu_hours:,.1f}", f"{cost.price:,.0f}",
        )  # fmt: skip
    console.print(plan)
    say(f"Costs: {rule}")
    for key in dict.fromkeys(cell.row.model for cell in chosen):
        entry = paper.models[key]
        training = f" (training: {entry.training_gpu_hours:g} GPU hours)" if entry.training_gpu_hours else ""
        say(f"{key}: {entry.about}; {policies.get(key) or f'missing: --model {key}=POLICY. {entry.how}'}{training}")
    _say_notes(paper, chosen)


def _row_cost(paper: Paper, members: Sequence[Cell], counts: dict[str, int], rule: CostRule) -> Cost:
    """Cost of a row's runs; a part of a benchmark that is played as a whole costs nothing more."""
    whole = {paper.columns[cell.column].tasks for cell in members}
    total = Cost()
    for cell in members:
        column = paper.columns[cell.column]
        if column.subset is None or column.benchmark not in whole:
            total += cost_of(row_budget(cell.row), counts[cell.column], rule)
    return total


def _plan(
    paper: Paper,
    rows: dict[tuple[str, str], list[Cell]],
    costs: dict[tuple[str, str], Cost],
    counts: dict[str, int],
    checks: dict[str, BenchmarkCheck | str],
    policies: dict[str, str],
    rule: CostRule,
) -> dict[str, Any]:
    return {
        "paper": paper.title,
        "columns": {
            key: {
                "tasks": paper.columns[key].tasks,
                "questions": counts[key],
                "complete": _complete(check),
                "missing": _missing(check),
            }
            for key, check in checks.items()
        },
        "rows": [
            {
                "table": table,
                "row": name,
                "model": members[0].row.model,
                "policy": policies.get(members[0].row.model),
                "columns": [cell.column for cell in members],
                "input_tokens": costs[table, name].input_tokens,
                "output_tokens": costs[table, name].output_tokens,
                "gpu_hours": costs[table, name].gpu_hours,
                "price": costs[table, name].price,
            }
            for (table, name), members in rows.items()
        ],
        "rule": str(rule),
    }


def _results(paper: Paper, items: Sequence[Measured]) -> Table:
    table = Table(
        "row", "column", "convention", "measured [95 %]", "n", "published", "difference", "unparsed",
        box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False,
    )  # fmt: skip
    for item in items:
        value, published = item.value, item.cell.published
        comparable = paper.columns[item.cell.column].comparable
        difference = item.difference if comparable else None
        table.add_row(
            Text(item.cell.row.name),
            Text(item.cell.column),
            Text(paper.columns[item.cell.column].convention),
            value.text(),
            str(value.n),
            "-" if published is None else f"{published:.1f}",
            "-" if difference is None else f"{difference:+.1f}",
            "-" if math.isnan(item.unparsed) else f"{100 * item.unparsed:.1f} %",
        )
    return table


def _say_notes(paper: Paper, chosen: Sequence[Cell]) -> None:
    for key in dict.fromkeys(cell.column for cell in chosen):
        if note := paper.columns[key].note:
            say(f"{key}: {note}")
    for name, text in dict.fromkeys((cell.row.name, cell.row.unverified) for cell in chosen):
        if text:
            say(f"{name}: not verified: {text}")


def _entry(item: Measured) -> dict[str, Any]:
    return {
        "table": item.cell.table,
        "row": item.cell.row.name,
        "column": item.cell.column,
        "measured": item.value.to_json(),
        "published": item.cell.published,
        "difference": item.difference,
        "unparsed": None if math.isnan(item.unparsed) else item.unparsed,
    }
