"""MLVU (arXiv 2406.04264): dev and test, in the authors' files and in the hub copies of lmms-eval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vzgym.tasks.benchmarks.columns import gold_by_text, json_number, options_of, split_stem, text_of
from vzgym.tasks.benchmarks.definition import Benchmark, Layout, Row, Source, Totals, statements
from vzgym.tasks.benchmarks.item import Item, letter_index
from vzgym.tasks.benchmarks.prompts import PromptStyle
from vzgym.tasks.benchmarks.registry import register_benchmark
from vzgym.tasks.io.rows import read_rows

__all__ = ["MLVU_DEV", "MLVU_DEV_OPEN", "MLVU_TEST"]

_FILE = "_file"

# The types of rows and the names of files differ.
_TASKS = {
    "findNeedle": "needle",
    "subPlot": "sub_scene",
    "plotQA": "plotQA",
    "topic_reasoning": "topic_reasoning",
}


def _read(files: Sequence[Path]) -> Iterator[tuple[str, Row]]:
    """Rows with the stem of their file ("2_needle"), which is the folder of their videos."""
    for file in files:
        for where, row in read_rows(file):
            yield where, {**row, _FILE: file.stem}


def _convert(row: Row) -> Item:
    """A row of the authors' files (answer as text), of VLMEvalKit's table, or of the hub copy (options inside)."""
    copy = "video_name" in row
    name = text_of(row["video_name" if copy else "video"])
    kind = text_of(row.get("task_type") or row["question_type"])
    question, inside = split_stem(text_of(row["question"])) if copy else (text_of(row["question"]), ())
    options = options_of(row.get("candidates")) or inside
    answer = text_of(row.get("answer"))
    stem = text_of(row.get(_FILE))
    folder = stem if stem[:1].isdigit() else text_of(row.get("prefix")).rpartition("/")[2]
    item = Item(
        id=text_of(row.get("question_id")) or f"{stem or kind}-{row.get('index', '')}",
        video=f"{folder}/{name}" if folder else name,
        question=question,
        options=options,
        category=_TASKS.get(kind, kind),
        metadata={
            "video_id": name.rpartition(".")[0] or name,
            "task_type": _TASKS.get(kind, kind),
            **({"duration": json_number(row["duration"])} if row.get("duration") not in (None, "") else {}),
            **({"scoring_points": list(row["scoring_points"])} if isinstance(row.get("scoring_points"), list) else {}),
        },
    )
    if not options:
        item.answer = answer
    elif answer:
        # The copy has letters, the authors' files texts.
        item.gold = letter_index(answer, len(options)) if copy else gold_by_text(options, answer)
        if item.gold is None:
            item.flaw("bad_gold")
    return item


def _numbered(files: Sequence[Path]) -> Iterator[tuple[str, Row]]:
    """The authors' rows have no ids: number them within their file."""
    counts: dict[str, int] = {}
    for where, row in _read(files):
        place = counts[row[_FILE]] = counts.get(row[_FILE], -1) + 1
        yield where, {"index": place, **row}


def _convert_choice(row: Row) -> Item:
    item = _convert(row)
    if not item.options:
        item.flaw("no_options")
    return item


_LINES = "Question: {question}\nOptions:\n{options}\nOnly give the best option."
_SYSTEM = "Watch the video with care and attend to every detail. Then select the option that answers the question best."
_PROMPTS = {
    "official": PromptStyle(
        text=f"{_LINES}\nBest Option: (",
        system=_SYSTEM,
        option="({letter}) {text}",
        note="The source prefills the assistant's turn with the cue `Best Option: (`; here it ends the user's turn.",
    ),
    "lmms-eval": PromptStyle(
        text="{question}\n{options}\nOnly give the best option.\nBest option: (", option="({letter}) {text}"
    ),
    "vlmevalkit": PromptStyle(text=_LINES, system=_SYSTEM, option="({letter}) {text}"),
}
_CONVENTIONS = statements(
    """
- Score, official: the character before the first closing parenthesis, else the whole reply must equal the letter. It
  works because the prompt ends in an opening parenthesis.
- Averages: the official script and lmms-eval take the mean over tasks (macro; a task without rows counts 0, so a
  limit on rows deflates it); VLMEvalKit's M-Avg and the VideoZoomer paper are micro.
- lmms-eval's `mlvu_test` has no instruction at all, so chat models write at length; its extractor knows A to D only,
  while golds go up to F.
"""
)
_DEV_SOURCE = Source(
    hub=("MLVU/MVLU", "sy1998/MLVU_dev"),
    size="285 GB",
    licence="CC-BY-NC-SA 4.0",
    access="form",
    how="sy1998/MLVU_dev is the copy that lmms-eval reads (--repo sy1998/MLVU_dev): zips to unpack into one folder.",
)
_AVERAGES = {
    "official": "macro task_type",
    "lmms-eval": "macro task_type",
    "vlmevalkit": "micro",
    "videozoomer": "micro",
}


def _dev_layouts(json: str) -> tuple[Layout, ...]:
    official = tuple(f"{{snapshot}}/{folder}json/{json}" for folder in ("MLVU/", ""))
    cached = tuple(pattern.replace("{snapshot}", "{cache}") for pattern in official)
    return (
        Layout("lmms-eval", ("{cache}/data/test-*.parquet", "{cache}/test-*.parquet"), ("{root}/mlvu",)),
        Layout("VLMEvalKit", cached, ("{cache}/MLVU/video",)),
        Layout(
            "official",
            (*official, f"{{root}}/{json}", "{root}/*.parquet"),
            ("{snapshot}/MLVU/video", "{snapshot}/video", "{snapshot}/videos", "{root}/video_part_*"),
        ),
    )


