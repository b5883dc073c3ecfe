"""Grading of answers.

An answer is graded once, at the end of an episode, from its raw text; rewards, metrics and the failure taxonomy read
that `Grade`. There is no substring matching: an answer is read as a whole, or it is `unreadable`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Protocol

from vzgym.core.text import comparable, normalize
from vzgym.episode.denials import corrections, denied_letters, is_denied, is_retracted
from vzgym.episode.markup import plain_text, read_core
from vzgym.episode.quantities import Quantity, read_quantities, read_quantity, same_quantity
from vzgym.tasks.task import answer_index, option_letter

__all__ = ["MAX_ANSWER_LENGTH", "Grade", "GradeStatus", "Question", "grade", "is_number", "read_choice", "read_number"]


class GradeStatus(StrEnum):
    """Result of grading an answer."""

    CORRECT = "correct"
    WRONG = "wrong"
    UNREADABLE = "unreadable"
    """An answer was given, but no option (or number) can be read from it. Scores 0."""
    MISSING = "missing"
    """The rounds ran out without an answer. Scores 0."""
    UNSCORED = "unscored"
    """Cannot be graded: the task has no answer, or the video failed. Scores None, which is not 0."""


@dataclass(frozen=True, slots=True)
class Grade:
    """The grade of an answer.

    Attributes:
        status: The result.
        read: The option's text, the number or the normalized text that was read; None if unreadable.
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


MAX_ANSWER_LENGTH = 1 << 16
"""Maximum length of an answer in characters. A longer one is unreadable."""

_ADVERB = (
    r"(?:(?:most likely|most probably|probably|likely|clearly|definitely|certainly|surely|obviously|simply|thus)\s+)?"
)
# "The answer is ...", "Final answer: option ...", "La réponse est ...".
_ANSWER_IS = re.compile(
    r"(?:\b(?:answer|r\u00e9ponse|respuesta|antwort|resposta|risposta|antwoord|svar|svaret|cevap|odpowied\u017a|"
    r"\u0111\u00e1p \u00e1n|jawaban|jawabannya|\u043e\u0442\u0432\u0435\u0442)\b"
    r"(?:\s+(?:is|would be|must be|should be|est|es|ist|\u00e9|\u00e8|er|\u00e4r|to|l\u00e0|adalah)\b)?"
    # Chinese, Japanese, Korean.
    r"|\u7b54\u6848(?:\u5e94\u8be5|\u61c9\u8a72)?(?:\u662f|\u4e3a|\u70ba)?|(?:\u6b63\u89e3|\u7b54\u3048)\u306f?|"
    r"(?:\uc815\ub2f5|\ub2f5)(?:\uc740)?)"
    rf"\s*(?:[:=]|-+\s)?\s*{_ADVERB}(?:(?:the\s+)?(?:option|choice)\b\s*[:=]?\s*)?",
    re.IGNORECASE,
)
# "The correct option is ...", "Best choice: ...", "I choose option ...".
_OPTION_IS = re.compile(rf"\b(?:option|choice)\b(?:\s+is\b)?\s*[:=]?\s*{_ADVERB}", re.IGNORECASE)
# "It is B.", "I would say option (B)": nothing but the letter may follow.
_IT_IS = re.compile(
    r"(?:(?:so|thus|hence|therefore),?\s+)?(?:it(?:'s|\s+is|\s+was)|that(?:'s|\s+is)|this\s+is|"
    r"i(?:'d|\s+would|'ll|\s+will)?\s+(?:say|choose|pick|select|go\s+with)|my\s+(?:guess|pick)\s+is)[\s:]+"
    rf"{_ADVERB}(?:(?:option|choice)\s+)?[(\[]?\s*([A-Z])\s*[.)\]]*",
    re.IGNORECASE,
)
# Maximum number of leads tried, from the last one; the text after each extends to the end.
_MOST_LEADS = 8
_BARE_LETTER = re.compile(r"[(\[]?\s*([A-Za-z])\s*[.):,;\]]?\s*[)\]]?\s*[.!]?")
_LETTER_THEN_TEXT = re.compile(
    r"(?:[(\[]\s*([A-Za-z])\s*[)\]]|([A-Za-z])(?:\s*[.):]|\s*\n|\s+-+\s))\s*(\S.*)", re.DOTALL
)
_TEXT_THEN_LETTER = re.compile(
    r"\s*(?:[(\[]\s*(?:option\s+|choice\s+)?([A-Za-z])\s*[)\]]|[,:-]\s*(?:option|choice)\s+([A-Z]))\W*$"
)
# "B because it ...": a letter and a word. "A man" has the same form, so only these words may follow.
_LETTER_THEN_WORD = re.compile(r"\(?([A-Z])\)?(?=[\s,;])\s*([,;]?)\s*(\S.*)", re.DOTALL)
_REASON = re.compile(
    r"(?:because|since|as|for|due|which|is (?:the )?(?:correct|right|best|answer))\b|[-(]", re.IGNORECASE
)
_CLEAR_REASON = re.compile(r"(?:because|since|due to)\b", re.IGNORECASE)
_LETTER_IS_RIGHT = re.compile(
    r"[(\[]?([A-Z])[)\]]?\s+(?:is|must be|should be|would be|seems|seems to be)\s+(?:the\s+|my\s+)?"
    r"(?:(?:most\s+)?(?:correct|right|best|likely|probable|plausible|final|only possible)\b|(?:answer|choice)\b)(.*)",
    re.DOTALL,
)
_SECOND_LETTER = re.compile(
    r"\W*(?:(?:and|or|also|plus|as well as|maybe|perhaps|possibly|either|both)\b\W*){0,3}"
    r"(?<![A-Za-z0-9'])[(\[]?[A-Z][)\]]?(?:\s*[.,;:)/&?]|\s*$|\s+(?:and|or)\b)",
)
_SECOND_LETTER_WORDS = re.compile(r"\W*(?:or|and|also|maybe|perhaps|possibly)\b", re.IGNORECASE)
_LETTER_FIRST = re.compile(
    r"(?:it's |it is |option |choice )?(?:[(\[]([A-Z])[)\]]|(?<!\w)([A-Z])(?=[.,;:!?)]|\s*$))", re.IGNORECASE
)
_LABEL = re.compile(r"(?:^|(?<=[\s,;(\[]))[(\[]?([A-Z])\s*[.):\]]\s*")
_ISOLATED_LETTER = re.compile(r"(?<![A-Za-z0-9'])([A-Z])(?=[.,;:!?)\]]|\s*$)")
_FOREIGN_LETTER = re.compile(r"[^\W\d_\x00-\u036f\u1e00-\u1eff]")
_WRAPPING = " \t\n\r*_\"'`"


