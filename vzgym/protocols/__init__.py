"""Floor 4: text <-> action."""

from vzgym.protocols.base import PROTOCOLS, Parsed, TextProtocol, make_wording
from vzgym.protocols.chat import as_chat
from vzgym.protocols.compact import CompactTags
from vzgym.protocols.tags import TagProtocol

__all__ = ["PROTOCOLS", "CompactTags", "Parsed", "TagProtocol", "TextProtocol", "as_chat", "make_wording"]
