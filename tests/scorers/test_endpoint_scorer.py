"""A server's probability of "yes", against a small server on loopback."""

from __future__ import annotations

import base64
import io
import json
import math
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("openai", reason="needs the extra 'served'")

from vzgym.core.errors import EndpointError, InvalidSetting
from vzgym.scorers import Frames, Query, make_scorer, score_video
from vzgym.video import FileVideo

QUERY = Query("Which color?", ("red", "blue"))


def brightness(request: dict[str, Any]) -> float:
    """The mean of the request's picture, in [0, 1]; 0 without one."""
    content = request["messages"][0]["content"]
    for block in content if isinstance(content, list) else []:
        if block["type"] == "image_url":
            data = base64.b64decode(block["image_url"]["url"].partition(",")[2])
            return float(np.asarray(Image.open(io.BytesIO(data))).mean() / 255)
    return 0.0


def honest(request: dict[str, Any]) -> dict[str, Any]:
    """Says "A" as probably as the picture is bright."""
    yes = min(max(brightness(request), 1e-4), 1 - 1e-4)
    listed = [{"token": "A", "logprob": math.log(0.9 * yes)}, {"token": " A", "logprob": math.log(0.1 * yes)},
              {"token": "B", "logprob": math.log(1 - yes)}, {"token": "AB", "logprob": -9.0}]  # fmt: skip
    return {"content": [{"token": "A", "logprob": listed[0]["logprob"], "top_logprobs": listed}]}


class Server:
    """A chat-completion server whose log-probabilities are `reply(request)`."""

    def __init__(self) -> None:
        self.reply: Callable[[dict[str, Any]], Any] = honest
        self.seen: list[dict[str, Any]] = []
        self.sees_images, self.fails = True, False
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.seen.append(request)
                images = sum("image_url" in json.dumps(message) for message in request["messages"])
                choice: dict[str, Any] = {"index": 0, "finish_reason": "length"}
                choice["message"] = {"role": "assistant", "content": "A"}
                if request.get("logprobs"):
                    choice["logprobs"] = server.reply(request)
                usage = {"prompt_tokens": 10 + 90 * images * server.sees_images, "completion_tokens": 1}
                body = json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}).encode()
                self.send_response(500 if server.fails else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.001)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.001)
    made = Server()
    yield made
    made.close()


def flat(*values: int) -> Frames:
    return Frames(np.stack([np.full((16, 16, 3), v, np.uint8) for v in values]), np.arange(float(len(values))))


def test_the_score_is_the_probability_of_yes(server: Server) -> None:
    scorer: Any = make_scorer({"name": "endpoint", "model": "m", "url": server.url, "price_in": 2.0, "price_out": 4.0})
    scores = scorer.score(QUERY, flat(0, 51, 102, 204))
    np.testing.assert_allclose(scores, [1e-4, 0.2, 0.4, 0.8], rtol=0.02)
    request = server.seen[-1]
    assert (request["max_tokens"], request["logprobs"], request["top_logprobs"], request["temperature"]) == (
        1,
        1,
        20,
        0,
    )
    text = request["messages"][0]["content"][1]["text"]
    assert text.startswith("Which color?\nA. red\nB. blue\n\nDoes this frame")
    assert scorer.costs == pytest.approx(
        {"requests": 4, "retries": 0, "input_tokens": 400, "output_tokens": 4, "price": (400 * 2 + 4 * 4) / 1e6}
    )
    assert len(server.seen) == 6  # two of them check that images are read
    scorer.score(QUERY, flat(0))
    assert len(server.seen) == 7