def _plain(text: str) -> str:
    """The form in which answers and options are compared."""
    return comparable(plain_text(normalize(text)))


def _led(text: str, lead: re.Pattern[str], denied: bool = False) -> list[tuple[int, str]]:
    """The text after each of the last leads, the last one first.

    Args:
        text: The text.
        lead: The pattern of a lead.
        denied: Whether to return denied leads ("I do not think that the answer is B") or those that are not denied.

    Returns:
        The position at which the lead ends, and the text from there to the end.
    """
    leads = list(lead.finditer(text))[: -_MOST_LEADS - 1 : -1]
    return [
        (found.end(), text[found.end() :].strip(_WRAPPING))
        for found in leads
        if is_denied(text[max(0, found.start() - 300) : found.start()]) is denied
    ]


class _Choices:
    """The options of a question, and the reading of replies that name them."""

    def __init__(self, options: Sequence[str]) -> None:
        self.plain = [_plain(option) for option in options]
        self._index: dict[str, int | None] = {}
        for place, option in enumerate(self.plain):
            self._index[option] = None if option in self._index else place

    def read(self, text: str) -> int | None:
        """The option that a reply names; None if it names no single one."""
        text = self._without_echo(text)
        whole = self._exact(text)
        if whole is None and (stated := _IT_IS.fullmatch(text)):
            whole = self._position(stated[1])
        if whole is not None:
            return whole
        led = self._last_lead(text)
        opening = self._statement(text, led=False)
        if led is None:
            return opening if opening is not None else self._single(text)
        position, start = led
        if opening is None or opening == position:
            return position
        # A letter at the start and another one after "the answer is": the text must say that it corrects itself.
        return position if any(end <= start for _, end in corrections(text)) or _turns(text[:start]) else None

    def _last_lead(self, text: str) -> tuple[int, int] | None:
        """The option that the last readable lead names, and its position in the text."""
        for lead in (_ANSWER_IS, _OPTION_IS):
            for start, statement in _led(text, lead):
                position = self._statement(statement, led=True)
                if position is None:
                    position = self._single(statement)
                if position is not None:
                    return position, start
        return None

    def _exact(self, statement: str) -> int | None:
        """The option whose text or letter is the whole statement."""
        stated = _plain(statement)
        # A single character is a letter first.
        if len(stated) > 1 and self._index.get(stated) is not None:
            return self._index[stated]
        bare = _BARE_LETTER.fullmatch(statement)
        if bare:
            return self._position(bare[1])
        behind = _TEXT_THEN_LETTER.search(statement[-60:])
        if behind:
            position = self._position(behind[1] or behind[2])
            text = statement[: len(statement) - len(behind[0])]
            if position is not None and self.plain[position] == _plain(text):
                return position
        return None

    def _statement(self, statement: str, *, led: bool) -> int | None:
        """The option that a statement begins with.

        Args:
            statement: Text up to the end of the reply.
            led: Whether it follows "the answer is", so that a letter cannot be an article.
        """
        exact = self._exact(statement)
        if exact is not None:
            return exact
        labelled = _LETTER_THEN_TEXT.fullmatch(statement)
        if labelled:
            letter, rest = labelled[1] or labelled[2], labelled[3]
            position = self._position(letter)
            # "i. e." and "a - ..." are words: a lower-case letter must be followed by its option's text.
            if letter.isupper() or (position is not None and self.plain[position] == _plain(rest)):
                return self._settle(position, rest)
        right = _LETTER_IS_RIGHT.fullmatch(statement)
        if right:
            return self._settle(self._position(right[1]), right[2])
        # If no punctuation separates letter and word, the word must be the option's own text or a reason: "the answer
        # is # A man" names no option, nor does "option C is wrong".
        followed = _LETTER_THEN_WORD.fullmatch(statement)
        if followed:
            letter, mark, rest = followed.groups()
            position = self._position(letter)
            if position is not None and self.plain[position] == _plain(rest):
                return position
            if led and (mark or _REASON.match(rest)):
                return self._settle(position, f"{mark} {rest}")
            if not led and (
                _CLEAR_REASON.match(rest) or (mark and (_CLEAR_REASON.match(rest) or corrections(mark + rest)))
            ):
                return self._settle(position, f"{mark} {rest}")
        return self._foreign(statement)

    def _single(self, statement: str) -> int | None:
        """An option of a single character ("7") that is no letter."""
        stated = _plain(statement)
        return None if not stated or _BARE_LETTER.fullmatch(statement) else self._index.get(stated)

    def _foreign(self, statement: str) -> int | None:
        """The one option letter of a sentence in another script: Chinese, Cyrillic, Arabic, ..."""
        if not _FOREIGN_LETTER.search(statement):
            return None
        named = set(re.findall(r"[A-Za-z]+", statement))
        letter = named.pop() if len(named) == 1 else ""
        if len(letter) != 1 or not letter.isupper() or is_denied(statement.replace("\n", " ").replace(".", " ")):
            return None
        position = self._position(letter)
        return None if position is None or self._names_other(position, statement) else position

    def _position(self, letter: str) -> int | None:
        position = ord(letter.upper()) - ord("A")
        return position if 0 <= position < len(self.plain) else None

    def _settle(self, position: int | None, rest: str) -> int | None:
        """`position`, unless the text after its letter names another option, retracts the letter or corrects it."""
        if position is None:
            return None
        stated = _plain(rest)
        if stated == self.plain[position]:
            return position
        if stated in self._index or self._second_letter(rest) or self._echoes(position, rest):
            return None
        for start, end in corrections(rest):
            tail = rest[end:].strip(_WRAPPING)
            corrected = next(
                (found for _, led in _led(tail, _ANSWER_IS) if (found := self._named(led)) is not None), None
            )
            if corrected is None:
                corrected = self._named(tail)
            if corrected is not None:
                return None if self.takes_back(corrected, tail[1:]) else corrected
            if self._names_other(position, tail[:300]) or is_retracted(rest[start:]):
                return None
        return None if self.takes_back(position, rest) else position

    def _named(self, statement: str) -> int | None:
        """The option that is the statement, or whose letter begins it and is not followed by a second letter."""
        exact = self._exact(statement)
        if exact is not None:
            return exact
        named = _LETTER_FIRST.match(statement)
        if not named or self._second_letter(statement[named.end() :]):
            return None
        letter = named[1] or named[2]
        return self._position(letter) if letter.isupper() else None

    def takes_back(self, position: int, after: str) -> bool:
        """Whether the text after a claim denies it."""
        own = self.plain[position]
        if is_retracted(after) or option_letter(position) in denied_letters(after):
            return True
        if any(self._named(led) == position for _, led in _led(after, _ANSWER_IS, denied=True)):
            return True
        said = " ".join(after.casefold().split())
        return bool(own) and any(
            re.match(r"\W|$", said[found + len(words) :])
            for words in (f"not {own}", f"n't {own}", f"not the {own}", f"n't the {own}", f"never {own}")
            if (found := said.find(words)) >= 0
        )

    def _second_letter(self, rest: str) -> bool:
        """Whether further letters follow at once: "A or B", "A, B and C", "A. Or maybe B"."""
        found = _SECOND_LETTER.match(rest)
        if found is None:
            words = _SECOND_LETTER_WORDS.match(rest)
            found = _SECOND_LETTER.match(rest[words.end() :]) if words else None
        return found is not None

    def _names_other(self, position: int, text: str) -> bool:
        """Whether a text names another option by its letter or text."""
        if any(self._position(found) not in (None, position) for found in _ISOLATED_LETTER.findall(text)):
            return True
        said = f" {_plain(text)} "
        own = self.plain[position]
        return any(
            option in said if _FOREIGN_LETTER.search(option) else re.search(rf"(?<!\w){re.escape(option)}(?!\w)", said)
            for place, option in enumerate(self.plain)
            if place != position and len(option) > 1 and option not in own
        )

    def _echoes(self, position: int, rest: str) -> bool:
        """Whether a text continues with other options by letter and text: "red B. blue C. green"."""
        tries: dict[int, int] = {}
        for found in _LABEL.finditer(rest):
            other = self._position(found[1])
            if other is None or other == position or tries.get(other, 0) > 3:
                continue
            tries[other] = tries.get(other, 0) + 1
            option = self.plain[other]
            if option and _plain(rest[found.end() : found.end() + 2 * len(option) + 20]).startswith(option):
                return True
        return False

    def _without_echo(self, text: str) -> str:
        """The reply without lines that repeat the list of options, if there are at least two."""
        lines = text.split("\n")
        echoes = [self._echoed(line) for line in lines]
        if len({echo for echo in echoes if echo is not None}) < 2:
            return text
        return "\n".join(line for line, echo in zip(lines, echoes, strict=True) if echo is None)

    def _echoed(self, line: str) -> int | None:
        """The option that a line repeats, with its letter."""
        label = _LABEL.match(line.lstrip("-*\u2022 "))
        position = self._position(label[1]) if label else None
        if label is None or position is None:
            return None
        return position if _plain(line.lstrip("-*\u2022 ")[label.end() :]) == self.plain[position] else None


