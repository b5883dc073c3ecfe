"""Result files that benchmarks' scorers, leaderboards and toolkits read, made from a scored run.

Each form is one function of a `BenchmarkScore`; it returns the files' contents by name. The forms follow the scorers'
code, except where `Form.note` says that a detail is not confirmed.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.core.files import replace_file
from vzgym.evaluation.benchmarks.grounding import read_spans
from vzgym.evaluation.benchmarks.scoring import BenchmarkScore, ScoredReply
from vzgym.tasks.task import answer_index, option_letter

__all__ = ["FORMS", "Form", "export_score", "forms_of"]

_LVBENCH_TYPES: Final = {
    "key information retrieval": "KIR",
    "event understanding": "EU",
    "summarization": "Sum",
    "entity recognition": "ER",
    "reasoning": "Rea",
    "temporal grounding": "TG",
}


@dataclass(frozen=True)
class Form:
    """A form of result files.

    Attributes:
        write: Makes the files: name to content. The first is written to the path that the user gives; the others beside
            it, with their name appended to the path's stem.
        benchmarks: Beginnings of the names of the benchmarks that it is for; all if empty.
        about: What reads it, in one line.
        note: What is not confirmed, or what else the scorer needs.
    """

    write: Callable[[BenchmarkScore], dict[str, str]]
    benchmarks: tuple[str, ...]
    about: str
    note: str = ""


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _facts(item: ScoredReply, *keys: str) -> dict[str, Any]:
    metadata = item.record.task.metadata
    missing = [key for key in keys if key not in metadata]
    if missing:
        raise InvalidSetting(
            f"task {item.record.task.id!r} lacks {missing[0]!r} in its metadata, which this form needs"
        )
    return {key: metadata[key] for key in keys}


def _letter(item: ScoredReply) -> str:
    """The letter read; "" if none was."""
    return item.letters[0] if item.letters else ""


def _gold_letter(item: ScoredReply) -> str:
    task = item.record.task
    index = answer_index(task.options, task.answer) if task.answer else None
    return task.answer if index is None else option_letter(index)


def _lettered(options: Sequence[str]) -> list[str]:
    return [f"{option_letter(place)}. {text}" for place, text in enumerate(options)]


def _own_id(item: ScoredReply) -> str:
    """The question's id in the source: a number that was added to a repeated id is removed."""
    return str(item.record.task.metadata.get("question_id", item.record.task.id))


def _videomme(score: BenchmarkScore) -> dict[str, str]:
    videos: dict[str, dict[str, Any]] = {}
    for item in score.replies:
        facts = _facts(item, "video_id", "duration", "domain", "sub_category", "task_type")
        kind = facts.pop("task_type")
        entry = videos.setdefault(facts["video_id"], {**facts, "questions": []})
        entry["questions"].append(
            {
                "question_id": item.record.task.id,
                "task_type": kind,
                "question": item.record.task.question,
                "options": _lettered(item.record.task.options),
                "answer": _gold_letter(item),
                "response": item.reply,
            }
        )
    for entry in videos.values():
        entry["questions"].sort(key=lambda question: question["question_id"])
    return {"": _json([videos[key] for key in sorted(videos)])}


def _videomme_v2(score: BenchmarkScore) -> dict[str, str]:
    rows = sorted(score.replies, key=_own_id)
    return {"": _json([{"question_id": _own_id(item), "response": item.reply} for item in rows])}


def _letters_by_id(score: BenchmarkScore) -> dict[str, str]:
    return {"": _json({_own_id(item): _letter(item) for item in score.replies})}


def _longvideobench(score: BenchmarkScore) -> dict[str, str]:
    raw = _json({_own_id(item): item.reply for item in score.replies})
    return {**_letters_by_id(score), "raw": raw}


def _lvbench_space(score: BenchmarkScore) -> dict[str, str]:
    groups = score.groups("question_type")
    found = {short: groups[kind].value for kind, short in _LVBENCH_TYPES.items() if kind in groups}
    return {"": _json({**found, "Overall": score.overall.value})}


def _mlvu_test(score: BenchmarkScore) -> dict[str, str]:
    return {
        "": _json(
            [
                {
                    "question_id": _own_id(item),
                    "question_type": _facts(item, "task_type")["task_type"],
                    "option": _letter(item),
                }
                for item in score.replies
            ]
        )
    }


def _mlvu_open(score: BenchmarkScore) -> dict[str, str]:
    entries = []
    for item in score.replies:
        task = item.record.task
        name = Path(task.video).name
        # The judge's script reads lower-case keys, the documentation names upper-case ones.
        texts = {"q": task.question, "a": task.answer, "Q": task.question, "A": task.answer}
        entries.append({"video_name": name, **texts, "pred": item.reply})
    return {"": _json(entries)}


def _nextgqa(score: BenchmarkScore) -> dict[str, str]:
    spans, answers = {}, {}
    for item in score.replies:
        key = f"{_facts(item, 'video_id')['video_id']}_{_facts(item, 'qid')['qid']}"
        windows = item.record.windows
        # One span: the last zoomed window, since the scorer takes a single one.
        spans[key] = list(windows[-1].to_list()) if windows else [0.0, 0.0]
        gold = answer_index(item.record.task.options, item.record.task.answer)
        prediction = ord(_letter(item)) - ord("A") if item.letters else -1
        answers[key] = {"prediction": prediction, "answer": gold}
    return {"": _json(spans), "answers": _json(answers)}


