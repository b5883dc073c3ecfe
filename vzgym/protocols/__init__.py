"""Floor 4: text <-> action."""

from vzgym.protocols.base import PROTOCOLS, Parsed, TextProtocol, make_wording
from vzgym.protocols.chat import as_chat
from vzgym.protocols.compact import CompactTags
from vzgym.protocols.tags import TagProtocol
from vzgym.protocols.tool_calls import ToolCallProtocol, as_tool_chat, turn_text, video_zoom_tool

__all__ = [
    "PROTOCOLS",
    "CompactTags",
    "Parsed",
    "TagProtocol",
    "TextProtocol",
    "ToolCallProtocol",
    "as_chat",
    "as_tool_chat",
    "make_wording",
    "turn_text",
    "video_zoom_tool",
]
