"""ASGI middleware that keeps out of a server what should not reach it: web pages of others, and large messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from vzgym.core.files import json_line
from vzgym.interfaces.network import is_loopback

__all__ = ["LocalGuard", "SizeGuard"]

_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]
_App: TypeAlias = Callable[[_Message, _Receive, _Send], Awaitable[None]]


class LocalGuard:
    """Refuses requests that a web page of another site makes a browser on this machine send.

    Such a request has another site's name in the header `Origin`, or, where that name was made to resolve to this
    machine, in `Host`. WebSockets have no other protection. For servers bound to the loopback interface.

    Args:
        app: The ASGI application.
    """

    def __init__(self, app: _App) -> None:
        self._app = app

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """See the ASGI specification."""
        if scope["type"] in ("http", "websocket") and not _is_local(scope):
            await _refuse(scope, receive, send, 403, "only programs and pages of this machine may use this server")
        else:
            await self._app(scope, receive, send)


class SizeGuard:
    """Refuses HTTP requests with a body of more than `most` bytes; WebSockets have a limit of their own.

    Args:
        app: The ASGI application.
        most: Bytes.
    """

    def __init__(self, app: _App, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        parts: list[_Message] = []
        size = 0
        while not parts or (parts[-1]["type"] == "http.request" and parts[-1].get("more_body")):
            parts.append(await receive())
            size += len(parts[-1].get("body", b""))
            if size > self._most:
                await _refuse(scope, receive, send, 413, f"a request may have at most {self._most} bytes")
                return
        parts.reverse()

        async def replay() -> _Message:
            return parts.pop() if parts else await receive()

        await self._app(scope, replay, send)


def _is_local(scope: _Message) -> bool:
    headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in (b"host", b"origin")}
    addresses = [f"//{headers.get(b'host', '')}", headers.get(b"origin")]
    return all(address is None or is_loopback(urlsplit(address).hostname or "") for address in addresses)


async def _refuse(scope: _Message, receive: _Receive, send: _Send, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
        return
    body = json_line({"error": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
