"""Open answers without a judge: the rule of VideoMMMU (and MMMU).

Published VideoMMMU scores use it. It takes the tail of each sentence after a cue word, and compares these tails and
their numbers with the gold answer.
"""

from __future__ import annotations

import math
import re
from typing import Final

__all__ = ["open_answer_is_right"]

_CUES: Final = (
    "could be", "so", "is", "thus", "therefore", "final", "answer", "result", "are", "in total", "total", "identify",
    "recognize", "calculated as", "counted as", "measured as", "observed as", "concluded as", "found to be", "equals",
    "determined to be", "number of", "value is", "adds up to", "have", "has",
)  # fmt: skip
_NUMBER: Final = re.compile(
    r"-?\b\d{1,3}(?:,\d{3})+\b|-?\d+(?:\.\d+)?[eE][+-]?\d+|-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])"
)
_MAX_REPLY: Final = 1 << 16


def _value(text: str) -> float | None:
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return None
    return round(value, 2) if math.isfinite(value) else None


def _tails(reply: str) -> list[str]:
    """The shortest tail after a cue word of each line; the whole reply if no line has a cue."""
    text = reply.strip().strip(".").lower()
    lines, tails = text.split("\n"), []
    for number, line in enumerate(lines):
        cues = [f"{cue} " for cue in _CUES] + (["="] if number == len(lines) - 1 else [])
        tail = ""
        for cue in cues:
            if cue in line:
                rest = line.rpartition(cue)[2].strip()
                tail = rest if not tail or len(rest) < len(tail) else tail
        if tail and tail not in set(":,.!?;'"):
            tails.append(tail)
    return tails or [text]


def open_answer_is_right(reply: str, gold: str) -> bool | None:
    """Whether an open reply agrees with the gold answer by VideoMMMU's rule.

    A number agrees if the gold number, rounded to 2 decimals, is among the numbers of the reply's tails. A text agrees
    if it occurs in a tail. The rule is lenient: "not seven" agrees with "seven".

    Args:
        reply: The raw reply.
        gold: The gold answer.

    Returns:
        None for an empty reply. The official script then leaves the question out of the denominator; count it as wrong.
    """
    if not reply.strip():
        return None
    tails = _tails(reply[:_MAX_REPLY])
    number = _value(gold.strip())
    if number is not None:
        values = [_value(tail) for tail in tails]
        values += [_value(found) for tail in tails for found in _NUMBER.findall(tail)]
        return number in values
    text = gold.strip().lower()
    # A single letter must stand beside a blank, so that it is no part of a word.
    forms = (f" {text}", f"{text} ") if len(text) == 1 else (text,)
    padded = [f" {tail} " if len(tail) == 1 else tail for tail in tails]
    return any(form in tail for form in forms for tail in padded)