@lru_cache(maxsize=256)
def _choices(options: tuple[str, ...]) -> _Choices:
    """Prepared options: the roll-outs of a group, and the turns of an episode, answer the same question."""
    return _Choices(options)


def _turns(text: str) -> bool:
    """Whether the last sentence of a text announces a turn: "A moves, but the answer is "."""
    return _TURN.search(text[-120:]) is not None


_TURN = re.compile(r"\b(?:but|however|so|therefore|thus|hence|finally)\b[^.!?\n]*$", re.IGNORECASE)


def read_choice(said: str, options: Sequence[str]) -> int | None:
    r"""Find the option that an answer names.

    Reads "B", "(B)", "[B]", "B.", "b", "\boxed{B}", "B. the red ball", "the red ball (B)", "The answer is B",
    "Answer: (B) because ...", "Option B", "It is B", "B is correct", and an option's text, alone or after "the answer
    is"; also a sentence in another script that contains one option letter. Typography, LaTeX and Markdown are ignored.

    Does not read the article of "A man ..." as option A. Reads nothing from "A or B", from "not option B", from a
    letter that contradicts the text after it, from one that is denied later, or from a repeated list of the options. A
    correction ("A, no, B") counts. Of several boxes the last one counts, readable or not.

    Time is linear in the length of the answer.

    Args:
        said: The raw answer.
        options: The options' texts, in order.

    Returns:
        The option's index; None if no single option can be read.
    """
    if len(said) > MAX_ANSWER_LENGTH:
        return None
    if len(said) == 1 and said.isascii() and said.isalpha():
        # What is read below from a letter alone, without its cost: agents in a gym mostly answer so.
        letter = ord(said.upper()) - ord("A")
        if letter < len(options):
            return letter
    core, choices = read_core(said), _choices(tuple(options))
    position = choices.read(core.text)
    if position is None or (core.before and is_denied(core.before)) or choices.takes_back(position, core.after):
        return None
    return position


