"""A small HTTP server for pages on this machine: bound to the loopback interface, for one user.

Other web pages and other users of the machine cannot use it: the `Host` and `Origin` headers must name a loopback
address (which stops DNS rebinding), and every path starts with a random key, which is part of `LoopbackServer.url`.
"""

from __future__ import annotations

import logging
import secrets
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

from vzgym.core.errors import InvalidSetting, RecordError
from vzgym.core.files import json_line, parse_json

__all__ = ["SERVED_POLICY", "LoopbackServer", "Request", "Response"]

_log = logging.getLogger("vzgym.evaluation")

_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_LARGEST_BODY: Final = 1 << 20

SERVED_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy of every response: nothing is loaded from elsewhere, and no script of a record can run."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    Attributes:
        method: "GET" or "POST".
        path: The decoded path below the server's key, without a leading slash: "data/index.json".
        query: The first value of each query parameter.
        body: The body; empty for GET.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """The body as strict JSON.

        Raises:
            RecordError: If it is not.
        """
        return parse_json(self.body, f"the body of {self.method} {self.path}")


@dataclass(frozen=True, slots=True)
class Response:
    """A response.

    Attributes:
        body: The content.
        kind: Its media type.
        status: The HTTP status.
        keep: Whether the browser may keep it: only content that never changes under its address.
    """

    body: bytes
    kind: str = "text/plain; charset=utf-8"
    status: int = HTTPStatus.OK
    keep: bool = False

    @classmethod
    def json(cls, value: Any, status: int = HTTPStatus.OK) -> Response:
        """JSON content.

        Raises:
            ValueError: If `value` has no JSON form.
        """
        return cls(json_line(value).encode(), "application/json", status)

    @classmethod
    def error(cls, status: int, message: str) -> Response:
        """A JSON object `{"error": message}`."""
        return cls.json({"error": message}, status)


class LoopbackServer:
    """Serves requests in threads, on 127.0.0.1 only.

    Args:
        handle: Called for each request, from several threads at once. A `RecordError` or `InvalidSetting` that it
            raises becomes status 400 with its message.
        port: The port; 0 takes a free one.

    Attributes:
        url: The address of the page "", with the key, ending in a slash.

    Raises:
        InvalidSetting: If the port is not free.
    """

    def __init__(self, handle: Callable[[Request], Response], port: int = 0) -> None:
        key = secrets.token_urlsafe(16)

        class Handler(_Handler):
            answer = staticmethod(handle)
            prefix = f"/{key}/"

        try:
            self._server = _Server(("127.0.0.1", port), Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InvalidSetting(f"port {port} cannot be used: {reason}; --port 0 takes a free port") from error
        self._server.daemon_threads = True
        self._thread: threading.Thread | None = None
        self.url = f"http://127.0.0.1:{self._server.server_port}/{key}/"

    def start(self) -> Self:
        """Serve in a thread of its own until `close`."""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()
        return self

    def wait(self) -> None:
        """Wait until the server is closed, or the user interrupts."""
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """Stop serving and free the port."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """As in the base class, which prints a traceback; but a browser may leave a page at any time."""
        if isinstance(sys.exception(), ConnectionError):
            _log.debug("%s has closed its connection", client_address)
        else:
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    answer: Callable[[Request], Response]
    prefix: str
    protocol_version = "HTTP/1.1"
    server_version = "vzgym"
    sys_version = ""

    def do_GET(self) -> None:
        self._respond(b"")

    def do_POST(self) -> None:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        # A form of another page cannot send this type without the browser asking this server first.
        if self.headers.get_content_type() != "application/json" or not 0 <= length <= _LARGEST_BODY:
            self.close_connection = True
            self._send(Response.error(HTTPStatus.BAD_REQUEST, "the body must be JSON of at most 1 MiB"))
            return
        self._respond(self.rfile.read(length))

    def _respond(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        if not self._is_local():
            self._send(Response.error(HTTPStatus.FORBIDDEN, "only pages of this server may use it"))
        elif not secrets.compare_digest(parts.path[: len(self.prefix)].encode(), self.prefix.encode()):
            self._send(Response.error(HTTPStatus.NOT_FOUND, "open the complete address that the command printed"))
        else:
            path = unquote(parts.path[len(self.prefix) :])
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            try:
                found = type(self).answer(Request(self.command, path, query, body))
            except (InvalidSetting, RecordError) as error:
                found = Response.error(HTTPStatus.BAD_REQUEST, str(error))
            self._send(found)

    def _is_local(self) -> bool:
        """Whether the request comes from this server's own page. The port may be that of an SSH tunnel."""
        host = self.headers.get("Host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        origin = self.headers.get("Origin")
        return name in _HOSTS and origin in (None, f"http://{host}")

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        self.send_header("Content-Type", response.kind)
        self.send_header("Content-Length", str(len(response.body)))
        self.send_header("Content-Security-Policy", SERVED_POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cache-Control", "private, max-age=31536000, immutable" if response.keep else "no-store")
        self.end_headers()
        try:
            self.wfile.write(response.body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the browser has left the page

    def log_message(self, format: str, *args: Any) -> None:
        """Log requests for debugging, not to stderr."""
        _log.debug(format, *args)
