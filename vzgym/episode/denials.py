"""Denials in answers: whether a text denies, or later retracts, an option that it mentions."""

from __future__ import annotations

import re

__all__ = ["corrections", "denied_letters", "is_denied", "is_retracted"]

_WINDOW = 300
_SENTENCE_END = re.compile(r"[.;!?:]['\")]*(?=\s|$)|\n")
_CLAUSE_END = re.compile(r",|\s-+\s|\b(?:but|however|so|therefore|thus|hence|because|since|and)\b", re.IGNORECASE)
_SUBORDINATE = re.compile(r"\s*(?:that|which|whether)\b", re.IGNORECASE)
_NO_DENIAL = re.compile(
    r"\bno (?:doubt|question|wonder)\b|\bnot only\b|\bwithout (?:a |any )?(?:doubt|question)\b"
    r"|^\W*no\s+(?=(?:the|my)\b)",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"\b(?:not|never|neither|nor|cannot|no|nobody|none|hardly|scarcely|barely|unlikely|impossible|improbable|doubt|"
    r"doubts|doubtful|doubted|disagree|deny|denies|denied|wrong|false|falsely|incorrect|incorrectly|mistaken|mistakenly|"
    r"without|reject|rejects|rejected|refute|exclude|excludes|excluded|rule out|ruled out|eliminate|eliminated|except|"
    r"unless|if|whether|wonder|initially|originally|at first|first (?:thought|guess|got)|"
    # French, Spanish and Portuguese, German, Italian, Dutch, Polish, Scandinavian, Turkish, Vietnamese, Indonesian,
    # Russian.
    r"pas|jamais|n\u00e3o|nicht|kein|keine|non|niet|geen|nie|inte|ikke|de\u011fil|kh\u00f4ng|bukan|tidak|"
    r"\u043d\u0435|\u043d\u0435\u0442|\u043d\u0438)\b"
    r"|\b\w{1,12}n't\b"
    # Chinese, Japanese, Korean, Arabic, Hindi, Thai, Hebrew.
    r"|[\u4e0d\u6ca1\u6c92\u975e\u672a\u522b\u5225]|\u306a\u3044|\u307e\u305b\u3093|\u306a\u304f|\uc544\ub2c8|\uc544\ub2d9|"
    r"\uc54a|\u0644\u064a\u0633|\u063a\u064a\u0631|\u0928\u0939\u0940\u0902|\u0e44\u0e21\u0e48|\u05dc\u05d0",
    re.IGNORECASE,
)
_RIGHT = (
    r"(?:the |a |an )?(?:\w+ly )?(?:correct|right|true|best|answer|option|choice|case|possible|valid|likely|it|so)\b"
)
_WRONG = (
    r"(?:the |a )?(?:\w+ly )?"
    r"(?:wrong|incorrect|false|unlikely|impossible|mistaken|invalid|implausible|ruled out|excluded|eliminated)\b"
)
_IS = r"(?:is|was|are|were|'s|seems|looks|must be|would be|appears)"
_IS_WRONG = (
    rf"(?:{_IS}(?: to be)? (?:{_WRONG}|not {_RIGHT}|not\W*$)|(?:isn't|wasn't|aren't) (?:{_RIGHT}|\W*$)"
    rf"|(?:cannot|can't|couldn't|could not|can not) be\b|(?:doesn't|does not|didn't|did not) (?:fit|match|work|hold)\b)"
)
# Text directly after a claim: "A is wrong", "A? No.", "A (incorrect)".
_RETRACTED = re.compile(
    rf"\W*(?:{_IS_WRONG}|{_WRONG}|(?:no|nope|not|never)\b\W*(?:$|{_RIGHT}))|\W*\?\W*(?:no|nope|not|never)\b"
    rf"|\W*(?:(?:but|no|oh|well|however|and|sorry)\W+){{0,3}}(?:that|this|it|which)\s*{_IS_WRONG}",
    re.IGNORECASE,
)
_DENIED_LETTER = re.compile(
    r"(?i:(?:\b(?:not|never|neither|nor|cannot be|(?:isn't|wasn't|aren't|can't|couldn't|mustn't|won't)(?: be)?|"
    r"rul(?:e|es|ed|ing) out|exclud(?:e|es|ed|ing)|eliminat(?:e|es|ed|ing)|reject(?:s|ed|ing)?|instead of|rather than)"
    r"|(?:n't|\bnot) (?:think|believe|say)(?: that)? (?:it is|it's|it was|this is)"
    r"|\bdoubt(?: that)? (?:it is|it's|it was|this is))\s+"
    r"(?:be )?(?:the )?(?:option |choice |answer )?)\(?([A-Z])\b"
    rf"|\b([A-Z])\)?,? (?i:(?={_IS_WRONG}))"
)
_CORRECTION = re.compile(
    r"(?:^|[,.;:!?(\n]\s*|\s-+\s)(?:"
    r"(?:(?:oh|but|hmm|oops|sorry|well|and)\W+)?"
    r"(?:actually|wait(?! for| until)|correction|sorry|oops|hmm|rather(?! than)|"
    r"instead(?! of)|scratch that|i mean|make that|on second thoughts?|never mind|my mistake)\b[\s,.:;!-]*"
    r"|no\s*(?:[,.:;!]|-+\s)\s*)",
    re.IGNORECASE,
)


def is_denied(before: str) -> bool:
    """Whether the text before a mention denies it or puts it in doubt: "I do not think that the answer is ".

    Args:
        before: Normalized text up to the mention; the last 300 characters are read.
    """
    window = before[-_WINDOW:]
    sentence = _SENTENCE_END.split(window)[-1]
    clause = _CLAUSE_END.split(sentence)[-1]
    if _SUBORDINATE.match(clause):
        clause = sentence
    return bool(_DENIAL.search(_NO_DENIAL.sub(" ", clause)))


def is_retracted(after: str) -> bool:
    """Whether the text directly after a claim retracts it, as in " is wrong" or "? No".

    Args:
        after: Normalized text after the claim.
    """
    return _RETRACTED.match(after[:_WINDOW]) is not None


def denied_letters(text: str) -> set[str]:
    """The option letters that a text denies: "not B", "B is wrong"."""
    return {found[1] or found[2] for found in _DENIED_LETTER.finditer(text)}


def corrections(text: str, most: int = 4) -> list[tuple[int, int]]:
    """Spans of the last words that announce a correction ("no,", "actually", "wait"), the last first."""
    return [found.span() for found in _CORRECTION.finditer(text)][: -most - 1 : -1]