def test_the_prompt_and_the_token_can_be_set(server: Server) -> None:
    server.reply = lambda request: {"content": [{"top_logprobs": [{"token": "Yes", "logprob": math.log(0.25)}]}]}
    options = {"prompt": "Useful for {question}", "yes": "Yes", "with_options": False, "check_images": False}
    scorer = make_scorer({"name": f"endpoint:m@{server.url}", **options})
    assert scorer.score(QUERY, flat(9)) == pytest.approx([0.25])
    assert server.seen[0]["messages"][0]["content"][1]["text"] == "Useful for Which color?"
    # Not among the listed tokens.
    assert make_scorer({"name": f"endpoint:m@{server.url}", "check_images": False}).score(QUERY, flat(9)) == [0.0]


@pytest.mark.parametrize(
    "logprobs",
    [
        None, {}, {"content": None}, {"content": []}, {"content": [{"token": "A", "logprob": -0.1}]},
        {"content": [{"top_logprobs": []}]}, {"content": [{"top_logprobs": [{"token": "A"}]}]},
    ],
)  # fmt: skip
def test_a_server_without_logprobs_is_named(server: Server, logprobs: Any) -> None:
    server.reply = lambda request: logprobs
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1.*no log-probabilities.*vLLM"):
        make_scorer(f"endpoint:m@{server.url}").score(QUERY, flat(9))


def test_a_failed_request_is_no_score(server: Server) -> None:
    scorer = make_scorer({"name": "endpoint", "model": "m", "url": server.url, "retries": 1, "check_images": False})
    server.fails = True
    with pytest.raises(EndpointError, match=r"HTTP 500.*2 tries"):
        scorer.score(QUERY, flat(9))


def test_a_server_that_drops_images_is_named(server: Server) -> None:
    server.sees_images = False
    with pytest.raises(InvalidSetting, match="drops images"):
        make_scorer(f"endpoint:m@{server.url}").score(QUERY, flat(9))


def test_requests_are_charged_only_when_they_are_sent(server: Server, long_file: Path, tmp_path: Path) -> None:
    video, times = FileVideo(long_file), np.arange(0.0, 60.0, 10.0)
    first = score_video(make_scorer(f"endpoint:m@{server.url}"), video, QUERY, times, cache=tmp_path)
    assert first.costs.items() >= {"frames_scored": 6, "scorer_passes": 6, "requests": 6, "input_tokens": 600}.items()
    again = score_video(make_scorer(f"endpoint:m@{server.url}"), video, QUERY, times, cache=tmp_path)
    assert again.costs["cached_passes"] == again.costs["scorer_passes"] == 6
    assert "requests" not in again.costs
    np.testing.assert_array_equal(again.scores, first.scores)


def test_scores_of_other_templates_are_not_taken_from_the_cache(
    server: Server, long_file: Path, tmp_path: Path
) -> None:
    video, times = FileVideo(long_file), np.arange(0.0, 20.0, 10.0)
    spec = {"name": "endpoint", "model": "m", "url": server.url}
    templates = ("{{ strict }}", "{{ lenient }}")
    made = [make_scorer({**spec, "extra": {"chat_template": text}}) for text in templates]
    assert [score_video(one, video, QUERY, times, cache=tmp_path).costs.get("requests", 0) for one in made] == [2, 2]
    assert "strict" not in "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompt": "Is it?"}, "must hold {question}"),
        ({"yes": " "}, "yes of scorer"),
        ({"top_logprobs": 21}, "from 1 to 20"),
        ({"drop": ["logprobs"]}, "drop may not name logprobs"),
        ({"extra": {"logprobs": 1}}, "extra may not set logprobs"),
        ({"price_in": -1.0}, "price_in"),
        ({"url": "ftp://x"}, "url must be like"),
        ({"image_format": "webp"}, "image_format"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSetting, match=words):
        make_scorer({"name": "endpoint", "model": "m", "url": "http://localhost:1/v1", **options})


def test_no_message_repeats_a_key() -> None:
    for text in ("m@http//user:secret-key@host?key=secret-key", "m@http://user:secret-key@host/v1?key=secret-key"):
        with pytest.raises(InvalidSetting) as caught:
            make_scorer(f"endpoint:{text}")
        assert "secret-key" not in str(caught.value)
