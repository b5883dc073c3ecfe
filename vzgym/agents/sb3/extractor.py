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
# Attention that is nearly even at first has hardly a gradient: begin with heads that differ.
_SHARP = 2.0


@dataclass(frozen=True, slots=True)
class Layout:
    """What stands where in the features of `ClipExtractor`.

    Attributes:
        heads: Heads of attention from the question.
        bins: Parts of the video.
        width: Width of what a head sees.
        options: Number of options.
        per_option: Numbers for each option.
    """

    heads: int
    bins: int
    width: int
    options: int
    per_option: int = 4

    @property
    def plain(self) -> int:
        """Numbers before the summary: where, looked, which, what, and four of what is left."""
        return self.heads * self.bins + self.bins + self.options * self.per_option + self.heads * self.width + 4

    @property
    def summary(self) -> int:
        """Numbers of the summary."""
        return 2 * self.width

    def split(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The parts that belong to places or options, and the summary.

        Returns:
            where `(batch, heads, bins)`, looked `(batch, bins)`, which `(batch, options, per_option)`, summary
            `(batch, summary)`.
        """
        sizes = [self.heads * self.bins, self.bins, self.options * self.per_option]
        where, looked, which, _, summary = torch.split(features, [*sizes, self.plain - sum(sizes), self.summary], dim=1)
        return (
            where.reshape(-1, self.heads, self.bins),
            looked,
            which.reshape(-1, self.options, self.per_option),
            summary,
        )


class ClipExtractor(BaseFeaturesExtractor):
    """Frames, times and words to one vector.

    1. One small convolutional encoder, shared by all frames; each frame also gets its time and whether it is of the
       overview or of a zoom.
    2. The question is the mean of its words' learned embeddings, each option the sum of its words'. Nothing else is
       known of what is asked.
    3. *Where*: several heads of attention from the question over the frames. Each head's weights are summed up in
       `bins` equal parts of the video; beside them stands how many zoomed frames fell into each part.
    4. *What*: what each of these heads sees.
    5. *Which*: from each option, attention over the frames; one small network, shared by all options, compares what is
       seen with the option's words, so that what is learnt of a word holds wherever it stands.
    6. All of that, and a layer over all of that, is the output.

    A policy head without hidden layers (`net_arch`) is enough, and learns fastest.

    Args:
        observation_space: The space of `vzgym.envs.FlatObservation`.
        bins: Parts of the video that *where* is told in; the number of windows of the action, or a multiple, is best.
        width: Width of a frame's and a word's vector.
        heads: Heads of attention from the question.
        vocabulary: The observation's `vocabulary`; read from the space if None.

    Raises:
        InvalidSetting: If the space is another one, or a number is below 1.
    """

    def __init__(
        self,
        observation_space: Dict,
        bins: int = 16,
        width: int = 32,
        heads: int = 4,
        vocabulary: int | None = None,
    ) -> None:
        if not isinstance(observation_space, Dict) or not set(observation_space.spaces) >= _KEYS:
            raise InvalidSetting("ClipExtractor reads the observation 'flat': make the environment with it")
        if min(bins, width, heads) < 1:
            raise InvalidSetting(f"bins, width and heads must be >= 1, got {bins}, {width} and {heads}")
        words: Any = observation_space["question"]
        options: Any = observation_space["options"]
        layout = Layout(heads, bins, width, options.shape[0])
        super().__init__(observation_space, layout.plain + layout.summary)
        self.layout = layout
        size = vocabulary or int(words.high.max()) + 1
        self.bins, self.heads, self.width = bins, heads, width
        self.frame = FrameEncoder(width)
        self.place = nn.Linear(3, width)
        self.asked = nn.Embedding(size, width, padding_idx=0)
        self.offered = nn.Embedding(size, width, padding_idx=0)
        self.keys = nn.Linear(width, heads * width)
        self.queries = nn.Linear(width, heads * width)
        self.option_query = nn.Linear(2 * width, width)
        self.option_key = nn.Linear(width, width)
        self.compare = nn.Sequential(nn.Linear(3 * width, width), nn.ReLU(), nn.Linear(width, layout.per_option))
        self.mix = nn.Sequential(nn.Linear(layout.plain, layout.summary), nn.ReLU())

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """Features.

        Args:
            observations: As the space says, with a batch in front; any dtype.

        Returns:
            float32, shape `(batch, features_dim)`.
        """
        times, rounds = observations["frame_times"], observations["frame_rounds"]
        shown, zoomed = times >= 0, rounds > 0
        frames = self._frames(observations["frames"], shown, times, zoomed)
        question = _mean(self.asked, observations["question"])
        words = observations["options"].long()
        options = self.offered(words).sum(dim=2)
        offered = (words > 0).any(dim=2, keepdim=True)

        batch, count = shown.shape
        keys = self.keys(frames).view(batch, count, self.heads, self.width)
        queries = self.queries(question).view(batch, self.heads, self.width)
        scores = torch.einsum("bnhw,bhw->bhn", keys, queries) * _SHARP / self.width**0.5
        weights = torch.softmax(scores.masked_fill(~shown[:, None], _NEVER), dim=2)
        # Frames of the overview lie on the borders of parts: a hair to the right, lest rounding move them back.
        part = ((times.clamp(0, 1) + 1e-4) * self.bins).long().clamp(max=self.bins - 1)
        where = torch.zeros(batch, self.heads, self.bins, device=frames.device, dtype=frames.dtype)
        where.scatter_add_(2, part[:, None].expand(-1, self.heads, -1), weights * shown[:, None])
        where = where * self.bins  # an even spread is 1 everywhere
        looked = torch.zeros(batch, self.bins, device=frames.device, dtype=frames.dtype)
        looked.scatter_add_(1, part, zoomed.to(frames.dtype))
        what = torch.einsum("bhn,bnw->bhw", weights, frames)

        both = torch.cat([options, question[:, None].expand_as(options)], dim=2)
        matches = (
            torch.einsum("bkw,bnw->bkn", self.option_query(both), self.option_key(frames)) * _SHARP / self.width**0.5
        )
        seen = torch.einsum("bkn,bnw->bkw", torch.softmax(matches, dim=2), frames)
        which = self.compare(torch.cat([seen * options, seen, options], dim=2)) * offered

        left = torch.cat([observations["left"], torch.log10(observations["duration"].clamp(min=1e-3)) / 4], dim=1)
        plain = torch.cat([where.flatten(1), looked.clamp(max=8) / 8, which.flatten(1), what.flatten(1), left], dim=1)
        return torch.cat([plain, self.mix(plain)], dim=1)

    def _frames(
        self, pixels: torch.Tensor, shown: torch.Tensor, times: torch.Tensor, zoomed: torch.Tensor
    ) -> torch.Tensor:
        """A vector for each place, shape `(batch, count, width)`; zeros where there is no frame."""
        out = torch.zeros(*shown.shape, self.width, device=pixels.device)
        # Most places are empty most of the time: only frames are encoded.
        seen = self.frame(pixels[shown].float() / 255.0)
        place = torch.stack([times[shown], zoomed[shown].float(), 1 - zoomed[shown].float()], dim=1)
        out[shown] = seen + self.place(place)
        return out


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


def _mean(embedding: nn.Embedding, words: torch.Tensor) -> torch.Tensor:
    """Mean of the words' embeddings; places without a word count nothing."""
    ids = words.long()
    total: torch.Tensor = embedding(ids).sum(dim=1)
    return total
