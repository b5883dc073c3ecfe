"""LVBench (arXiv 2406.08035)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vzgym.core.errors import TaskError
from vzgym.tasks.benchmarks.columns import json_number, literal, options_of, parse_clock, split_stem, text_of
from vzgym.tasks.benchmarks.definition import Benchmark, Layout, Row, Source, Totals, statements
from vzgym.tasks.benchmarks.item import Item, letter_index
from vzgym.tasks.benchmarks.prompts import PromptStyle
from vzgym.tasks.benchmarks.registry import register_benchmark
from vzgym.tasks.io.rows import read_rows

__all__ = ["LVBENCH"]


def _read(files: Sequence[Path]) -> Iterator[tuple[str, Row]]:
    """Rows of questions: as they are in parquet files, several to a line in the original."""
    for file in files:
        for where, row in read_rows(file):
            if "qa" not in row:
                yield where, row
                continue
            shared = {key: value for key, value in row.items() if key != "qa"}
            questions = row["qa"]
            if not isinstance(questions, list):
                raise TaskError(f"{where}: 'qa' must be a list, got {type(questions).__name__}")
            for number, question in enumerate(questions, start=1):
                yield f"{where}, question {number}", {**shared, **question}


def _convert(row: Row) -> Item:
    question, options = split_stem(text_of(row["question"]))
    if not options:
        options = options_of(row.get("options"))
    kinds = literal(row["question_type"])
    kinds = [text_of(kind) for kind in kinds] if isinstance(kinds, list) else [text_of(kinds)]
    info: Any = row.get("video_info") or {}
    minutes = json_number(info.get("duration_minutes"))
    item = Item(
        id=text_of(row["uid"]),
        video=text_of(row.get("video_path")) or f"{text_of(row['key'])}.mp4",
        question=question,
        options=options,
        gold=letter_index(row["answer"], len(options)),
        category=kinds[0] if kinds else "",
        metadata={
            "video_id": text_of(row["key"]),
            "type": text_of(row["type"]),
            "question_type": kinds,
            **({"duration": round(60 * minutes, 3)} if minutes is not None else {}),
            "time_reference": text_of(row["time_reference"]),
        },
    )
    if not options:
        item.flaw("no_options")
        item.answer = text_of(row["answer"])
    elif item.gold is None:
        item.flaw("bad_gold")
    start, _, end = text_of(row["time_reference"]).partition("-")
    times = parse_clock(start), parse_clock(end)
    if times[0] is None or times[1] is None:
        item.flaw("unparsable_evidence")
    else:
        item.set_evidence([(times[0], times[1])])
    return item


LVBENCH = register_benchmark(
    Benchmark(
        name="lvbench",
        title="LVBench",
        about="Questions about films, sport, live streams and other videos of 30 to 140 minutes, with a time "
        "reference.",
        source=Source(
            hub=("zai-org/LVBench", "THUDM/LVBench", "lmms-eval/LVBench", "lmms-lab/LVBench", "AIWinter/LVBench"),
            size="58 GB",
            licence="CC-BY-NC-SA 4.0",
            files=("video_info.meta.jsonl", "data/*", "videos/*"),
            how="AIWinter/LVBench has the videos as parts to join (all_videos_split.zip.001 to .014).",
        ),
        totals=Totals(
            1549,
            103,
            {
                "question_type": {
                    "entity recognition": 677,
                    "event understanding": 647,
                    "key information retrieval": 291,
                    "temporal grounding": 220,
                    "reasoning": 201,
                    "summarization": 58,
                }
            },
        ),
        layouts=(
            Layout(
                "lmms-eval",
                ("{cache}/data/*.parquet", "{cache}/video_info.meta.jsonl"),
                ("{root}/lvbench",),
            ),
            Layout(
                "official",
                (
                    "{snapshot}/video_info.meta.jsonl",
                    "{snapshot}/data/video_info.meta.jsonl",
                    "{snapshot}/data/*.parquet",
                ),
                ("{snapshot}/videos", "{snapshot}/all_videos", "{snapshot}/video_chunks"),
            ),
        ),
        convert=_convert,
        read=_read,
        aliases={"LVBench": {}},
        evidence="spans",
        groups=("question_type", "type"),
        averages={"official": "micro", "lmms-eval": "micro"},
        prompts={
            "lmms-eval": PromptStyle(
                text="{question}\n{options}\nAnswer with the option's letter from the given choices directly.",
                option="({letter}) {text}",
            ),
            "qwen": PromptStyle(
                text="Watch the video carefully and select the best option.\nQuestion: "
                "{question}\nOptions:\n{options}\n"
                "Answer with the option's letter from the given choices directly.",
                option="({letter}) {text}",
            ),
        },
        conventions=statements(
            """
- No prompt is prescribed.
- Score, official: the text before the first closing or after an opening parenthesis, the first word, the first
  character; exact letter. Questions without an entry in the answer file leave the denominator. A type's accuracy
  counts each question in all its types. lmms-eval: a plain mean, without groups.
- Qwen3-VL-8B's published 58 was measured again as 41 to 49.
"""
        ),
        flaws=statements(
            """
- 10 rows have repeated options; in 4 the right one is repeated (uid 1687, 5256, 5257, 801).
- Time references: 2 cannot be parsed (uid 5044, 3925), 13 are reversed (1903 and 3936 are mistyped rather than
  swapped), 250 have no length. Reversed ones give no evidence; those without length give that second.
- Some golds are reported wrong. 8 videos are gone from YouTube: use the hub's files.
- A uid is text in 1,545 rows and a number in 4.
"""
        ),
        references=("Qwen2.5-VL-7B 45.3", "VideoZoomer-7B 41.5"),
    )
)
