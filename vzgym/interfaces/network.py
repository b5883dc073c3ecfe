"""Who may reach a server: this machine only, unless the user says otherwise, and with a token if there is one."""

from __future__ import annotations

import ipaddress
import os
import secrets
import warnings
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from vzgym.core.errors import InvalidSetting

__all__ = ["TOKEN_VARIABLE", "RemoteAccess", "TokenGuard", "check_host", "read_token"]

TOKEN_VARIABLE: Final = "VZGYM_SERVE_TOKEN"
"""The environment variable with a server's token. Not an option: other users see the arguments of a process."""

_SHORTEST_TOKEN = 16

_Scope: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App: TypeAlias = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


class RemoteAccess(UserWarning):
    """Warning: other machines can reach a server."""


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_host(host: str, *, allow_remote: bool, token: str | None) -> None:
    """Check the address that a server binds.

    Args:
        host: Address or name.
        allow_remote: Whether the user allows other machines to reach the server (`--allow-remote`).
        token: The server's token, if it has one.

    Raises:
        InvalidSetting: If the address is not loopback and the user did not allow it.

    Warns:
        RemoteAccess: If other machines can reach the server.
    """
    if is_loopback(host):
        return
    if not allow_remote:
        raise InvalidSetting(
            f"--host {host}: other machines could reach the server; use 127.0.0.1, or add --allow-remote"
        )
    guard = "requests need the token" if token else f"anybody can play there: set {TOKEN_VARIABLE} to require a token"
    warnings.warn(f"other machines can reach this server at {host}, unencrypted; {guard}", RemoteAccess, stacklevel=2)


def read_token() -> str | None:
    """The token in `VZGYM_SERVE_TOKEN`; None if it is not set.

    Raises:
        InvalidSetting: If it is shorter than 16 characters, or cannot be part of an HTTP header.
    """
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        return None
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidSetting(
            f"{TOKEN_VARIABLE} must have at least {_SHORTEST_TOKEN} printable ASCII characters without spaces, such as "
            "the output of: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return token


class TokenGuard:
    """ASGI middleware that refuses HTTP requests and WebSockets without the header `Authorization: Bearer TOKEN`.

    Args:
        app: The ASGI application.
        token: The token.
    """

    def __init__(self, app: _App, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """See the ASGI specification."""
        if scope["type"] in ("http", "websocket") and not self._is_authorized(scope):
            await _refuse(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_authorized(self, scope: _Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(given) == 1 and secrets.compare_digest(given[0], self._expected)


async def _refuse(scope: _Scope, receive: _Receive, send: _Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": "a token is required"})
        return
    body = b'{"error": "this server requires the header Authorization: Bearer TOKEN"}'
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", b"Bearer"),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
