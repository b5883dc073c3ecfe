"""`vzgym bench score` and `vzgym bench export`: score saved replies to a benchmark, and write result files."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from vzgym.cli.progress import console, errors, say
from vzgym.core.errors import InvalidSetting
from vzgym.core.files import replace_file
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.runs import read_records
from vzgym.evaluation.benchmarks.conventions import Convention, conventions_of, get_convention
from vzgym.evaluation.benchmarks.exports import FORMS, export_score, forms_of
from vzgym.evaluation.benchmarks.grounding import clue_recovery_rate
from vzgym.evaluation.benchmarks.groups import knowledge_gain
from vzgym.evaluation.benchmarks.scoring import BenchmarkScore, Judge, benchmark_of, score_replies

__all__ = ["export_command", "score_command"]

_PERCENT = 100.0
# Metrics on a scale of their own; the others are shares.
_UNSCALED = ("delta knowledge",)


def score_command(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a .jsonl file of records.")],
    convention: Annotated[
        list[str] | None, typer.Option(help="Scoring convention; repeatable. All of the benchmark's if not given.")
    ] = None,
    by: Annotated[
        list[str] | None, typer.Option(help="Metadata key to break results down by, such as duration; repeatable.")
    ] = None,
    reply: Annotated[
        str,
        typer.Option(help="Text that is read: answer (without thoughts and tags) or raw (the last turn's whole text)."),
    ] = "answer",
    windows: Annotated[str, typer.Option(help="Zoomed windows that count as grounding: union or last.")] = "union",
    reference_run: Annotated[
        Path | None,
        typer.Option(help="Run on the same questions: with clue clips (CG-Bench), or without the lecture (VideoMMMU)."),
    ] = None,
    judge_url: Annotated[str, typer.Option(help="OpenAI-compatible endpoint that judges open answers.")] = "",
    judge_model: Annotated[str, typer.Option(help="The judge's model.")] = "judge",
    seed: Annotated[int, typer.Option(help="Seed of random options, for conventions that guess.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write scores and break-downs into this file.")] = None,
) -> None:
    """Score saved replies to a benchmark under one or several conventions, side by side.

    Prints the score over all rows and over the rows without known flaws, with 95 % intervals, and the shares of
    unparsed and unscored replies.
    """
    if reply not in ("answer", "raw"):
        raise InvalidSetting(f"--reply must be answer or raw, got {reply!r}")
    if windows not in ("union", "last"):
        raise InvalidSetting(f"--windows must be union or last, got {windows!r}")
    kind: Literal["answer", "raw"] = "answer" if reply == "answer" else "raw"
    scored: Literal["union", "last"] = "union" if windows == "union" else "last"
    records = list(read_records(run))
    benchmark = benchmark_of(records)
    chosen = {name: get_convention(benchmark, name) for name in convention} if convention else conventions_of(benchmark)
    unknown = [key for key in by or () if not any(key in record.task.metadata for record in records)]
    if unknown:
        known = sorted({key for record in records for key in record.task.metadata})
        raise InvalidSetting(f"--by {unknown[0]}: no task has it in its metadata; there are: {', '.join(known)}")
    judge = _judge(run, judge_url, judge_model) if judge_url else None
    if judge is None and benchmark.answers in ("open", "mixed"):
        say("open answers are compared by rule; --judge-url URL lets a model judge them", errors)
    scores = {
        name: score_replies(
            records, item, benchmark=benchmark, reply=kind, judge=judge, windows=scored, seed=seed
        )
        for name, item in chosen.items()
    }  # fmt: skip
    paired = _paired(scores, list(read_records(reference_run)), kind, seed) if reference_run else {}
    if csv_file is not None:
        _write_csv(csv_file, scores, by or benchmark.groups, paired)
    if as_json:
        found = {name: {**score.to_json(), "paired": paired.get(name, {})} for name, score in scores.items()}
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    say(f"{benchmark.title}: {len(records)} replies of {run}")
    console.print(_table(scores))
    for line in _metric_lines(scores, paired):
        say(line)
    for key in by or ():
        console.print(_breakdown(scores, key))
    for name, score in scores.items():
        say(f"{name}: {_rule(score.convention)}")
    if csv_file is not None:
        say(f"Scores: {csv_file}")


def export_command(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a .jsonl file of records.")],
    form: Annotated[
        str, typer.Option("--format", help="Form of the files; --list prints those of the benchmark.")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="The file to write.")] = None,
    convention: Annotated[str, typer.Option(help="Convention by which option letters are read.")] = "vzgym",
    list_forms: Annotated[bool, typer.Option("--list", help="List the forms for this run's benchmark.")] = False,
) -> None:
    """Write a run's replies in the form that a benchmark's scorer, leaderboard or toolkit reads."""
    records = list(read_records(run))
    benchmark = benchmark_of(records)
    if list_forms:
        table = Table("format", "for", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for name in forms_of(benchmark.name):
            table.add_row(Text(name), Text(f"{FORMS[name].about}. {FORMS[name].note}".strip()))
        console.print(table)
        return
    if not form or out is None:
        raise InvalidSetting(f"say --format and --out; formats: {', '.join(forms_of(benchmark.name))}")
    score = score_replies(records, get_convention(benchmark, convention), benchmark=benchmark)
    for path in export_score(score, form, out):
        say(str(path))
    if FORMS[form].note:
        say(FORMS[form].note, errors)


def _judge(run: Path, url: str, model: str) -> Judge:
    """A judge whose verdicts are stored beside the run."""
    from vzgym.rewards.judge import JudgedAccuracy

    folder = run if run.is_dir() else run.parent
    return JudgedAccuracy(url=url, model=model, cache=str(folder / "verdicts.jsonl")).verdict


def _paired(
    scores: Mapping[str, BenchmarkScore], others: list[EpisodeRecord], kind: Literal["answer", "raw"], seed: int
) -> dict[str, dict[str, float | None]]:
    """Metrics of a run and a reference run on the same questions, by convention."""
    found: dict[str, dict[str, float | None]] = {}
    for name, score in scores.items():
        reference = score_replies(others, score.convention, benchmark=score.benchmark, reply=kind, seed=seed)
        before = {_question(item.record): item.score for item in reference.counted}
        before.pop("", None)
        shared = [item for item in score.counted if _question(item.record) in before]
        if not shared:
            raise InvalidSetting("--reference-run: it shares no scored question with the run")
        first = [before[_question(item.record)] == 1.0 for item in shared]
        second = [item.score == 1.0 for item in shared]
        count = float(len(shared))
        if score.benchmark.name.startswith("cgbench"):
            rate = clue_recovery_rate(sum(second) / count, sum(first) / count)
            found[name] = {"shared questions": count, "CRR": rate}
        else:
            gain = knowledge_gain(first, second)
            found[name] = {
                "shared questions": count,
                "delta knowledge": gain.delta,
                "wrong to right": gain.wrong_to_right,
                "right to wrong": gain.right_to_wrong,
            }
    return found


def _question(record: EpisodeRecord) -> str:
    """What two runs share: the task's id; for VideoMMMU, the video of an Adaptation question."""
    facts = record.task.metadata
    if record.task.source.startswith("video_mmmu"):
        return str(facts["video_id"]) if facts.get("track") in ("adaptation", "question_only") else ""
    return record.task.id