_CHOICE_TASKS = {
    "topic_reasoning": 264,
    "anomaly_reco": 200,
    "plotQA": 539,
    "needle": 355,
    "ego": 352,
    "count": 206,
    "order": 259,
}

MLVU_DEV = register_benchmark(
    Benchmark(
        name="mlvu_dev",
        title="MLVU, dev, multiple choice",
        about="Seven multiple-choice tasks on videos of three minutes to nine hours.",
        source=_DEV_SOURCE,
        totals=Totals(
            2175,
            1122,
            {"task_type": _CHOICE_TASKS},
            (Totals(2174, 0, {"task_type": {**_CHOICE_TASKS, "topic_reasoning": 263}}),),
        ),
        layouts=_dev_layouts("[1-7]_*.json"),
        convert=_convert_choice,
        read=_numbered,
        aliases={"mlvu": {}, "MLVU": {}, "MLVU_MCQ": {}},
        subsets={name: ("task_type", name) for name in _CHOICE_TASKS},
        groups=("task_type",),
        averages=_AVERAGES,
        prompts=_PROMPTS,
        conventions=_CONVENTIONS,
        flaws=statements(
            """
- The hub copy has 2,174 rows: it drops the row with an empty question and empty options (`movie101_89.mp4`) and maps
  two golds that are no option (`needle_4`, `needle_5`) to "Catching the drone".
- Repeated options: 15 rows of the copy (in 5 the right one: Q421, Q1448, Q1500, Q1606, ...), 16 of the authors' files
  (in 6 the right one). Three rows of the copy have an empty option (Q880, Q1074, Q1136).
"""
        ),
        references=("Qwen2.5-VL-7B 70.2", "TSPO-72B 77.3", "GPT-4o 64.6"),
    )
)

MLVU_DEV_OPEN = register_benchmark(
    Benchmark(
        name="mlvu_dev_open",
        title="MLVU, dev, generation",
        about="Sub-scene captioning and video summary, judged by a language model.",
        source=_DEV_SOURCE,
        totals=Totals(418, 0, {"task_type": {"sub_scene": 201, "summary": 217}}),
        layouts=_dev_layouts("[89]_*.json"),
        convert=_convert,
        read=_numbered,
        aliases={"MLVU_OpenEnded": {}},
        answers="open",
        options="open",
        chance=None,
        groups=("task_type",),
        averages={"official": "macro task_type"},
        metrics=("judged_points",),
        prompts={"official": PromptStyle(text="{question}")},
        conventions=statements(
            """
- G-Avg from 2 to 10, by a GPT-4 judge: sub_scene = accuracy (mean over scoring points of 1, 3 or 5) + relevance (1 to
  5); summary = completeness (1 to 5) + reliability (1 to 5). The judge must end in a JSON object.
"""
        ),
    )
)

_TEST_TASKS = {
    "topic_reasoning": 91,
    "order": 70,
    "needleQA": 60,
    "count": 60,
    "ego": 53,
    "plotQA": 50,
    "tutorialQA": 43,
    "anomaly_reco": 39,
    "sportsQA": 36,
}

MLVU_TEST = register_benchmark(
    Benchmark(
        name="mlvu_test",
        title="MLVU, test, multiple choice",
        about="Nine multiple-choice tasks with six options.",
        source=Source(
            hub=("MLVU/MLVU_Test", "sy1998/MLVU_Test"),
            size="?",
            licence="CC-BY-NC-SA 4.0",
            access="form",
            how="Join the parts: cat test_video.tar.gz.part-* | tar xz.",
        ),
        totals=Totals(502, 0, {"task_type": _TEST_TASKS}),
        layouts=(
            Layout("lmms-eval", ("{cache}/data/test-*.parquet", "{cache}/test-*.parquet"), ("{root}/mlvu_test",)),
            Layout(
                "official",
                (
                    "{snapshot}/test_multi_choice_tasks.json",
                    "{snapshot}/MLVU_Test/test_multi_choice_tasks.json",
                    "{snapshot}/MLVU_Test/test_question.json",
                    "{snapshot}/test_question.json",
                    "{root}/*.parquet",
                ),
                ("{snapshot}/MLVU_Test/test_video", "{snapshot}/test_video", "{snapshot}/video", "{snapshot}/videos"),
            ),
        ),
        convert=_convert_choice,
        read=_numbered,
        subsets={name: ("task_type", name) for name in _TEST_TASKS},
        options="6",
        chance=16.7,
        groups=("task_type",),
        averages=_AVERAGES,
        prompts={
            **_PROMPTS,
            "lmms-eval": PromptStyle(text="{question}\n{options}", option="({letter}) {text}", note="No instruction."),
        },
        conventions=_CONVENTIONS,
        references=("VideoZoomer's Qwen2.5-VL-7B 45.4", "AdaReTaKe-72B 66.3", "GPT-4o 54.9"),
        unverified=("The download size.", "Which of the two JSON files of the hub holds answers."),
    )
)
