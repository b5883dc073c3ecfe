"""Phrases for the thoughts of scripted experts.

A phrase book maps the reason of a `Step` to phrases. Those that name the scene are used where the question names one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from vzgym.core.actions import Action, TurnRules, Zooms
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.protocols.base import PAPER_RULES, TextProtocol

__all__ = ["PHRASES", "choose_phrase", "compose", "windows_of"]

PHRASES: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    # Whole sentences in several wordings, for pre-trained language models.
    "sentences": {
        "look": (
            "The overview shows the {scene} scene from {start} to {end} s. I look at {from} to {to} s more closely.",
            "I have to find the {scene} scene. It begins at {start} s, so I zoom into {from} to {to} s.",
            "The {scene} scene begins at {start} s. Its overview frames do not show it: I need more from {from} s on.",
            "The overview does not show it. I search {from} to {to} s.",
            "Nothing in the overview answers this. I begin with {from} to {to} s.",
        ),
        "look_on": (
            "Nothing in that clip. The {scene} scene goes on until {end} s: I look at {from} to {to} s.",
            "It is not in this part of the {scene} scene, so it must be in {from} to {to} s.",
            "I have not seen it yet. Next I look at {from} to {to} s.",
        ),
        "follow": (
            "The card shows {scene}. The {scene} scene begins at {start} s. I look at {from} to {to} s.",
            "The card is {scene}, and the overview shows {scene} from {start} s on: I zoom into {from} to {to} s.",
            "The card points to another scene: I look at {from} to {to} s.",
        ),
        "needless": (
            "The {scene} scene begins at {start} s. To be sure I look at {from} to {to} s more closely.",
            "Before I answer I look at {from} to {to} s.",
        ),
        "instead": (
            "Instead I look at {from} to {to} s at {fps} fps.",
            "A better choice is {from} to {to} s at {fps} fps.",
        ),
        "closer": (
            "It happens around {at} s, too fast for these frames. I look at {from} to {to} s at {fps} fps.",
            "Around {at} s there is something. To see all of it I need {fps} fps from {from} to {to} s.",
        ),
        "seen": (
            "The clip of the {scene} scene shows it: {answer}.",
            "Now I can see it. The answer is {answer}.",
            "These frames show {answer}.",
        ),
        "overview": (
            "The overview already shows it in the {scene} scene: {answer}.",
            "The overview is enough to answer: {answer}.",
        ),
        "guess": ("I will simply guess {answer}.", "I take {answer}.", "It may be {answer}."),
        "stop": ("That must be enough: {answer}.", "I answer now: {answer}."),
        "told": ("The frames show {answer}.", "From these frames the answer is {answer}."),
        "oracle": (
            "What is asked happens between {from} and {to} s in the {scene} scene. I look there at {fps} fps.",
            "I look at {from} to {to} s at {fps} fps.",
        ),
        "oracle_several": (
            "What is asked happens in several places. I look at {windows} in one turn.",
            "I look at {windows} together.",
        ),
        "wrong_scene": (
            "I look at {from} to {to} s first.",
            "The {scene} scene might be at {from} s.",
            "Perhaps {from} to {to} s shows it.",
        ),
        "too_coarse": (
            "The {scene} scene lasts from {start} to {end} s. I look at all of it at {fps} fps.",
            "I look at {from} to {to} s at {fps} fps.",
        ),
        "wide": (
            "The {scene} scene lasts from {start} to {end} s. I look at all of it at once.",
            "One zoom from {from} to {to} s covers everything.",
        ),
        "after_wrong_scene": (
            "The previous zoom was wrong: it shows the {other} scene. The {scene} scene begins at {start} s.",
            "That was the wrong place.",
            "That was the wrong place. Those frames belong to the {other} scene, not to the {scene} scene.",
        ),
        "after_too_coarse": (
            "The previous zoom was too coarse: with a frame every {gap} s, something short falls in between.",
            "At {fps} fps I saw no more than the overview did. I need frames that are closer together.",
        ),
        "missed": (
            "The previous zooms did not show what happens in the {scene} scene, so an answer would be a guess.",
            "The previous zooms were not enough to answer: they missed the moment that matters.",
        ),
        "misread": ("The answer is in these frames: I should look at them again.",),
        "subtitles": (
            "What is said may tell where to look: I search the subtitles.",
            "Before I zoom I search the subtitles for what is asked.",
        ),
        "find_frames": (
            "I do not know where it is: I search for frames that fit the question.",
            "A search for frames is cheaper than zooming at random.",
        ),
        "found": (
            "The search names {at} s. I look at {from} to {to} s at {fps} fps.",
            "It may be around {at} s: I zoom into {from} to {to} s.",
        ),
        "call": ("I call {tool}.",),
        "zoom": ("I look at {from} to {to} s at {fps} fps.",),
        "zooms": ("I look at {windows}.",),
        "answer": ("My answer is {answer}.",),
    },
    # One fixed phrase of few tokens for each reason, for tiny models. A zoom's phrase states where the scene begins;
    # an answer's phrase from the overview, what the scene shows.
    "short": {
        "look": ("{scene}{start}", "{from}"),
        "look_on": ("nothing",),
        "follow": ("{scene}{start}", "{from}"),
        "needless": ("{scene}{start}", "{from}"),
        "instead": ("{scene}{start}", "{from}"),
        "closer": ("{scene}{at}", "{at}"),
        "seen": ("seen",),
        "overview": ("{scene}{answer}", "seen"),
        "guess": ("seen",),
        "stop": ("seen",),
        "told": ("seen",),
        "oracle": ("{scene}{start}", "{from}"),
        "oracle_several": ("{from}",),
        "wrong_scene": ("{scene}{from}", "{from}"),
        "too_coarse": ("{scene}{start}", "{from}"),
        "wide": ("{scene}{start}", "{from}"),
        "after_wrong_scene": ("wrong",),
        "after_too_coarse": ("wrong",),
        "missed": ("wrong",),
        "misread": ("wrong",),
        # No words of their own: the tiny model's vocabulary is made from this book.
        "subtitles": ("nothing",),
        "find_frames": ("nothing",),
        "found": ("{at}",),
        "call": ("{tool}",),
        "zoom": ("{from}",),
        "zooms": ("{from}",),
        "answer": ("seen",),
    },
}
"""Phrase books: reason -> wordings. The placeholders are the facts of a `Step`."""


def choose_phrase(
    book: str, reason: str, facts: Mapping[str, Any], rng: np.random.Generator, wordings: int | None = None
) -> str:
    """Choose one of a book's phrases for a reason and fill in the facts.

    Args:
        book: A phrase book's name.
        reason: Why the step is taken.
        facts: Values of the placeholders; numbers are written without trailing zeros.
        rng: Chooses among the wordings.
        wordings: Number of wordings to use, from the first; all if None.

    Raises:
        UnknownName: If the book is unknown or does not contain the reason.
    """
    if book not in PHRASES:
        raise UnknownName("phrase book", book, PHRASES)
    if reason not in PHRASES[book]:
        raise UnknownName("reason", reason, PHRASES[book])
    named = bool(facts.get("scene"))
    fitting = [phrase for phrase in PHRASES[book][reason] if named or "{scene}" not in phrase]
    if named and any("{scene}" in phrase for phrase in fitting):
        fitting = [phrase for phrase in fitting if "{scene}" in phrase]
    choice = fitting[int(rng.integers(len(fitting[:wordings])))]
    return choice.format(**{key: _written(value) for key, value in facts.items()})


def compose(protocol: TextProtocol, action: Action, thought: str, rules: TurnRules = PAPER_RULES) -> str:
    """Compose a turn in the protocol's form: the thought, if the protocol has one, then the action.

    Args:
        protocol: The text protocol.
        action: The action.
        thought: The thought.
        rules: What a turn of the episode may hold (`Episode.rules`).

    Raises:
        InvalidSetting: If the protocol does not read its own form back as the same action.
    """
    text = protocol.text_of(action)
    if getattr(protocol, "think", "none") != "none":
        text = f"<think>{thought}</think>{getattr(protocol, 'after_thought', '')}{text}"
    parsed = protocol.parse(text, rules)
    if type(parsed.action) is not type(action) or not parsed.well_formed:
        raise InvalidSetting(
            f"text protocol {dict(protocol.spec)} does not read its own form back: {text!r} gave {parsed}; scripted "
            "experts cannot use it"
        )
    return text


def windows_of(action: Zooms) -> str:
    """The intervals of several zooms, for the phrase of a turn: "4 to 6 s and 10 to 12.5 s"."""
    return " and ".join(f"{_written(zoom.start)} to {_written(zoom.end)} s" for zoom in action.zooms)


def _written(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{float(value):.2f}".rstrip("0").rstrip(".")
    return str(value)
