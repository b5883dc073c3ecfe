"""Plays an episode as a dialogue between the environment and an agent of verifiers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import verifiers.v1 as vf

from vzgym.episode import Message
from vzgym.interfaces.messages import encode_messages
from vzgym.interfaces.rollouts import TextRollout
from vzgym.interfaces.verifiers.taskset import VideoZoomTask, keep
from vzgym.protocols.tool_calls import turn_text

__all__ = ["VideoZoomEnv", "VideoZoomEnvConfig"]


class VideoZoomEnvConfig(vf.EnvConfig):
    """The agent runs in this process: its runtime is local, not the remote sandbox that is verifiers' default."""

    agent: vf.AgentConfig = vf.AgentConfig(runtime=vf.SubprocessConfig())


class VideoZoomEnv(vf.Env[VideoZoomEnvConfig]):
    """One agent, one episode.

    The trace stops as the episode ends: "answered", "out_of_rounds" or "video_error". Where verifiers stops it first
    (`max_turns`, a limit on tokens), the rounds that are left hold empty turns. After an error or a timeout the episode
    has no record, and is unscored.
    """

    async def run(self, task: VideoZoomTask, agents: vf.Agents) -> None:
        """Play the episode of a task."""
        rollout = await asyncio.to_thread(task.start)
        async with agents.agent.interaction(task) as interaction:
            trace, kept = interaction.trace, False
            try:
                await _converse(rollout, interaction)
                if not trace.errors and not trace.is_timeout:
                    await asyncio.to_thread(rollout.finish)
                    keep(rollout, trace)
                    kept = True
                    trace.stop(str(rollout.record.end))  # what stopped it first remains
            finally:
                if not kept:
                    rollout.abort()


async def _converse(rollout: TextRollout, interaction: vf.Interaction) -> None:
    new: Sequence[Message] = rollout.record.messages
    while True:
        segment = await interaction.turn(_wire(new))
        if segment.terminated:
            return
        text, cut_off = _said(segment, interaction.trace)
        new = await asyncio.to_thread(rollout.step, text, truncated=cut_off)
        if rollout.ended:
            return


def _wire(messages: Sequence[Message]) -> list[Any]:
    """Messages of verifiers, with frames as images. The environment's replies have the role "user", as in the paper."""
    wire: list[Any] = []
    for message in encode_messages(messages):
        if message.role == "system":
            wire.append(vf.SystemMessage(content=message.text))
            continue
        content = [
            vf.TextContentPart(text=part)
            if isinstance(part, str)
            else vf.ImageUrlContentPart(image_url=vf.ImageUrlSource(url=part.data_url))
            for part in message.parts
        ]
        wire.append(vf.UserMessage(content=content))
    return wire


def _said(segment: vf.Segment, trace: vf.Trace) -> tuple[str, bool]:
    """The agent's turn as text, and whether the token limit cut it off.

    Reasoning and native tool calls that the server returned separately become text, as in evaluation.
    """
    message = segment.messages[-1]
    cut_off = trace.calls[-1].finish_reason == "length"
    if not (message.tool_calls or message.reasoning_content):
        return message.content or "", cut_off
    calls = [{"function": {"name": call.name, "arguments": call.arguments}} for call in message.tool_calls or ()]
    said = {"content": message.content, "reasoning_content": message.reasoning_content, "tool_calls": calls}
    return turn_text(said), cut_off
