"""TimeLens-Bench (2025): Charades, ActivityNet and QVHighlights with corrected labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vzgym.core.errors import TaskError
from vzgym.core.files import read_json
from vzgym.tasks.benchmarks.columns import json_number, pairs_of, text_of
from vzgym.tasks.benchmarks.definition import Benchmark, Layout, Row, Source, Totals, statements
from vzgym.tasks.benchmarks.grounding import SPAN_PROMPT, grounding_question
from vzgym.tasks.benchmarks.item import Item
from vzgym.tasks.benchmarks.registry import register_benchmark
from vzgym.tasks.io.rows import read_rows

__all__ = ["TIMELENS"]

_SETS = ("charades", "activitynet", "qvhighlights")


def _set_of(name: str) -> str:
    """The part that a file's or folder's name belongs to; "" if it names none."""
    return next((part for part in _SETS if part in name.lower()), "")


def _read(files: Sequence[Path]) -> Iterator[tuple[str, Row]]:
    """Queries of the original objects `{video: {duration, spans, queries}}`, or rows of the hub copy."""
    for file in files:
        if file.suffix.lower() != ".json":
            for where, row in read_rows(file):
                yield where, {**row, "_set": _set_of(text_of(row["video_path"])) or _set_of(file.name)}
            continue
        videos = read_json(file, TaskError)
        if not isinstance(videos, Mapping):
            raise TaskError(f"{file}: must hold an object of videos, got {type(videos).__name__}")
        for video, facts in videos.items():
            where = f"{file}, video {video!r}"
            spans, queries = facts.get("spans"), facts.get("queries")
            if not isinstance(spans, list) or not isinstance(queries, list) or len(spans) != len(queries):
                raise TaskError(f"{where}: needs as many spans as queries")
            for number, (span, query) in enumerate(zip(spans, queries, strict=True), start=1):
                part = _set_of(file.name)
                yield (
                    f"{where}, query {number}",
                    {
                        "video_path": f"{part}/{video}.mp4",
                        "query": query,
                        "span": span,
                        "duration": facts.get("duration"),
                        "_set": part,
                    },
                )


def _convert(row: Row) -> Item:
    path, query, part = text_of(row["video_path"]), text_of(row["query"]).strip(), text_of(row["_set"])
    stem = path.rpartition("/")[2].rpartition(".")[0]
    spans = pairs_of(row["span"])
    duration = json_number(row.get("duration"))
    facts: dict[str, Any] = {} if duration is None else {"duration": duration}
    item = Item(
        id=f"{part}/{stem}>>>{query}>>>{[list(span) for span in spans]}",
        video=path,
        question=grounding_question(query),
        category=part,
        metadata={
            "video_id": stem,
            "set": part,
            "query": query,
            "gold_spans": [list(span) for span in spans],
            **facts,
        },
    )
    item.set_evidence(spans, duration)
    return item


TIMELENS = register_benchmark(
    Benchmark(
        name="timelens",
        title="TimeLens-Bench",
        about="The interval of a described event: three grounding sets with corrected labels.",
        source=Source(
            hub=("TencentARC/TimeLens-Bench", "kcz358/timelens"),
            size="?",
            licence="not stated",
            how="Unpack video_shards/*.tar.gz: they give videos/<set>/.",
        ),
        totals=Totals(0),
        layouts=(
            Layout(
                "lmms-eval",
                ("{cache}/data/*.parquet", "{cache}/*.parquet"),
                ("{root}/timelens",),
            ),
            Layout(
                "official",
                ("{snapshot}/*-timelens.json", "{snapshot}/annotations/*-timelens.json"),
                ("{snapshot}/videos", "{root}/timelens/videos"),
            ),
        ),
        convert=_convert,
        read=_read,
        aliases={"TimeLens-Bench": {}, **{f"timelens_{part}": {"subset": part} for part in _SETS}},
        subsets={part: ("set", part) for part in _SETS},
        answers="spans",
        options="an interval",
        chance=None,
        evidence="spans",
        groups=("set",),
        identifying_folders=1,
        averages={"official": "macro set"},
        metrics=("miou", "recall_at"),
        prompts={"lmms-eval": SPAN_PROMPT},
        conventions=statements(
            """
- R at 0.3, 0.5 and 0.7, and mIoU. Its script rounds predictions to whole seconds.
- Results are given for each of the three sets.
"""
        ),
        references=("Qwen2.5-VL-7B mIoU 39.3 / 31.4 / 31.6", "TimeLens-7B 48.8 / 46.2 / 56.0"),
        unverified=("The numbers of queries.", "The prompt: it is that of Charades-STA in lmms-eval."),
    )
)
