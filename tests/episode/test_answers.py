"""Grading: what is read from an answer, and above all what is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core.errors import TaskError
from vzgym.episode.answers import Grade, GradeStatus, grade, read_choice, read_number
from vzgym.tasks.task import VideoTask

MakeTask = Callable[..., VideoTask]
COLOURS = ("red", "blue", "green", "a forest")

SAYS_B = [
    "B",
    "b",
    "(B)",
    "(b)",
    "B)",
    "B.",
    "B:",
    " B \n",
    "( B )",
    "**B**",
    "*B*",
    '"B"',
    "`B`",
    "$B$",
    "\uff22",  # full width
    "\uff08\uff22\uff09",
    r"\boxed{B}",
    r"$\boxed{B}$",
    r"\boxed{(B)}",
    r"\boxed{\text{B}}",
    r"\boxed{B. blue}",
    r"First \boxed{A}, no: \boxed{B}",
    "<answer>B</answer>",
    "<answer> B",
    "B. blue",
    "B) blue",
    "B: blue",
    "(B) blue",
    "b. blue",
    "B - blue",
    "B \u2013 it is blue",
    "B blue",
    "B. Blue!",
    "B\nblue",
    "B\n\nThe flash at 4 s is blue.",
    "The answer is B",
    "The answer is B.",
    "The answer is (B).",
    "the answer is b",
    "The answer is: B",
    "The answer is:\nB",
    "Answer: B",
    "Answer: **B**",
    "answer = B",
    "The final answer is B. blue",
    "The answer is option B.",
    "The answer is B, because it flashes.",
    "The answer is B because it flashes",
    "The answer is (B) since A is seen earlier.",
    "The answer is B. Option C is wrong.",
    "The answer is B, not C.",
    "The answer is A. No: the answer is B.",
    "The answer must be B",
    "Not A but C? No, the answer is B",
    "Although not fully visible, the best answer is B",
    "Option B",
    "option (B)",
    "Option B is correct.",
    "The correct option is B.",
    "My choice: B",
    "B is correct.",
    "B is the correct answer.",
    "blue",
    "Blue.",
    " BLUE ",
    "'blue'",
    "the blue",
    "The answer is blue.",
    "Answer: the blue",
    r"\boxed{blue}",
]


@pytest.mark.parametrize("said", SAYS_B)
def test_these_mean_b(said: str) -> None:
    assert read_choice(said, COLOURS) == 1


UNREADABLE = [
    "",
    " ",
    "?",
    r"\boxed{}",
    "<answer></answer>",
    "E",  # there are four options
    "(Z) blue",
    "The answer is E",
    "A or B",
    "A, B",
    "A/B",
    "A and B",
    "AB",
    "A. B.",
    "(A), (B)",
    "The answer is A or B",
    "The answer is A, B and C",
    "The answer is B, C",
    "A man walks in",
    "A man",
    "The answer is A man.",
    "The answer is A fortress",  # "A for ..." is no reason
    "The answer is A duel",
    "a man",
    "i.e. blue things",
    "I do not know",
    "It is not option B",
    "Option C is wrong",
    "The answer is not B",
    "The answer isn't B",
    "I do not think the answer is B",
    "I don't think the answer is B",
    "B. red",  # the letter says one thing, the text another
    "(B) red",
    "b) red",
    "The answer is B (red)",
    "red and blue",
    "not blue",
    "bluish",
    "It is blue",
]


@pytest.mark.parametrize("said", UNREADABLE)
def test_from_these_no_option_is_read(said: str) -> None:
    assert read_choice(said, COLOURS) is None


def test_an_article_is_not_option_a() -> None:
    options = ("a woman", "a man", "nobody")
    assert read_choice("A man", options) == 1
    assert read_choice("A man.", options) == 1
    assert read_choice("The answer is A man", options) == 1
    assert read_choice("man", options) == 1
    assert read_choice("A child", options) is None
    assert read_choice("A", options) == 0
    assert read_choice("A forest", COLOURS) == 3


def test_numbers_as_options_match_whole() -> None:
    options = ("1", "10", "100", "7")
    for position, option in enumerate(options):
        for said in (option, f"{option}.", f"({option})", f"The answer is {option}", f"Answer: {option}."):
            assert read_choice(said, options) == position, said
        assert read_choice(rf"\boxed{{{option}}}", options) == position
    assert read_choice("11", options) is None
    assert read_choice("1 10", options) is None
    assert read_choice("A", options) == 0


def test_letters_go_before_options_of_one_character() -> None:
    assert read_choice("b", ("b", "a", "x")) == 1
    assert read_choice("x", ("b", "a", "x")) is None  # there is no option X
    assert read_choice("5", ("b", "5")) == 1


def test_options_that_read_alike_are_told_apart_by_letter_only() -> None:
    options = ("The dog", "dog", "cat")
    assert read_choice("dog", options) is None
    assert read_choice("B", options) == 1
    assert read_choice("B. dog", options) == 1
    assert read_choice("A. The dog", options) == 0


def test_options_of_punctuation_are_not_an_empty_answer() -> None:
    assert read_choice("", ("?", "!")) is None
    assert read_choice("?", ("?", "!")) == 0
    assert read_choice("!", ("?", "!")) == 1


def test_options_in_any_script() -> None:
    options = ("\u732b", "Stra\u00dfe", "caf\u00e9")
    assert read_choice("\u732b", options) == 0
    assert read_choice("STRASSE", options) == 1
    assert read_choice("cafe\u0301", options) == 2  # decomposed


@given(st.text(max_size=60), st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=8, unique=True))
def test_reading_never_fails_and_stays_in_range(said: str, options: list[str]) -> None:
    position = read_choice(said, options)
    assert position is None or 0 <= position < len(options)


WORDS = st.text("bcdefghjklmnopqrstuvwxyz", min_size=2, max_size=8)


@given(st.lists(WORDS, min_size=2, max_size=8, unique=True), st.data())
def test_each_option_is_read_in_each_form(options: list[str], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(options) - 1))
    letter, text = "ABCDEFGH"[position], options[position]
    for form in ("{0}", "({0})", "{0})", "{0}.", "{0}. {1}", "({0}) {1}", "The answer is {0}", "{1}", "Answer: {1}."):
        assert read_choice(form.format(letter, text), options) == position, form


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("10", 10.0),
        ("10.", 10.0),
        ("-3", -3.0),
        ("\u22123", -3.0),  # a minus sign
        ("+3", 3.0),
        ("3.25", 3.25),
        (".5", 0.5),
        ("-.5", -0.5),
        ("gate A-3", 3.0),  # a hyphen is no minus sign
        ("1,234", 1234.0),
        ("1,234,567.5", 1234567.5),
        ("1.5e3", 1500.0),
        ("\uff15", 5.0),
        ("zero", 0.0),
        ("Three", 3.0),
        ("twenty", 20.0),
        ("It is 5 or five", 5.0),
        ("12 times", 12.0),
        ("5th", 5.0),
        ("10 s", 10.0),
        ("x=5", 5.0),
        ("Of 9 people, the answer is 4.", 4.0),
        ("Answer: seven", 7.0),
        (r"\boxed{42}", 42.0),
        ("**7**", 7.0),
        ("no number", None),
        ("", None),
        ("3-4", None),
        ("between 3 and 4", None),
        ("1/2", None),
        ("twenty-one", None),
        ("someone", None),
        ("frame10", None),
        ("5.5.5", None),
        ("The answer is 4, not 5", None),
        ("I do not think the answer is 4; it is 5", None),
    ],
)
def test_numbers(said: str, number: float | None) -> None:
    assert read_number(said) == number


@given(st.text(max_size=60))
def test_reading_a_number_never_fails(said: str) -> None:
    assert read_number(said) is None or isinstance(read_number(said), float)


@given(st.floats(-1e9, 1e9))
def test_a_number_is_read_as_it_was_written(value: float) -> None:
    assert read_number(f"The answer is {value!r}.") == value


def test_a_choice_is_graded_by_its_option(make_task: MakeTask) -> None:
    task = make_task()
    assert grade("B", task) == Grade(GradeStatus.CORRECT, "blue")
    assert grade("green", task) == Grade(GradeStatus.WRONG, "green")
    assert grade("A man", task) == Grade(GradeStatus.UNREADABLE)
    assert grade(None, task) == Grade(GradeStatus.MISSING)


def test_scores() -> None:
    assert {status: Grade(status).score for status in GradeStatus} == {
        GradeStatus.CORRECT: 1.0,
        GradeStatus.WRONG: 0.0,
        GradeStatus.UNREADABLE: 0.0,
        GradeStatus.MISSING: 0.0,
        GradeStatus.UNSCORED: None,
    }
    assert [status for status in GradeStatus if Grade(status).is_correct] == [GradeStatus.CORRECT]


def test_a_question_without_an_answer_is_unscored(make_task: MakeTask) -> None:
    task = make_task(options=(), answer="")
    for said in ("red", "", None):
        assert grade(said, task) == Grade(GradeStatus.UNSCORED)


@pytest.mark.parametrize(
    ("answer", "tolerance", "said", "status"),
    [
        ("10", None, "10", GradeStatus.CORRECT),
        ("10", None, "ten", GradeStatus.CORRECT),
        ("ten", None, "10", GradeStatus.CORRECT),
        ("10", None, "1", GradeStatus.WRONG),
        ("1", None, "10", GradeStatus.WRONG),
        ("1", None, "The answer is 10", GradeStatus.WRONG),
        ("10", None, "10.009", GradeStatus.CORRECT),  # a thousandth
        ("10", None, "10.02", GradeStatus.WRONG),
        ("10", 0.1, "9.1", GradeStatus.CORRECT),
        ("10", 0.1, "8.9", GradeStatus.WRONG),
        ("10", 0, "10", GradeStatus.CORRECT),
        ("10", 0, "10.0001", GradeStatus.WRONG),
        ("0", 0.1, "0.0", GradeStatus.CORRECT),
        ("0", 0.1, "0.01", GradeStatus.WRONG),
        ("1,000", None, "1000", GradeStatus.CORRECT),
        ("-2.5", None, "\u22122.5", GradeStatus.CORRECT),
        ("10", None, "9 or 10", GradeStatus.UNREADABLE),
        ("10", None, "many", GradeStatus.UNREADABLE),
        ("10", None, "1e999", GradeStatus.WRONG),
    ],
)
def test_numbers_are_graded_within_the_tolerance(
    make_task: MakeTask, answer: str, tolerance: float | None, said: str, status: GradeStatus
) -> None:
    metadata = {} if tolerance is None else {"tolerance": tolerance}
    assert grade(said, make_task(options=(), answer=answer, metadata=metadata)).status is status


@pytest.mark.parametrize("tolerance", ["0.1", -0.1, True, None, float("nan"), float("inf")])
def test_a_senseless_tolerance_is_named(make_task: MakeTask, tolerance: object) -> None:
    task = make_task(options=(), answer="10", metadata={"tolerance": tolerance})
    with pytest.raises(TaskError, match=r"task 'ramp/1': metadata\['tolerance'\] must be a number >= 0"):
        grade("10", task)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("Eiffel Tower", GradeStatus.CORRECT),
        ("the  eiffel tower.", GradeStatus.CORRECT),
        ("The answer is the Eiffel Tower!", GradeStatus.CORRECT),
        ("**Eiffel Tower**", GradeStatus.CORRECT),
        ("tower", GradeStatus.WRONG),
        ("The Eiffel Tower in Paris", GradeStatus.WRONG),
        ("I do not think the answer is the Eiffel Tower", GradeStatus.WRONG),
        ("", GradeStatus.WRONG),
    ],
)
def test_other_answers_are_graded_as_whole_texts(make_task: MakeTask, said: str, status: GradeStatus) -> None:
    assert grade(said, make_task(options=(), answer="The Eiffel Tower")).status is status


@given(st.one_of(st.none(), st.text(max_size=40)))
def test_grading_never_fails(make_task: MakeTask, said: str | None) -> None:
    for task in (make_task(), make_task(options=(), answer="7"), make_task(options=(), answer="a word")):
        assert grade(said, task).status is not GradeStatus.UNSCORED
