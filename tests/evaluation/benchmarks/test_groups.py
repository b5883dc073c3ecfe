"""Group scores agree with the published tables."""

from __future__ import annotations

from itertools import product

import pytest

from vzgym.core.errors import InvalidSetting
from vzgym.evaluation.benchmarks.groups import group_score, knowledge_gain
from vzgym.evaluation.benchmarks.open_answers import open_answer_is_right


@pytest.mark.parametrize(
    ("right", "score"), [("0000", 0), ("0100", 6.25), ("1001", 25), ("1101", 56.25), ("1111", 100)]
)
def test_relevance(right: str, score: float) -> None:
    assert group_score("relevance", "", [c == "1" for c in right]) == score


@pytest.mark.parametrize(
    ("structure", "right", "score"),
    [
        ("[1, 2, 3, 4]", "1011", 6.25),
        ("[1, 2, 3, 4]", "1110", 56.25),
        ("[1, [2, 3], 4]", "1000", 100 / 12),
        ("[1, [2, 3], 4]", "1011", 400 / 12),
        ("[1, [2, 3], 4]", "1110", 700 / 12),
        ("[1, [2, 3], 4]", "0011", 0),
        ("[[1, 2], 3, 4]", "0111", 10),
        ("[[1, 2], 3, 4]", "1100", 20),
        ("[[1, 2], 3, 4]", "1110", 50),
        ("[[1, 2], 3, 4]", "1111", 100),
    ],
)
def test_logic(structure: str, right: str, score: float) -> None:
    assert group_score("logic", structure, [c == "1" for c in right]) == pytest.approx(score)


def test_a_further_right_answer_never_lowers_a_score() -> None:
    for structure in ("[1,2,3,4]", "[1,[2,3],4]", "[[1,2],3,4]"):
        for right in product([False, True], repeat=4):
            for place in range(4):
                more = [*right[:place], True, *right[place + 1 :]]
                assert group_score("logic", structure, more) >= group_score("logic", structure, right)


def test_unknown_groups_are_named() -> None:
    with pytest.raises(InvalidSetting, match="4 questions, got 3"):
        group_score("logic", "[1,2,3,4]", [True] * 3)
    with pytest.raises(InvalidSetting, match="group_structure"):
        group_score("logic", "[1]", [True] * 4)
    with pytest.raises(InvalidSetting, match="group_type"):
        group_score("other", "", [True] * 4)


def test_knowledge_gain() -> None:
    gain = knowledge_gain([True, True, False, False], [True, False, True, True])
    assert (gain.before, gain.after) == (0.5, 0.75)
    assert gain.delta == pytest.approx(50)
    assert gain.wrong_to_right == 1
    assert gain.right_to_wrong == 0.5
    assert knowledge_gain([True], [True]).delta is None
    with pytest.raises(InvalidSetting):
        knowledge_gain([], [])


@pytest.mark.parametrize(
    ("reply", "gold", "right"),
    [
        ("The result is 12.97.", "12.97", True),
        ("x = 1,300", "1300", True),
        ("about 12.974 in total", "12.97", True),
        ("about 12.976 in total", "12.97", False),
        ("It has 3 legs\nso the answer is 12.969", "12.97", True),
        ("I measured 5", "12.97", False),
        ("The capital is Paris", "paris", True),
        ("The answer is b", "B", True),
        ("subway", "B", False),
        ("1e3", "1000", True),
        ("", "3", None),
        ("  ", "3", None),
    ],
)
def test_open_answers(reply: str, gold: str, right: bool | None) -> None:
    assert open_answer_is_right(reply, gold) is right
