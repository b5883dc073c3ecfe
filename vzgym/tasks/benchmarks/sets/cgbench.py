"""CG-Bench (arXiv 2412.12075): multiple choice with clue intervals, and grounding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vzgym.tasks.benchmarks.columns import json_number, number_of, options_of, pairs_of, text_of
from vzgym.tasks.benchmarks.definition import Benchmark, Layout, Row, Source, Totals, statements
from vzgym.tasks.benchmarks.item import Item, letter_index
from vzgym.tasks.benchmarks.prompts import PromptStyle
from vzgym.tasks.benchmarks.registry import register_benchmark
from vzgym.tasks.io.rows import read_rows

__all__ = ["CGBENCH", "CGBENCH_FULL", "CGBENCH_MIOU"]


def _read(files: Sequence[Path]) -> Iterator[tuple[str, Row]]:
    """Rows; of VLMEvalKit's table, in which each question occurs once a task, the two halves put together."""
    for file in files:
        clues: dict[str, Row] = {}
        whole: list[tuple[str, Row]] = []
        for where, row in read_rows(file):
            if "task_mode" not in row:
                yield where, row
            elif row["task_mode"] == "clue_acc":
                clues[text_of(row["qid"])] = row
            elif row["task_mode"] == "long_acc":
                whole.append((where, row))
        for where, row in whole:
            other = clues.get(text_of(row["qid"]), {})
            yield where, {**row, "right_answer": row["answer"], "clue_intervals": other.get("clue_intervals", "")}


def _convert(row: Row) -> Item:
    options = options_of(row["choices"])
    duration = number_of(row["duration"])
    uid = text_of(row["video_uid"])
    item = Item(
        id=text_of(row["qid"]),
        video=f"{uid}.mp4",
        question=text_of(row["question"]),
        options=options,
        gold=letter_index(row["right_answer"], len(options)),
        category=text_of(row["sub_category"]),
        subtitles=f"{uid}.srt",
        metadata={
            "video_id": uid,
            "duration": json_number(duration),
            "domain": text_of(row["domain"]),
            "sub_category": text_of(row["sub_category"]),
        },
    )
    if item.gold is None:
        item.flaw("bad_gold")
    if row["clue_intervals"] in (None, ""):
        item.flaw("unparsable_evidence")
    else:
        item.set_evidence(pairs_of(row["clue_intervals"]), duration)
    return item


def _convert_grounding(row: Row) -> Item:
    item = _convert(row)
    options = "\n".join(f"{chr(ord('A') + place)}. {text}" for place, text in enumerate(item.options))
    item.metadata["query"] = f"{item.question}\n{options}"
    item.question = (
        f"{item.question}\n{options}\nDo not answer the question. In which intervals of the video are the clues "
        "for its "
        "answer? Give one to five intervals, each as [start, end] in seconds."
    )
    item.options, item.gold = (), None
    return item


_JSON = 'Reply with a JSON object in a fenced block, ```json\n{"result": %s}\n```, and always give an answer.'
_PROMPTS = {
    "official": PromptStyle(
        system="You answer a multiple-choice question about a video. " + _JSON % '"A"',
        text="{subtitles}The times of the frames, in seconds: {frame_times}\nQuestion: {question}\n{options}",
        option="{letter}:{text}",
        subtitles="Subtitles:\n{cues}\n",
    ),
    "lmms-eval": PromptStyle(
        text="{subtitles}{question}\n{options}\nAnswer with the option's letter from the given choices directly.",
        subtitles="Subtitles:\n{cues}\n",
    ),
    "vlmevalkit": PromptStyle(
        system="You answer a multiple-choice question about a video. " + _JSON % '"A"',
        text="{subtitles}The times of the frames, in seconds: {frame_times}\nQuestion: {question}\n{options}",
        option="{letter}:{text}",
        subtitles="Subtitles:\n{cues}\n",
    ),
}
_GROUNDING_PROMPTS = {
    "official": PromptStyle(
        system="You find the intervals of a video that hold the clues for a question. Give one to five intervals in "
        "seconds. " + _JSON % "[[start1, end1], [start2, end2]]",
        text="{subtitles}The times of the frames, in seconds: {frame_times}\nQuestion: {query}",
        subtitles="Subtitles:\n{cues}\n",
    )
}
_SOURCE = Source(
    hub=("CG-Bench/CG-Bench",),
    size="411 GB",
    licence="not stated; the hub asks for an agreement",
    access="form",
    how="The archives video_chunk_*.zip, clue_video_chunk_*.zip and subtitles.zip: try each chunk alone, else "
    "join them.",
)
_SUBTITLE_RULE = (
    "Official: lines at the sampled frames, optionally with times. lmms-eval: at 32 uniform frames. Not all "
    "videos have "
    "subtitles."
)
_CONVENTIONS = statements(
    """
- `long_acc`: the whole video. `clue_acc`: frames of the merged clues only, at most 32. `mIoU`: one to five intervals,
  in seconds, or as shares of the video if all values are at most 1 and no frame times are given.
- CRR = min(long, clue) / clue. `rec@IoU`: mean over t = 0.1 to 0.5 of the share with an IoU of t. `acc@IoU`: the same
  with a right answer to the whole video, too (official: at least t; VLMEvalKit: more than t).
- IoU is over unions of merged intervals on both sides. Failed parses are dropped from the mean upstream: count them
  as 0.
- Without JSON, any stand-alone capital A to H in the reply counts ("A or C" is right for C); `{"result": "C."}` is
  wrong; `10-20` reads as 10 and -20.
- Frames: 32 usually, 128 or 50 for large models.
"""
)
_FLAWS = statements(
    """
- Mini: 5 rows have repeated options, in one (qid 4424) the right one. Clue intervals are not in order in 3 rows and
  overlap in 8: they are sorted and merged here.
- Domains are spelt `Electonic/Social Gaming` and `Humor/funny`.
"""
)


