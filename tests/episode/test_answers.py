"""Grading: what is read from an answer, and above all what is not."""

from __future__ import annotations

import string
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core.errors import TaskError
from vzgym.episode.answers import MAX_ANSWER_LENGTH, Grade, GradeStatus, grade, read_choice, read_number
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
    "It is B.",
    "It's (B)",
    "I would choose option B.",
    "My guess is: B",
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
    # Boxes and LaTeX.
    r"\boxed{\textbf{B}}",
    r"\boxed{\mathrm{B}}",
    r"\boxed{{B}}",
    r"\boxed B",
    r"\boxed{\text{(B)}\ \text{blue}}",
    r"\boxed{\left(B\right)}",
    r"\(\mathbf{B}\)",
    # Brackets, and text before the letter.
    "[B]",
    "[B] blue",
    "blue (B)",
    "blue [B].",
    "B because it flashes",
    "B, because A is seen earlier",
    "B is the answer",
    "(B) is the best option.",
    # Corrections.
    "A. Actually, the answer is B.",
    "The answer is A, no, B",
    "A. Wait, B.",
    "A... sorry, B",
    "The answer is A. No, it's B.",
    "(A) is seen first, but the answer is B",
    # What is denied is another letter, or not the answer at all.
    "B. It is not red.",
    "B. It turns blue instead of red.",
    "B. Actually, the flash at 4 s is visible.",
    "B. Wait for the flash to see it.",
    "The answer is B. Option A says red, which is incorrect.",
    "It is not red, so the answer is B",
    "There is no doubt that the answer is B",
    "No the answer is B",
    "In the first clip the answer is B",
    "The answer is most likely B",
    # A repeated list, and then an answer.
    "A. red\nB. blue\nC. green\nD. a forest\n\nAnswer: B",
    "A. red\nB. blue\nC. green\nD. a forest\nB",
    # Typography and other scripts.
    "\ufeffB",
    "B\u200b",
    "\u3010B\u3011",
    "\u00abB\u00bb",
    "\u201cB\u201d",
    "\u24b7",
    "\uff22\uff0e",
    "B\u3002",
    "\u7b54\u6848\u662fB",
    "\u7b54\u6848\uff1aB\u3002",
    "\u9009B",
    "\u6b63\u89e3\u306fB\u3067\u3059\u3002",
    "\ub2f5\uc740 B\uc785\ub2c8\ub2e4",
    "\u041e\u0442\u0432\u0435\u0442 \u2014 B.",
    "\u0627\u0644\u0625\u062c\u0627\u0628\u0629 \u0647\u064a B",
    "\u0909\u0924\u094d\u0924\u0930 B \u0939\u0948",
    "La r\u00e9ponse est B.",
    "La respuesta es B",
    "Die Antwort ist B",
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
    "It is not B",
    "It is B or C",
    "It is a forest or B",
    # The last box counts, readable or not.
    r"First \boxed{B}, no: \boxed{}",
    r"\boxed{B} or rather \boxed{",
    r"\boxed{\frac{3}{4}}, so \boxed{B}, no, \boxed{E}",
    r"\boxed{B} is wrong.",
    r"The answer is not \boxed{B}",
    # Denials before and after.
    "I do not think that the answer is B.",
    "I don\u2019t think the answer is B",
    "It is unlikely that the answer is B.",
    "I doubt that the answer is B",
    "It is not true, I believe, that the answer is B",
    "The wrong answer is B",
    "B. No.",
    "B - no",
    "B. But that is wrong.",
    "B: incorrect\nA: correct",
    "The answer is B, not B",
    "The answer is B. The answer is not B.",
    "The answer is B. I no longer think that the answer is B.",
    "The answer is blue. It is not blue.",
    "B? No.",
    "Is the answer B? No.",
    "B. Actually, it is red",
    # Several letters.
    "A. Or maybe B.",
    "A and also B",
    "The answer is A, and also B",
    "A. red\nB. blue\nC. green\nD. a forest",
    "A. red B. blue C. green D. a forest",
    "(A) red, (B) blue, (C) green, (D) a forest",
    # Other scripts.
    "\u7b54\u6848\u4e0d\u662fB",
    "\u4e0d\u662fA,\u662fB",
    "A\u548cB",
    "Die Antwort ist nicht B",
    "La r\u00e9ponse n'est pas B",
    "\u0412",  # Cyrillic: the third letter, or one that looks like the second
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


