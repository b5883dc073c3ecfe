"""VideoSIAH-Eval (LongVT, arXiv 2511.20785): open questions on long videos."""

from __future__ import annotations

from vzgym.tasks.benchmarks.columns import text_of
from vzgym.tasks.benchmarks.definition import Benchmark, Layout, Row, Source, Totals, statements
from vzgym.tasks.benchmarks.item import Item
from vzgym.tasks.benchmarks.prompts import PromptStyle
from vzgym.tasks.benchmarks.registry import register_benchmark

__all__ = ["VIDEOSIAH"]


def _convert(row: Row) -> Item:
    path, question = text_of(row["video_path"]), text_of(row["question"])
    stem = path.rpartition("/")[2].rpartition(".")[0] or path
    return Item(
        id=text_of(row.get("id")) or f"{stem}>>>{question}",
        video=path,
        question=question,
        answer=text_of(row["answer"]),
        category="open",
        metadata={"video_id": stem},
    )


VIDEOSIAH = register_benchmark(
    Benchmark(
        name="longvt",
        title="VideoSIAH-Eval",
        about="Open questions on videos of 28 minutes on average, judged by a language model.",
        source=Source(hub=("longvideotool/VideoSIAH-Eval",), size="?", licence="not stated"),
        totals=Totals(652, 244),
        layouts=(
            Layout("lmms-eval", ("{cache}/data/test*.parquet", "{cache}/test*.parquet"), ("{root}/longvt_benchmark",)),
            Layout(
                "official",
                ("{snapshot}/data/test*.parquet", "{snapshot}/test*.parquet", "{snapshot}/*.jsonl"),
                ("{snapshot}/videos", "{snapshot}"),
            ),
        ),
        convert=_convert,
        aliases={
            "videosiah": {},
            "videosiah_eval": {},
            "VideoSIAH-Eval": {},
            "longvt_non_think": {},
            "longvt_reasoning": {},
        },
        answers="open",
        options="open",
        chance=None,
        metrics=("judged_yes",),
        prompts={"lmms-eval": PromptStyle(text="{question}")},
        conventions=statements(
            """
- A language model judges 0 or 1. Where the judge cannot be reached, upstream scores 0 in silence.
"""
        ),
        flaws=("652 rows after removal of repetitions; the first paper counts 1,280. There are no spans.",),
        references=("LongVT-7B-RFT 42.0",),
    )
)
