"""What sets whose answer is an interval have in common."""

from __future__ import annotations

from vzgym.tasks.benchmarks.prompts import PromptStyle

__all__ = ["SPAN_PROMPT", "grounding_question"]

SPAN_PROMPT = PromptStyle(
    text="Find the start and the end of the event in the video that the text describes, in seconds. Answer in the form "
    "'The event happens in the <start time> - <end time>', for example 'The event happens in the 24.3 - 30.4 seconds'. "
    "The text: {query}\nGive the start time and the end time."
)
"""The prompt of an event's interval, as in lmms-eval."""


def grounding_question(query: str) -> str:
    """A question for the interval of what a text describes, for dialogues with tools."""
    return (
        f'When in the video does this happen: "{query}"? Answer with its start and its end in seconds: "start - end".'
    )
