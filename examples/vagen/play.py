"""Play one episode through VAGEN's own evaluation, with a model that says a script: `python play.py`."""

from __future__ import annotations

import asyncio
from typing import Any

from vagen.evaluate.adapters.openai_adapter import OpenAIAdapter
from vagen.evaluate.vision_workflow import GenericVisionInferenceWorkflow
from video_zoom_env import VideoZoom

import vzgym

TASKS = "tiny/train"


class Scripted(OpenAIAdapter):
    """VAGEN's client of OpenAI-compatible servers, without a server."""

    def __init__(self, turns: list[str]) -> None:
        super().__init__(client=None, model="scripted")
        self.turns = iter(turns)
        self.pictures = 0

    async def acompletion(self, messages: list[dict[str, Any]], **chat_config: Any) -> str:
        """The next turn; counts the pictures of the request."""
        self.pictures = sum(part["type"] == "image_url" for message in messages for part in message["content"])
        return next(self.turns)


def main() -> None:
    """Zoom once, then answer correctly."""
    letter = vzgym.load_tasks(TASKS)[0].letter
    zoom = '<think>Look.</think><video_zoom>{"segment": [4.0, 6.0], "fps": 4}</video_zoom>'
    adapter = Scripted([zoom, f"<think>So.</think><answer>{letter}</answer>"])
    workflow = GenericVisionInferenceWorkflow(adapter)
    episode = asyncio.run(workflow.arun_episode(VideoZoom, {"tasks": TASKS}, seed=0, max_turns=4))
    print(f"{episode['finish_reason']}: success {episode['success']}, rewards {episode['rewards']}")
    shown = episode["infos"][-1]["measures"]["frames"]
    print(f"{adapter.pictures} pictures in the last request; {shown:.0f} frames shown")


if __name__ == "__main__":
    main()
