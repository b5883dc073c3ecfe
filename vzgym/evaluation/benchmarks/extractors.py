r"""Answer extractors: the rules by which benchmarks and toolkits read an option letter from a reply.

The same replies score 5 to 30 points apart under different extractors, so a score must name its extractor. Each
function here follows the rules of one published scorer, faults included; `vzgym` is this package's own reading
(`vzgym.episode.answers.read_choice`). All take the reply as the policy gave it.

An extractor is a function of a reply and a `Choices`. It returns the letters that the scorer would accept as the
answer: usually one; none if the reply cannot be read; several for a scorer that accepts any letter of a reply. Third
parties register theirs in `EXTRACTORS` (entry-point group `vzgym.extractors`).

```python
>>> from vzgym.evaluation.benchmarks.extractors import EXTRACTORS, Choices
>>> choices = Choices(("red", "green", "blue", "white"))
>>> EXTRACTORS.get("videomme")("Based on the video, (C).", choices)
('B',)
>>> EXTRACTORS.get("vzgym")("Based on the video, (C).", choices)
('C',)

```
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from vzgym.core.registry import Registry
from vzgym.episode.answers import read_choice
from vzgym.tasks.task import option_letter

__all__ = ["EXTRACTORS", "NEED_TAGS", "Choices", "Extractor"]


@dataclass(frozen=True, slots=True)
class Choices:
    """The options of a question.

    Attributes:
        texts: The options' texts in order, without letters. Repeated and empty texts are allowed.
    """

    texts: tuple[str, ...]

    @property
    def letters(self) -> tuple[str, ...]:
        """The options' letters: A, B, C, ..."""
        return tuple(option_letter(position) for position in range(len(self.texts)))


Extractor: TypeAlias = Callable[[str, Choices], tuple[str, ...]]

EXTRACTORS: Registry[tuple[str, ...]] = Registry("answer extractor", "vzgym.extractors")

NEED_TAGS: Final = frozenset({"video-holmes"})
"""Extractors that read nothing but `<answer>` tags. An answer whose tags the protocol removed gets them back."""

# Lead phrases that the extractor of Video-MME removes wherever they occur. A missing comma joins two pairs of them, so
# that neither member of a pair is ever removed.
_LEADS: Final = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option isThe correct option is",
    "Best answer:Best option:",
)
_LATER_LEADS: Final = (*_LEADS, "Answer:", "Option:")
_ALL_LEADS: Final = (
    "Final Answer:",
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
    "Answer:",
    "Option:",
)

_PHRASES: Final = (
    *(
        f"{head}{noun} is"
        for noun in ("answer", "option")
        for head in ("the correct ", "correct ", "the best ", "best ")
    ),
    "the answer is",
    "answer is",
    "the choice is",
    "choice is",
    "the correct choice is",
    "correct choice is",
    "i choose",
    "i select",
    "i pick",
    "my answer is",
    "my choice is",
    "옵션",
    "정답은",
    "답은",
    "답:",
    "答案是",
    "答案为",
    "选",
    "答えは",
)
_CAPITAL: Final = re.compile(r"\b[A-H]\b")
_BARE_VALUE: Final = re.compile(r"(?<=:\s)([A-Za-z_]\w*)")
_ANSWER_TAG: Final = re.compile(r"<answer>(.*?)</answer>")
_ANSWER_TAG_ANY: Final = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_VERBOSE: Final = re.compile(r"(?:correct\s+)?answer\s+is\s+\**([A-D])\**", re.IGNORECASE)
_REFUSALS: Final = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
    "Failed to obtain answer via API",
)


def _one(letter: str, choices: Choices) -> tuple[str, ...]:
    """`letter` if it is an option's, else nothing."""
    return (letter,) if letter in choices.letters else ()


def _first_capital(reply: str, letters: Iterable[str], leads: Sequence[str]) -> tuple[str, ...]:
    text = reply.strip()
    for lead in leads:
        text = text.replace(lead, "")
    allowed = set(letters)
    return next(((character,) for character in text if character in allowed), ())


