"""The client of an OpenEnv server."""

from __future__ import annotations

from typing import Any

from openenv.core.client_types import StepResult
from openenv.core.env_client import EnvClient

from vzgym.interfaces.openenv.models import VideoZoomAction, VideoZoomObservation, VideoZoomState

__all__ = ["VideoZoomClient"]


class VideoZoomClient(EnvClient[VideoZoomAction, VideoZoomObservation, VideoZoomState]):
    """Plays episodes in a session of a server; asynchronous, and synchronous with `.sync()`.

    `reset(split=, index=)` starts the episode of a task, `reset(seed=)` that of a drawn one. `step` takes a
    `VideoZoomAction` or the agent's text. A server with a token needs `headers={"Authorization": "Bearer ..."}`.

    A request that the server refuses raises a `RuntimeError` with the name of the error.
    """

    def _step_payload(self, action: VideoZoomAction | str) -> dict[str, Any]:
        turn = VideoZoomAction(text=action) if isinstance(action, str) else action
        return {"text": turn.text, "cut_off": turn.cut_off}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[VideoZoomObservation]:
        reward, done = payload["reward"], payload["done"]
        observation = VideoZoomObservation.model_validate({**payload["observation"], "reward": reward, "done": done})
        return StepResult(observation=observation, reward=reward, done=done)

    def _parse_state(self, payload: dict[str, Any]) -> VideoZoomState:
        state: VideoZoomState = VideoZoomState.model_validate(payload)
        return state