def _layouts(*names: str) -> tuple[Layout, ...]:
    files = tuple(f"{{snapshot}}/{name}" for name in names)
    cached = tuple(f"{{cache}}/{name}" for name in names)
    return (
        Layout("lmms-eval", cached, ("{root}/cg_videos_720p",), ("{root}/cg_videos_720p", "{root}/cg_subtitles")),
        Layout("VLMEvalKit", cached, ("{cache}/cg_videos_720p",), ("{cache}/cg_subtitles",)),
        Layout("official", files, ("{snapshot}/cg_videos_720p",), ("{snapshot}/cg_subtitles",)),
    )


_MINI = ("cgbench_mini.json", "cg-bench-mini/*.parquet", "CGBench_MCQ_Grounding_Mini.tsv")

CGBENCH = register_benchmark(
    Benchmark(
        name="cgbench",
        title="CG-Bench mini",
        about="Multiple choice on videos of 9 to 105 minutes, with the intervals that hold the clues.",
        source=_SOURCE,
        totals=Totals(3000, 1118),
        layouts=_layouts(*_MINI),
        convert=_convert,
        read=_read,
        aliases={"cgbench_mini": {}, "CG-Bench-mini": {}, "cgbench_subtitles": {"subtitles": True}},
        options="5 to 8",
        chance=14.6,
        evidence="spans",
        groups=("domain", "sub_category"),
        metrics=("accuracy", "clue_accuracy", "crr", "acc_at_iou"),
        prompts=_PROMPTS,
        subtitle_rule=_SUBTITLE_RULE,
        conventions=_CONVENTIONS,
        flaws=_FLAWS,
        references=("SiLVR mIoU 11.84", "VideoMind-7B mIoU 7.10", "Claude mIoU 4.17"),
    )
)

CGBENCH_FULL = register_benchmark(
    Benchmark(
        name="cgbench_full",
        title="CG-Bench",
        about="The whole set of which CG-Bench mini is a part.",
        source=_SOURCE,
        totals=Totals(12_129, 1219),
        layouts=_layouts("cgbench.json", "CGBench_MCQ_Grounding.tsv"),
        convert=_convert,
        read=_read,
        aliases={"CG-Bench": {}},
        options="5 to 8",
        chance=14.6,
        evidence="spans",
        groups=("domain", "sub_category"),
        metrics=("accuracy", "clue_accuracy", "crr", "acc_at_iou"),
        prompts=_PROMPTS,
        subtitle_rule=_SUBTITLE_RULE,
        conventions=_CONVENTIONS,
        references=("VideoChat2-7B clue 35.5, long 19.1, mIoU 1.07, CRR 53.8",),
        unverified=("The results above are of third parties.",),
    )
)

CGBENCH_MIOU = register_benchmark(
    Benchmark(
        name="cgbench_miou",
        title="CG-Bench mini, grounding",
        about="The same questions, asked for the intervals of their clues.",
        source=_SOURCE,
        totals=Totals(3000, 1118),
        layouts=_layouts(*_MINI),
        convert=_convert_grounding,
        read=_read,
        aliases={"cgbench_grounding": {}},
        answers="spans",
        options="intervals",
        chance=None,
        evidence="spans",
        groups=("domain", "sub_category"),
        metrics=("miou", "rec_at_iou"),
        prompts=_GROUNDING_PROMPTS,
        subtitle_rule=_SUBTITLE_RULE,
        conventions=_CONVENTIONS,
        flaws=_FLAWS,
    )
)
