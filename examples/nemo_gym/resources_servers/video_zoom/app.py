"""The environment as a resources server of NeMo Gym: see README.md."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from nemo_gym.base_resources_server import BaseResourcesServerConfig
from nemo_gym.openai_utils import NeMoGymResponse
from nemo_gym.server_utils import SESSION_ID_KEY
from pydantic import BaseModel, Field
from resources_servers.gymnasium import EnvResetRequest, EnvStepRequest, GymnasiumServer, extract_text

from vzgym.episode import Message
from vzgym.interfaces import encode_messages
from vzgym.interfaces.rollouts import TextRollout, shared_rollouts


class Messages(BaseModel):
    """What the agent appends to its dialogue: messages of the Responses API, with `input_image` parts."""

    observation: list[dict[str, Any]] = Field(default_factory=list)
    info: dict[str, Any] = Field(default_factory=dict)


class StepMessages(Messages):
    """The result of a turn."""

    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False


class VideoZoomConfig(BaseResourcesServerConfig):
    """The server's configuration; `settings` are those of `vzgym.interfaces.rollouts.TextRollouts`."""

    settings: dict[str, Any] = Field(default_factory=dict)


class VideoZoomServer(GymnasiumServer):
    """One episode a session, of the task that the row's `extra_info` names.

    The endpoints replace those of the base class, whose observations are text.
    """

    config: VideoZoomConfig

    def setup_webserver(self) -> FastAPI:
        """The base class's routes with this class's endpoints."""
        app = FastAPI()
        self.setup_session_middleware(app)
        app.post("/reset")(self.reset_endpoint)
        app.post("/step")(self.step_endpoint)
        app.post("/aggregate_metrics")(self.aggregate_metrics)
        return app

    async def reset_endpoint(self, body: EnvResetRequest, request: Request) -> Messages:
        """Start the episode: the rules, the overview and the question."""
        rollouts = shared_rollouts("nemo_gym", self.config.settings)
        rollout = await asyncio.to_thread(rollouts.start, (body.model_extra or {}).get("extra_info"))
        self.session_state[request.session[SESSION_ID_KEY]] = rollout
        return Messages(observation=responses_input(rollout.episode.messages))

    async def step_endpoint(self, body: EnvStepRequest, request: Request) -> StepMessages:
        """Play a turn."""
        rollout: TextRollout = self.session_state[request.session[SESSION_ID_KEY]]
        replies = await asyncio.to_thread(rollout.step, extract_text(body.response))
        entry = (rollout.record.rewards or [])[-1]
        info: dict[str, Any] = {"reward_terms": entry["terms"], "scored": entry["total"] is not None}
        if rollout.ended:
            info["measures"] = rollout.measures
            await asyncio.to_thread(rollout.finish)
            await self.close_session(request.session[SESSION_ID_KEY])
        return StepMessages(
            observation=[] if rollout.ended else responses_input(replies),
            reward=rollout.latest_reward,
            terminated=rollout.ended and not rollout.episode.truncated,
            truncated=rollout.episode.truncated,
            info=info,
        )

    async def step(self, action: NeMoGymResponse, metadata: dict[str, Any], session_id: str | None = None) -> Any:
        """Not used: `step_endpoint` is called in its place."""
        raise NotImplementedError("a step comes with its session: step_endpoint plays it")


def responses_input(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """A dialogue as input of the Responses API. The environment's replies are the user's, which may hold images."""
    return [
        {
            "type": "message",
            "role": "user" if message.role == "tool" else message.role,
            "content": [
                {"type": "input_text", "text": part}
                if isinstance(part, str)
                else {"type": "input_image", "image_url": part.data_url, "detail": "auto"}
                for part in message.parts
            ],
        }
        for message in encode_messages(messages)
    ]


if __name__ == "__main__":
    VideoZoomServer.run_webserver()
