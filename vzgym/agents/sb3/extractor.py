"""A features extractor for Stable-Baselines3 and the `flat` observation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from gymnasium.spaces import Dict
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from vzgym.core.errors import InvalidSetting

__all__ = ["ClipExtractor", "Layout"]

_KEYS = {"frames", "frame_times", "frame_rounds", "question", "options", "left", "duration"}
# A score with zero weight in a softmax.
_NEVER = -1e9
# Scale of the matches, which start at 0: makes them grow fast enough.
_SHARP = 2.0


@dataclass(frozen=True, slots=True)
class Layout:
    """Layout of the features of `ClipExtractor`.

    Attributes:
        bins: Parts of the video.
        options: Number of options.
        others: Number of features that belong to neither.
        summary: Size of the summary.
    """

    bins: int
    options: int
    others: int
    summary: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of where, looked, salience, which, the others and the summary."""
        return (self.bins, self.bins, self.bins, self.options, self.others, self.summary)

    def split(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Split features into those of parts of the video, those of options, and the summary.

        Returns:
            where `(batch, bins)`, places `(batch, bins, 3)` (where, looked, salient), which `(batch, options)`, summary
            `(batch, summary)`.
        """
        where, looked, salient, which, _, summary = torch.split(features, list(self.sizes), dim=1)
        return where, torch.stack([where, looked, salient], dim=2), which, summary


class ClipExtractor(BaseFeaturesExtractor):
    """Encodes frames, times and words as one vector.

    1. A small convolutional encoder, shared by all frames. A frame is also described by its *contrast*, the difference
       from its clip's mean (in the overview its scene, in a zoom the event), and by its *salience*, the contrast's
       norm.
    2. *Where*: the match of the question's words with the overview's contrast in each of `bins` equal parts of the
       video, with the number of zoom frames (*looked*) and the maximal salience of each part.
    3. *Which*: the match of each option's words with the frames: in zooms, weighted by salience and by the match of
       their part; in the overview, those of the matching part.
    4. The summary, a layer over all of these.

    Words are represented by their ids: both matches start at zero and are learned.

    A policy head without hidden layers (`net_arch`) is sufficient and learns fastest.

    Args:
        observation_space: The space of `vzgym.envs.FlatObservation`.
        bins: Number of parts of the video; best equal to the number of windows of the action.
        width: Size of frame and word vectors.
        vocabulary: The observation's `vocabulary`; read from the space if None.

    Raises:
        InvalidSetting: If the space is a different one, or a number is below 1.
    """

    def __init__(
        self,
        observation_space: Dict,
        bins: int = 16,
        width: int = 32,
        vocabulary: int | None = None,
    ) -> None:
        if not isinstance(observation_space, Dict) or not set(observation_space.spaces) >= _KEYS:
            raise InvalidSetting("ClipExtractor reads the observation 'flat': make the environment with it")
        if min(bins, width) < 1:
            raise InvalidSetting(f"bins and width must be >= 1, got {bins} and {width}")
        words: Any = observation_space["question"]
        options: Any = observation_space["options"]
        rounds: Any = observation_space["frame_rounds"]
        layout = Layout(bins, options.shape[0], others=2 * width + 6, summary=2 * width)
        super().__init__(observation_space, sum(layout.sizes))
        self.layout = layout
        self.bins, self.width, self.rounds = bins, width, int(rounds.high.max()) + 1
        size = vocabulary or int(words.high.max()) + 1
        self.frame = FrameEncoder(width)
        self.place = nn.Linear(width, width)
        self.sight = nn.Linear(2 * width, width)
        self.asked = _words(size, width)
        self.offered = _words(size, width)
        self.attention = nn.Parameter(torch.tensor([2.0, 1.0]))
        self.mix = nn.Sequential(nn.Linear(sum(layout.sizes[:-1]), layout.summary), nn.ReLU())

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """Features.

        Args:
            observations: Batched observations of the space; any dtype.

        Returns:
            float32, shape `(batch, features_dim)`.
        """
        times, rounds = observations["frame_times"], observations["frame_rounds"]
        shown = times >= 0
        zoomed = shown & (rounds > 0)
        frames = self._frames(observations["frames"], shown)
        contrast = frames - self._clip_means(frames, rounds, shown)
        salience = (contrast.square().sum(dim=2) + 1e-6).sqrt() * zoomed  # sqrt has no gradient at 0

        part = self._parts(times)
        scenes = self._scenes(part, times, shown & ~zoomed)
        asked = self.asked(observations["question"].long()).sum(dim=1)
        places = self.place(scenes @ contrast)
        where = torch.einsum("bw,bpw->bp", asked, places) * _SHARP / self.width**0.5
        looked = _per_part(part, zoomed.to(frames.dtype), self.bins, "sum")
        salient = _per_part(part, salience, self.bins, "amax")

        wanted = torch.softmax(where, dim=1)
        near = torch.gather(where, 1, part)
        scores = self.attention[0] * salience + self.attention[1] * near
        # Identical frames carry no information: weights go to salient frames, or vanish.
        weights = torch.softmax(scores.masked_fill(~zoomed, _NEVER), dim=1) * (1 - torch.exp(-salience.square()))
        seen = torch.cat([weights[:, None] @ frames, wanted[:, None] @ (scenes @ frames)], dim=2).squeeze(1)
        words = observations["options"].long()
        which = torch.einsum("bow,bw->bo", self.offered(words).sum(dim=2), self.sight(seen)) * _SHARP / self.width**0.5

        totals = [(wanted * salient).sum(dim=1, keepdim=True), salient.amax(dim=1, keepdim=True), observations["left"]]
        length = torch.log10(observations["duration"].clamp(min=1e-3)) / 4
        plain = torch.cat([where, looked.clamp(max=8) / 8, salient, which, *totals, length, seen], dim=1)
        return torch.cat([plain, self.mix(plain)], dim=1)

    def _frames(self, pixels: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
        """Encode frames, shape `(batch, count, width)`; zeros for missing frames."""
        out = torch.zeros(*shown.shape, self.width, device=pixels.device)
        # Most slots are empty: only existing frames are encoded.
        out[shown] = self.frame(pixels[shown].float() / 255.0)
        return out

    def _clip_means(self, frames: torch.Tensor, rounds: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
        """The mean of each frame's clip, shape `(batch, count, width)`."""
        clips = torch.arange(self.rounds, device=frames.device)
        member = ((rounds[:, None] == clips[:, None]) & shown[:, None]).to(frames.dtype)
        means = member @ frames / member.sum(dim=2, keepdim=True).clamp(min=1)
        return member.transpose(1, 2) @ means

    def _parts(self, times: torch.Tensor) -> torch.Tensor:
        """Index of the part of the video that contains each frame, int64, shape `(batch, count)`."""
        # Overview frames lie on the borders of parts: shift them slightly, so that rounding does not move them back.
        return ((times.clamp(0, 1) + 1e-4) * self.bins).long().clamp(max=self.bins - 1)

    def _scenes(self, part: torch.Tensor, times: torch.Tensor, overview: torch.Tensor) -> torch.Tensor:
        """Weights of the overview frames that show each part: those in it, or the last one before it. They sum to 1.

        Returns:
            float32, shape `(batch, bins, count)`; zeros for a part before the first frame.
        """
        parts = torch.arange(self.bins, device=part.device)[:, None]
        inside = (part[:, None] == parts) & overview[:, None]
        before = (part[:, None] <= parts) & overview[:, None]
        latest = times[:, None].masked_fill(~before, -1.0).amax(dim=2, keepdim=True)
        last = before & (times[:, None] == latest)
        chosen = torch.where(inside.any(dim=2, keepdim=True), inside, last).to(times.dtype)
        return chosen / chosen.sum(dim=2, keepdim=True).clamp(min=1)


class FrameEncoder(nn.Module):
    """Encodes a frame as a vector: patches of 4x4 pixels, two layers, then mean and maximum pooling.

    Args:
        width: Size of the vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, kernel_size=4, stride=4, padding=0)
        self.mixed = nn.Conv2d(width, width, kernel_size=1)
        self.out = nn.Linear(2 * width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Encode frames `(n, height, width, 3)` in [0, 1] as vectors `(n, width)`."""
        down, across = (-side % 4 for side in frames.shape[1:3])
        images = nn.functional.pad(4 * frames.permute(0, 3, 1, 2) - 2, (0, across, 0, down))
        cells = torch.relu(self.mixed(torch.relu(self.patches(images)))).flatten(2)
        vectors: torch.Tensor = self.norm(self.out(torch.cat([cells.mean(dim=2), cells.amax(dim=2)], dim=1)))
        return vectors


def _words(size: int, width: int) -> nn.Embedding:
    """Word embeddings, initialized to zero."""
    embedding = nn.Embedding(size, width, padding_idx=0)
    nn.init.zeros_(embedding.weight)
    return embedding


def _per_part(part: torch.Tensor, values: torch.Tensor, bins: int, reduce: str) -> torch.Tensor:
    """Reduce values of frames to parts of the video: `(batch, count)` to `(batch, bins)`."""
    out = torch.zeros(part.shape[0], bins, device=part.device, dtype=values.dtype)
    return out.scatter_reduce(1, part, values, reduce)
