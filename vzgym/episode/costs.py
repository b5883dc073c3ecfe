"""Costs of an episode: tokens, model passes, frames, frames scored, time, computed from its record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.episode.clip import Clip
from vzgym.episode.record import EpisodeRecord

__all__ = [
    "COSTS",
    "END_COSTS",
    "PATCH_RULES",
    "RUN_COSTS",
    "SCORER_COSTS",
    "EpisodeCosts",
    "PatchRule",
    "patch_rule",
    "text_tokens",
]

BYTES_PER_TOKEN: Final = 4
"""UTF-8 bytes per token, for the approximation without a tokenizer."""


@dataclass(frozen=True, slots=True)
class PatchRule:
    """Rule by which a model family turns an image into tokens.

    The image is resized so that both sides are multiples of `factor` and the area is within limits; each `factor` x
    `factor` square is one token. Special tokens around an image are not counted.

    Attributes:
        name: The family.
        factor: Side of a token's square in pixels: patch size times merge size.
        source: Source of the rule.
    """

    name: str
    factor: int
    source: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.factor, bool) or not isinstance(self.factor, int) or self.factor < 1:
            raise InvalidSetting(f"PatchRule.factor must be an integer >= 1, got {self.factor!r}")

    def resize(self, height: int, width: int, least: int, most: int) -> tuple[int, int]:
        """The size to which the model resizes an image.

        Sides are rounded to the nearest multiple of `factor` (halves to even). If the area is then above `most`, both
        sides are divided by `sqrt(height * width / most)` and rounded down (to at least one square); if it is below
        `least`, both are multiplied by `sqrt(least / (height * width))` and are rounded up.

        Args:
            height: In pixels, >= 1.
            width: In pixels, >= 1.
            least: Minimum pixels.
            most: Maximum pixels.

        Returns:
            `(height, width)`, multiples of `factor`.
        """
        side = self.factor
        rows, columns = round(height / side), round(width / side)
        if rows * columns * side * side > most:
            shrink = math.sqrt(height * width / most)
            rows = max(1, math.floor(height / shrink / side))
            columns = max(1, math.floor(width / shrink / side))
        elif rows * columns * side * side < least:
            grow = math.sqrt(least / (height * width))
            rows, columns = math.ceil(height * grow / side), math.ceil(width * grow / side)
        return max(1, rows) * side, max(1, columns) * side

    def tokens(self, height: int, width: int, least: int, most: int) -> int:
        """Number of tokens of one image; arguments as in `resize`."""
        rows, columns = self.resize(height, width, least, most)
        return (rows // self.factor) * (columns // self.factor)


PATCH_RULES: Final[Mapping[str, PatchRule]] = {
    rule.name: rule
    for rule in (
        PatchRule("qwen2-vl", 28, "patch 14, merge 2: `smart_resize` of Qwen2-VL's image processor in transformers"),
        PatchRule("qwen2.5-vl", 28, "patch 14, merge 2: Qwen2.5-VL uses Qwen2-VL's image processor"),
        PatchRule("qwen3-vl", 32, "patch 16, merge 2: Qwen3-VL's preprocessor settings on the same `smart_resize`"),
    )
}
"""Rules by the name of the model family."""


def patch_rule(family: str | PatchRule) -> PatchRule:
    """Look up the rule of a model family.

    Raises:
        UnknownName: If no rule has that name; lists those that do.
    """
    if isinstance(family, PatchRule):
        return family
    if family not in PATCH_RULES:
        raise UnknownName("model family", family, PATCH_RULES, "Another is given as a PatchRule.")
    return PATCH_RULES[family]


def text_tokens(text: str, tokenizer: Callable[[str], int] | None = None) -> int:
    """Number of tokens of a text: as counted by `tokenizer`, else one per four bytes of UTF-8, rounded up.

    The approximation is close for English under byte-pair vocabularies of 100,000 and more, and too low for runs of
    digits. It needs no vocabulary, so costs can be compared without a model.
    """
    return tokenizer(text) if tokenizer is not None else math.ceil(len(text.encode()) / BYTES_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class EpisodeCosts:
    """The cost ledger of one episode; None for unknown values.

    Attributes:
        visual_tokens: Tokens of all shown frames, including the overview.
        text_tokens: Tokens of the dialogue's text, each message once; known only after the end.
        written_tokens: Text tokens written by the agent.
        passes: Model calls: one per turn.
        frames_shown: Number of shown frames, including the overview.
        frames_decoded: Number of decoded frames: more if a decoder must start at a key frame, fewer if frames were
            cached.
        candidates_decoded: Number of frames decoded for a scorer, beside those shown; as `frames_decoded`. Scores from
            a cache on disk count the frames that were decoded for them.
        frames_scored: Number of frames that a scorer scored.
        scorer_passes: Number of those that passed through the scorer's model; 0 for a scorer without a model.
        text_passes: Number of texts that passed through the scorer's model on their own.
        cached_passes: The part of `scorer_passes` that a cache on disk saved. The other passes are those without a
            cache, so that they do not depend on what ran before.
        decode_seconds: Wall time of reading the shown frames.
        tool_seconds: Wall time of the environment, including decoding; set by the run.
        model_seconds: Wall time of the policy; set by the run.
        wall_seconds: Wall time of the episode; set by the run.
    """

    visual_tokens: int
    text_tokens: int | None
    written_tokens: int
    passes: int
    frames_shown: int
    frames_decoded: int
    candidates_decoded: int | None
    frames_scored: int | None
    scorer_passes: int | None
    text_passes: int | None
    cached_passes: int | None
    decode_seconds: float
    tool_seconds: float | None
    model_seconds: float | None
    wall_seconds: float | None

    @classmethod
    def of(
        cls,
        record: EpisodeRecord,
        family: str | PatchRule = "qwen2.5-vl",
        tokenizer: Callable[[str], int] | None = None,
    ) -> EpisodeCosts:
        """Compute the costs of a record.

        Args:
            record: The episode.
            family: Model family whose patch rule turns frames into tokens; the budget's `min_pixels` and `max_pixels`
                limit its resizing, as in the paper; where a zoom or a tool chose `max_pixels`, that limit applies.
            tokenizer: Counts a text's tokens; an approximation (`text_tokens`) if not given.
        """
        rule = patch_rule(family)
        budget, info = record.budget, record.info

        def pictures(clip: Clip) -> int:
            return len(clip) * rule.tokens(*clip.size, budget.min_pixels, clip.max_pixels or budget.max_pixels)

        def timed(key: str) -> float | None:
            value = getattr(info, key)
            return None if value is None or record.end is None else float(value)

        return cls(
            visual_tokens=sum(pictures(clip) for clip in record.clips),
            text_tokens=sum(text_tokens(message.text, tokenizer) for message in record.messages)
            if record.end is not None
            else None,
            written_tokens=sum(text_tokens(turn.text, tokenizer) for turn in record.turns),
            passes=len(record.turns),
            frames_shown=record.frames,
            frames_decoded=sum(clip.decoded for clip in record.clips),
            **{name: None if record.end is None else _scorer_cost(record, name) for name in SCORER_COSTS},
            # Rounded as in records, so that a saved run has the same costs as the live one.
            decode_seconds=math.fsum(round(clip.seconds, 6) for clip in record.clips),
            tool_seconds=timed("tool_seconds"),
            model_seconds=timed("model_seconds"),
            wall_seconds=timed("wall_seconds"),
        )

    def to_json(self) -> dict[str, float | int | None]:
        """All entries by name."""
        return asdict(self)


def _scorer_cost(record: EpisodeRecord, name: str) -> int:
    """A cost of scorers: those of the policy, and those of its tool calls."""
    return int(record.info.costs.get(name, 0) + sum(turn.costs.get(name, 0) for turn in record.turns))


COSTS: Final[tuple[str, ...]] = tuple(EpisodeCosts.__dataclass_fields__)
"""The entries of a cost ledger."""
SCORER_COSTS: Final[tuple[str, ...]] = (
    "candidates_decoded", "frames_scored", "scorer_passes", "text_passes", "cached_passes",
)  # fmt: skip
"""Entries that a policy or a tool with a scorer counts (`RunInfo.costs`); 0 without one."""
RUN_COSTS: Final[frozenset[str]] = frozenset({"tool_seconds", "model_seconds", "wall_seconds", *SCORER_COSTS})
"""Entries that a run sets after the episode's end."""
END_COSTS: Final[frozenset[str]] = RUN_COSTS | {"text_tokens"}
"""Entries that are known only after the end."""