def videomme(reply: str, choices: Choices) -> tuple[str, ...]:
    """The first option letter anywhere, once lead phrases are removed.

    Of Video-MME's official script; also of LongVideoBench, and of lmms-eval for Video-MME, MLVU and LVBench before
    2026-04. "Best option: C" is read as B, since "Best" starts with one.
    """
    return _first_capital(reply, choices.letters, _LEADS)


def videomme_v2(reply: str, choices: Choices) -> tuple[str, ...]:
    """As `videomme`, with all lead phrases removed; Video-MME-v2 in both toolkits."""
    return _first_capital(reply, choices.letters, _ALL_LEADS)


def vlmevalkit_videomme(reply: str, choices: Choices) -> tuple[str, ...]:
    """As `videomme`, with "Answer:" and "Option:" removed too; VLMEvalKit for Video-MME, without its judge."""
    return _first_capital(reply, choices.letters, _LATER_LEADS)


def lmms_eval(reply: str, choices: Choices) -> tuple[str, ...]:
    """The letter in the most explicit form, and of these the last one; lmms-eval since 2026-04-11.

    Forms from the most explicit: at the start, at the end, after an answer phrase, `(X)`, `X.`, `X:`, `X)`, `X ` and,
    if there is none of these, anywhere. It searches letters inside words too. lmms-eval passes A to D for MLVU's test
    split, whose answers go to F; this function takes the question's own letters.
    """
    text = reply.strip()
    for character in ",.!?;:'\"":
        text = text.strip(character)
    if not text.strip():
        return ()
    padded, bare = f" {text} ", text.strip()
    lower = padded.lower()
    found: list[tuple[int, int, str]] = []
    for letter in choices.letters:
        for rank, form in (
            (6, f"({letter})"),
            (5, f"{letter}."),
            (4, f"{letter}:"),
            (3, f"{letter})"),
            (2, f"{letter} "),
        ):
            if form in padded:
                found.append((rank, padded.rfind(form), letter))
        for phrase in _PHRASES:
            place = lower.find(phrase)
            after = padded.find(letter, place + len(phrase)) if place >= 0 else -1
            if after >= 0:
                found.append((7, after, letter))
        if bare.startswith(letter) and not bare[1:2].isalpha():
            found.append((10, 0, letter))
        if bare.endswith(letter) and not bare[-2:-1].isalpha():
            found.append((9, len(padded) - 1, letter))
    if not found:
        found = [(0, padded.rfind(letter), letter) for letter in choices.letters if letter in padded]
    if not found:
        return ()
    # The first of equals, in the options' order, as a stable sort would leave it.
    best = max(range(len(found)), key=lambda index: (found[index][:2], -index))
    return (found[best][2],)


def mlvu(reply: str, choices: Choices) -> tuple[str, ...]:
    """The character before the first `)`, else the whole reply; MLVU's official script.

    It suits MLVU's prompt, which ends in an opening bracket.
    """
    head, bracket, _ = reply.partition(")")
    return _one(head[-1:] if bracket else reply, choices)


def lvbench(reply: str, choices: Choices) -> tuple[str, ...]:
    """The first character of the first word before the first `)` and after a `(`; LVBench's official script."""
    words = reply.partition(")")[0].rpartition("(")[2].split()
    return _one(words[0][0] if words else "", choices)


def videommmu(reply: str, choices: Choices) -> tuple[str, ...]:
    """The last letter of the first form that occurs: `X.` or `X:`, `(X)`, `X ` and, in long replies, an option's text.

    Of VideoMMMU's official script, and of lmms-eval before 2026-04; published numbers use it.
    """
    text = reply
    for character in ",.!?;:'":
        text = text.strip(character)
    padded = f" {text} "
    for forms in (("{}.", "{}:"), ("({})",), ("{} ",)):
        places = {letter: max(padded.rfind(form.format(letter)) for form in forms) for letter in choices.letters}
        if any(place >= 0 for place in places.values()):
            return (max(places, key=lambda letter: places[letter]),)
    if len(text.split()) > 5:
        lower = padded.lower()
        texts = {
            letter: lower.rfind(option.lower())
            for letter, option in zip(choices.letters, choices.texts, strict=True)
            if option and option.lower() in lower
        }
        if texts:
            return (max(texts, key=lambda letter: texts[letter]),)
    return ()


