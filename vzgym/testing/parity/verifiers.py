"""verifiers: its agent with our harness, against a chat server on the loopback interface."""

from __future__ import annotations

import asyncio
from typing import Any

from vzgym.agents.data.phrases import compose
from vzgym.core.actions import TurnRules
from vzgym.episode.record import EpisodeRecord
from vzgym.protocols.base import PROTOCOLS
from vzgym.testing.parity.pixels import Seen
from vzgym.testing.parity.script import Script
from vzgym.testing.parity.served_chat import seen_in_chat, serving_chat

__all__ = ["VerifiersInterface"]


class VerifiersInterface:
    """An episode of verifiers, of the installed plug-in `video-zoom`. The model sees the requests that arrive."""

    name = "verifiers"
    needs = ("verifiers", "video_zoom")
    has_grid = False
    shows_frames = True

    def play(self, script: Script, seen: list[Seen] | None = None) -> EpisodeRecord:
        """See `Interface.play`."""
        import verifiers.v1 as vf

        from vzgym.interfaces.rollouts import TextRollout, TextRollouts
        from vzgym.interfaces.verifiers import VideoZoomTask, VideoZoomTaskConfig, VideoZoomTaskData

        started: list[TextRollout] = []

        class Scripted(VideoZoomTask):
            """Plays the script's task, which has no name by which it could be loaded."""

            def start(self) -> TextRollout:
                extras = script.extras
                settings = TextRollouts(
                    "verifiers", reward=script.reward, tools=extras.tools, subtitles=extras.subtitles
                )
                started.append(TextRollout(settings, extras.episode(script.task, script.budget, settings.protocol)))
                return started[-1]

        rules = TurnRules(script.budget.zooms_per_turn, tuple(tool.name for tool in script.extras.tools))
        spoken = PROTOCOLS.make("tags")
        said = [compose(spoken, action, "Look, then say.", rules) for action in script.actions]
        data = VideoZoomTaskData(id=script.task.id, tasks="script", index=0)
        task = Scripted(data, VideoZoomTaskConfig(reward=dict(script.reward)))
        environment = vf.load_environment(vf.resolve_env_config({"taskset": {"id": "video-zoom"}}))
        with serving_chat([{"role": "assistant", "content": text} for text in said]) as (url, requests):
            client = vf.EvalClientConfig(base_url=url, api_key_var="VZGYM_NO_KEY")
            context = vf.ModelContext(model="scripted", client=client, sampling=vf.SamplingConfig())

            async def run() -> Any:
                async with environment.serving():
                    return await environment.run_episode(task, context)

            episode = asyncio.run(run())
        if not episode.ok:
            raise AssertionError(f"the episode failed: {[*episode.errors, *episode.traces]}")
        if seen is not None:
            seen += seen_in_chat(requests[-1]["messages"])
        return started[0].record
