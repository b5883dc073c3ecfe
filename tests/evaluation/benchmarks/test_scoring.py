"""Scores of a few replies agree with hand-worked values under each convention."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation.benchmarks.conventions import Convention, conventions_of, get_convention
from vzgym.evaluation.benchmarks.scoring import benchmark_of, score_replies
from vzgym.tasks.benchmarks.registry import BENCHMARKS, get_benchmark

Replied = Callable[..., EpisodeRecord]


def test_conventions_of_video_mme_differ_on_the_same_replies(replied: Replied) -> None:
    # The gold letter is C throughout.
    replies = ["C", "Best option: C", "plums", "I cannot say", "A", "The answer is C because A is wrong"]
    records = [
        replied(str(number), text, source="videomme", duration="short" if number < 3 else "long")
        for number, text in enumerate(replies)
    ]
    videomme = get_benchmark("videomme")
    scores = {name: score_replies(records, item) for name, item in conventions_of(videomme).items()}
    # "plums" and "I cannot say" hold no capital of A to D: left out by the official script, wrong in lmms-eval.
    # Read: C, B (of "Best"), -, -, A, C.
    assert scores["official"].overall.value == pytest.approx(2 / 4)
    assert scores["official"].overall.n == 4
    assert scores["lmms-eval-2025"].overall.value == pytest.approx(2 / 6)
    # Read: C, C, -, -, A, A (the last letter after the answer phrase).
    assert scores["lmms-eval"].overall.value == pytest.approx(2 / 6)
    # "Best option:" is not removed, "Option:" with a capital would be.
    assert scores["vlmevalkit"].overall.value == pytest.approx(2 / 6)
    # Read: C, C, C, -, A, C.
    assert scores["vzgym"].overall.value == pytest.approx(4 / 6)
    assert scores["vzgym"].unparsed == pytest.approx(1 / 6)
    assert scores["vzgym"].groups("duration")["short"].value == 1
    assert scores["vzgym"].groups("duration")["long"].value == pytest.approx(1 / 3)


def test_macro_average_is_the_mean_over_tasks(replied: Replied) -> None:
    rows = [("a", "C)", "needle"), ("b", "C)", "needle"), ("c", "A)", "needle"), ("d", "C)", "count")]
    records = [replied(id, text, source="mlvu_dev", task_type=kind) for id, text, kind in rows]
    mlvu = get_benchmark("mlvu_dev")
    official = score_replies(records, get_convention(mlvu, "official"))
    assert official.overall.value == pytest.approx((2 / 3 + 1) / 2)
    assert score_replies(records, get_convention(mlvu, "videozoomer")).overall.value == pytest.approx(3 / 4)


def test_random_options_depend_on_the_seed_and_the_task_alone(replied: Replied) -> None:
    records = [replied(str(n), "no idea", source="longvideobench_val_v") for n in range(40)]
    convention = get_convention(get_benchmark("longvideobench_val_v"), "official")
    first = score_replies(records, convention, seed=1)
    again = score_replies(records[::-1], convention, seed=1)
    assert [item.score for item in first.replies] == [item.score for item in again.replies][::-1]
    assert 0 < first.overall.value < 0.6
    assert first.unparsed == 1
    assert score_replies(records, convention, seed=2).overall.value != first.overall.value


def test_flawed_rows_have_their_own_denominator(replied: Replied) -> None:
    records = [
        replied("a", "C", source="lvbench"),
        replied("b", "A", source="lvbench", flaws=["repeated_options"]),
    ]
    score = score_replies(records, Convention("vzgym"))
    assert (score.overall.value, score.overall.n) == (0.5, 2)
    assert (score.unflawed.value, score.unflawed.n) == (1.0, 1)


def test_a_question_with_several_types_counts_in_each(replied: Replied) -> None:
    records = [
        replied("a", "C", source="lvbench", question_type=["reasoning", "summarization"]),
        replied("b", "A", source="lvbench", question_type=["reasoning"]),
    ]
    groups = score_replies(records, Convention("vzgym")).groups("question_type")
    assert groups["reasoning"].value == 0.5
    assert groups["summarization"].value == 1.0


def test_several_roll_outs_of_a_question_are_one(replied: Replied) -> None:
    records = [replied("a", "C", source="videomme"), replied("a", "A", source="videomme")]
    score = score_replies(records, Convention("vzgym"))
    assert (score.overall.value, score.overall.n) == (0.5, 1)


def test_raw_text_is_read_with_its_thoughts(replied: Replied) -> None:
    record = replied("a", "C", source="videomme", text="<think>Maybe A.</think><answer>C</answer>")
    convention = Convention("raw", "videomme")
    assert score_replies([record], convention, reply="raw").overall.value == 0
    assert score_replies([record], convention).overall.value == 1


def test_a_missing_gold_answer_is_unscored(replied: Replied) -> None:
    records = [replied("a", "C", source="videomme"), replied("b", "C", source="videomme", answer="")]
    score = score_replies(records, Convention("vzgym"))
    assert score.unscored == 1
    assert score.overall.n == 1


def test_windows_are_the_grounding_of_choices(replied: Replied) -> None:
    # The first zoom misses, the second covers half of the evidence.
    record = replied(
        "a", "C", source="cgbench", evidence=[(4, 8)], zooms=[(0, 2), (6, 8)], sub_category="Entity Perception"
    )
    union = score_replies([record], Convention("vzgym"))
    last = score_replies([record], Convention("vzgym"), windows="last")
    assert union.metrics["mIoU"] == pytest.approx(2 / 6)
    assert last.metrics["mIoU"] == pytest.approx(2 / 4)
    assert last.metrics["Acc@GQA"] == 1
    assert last.metrics["acc@IoU"] == 1


def test_open_answers(replied: Replied) -> None:
    facts = {"source": "video_mmmu", "options": (), "answer": "12.5", "track": "adaptation"}
    records = [
        replied("a", "so the value is 12.50", **facts),
        replied("b", "", **facts),
        replied("c", "12.5", **facts),
    ]
    convention = get_convention(get_benchmark("video_mmmu"), "official")
    score = score_replies(records, convention)
    assert [item.score for item in score.replies] == [1.0, 0.0, 1.0]
    assert score.unparsed == pytest.approx(1 / 3)


def test_a_judge_that_fails_leaves_the_reply_unscored(replied: Replied) -> None:
    facts = {"source": "video_mmmu", "options": (), "answer": "twelve"}
    records = [replied("a", "a dozen", **facts), replied("b", "broken", **facts), replied("c", "one", **facts)]
    verdicts = {"a dozen": 1.0, "broken": None, "one": 0.0}
    score = score_replies(records, Convention("vzgym"), judge=lambda question, gold, reply: verdicts[reply])
    assert score.overall.value == 0.5
    assert score.unscored == 1


def test_records_of_several_sources_are_refused(replied: Replied) -> None:
    records = [replied("a", "C", source="videomme"), replied("b", "C", source="lvbench")]
    with pytest.raises(InvalidSetting, match="several sources: lvbench, videomme"):
        benchmark_of(records)
    with pytest.raises(InvalidSetting, match="no records"):
        benchmark_of([])
    with pytest.raises(UnknownName):
        benchmark_of([replied("a", "C", source="needle-tiny")])


def test_groups_of_video_mme_v2(replied: Replied) -> None:
    def group(name: str, kind: str, replies: str) -> list[EpisodeRecord]:
        facts = {"group": name, "group_type": kind, "group_structure": "[1, [2, 3], 4]", "source": "videomme_v2"}
        return [replied(f"{name}-{place}", letter, **facts) for place, letter in enumerate(replies, 1)]

    # Three of four right: 56.25. A chain with the second wrong and the third right: 400 / 12. The last is incomplete.
    records = [*group("001", "relevance", "CCAC"), *group("002", "logic", "CACC"), *group("003", "logic", "CC")]
    score = score_replies(records, get_convention(get_benchmark("videomme_v2"), "official"))
    assert score.overall.value == pytest.approx((56.25 + 400 / 12) / 200)
    assert score.metrics["incomplete groups"] == 1
    assert score.metrics["accuracy"] == pytest.approx(8 / 10)


def test_unknown_values_are_named() -> None:
    with pytest.raises(InvalidSetting, match="macro KEY"):
        Convention("x", average="macro")
    with pytest.raises(UnknownName, match="official"):
        get_convention(get_benchmark("videomme"), "theirs")
    with pytest.raises(UnknownName):
        Convention("x", extractor="nope")


def test_every_benchmark_has_conventions() -> None:
    for name in BENCHMARKS.names():
        found = conventions_of(get_benchmark(name))
        assert "vzgym" in found
        keys = {item.average_key for item in found.values()} - {""}
        assert keys <= {*get_benchmark(name).groups}
