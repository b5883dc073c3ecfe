"""LongVideoBench (arXiv 2407.15754): validation and test."""

from __future__ import annotations

from typing import Any, Final

from vzgym.tasks.benchmarks.columns import around, json_number, literal, merged, number_of, options_of, text_of
from vzgym.tasks.benchmarks.definition import Benchmark, Layout, Row, Source, Totals, statements
from vzgym.tasks.benchmarks.item import Item
from vzgym.tasks.benchmarks.prompts import PromptStyle
from vzgym.tasks.benchmarks.registry import register_benchmark

__all__ = ["LONGVIDEOBENCH_TEST", "LONGVIDEOBENCH_VAL", "POSITION_FPS"]

POSITION_FPS: Final = 24.0
"""Frames per second in which `position` counts. Inferred: in every file, no position exceeds 24.08 x the duration."""


def _convert(row: Row) -> Item:
    if "candidates" in row:
        options = options_of(row["candidates"])
    else:
        # The parquet files pad to five options.
        cells = [text_of(row[f"option{place}"]) for place in range(5)]
        options = tuple(cell for cell in cells if cell != "N/A")
    choice = row.get("correct_choice")
    duration = number_of(row["duration"])
    item = Item(
        id=text_of(row["id"]),
        # `video_id` lacks a part of some names.
        video=text_of(row["video_path"]),
        question=text_of(row["question"]),
        options=options,
        category=text_of(row["question_category"]),
        subtitles=text_of(row.get("subtitle_path")),
        subtitles_start=number_of(row.get("starting_timestamp_for_subtitles") or 0),
        metadata={
            "video_id": text_of(row["video_id"]),
            "duration": duration,
            "duration_group": json_number(row["duration_group"]),
            "question_category": text_of(row["question_category"]),
            "topic_category": text_of(row["topic_category"]),
            **({"level": text_of(row["level"])} if row.get("level") else {}),
        },
    )
    if choice not in (None, ""):
        item.gold = int(number_of(choice))
        if not 0 <= item.gold < len(options):
            item.gold = None
            item.flaw("bad_gold")
    _add_instants(item, row.get("position"), duration)
    return item


def _add_instants(item: Item, position: Any, duration: float) -> None:
    """Evidence: a second around each position that lies in the video."""
    found = literal(position)
    if not isinstance(found, list) or not found:
        return
    moments = []
    for frame in found:
        seconds = number_of(frame) / POSITION_FPS
        if 0 <= seconds <= duration * 1.01 + 0.5:
            moments.append(min(seconds, duration))
        else:
            item.flaw("corrupt_position")
    item.evidence = merged([around(moment, duration) for moment in moments]) if moments else None


_QUESTION = "{question}\n{options}\nAnswer with the option's letter from the given choices directly."
_PROMPTS = {
    "official": PromptStyle(
        text="{subtitles}Question: " + _QUESTION,
        subtitles="Subtitles at these frames:\n{cues}\n",
        note="The source interleaves frames and lines; here the lines follow the frames.",
    ),
    "lmms-eval": PromptStyle(text=_QUESTION, note="`_v`: no subtitles."),
    "vlmevalkit": PromptStyle(
        text="{subtitles}Question: " + _QUESTION, subtitles="Subtitles at these frames:\n{cues}\n"
    ),
}
_CONVENTIONS = statements(
    """
- Score: the first capital letter after removal of lead phrases, among A to E. lmms-eval gives a random valid letter
  where nothing is parsed, VLMEvalKit does not. The average is micro; the `num` that lmms-eval prints is doubled,
  since each row is in two groups.
- Frames, official: n = min(most, int(duration)), at i * int(valid_frames / n).
- VLMEvalKit's flag for subtitles was inverted before 2026-06-28: older numbers "without" had subtitles, and the
  reverse.
- lmms-eval's `_v` tasks ask without subtitles, its `_i` tasks interleave 16 frames with subtitles.
"""
)
_SUBTITLE_RULE = (
    "Official: a line stands before the first frame later than its middle, and is kept only if a sampled frame lies "
    "inside it (lines under a second are widened to one). Times are shifted by `starting_timestamp_for_subtitles`."
)
_SOURCE = Source(
    hub=("longvideobench/LongVideoBench",),
    size="162 GB",
    licence="CC-BY-NC-SA 4.0",
    access="form",
    how="Join the parts (`cat videos.tar.part.* | tar x`) and unpack subtitles.tar.",
)


