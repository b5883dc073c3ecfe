"""What an episode offers beside the zoom and the frames: tools, and subtitles in the dialogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vzgym.core.budget import Budget
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
    def make(cls, tools: ToolSpec | Sequence[ToolSpec] | None = None, subtitles: str | None = None) -> Extras:
        """Create extras from settings.

        Raises:
            UnknownName: If a tool's name is not registered.
            InvalidSetting: If a tool or the mode is invalid.
        """
        return cls(make_tools(tools), None if subtitles is None else check_mode(subtitles))

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
