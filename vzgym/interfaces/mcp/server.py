"""The server: `AgentEpisodes` over the Model Context Protocol, on stdio or HTTP."""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import mcp_types as types

from vzgym.core.errors import InvalidSetting
from vzgym.interfaces.mcp.episodes import AgentEpisodes
from vzgym.interfaces.messages import Part
from vzgym.interfaces.network import TokenGuard, is_loopback

if TYPE_CHECKING:
    from mcp.server import Server

__all__ = ["http_app", "make_server", "serve_http", "serve_stdio"]

_log = logging.getLogger("vzgym.interfaces")

_LARGEST_REQUEST = 1 << 20
_LONGEST_DESCRIPTION = 2000
"""Clients cut longer descriptions."""


def make_server(episodes: AgentEpisodes) -> Server[Any]:
    """Make the MCP server of episodes.

    Args:
        episodes: The episodes. Calls are executed in threads, so that decoding does not hold up other clients.

    Raises:
        InvalidSetting: If the description of a tool is so long that clients would cut it.
    """
    from mcp.server import Server
    from mcp.shared.exceptions import MCPError

    tools = [
        types.Tool(name=tool["name"], description=tool["description"], input_schema=tool["parameters"])
        for tool in episodes.tools
    ]
    for tool in tools:
        if len(tool.description or "") > _LONGEST_DESCRIPTION:
            raise InvalidSetting(
                f"the description of the tool {tool.name!r} has {len(tool.description or '')} characters, and clients "
                f"cut those of more than {_LONGEST_DESCRIPTION}"
            )

    async def list_tools(context: object, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=tools)

    async def call_tool(context: object, params: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            reply = await anyio.to_thread.run_sync(episodes.call, params.name, params.arguments)
        except Exception as error:
            # The library would send the error's text to the agent, and it may name files or the task's facts.
            _log.exception("a call of %r failed", params.name)
            raise MCPError(types.INTERNAL_ERROR, "the server failed; its log says why") from error
        return types.CallToolResult(content=[_content(part) for part in reply.parts], is_error=reply.is_error)

    return Server(
        "vzgym",
        version=version("vzgym"),
        instructions=episodes.instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _content(part: Part) -> types.TextContent | types.ImageContent:
    if isinstance(part, str):
        return types.TextContent(text=part)
    return types.ImageContent(data=part.base64, mime_type=part.media_type)


def http_app(episodes: AgentEpisodes, *, host: str = "127.0.0.1", token: str | None = None) -> Any:
    """The ASGI application of the server; its address ends in `/mcp`.

    Args:
        episodes: The episodes.
        host: The address that will be bound. On loopback, requests with a foreign `Host` or `Origin` are refused.
        token: If given, requests need the header `Authorization: Bearer TOKEN`.
    """
    from mcp.server.transport_security import TransportSecuritySettings

    # IPv6 addresses are in brackets in the headers of requests.
    names = ["127.0.0.1", "localhost", "[::1]", f"[{host.strip('[]')}]" if ":" in host else host]
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=is_loopback(host),
        allowed_hosts=[f"{name}:*" for name in names],
        allowed_origins=[f"http://{name}:*" for name in names],
    )
    app = make_server(episodes).streamable_http_app(
        # The handle is the only state, so that sessions of the transport would be kept for nothing.
        stateless_http=True,
        json_response=True,
        max_request_body_size=_LARGEST_REQUEST,
        transport_security=security,
        host=host,
    )
    return app if token is None else TokenGuard(app, token)


def serve_stdio(episodes: AgentEpisodes) -> None:
    """Serve one client on stdin and stdout, until it closes them."""
    from mcp.server.stdio import stdio_server

    server = make_server(episodes)

    async def run() -> None:
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())

    anyio.run(run)


def serve_http(episodes: AgentEpisodes, *, host: str = "127.0.0.1", port: int = 8765, token: str | None = None) -> None:
    """Serve clients over HTTP, until interrupted.

    Args:
        episodes: The episodes.
        host: The address to bind.
        port: The port.
        token: See `http_app`.
    """
    import uvicorn

    uvicorn.run(http_app(episodes, host=host, token=token), host=host.strip("[]"), port=port, log_level="warning")
