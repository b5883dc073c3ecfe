"""NExT-GQA (arXiv 2309.01327): multiple choice with evidence spans, validation and test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vzgym.core.errors import TaskError
from vzgym.core.files import read_json
from vzgym.tasks.benchmarks.columns import gold_by_text, json_number, pairs_of, text_of
from vzgym.tasks.benchmarks.definition import Benchmark, Layout, Row, Source, Totals, statements
from vzgym.tasks.benchmarks.item import Item
from vzgym.tasks.benchmarks.prompts import PromptStyle
from vzgym.tasks.benchmarks.registry import register_benchmark
from vzgym.tasks.io.rows import read_rows

__all__ = ["NEXTGQA_TEST", "NEXTGQA_VAL"]

_KINDS = {
    "CW": "why", "CH": "how", "TN": "next", "TC": "current", "TP": "previous",
}  # fmt: skip


def _reader(split: str) -> Callable[[Sequence[Path]], Iterator[tuple[str, Row]]]:
    """Reads the table of questions, with the spans and the paths of videos from the files beside it."""

    def read(files: Sequence[Path]) -> Iterator[tuple[str, Row]]:
        spans = _beside(files, f"gsub_{split}.json")
        paths = _beside(files, "map_vid_vidorID.json")
        tables = [file for file in files if file.suffix.lower() in (".csv", ".parquet", ".jsonl")]
        named = [file for file in tables if split in file.stem]
        if not tables:
            raise TaskError(f"{files[0]}: no table of questions ({split}.csv)")
        for file in named or tables:
            for where, row in read_rows(file):
                video = text_of(row["video_id"])
                yield where, {**row, "_gsub": spans.get(video), "_path": paths.get(video, video)}

    return read


def _beside(files: Sequence[Path], name: str) -> Mapping[str, Any]:
    """A JSON object in one of the files' folders; empty if it is not there."""
    for path in dict.fromkeys([*files, *(file.parent / name for file in files)]):
        if path.name == name and path.is_file():
            found = read_json(path, TaskError)
            if not isinstance(found, Mapping):
                raise TaskError(f"{path}: must hold an object, got {type(found).__name__}")
            return found
    return {}


def _convert(row: Row) -> Item:
    video, number, kind = text_of(row["video_id"]), text_of(row["qid"]), text_of(row["type"])
    options = tuple(text_of(row[f"a{place}"]) for place in range(5))
    item = Item(
        id=f"{video}_{number}",
        video=f"{text_of(row['_path'])}.mp4",
        question=text_of(row["question"]),
        options=options,
        gold=gold_by_text(options, text_of(row["answer"])),
        category=_KINDS.get(kind, kind),
        metadata={"video_id": video, "qid": number, "type": kind},
    )
    if item.gold is None:
        item.flaw("bad_gold")
    grounding = row["_gsub"] or {}
    duration = json_number(grounding.get("duration"))
    if duration is not None:
        item.metadata["duration"] = duration
    spans = (grounding.get("location") or {}).get(number)
    if spans is None:
        item.flaw("unparsable_evidence")
    else:
        item.set_evidence(pairs_of(spans), None if duration is None else duration + 1.0)
    return item


_SOURCE = Source(
    hub=(),
    size="?",
    licence="annotations: MIT; videos: VidOR",
    access="elsewhere",
    how="Annotations: datasets/nextgqa of github.com/doc-doc/NExT-GQA. Videos: NExT-QA's (VidOR), also videos.zip of "
    "lmms-eval/NExTQA on the hub.",
)
_CONVENTIONS = statements(
    """
- One predicted span, best over the gold spans; IoU and IoP (intersection / predicted length); mIoU, mIoP, IoU and IoP
  at 0.3 and 0.5. Acc@GQA: the answer is right and IoP is at least 0.5.
- A prediction without length has IoP 1 if it is inside and IoU 0. Missing predictions leave the denominator upstream:
  count them.
- IoP rewards tiny windows: read IoU beside it.
"""
)


def _benchmark(
    split: str, totals: Totals, flaws: tuple[str, ...], aliases: Mapping[str, Mapping[str, Any]]
) -> Benchmark:
    folders = ("", "datasets/nextgqa/", "nextgqa/", "NExT-GQA/datasets/nextgqa/")
    return Benchmark(
        name=f"nextgqa_{split}",
        title=f"NExT-GQA, {'validation' if split == 'val' else split}",
        about="Causal and temporal questions on videos of 10 to 180 seconds, with the spans that hold the evidence.",
        source=_SOURCE,
        totals=totals,
        layouts=(
            Layout(
                "official",
                tuple(f"{{root}}/{folder}{split}.csv" for folder in folders),
                ("{root}/NExTVideo", "{root}/videos", "{root}/datasets/nextgqa/NExTVideo", "{root}/nextqa"),
            ),
        ),
        convert=_convert,
        read=_reader(split),
        aliases=aliases,
        options="5",
        chance=20.0,
        evidence="spans",
        groups=("type",),
        metrics=("accuracy", "acc_at_gqa", "miou", "miop", "iou_at", "iop_at"),
        prompts={
            "official": PromptStyle(
                text="{question}\n{options}\nAnswer with the option's letter from the given choices directly."
            )
        },
        conventions=_CONVENTIONS,
        flaws=flaws,
        references=("VideoMind-7B mIoU 31.4, mIoP 39.0, IoP@0.5 35.3, Acc@GQA 28.2",),
        unverified=("No prompt is prescribed; `official` is a plain one.", "The results above are of third parties."),
    )


NEXTGQA_TEST = register_benchmark(
    _benchmark(
        "test",
        Totals(5553, 999, {"type": {"CW": 2456, "CH": 796, "TN": 1356, "TC": 852, "TP": 93}}),
        (
            "Golds are texts only. 3 rows have repeated options; in one the right one (video 3842638015, qid 4).",
            "Descriptive questions were removed.",
        ),
        {"nextgqa": {}, "NExT-GQA": {}},
    )
)
NEXTGQA_VAL = register_benchmark(
    _benchmark(
        "val",
        Totals(3358, 570),
        ("One row has repeated options.", "Three spans end up to half a second after the rounded duration."),
        {},
    )
)
