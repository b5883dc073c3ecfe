"""Video-MME-v2 (2026-04): groups of four questions that are scored together."""

from __future__ import annotations

from vzgym.tasks.benchmarks.columns import options_of, split_stem, text_of
from vzgym.tasks.benchmarks.definition import Benchmark, Layout, Row, Source, Totals, statements
from vzgym.tasks.benchmarks.item import Item, letter_index
from vzgym.tasks.benchmarks.prompts import PromptStyle
from vzgym.tasks.benchmarks.registry import register_benchmark

__all__ = ["VIDEOMME_V2"]


def _convert(row: Row) -> Item:
    video = text_of(row["video_id"])
    given = row["options"]
    listed = isinstance(given, list) or (isinstance(given, str) and given.lstrip().startswith("["))
    options = options_of(given) if listed else split_stem(f"?\n{text_of(given)}")[1]
    item = Item(
        id=text_of(row["question_id"]),
        video=f"{video}.mp4",
        question=text_of(row["question"]),
        options=options,
        gold=letter_index(row["answer"], len(options)),
        category=text_of(row.get("second_head")),
        subtitles=f"{video}.jsonl",
        metadata={
            "video_id": video,
            "group": video,
            "group_type": text_of(row["group_type"]),
            "group_structure": text_of(row["group_structure"]),
            "level": text_of(row.get("level")),
            "second_head": text_of(row.get("second_head")),
            "third_head": text_of(row.get("third_head")),
        },
    )
    if not options:
        item.flaw("no_options")
        item.answer = text_of(row["answer"])
    elif item.gold is None:
        item.flaw("bad_gold")
    return item


_SELECT = "Choose the best answer to this multiple-choice question, based on the video"

VIDEOMME_V2 = register_benchmark(
    Benchmark(
        name="videomme_v2",
        title="Video-MME-v2",
        about="Four questions a video, scored as a group: of the same ability, or a chain of reasoning.",
        source=Source(
            hub=("MME-Benchmarks/Video-MME-v2",),
            size="?",
            licence="not stated",
            how="Unpack the 40 zips of videos/ and subtitle.zip.",
        ),
        totals=Totals(3200, 800),
        layouts=(
            Layout("lmms-eval", ("{cache}/test.parquet",), ("{root}/videomme_v2",), ("{root}/videomme_v2/subtitle",)),
            Layout(
                "VLMEvalKit",
                ("{cache}/test.parquet", "{cache}/Video-MME-v2.tsv"),
                ("{cache}/video",),
                ("{cache}/subtitle",),
            ),
            Layout(
                "official",
                ("{snapshot}/test.parquet", "{snapshot}/*.parquet"),
                ("{snapshot}/videos",),
                ("{snapshot}/subtitle",),
            ),
        ),
        convert=_convert,
        aliases={
            "Video-MME-v2": {},
            "videomme_v2_w_subtitle": {"subtitles": True},
            "videomme_v2_reasoning": {},
        },
        subsets={name: ("group_type", name) for name in ("relevance", "logic")},
        options="8",
        chance=12.5,
        groups=("group_type", "level", "second_head", "third_head"),
        averages={"official": "mean of groups"},
        group_by="group",
        metrics=("group_score", "accuracy"),
        prompts={
            "official": PromptStyle(
                text="{subtitles}" + _SELECT + ". Reply with only the letter of the correct option.\n{question}\n"
                "{options}\nThe best answer is:",
                subtitles="The video's subtitles:\n{cues}\n",
            ),
            "lmms-eval": PromptStyle(
                text="{subtitles}" + _SELECT + ". Reply with only the letter (A to H) of the correct option.\n"
                "{question}\n{options}\n\nAnswer with the option's letter from the given choices directly.",
                subtitles="The video's subtitles:\n{cues}\n",
            ),
        },
        subtitle_rule="Word-level lines, in JSON lines; lines at the shown frames here.",
        conventions=statements(
            """
- Groups of four by video. `relevance`: 0, 1, 2, 3, 4 right answers give 0, 6.25, 25, 56.25, 100.
- `logic`: the length of the right prefix. A chain gives the same points; `[1, [2, 3], 4]` gives 0, 8.33, 33.3, 58.3,
  100, where a right third answer mends a wrong second; `[[1, 2], 3, 4]` gives 0, 10, 20, 50, 100, where a right
  second answer mends a wrong first.
- A group takes the labels of its last question; the total is the mean of groups. Official scorers group rows by four
  in the order of the file.
"""
        ),
        references=("Gemini-3-Pro 49.4 (plain accuracy 66.1)", "human 90.7"),
        unverified=("The letters of the prompts: their form is that of Video-MME.",),
    )
)
