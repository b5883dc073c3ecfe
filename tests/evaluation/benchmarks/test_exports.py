"""Result files have the forms that scorers read, and nothing is lost on the way."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation.benchmarks.conventions import Convention
from vzgym.evaluation.benchmarks.exports import FORMS, export_score, forms_of
from vzgym.evaluation.benchmarks.scoring import score_replies

Replied = Callable[..., EpisodeRecord]

_FACTS = {"duration": "short", "domain": "Knowledge", "sub_category": "Law", "task_type": "OCR Problems"}


def test_video_mme_groups_questions_by_video(replied: Replied, tmp_path: Path) -> None:
    records = [
        replied("002-1", "C", source="videomme", video_id="002", **_FACTS),
        replied("001-2", "A", source="videomme", video_id="001", **_FACTS),
        replied("001-1", "The answer is C.", source="videomme", video_id="001", **_FACTS),
    ]
    (path,) = export_score(score_replies(records, Convention("vzgym")), "videomme", tmp_path / "out.json")
    first, second = json.loads(path.read_text(encoding="utf-8"))
    assert (first["video_id"], second["video_id"]) == ("001", "002")
    assert [question["question_id"] for question in first["questions"]] == ["001-1", "001-2"]
    assert first["questions"][0]["response"] == "The answer is C."
    assert first["questions"][0]["answer"] == "C"
    assert first["questions"][0]["options"] == ["A. apples", "B. pears", "C. plums", "D. figs"]


def test_lvbench_letters_and_accuracies(replied: Replied, tmp_path: Path) -> None:
    records = [
        replied("7", "C", source="lvbench", question_type=["reasoning", "summarization"]),
        replied("8", "I see nothing", source="lvbench", question_type=["reasoning"]),
    ]
    score = score_replies(records, Convention("vzgym"))
    (path,) = export_score(score, "lvbench", tmp_path / "letters.json")
    assert json.loads(path.read_text(encoding="utf-8")) == {"7": "C", "8": ""}
    (path,) = export_score(score, "lvbench-space", tmp_path / "result.json")
    assert json.loads(path.read_text(encoding="utf-8")) == {"Sum": 1.0, "Rea": 0.5, "Overall": 0.5}


def test_vlmevalkit_table_keeps_awkward_text(replied: Replied, tmp_path: Path) -> None:
    record = replied("7", 'C\tor "D"\nwho knows', source="videomme", tags=["a", "b"])
    (path,) = export_score(score_replies([record], Convention("vzgym")), "vlmevalkit", tmp_path / "out.tsv")
    with path.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file, delimiter="\t")
    assert row["prediction"] == 'C\tor "D"\nwho knows'
    assert row["answer"] == "C"
    assert row["D"] == "figs"
    assert json.loads(row["tags"]) == ["a", "b"]


def test_lmms_eval_samples(replied: Replied, tmp_path: Path) -> None:
    records = [replied("7", "C", source="videomme"), replied("8", "D", source="videomme")]
    (path,) = export_score(score_replies(records, Convention("vzgym")), "lmms-eval", tmp_path / "samples.jsonl")
    samples = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [sample["doc_id"] for sample in samples] == [0, 1]
    assert samples[1]["resps"] == [["D"]]
    assert samples[1]["target"] == "C"


def test_second_files_lie_beside_the_first(replied: Replied, tmp_path: Path) -> None:
    record = replied("@a-1", "Answer: C.", source="longvideobench_test_v", answer="")
    paths = export_score(score_replies([record], Convention("vzgym")), "longvideobench", tmp_path / "r.json")
    assert [path.name for path in paths] == ["r.json", "r-raw.json"]
    assert json.loads(paths[0].read_text(encoding="utf-8")) == {"@a-1": "C"}
    assert json.loads(paths[1].read_text(encoding="utf-8")) == {"@a-1": "Answer: C."}


def test_nextgqa_takes_the_last_window(replied: Replied, tmp_path: Path) -> None:
    facts = {"source": "nextgqa_test", "video_id": "123", "evidence": [(1, 3)]}
    records = [
        replied("a", "B", qid="4", zooms=[(0, 2), (4, 6)], **facts),
        replied("b", "nothing", qid="5", **facts),
    ]
    spans, answers = export_score(score_replies(records, Convention("vzgym")), "nextgqa", tmp_path / "r.json")
    assert json.loads(spans.read_text(encoding="utf-8")) == {"123_4": [4.0, 6.0], "123_5": [0.0, 0.0]}
    assert json.loads(answers.read_text(encoding="utf-8")) == {
        "123_4": {"prediction": 1, "answer": 2},
        "123_5": {"prediction": -1, "answer": 2},
    }


def test_spans_are_keyed_by_video_query_and_gold(replied: Replied, tmp_path: Path) -> None:
    record = replied(
        "a", "From 2.0 to 4.5 seconds.", source="temporal_grounding_charades", options=(), answer="1.0 - 4.0",
        query="person sits", gold_spans=[[1.0, 4.0]],
    )  # fmt: skip
    score = score_replies([record], Convention("vzgym"))
    assert score.metrics["mIoU"] == pytest.approx(2 / 3.5)
    (path,) = export_score(score, "spans", tmp_path / "r.jsonl")
    (line,) = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {
        "array:failing>>>person sits>>>[1.0, 4.0]": {"timestamps": [[2.0, 4.5]], "answers": "From 2.0 to 4.5 seconds."}
    }


def test_egoschema_needs_an_option_for_each(replied: Replied, tmp_path: Path) -> None:
    facts = {"source": "egoschema_subset", "video_id": "v"}
    (path,) = export_score(
        score_replies([replied("a", "D", **facts)], Convention("vzgym")), "egoschema", tmp_path / "r.json"
    )
    assert json.loads(path.read_text(encoding="utf-8")) == {"v": 3}
    with pytest.raises(InvalidSetting, match="no option can be read"):
        export_score(score_replies([replied("a", "?", **facts)], Convention("vzgym")), "egoschema", tmp_path / "s.json")
    assert not (tmp_path / "s.json").exists()


def test_bad_input_is_named(replied: Replied, tmp_path: Path) -> None:
    records = [replied("a", "C", source="lvbench"), replied("a", "D", source="lvbench")]
    with pytest.raises(InvalidSetting, match="several replies"):
        export_score(score_replies(records, Convention("vzgym")), "lvbench", tmp_path / "r.json")
    with pytest.raises(UnknownName, match="lvbench-space"):
        export_score(score_replies(records[:1], Convention("vzgym")), "egoschema", tmp_path / "r.json")
    with pytest.raises(InvalidSetting, match="'video_id'"):
        export_score(
            score_replies([replied("a", "C", source="videomme")], Convention("vzgym")), "videomme", tmp_path / "r.json"
        )


def test_every_form_belongs_to_a_benchmark_or_to_all() -> None:
    assert forms_of("lvbench") == ["lvbench", "lvbench-space", "vlmevalkit", "lmms-eval"]
    assert all(form.about for form in FORMS.values())