def _table(scores: Mapping[str, BenchmarkScore]) -> Table:
    table = Table(
        "convention", "score [95 %]", "n", "unflawed", "n", "unparsed", "left out",
        box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False,
    )  # fmt: skip
    for name, score in scores.items():
        excluded = sum(item.excluded for item in score.replies)
        table.add_row(
            Text(name, no_wrap=True),
            Text(score.overall.text(), no_wrap=True),
            str(score.overall.n),
            Text(score.unflawed.text().partition(" ")[0]),
            str(score.unflawed.n),
            "-" if math.isnan(score.unparsed) else f"{_PERCENT * score.unparsed:.1f} %",
            f"{excluded + score.unscored}",
        )
    return table


def _rule(convention: Convention) -> str:
    """A convention in words."""
    unparsed = {"wrong": "wrong", "exclude": "left out", "random": "a random option"}[convention.unparsed]
    words = f"extractor {convention.extractor}, average {convention.average}, unparsed replies {unparsed}"
    return f"{words}; {convention.note}" if convention.note else words


def _metric_lines(scores: Mapping[str, BenchmarkScore], paired: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    lines = []
    for name, score in scores.items():
        parts = [_metric(key, value) for key, value in {**score.metrics, **paired.get(name, {})}.items()]
        if parts:
            lines.append(f"{name}: {', '.join(parts)}")
    return lines


def _metric(name: str, value: float | None) -> str:
    if value is None or math.isnan(value):
        return f"{name} -"
    if name in ("incomplete groups", "shared questions"):
        return f"{name} {value:.0f}"
    return f"{name} {value if name in _UNSCALED else _PERCENT * value:.1f}"


def _breakdown(scores: Mapping[str, BenchmarkScore], key: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for header in (key, "n", *scores):
        table.add_column(Text(header))
    groups = {name: score.groups(key) for name, score in scores.items()}
    for value in dict.fromkeys(value for found in groups.values() for value in found):
        cells = [found.get(value) for found in groups.values()]
        count = max(cell.n for cell in cells if cell is not None)
        # The intervals of more than two conventions do not fit a terminal; --csv and --json have them.
        words = [cell.text() if cell is not None else "-" for cell in cells]
        shown = words if len(words) <= 2 else [text.partition(" ")[0] for text in words]
        table.add_row(Text(value), str(count), *shown)
    return table


def _write_csv(
    path: Path,
    scores: Mapping[str, BenchmarkScore],
    keys: list[str] | tuple[str, ...],
    paired: Mapping[str, Mapping[str, float | None]],
) -> None:
    with replace_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["convention", "group", "value", "score", "low", "high", "n"])
        for name, score in scores.items():
            found = {("all", ""): score.overall, ("unflawed", ""): score.unflawed}
            found |= {(key, value): cell for key in keys for value, cell in score.groups(key).items()}
            for (key, value), cell in found.items():
                numbers = ("" if math.isnan(number) else number for number in (cell.value, cell.low, cell.high))
                rows.writerow([name, key, value, *numbers, cell.n])
            for metric, number in {**score.metrics, **paired.get(name, {})}.items():
                rows.writerow([name, "metric", metric, "" if number is None else number, "", "", ""])
