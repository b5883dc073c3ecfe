"""EgoSchema (arXiv 2308.09126): the subset of 500 questions with public answers."""

from __future__ import annotations

from vzgym.tasks.benchmarks.columns import json_number, options_of, text_of
from vzgym.tasks.benchmarks.definition import Benchmark, Layout, Row, Source, Totals, statements
from vzgym.tasks.benchmarks.item import Item
from vzgym.tasks.benchmarks.prompts import PromptStyle
from vzgym.tasks.benchmarks.registry import register_benchmark

__all__ = ["EGOSCHEMA_SUBSET"]


def _convert(row: Row) -> Item:
    video = text_of(row["video_idx"])
    options = options_of(row["option"])
    gold = json_number(row.get("answer"))
    item = Item(
        id=text_of(row["question_idx"]),
        video=f"{video}.mp4",
        question=text_of(row["question"]),
        options=options,
        gold=int(gold) if gold is not None and 0 <= gold < len(options) else None,
        metadata={"video_id": video},
    )
    # The full set is published without answers.
    if item.gold is None and row.get("answer") not in (None, ""):
        item.flaw("bad_gold")
    return item


EGOSCHEMA_SUBSET = register_benchmark(
    Benchmark(
        name="egoschema_subset",
        title="EgoSchema, subset",
        about="Questions on first-person clips of three minutes.",
        source=Source(
            hub=("lmms-eval/egoschema", "lmms-lab/egoschema"),
            size="?",
            licence="Ego4D license",
            how="Unpack the archives: they give videos/.",
        ),
        totals=Totals(500, 500),
        layouts=(
            Layout("lmms-eval", ("{cache}/Subset/*.parquet",), ("{root}/egoschema/videos",)),
            Layout(
                "official", ("{snapshot}/Subset/*.parquet", "{root}/*.parquet", "{root}/*.json"), ("{snapshot}/videos",)
            ),
        ),
        convert=_convert,
        options="5",
        chance=20.0,
        prompts={
            "lmms-eval": PromptStyle(
                text="{question}\n{options}\nAnswer with the option's letter from the given choices directly."
            )
        },
        conventions=statements(
            """
- The full set of 5,031 questions has no public answers and is scored by a server; the subset is scored here.
- lmms-eval guesses at random where nothing is parsed.
"""
        ),
        flaws=("4 rows of the full set have repeated options. Golds are positions, as text.",),
        unverified=("That each of the 500 questions has a video of its own.",),
    )
)
