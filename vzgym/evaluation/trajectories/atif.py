"""Episodes in the Agent Trajectory Interchange Format (ATIF).

ATIF is the JSON format of the Harbor framework (RFC 0001), read by its viewer and by other tools. The documents follow
version 1.7; version 1.8 differs only in audio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vzgym.core.actions import ToolCall
from vzgym.episode.costs import EpisodeCosts
from vzgym.episode.dialogue import Block, ImageBlock, Message
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.turn import Turn
from vzgym.evaluation.trajectories.frames import StoreFrame
from vzgym.protocols.arguments import arguments_of
from vzgym.protocols.tool_calls import TOOL_NAME, tool_functions
from vzgym.rollout.task_rollouts import package_version

__all__ = ["ATIF_VERSION", "to_atif"]

ATIF_VERSION: Final = "ATIF-v1.7"

_OPEN, _CLOSE = "<think>", "</think>"


def to_atif(record: EpisodeRecord, messages: Sequence[Message], store: StoreFrame) -> dict[str, Any]:
    """Convert an episode to an ATIF document.

    The messages before the first turn become system and user steps. Each turn becomes one agent step: its text, its
    thought (`reasoning_content`) and its zooms (calls of the function `video_zoom`) or tool call, with the
    environment's replies as observation. The task with answer and evidence, the grade, the rewards and the run are in
    `extra`, the cost ledger is in `final_metrics.extra`.

    Args:
        record: The episode.
        messages: Its dialogue, with pixels.
        store: Stores each frame.
    """
    info = record.info
    opening = next((place for place, message in enumerate(messages) if message.role == "assistant"), len(messages))
    steps = [_opening_step(message, store) for message in messages[:opening]]
    rest = messages[opening:]
    replies = [message for message in rest if message.role != "assistant"]
    for number, turn in enumerate(record.turns):
        steps.append(_turn_step(turn, number, replies[number] if number < len(replies) else None, store))
    for number, step in enumerate(steps, start=1):
        steps[number - 1] = {"step_id": number, **step}
    run = info.policy or "unknown"
    sample = "" if info.sample is None else f"#{info.sample}"
    return {
        "schema_version": ATIF_VERSION,
        "session_id": run if info.seed is None else f"{run}, seed {info.seed}",
        "trajectory_id": f"{record.task.id}{sample}",
        "agent": {
            "name": run,
            "version": info.vzgym or package_version(),
            "tool_definitions": tool_functions(record.budget, record.tools) if record.budget.max_zooms else [],
            "extra": {"budget": record.budget.to_dict(), "wording": dict(info.wording)},
        },
        "steps": steps,
        "final_metrics": _final_metrics(record, len(steps)),
        "extra": {
            "task": record.task.to_json(),
            "end": record.end,
            "grade": None if record.grade is None else {"status": record.grade.status, "read": record.grade.read},
            "rewards": record.rewards,
            "run": info.to_json(),
        },
    }


def _opening_step(message: Message, store: StoreFrame) -> dict[str, Any]:
    return {
        "source": "system" if message.role == "system" else "user",
        "message": _content(message.blocks, store),
    }


def _turn_step(turn: Turn, number: int, reply: Message | None, store: StoreFrame) -> dict[str, Any]:
    thought, text = _split_thought(turn.text)
    calls = _calls(turn, number)
    step: dict[str, Any] = {"source": "agent", "message": text}
    if thought is not None:
        step["reasoning_content"] = thought
    if calls:
        step["tool_calls"] = calls
    if reply is not None:
        step["observation"] = {"results": _results(reply, calls, store)}
    step["extra"] = {
        "outcome": turn.outcome,
        "well_formed": turn.well_formed,
        **({"refusal": turn.refusal} if turn.refusal else {}),
    }
    return step


def _calls(turn: Turn, number: int) -> list[dict[str, Any]]:
    """The turn's zooms, or its tool call."""
    called: list[tuple[str, Mapping[str, Any]]] = [(TOOL_NAME, arguments_of(zoom)) for zoom in turn.zooms]
    if isinstance(turn.action, ToolCall):
        called.append((turn.action.name, turn.action.arguments))
    return [
        {
            "tool_call_id": f"call_{number + 1}_{place}",
            "function_name": name,
            "arguments": {key: _json_numbers(value) for key, value in arguments.items()},
        }
        for place, (name, arguments) in enumerate(called, start=1)
    ]


def _results(reply: Message, calls: Sequence[Mapping[str, Any]], store: StoreFrame) -> list[dict[str, Any]]:
    """The reply, one part for each call; the whole reply at the first call if there is a single part."""
    parts = reply.parts
    if len(parts) != len(calls):
        parts = [reply.blocks]
    results = []
    for place, part in enumerate(parts):
        call = {"source_call_id": calls[place]["tool_call_id"]} if place < len(calls) else {}
        results.append({**call, "content": _content(part, store)})
    return results


def _json_numbers(value: Any) -> Any:
    """Replace nan and infinities, which JSON has no form for, by their names."""
    if isinstance(value, list):
        return [_json_numbers(item) for item in value]
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def _split_thought(text: str) -> tuple[str | None, str]:
    """Split a turn into its opening thought, if any, and the rest.

    As in `vzgym.protocols.turns`, a thought extends to the last `</think>` before the next one.
    """
    if not text.lstrip().startswith(_OPEN):
        return None, text
    body = text[text.index(_OPEN) + len(_OPEN) :]
    limit = body.find(_OPEN)
    end = body.rfind(_CLOSE, 0, limit if limit >= 0 else len(body))
    return (None, text) if end < 0 else (body[:end], body[end + len(_CLOSE) :])


def _content(blocks: Sequence[Block], store: StoreFrame) -> str | list[dict[str, Any]]:
    """Text, or text and images in order."""
    parts: list[dict[str, Any]] = []
    for block in blocks:
        if isinstance(block, ImageBlock):
            parts.append({"type": "image", "source": {"media_type": store.media_type, "path": store(block)}})
        elif parts and parts[-1]["type"] == "text":
            parts[-1]["text"] += block.text
        else:
            parts.append({"type": "text", "text": block.text})
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _final_metrics(record: EpisodeRecord, steps: int) -> dict[str, Any]:
    costs = record.info.costs
    tokens = {"total_prompt_tokens": "input_tokens", "total_completion_tokens": "output_tokens"}
    totals = [entry["total"] for entry in record.rewards or ()]
    return {
        **{name: int(costs[key]) for name, key in tokens.items() if key in costs},
        "total_steps": steps,
        "extra": {
            "correct": None if record.grade is None or record.grade.score is None else record.grade.is_correct,
            "reward": None if not totals or None in totals else math.fsum(totals),
            "costs": {**EpisodeCosts.of(record).to_json(), **costs},
        },
    }
