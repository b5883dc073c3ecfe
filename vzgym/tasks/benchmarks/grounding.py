"""What sets whose answer is an interval have in common."""

from __future__ import annotations

from vzgym.tasks.benchmarks.prompts import PromptStyle

__all__ = ["SPAN_PROMPT", "grounding_question"]

SPAN_PROMPT = PromptStyle(
    text="When in the video does the described event start and end? Answer in seconds, in the form 'start - end', for "
    "example '24.3 - 30.4'. The event: {query}\nGive both times."
)
"""The prompt of an event's interval, in the form of lmms-eval's."""


def grounding_question(query: str) -> str:
    """A question for the interval of what a text describes, for dialogues with tools."""
    return (
        f'When in the video does this happen: "{query}"? Answer with its start and its end in seconds: "start - end".'
    )