@pytest.mark.parametrize(
    "options", [("b", "a", "x"), ("1", "2"), ("A", "B", "B"), ("?",), ("red", "not A", "e", "E", "blue")]
)
def test_a_letter_alone_means_what_it_means_among_spaces(options: tuple[str, ...]) -> None:
    for said in string.ascii_letters + "5?\u00df\u00c4\u0391":
        assert read_choice(said, options) == read_choice(f" {said}\n", options), said


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
        ("1/2", 0.5),
        ("twenty-one", 21.0),
        ("someone", None),
        ("frame10", None),
        ("5.5.5", None),
        ("The answer is 4, not 5", None),
        # Read as a whole.
        ("1k", 1000.0),
        ("5 million", 5e6),
        ("2.5M", 2.5e6),
        ("two point five million", 2.5e6),
        ("five dozen", 60.0),
        ("half a dozen", 6.0),
        ("3 hundred", 300.0),
        ("a hundred", 100.0),
        ("seven hundred and five people", 705.0),
        ("thirty", 30.0),
        ("twenty-first", 21.0),
        ("1 000", 1000.0),
        ("1\u202f234\u202f567", 1234567.0),
        (r"\boxed{1{,}000}", 1000.0),
        ("10^3", 1000.0),
        ("10\u00b3", 1000.0),
        ("10**3", 1000.0),
        (r"\boxed{2\times 10^{3}}", 2000.0),
        (r"\boxed{\frac{3}{4}}", 0.75),
        (r"Trying \boxed{2}, no. So \boxed{\frac{3}{4}}", 0.75),
        (r"\boxed{3\frac{1}{2}}", 3.5),
        ("3\u00bd", 3.5),
        ("one and a half", 1.5),
        ("three quarters", 0.75),
        ("two thirds", 2 / 3),
        (r"\boxed{5\text{ cm}}", 5.0),
        (r"\boxed{50\%}", 50.0),
        ("minus three", -3.0),
        ("one second", 1.0),
        ("There is one.", 1.0),
        ("The red one has 3 wheels", 3.0),
        ("First, 5 people", 5.0),
        ("\u0663", 3.0),
        ("\u7b54\u6848\u662f5", 5.0),
        # Or refused.
        (r"\boxed{x^{2}}", None),
        (r"\boxed{\sqrt{2}}", None),
        (r"\boxed{2}, no: \boxed{}", None),
        ("no one", None),
        ("the red one", None),
        ("not 3", None),
        ("There aren\u2019t 3", None),
        ("I do not think that the answer is 3", None),
        ("3 is wrong", None),
        ("at least 3", None),
        ("more than 3", None),
        ("3 or more", None),
        ("3+", None),
        ("10:30", None),
        ("1,0000", None),
        ("5\u4e07", None),
        ("nineteen eighty four", None),
        ("two hundred three hundred", None),
        ("five hundred and 3", None),
        ("1/0", None),
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
        ("50%", None, "50 %", GradeStatus.CORRECT),
        ("50%", None, "50 percent", GradeStatus.CORRECT),
        ("50%", None, "50", GradeStatus.CORRECT),
        ("50%", None, "0.5", GradeStatus.CORRECT),
        ("0.5", None, "50%", GradeStatus.CORRECT),
        ("50%", None, "5%", GradeStatus.WRONG),
        ("5 meters", None, "5", GradeStatus.CORRECT),
        ("5", None, "5 meters", GradeStatus.CORRECT),
        ("5 meters", None, "500 cm", GradeStatus.CORRECT),
        ("5 meters", None, "5 cm", GradeStatus.WRONG),
        ("5 meters", None, "5 seconds", GradeStatus.WRONG),
        ("2 min", None, "120 s", GradeStatus.CORRECT),
        ("$5", None, "5 dollars", GradeStatus.CORRECT),
        ("3/4", None, "0.75", GradeStatus.CORRECT),
        ("0.75", None, "three quarters", GradeStatus.CORRECT),
        ("twenty-one", None, "21", GradeStatus.CORRECT),
        ("1", None, "1k", GradeStatus.WRONG),
        ("5", None, "five dozen", GradeStatus.WRONG),
        ("1", None, "no one", GradeStatus.UNREADABLE),
    ],
)
def test_numbers_are_graded_within_the_tolerance(
    make_task: MakeTask, answer: str, tolerance: float | None, said: str, status: GradeStatus
) -> None:
    metadata = {} if tolerance is None else {"tolerance": tolerance}
    assert grade(said, make_task(options=(), answer=answer, metadata=metadata)).status is status


@pytest.mark.parametrize("tolerance", ["0.1", -0.1, True, None])
def test_a_senseless_tolerance_is_named(make_task: MakeTask, tolerance: object) -> None:
    with pytest.raises(TaskError, match=r"task 'ramp/1': metadata\['tolerance'\] must be a number >= 0"):
        make_task(options=(), answer="10", metadata={"tolerance": tolerance})


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


def test_repeated_texts_are_graded_by_letter(make_task: MakeTask) -> None:
    task = make_task(options=("red", "blue", "red"), answer="C")
    assert (task.answer, task.letter, task.answer_index) == ("C", "C", 2)
    assert grade("C", task).is_correct
    assert grade("A", task).status is GradeStatus.WRONG
    assert grade("red", task).status is GradeStatus.UNREADABLE


def test_options_that_are_letters_are_graded_by_letter(make_task: MakeTask) -> None:
    task = make_task(options=("C", "A", "B"), answer="A")
    assert task.letter == "B"  # the answer is a text first
    assert grade("B", task).is_correct
    assert grade("A", task).status is GradeStatus.WRONG


