"""The server through FastAPI's test client, and the agent against it with a model that says a script."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from nemo_gym.openai_utils import NeMoGymResponse
from nemo_gym.server_utils import ServerClient
from PIL import Image
from resources_servers.video_zoom.app import VideoZoomConfig, VideoZoomServer
from responses_api_agents.video_zoom_agent.app import RunRequest, VideoZoomAgent, VideoZoomAgentConfig

import vzgym

ROWS = Path(__file__).parents[1] / "data" / "example.jsonl"
ROW = json.loads(ROWS.read_text().splitlines()[0])
ZOOM = '<think>Look.</think><video_zoom>{"segment": [4.0, 6.0], "fps": 4}</video_zoom>'
ANSWER = f"<think>So.</think><answer>{vzgym.load_tasks('tiny/train')[0].letter}</answer>"


@pytest.fixture
def client() -> TestClient:
    config = VideoZoomConfig(host="", port=0, entrypoint="", name="video_zoom")
    server = VideoZoomServer(config=config, server_client=ServerClient.model_construct())
    return TestClient(server.setup_webserver())


def said(text: str) -> dict[str, Any]:
    content = {"type": "output_text", "text": text, "annotations": []}
    message = {"id": "1", "type": "message", "role": "assistant", "status": "completed", "content": [content]}
    return NeMoGymResponse(
        id="1", created_at=0.0, model="m", object="response", output=[message], parallel_tool_calls=True,
        tool_choice="auto", tools=[],
    ).model_dump()  # fmt: skip


def pictures(messages: list[Any]) -> list[np.ndarray]:
    plain = [message if isinstance(message, dict) else message.model_dump() for message in messages]
    urls = [part["image_url"] for message in plain for part in message["content"] if part["type"] == "input_image"]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))) for url in urls]


def test_the_server(client: TestClient) -> None:
    opening = client.post("/reset", json=ROW).json()
    assert [message["role"] for message in opening["observation"]] == ["system", "user"]
    assert len(pictures(opening["observation"])) == 16
    clip = client.post("/step", json={**ROW, "response": said(ZOOM)}).json()
    assert len(pictures(clip["observation"])) == 8
    assert (clip["reward"], clip["terminated"], clip["truncated"]) == (0.0, False, False)
    end = client.post("/step", json={**ROW, "response": said(ANSWER)}).json()
    assert (end["reward"], end["terminated"], end["observation"]) == (1.5, True, [])
    assert end["info"]["measures"]["correct"] == 1.0


def test_the_agent(client: TestClient) -> None:
    turns, inputs = iter([ZOOM, ANSWER]), []

    class Servers(ServerClient):
        """The two servers, without a network."""

        async def post(self, server_name: str, url_path: str, **request: Any) -> Any:
            if server_name == "policy_model":
                inputs.append(request["json"].input)
                answer = said(next(turns))
            else:
                answer = client.post(url_path, json=request["json"]).json()

            async def read() -> bytes:
                return json.dumps(answer).encode()

            return SimpleNamespace(ok=True, cookies={}, read=read)

    config = VideoZoomAgentConfig(
        host="", port=0, entrypoint="", name="video_zoom_agent",
        resources_server={"type": "resources_servers", "name": "video_zoom"},
        model_server={"type": "responses_api_models", "name": "policy_model"},
    )  # fmt: skip
    agent = VideoZoomAgent(config=config, server_client=Servers.model_construct())
    done = asyncio.run(agent.run(SimpleNamespace(cookies={}), RunRequest.model_validate(ROW)))
    assert (done.reward, done.terminated, done.truncated) == (1.5, True, False)
    assert [len(pictures([m for m in given if m.role != "assistant"])) for given in inputs] == [16, 24]
    assert [item.role for item in done.response.output] == ["assistant", "user", "assistant"]
    assert len(pictures(done.responses_create_params.input)) == 16
