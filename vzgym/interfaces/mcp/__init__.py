"""A server of the Model Context Protocol: any agent that speaks it plays episodes with its tools (extra `mcp`).

vzgym serve mcp --tasks needle-tiny --out runs/agent
"""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.interfaces.mcp.episodes import AgentEpisodes, Reply
    from vzgym.interfaces.mcp.server import http_app, make_server, serve_http, serve_stdio
    from vzgym.interfaces.mcp.sheet import draw_sheet
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "episodes: AgentEpisodes Reply",
        "server: http_app make_server serve_http serve_stdio",
        "sheet: draw_sheet",
    )

__all__ = ["AgentEpisodes", "Reply", "draw_sheet", "http_app", "make_server", "serve_http", "serve_stdio"]
