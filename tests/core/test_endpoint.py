"""The client of chat-completion servers, against a small server on loopback."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

pytest.importorskip("openai", reason="needs the extra 'served'")

from vzgym.core.endpoint import Endpoint
from vzgym.core.errors import EndpointError, InvalidSetting

ASKED = {"messages": [{"role": "user", "content": "When?"}], "max_tokens": 5, "temperature": 0, "seed": 1}


class Server:
    """Gives the bodies that are set, the last of them again and again.

    Attributes:
        bodies: HTTP statuses and bodies, in order.
        seen: The bodies of requests.
        headers: Their headers.
        pause: Seconds before each response.
        spaces: Spaces before each body, one every tenth of a second, as some servers send them while a model thinks.
    """

    def __init__(self) -> None:
        self.bodies: list[tuple[int, bytes]] = []
        self.seen: list[dict[str, Any]] = []
        self.headers: list[Any] = []
        self.pause, self.spaces = 0.0, 0
        self.busiest = self._busy = 0
        lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    server.seen.append(request)
                    server.headers.append(self.headers)
                    status, body = server.bodies.pop(0) if len(server.bodies) > 1 else server.bodies[0]
                    server._busy += 1
                    server.busiest = max(server.busiest, server._busy)
                time.sleep(server.pause)
                with lock:
                    server._busy -= 1
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(server.spaces + len(body)))
                self.end_headers()
                for _ in range(server.spaces):
                    self.wfile.write(b" ")
                    time.sleep(0.1)
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *args: object) -> None:
                pass  # a client that gave up

        self._http = Quiet(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def gives(self, *bodies: object) -> None:
        """Set what is responded with status 200: JSON values, or bytes as they are."""
        self.bodies = [(200, body if isinstance(body, bytes) else json.dumps(body).encode()) for body in bodies]

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


def completion(message: object = None, **choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "at 4 s"} if message is None else message
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    choice = {"index": 0, "finish_reason": "stop", "message": message, **choice}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


GOOD = completion()
MESSAGE = {"role": "assistant", "content": None}


def test_replies_come_in_order_with_their_counts(server: Server) -> None:
    server.gives(GOOD)
    replies = Endpoint(server.url, "m").ask([ASKED] * 3)
    assert [(r.message["content"], r.finish, r.input_tokens, r.output_tokens, r.retries) for r in replies] == [
        ("at 4 s", "stop", 7, 3, 0)
    ] * 3
    assert server.seen[0] == {**ASKED, "model": "m"}


def test_concurrency_is_bounded(server: Server) -> None:
    server.gives(GOOD)
    server.pause = 0.05
    Endpoint(server.url, "m", concurrency=2).ask([ASKED] * 6)
    assert server.busiest == 2


def test_an_attempt_is_bounded_as_a_whole(server: Server) -> None:
    server.gives(GOOD)
    server.spaces = 100
    began = time.monotonic()
    with pytest.raises(EndpointError, match=r"no answer in time \(2 tries\)"):
        Endpoint(server.url, "m", timeout=0.5, retries=1).ask([ASKED])
    assert time.monotonic() - began < 5
    assert len(server.seen) == 2
    server.spaces = 3
    assert Endpoint(server.url, "m", timeout=5.0).ask([ASKED])[0].message["content"] == "at 4 s"


def test_it_works_inside_a_running_event_loop(server: Server) -> None:
    server.gives(GOOD)

    async def notebook() -> str:
        (reply,) = Endpoint(server.url, "m").ask([ASKED])
        return str(reply.message["content"])

    assert asyncio.run(notebook()) == "at 4 s"


RETRIED = {
    "code in an error object": ({"error": {"code": 429, "message": "slow down"}}, 429, "slow down"),
    "code as text": ({"error": {"code": "503", "message": "busy"}}, 503, "busy"),
    "rate limit in words": ({"error": {"type": "rate_limit_exceeded", "message": "later"}}, 429, "later"),
    "error without a code": ({"error": {"message": "upstream broke"}}, 502, "upstream broke"),
    "error as text": ({"error": "out of memory", "choices": []}, 502, "out of memory"),
    "error in a choice": (completion(error={"code": 502, "message": "provider down"}), 502, "provider down"),
    "finish reason error": (completion(finish_reason="error"), 502, "ended in an error"),
    "message null": (completion() | {"choices": [{"index": 0, "message": None}]}, 502, "without a message"),
    "no message": (completion() | {"choices": [{"index": 0}]}, 502, "without a message"),
    "no choices": (completion() | {"choices": []}, 502, "no choices"),
    "choices null": (completion() | {"choices": None}, 502, "no choices"),
    "choice null": (completion() | {"choices": [None]}, 502, "no choices"),
    "call without function": (completion({**MESSAGE, "tool_calls": [{"id": "a"}]}), 502, "tool call without"),
    "call null": (completion({**MESSAGE, "tool_calls": [None]}), 502, "tool call without"),
    "function null": (completion({**MESSAGE, "tool_calls": [{"function": None}]}), 502, "tool call without"),
    "function unnamed": (completion({**MESSAGE, "tool_calls": [{"function": {"arguments": "{}"}}]}), 502, "name"),
    "calls no list": (completion({**MESSAGE, "tool_calls": {"function": {}}}), 502, "no list"),
    "content a number": (completion({"role": "assistant", "content": 4}), 502, "neither text nor blocks"),
    "empty body": (b"", 502, "an empty response"),
    "blank body": (b" \n", 502, "an empty response"),
    "broken off": (json.dumps(GOOD).encode()[:40], 502, "breaks off"),
}


@pytest.mark.parametrize(("body", "status", "words"), RETRIED.values(), ids=RETRIED)
def test_a_failure_inside_a_200_is_retried_and_then_an_error(
    server: Server, body: object, status: int, words: str
) -> None:
    server.gives(body, GOOD)
    (reply,) = Endpoint(server.url, "m", retries=1).ask([ASKED])
    assert (reply.message["content"], reply.retries) == ("at 4 s", 1)
    server.gives(body)
    with pytest.raises(EndpointError, match=words) as caught:
        Endpoint(server.url, "m", retries=2).ask([ASKED])
    assert (caught.value.status, caught.value.tries) == (status, 3)
    assert "HTTP 200" in str(caught.value)
    assert len(server.seen) == 2 + 3


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"code": 400, "message": "too many images"}}, "too many images"),
        ({"error": {"type": "invalid_request_error", "message": "no such option"}}, "no such option"),
        (b"<html>Welcome</html>", "no chat completion: <html>Welcome"),
        ({"models": []}, "no chat completion"),
        ([1], "no chat completion"),
        (b"null", "no chat completion"),
    ],
)
def test_what_a_retry_cannot_mend_is_sent_once(server: Server, body: object, words: str) -> None:
    server.gives(body)
    with pytest.raises(EndpointError, match=words) as caught:
        Endpoint(server.url, "m", retries=3).ask([ASKED])
    assert caught.value.tries == len(server.seen) == 1


def test_a_redirect_is_not_followed(server: Server) -> None:
    server.bodies = [(307, b"")]
    with pytest.raises(EndpointError, match="HTTP 307"):
        Endpoint(server.url, "m").ask([ASKED])
    assert len(server.seen) == 1


def test_one_failure_cancels_the_others(server: Server) -> None:
    server.bodies = [(400, b"{}"), (200, json.dumps(GOOD).encode())]
    with pytest.raises(EndpointError, match="HTTP 400"):
        Endpoint(server.url, "m", concurrency=1).ask([ASKED] * 50)
    assert len(server.seen) < 50


def test_parameters_are_left_out_or_renamed(server: Server) -> None:
    server.gives(GOOD)
    Endpoint(server.url, "m", token_limit="max_completion_tokens", drop=["temperature", "seed"]).ask([ASKED])
    assert server.seen == [{"model": "m", "messages": ASKED["messages"], "max_completion_tokens": 5}]


def test_lone_surrogates_are_replaced_both_ways(server: Server) -> None:
    server.gives(completion({"role": "assistant", "content": "a\ud83d"}))
    request = {"messages": [{"role": "user", "content": [{"type": "text", "text": "b\udc00 \ud83d\ude00"}]}]}
    (reply,) = Endpoint(server.url, "m").ask([request])
    assert reply.message["content"] == "a�"
    assert server.seen[0]["messages"][0]["content"][0]["text"] == "b� 😀"


def test_header_values_come_from_the_environment_and_are_not_shown(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "very-secret")
    made = Endpoint(server.url, "m", headers={"X-Gateway": "key ${GATEWAY_KEY}"}, retries=0)
    server.gives({"error": {"code": 403, "message": "no such key: very-secret"}})
    with pytest.raises(EndpointError) as caught:
        made.ask([ASKED])
    assert server.headers[0]["X-Gateway"] == "key very-secret"
    assert "very-secret" not in repr(made) + str(caught.value) + repr(caught.value.reason)
    with pytest.raises(InvalidSetting, match=r"headers\.A names environment variables that are not set: MISSING_ONE"):
        Endpoint(server.url, "m", headers={"A": "${MISSING_ONE}"})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"token_limit": "tokens"}, "token_limit must be one of max_tokens, max_completion_tokens"),
        ({"drop": "seed"}, "drop must be a list"),
        ({"drop": [1]}, "drop must be a list"),
        ({"drop": ["model"]}, "drop may not name model"),
        ({"headers": {"A": 1}}, "headers must be a mapping of header names to texts"),
        ({"concurrency": True}, "concurrency"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSetting, match=words):
        Endpoint("http://localhost:1/v1", "m", **options)


def test_an_interrupt_ends_what_is_under_way(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from anyio.from_thread import BlockingPortal

    server.gives(GOOD)
    server.pause = 30.0
    call: Callable[..., Any] = BlockingPortal.start_task_soon

    def interrupted(portal: BlockingPortal, function: Any, *args: Any, **kwargs: Any) -> Any:
        future = call(portal, function, *args, **kwargs)

        def result(timeout: float | None = None) -> Any:
            while not server.seen:
                time.sleep(0.01)
            raise KeyboardInterrupt

        future.result = result  # type: ignore[method-assign]
        return future

    monkeypatch.setattr(BlockingPortal, "start_task_soon", interrupted)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Endpoint(server.url, "m").ask([ASKED] * 3)
    # Far below the server's 30 s: nothing was waited for.
    assert time.monotonic() - began < 20