def test_options_with_their_own_letters(make_task: MakeTask) -> None:
    task = make_task(options=("A. red", "B. blue", "C. green"), answer="B. blue")
    assert task.options == ("red", "blue", "green")
    for said in ("blue", "B", "B. blue", "(B) blue"):
        assert grade(said, task).is_correct


FORMS = [
    "{0}",
    "({0})",
    "{0}.",
    "{0}. {1}",
    "The answer is {0}.",
    "Answer: ({0}) {1}",
    "{1}",
    "{1} ({0})",
    r"\boxed{{{0}}}",
]
SPELLINGS: list[Callable[[str], str]] = [
    lambda text: text,
    lambda text: f"  {text}\n\n",
    lambda text: text.replace(" ", "  "),
    lambda text: text.replace(" ", "\u00a0"),
    lambda text: "\ufeff" + text,
    lambda text: "\u200b".join(text) if "\\" not in text else text,
    lambda text: f"**{text}**",
    lambda text: f"\u201c{text}\u201d",
    lambda text: f"\u00ab{text}\u00bb",
    lambda text: "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text),
    lambda text: text.replace(".", "\u3002").replace(":", "\uff1a"),
    lambda text: f"<answer>{text}</answer>",
]


@given(st.integers(0, 3), st.sampled_from(FORMS), st.lists(st.sampled_from(SPELLINGS), max_size=3), st.booleans())
def test_typography_white_space_and_case_change_no_reading(
    position: int, form: str, spellings: list[Callable[[str], str]], upper: bool
) -> None:
    text = form.format("ABCD"[position], COLOURS[position].upper() if upper else COLOURS[position])
    for spell in spellings:
        text = spell(text)
    assert read_choice(text, COLOURS) == position


@given(st.sampled_from([5.0, 12.5, 0.75, 1000.0]), st.lists(st.sampled_from(SPELLINGS), max_size=3))
def test_typography_changes_no_number(value: float, spellings: list[Callable[[str], str]]) -> None:
    text = f"{value:g}"
    for spell in spellings:
        text = spell(text) if spell is not SPELLINGS[10] else text
    assert read_number(text) == value


DENIALS = [
    "I do not think that the answer is {0}.",
    "The answer is not {0}.",
    "{0} is wrong.",
    "{0} is not correct.",
    "It can't be {0}.",
    "We can rule out {0}.",
    "Not {0}.",
    "I doubt that the answer is {0}.",
    "It is unlikely that the correct answer is {0}!",
    "I don't think it is {0}.",
    "It is not ({0}).",
    "{0} isn't correct.",
    "{0} cannot be correct.",
    "{0} is the wrong answer.",
    "{0} is not the answer",
    "It was never option {0}",
]
CLAIMS = ["", "{0}. ", "The answer is {0}. ", "({0}) {1}. ", "Answer: {0}\n", "{0}\n\n"]
FILLERS = ["", "Let me look again. ", "It flashes at 4 s. ", "Hmm, wait. "]


@given(st.integers(0, 3), st.sampled_from(CLAIMS), st.sampled_from(FILLERS), st.sampled_from(DENIALS))
def test_a_letter_that_is_denied_later_is_never_read(position: int, claim: str, filler: str, denial: str) -> None:
    letter = "ABCD"[position]
    said = claim.format(letter, COLOURS[position]) + filler + denial.format(letter)
    assert read_choice(said, COLOURS) != position, said


LONG = [
    *("The answer is A. ", "I do not think that the answer is A. ", "A, no, ", "A. red\nB. blue\n", "A. ", "not A "),
    *("1 ", "one ", "a ", "3 and a half ", "\\boxed{", "\\boxed{A}", "\\frac{", "{", "**", " ", "\n", "$", ",", "(A) "),
    *("\u7b54\u6848\u662fA", "A is wrong ", "answer ", "9", "x", "- ", "\u00bd", "no, wait "),
]


def calls_made(said: str, task: VideoTask) -> int:
    """How many calls and lines of Python grading an answer takes."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        grade(said, task)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("piece", LONG)
def test_the_work_is_linear_in_the_length(make_task: MakeTask, piece: str) -> None:
    for task in (make_task(), make_task(options=(), answer="7"), make_task(options=(), answer="a word")):
        short, long = (calls_made(piece * (size // len(piece)), task) for size in (1000, 4000))
        assert long <= 4.5 * short + 2000


@pytest.mark.parametrize("piece", LONG)
def test_the_longest_answers_are_read_and_longer_ones_are_not(make_task: MakeTask, piece: str) -> None:
    task = make_task()
    grade(piece * (MAX_ANSWER_LENGTH // len(piece)), task)
    too_long = "B" + " " * MAX_ANSWER_LENGTH
    assert grade(too_long, task).status is GradeStatus.UNREADABLE
    assert grade(too_long[:-1], task).is_correct
    for answer in ("7", "a word"):
        assert grade(too_long, make_task(options=(), answer=answer)).status is GradeStatus.UNREADABLE
