"""The training corpus of a tiny model's tokenizer: dialogues of a suite and a fixed word list."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vzgym.agents.data.phrases import PHRASES, compose
from vzgym.agents.data.scripted import TRAJECTORY_KINDS, ScriptedRollout, TrajectoryStyle
from vzgym.core.actions import Answer, Malformed, Zoom
from vzgym.episode import Episode, Message, TextBlock
from vzgym.episode.turn import Refusal
from vzgym.protocols import TextProtocol
from vzgym.tasks import TaskSet
from vzgym.tasks.procedural.render.palette import EVENT_COLORS, SCENE_HUES

__all__ = ["dialogue_texts", "vocabulary"]

_EPISODES = 10
_PHRASE_BOOK = "short"


def vocabulary() -> list[str]:
    """Words that are one token each: colors, and reasons of refusals."""
    # No model is trained to zoom first (`Budget.min_zooms`), and a further word would change the tiny model's size.
    return sorted({*SCENE_HUES, *EVENT_COLORS, *map(str, set(Refusal) - {Refusal.ZOOM_FIRST})})


def dialogue_texts(tasks: TaskSet, protocol: TextProtocol) -> Iterator[str]:
    """Every text block of some dialogues: the scripted experts' and blunderers', and refused turns.

    Args:
        tasks: The tasks; the first few are played.
        protocol: The text protocol of the dialogues.
    """
    style = TrajectoryStyle(protocol, _PHRASE_BOOK)
    for index in range(min(_EPISODES, len(tasks))):
        task = tasks[index]
        for number, kind in enumerate(TRAJECTORY_KINDS.values()):
            if kind.script is not None and not kind.tool:
                rollout = ScriptedRollout(task, tasks.budget, style, seed=number)
                kind.script(rollout)
                yield from _texts(rollout.episode.messages)
        episode = Episode(task, tasks.budget, protocol)
        while not episode.ended:
            episode.step(Malformed("unreadable."))
        yield from _texts(episode.messages)
        yield from _each_thought(protocol, np.random.default_rng(index))


def _each_thought(protocol: TextProtocol, rng: np.random.Generator) -> Iterator[str]:
    """Each fixed thought before each kind of action, so that no such pair is split into bytes."""
    start, end = sorted(rng.choice(90, 2, replace=False).tolist())
    words = sorted({word for phrases in PHRASES[_PHRASE_BOOK].values() for word in phrases if "{" not in word})
    for thought in ("", *words, *(f"{word} red{start}" for word in words)):
        for action in (Zoom(start, end, 1.0), Answer("red")):
            yield compose(protocol, action, thought)


def _texts(messages: list[Message]) -> Iterator[str]:
    for message in messages:
        yield from (block.text for block in message.blocks if isinstance(block, TextBlock))
