"""Video-MMLU (arXiv 2504.14693): quizzes and notes on lectures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vzgym.core.errors import TaskError
from vzgym.tasks.benchmarks.columns import literal, text_of
from vzgym.tasks.benchmarks.definition import Benchmark, Layout, Row, Source, Totals, statements
from vzgym.tasks.benchmarks.item import Item
from vzgym.tasks.benchmarks.prompts import PromptStyle
from vzgym.tasks.benchmarks.registry import register_benchmark
from vzgym.tasks.io.rows import read_rows

__all__ = ["VIDEOMMLU_CAP", "VIDEOMMLU_QA"]


def _read(files: Sequence[Path]) -> Iterator[tuple[str, Row]]:
    """Quiz rows: those of tables, and each question of a line of the original."""
    for file in files:
        for where, row in read_rows(file):
            if "reasoning_qa" not in row:
                yield where, row
                continue
            for number, pair in enumerate(_pairs(row["reasoning_qa"])):
                yield (
                    f"{where}, question {number + 1}",
                    {**pair, "video": row["video_id"], "discipline": row["discipline"], "number": number},
                )


def _pairs(value: Any) -> list[Mapping[str, Any]]:
    found = literal(value)
    if not isinstance(found, list) or not all(isinstance(pair, Mapping) for pair in found):
        raise TaskError(f"expected a list of questions and answers, got {value!r:.100}")
    return found


def _video(row: Row) -> str:
    name = text_of(row.get("video") or row.get("video_name") or row["video_id"])
    return name if name.lower().endswith((".mp4", ".mkv", ".webm")) else f"{name}.mp4"


def _convert_quiz(row: Row) -> Item:
    video = _video(row)
    stem = video.rpartition(".")[0]
    number = text_of(row.get("number", row.get("index")))
    return Item(
        id=f"{stem}-{number}" if number else f"{stem}-{text_of(row['question'])[:80]}",
        video=video,
        question=text_of(row["question"]),
        answer=text_of(row["answer"]),
        category=text_of(row.get("discipline")),
        metadata={"video_id": stem, "discipline": text_of(row.get("discipline"))},
    )


def _convert_notes(row: Row) -> Item:
    video = _video(row)
    stem = video.rpartition(".")[0]
    pairs = _pairs(row["captions_qa"] if "captions_qa" in row else row["question"])
    return Item(
        id=stem,
        video=video,
        question="Describe the video in detail: everything that is written, drawn and said in it.",
        category=text_of(row.get("discipline")),
        metadata={
            "video_id": stem,
            "discipline": text_of(row.get("discipline")),
            "captions_qa": [{key: text_of(pair[key]) for key in ("question", "answer")} for pair in pairs],
        },
    )


_SOURCE = Source(
    hub=("Enxin/Video-MMLU",),
    size="?",
    licence="not stated",
    how="Unpack the archives: the videos lie in youtube_videos/.",
)
_CONVENTIONS = statements(
    """
- A judge (Qwen2.5-72B-Instruct) gives `pred` (yes or no) and `score` (0 to 5). Overall is the mean of the accuracies
  of the three disciplines, then the mean of notes and quiz.
- The official script sends its rules and the question as two dialogues, so the judge never sees both; unparsable
  verdicts leave the denominator. VLMEvalKit averages micro, and its quiz reads a column that it never writes.
- VideoZoomer takes `score`, not `pred`, as accuracy: its 61.0 and 67.9 are most likely mean score x 20, and cannot be
  compared with the leaderboard's 37.47.
"""
)
_UNVERIFIED = (
    "VideoZoomer's use of the mean score x 20 is inferred.",
    "Numbers of questions are those of third parties.",
)


def _layouts(table: str) -> tuple[Layout, ...]:
    return (
        Layout("VLMEvalKit", (f"{{cache}}/{table}",), ("{cache}/youtube_videos",)),
        Layout(
            "official",
            ("{snapshot}/video_mmlu.jsonl", f"{{root}}/{table}", "{snapshot}/*.parquet", "{snapshot}/data/*.parquet"),
            ("{snapshot}/youtube_videos", "{snapshot}/videos"),
        ),
    )


_DISCIPLINES = {name.lower(): ("discipline", name) for name in ("Math", "Chemistry", "Physics")}

VIDEOMMLU_QA = register_benchmark(
    Benchmark(
        name="videommlu_qa",
        title="Video-MMLU, quiz",
        about="Open questions on lectures of mathematics, chemistry and physics, of 10 to 240 seconds.",
        source=_SOURCE,
        totals=Totals(15_848, 1058),
        layouts=_layouts("Video_MMLU_QA.tsv"),
        convert=_convert_quiz,
        read=_read,
        aliases={"video_mmlu": {}, "Video-MMLU": {}, "Video_MMLU_QA": {}},
        subsets=_DISCIPLINES,
        answers="open",
        options="open",
        chance=None,
        groups=("discipline",),
        averages={"official": "macro discipline", "vlmevalkit": "micro", "videozoomer": "micro"},
        metrics=("judged_yes", "judged_score"),
        prompts={
            "official": PromptStyle(text="{question}\nAnswer briefly and directly in one sentence."),
            "vlmevalkit": PromptStyle(text="{question}\nAnswer briefly and directly in one sentence."),
        },
        conventions=_CONVENTIONS,
        references=("Qwen2.5-VL-7B 32.93 (quiz)", "Claude-3.5-Sonnet 69.34", "blind Qwen2.5-72B 24.99"),
        unverified=_UNVERIFIED,
    )
)

VIDEOMMLU_CAP = register_benchmark(
    Benchmark(
        name="videommlu_cap",
        title="Video-MMLU, notes",
        about="A detailed caption, from which a language model must answer the questions of `metadata['captions_qa']`.",
        source=_SOURCE,
        totals=Totals(1065, 1065),
        layouts=_layouts("Video_MMLU_CAP.tsv"),
        convert=_convert_notes,
        aliases={"Video_MMLU_CAP": {}},
        subsets=_DISCIPLINES,
        answers="open",
        options="open",
        chance=None,
        groups=("discipline",),
        averages={"official": "macro discipline", "vlmevalkit": "micro"},
        metrics=("judged_yes", "judged_score"),
        prompts={"official": PromptStyle(text="{question}", note="The source draws one of two dozen caption prompts.")},
        conventions=_CONVENTIONS,
        unverified=_UNVERIFIED,
    )
)
