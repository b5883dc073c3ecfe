"""VideoMMMU (arXiv 2501.13826): three tracks on the same 300 videos, and the questions without their videos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vzgym.core.errors import TaskError
from vzgym.tasks.benchmarks.columns import options_of, text_of
from vzgym.tasks.benchmarks.definition import Benchmark, Layout, Row, Source, Totals, statements
from vzgym.tasks.benchmarks.item import Item, letter_index
from vzgym.tasks.benchmarks.prompts import PromptStyle
from vzgym.tasks.benchmarks.registry import register_benchmark
from vzgym.tasks.io.rows import read_rows

__all__ = ["VIDEOMMMU", "VIDEOMMMU_QUESTION_ONLY"]

_TRACK = "_track"
_TRACKS = ("Perception", "Comprehension", "Adaptation")
_IMAGE = ("image",)

_DOMAINS = {
    "Art": "Art Art_Theory Design Music",
    "Science": "Biology Chemistry Geography Math Physics",
    "Humanities": "History Literature Sociology Psychology",
    "Engineering": (
        "Agriculture Architecture_and_Engineering Computer_Science Electronics Energy_and_Power Materials "
        "Mechanical_Engineering"
    ),
    "Medicine": ("Basic_Medical_Science Clinical_Medicine Diagnostics_and_Laboratory_Medicine Pharmacy Public_Health"),
    "Business": "Accounting Economics Finance Manage Marketing",
}
_DOMAIN_OF = {subject: domain for domain, subjects in _DOMAINS.items() for subject in subjects.split()}

# "Open" questions whose gold is an option's letter.
_LETTER_GOLDS = frozenset({"validation_Physics_21", "validation_Basic_Medical_Science_10"})


def _read(files: Sequence[Path]) -> Iterator[tuple[str, Row]]:
    """Rows with their track, which is the folder of their file."""
    for file in files:
        for where, row in read_rows(file, _IMAGE):
            track = text_of(row.get("category")) or next((name for name in _TRACKS if name in file.parts), "")
            if track not in _TRACKS:
                track = next((name for name in _TRACKS if file.name.startswith(name)), "")
            if not track:
                raise TaskError(f"{file}: the file must lie in a folder named {', '.join(_TRACKS[:2])} or {_TRACKS[2]}")
            yield where, {**row, _TRACK: track}


def _convert(row: Row) -> Item:
    name = text_of(row["id"])
    subject = "_".join(name.split("_")[1:-1])
    domain = _DOMAIN_OF.get(subject, "")
    track = text_of(row[_TRACK])
    kind = text_of(row["question_type"])
    options = options_of(row["options"])
    answer = text_of(row["answer"])
    item = Item(
        id=f"{track}/{name}",
        video=f"{domain}/{name}.mp4" if domain else f"{name}.mp4",
        question=text_of(row["question"]),
        options=options,
        category=track.lower(),
        metadata={
            "video_id": name,
            "track": track.lower(),
            "question_type": kind,
            "subject": subject,
            "domain": domain,
            **({"qa_type": text_of(row["qa_type"])} if row.get("qa_type") else {}),
        },
    )
    if kind == "open":
        item.options, item.answer = (), answer
        if name in _LETTER_GOLDS and track == "Adaptation":
            item.flaw("odd_type")
    elif options:
        item.gold = letter_index(answer, len(options))
        if item.gold is None:
            item.flaw("bad_gold")
        if kind not in ("multiple-choice", "perception", "comprehension"):
            item.flaw("odd_type")
    else:
        item.answer = answer
        item.flaw("no_options")
    if answer.startswith("[") and item.gold is None:
        item.flaw("bad_gold")
    return item


def _adaptation_rows(files: Sequence[Path]) -> Iterator[tuple[str, Row]]:
    return ((where, row) for where, row in _read(files) if row[_TRACK] == "Adaptation")


def _convert_question_only(row: Row) -> Item:
    item = _convert(row)
    item.video = f"question_only/{text_of(row['id'])}_image.mp4"
    item.id = f"question_only/{text_of(row['id'])}"
    item.category = item.metadata["track"] = "question_only"
    return item


_IGNORE = (
    "{question}\n{options}\n"
    "Ignore the quiz question in the video's last frame. Answer with the option's letter from the given choices."
)
_APPLY = (
    "Watch and learn from the video, and apply what it teaches to the following {kind} question. The image of the "
    "question is at the end of the video.\n{question}"
)


def _style(suffix: str) -> PromptStyle:
    adapt = PromptStyle(
        text=_APPLY.replace("{kind}", "multi-choice") + "\n{options}" + suffix,
        open_text=_APPLY.replace("{kind}", "open-ended") + suffix,
    )
    alone = PromptStyle(text="{question}\n{options}" + suffix, open_text="{question}" + suffix)
    return PromptStyle(text=_IGNORE + suffix, key="track", variants={"adaptation": adapt, "question_only": alone})


_PROMPTS = {
    "official": _style(""),
    "lmms-eval": _style(""),
    "vlmevalkit": _style("\nThe last line of your reply begins with `Answer:` and gives the answer."),
}
_SOURCE = Source(
    hub=("lmms-eval/VideoMMMU", "lmms-lab/VideoMMMU"),
    size="?",
    licence="not stated; the hub asks for an agreement",
    access="form",
    how="Unpack the six zips of domains, and the question-only clips, into one folder.",
)
_ANNOTATIONS = ("{snapshot}/*/test-*.parquet", "{snapshot}/VideoMMMU.tsv")
_CONVENTIONS = statements(
    """
