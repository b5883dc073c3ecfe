"""Scorers without a model: change between frames, colors named by the question, and a hash as a control."""

from __future__ import annotations

import hashlib
import re
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import InvalidSetting
from vzgym.scorers.base import EmbeddingScorer, OptionsByName, Query
from vzgym.video.base import Frames

__all__ = ["COLORS", "ColorHistogram", "FrameDifference", "HashScorer", "hash_unit"]


class FrameDifference(OptionsByName):
    """Scores each frame by its difference from the frame before it, whatever the query.

    Formula: mean of |frame_i - frame_(i-1)| over all pixels and channels, divided by 255; 0 for the first frame.
    Range: [0, 1].
    Source: the motion of MGSampler (arXiv 2104.09952).
    Known to break: cuts and camera motion score higher than events.
    """

    name: ClassVar[str] = "frame-difference"
    uses_model: ClassVar[bool] = False
    lookback: ClassVar[int] = 1
    identity: ClassVar[Any] = {"version": 1}

    def score(self, query: Query, frames: Frames) -> NDArray[np.float64]:
        """See `Scorer.score`."""
        scores = np.zeros(len(frames))
        for place in range(1, len(frames)):
            # int16: a difference of bytes does not fit into a byte.
            change = np.abs(frames.pixels[place].astype(np.int16) - frames.pixels[place - 1])
            scores[place] = change.mean() / 255.0
        return scores


COLORS: Final[tuple[str, ...]] = (
    "red", "orange", "brown", "yellow", "green", "cyan", "blue", "purple", "pink", "black", "grey", "white",
)  # fmt: skip
"""The colors of `ColorHistogram`, in the order of its embeddings."""

_WORDS: Final = {
    **{name: name for name in COLORS},
    "gray": "grey",
    "silver": "grey",
    "teal": "cyan",
    "turquoise": "cyan",
    "gold": "yellow",
    "golden": "yellow",
    "navy": "blue",
    "violet": "purple",
    "magenta": "pink",
}
_WORD: Final = re.compile(rf"\b({'|'.join(_WORDS)})\b", re.IGNORECASE)

# Upper ends of the hues in degrees; the rest of the circle is red again.
_HUES: Final = ((15, "red"), (42, "orange"), (70, "yellow"), (165, "green"), (200, "cyan"), (257, "blue"),
                (290, "purple"), (345, "pink"), (360, "red"))  # fmt: skip
_DARK, _BRIGHT, _BROWN = 0.2, 0.8, 0.6
_PALE = 0.2


class ColorHistogram(EmbeddingScorer):
    """Scores frames by how much of them has the colors that the question names.

    Formula: the cosine of h and w. h has the share of the frame's pixels of each of 12 colors (`COLORS`). A pixel is
    black if its HSV value is below 0.2, white or grey if its saturation is below 0.2 (white from a value of 0.8 on),
    brown if its hue is orange and its value below 0.6, else the color of its hue. w is 1 for each color named in the
    text, else 0. The embedding of a frame is h, scaled to length 1, that of a text is w, scaled likewise.
    Range: [0, 1]; 0 for every frame if the text names no color.
    Source: vzgym.
    Known to break: it knows neither shape nor motion, and most questions name no color.

    Args:
        with_options: Whether colors in the options count, too.
    """

    name: ClassVar[str] = "histogram"
    uses_model: ClassVar[bool] = False
    embedding_size: ClassVar[int] = len(COLORS)

    def __init__(self, with_options: bool = False) -> None:
        self.with_options = with_options

    @property
    def identity(self) -> dict[str, Any]:
        """See `Scorer`."""
        return {"version": 1, "with_options": self.with_options}

    def embed_frames(self, frames: Frames) -> NDArray[np.float32]:
        """Shares of the colors, scaled to length 1: float32, shape `(n, 12)`."""
        shares = np.stack([_shares(frame) for frame in frames.pixels])
        scaled: NDArray[np.float32] = (shares / np.linalg.norm(shares, axis=1, keepdims=True)).astype(np.float32)
        return scaled

    def embed_text(self, text: str) -> NDArray[np.float32]:
        """1 for each color that the text names, scaled to length 1; zeros if it names none: float32, shape `(12,)`."""
        named = {_WORDS[word.lower()] for word in _WORD.findall(text)}
        weights = np.array([name in named for name in COLORS], dtype=np.float32)
        return weights / np.float32(max(1.0, np.sqrt(len(named))))


def _shares(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of the pixels of each color, shape `(12,)`."""
    # Every n-th pixel of a large frame is enough for shares.
    step = max(1, min(frame.shape[:2]) // 128)
    pixels = frame[::step, ::step].reshape(-1, 3).astype(np.float64) / 255.0
    red, green, blue = pixels.T
    value, least = pixels.max(axis=1), pixels.min(axis=1)
    spread = value - least
    safe = np.where(spread > 0, spread, 1.0)
    hue = np.select(
        [value == red, value == green],
        [(green - blue) / safe % 6.0, (blue - red) / safe + 2.0],
        (red - green) / safe + 4.0,
    )
    ends = np.array([end for end, _ in _HUES])
    names = np.array([COLORS.index(name) for _, name in _HUES])
    # A hue just below 360 degrees may be rounded to 360.
    kind = names[np.minimum(np.searchsorted(ends, 60.0 * hue, side="right"), len(ends) - 1)]
    kind = np.where((kind == COLORS.index("orange")) & (value < _BROWN), COLORS.index("brown"), kind)
    pale = spread < _PALE * value
    kind = np.where(pale, np.where(value >= _BRIGHT, COLORS.index("white"), COLORS.index("grey")), kind)
    kind = np.where(value < _DARK, COLORS.index("black"), kind)
    shares: NDArray[np.float64] = np.bincount(kind, minlength=len(COLORS)) / len(kind)
    return shares


class HashScorer(OptionsByName):
    """Pseudo-random scores: a control at the level of chance.

    Formula: BLAKE2b-64 of the seed, the query's text and the frame's size and pixels, divided by 2^64. Equal frames
    have equal scores.
    Range: [0, 1).
    Source: vzgym.

    Args:
        seed: Another seed gives other scores.

    Raises:
        InvalidSetting: If the seed is not an integer.
    """

    name: ClassVar[str] = "hash"
    uses_model: ClassVar[bool] = False

    def __init__(self, seed: int = 0) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise InvalidSetting(f"the seed of scorer 'hash' must be an integer, got {seed!r}")
        self.seed = seed

    @property
    def identity(self) -> dict[str, Any]:
        """See `Scorer`."""
        return {"version": 1, "seed": self.seed}

    def score(self, query: Query, frames: Frames) -> NDArray[np.float64]:
        """See `Scorer.score`."""
        return np.array(
            [
                hash_unit(str(self.seed), query.text, repr(frame.shape), np.ascontiguousarray(frame).tobytes())
                for frame in frames.pixels
            ]
        )


def hash_unit(*parts: str | bytes) -> float:
    """A number in [0, 1) that is determined by texts and bytes: BLAKE2b-64 of the parts and their lengths."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    # 53 bits, all that a float holds: more would be rounded up to 1.
    return (int.from_bytes(digest.digest(), "little") >> 11) / 2.0**53