def _read_quantity(said: str) -> Quantity | None:
    """The one quantity that an answer states; the part after "the answer is" has priority."""
    if len(said) > MAX_ANSWER_LENGTH:
        return None
    core = read_core(said)
    if (core.before and is_denied(core.before)) or is_retracted(core.after):
        return None
    for statement in (*(text for _, text in _led(core.text, _ANSWER_IS)[:1]), core.text):
        found = read_quantities(statement)
        if found and all(same_quantity(found[0], other, 0.0) for other in found):
            return found[0]
    return None


def read_number(said: str) -> float | None:
    """Read the number that an answer states.

    Reads digits with thousands separators, decimals, exponents, fractions ("3/4", "1 1/2"), powers ("10^3"), scales
    ("1k", "5 million", "two dozen") and English number words. The part after "the answer is" has priority. None if
    there is no number, there are several different ones, or a number cannot be read as a whole, is denied ("not 3") or
    is only a limit ("at least 3").
    """
    found = _read_quantity(said)
    return None if found is None else found.value


def _gold_quantity(answer: str) -> Quantity | None:
    """The quantity if the whole reference answer is one; None if it merely contains one."""
    return read_quantity(plain_text(normalize(answer)))


def is_number(answer: str) -> bool:
    """Whether a reference answer is a number, so that answers to an open question are compared as numbers."""
    return _gold_quantity(answer) is not None


