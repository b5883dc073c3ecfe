"""Text protocols: wordings whose turns can be parsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from vzgym.core.actions import Action, TurnRules
from vzgym.core.registry import Registry
from vzgym.episode.wording import PlainWording, Wording

__all__ = ["PAPER_RULES", "PROTOCOLS", "Parsed", "TextProtocol", "make_wording"]

PAPER_RULES: Final = TurnRules()
"""The paper's: one zoom in a turn, and no tools beside it."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """The result of parsing an agent's text.

    Attributes:
        action: The action; `Malformed`, with the reason, if there is none.
        well_formed: Whether the text has exactly the protocol's form. Lenient parsing may find an action in text that
            is not well-formed; the format reward distinguishes the two.
    """

    action: Action
    well_formed: bool


@runtime_checkable
class TextProtocol(Wording, Protocol):
    """A wording that can also parse the agent's texts."""

    def parse(self, text: str, rules: TurnRules = PAPER_RULES) -> Parsed:
        """Parse one turn's text. Never raises on bad text, which yields `Malformed`.

        Args:
            text: The text.
            rules: What a turn of the episode may hold (`Episode.rules`); a single zoom and no tools by default.
        """
        ...


def make_wording(spec: Mapping[str, Any]) -> Wording:
    """Rebuild a wording from the `spec` in a record.

    Raises:
        UnknownName: If neither "plain" nor a text protocol has that name.
    """
    return PlainWording() if spec.get("name") == "plain" else PROTOCOLS.make(spec)


PROTOCOLS: Registry[TextProtocol] = Registry("text protocol", "vzgym.protocols")
PROTOCOLS.register("tags", "vzgym.protocols.tags:TagProtocol")
PROTOCOLS.register("compact_tags", "vzgym.protocols.compact:CompactTags")
PROTOCOLS.register("tool_calls", "vzgym.protocols.tool_calls:ToolCallProtocol")
PROTOCOLS.register("direct", "vzgym.protocols.direct:DirectProtocol")
