"""Normalization of text that differs only in typography, and durations in words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

__all__ = [
    "close_name",
    "comparable",
    "duration_text",
    "find_surrogate",
    "known_names",
    "normalize",
    "replace_surrogates",
]

# ASCII equivalents of punctuation that NFKC leaves unchanged.
_SIGNS = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u02b9\u2032\u00b4\u02bb\u055a", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a\u300c\u300d\u300e\u300f\u301d\u301e\u301f", '"'),
    **dict.fromkeys("\u3002\u06d4\u0964\u0965\u1362\u0589", "."),
    **dict.fromkeys("\u3001\u060c\u1363\u055d", ","),
    **dict.fromkeys("\u061b\u1364", ";"),
    **dict.fromkeys("\u061f\u1367\u055e\u037e", "?"),
    **dict.fromkeys("\u00bf\u00a1", " "),
    **dict.fromkeys("\u2236\u02d0\ua789", ":"),
    **dict.fromkeys("\u2212\u02d7", "-"),
    **dict.fromkeys("\u2044\u2215\u00f7", "/"),
    **dict.fromkeys("\u00b7\u22c5\u2219", "\u00d7"),
    "\u066a": "%",
    "\u066b": ".",
    "\u066c": ",",
}


_AROUND = " .,;:!?*$()[]_\"'`"
_ARTICLE = re.compile(r"^(?:the|a|an) (?=.)")


@cache
def _spelling(character: str) -> str:
    """Normalize one character; "" if it is invisible."""
    if character in _SIGNS:
        return _SIGNS[character]
    category = unicodedata.category(character)
    if category == "Cf" or "\ufe00" <= character <= "\ufe0f":
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if character.isascii():
        return character
    decomposed = unicodedata.decomposition(character)
    plain = unicodedata.normalize("NFKC", character)
    # NFKC alone would turn 1 with a superscript 0 into 10, and three and a half into 31/2.
    if decomposed.startswith("<super>") and (plain.isdigit() or plain in "+\u2212"):
        return f"^{_SIGNS.get(plain, plain)}"
    if decomposed.startswith("<sub>") and plain.isdigit():
        return f"_{plain}"
    if decomposed.startswith("<fraction>"):
        return f" {plain.replace(chr(0x2044), '/')}"
    if decomposed.startswith("<circle>"):
        return f" {plain} "
    if category == "Pd":
        return "-"
    if category == "Ps":
        return "("
    if category == "Pe":
        return ")"
    return "".join(_SIGNS.get(part, part) for part in plain) if plain != character else character


def normalize(text: str) -> str:
    r"""Normalize the typography of a text.

    Unicode's NFKC; digits of all scripts as ASCII digits; quotation marks, apostrophes, dashes, brackets and the full
    stops, commas and colons of other scripts as their ASCII counterparts; no zero-width characters, byte-order marks or
    variation selectors. Superscript digits become `^2`, vulgar fractions ` 1/2`.

    Time is linear in the text's length.
    """
    if text.isascii():
        return text
    spelled = "".join(map(_spelling, unicodedata.normalize("NFC", text)))
    # "10" with two superscript digits is 10^23, not 10^2^3.
    return unicodedata.normalize("NFKC", re.sub(r"(?<=\^[0-9+-])\^(?=[0-9])", "", spelled))


def comparable(text: str) -> str:
    """Normalize a short text for comparison.

    Normalized, in lower case, with single spaces, without punctuation around it and without a leading article. Text
    that consists only of punctuation is kept.
    """
    folded = " ".join(normalize(text).casefold().split())
    bare = folded.strip(_AROUND) or folded
    return _ARTICLE.sub("", bare)


def find_surrogate(text: str) -> int | None:
    """Position of the first lone surrogate, a code point that cannot be encoded; None if there is none."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return error.start
    return None


def replace_surrogates(text: str) -> str:
    """`text` with lone surrogates as U+FFFD; two that form a pair become their character."""
    if find_surrogate(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def duration_text(seconds: float) -> str:
    """A duration: "2 h 5 min", "12 min", "40 s"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def close_name(name: object, valid: Iterable[str]) -> str:
    """The valid name that a misspelled one resembles most, whatever its case, the first of several; "" if none does."""
    # Imported here: only a mistake needs it.
    from difflib import SequenceMatcher, get_close_matches

    text = str(name).casefold()
    by_folded = {str(known).casefold(): str(known) for known in valid}
    close = get_close_matches(text, by_folded, n=max(1, len(by_folded)))
    best = max(
        (known for known in by_folded if known in close),
        key=lambda known: SequenceMatcher(None, known, text).ratio(),
        default="",
    )
    return by_folded.get(best, "")


def known_names(names: Iterable[object], valid: Iterable[str]) -> str:
    """The end of an error about unknown names: what could be meant, and all valid names.

    Args:
        names: The unknown names.
        valid: The valid names, in the order in which they are listed.

    Returns:
        `"did you mean 'needle'? Valid: needle, order"`, or `"valid: needle, order"` if no valid name is close.
    """
    valid = list(valid)
    close = dict.fromkeys(repr(match) for name in names if (match := close_name(name, valid)))
    listed = f"alid: {', '.join(valid) or 'none'}"
    return f"did you mean {' or '.join(close)}? V{listed}" if close else f"v{listed}"
