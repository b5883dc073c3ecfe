"""Grading: the one place that decides whether an answer is right.

Rewards, metrics and the failure taxonomy all read the `Grade` made here, once, at the end of an episode, from the
raw text of the answer. Nothing is scored by substring: an answer is read as a whole, or it is `unreadable`.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from vzgym.core.errors import TaskError
from vzgym.tasks.task import VideoTask, option_letter

__all__ = ["Grade", "GradeStatus", "grade", "is_number", "read_choice", "read_number"]


class GradeStatus(StrEnum):
    """How an episode's answer was judged."""

    CORRECT = "correct"
    WRONG = "wrong"
    UNREADABLE = "unreadable"
    """An answer was given, but no option (or number) can be read from it. Scores 0."""
    MISSING = "missing"
    """The rounds ran out without an answer. Scores 0."""
    UNSCORED = "unscored"
    """Nothing to judge by: the task has no answer, or the video failed. Scores None, which is not 0."""


@dataclass(frozen=True, slots=True)
class Grade:
    """The judgement of an answer.

    Attributes:
        status: What was found.
        read: The option's text, the number or the normalised text that was read; None if nothing was.
    """

    status: GradeStatus
    read: str | None = None

    @property
    def score(self) -> float | None:
        """1.0 if correct, None if unscored, else 0.0."""
        if self.status is GradeStatus.UNSCORED:
            return None
        return 1.0 if self.status is GradeStatus.CORRECT else 0.0

    @property
    def is_correct(self) -> bool:
        """Whether the answer is right."""
        return self.status is GradeStatus.CORRECT


_BOXED = re.compile(r"\\boxed\s*\{\s*(?:\\text\s*\{\s*)?([^{}]*)\}")
_TAG = re.compile(r"</?answer>", re.IGNORECASE)
# "The answer is ...", "Final answer: option ...".
_ANSWER_IS = re.compile(
    r"\banswer\b(?:\s+(?:is|would be|must be|should be)\b)?\s*[:=]?\s*"
    r"(?:(?:the\s+)?(?:option|choice)\b\s*[:=]?\s*)?",
    re.IGNORECASE,
)
# "The correct option is ...", "Best choice: ...", "I choose option ...".
_OPTION_IS = re.compile(r"\b(?:option|choice)\b(?:\s+is\b)?\s*[:=]?\s*", re.IGNORECASE)
# "It is not option ...", "I do not think the answer is ...".
_DENIED = re.compile(r"\b(?:not|never|neither|nor|cannot|\w+n['\u2019]t)\s+(?:\w+\s+){0,2}$", re.IGNORECASE)
_BARE_LETTER = re.compile(r"\(?\s*([A-Za-z])\s*[.):]?\s*\)?\s*[.!]?")
_LETTER_THEN_TEXT = re.compile(
    r"(?:\(\s*([A-Za-z])\s*\)|([A-Za-z])(?:\s*[.):]|\s*\n|\s+[-\u2013\u2014]\s))\s*(\S.*)", re.DOTALL
)
# "B because it ...": a letter and a word. "A man" reads so too, hence what may follow is told below.
_LETTER_THEN_WORD = re.compile(r"\(?([A-Z])\)?(?=[\s,;])\s*([,;]?)\s*(\S.*)", re.DOTALL)
_REASON = re.compile(
    r"(?:because|since|as|for|due|which|is (?:the )?(?:correct|right|best))\b|[-\u2013\u2014(]", re.IGNORECASE
)
_LETTER_IS_RIGHT = re.compile(r"\(?([A-Z])\)?\s+is\s+(?:the\s+)?(?:correct|right|best)\b.*", re.DOTALL)
_SECOND_LETTER = re.compile(r"(?:and|or|/|,|&)?\s*\(?[A-Z]\)?(?:\s*[.,;:)/&]|\s*$|\s+(?:and|or)\b)")
_NUMBER = re.compile(
    r"(?:(?<![A-Za-z0-9_])[-+\u2212])?"
    r"(?:(?<![A-Za-z0-9_])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|(?<![A-Za-z0-9_])\.\d+)"
)
_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
).split()
_WORD_NUMBER = re.compile(rf"\b({'|'.join(_WORDS)})\b", re.IGNORECASE)
_WRAPPING = " \t\n\r*_\"'\u201c\u201d\u2018\u2019$`"


def _plain(text: str) -> str:
    """Compare form: NFKC, lower case, single spaces, no surrounding punctuation, no leading article."""
    folded = re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text).casefold()).strip()
    # An option may be nothing but punctuation ("?"): that must not become equal to an empty answer.
    bare = folded.strip(" .,;:!?*$()[]" + _WRAPPING) or folded
    return re.sub(r"^(?:the|a|an) (?=.)", "", bare)


def _core(said: str) -> str:
    """The part of a reply that holds the answer: the last box if there is one, without tags and emphasis."""
    text = unicodedata.normalize("NFKC", _TAG.sub(" ", said))
    boxed = _BOXED.findall(text)
    if boxed:
        text = boxed[-1]
    return text.replace("**", "").replace("__", "").strip(_WRAPPING)


def _behind(core: str, lead: re.Pattern[str]) -> list[str]:
    """What follows the last `lead`, as a list of one; none if there is no lead, or it is denied."""
    leads = list(lead.finditer(core))
    if not leads or _DENIED.search(core[: leads[-1].start()]):
        return []
    return [core[leads[-1].end() :].strip(_WRAPPING)]