def _layouts(split: str, json: str, parquet: str) -> tuple[Layout, ...]:
    return (
        Layout(
            "lmms-eval",
            (f"{{root}}/datasets/longvideobench/{json}", f"{{cache}}/{json}", f"{{cache}}/{parquet}"),
            ("{root}/datasets/longvideobench/videos",),
            ("{root}/datasets/longvideobench/subtitles",),
        ),
        Layout(
            "VLMEvalKit",
            (f"{{cache}}/{json}", "{cache}/LongVideoBench.tsv") if split == "val" else (f"{{cache}}/{json}",),
            ("{cache}/videos",),
            ("{cache}/subtitles",),
        ),
        Layout(
            "official",
            (f"{{root}}/{json}", f"{{root}}/LongVideoBench/{json}", f"{{root}}/{parquet}"),
            ("{root}/videos", "{root}/LongVideoBench/videos"),
            ("{root}/subtitles", "{root}/LongVideoBench/subtitles"),
        ),
    )


_SUBSETS = {name: ("duration_group", name) for name in ("15", "60", "600", "3600")}
_UNVERIFIED = ("That `position` counts frames at 24 per second is inferred from the data; the authors do not say so.",)

LONGVIDEOBENCH_VAL = register_benchmark(
    Benchmark(
        name="longvideobench_val_v",
        title="LongVideoBench, validation",
        about="Questions that refer to a moment of a video of 8 seconds to an hour, with subtitles.",
        source=_SOURCE,
        totals=Totals(
            1337,
            753,
            {
                "duration_group": {"15": 189, "60": 172, "600": 412, "3600": 564},
                "level": {"L1-Perception": 625, "L2-Relation": 712},
                "question_category": {
                    "SSS": 97,
                    "E3E": 94,
                    "S2E": 93,
                    "S2A": 88,
                    "O2E": 87,
                    "TAA": 82,
                    "SOS": 81,
                    "T2A": 79,
                    "T2O": 76,
                    "T3O": 74,
                    "TOS": 73,
                    "T3E": 73,
                    "SAA": 72,
                    "S2O": 72,
                    "O3O": 66,
                    "E2O": 65,
                    "T2E": 65,
                },
            },
        ),
        layouts=_layouts("val", "lvb_val.json", "validation-*.parquet"),
        convert=_convert,
        aliases={
            "longvideobench": {},
            "LongVideoBench": {},
            "longvideobench_val": {},
            "longvideobench_val_i": {"subtitles": True},
        },
        subsets=_SUBSETS,
        options="3 to 5",
        chance=21.4,
        evidence="instants",
        groups=("duration_group", "level", "question_category", "topic_category"),
        averages={"official": "micro", "lmms-eval": "micro", "vlmevalkit": "micro"},
        prompts=_PROMPTS,
        subtitle_rule=_SUBTITLE_RULE,
        conventions=_CONVENTIONS,
        flaws=statements(
            """
- 8 rows have repeated options; one row has 3 options.
- Row `Z-1lgAXOEc8_0` has the position 61388250, which is left out. In 59 rows positions are not in order.
- The evidence is a second around each position: an instant of known place and unknown length.
- The parquet files lack position and level: use the JSON file.
"""
        ),
        references=("Qwen2.5-VL-7B 56.0 (report), 54.7 (card)", "VideoZoomer-7B 57.7", "GPT-4o 66.7"),
        unverified=_UNVERIFIED,
    )
)

LONGVIDEOBENCH_TEST = register_benchmark(
    Benchmark(
        name="longvideobench_test_v",
        title="LongVideoBench, test",
        about="The test split, whose answers are not public: results are submitted.",
        source=_SOURCE,
        totals=Totals(5341),
        layouts=_layouts("test", "lvb_test_wo_gt.json", "test-*.parquet"),
        convert=_convert,
        aliases={"longvideobench_test": {}, "longvideobench_test_i": {"subtitles": True}},
        subsets=_SUBSETS,
        options="3 to 5",
        chance=21.4,
        evidence="instants",
        groups=("duration_group", "level", "question_category", "topic_category"),
        prompts=_PROMPTS,
        subtitle_rule=_SUBTITLE_RULE,
        conventions=_CONVENTIONS,
        flaws=("In 7 rows option0 and option1 are the same; ids may begin with `@`.",),
        unverified=_UNVERIFIED,
    )
)
