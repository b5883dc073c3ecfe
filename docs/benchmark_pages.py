"""Writes docs/reference/benchmarks.md and docs/reference/benchmarks/: a page for each benchmark, from its definition.

    python docs/benchmark_pages.py

A test checks that the pages are what this writes.
"""

from __future__ import annotations

from pathlib import Path

from vzgym.tasks.benchmarks import BENCHMARKS, FLAWS, Benchmark, get_benchmark

FOLDER = Path(__file__).parent / "reference"

INTRODUCTION = """\
# Benchmarks

Each set is loaded from the folder in which a toolkit or the authors' archives left it:

```console
$ vzgym bench check videomme ~/.cache/huggingface
$ vzgym eval --policy served:Qwen/Qwen2.5-VL-7B-Instruct@http://localhost:8000/v1 --tasks videomme \\
    --root ~/.cache/huggingface
```

[Load a benchmark](../how-to/benchmarks.md) explains layouts, flaws, subtitles and prompt styles. "?" stands for what is
not known, and statements under *Not verified* are not confirmed. `vzgym bench list --json` prints the same facts.

"""

ASKED = {
    "choice": "multiple choice",
    "open": "open questions",
    "mixed": "multiple choice and open questions",
    "spans": "the interval of an event",
}


def number(value: int) -> str:
    """A count, or "?" if it is not known."""
    return f"{value:,}" if value else "?"


def cell(text: str) -> str:
    """A text as a cell of a table."""
    return text.replace("|", r"\|")


def code(text: str) -> str:
    """A text as code."""
    return f"`{text}`"


def index_page() -> str:
    """The table of all benchmarks, and the meaning of flaws."""
    lines = [
        INTRODUCTION,
        "| name | set | questions | videos | asked | evidence | subtitles | size |",
        "|---|---|---:|---:|---|---|---|---|",
    ]
    for name in BENCHMARKS.names():
        benchmark = get_benchmark(name)
        lines.append(
            f"| [`{name}`](benchmarks/{name}.md) | {benchmark.title} | {number(benchmark.totals.rows)} | "
            f"{number(benchmark.totals.videos)} | {ASKED[benchmark.answers]} | {benchmark.evidence or '-'} | "
            f"{'yes' if benchmark.has_subtitles else '-'} | {benchmark.source.size} |"
        )
    lines += [
        "",
        "## Flaws of rows",
        "",
        'Rows with flaws are loaded, too; `metadata["flaws"]` names the flaws. `--skip-flawed` leaves such rows out.',
        "",
        "| flaw | meaning |",
        "|---|---|",
        *(f"| `{name}` | {cell(meaning)} |" for name, meaning in FLAWS.items()),
    ]
    return "\n".join(lines) + "\n"


def page(benchmark: Benchmark) -> str:
    """A benchmark's page."""
    source, totals = benchmark.source, benchmark.totals
    chance = f"; chance {benchmark.chance:g} %" if benchmark.chance is not None else ""
    options = f", {benchmark.options} options" if benchmark.answers in ("choice", "mixed") else ""
    lines = [
        f"# {benchmark.title}",
        "",
        benchmark.about,
        "",
        "| | |",
        "|---|---|",
        f"| name | `{benchmark.name}` |",
    ]
    for alias, given in benchmark.aliases.items():
        meaning = ", ".join(f"{key}={value}" for key, value in given.items())
        lines.append(f"| also | `{alias}`{f' ({meaning})' if meaning else ''} |")
    lines += [
        f"| parts | {', '.join(code(f'{benchmark.name}/{part}') for part in benchmark.subsets) or 'none'} |",
        f"| questions, videos | {number(totals.rows)}, {number(totals.videos)} |",
        f"| asked | {ASKED[benchmark.answers]}{options}{chance} |",
        f"| evidence | {benchmark.evidence or 'none'} |",
        f"| license | {cell(source.licence)} |",
        f"| on the hub | {', '.join(map(code, source.hub)) or 'no'} |",
        f"| access | {source.access}, {source.size} |",
        f"| scored by | {', '.join(map(code, benchmark.metrics))} |",
        f"| averages | {', '.join(f'{name}: {cell(rule)}' for name, rule in benchmark.averages.items())} |",
        *(
            [f'| scored together | rows with the same `metadata["{benchmark.group_by}"]` |']
            if benchmark.group_by
            else []
        ),
        *(["| last frame | always shown (`overview_last`) |"] if benchmark.last_frame else []),
        "",
        "## Files",
        "",
    ]
    if source.hub and source.access != "elsewhere":
        lines += ["```console", f"$ vzgym bench download {benchmark.name} --root data/{benchmark.name}", "```", ""]
    if source.how:
        lines += [source.how, ""]
    lines += [
        "`{root}` is the folder that you give, `{cache}` a Hugging Face snapshot at or below it, `{snapshot}` either.",
        "",
        "| layout | annotations (the first that is there) | videos | subtitles |",
        "|---|---|---|---|",
    ]
    for layout in benchmark.layouts:
        parts = (layout.annotations, layout.videos, layout.subtitles)
        cells = " | ".join("<br>".join(map(code, part)) or "-" for part in parts)
        lines.append(f"| {layout.name} | {cells} |")
    if totals.groups:
        lines += ["", "## Groups", "", "| metadata | values and numbers of questions |", "|---|---|"]
        for key, values in totals.groups.items():
            listed = ", ".join(f"{value} {count}" for value, count in values.items())
            lines.append(f"| `{key}` | {cell(listed)} |")
    others = [key for key in benchmark.groups if key not in totals.groups]
    if others:
        lines += [
            "",
            f"Results can also be broken down by {', '.join(f'`metadata.{key}`' for key in others)} (`--by`).",
        ]
    lines += ["", "## Prompt styles", "", "They have the form of the sources' prompts, not their very words.", ""]
    for name, style in benchmark.prompts.items():
        lines += [
            f"`{name}`{f': {style.note}' if style.note else ''}",
            "",
            *block(style.system, style.text, style.open_text),
        ]
        if style.subtitled_text:
            lines += [f"`{name}`, with subtitles:", "", *block(style.system, style.subtitled_text, "")]
        for value, variant in style.variants.items():
            lines += [f"`{name}`, {style.key} {value}:", "", *block(variant.system, variant.text, variant.open_text)]
    if benchmark.subtitle_rule:
        lines += ["## Subtitles", "", benchmark.subtitle_rule, ""]
    for title, items in (
        ("Conventions of published numbers", benchmark.conventions),
        ("Published results", benchmark.references),
        ("Known flaws", benchmark.flaws),
        ("Not verified", benchmark.unverified),
    ):
        if items:
            lines += [f"## {title}", "", *(f"- {item}" for item in items), ""]
    return "\n".join(lines).rstrip() + "\n"


def block(system: str, text: str, open_text: str) -> list[str]:
    """A prompt as a block of text."""
    lines = ["```text"]
    if system:
        lines += ["[system]", *system.splitlines(), "[user]"]
    lines += text.splitlines()
    if open_text:
        lines += ["[without options]", *open_text.splitlines()]
    return [*lines, "```", ""]


def pages() -> dict[str, str]:
    """The text of each page, by its path below `docs/reference`."""
    found = {"benchmarks.md": index_page()}
    for name in BENCHMARKS.names():
        found[f"benchmarks/{name}.md"] = page(get_benchmark(name))
    return found


def main() -> None:
    """Write all pages."""
    (FOLDER / "benchmarks").mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