def _spans(score: BenchmarkScore) -> dict[str, str]:
    lines = []
    for item in score.replies:
        facts = _facts(item, "query", "gold_spans")
        gold = facts["gold_spans"]
        name = f"{Path(item.record.task.video).name}>>>{facts['query']}>>>{gold[0] if len(gold) == 1 else gold}"
        found = [list(span) for span in read_spans(item.reply)]
        lines.append(json.dumps({name: {"timestamps": found, "answers": item.reply}}, ensure_ascii=False))
    return {"": "".join(f"{line}\n" for line in lines)}


def _egoschema(score: BenchmarkScore) -> dict[str, str]:
    found = {}
    for item in score.replies:
        if not item.letters:
            raise InvalidSetting(
                f"no option can be read from the reply to {item.record.task.id!r}; the server needs one"
            )
        found[str(_facts(item, "video_id")["video_id"])] = ord(item.letters[0]) - ord("A")
    return {"": _json(found)}


def _vlmevalkit(score: BenchmarkScore) -> dict[str, str]:
    keys = sorted({key for item in score.replies for key in item.record.task.metadata if key != "flaws"})
    most = max((len(item.record.task.options) for item in score.replies), default=0)
    letters = [option_letter(place) for place in range(most)]
    text = io.StringIO()
    rows = csv.writer(text, delimiter="\t", lineterminator="\n")
    rows.writerow(["index", "video", "question", *letters, "answer", *keys, "prediction"])
    for number, item in enumerate(score.replies):
        task = item.record.task
        options = [*task.options, *[""] * (most - len(task.options))]
        facts = [task.metadata.get(key, "") for key in keys]
        rows.writerow(
            [number, Path(task.video).stem, task.question, *options, _gold_letter(item), *map(_cell, facts), item.reply]
        )
    return {"": text.getvalue()}


def _cell(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def _lmms_eval(score: BenchmarkScore) -> dict[str, str]:
    lines = []
    for number, item in enumerate(score.replies):
        task = item.record.task
        doc = {"id": task.id, "question": task.question, "options": list(task.options), **dict(task.metadata)}
        entry = {
            "doc_id": number,
            "doc": doc,
            "target": _gold_letter(item),
            "resps": [[item.reply]],
            "filtered_resps": [item.reply],
        }
        lines.append(json.dumps(entry, ensure_ascii=False))
    return {"": "".join(f"{line}\n" for line in lines)}


FORMS: Final[dict[str, Form]] = {
    "videomme": Form(
        _videomme,
        ("videomme",),
        "Video-MME's official script and mail submissions: one object a video",
        "The script stops unless each duration has 300 videos.",
    ),
    "videomme-v2": Form(
        _videomme_v2,
        ("videomme_v2",),
        "Video-MME-v2: replies in the order of the published rows",
        "The keys are not confirmed; the scorers group rows by four in this order.",
    ),
    "longvideobench": Form(
        _longvideobench,
        ("longvideobench",),
        "LongVideoBench's test server: letters by question id; whole replies in a second file",
        "The server's own check is not confirmed.",
    ),
    "mlvu-test": Form(_mlvu_test, ("mlvu_test",), "MLVU's test server: 502 entries"),
    "mlvu-open": Form(_mlvu_open, ("mlvu_dev_open", "mlvu_test_open"), "MLVU's judge script for open questions"),
    "lvbench": Form(_letters_by_id, ("lvbench",), "LVBench's official script: letters by uid"),
    "lvbench-space": Form(_lvbench_space, ("lvbench",), "LVBench's leaderboard: accuracies by question type"),
    "nextgqa": Form(
        _nextgqa,
        ("nextgqa",),
        "NExT-GQA's script: one span a question (the last zoomed window); answers in a second file",
    ),
    "spans": Form(
        _spans,
        ("temporal_grounding", "charades", "timelens", "extremewhenbench"),
        "Charades-STA's and TimeLens-Bench's scripts: JSON lines keyed by video, query and gold span",
    ),
    "egoschema": Form(_egoschema, ("egoschema",), "EgoSchema's server: option numbers from 0 by video"),
    "vlmevalkit": Form(_vlmevalkit, (), "VLMEvalKit: a .tsv table with `prediction`, to be scored there"),
    "lmms-eval": Form(_lmms_eval, (), "lmms-eval's samples, JSON lines"),
}
"""Forms of result files by name."""


def forms_of(benchmark: str) -> list[str]:
    """Names of the forms for a benchmark, its own first."""
    own = [name for name, form in FORMS.items() if form.benchmarks and benchmark.startswith(form.benchmarks)]
    return [*own, *(name for name, form in FORMS.items() if not form.benchmarks)]


def export_score(score: BenchmarkScore, form: str, path: str | Path) -> list[Path]:
    """Write a run's result files.

    Args:
        score: The scored run; letters are those of its convention.
        form: Name of the form.
        path: The main file. A second file gets its name appended to the stem ("result-raw.json").

    Returns:
        The files written.

    Raises:
        UnknownName: If there is no such form for the benchmark; the message lists those that there are.
        InvalidSetting: If two replies answer one question, or a task lacks what the form needs.
    """
    known = forms_of(score.benchmark.name)
    if form not in known:
        raise UnknownName(f"form of result files for {score.benchmark.name}", form, known)
    seen: dict[str, int] = defaultdict(int)
    for item in score.replies:
        seen[item.record.task.id] += 1
    repeated = [name for name, count in seen.items() if count > 1]
    if repeated:
        raise InvalidSetting(f"{len(repeated)} questions have several replies, such as {repeated[0]!r}: export one run")
    main = Path(path)
    written = []
    for name, content in FORMS[form].write(score).items():
        target = main if not name else main.with_name(f"{main.stem}-{name}{main.suffix}")
        with replace_file(target) as partial:
            partial.write_text(content, encoding="utf-8")
        written.append(target)
    return written
