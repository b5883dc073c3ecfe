r"""Removal of markup from answers: boxes, LaTeX and Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vzgym.core.text import normalize

__all__ = ["Core", "plain_text", "read_core"]

_TAG = re.compile(r"</?answer>", re.IGNORECASE)
_BOX = re.compile(r"\\f?boxed\b|\\fbox\b")
_FONT = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|normal|sc)?|math(?:bf|it|rm|sf|tt|bb|cal|normal)|bm|boldsymbol|operatorname|mbox|emph|"
    r"underline|mathord|displaystyle|textstyle|left|right|bigl?|bigr?|Bigl?|Bigr?|quad|qquad|rm|bf|it)(?![A-Za-z])\*?"
)
_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}]{1,40})\}\s*\{([^{}]{1,40})\}|(\d)\s*(\d))")
_SIGNS = (
    (re.compile(r"\\(?:times|cdot)(?![A-Za-z])"), "\u00d7"),
    (re.compile(r"\^?\s{0,3}\{?\\(?:circ|degree)(?![A-Za-z])\}?|\\textdegree(?![A-Za-z])"), "\u00b0"),
    (re.compile(r"\\(?:[,;!: ]|(?:thinspace|space|nobreakspace)(?![A-Za-z]))|(?<!\\)~(?=\d)"), " "),
    (re.compile(r"\\[()\[\]]|(?<!\\)\$(?!\d)|(?<!\\)\$(?=[^$]{0,60}\$)"), " "),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\([%$#&_{}])"), r"\1"),
)
_POWER = re.compile(r"\^\{([^{}]{1,20})\}")
# Non-Latin letters next to ASCII letters or digits, without a space between words.
_FOREIGN = r"[^\W\d_\x00-\u036f\u1e00-\u1eff]"
_SCRIPTS = re.compile(rf"(?<=[A-Za-z0-9])(?={_FOREIGN})|(?<={_FOREIGN})(?=[A-Za-z0-9])")
_QUOTED_LETTER = re.compile(r"(?<![\w'])[\"'`]\(?([A-Za-z])\)?[\"'`](?![\w'])")
_WRAPPING = " \t\n\r*_\"'`"


@dataclass(frozen=True, slots=True)
class Core:
    """The part of a reply that contains the answer.

    Attributes:
        text: Its text, without markup; "" if the last box is unreadable.
        before: Text before the box; "" without a box.
        after: Text after the box; "" without a box.
    """

    text: str
    before: str = ""
    after: str = ""


def read_core(said: str) -> Core:
    r"""The content of the last `\boxed{...}`, readable or not; the whole reply if there is no box."""
    text = _TAG.sub(" ", normalize(said))
    boxes = list(_BOX.finditer(text))
    if not boxes:
        return Core(plain_text(text).strip(_WRAPPING))
    box = boxes[-1]
    start = box.end() + len(text[box.end() :]) - len(text[box.end() :].lstrip())
    if text[start : start + 1] != "{":
        # TeX takes one character where there are no braces.
        start, end = start, start + 1
    else:
        start, end = start + 1, _closing(text, start)
        if end < 0:
            return Core("")
    return Core(
        plain_text(text[start:end]).strip(_WRAPPING), plain_text(text[: box.start()]) + " ", plain_text(text[end + 1 :])
    )


def _closing(text: str, start: int) -> int:
    """Position of the brace that closes the one at `start`; -1 if none does."""
    depth = 0
    for found in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        if found[0] == "{":
            depth += 1
        elif found[0] == "}":
            depth -= 1
            if not depth:
                return found.start()
    return -1


def plain_text(text: str) -> str:
    """Normalized text without LaTeX and Markdown markup, with single spaces and no blank lines."""
    if text.isascii() and text.isalnum():
        return text  # one letter, word or number, as most answers are
    if "\\" in text or "$" in text or "{" in text:
        text = _FONT.sub("", text)
        text = _FRACTION.sub(lambda found: f" {found[1] or found[3]}/{found[2] or found[4]} ", text)
        for pattern, sign in _SIGNS:
            text = pattern.sub(sign, text)
        text = _POWER.sub(r"^\1", text).replace("{", "").replace("}", "")
    text = re.sub(r"(?<=\d) ?\u00d7 ?(?=\d)", " \u00d7 ", text)
    text = re.sub(r"(?<=\d)\*\*(?=\d)", "^", text).replace("**", "").replace("__", "")
    text = _QUOTED_LETTER.sub(r"\1", _SCRIPTS.sub(" ", text))
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)