class Question(Protocol):
    """What grading reads of a task: a `VideoTask`, or the `TaskFacts` of a record."""

    @property
    def options(self) -> Sequence[str]:
        """The options' texts; empty for an open question."""

    @property
    def answer(self) -> str:
        """The right answer; "" if unknown."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Facts of the task; `tolerance` is read."""


def grade(said: str | None, task: Question) -> Grade:
    """Grade an answer.

    With options, the answer must name one of them (`read_choice`). Without options, a reference answer that is a
    number, with or without a unit, is compared as a number within the task's `metadata["tolerance"]` (relative, default
    1e-3): "50%" agrees with "50 %", "50" and "0.5", "5 meters" with "5" and "500 cm", "3/4" with "0.75". Any other
    answer is compared as text after normalizing typography, case, spaces, outer punctuation and a leading article.

    Args:
        said: The answer's raw text; None if the episode ended without one.
        task: The task, with options, reference answer and tolerance.
    """
    if not task.answer:
        return Grade(GradeStatus.UNSCORED)
    if said is None:
        return Grade(GradeStatus.MISSING)
    if task.options:
        position = read_choice(said, task.options)
        if position is None:
            return Grade(GradeStatus.UNREADABLE)
        right = position == answer_index(task.options, task.answer)
        return Grade(GradeStatus.CORRECT if right else GradeStatus.WRONG, task.options[position])
    if len(said) > MAX_ANSWER_LENGTH:
        return Grade(GradeStatus.UNREADABLE)
    gold = _gold_quantity(task.answer)
    if gold is not None:
        quantity = _read_quantity(said)
        if quantity is None:
            return Grade(GradeStatus.UNREADABLE)
        right = same_quantity(quantity, gold, float(task.metadata.get("tolerance", 1e-3)))
        return Grade(GradeStatus.CORRECT if right else GradeStatus.WRONG, f"{quantity.value:g}")
    core = read_core(said)
    candidates = [_plain(text) for text in (core.text, *(text for _, text in _led(core.text, _ANSWER_IS)[:1]))]
    denied = (core.before and is_denied(core.before)) or is_retracted(core.after)
    right = _plain(task.answer) in candidates and not denied
    return Grade(GradeStatus.CORRECT if right else GradeStatus.WRONG, candidates[-1])


def lettered(options: Sequence[str]) -> str:
    """The options as shown to the agent, one per line: "A. red"."""
    return "\n".join(f"{option_letter(i)}. {option}" for i, option in enumerate(options))
