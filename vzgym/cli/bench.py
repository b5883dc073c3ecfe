"""`vzgym bench`: list, check, download and score published benchmarks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table
from rich.text import Text

from vzgym.cli.bench_score import export_command, score_command
from vzgym.cli.progress import console, errors, say
from vzgym.core.errors import InvalidSetting
from vzgym.tasks.benchmarks.checking import BenchmarkCheck, check_benchmark
from vzgym.tasks.benchmarks.definition import Benchmark
from vzgym.tasks.benchmarks.item import FLAWS
from vzgym.tasks.benchmarks.layouts import how_to_get
from vzgym.tasks.benchmarks.registry import BENCHMARKS, get_benchmark

__all__ = ["app"]

app = typer.Typer(
    help="List, check, download and score published benchmarks.", no_args_is_help=True, rich_markup_mode=None
)

app.command("score")(score_command)
app.command("export")(export_command)

_SHOWN = 20

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A benchmark's name or alias (vzgym bench list).")]


@app.command("list")
def list_benchmarks(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the benchmarks with their sizes, aliases and parts."""
    found = [get_benchmark(name) for name in BENCHMARKS.names()]
    if as_json:
        print(json.dumps([_facts(benchmark) for benchmark in found], indent=2, ensure_ascii=False))
        return
    columns = (Column(name, no_wrap=True) for name in "name rows videos asked evidence subtitles".split())
    table = Table(*columns, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for benchmark in found:
        totals = benchmark.totals
        table.add_row(
            benchmark.name,
            f"{totals.rows:,}" if totals.rows else "?",
            f"{totals.videos:,}" if totals.videos else "?",
            benchmark.answers,
            benchmark.evidence or "-",
            "yes" if benchmark.has_subtitles else "-",
        )
    console.print(table)
    for benchmark in found:
        names = [name for name in benchmark.aliases if name != benchmark.name]
        parts = ", ".join(f"{benchmark.name}/{part}" for part in benchmark.subsets)
        if names or parts:
            say(
                f"{benchmark.name}: "
                + "; ".join(
                    filter(None, (f"also {', '.join(names)}" if names else "", f"parts {parts}" if parts else ""))
                )
            )
    say("\nLicence, size, layouts, known flaws: vzgym bench show NAME")


@app.command()
def show(name: NameArgument) -> None:
    """Show a benchmark: license, how to get it, groups, conventions of published numbers, known flaws."""
    benchmark = get_benchmark(name)
    source = benchmark.source
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    rows: list[tuple[str, str]] = [
        (benchmark.name, f"{benchmark.title}. {benchmark.about}"),
        ("aliases", ", ".join(benchmark.aliases) or "none"),
        ("parts", ", ".join(f"{benchmark.name}/{part}" for part in benchmark.subsets) or "none"),
        ("hub", ", ".join(source.hub) or "not there"),
        ("license", source.licence),
        ("get it", f"{how_to_get(benchmark)} {source.how}".strip()),
        ("prompts", ", ".join(benchmark.prompts) or "-"),
        *(("layout", f"{layout.name}: {', '.join((*layout.annotations, *layout.videos))}")
          for layout in benchmark.layouts),
        *(("groups", f"{key}: {', '.join(f'{value} {n}' for value, n in values.items())}")
          for key, values in benchmark.totals.groups.items()),
        ("subtitles", benchmark.subtitle_rule or "none"),
        *(("published", text) for text in benchmark.conventions),
        *(("results", text) for text in benchmark.references),
        *(("flaws", text) for text in benchmark.flaws),
        *(("not verified", text) for text in benchmark.unverified),
    ]  # fmt: skip
    for key, text in rows:
        table.add_row(Text(key, style="bold" if key == benchmark.name else ""), Text(text))
    console.print(table)


def _facts(benchmark: Benchmark) -> dict[str, object]:
    source, totals = benchmark.source, benchmark.totals
    return {
        "name": benchmark.name,
        "title": benchmark.title,
        "aliases": {name: dict(options) for name, options in benchmark.aliases.items()},
        "subsets": list(benchmark.subsets),
        "rows": totals.rows,
        "videos": totals.videos,
        "groups": {key: dict(values) for key, values in totals.groups.items()},
        "answers": benchmark.answers,
        "evidence": benchmark.evidence,
        "subtitles": benchmark.has_subtitles,
        "prompts": list(benchmark.prompts),
        "hub": list(source.hub),
        "size": source.size,
        "access": source.access,
        "licence": source.licence,
    }


AnnotationsOption = Annotated[
    list[Path] | None, typer.Option(help="Annotation file, or a folder of them, in place of those in ROOT; repeatable.")
]
VideosOption = Annotated[Path | None, typer.Option(help="Folder of videos in place of that in ROOT.")]
SubtitleFilesOption = Annotated[Path | None, typer.Option(help="Folder of subtitles in place of that in ROOT.")]


@app.command("check")
def check_command(
    name: NameArgument,
    root: Annotated[Path | None, typer.Argument(help="Folder with the files; a Hugging Face cache, too.")] = None,
    annotations: AnnotationsOption = None,
    videos: VideosOption = None,
    subtitle_files: SubtitleFilesOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all missing files.")] = False,
) -> None:
    """Print which files and rows of a benchmark are found, missing or extra, by group. Opens no video.

    Exit status 1 if something is missing.
    """
    report = check_benchmark(
        get_benchmark(name), root, annotations=annotations or None, videos=videos, subtitle_files=subtitle_files
    )
    if as_json:
        print(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        _print_check(report)
    if not report.complete:
        raise typer.Exit(1)


def _print_check(report: BenchmarkCheck) -> None:
    place = report.place
    say(f"{report.benchmark}: {place.layout} layout")
    say(f"annotations: {', '.join(map(str, place.annotations))}")
    say(f"videos: {', '.join(map(str, place.videos))}")
    table = Table("group", "rows", "published", "with video", "missing", box=SIMPLE_HEAD)
    for group in report.groups:
        published = "-" if group.expected is None else str(group.expected)
        wrong = group.expected not in (None, group.rows)
        table.add_row(
            Text(f"{group.key}: {group.value}" if group.key else group.value),
            Text(str(group.rows), "red" if wrong else ""),
            published,
            str(group.playable),
            Text(str(group.rows - group.playable), "red" if group.playable < group.rows else ""),
        )
    console.print(table)
    published = f" (published: {report.expected_videos})" if report.expected_videos is not None else ""
    found = report.videos - len(report.missing)
    say(
        f"videos: {found} of {report.videos} found{published}, {len(report.missing)} missing, {len(report.extra)} extra"
    )
    for what, names in (
        ("missing", report.missing),
        ("empty", list(map(str, report.empty))),
        ("extra", list(map(str, report.extra))),
    ):
        if names:
            more = f" and {len(names) - _SHOWN} more (--json lists all)" if len(names) > _SHOWN else ""
            say(f"{what}: {', '.join(names[:_SHOWN])}{more}")
    if report.archives:
        say(f"archives that may hold them (nothing is unpacked): {', '.join(map(str, report.archives))}")
    if report.subtitles is not None:
        say(f"subtitles: {report.subtitles} files found")
    for name, count in report.flaws.items():
        say(f"flawed: {count} x {name}: {FLAWS.get(name, name)}")
    say(f"flawed rows: {report.flawed} of {report.groups[0].rows} (--skip-flawed leaves them out)")


@app.command("download")
def download_command(
    name: NameArgument,
    root: Annotated[Path, typer.Option(help="Folder for the files.")],
    file: Annotated[
        list[str] | None, typer.Option(help="Pattern of files to take, such as '*.parquet'; repeatable.")
    ] = None,
    repo: Annotated[str, typer.Option(help="Another dataset of the hub with the same files.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before the download.")] = False,
    workers: Annotated[int, typer.Option(help="Files downloaded at the same time.", min=1)] = 4,
) -> None:
    """Download a benchmark from the Hugging Face hub: says the size, asks, continues a stopped download.

    Archives are not unpacked.
    """
    from vzgym.tasks.benchmarks.download import download, plan_download

    benchmark = get_benchmark(name)
    plan = plan_download(benchmark, file or (), repo)
    say(f"{plan.repo}: {len(plan.files)} files, {plan.size / 1e9:.2f} GB; license: {benchmark.source.licence}", errors)
    there = next(path for path in (root, *root.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if plan.size > free:
        raise InvalidSetting(f"{root} has {free / 1e9:.2f} GB free, {plan.size / 1e9:.2f} GB are needed")
    if not yes and not typer.confirm("Download?", err=True):
        raise typer.Exit(1)
    download(plan, root, workers)
    say(f"Files in {root}. Next: unpack archives there, then vzgym bench check {benchmark.name} {root}")
