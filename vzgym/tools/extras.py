"""What an episode offers beside the zoom and the frames: tools, and subtitles in the dialogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vzgym.core.budget import Budget
from vzgym.core.registry import names_from_data
from vzgym.episode.episode import Episode
from vzgym.episode.subtitles import check_mode
from vzgym.episode.tools import Tool
from vzgym.episode.wording import Wording
from vzgym.tasks.subtitles.subtitle import SubtitleMode
from vzgym.tasks.task import VideoTask
from vzgym.tools.base import ToolSpec, make_tools

__all__ = ["Extras"]


@dataclass(frozen=True)
class Extras:
    """Tools and subtitles of a run's episodes. The defaults are the paper's: neither.

    Args:
        tools: The tools that the agent may call.
        subtitles: Where the dialogue shows subtitles; None: as each task says.
    """

    tools: tuple[Tool, ...] = ()
    subtitles: SubtitleMode | None = None

    @classmethod
    def make(
        cls,
        tools: ToolSpec | Sequence[ToolSpec] | None = None,
        subtitles: str | None = None,
        *,
        trained: Mapping[str, Any] | None = None,
    ) -> Extras:
        """Create extras from settings.

        Args:
            tools: The tools; an empty sequence for none.
            subtitles: Where the dialogue shows subtitles.
            trained: What a model was trained with, as `to_json` gives it: used for each of the two that is None. It
                comes from a file, so that it cannot name code or tools that load weights.

        Raises:
            UnknownName: If a tool's name is not registered.
            InvalidSetting: If a tool or the mode is invalid.
            UntrustedName: If `trained` names such a tool, and `tools` is None.
        """
        trained = trained or {}
        if subtitles is None:
            subtitles = trained.get("subtitles")
        mode = None if subtitles is None else check_mode(subtitles)
        if tools is not None:
            return cls(make_tools(tools), mode)
        hint = "If you trust it, name the tools yourself: tools=[...], on the command line --tool NAME."
        with names_from_data("the trained model", hint=hint):
            return cls(make_tools(trained.get("tools")), mode)

    def load(self) -> None:
        """Load what tools need, such as weights, before the first episode; see `Tool`.

        Raises:
            InvalidSetting: If it is missing.
        """
        for tool in self.tools:
            load = getattr(tool, "load", None)
            if load is not None:
                load()

    @property
    def specs(self) -> list[dict[str, Any]]:
        """The tools as mappings, from which they can be made again in another process."""
        return [dict(tool.spec) for tool in self.tools]

    @property
    def uses_subtitles(self) -> bool:
        """Whether subtitles are shown, or a tool of vzgym searches them."""
        return self.subtitles not in (None, "none") or any(tool.name == "subtitles" for tool in self.tools)

    @property
    def privileged(self) -> bool:
        """Whether a tool knows the evidence."""
        return any(getattr(tool, "privileged", False) for tool in self.tools)

    def episode(
        self,
        task: VideoTask,
        budget: Budget | None = None,
        wording: Wording | None = None,
        *,
        overview: NDArray[np.float64] | None = None,
    ) -> Episode:
        """Create an episode with these extras; arguments and errors as `Episode`."""
        return Episode(task, budget, wording, self.tools, self.subtitles, overview=overview)

    def to_json(self) -> dict[str, Any]:
        """JSON form: the fields that differ from their defaults."""
        found: dict[str, Any] = {"tools": self.specs} if self.tools else {}
        return found if self.subtitles is None else {**found, "subtitles": self.subtitles}

    def changes(self, trained: Mapping[str, Any]) -> str:
        """What differs from the extras that a model was trained with, in words; "" if nothing does.

        Args:
            trained: As for `make`.
        """
        mine, theirs = self.to_json(), dict(trained)
        parts = []
        if mine.get("tools", []) != theirs.get("tools", []):
            parts.append(f"tools {_named(mine)} (trained with {_named(theirs)})")
        shown, learned = mine.get("subtitles"), theirs.get("subtitles")
        if (shown or "none") != (learned or "none"):
            parts.append(f"subtitles {shown or 'none'} (trained with {learned or 'none'})")
        return " and ".join(parts)


def _named(extras: Mapping[str, Any]) -> str:
    """The tools with their options, for a message."""
    tools = []
    for spec in extras.get("tools", []):
        options = ", ".join(f"{key}={value}" for key, value in spec.items() if key != "name")
        tools.append(f"{spec.get('name')} ({options})" if options else str(spec.get("name")))
    return ", ".join(tools) or "none"
