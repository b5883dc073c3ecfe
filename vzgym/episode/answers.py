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

from vzgym.tasks.task import VideoTask, option_letter

__all__ = ["Grade", "GradeStatus", "grade", "read_choice", "read_number"]


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
# "The answer is ...", "Final answer: ...", "The correct option is ...", "Best option: (".
_LEAD = re.compile(r"\b(?:answer|option|choice)\b\s*(?:is|=|:)?\s*[:=]?\s*", re.IGNORECASE)
_BARE_LETTER = re.compile(r"\(?\s*([A-Za-z])\s*[.):]?\s*\)?\s*[.!]?")
_LETTER_THEN_TEXT = re.compile(r"(?:\(\s*([A-Z])\s*\)|([A-Z])\s*[.):])\s*(\S.*)", re.DOTALL)
# "B because it ...": a letter and a word. "A man" reads so too, hence the second look at A and I below.
_LETTER_THEN_WORD = re.compile(r"\(?([A-Z])\)?(?=[\s,;])\s*([,;]?)\s*(\S.*)", re.DOTALL)
_REASON = re.compile(r"(?:because|since|as|for|due|which|[-\u2013\u2014(])", re.IGNORECASE)
_SECOND_LETTER = re.compile(r"(?:and|or|/|,|&)?\s*\(?[A-Z]\)?(?:[.,;)]|\s*$)")
_NUMBER = re.compile(r"[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+\u2212]?\.\d+")
_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
).split()
_WORD_NUMBER = re.compile(rf"\b({'|'.join(_WORDS)})\b", re.IGNORECASE)


def _plain(text: str) -> str:
    """Compare form: NFKC, lower case, single spaces, no surrounding punctuation, no leading article."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    folded = re.sub(r"\s+", " ", folded).strip(" \t\n.,;:!?\"'`*$()[]")
    return re.sub(r"^(?:the|a|an) (?=.)", "", folded)


def _core(said: str) -> str:
    """The part of a reply that holds the answer: the last box if there is one, without tags and emphasis."""
    text = unicodedata.normalize("NFKC", _TAG.sub(" ", said))
    boxed = _BOXED.findall(text)
    if boxed:
        text = boxed[-1]
    return text.replace("**", "").replace("__", "").strip().strip("$`").strip()


def _statements(said: str) -> list[str]:
    """Where to look for the answer, best first: the whole text, then what follows the last "answer is"."""
    core = _core(said)
    leads = list(_LEAD.finditer(core))
    return [core] + ([core[leads[-1].end() :].strip()] if leads else [])


def read_choice(said: str, options: Sequence[str]) -> int | None:
    r"""Which option an answer means.

    Reads "B", "(B)", "B)", "B.", "b", "\boxed{B}", "B. the red ball", "The answer is B", "Answer: (B) because ...",
    and an option's text, alone or after "the answer is". Does not read the article of "A man ..." as option A, and
    reads nothing from "A or B" or from a letter that contradicts the text after it.

    Args:
        said: The answer as said.
        options: The options' texts, in order.

    Returns:
        The option's position, or None if no single option can be read.
    """
    plain = [_plain(option) for option in options]
    whole, *behind_lead = _statements(said)
    for statement in (whole, *behind_lead):
        if len(_plain(statement)) > 1 and plain.count(_plain(statement)) == 1:
            return plain.index(_plain(statement))
        bare = _BARE_LETTER.fullmatch(statement)
        if bare:
            return _position(bare.group(1).upper(), options)
        labelled = _LETTER_THEN_TEXT.fullmatch(statement)
        if labelled:
            letter = labelled.group(1) or labelled.group(2)
            return _agree(_position(letter, options), labelled.group(3), plain)
    for statement in behind_lead:
        # Only behind "the answer is" may a word follow a letter with no mark between them.
        followed = _LETTER_THEN_WORD.fullmatch(statement)
        if followed:
            letter, mark, rest = followed.groups()
            if letter in "AI" and not mark and not _REASON.match(rest):
                return None
            return _agree(_position(letter, options), rest, plain)
    # Options of a single character ("7") that are no letter.
    return plain.index(_plain(whole)) if plain.count(_plain(whole)) == 1 else None


def _position(letter: str, options: Sequence[str]) -> int | None:
    position = ord(letter) - ord("A")
    return position if 0 <= position < len(options) else None


def _agree(position: int | None, rest: str, plain: Sequence[str]) -> int | None:
    """`position`, unless the text after the letter is another option or names a second letter."""
    if position is None or _SECOND_LETTER.match(rest.strip()):
        return None
    stated = _plain(rest)
    if stated in plain and plain.index(stated) != position:
        return None
    return position


def read_number(said: str) -> float | None:
    """The number that an answer states.

    Reads digits with thousands commas, decimals and exponents, and the words zero to twenty. The part after "the
    answer is" goes first. None if there is no number, or several different ones.
    """
    for statement in reversed(_statements(said)):
        found = {float(hit.replace(",", "").replace("\u2212", "-")) for hit in _NUMBER.findall(statement)}
        found |= {float(_WORDS.index(hit.lower())) for hit in _WORD_NUMBER.findall(statement)}
        if len(found) == 1:
            return found.pop()
    return None


def _gold_number(answer: str) -> float | None:
    """The number that a right answer *is* (not merely contains)."""
    text = unicodedata.normalize("NFKC", answer).strip()
    return float(text.replace(",", "").replace("\u2212", "-")) if _NUMBER.fullmatch(text) else None


def grade(said: str | None, task: VideoTask) -> Grade:
    """Judge an answer.

    With options the answer must be readable as one of them (`read_choice`). Without, a right answer that is a number
    is compared as a number, within the task's `metadata["tolerance"]` (relative, default 1e-3); any other is compared
    as text after normalising case, spaces, outer punctuation and a leading article.

    Args:
        said: The answer's raw text; None if the episode ended without one.
        task: Gives options, right answer and tolerance.
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
        tolerance = float(task.metadata.get("tolerance", 1e-3))
        right = math.isclose(number, gold, rel_tol=tolerance, abs_tol=1e-9)
        return Grade(GradeStatus.CORRECT if right else GradeStatus.WRONG, f"{number:g}")
    candidates = [_plain(statement) for statement in _statements(said)]
    right = _plain(task.answer) in candidates
    return Grade(GradeStatus.CORRECT if right else GradeStatus.WRONG, candidates[-1])


def lettered(options: Sequence[str]) -> str:
    """The options as shown to the agent, one a line: "A. red"."""
    return "\n".join(f"{option_letter(i)}. {option}" for i, option in enumerate(options))
