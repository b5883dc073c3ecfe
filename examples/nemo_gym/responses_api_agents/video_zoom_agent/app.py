"""An agent of NeMo Gym for servers whose observations are messages: see README.md."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, Request, Response
from nemo_gym.base_resources_server import BaseRunRequest, BaseVerifyResponse
from nemo_gym.base_responses_api_agent import BaseResponsesAPIAgentConfig, SimpleResponsesAPIAgent
from nemo_gym.config_types import ModelServerRef, ResourcesServerRef
from nemo_gym.openai_utils import (
    NeMoGymEasyInputMessage,
    NeMoGymResponse,
    NeMoGymResponseCreateParamsNonStreaming,
)
from nemo_gym.server_utils import get_response_json, raise_for_status
from pydantic import ConfigDict, Field


class VideoZoomAgentConfig(BaseResponsesAPIAgentConfig):
    """The agent's servers, and the most turns of an episode."""

    resources_server: ResourcesServerRef
    model_server: ModelServerRef
    max_steps: int = Field(10, ge=1)


class RunRequest(BaseRunRequest):
    """A row, with its further columns."""

    model_config = ConfigDict(extra="allow")


class RunResponse(BaseVerifyResponse):
    """A roll-out: the reward of the episode, and how it ended."""

    model_config = ConfigDict(extra="allow")
    terminated: bool = False
    truncated: bool = False
    info: dict[str, Any] = Field(default_factory=dict)


class VideoZoomAgent(SimpleResponsesAPIAgent):
    """Asks the model, gives its turn to the environment, and appends the environment's messages to the output."""

    config: VideoZoomAgentConfig

    async def responses(
        self, request: Request, response: Response, body: Annotated[NeMoGymResponseCreateParamsNonStreaming, Body()]
    ) -> NeMoGymResponse:
        """One turn of the model."""
        asked, cookies = await self._post(self.config.model_server.name, "/v1/responses", body, request.cookies)
        for name, value in cookies.items():
            response.set_cookie(name, value)
        return NeMoGymResponse.model_validate(asked)

    async def run(self, request: Request, body: RunRequest) -> RunResponse:
        """Play the row's episode."""
        environment, model = self.config.resources_server.name, self.config.model_server.name
        state, env_cookies = await self._post(environment, "/reset", body.model_dump(), request.cookies)
        params = body.responses_create_params.model_copy(update={"input": messages_of(state)})
        output: list[Any] = []
        model_cookies: Any = None
        reward = 0.0
        for _ in range(self.config.max_steps):
            asked = params.model_copy(update={"input": [*params.input, *output]})
            said, model_cookies = await self._post(model, "/v1/responses", asked, model_cookies)
            turn = NeMoGymResponse.model_validate(said)
            output += turn.output
            played = body.model_dump() | {"response": turn.model_dump()}
            state, env_cookies = await self._post(environment, "/step", played, env_cookies)
            reward += state["reward"]
            if state["terminated"] or state["truncated"]:
                break
            output += messages_of(state)
        return RunResponse(
            responses_create_params=params,
            response=turn.model_copy(update={"output": output}),
            reward=reward,
            terminated=state["terminated"],
            truncated=not state["terminated"],
            info=state["info"],
        )

    async def _post(self, server: str, path: str, body: Any, cookies: Any) -> tuple[dict[str, Any], Any]:
        answer = await self.server_client.post(server_name=server, url_path=path, json=body, cookies=cookies)
        await raise_for_status(answer)
        return await get_response_json(answer), answer.cookies


def messages_of(state: dict[str, Any]) -> list[NeMoGymEasyInputMessage]:
    """The messages of an observation."""
    return [NeMoGymEasyInputMessage.model_validate(message) for message in state["observation"]]


if __name__ == "__main__":
    VideoZoomAgent.run_webserver()
