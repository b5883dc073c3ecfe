"""ExtremeWhenBench (2026): spans in videos of an hour and more, of other benchmarks."""

from __future__ import annotations

from vzgym.tasks.benchmarks.columns import json_number, pairs_of, text_of
from vzgym.tasks.benchmarks.definition import Benchmark, Layout, Row, Source, Totals, statements
from vzgym.tasks.benchmarks.grounding import SPAN_PROMPT
from vzgym.tasks.benchmarks.item import Item
from vzgym.tasks.benchmarks.registry import register_benchmark

__all__ = ["EXTREMEWHENBENCH"]


def _convert(row: Row) -> Item:
    question = text_of(row["question"]).strip()
    spans = pairs_of(row["correct_interval"])
    duration = json_number(row.get("video_duration_s"))
    video = text_of(row["video_id"])
    item = Item(
        id=text_of(row["qid"]),
        video=video,
        question=f'{question}\nAnswer with the start and the end in seconds: "start - end".',
        category=text_of(row.get("category")),
        metadata={
            "video_id": video,
            "source_corpus": text_of(row.get("source_corpus")),
            "category": text_of(row.get("category")),
            "query": question,
            "gold_spans": [list(span) for span in spans],
            **({} if duration is None else {"duration": duration}),
        },
    )
    item.set_evidence(spans, duration)
    return item


_NAMES = ("*.jsonl", "*.json", "*.parquet", "data/*.parquet", "data/*.jsonl")

EXTREMEWHENBENCH = register_benchmark(
    Benchmark(
        name="extremewhenbench",
        title="ExtremeWhenBench",
        about="When something happens, in videos of 76 minutes on average from LVBench, MLVU and Video-MME.",
        source=Source(
            hub=("min1321/extreme-when-bench",),
            size="?",
            licence="not stated; videos as in their sets",
            how="The videos are those of LVBench, MLVU and Video-MME: link or copy their folders into the root, "
            "or give "
            "--videos.",
        ),
        totals=Totals(2273, 194),
        layouts=(
            Layout(
                "official",
                tuple(f"{{snapshot}}/{name}" for name in _NAMES),
                ("{root}/videos", "{root}/lvbench", "{root}/mlvu", "{root}/videomme"),
            ),
        ),
        convert=_convert,
        aliases={"extreme-when-bench": {}, "ExtremeWhenBench": {}},
        answers="spans",
        options="an interval",
        chance=None,
        evidence="spans",
        groups=("source_corpus", "category"),
        metrics=("miou", "recall_at"),
        prompts={"official": SPAN_PROMPT},
        conventions=statements(
            """
- mIoU and R at thresholds, as fractions. The last pair of times in the reply counts.
"""
        ),
        references=("Qwen3.5-9B mIoU 0.047",),
        unverified=("The name and the format of the annotation file.", "The prompt.", "The names of the video files."),
    )
)
