"""The loopback server answers its own pages, and nobody else."""

from __future__ import annotations

import http.client
import json
import socket
import struct
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from vzgym.core.errors import InvalidSetting
from vzgym.evaluation.viewer.server import LoopbackServer, Request, Response


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    def answer(request: Request) -> Response:
        if request.path == "wrong":
            raise InvalidSetting("that is not possible")
        said = request.json() if request.method == "POST" else None
        return Response.json({"path": request.path, "query": dict(request.query), "said": said})

    with LoopbackServer(answer) as started:
        yield started


def ask(
    server: LoopbackServer, path: str = "", method: str = "GET", body: str | None = None, **headers: str
) -> tuple[int, dict]:
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    kind = {"Content-Type": "application/json"} if body is not None else {}
    connection.request(
        method, parts.path + path, body, {**kind, **{key.replace("_", "-"): headers[key] for key in headers}}
    )
    response = connection.getresponse()
    assert "default-src 'none'" in (response.getheader("Content-Security-Policy") or "")
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    return response.status, json.loads(response.read())


def test_its_own_page_is_answered(server: LoopbackServer) -> None:
    parts = urlsplit(server.url)
    assert parts.hostname == "127.0.0.1"
    found = {"path": "data/a b.json", "query": {"have": "1"}, "said": None}
    assert ask(server, "data/a%20b.json?have=1&have=2") == (200, found)
    assert ask(server, "x", Origin=f"http://{parts.netloc}")[0] == 200
    assert ask(server, "x", Host="localhost:9999")[0] == 200  # through a tunnel
    assert ask(server, "do", "POST", '{"a": [1]}') == (200, {"path": "do", "query": {}, "said": {"a": [1]}})


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:80"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
    ],
)
def test_other_pages_are_refused(server: LoopbackServer, headers: dict[str, str]) -> None:
    assert ask(server, **headers)[0] == 403
    assert ask(server, "do", "POST", "{}", **headers)[0] == 403


def test_an_address_without_the_key_is_refused(server: LoopbackServer) -> None:
    key = urlsplit(server.url).path
    server.url = server.url.replace(key, "/")
    for path in ("", "data/x", "%2e%2e/etc/passwd", key[1:-2]):
        assert ask(server, path)[0] == 404


def test_bad_requests_are_told(server: LoopbackServer) -> None:
    assert ask(server, "wrong") == (400, {"error": "that is not possible"})
    assert ask(server, "do", "POST", "{nonsense")[0] == 400
    assert ask(server, "do", "POST", "a=1", Content_Type="application/x-www-form-urlencoded")[0] == 400
    assert ask(server, "do", "POST", "{}", Content_Length="99999999")[0] == 400


def test_a_port_in_use_is_named(server: LoopbackServer) -> None:
    port = urlsplit(server.url).port
    with pytest.raises(InvalidSetting, match=f"port {port} cannot be used"):
        LoopbackServer(lambda request: Response(b""), port or 0)


def test_a_browser_that_leaves_prints_no_traceback(server: LoopbackServer, capfd: pytest.CaptureFixture[str]) -> None:
    parts = urlsplit(server.url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 0))
    # Closing with unread data resets the connection.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode())
    connection.close()
    assert ask(server)[0] == 200
    assert "Traceback" not in capfd.readouterr().err
