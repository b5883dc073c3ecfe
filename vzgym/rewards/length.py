"""Rewards for short texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vzgym.core.errors import InvalidSetting
from vzgym.episode.costs import text_tokens
from vzgym.episode.record import EpisodeRecord
from vzgym.rewards.base import Need, RewardContext
from vzgym.rewards.options import need_number

__all__ = ["Overlong"]


@dataclass(frozen=True)
class Overlong:
    """A soft penalty for long texts.

    Formula: at the end, with n the number of tokens that the agent wrote: 0 if n <= longest - cushion; -1 if n >
    longest; between them (longest - cushion - n) / cushion; 0 before the end. A token is counted for every four bytes
    of UTF-8, rounded up for each turn.
    Range: [-1, 0].
    Source: soft overlong punishment of DAPO (arXiv 2503.14476), equation 13, which has longest 20,480 and cushion
    4,096; our defaults are for answers of a few hundred tokens.
    Known to break: it discourages reasoning, useful or not; the token count is approximate.

    Args:
        longest: Number of tokens from which the full penalty applies, > 0.
        cushion: Number of tokens over which the penalty grows, in (0, longest].
    """

    longest: int = 4096
    cushion: int = 1024

    name: ClassVar[str] = "overlong"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __post_init__(self) -> None:
        need_number(self.name, "longest", self.longest, above=0)
        need_number(self.name, "cushion", self.cushion, above=0)
        if self.cushion > self.longest:
            raise InvalidSetting(f"overlong: cushion must be at most longest ({self.longest}), got {self.cushion}")

    def score(self, record: EpisodeRecord, context: RewardContext) -> float | None:
        """See the class."""
        if record.end is None:
            return 0.0
        said = sum(text_tokens(turn.text) for turn in record.turns)
        over = said - (self.longest - self.cushion)
        return max(-1.0, 0.0 - over / self.cushion) if over > 0 else 0.0
