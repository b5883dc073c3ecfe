"""The server: OpenEnv's FastAPI application, bound to this machine unless the user says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from openenv.core.env_server.http_server import create_app
from openenv.core.env_server.types import ConcurrencyConfig

from vzgym.interfaces.guards import LocalGuard, SizeGuard
from vzgym.interfaces.network import TokenGuard, check_host, is_loopback, read_token
from vzgym.interfaces.openenv.environment import ENV_NAME, RequestRefused, Served, VideoZoomEnvironment
from vzgym.interfaces.openenv.models import VideoZoomAction, VideoZoomObservation, VideoZoomState

__all__ = ["LARGEST_MESSAGE", "make_app", "serve"]

LARGEST_MESSAGE: Final = 8 << 20
"""Maximum bytes of a client's message: the longest turn that a protocol reads, each character as two escapes."""


def make_app(
    served: Served, *, sessions: int = 64, session_timeout: float = 3600.0, token: str | None = None
) -> FastAPI:
    """Create OpenEnv's application. It refuses large requests and, with a token, those without it.

    Args:
        served: Tasks, reward and protocol.
        sessions: Maximum number of sessions at a time; a further client is refused (`CAPACITY_REACHED`).
        session_timeout: Seconds after which an unused session is closed. Longer than the longest generation of a turn.
        token: What every request needs in the header `Authorization: Bearer TOKEN` (`read_token`); None: nothing.

    Raises:
        ValidationError: From pydantic, if a number is out of range.
    """
    app: FastAPI = create_app(
        partial(VideoZoomEnvironment, served),
        VideoZoomAction,
        VideoZoomObservation,
        env_name=ENV_NAME,
        concurrency_config=ConcurrencyConfig(max_concurrent_envs=sessions, session_timeout=session_timeout),
        state_cls=VideoZoomState,
    )

    async def refuse(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=409)

    app.add_exception_handler(RequestRefused, refuse)
    app.add_middleware(SizeGuard, most=LARGEST_MESSAGE)
    if token is not None:
        app.add_middleware(TokenGuard, token=token)
    return app


def serve(
    served: Served,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    allow_remote: bool = False,
    sessions: int = 64,
    session_timeout: float = 3600.0,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until interrupted.

    With the environment variable `VZGYM_SERVE_TOKEN`, every request needs the header `Authorization: Bearer TOKEN`.

    Args:
        served: Tasks, reward and protocol.
        host: Address to bind.
        port: Port.
        allow_remote: Whether `host` may be one that other machines can reach.
        sessions: See `make_app`.
        session_timeout: See `make_app`.
        ready: Called once clients can connect.

    Raises:
        InvalidSetting: If other machines could reach the server and the user did not allow it, or the token is invalid.
    """
    token = read_token()
    check_host(host, allow_remote=allow_remote, token=token)
    app = make_app(served, sessions=sessions, session_timeout=session_timeout, token=token)
    if is_loopback(host):
        app.add_middleware(LocalGuard)
    config = uvicorn.Config(app, host=host, port=port, ws_max_size=LARGEST_MESSAGE, log_level="warning")
    _Server(config, ready).run()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: Any = None) -> None:
        """As in the base class."""
        await super().startup(sockets)
        if self.started:
            self._ready()
