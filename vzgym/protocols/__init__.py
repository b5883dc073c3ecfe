"""Text protocols: parsing an agent's text into actions, and dialogues as chat messages."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.protocols.base import PAPER_RULES, PROTOCOLS, Parsed, TextProtocol, make_wording
    from vzgym.protocols.chat import as_chat
    from vzgym.protocols.compact import CompactTags
    from vzgym.protocols.direct import DirectProtocol
    from vzgym.protocols.tags import TagProtocol
    from vzgym.protocols.tool_calls import (
        ToolCallProtocol,
        as_tool_chat,
        tool_functions,
        turn_text,
        video_zoom_tool,
    )
    from vzgym.protocols.turns import MAX_TURN_LENGTH, TruncatedText, TurnReading, read_turn
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "base: PAPER_RULES PROTOCOLS Parsed TextProtocol make_wording",
        "chat: as_chat",
        "compact: CompactTags",
        "direct: DirectProtocol",
        "tags: TagProtocol",
        "tool_calls: ToolCallProtocol as_tool_chat tool_functions turn_text video_zoom_tool",
        "turns: MAX_TURN_LENGTH TruncatedText TurnReading read_turn",
    )

__all__ = [
    "MAX_TURN_LENGTH",
    "PAPER_RULES",
    "PROTOCOLS",
    "CompactTags",
    "DirectProtocol",
    "Parsed",
    "TagProtocol",
    "TextProtocol",
    "ToolCallProtocol",
    "TruncatedText",
    "TurnReading",
    "as_chat",
    "as_tool_chat",
    "make_wording",
    "read_turn",
    "tool_functions",
    "turn_text",
    "video_zoom_tool",
]
