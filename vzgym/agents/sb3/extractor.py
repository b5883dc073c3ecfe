"""A features extractor for Stable-Baselines3: reads the `flat` observation."""

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
# A score that no softmax gives any weight.
_NEVER = -1e9
# Matches begin at 0, where all actions are alike; this makes them grow fast enough.
_SHARP = 2.0


@dataclass(frozen=True, slots=True)
class Layout:
    """What stands where in the features of `ClipExtractor`.

    Attributes:
        bins: Parts of the video.
        options: Number of options.
        others: Numbers that belong to neither.
        summary: Numbers of the summary of everything.
    """

    bins: int
    options: int
    others: int
    summary: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers for where, looked, struck, which, the others and the summary."""
        return (self.bins, self.bins, self.bins, self.options, self.others, self.summary)

    def split(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The parts that belong to places or options, and the summary.

        Returns:
            where `(batch, bins)`, places `(batch, bins, 3)` (where, looked, struck), which `(batch, options)`, summary
            `(batch, summary)`.
        """
        where, looked, struck, which, _, summary = torch.split(features, list(self.sizes), dim=1)
        return where, torch.stack([where, looked, struck], dim=2), which, summary


class ClipExtractor(BaseFeaturesExtractor):
    """Frames, times and words to one vector.

    1. One small convolutional encoder, shared by all frames. What matters of a frame is what sets it apart from the
       others of its clip: in the overview its scene, in a zoom what happens there and nowhere else. So each frame is
       also known by its *contrast*, the distance from its clip's mean, and by how large that is.
    2. *Where*: how well the question's words match the overview's contrast in each of `bins` equal parts of the video.
       Beside it stands how often a part was *looked* at, and how much *struck* the eye there.
    3. *Which*: how well each option's words match what is seen: in the zooms, most of all what strikes the eye in the
       part that the question asks for; in the overview, that part.
    4. A layer over all of that, the summary.

    Words are known by their numbers alone: both matches begin at zero and are learnt.

    A policy head without hidden layers (`net_arch`) is enough, and learns fastest.

    Args:
        observation_space: The space of `vzgym.envs.FlatObservation`.
        bins: Parts of the video that *where* is told in; the number of windows of the action is best.
        width: Width of a frame's and a word's vector.
        vocabulary: The observation's `vocabulary`; read from the space if None.

    Raises:
        InvalidSetting: If the space is another one, or a number is below 1.
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
        self.glance = nn.Parameter(torch.tensor([2.0, 1.0]))
        self.mix = nn.Sequential(nn.Linear(sum(layout.sizes[:-1]), layout.summary), nn.ReLU())

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """Features.

        Args:
            observations: As the space says, with a batch in front; any dtype.

        Returns:
            float32, shape `(batch, features_dim)`.
        """
        times, rounds = observations["frame_times"], observations["frame_rounds"]
        shown = times >= 0
        zoomed = shown & (rounds > 0)
        frames = self._frames(observations["frames"], shown)
        contrast = frames - self._clip_means(frames, rounds, shown)
        strikes = (contrast.square().sum(dim=2) + 1e-6).sqrt() * zoomed  # a root of 0 has no gradient

        part = self._parts(times)
        scenes = self._scenes(part, times, shown & ~zoomed)
        asked = self.asked(observations["question"].long()).sum(dim=1)
        places = self.place(scenes @ contrast)
        where = torch.einsum("bw,bpw->bp", asked, places) * _SHARP / self.width**0.5
        looked = _per_part(part, zoomed.to(frames.dtype), self.bins, "sum")
        struck = _per_part(part, strikes, self.bins, "amax")

        wanted = torch.softmax(where, dim=1)
        near = torch.gather(where, 1, part)
        glance = self.glance[0] * strikes + self.glance[1] * near
        # Frames that all look alike tell nothing: the eye rests on what strikes it, or on nothing.
        eyes = torch.softmax(glance.masked_fill(~zoomed, _NEVER), dim=1) * (1 - torch.exp(-strikes.square()))
        seen = torch.cat([eyes[:, None] @ frames, wanted[:, None] @ (scenes @ frames)], dim=2).squeeze(1)
        words = observations["options"].long()
        which = torch.einsum("bow,bw->bo", self.offered(words).sum(dim=2), self.sight(seen)) * _SHARP / self.width**0.5

        told = [(wanted * struck).sum(dim=1, keepdim=True), struck.amax(dim=1, keepdim=True), observations["left"]]
        length = torch.log10(observations["duration"].clamp(min=1e-3)) / 4
        plain = torch.cat([where, looked.clamp(max=8) / 8, struck, which, *told, length, seen], dim=1)
        return torch.cat([plain, self.mix(plain)], dim=1)

    def _frames(self, pixels: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
        """A vector for each place, shape `(batch, count, width)`; zeros where there is no frame."""
        out = torch.zeros(*shown.shape, self.width, device=pixels.device)
        # Most places are empty most of the time: only frames are encoded.
        out[shown] = self.frame(pixels[shown].float() / 255.0)
        return out

    def _clip_means(self, frames: torch.Tensor, rounds: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
        """For each frame the mean of its clip, shape `(batch, count, width)`."""
        clips = torch.arange(self.rounds, device=frames.device)
        member = ((rounds[:, None] == clips[:, None]) & shown[:, None]).to(frames.dtype)
        means = member @ frames / member.sum(dim=2, keepdim=True).clamp(min=1)
        return member.transpose(1, 2) @ means

    def _parts(self, times: torch.Tensor) -> torch.Tensor:
        """Which part of the video each frame lies in, int64, shape `(batch, count)`."""
        # Frames of the overview lie on the borders of parts: a hair to the right, lest rounding move them back.
        return ((times.clamp(0, 1) + 1e-4) * self.bins).long().clamp(max=self.bins - 1)

    def _scenes(self, part: torch.Tensor, times: torch.Tensor, overview: torch.Tensor) -> torch.Tensor:
        """Which frames of the overview show a part: those in it, or the last before it; weights that sum up to 1.

        Returns:
            float32, shape `(batch, bins, count)`; zeros for a part that no frame comes before.
        """
        parts = torch.arange(self.bins, device=part.device)[:, None]
        inside = (part[:, None] == parts) & overview[:, None]
        before = (part[:, None] <= parts) & overview[:, None]
        latest = times[:, None].masked_fill(~before, -1.0).amax(dim=2, keepdim=True)
        last = before & (times[:, None] == latest)
        chosen = torch.where(inside.any(dim=2, keepdim=True), inside, last).to(times.dtype)
        return chosen / chosen.sum(dim=2, keepdim=True).clamp(min=1)


class FrameEncoder(nn.Module):
    """A frame to a vector: patches of 4x4 pixels, two layers, then their mean and their maximum.

    Args:
        width: Width of the vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, kernel_size=4, stride=4, padding=0)
        self.mixed = nn.Conv2d(width, width, kernel_size=1)
        self.out = nn.Linear(2 * width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames `(n, height, width, 3)` in [0, 1] to vectors `(n, width)`."""
        down, across = (-side % 4 for side in frames.shape[1:3])
        pictures = nn.functional.pad(4 * frames.permute(0, 3, 1, 2) - 2, (0, across, 0, down))
        cells = torch.relu(self.mixed(torch.relu(self.patches(pictures)))).flatten(2)
        vectors: torch.Tensor = self.norm(self.out(torch.cat([cells.mean(dim=2), cells.amax(dim=2)], dim=1)))
        return vectors


def _words(size: int, width: int) -> nn.Embedding:
    """A vector for each word, at first zeros."""
    embedding = nn.Embedding(size, width, padding_idx=0)
    nn.init.zeros_(embedding.weight)
    return embedding


def _per_part(part: torch.Tensor, values: torch.Tensor, bins: int, reduce: str) -> torch.Tensor:
    """Values of frames, gathered for each part of the video: `(batch, count)` to `(batch, bins)`."""
    out = torch.zeros(part.shape[0], bins, device=part.device, dtype=values.dtype)
    return out.scatter_reduce(1, part, values, reduce)
