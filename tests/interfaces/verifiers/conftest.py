"""A chat server on the loopback interface, whose replies are scripted."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

pytest.importorskip("verifiers.v1", reason='needs the extra "verifiers": make test-interfaces')
pytest.importorskip("video_zoom", reason="needs packages/video-zoom: make test-interfaces")


@dataclass
class ChatServer:
    """Replies to a request with what `reply` returns for its messages: a text, or parts of the response's choice.

    Attributes:
        reply: Called with the messages.
        requests: The messages of each request.
        url: Its address.
    """

    reply: Callable[[list[dict[str, Any]]], str | dict[str, Any]]
    requests: list[list[dict[str, Any]]] = field(default_factory=list)
    url: str = ""

    def respond(self, body: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(body["messages"])
        said = self.reply(body["messages"])
        choice = {"message": {"content": said}} if isinstance(said, str) else said
        message = {"role": "assistant", **choice["message"]}
        return {
            "id": "chat",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", **choice, "message": message}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }


@contextmanager
def chat_server(reply: Callable[[list[dict[str, Any]]], str | dict[str, Any]]) -> Iterator[ChatServer]:
    """Serve scripted replies; an empty mapping is an error of the server."""
    server = ChatServer(reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                told, status = json.dumps(server.respond(body)).encode(), 200
            except KeyError:
                told, status = b'{"error": {"message": "no such model"}}', 400
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        server.url = f"http://127.0.0.1:{http.server_port}/v1"
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


def scripted(*turns: str | dict[str, Any]) -> Callable[[list[dict[str, Any]]], str | dict[str, Any]]:
    """The turns in order, whichever episode asks."""
    return lambda messages: turns[sum(message["role"] == "assistant" for message in messages)]