- Score of published numbers: letters as `X.` or `X:`, else `(X)`, else `X` and a blank, else options whose text
  occurs; the last one wins. lmms-eval uses its shared extractor since 2026-04.
- Open questions: numbers are read from the reply, rounded to two decimals; right if the gold number is among them or
  the gold text is a part of the reply. Empty replies leave the denominator upstream: count them as wrong.
- Each track by its mean; overall is the mean of the three (300 rows each, so micro equals macro).
- Delta-knowledge = (accuracy after the video - accuracy of the question-only run) / (100 - accuracy of the
  question-only run) x 100, Adaptation only, on the same ids (`metadata["video_id"]`).
- The last frame of every video is the image of the Adaptation question. It is always among the overview's frames
  here. The other two tracks ask to ignore it.
"""
)

VIDEOMMMU = register_benchmark(
    Benchmark(
        name="video_mmmu",
        title="VideoMMMU",
        about="Lectures, each with a question of perception, one of comprehension, and one that applies what "
        "was taught.",
        source=_SOURCE,
        totals=Totals(
            900,
            300,
            {"track": {"perception": 300, "comprehension": 300, "adaptation": 300}},
        ),
        layouts=(
            Layout("lmms-eval", _ANNOTATIONS, ("{root}/video_mmmu",)),
            Layout("VLMEvalKit", _ANNOTATIONS, ("{snapshot}/videos",)),
            Layout("official", _ANNOTATIONS, ("{snapshot}",)),
        ),
        convert=_convert,
        read=_read,
        aliases={
            "VideoMMMU": {},
            "videommmu": {},
            **{f"video_mmmu_{track.lower()}": {"subset": track.lower()} for track in _TRACKS},
        },
        subsets={track.lower(): ("track", track.lower()) for track in _TRACKS},
        answers="mixed",
        options="2 to 14, mostly 10",
        chance=11.5,
        groups=("track", "domain", "subject", "question_type"),
        averages={"official": "macro track", "lmms-eval": "macro track"},
        group_by="video_id",
        metrics=("accuracy", "delta_knowledge"),
        prompts=_PROMPTS,
        last_frame=True,
        ignored_columns=_IMAGE,
        conventions=_CONVENTIONS,
        flaws=statements(
            """
- 25 rows have repeated options; in 5 the right one is repeated.
- In 6 Adaptation rows an option's text is a letter: gold "C" with the options C, B, D, E, A means the third, "D".
- `validation_Accounting_13` has 10 options, the gold "C" and no type (upstream treats it as open);
  `validation_Physics_21` and `validation_Basic_Medical_Science_10` are open with a letter as gold; the gold of
  `validation_Math_15` is a broken list.
- Adaptation: 279 multiple choice, 20 open, 1 without a type.
"""
        ),
        references=(
            "Qwen2.5-VL-7B 47.44: 58.33 / 44.33 / 39.67, delta +2.2",
            "Qwen2.5-VL-72B 60.22",
            "Gemini-2.5-Pro 83.6",
        ),
        unverified=("Whether golds of the quirky rows above are counted in published numbers.",),
    )
)

VIDEOMMMU_QUESTION_ONLY = register_benchmark(
    Benchmark(
        name="video_mmmu_adaptation_question_only",
        title="VideoMMMU, Adaptation questions without the lecture",
        about="The baseline of delta-knowledge: clips of two seconds that show the question's image.",
        source=_SOURCE,
        totals=Totals(300, 300),
        layouts=(
            Layout("lmms-eval", _ANNOTATIONS, ("{root}/video_mmmu/question_only",)),
            Layout("VLMEvalKit", _ANNOTATIONS, ("{snapshot}/videos/question_only",)),
            Layout("official", _ANNOTATIONS, ("{snapshot}/question_only",)),
        ),
        convert=_convert_question_only,
        read=_adaptation_rows,
        answers="mixed",
        options="2 to 14, mostly 10",
        chance=11.5,
        groups=("domain", "subject", "question_type"),
        group_by="video_id",
        prompts=_PROMPTS,
        last_frame=True,
        ignored_columns=_IMAGE,
        conventions=_CONVENTIONS,
    )
)
