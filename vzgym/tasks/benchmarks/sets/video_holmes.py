"""Video-Holmes (arXiv 2505.21374): deduction in short suspense films."""

from __future__ import annotations

from collections.abc import Mapping

from vzgym.core.errors import TaskError
from vzgym.tasks.benchmarks.columns import literal, text_of
from vzgym.tasks.benchmarks.definition import Benchmark, Layout, Row, Source, Totals, statements
from vzgym.tasks.benchmarks.item import Item, letter_index
from vzgym.tasks.benchmarks.prompts import PromptStyle
from vzgym.tasks.benchmarks.registry import register_benchmark

__all__ = ["VIDEO_HOLMES"]


def _convert(row: Row) -> Item:
    choices = literal(row["Options"])
    if not isinstance(choices, Mapping):
        raise TaskError(f"'Options' must be an object of letters, got {row['Options']!r:.100}")
    # A parquet copy has all letters in every row, empty ones included.
    letters = sorted(letter for letter, text in choices.items() if text is not None)
    kind = text_of(row["Question Type"])
    item = Item(
        id=f"{text_of(row['video ID'])}-{text_of(row['Question ID'])}",
        video=f"{text_of(row['video ID'])}.mp4",
        question=text_of(row["Question"]),
        options=tuple(text_of(choices[letter]) for letter in letters),
        gold=letter_index(row["Answer"], len(letters)),
        category=kind,
        metadata={"video_id": text_of(row["video ID"]), "question_type": kind},
    )
    if letters != [chr(ord("A") + place) for place in range(len(letters))]:
        item.flaw("odd_options")
        item.gold = letters.index(text_of(row["Answer"])) if text_of(row["Answer"]) in letters else None
    if item.gold is None:
        item.flaw("bad_gold")
    return item


_THINK = (
    "{question}\n{options}\nThink about the question first, between <think> and </think>. Then give the letter of the "
    "answer between <answer> and </answer>."
)

VIDEO_HOLMES = register_benchmark(
    Benchmark(
        name="video_holmes",
        title="Video-Holmes, test",
        about="Questions that need clues of several scenes of suspense films of one to five minutes.",
        source=Source(
            hub=("TencentARC/Video-Holmes",),
            size="?",
            licence="not stated",
            how="Unpack videos.zip: it gives videos_cropped/.",
        ),
        totals=Totals(1837, 270),
        layouts=(
            Layout("lmms-eval", ("{cache}/test_Video-Holmes.json", "{cache}/*.parquet"), ("{root}/video_holmes",)),
            Layout(
                "official",
                (
                    "{snapshot}/test_Video-Holmes.json",
                    "{root}/Benchmark/test_Video-Holmes.json",
                    "{snapshot}/data/test*.parquet",
                ),
                ("{snapshot}/videos_cropped", "{root}/Benchmark/videos_cropped", "{snapshot}/videos"),
            ),
        ),
        convert=_convert,
        aliases={"Video-Holmes": {}, "video_holmes_test": {}, "video_holmes_reasoning": {}},
        subsets={kind: ("question_type", kind) for kind in ("SR", "IMC", "TCI", "TA", "MHR", "PAR", "CTI")},
        options="6",
        chance=16.7,
        groups=("question_type",),
        prompts={"official": PromptStyle(text=_THINK), "lmms-eval": PromptStyle(text=_THINK)},
        conventions=statements(
            """
- The last text between answer tags counts; micro average, and accuracy of each type. lmms-eval guesses at random
  where nothing is parsed.
"""
        ),
        references=("Qwen2.5-VL-7B 27.8",),
        unverified=("The letters of the prompt.",),
    )
)