def read_choice(said: str, options: Sequence[str]) -> int | None:
    r"""Which option an answer means.

    Reads "B", "(B)", "B)", "B.", "b", "\boxed{B}", "B. the red ball", "The answer is B", "Answer: (B) because ...",
    "Option B", "B is correct", and an option's text, alone or after "the answer is". Does not read the article of
    "A man ..." as option A, and reads nothing from "A or B", from "not option B", or from a letter that contradicts
    the text after it.

    Args:
        said: The answer as said.
        options: The options' texts, in order.

    Returns:
        The option's position, or None if no single option can be read.
    """
    plain = [_plain(option) for option in options]
    core = _core(said)
    behind = [*_behind(core, _ANSWER_IS), *_behind(core, _OPTION_IS)]
    for statement in (core, *behind):
        stated = _plain(statement)
        # A single character is a letter first.
        if len(stated) > 1 and plain.count(stated) == 1:
            return plain.index(stated)
        bare = _BARE_LETTER.fullmatch(statement)
        if bare:
            return _position(bare.group(1), options)
        labelled = _LETTER_THEN_TEXT.fullmatch(statement)
        if labelled:
            letter, rest = labelled.group(1) or labelled.group(2), labelled.group(3)
            position = _position(letter, options)
            # "i. e." and "a - ..." are words: a small letter needs its option's very text behind it.
            if letter.isupper() or (position is not None and plain[position] == _plain(rest)):
                return _agree(position, rest, plain)
        right = _LETTER_IS_RIGHT.fullmatch(statement)
        if right:
            return _position(right.group(1), options)
    for statement in (core, *behind):
        # Where no mark parts letter and word, the word must be the option's own text, or, behind "the answer is", a
        # reason: "the answer is A man" names no option, nor does "option C is wrong".
        followed = _LETTER_THEN_WORD.fullmatch(statement)
        if followed:
            letter, mark, rest = followed.groups()
            position = _position(letter, options)
            if position is not None and plain[position] == _plain(rest):
                return position
            if statement is not core:
                return _agree(position, rest, plain) if mark or _REASON.match(rest) else None
    # Options of a single character ("7") that are no letter.
    for statement in (core, *behind):
        stated = _plain(statement)
        if stated and plain.count(stated) == 1:
            return plain.index(stated)
    return None


def _position(letter: str, options: Sequence[str]) -> int | None:
    position = ord(letter.upper()) - ord("A")
    return position if 0 <= position < len(options) else None


def _agree(position: int | None, rest: str, plain: Sequence[str]) -> int | None:
    """`position`, unless the text after the letter is another option or names a second letter."""
    if position is None:
        return None
    stated = _plain(rest)
    if stated == plain[position]:
        return position
    return None if stated in plain or _SECOND_LETTER.match(rest.strip()) else position


def read_number(said: str) -> float | None:
    """The number that an answer states.

    Reads digits with thousands commas, decimals and exponents, and the words zero to twenty. The part after "the
    answer is" goes first. None if there is no number, or several different ones.
    """
    core = _core(said)
    for statement in (*_behind(core, _ANSWER_IS), core):
        found = {_to_float(hit) for hit in _NUMBER.findall(statement)}
        found |= {float(_WORDS.index(hit.lower())) for hit in _WORD_NUMBER.findall(statement)}
        if len(found) == 1:
            return found.pop()
    return None


def _to_float(digits: str) -> float:
    return float(digits.replace(",", "").replace("\u2212", "-"))


def _gold_number(answer: str) -> float | None:
    """The number that a right answer *is* (not merely contains)."""
    text = unicodedata.normalize("NFKC", answer).strip()
    if text.lower() in _WORDS:
        return float(_WORDS.index(text.lower()))
    return _to_float(text) if _NUMBER.fullmatch(text) else None


def is_number(answer: str) -> bool:
    """Whether a right answer is a number, so that answers to an open question are compared as numbers."""
    return _gold_number(answer) is not None


def _tolerance(task: VideoTask) -> float:
    value = task.metadata.get("tolerance", 1e-3)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise TaskError(f"task {task.id!r}: metadata['tolerance'] must be a number >= 0, got {value!r}")
    return float(value)


def grade(said: str | None, task: VideoTask) -> Grade:
    """Judge an answer.

    With options the answer must be readable as one of them (`read_choice`). Without, a right answer that is a number
    is compared as a number, within the task's `metadata["tolerance"]` (relative, default 1e-3); any other is compared
    as text after normalising case, spaces, outer punctuation and a leading article.

    Args:
        said: The answer's raw text; None if the episode ended without one.
        task: Gives options, right answer and tolerance.

    Raises:
        TaskError: If the task's tolerance is no number >= 0.
    """
    if not task.answer:
        return Grade(GradeStatus.UNSCORED)
    if said is None:
        return Grade(GradeStatus.MISSING)
    if task.options:
        position = read_choice(said, task.options)
        if position is None:
            return Grade(GradeStatus.UNREADABLE)
        right = task.options[position] == task.answer
        return Grade(GradeStatus.CORRECT if right else GradeStatus.WRONG, task.options[position])
    gold = _gold_number(task.answer)
    if gold is not None:
        number = read_number(said)
        if number is None:
            return Grade(GradeStatus.UNREADABLE)
        right = math.isclose(number, gold, rel_tol=_tolerance(task), abs_tol=1e-9)
        return Grade(GradeStatus.CORRECT if right else GradeStatus.WRONG, f"{number:g}")
    core = _core(said)
    candidates = [_plain(statement) for statement in (core, *_behind(core, _ANSWER_IS))]
    right = _plain(task.answer) in candidates
    return Grade(GradeStatus.CORRECT if right else GradeStatus.WRONG, candidates[-1])


def lettered(options: Sequence[str]) -> str:
    """The options as shown to the agent, one a line: "A. red"."""
    return "\n".join(f"{option_letter(i)}. {option}" for i, option in enumerate(options))