def cgbench(reply: str, choices: Choices) -> tuple[str, ...]:
    """The `result` of a fenced JSON object, else every stand-alone capital from A to H; CG-Bench's official script.

    "A or C" without JSON is right for A and for C. A result such as "C." is not an option's letter, and wrong.
    """
    start = reply.find("```json")
    end = reply.find("```", start + len("```json")) if start >= 0 else -1
    if end >= 0:
        # The official script quotes bare words: {"result": C}.
        body = _BARE_VALUE.sub(r'"\1"', reply[start + len("```json") : end].strip())
        try:
            result = json.loads(body)["result"]
        except (ValueError, TypeError, LookupError, RecursionError):
            pass
        else:
            return _one(result, choices) if isinstance(result, str) else ()
    allowed = set(choices.letters)
    return tuple(dict.fromkeys(letter for letter in _CAPITAL.findall(reply) if letter in allowed))


def longvideo_reason(reply: str, choices: Choices) -> tuple[str, ...]:
    """The text of the first `<answer>` on one line, else the whole reply; it must be the bare letter.

    Of LongVideo-Reason's official script (its strict form; `vzgym` serves as the lenient one).
    """
    found = _ANSWER_TAG.search(reply)
    return _one((found.group(1) if found else reply).strip(), choices)


def video_holmes(reply: str, choices: Choices) -> tuple[str, ...]:
    """The first option letter in the last `<answer>`; Video-Holmes."""
    found = _ANSWER_TAG_ANY.findall(reply)
    return _first_capital(found[-1], choices.letters, ()) if found else ()


def vlmevalkit(reply: str, choices: Choices) -> tuple[str, ...]:
    """A single stand-alone letter among the last words, "answer is X", or the one option whose text occurs.

    The rule part of VLMEvalKit's `can_infer`; a reply that it cannot read goes to a chat model there, here it is
    unread.
    """
    if any(refusal in reply for refusal in _REFUSALS):
        return ()
    words = re.sub(r"[.()\[\],:;!*#{}]", " ", reply).split()
    present = [letter for letter in choices.letters if letter in words]
    if len(present) == 1 and words.index(present[0]) > len(words) - 5:
        return (present[0],)
    found = _VERBOSE.search(reply)
    if found and found.group(1).upper() in choices.letters:
        return (found.group(1).upper(),)
    lower = reply.lower()
    if len(lower) > 2 * sum(map(len, choices.texts)):
        return ()
    named = [letter for letter, text in zip(choices.letters, choices.texts, strict=True) if text.lower() in lower]
    return (named[0],) if len(named) == 1 else ()


def vzgym(reply: str, choices: Choices) -> tuple[str, ...]:
    """This package's reading: the reply names one option as a whole, or is unread. Text of `<answer>` tags is taken.

    See `vzgym.episode.answers.read_choice`.
    """
    found = _ANSWER_TAG_ANY.findall(reply)
    position = read_choice(found[-1] if found else reply, choices.texts)
    return () if position is None else (option_letter(position),)


for _name, _extractor in {
    "videomme": videomme,
    "videomme-v2": videomme_v2,
    "lmms-eval": lmms_eval,
    "mlvu": mlvu,
    "lvbench": lvbench,
    "videommmu": videommmu,
    "cgbench": cgbench,
    "longvideo-reason": longvideo_reason,
    "video-holmes": video_holmes,
    "vlmevalkit": vlmevalkit,
    "vlmevalkit-videomme": vlmevalkit_videomme,
    "vzgym": vzgym,
}.items():
    EXTRACTORS.register(_name, _extractor)
