"""Modules for array-only learners such as Stable-Baselines3: a `Dict` of `Box`, and a continuous action.

The module imports no learner. The matching discrete action is `vzgym.envs.DiscreteAction`.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Dict
from numpy.typing import NDArray

from vzgym.core.actions import Answer, Zoom
from vzgym.core.budget import Budget
from vzgym.core.errors import ActionTypeError, InvalidSetting
from vzgym.envs.actions import DecodedAction, check_options, shown
from vzgym.envs.options import MOST_OPTIONS, need_count, need_frame_size
from vzgym.envs.spaces import MAX_SECONDS, RealBox, real_numbers
from vzgym.episode.clip import Clip
from vzgym.episode.episode import Episode
from vzgym.episode.wording import PlainWording, Wording
from vzgym.tasks.task import option_letter

__all__ = ["ContinuousAction", "FlatObservation", "word_ids"]

_WORD = re.compile(r"\w+")


@lru_cache(maxsize=4096)
def _ids(text: str, vocabulary: int) -> tuple[int, ...]:
    # A checksum, not Python's hash: it must be the same in every process.
    return tuple(1 + zlib.crc32(word.encode()) % (vocabulary - 1) for word in _WORD.findall(text.lower()))


def word_ids(text: str, length: int, vocabulary: int) -> NDArray[np.int32]:
    """Hash a text into word ids: each word's bucket, by a checksum of its lower-case form.

    Args:
        text: Any text.
        length: Number of words to keep, from the first.
        vocabulary: Number of buckets, >= 2; bucket 0 is for places without a word.

    Returns:
        int32, shape `(length,)`, each in `[0, vocabulary)`; 0 after the last word.
    """
    ids = np.zeros(length, dtype=np.int32)
    found = _ids(text, vocabulary)[:length]
    ids[: len(found)] = found
    return ids


class FlatObservation:
    """All frames so far, question and options as word ids, and the remaining budget, as arrays only.

    Space: `Dict` of

    - `frames`: `Box` uint8 `(capacity, height, width, 3)`, RGB, in order of arrival, letterboxed; unused places are 0.
      `capacity` is the budget's `max_frames`.
    - `frame_times`: `Box` float32 `(capacity,)`: their own times as shares of the video, in [0, 1]; -1 where unused.
    - `frame_rounds`: `Box` float32 `(capacity,)`: 0 for the overview, k for the k-th turn that showed frames; -1 where
      unused.
    - `question`: `Box` int32 `(question_words,)`: an id for each word (`word_ids`).
    - `options`: `Box` int32 `(max_options, option_words)`: the same for each option; 0 where there is none.
    - `left`: `Box` float32 `(3,)`: zooms, frames and rounds left, as shares of the budget.
    - `duration`: `Box` float32 `(1,)`: length of the video in seconds.

    It does not reveal the evidence or the right option: the words are those that every agent reads.

    Args:
        frame_size: `(height, width)` of a frame in pixels. Small by default: replay buffers hold every observation.
        max_options: Most options of a question, 1 to 26.
        question_words: Most words of a question.
        option_words: Most words of an option.
        vocabulary: Number of buckets for words.

    Raises:
        InvalidSetting: If a value is out of range; from `observe`, if a question has more options than `max_options`.
    """

    def __init__(
        self,
        frame_size: Sequence[int] = (16, 16),
        max_options: int = 8,
        question_words: int = 32,
        option_words: int = 4,
        vocabulary: int = 4096,
    ) -> None:
        self.frame_size = need_frame_size("FlatObservation", frame_size)
        need_count("FlatObservation", "max_options", max_options, most=MOST_OPTIONS)
        need_count("FlatObservation", "question_words", question_words)
        need_count("FlatObservation", "option_words", option_words)
        need_count("FlatObservation", "vocabulary", vocabulary, least=2)
        self.max_options = int(max_options)
        self.question_words = int(question_words)
        self.option_words = int(option_words)
        self.vocabulary = int(vocabulary)

    def space(self, budget: Budget) -> Space[Any]:
        """See the class."""
        capacity = max(1, budget.max_frames)
        last = self.vocabulary - 1
        return Dict(
            frames=Box(0, 255, (capacity, *self.frame_size, 3), np.uint8),
            frame_times=Box(-1.0, 1.0, (capacity,), np.float32),
            frame_rounds=Box(-1.0, float(budget.max_rounds), (capacity,), np.float32),
            question=Box(0, last, (self.question_words,), np.int32),
            options=Box(0, last, (self.max_options, self.option_words), np.int32),
            left=Box(0.0, 1.0, (3,), np.float32),
            duration=Box(0.0, MAX_SECONDS, (1,), np.float32),
        )

    def observe(self, episode: Episode, clips: Sequence[Clip] | None = None) -> dict[str, Any]:
        """See the class.

        Args:
            episode: The episode.
            clips: The clips to show, the overview first; all of the episode's clips if not given.
        """
        facts, budget = episode.record.task, episode.budget
        if len(facts.options) > self.max_options:
            raise InvalidSetting(
                f"the flat observation shows at most {self.max_options} options (max_options), but task {facts.id!r} "
                f"has {len(facts.options)}"
            )
        capacity = max(1, budget.max_frames)
        frames = np.zeros((capacity, *self.frame_size, 3), dtype=np.uint8)
        times = np.full(capacity, -1.0, dtype=np.float32)
        rounds = np.full(capacity, -1.0, dtype=np.float32)
        filled = 0
        for number, clip in zip(_rounds(episode), episode.record.clips if clips is None else clips, strict=True):
            places = slice(filled, filled + len(clip))
            frames[places] = clip.thumbnails(self.frame_size)
            times[places] = np.clip(clip.times / facts.duration, 0.0, 1.0)
            rounds[places] = number
            filled += len(clip)
        options = np.zeros((self.max_options, self.option_words), dtype=np.int32)
        for place, option in enumerate(facts.options):
            options[place] = word_ids(option, self.option_words, self.vocabulary)
        left = (
            episode.zooms_left / max(1, budget.max_zooms),
            episode.frames_left / max(1, budget.max_zooms * budget.clip_frames),
            episode.rounds_left / budget.max_rounds,
        )
        return {
            "frames": frames,
            "frame_times": times,
            "frame_rounds": rounds,
            "question": word_ids(facts.question, self.question_words, self.vocabulary),
            "options": options,
            "left": np.array(left, dtype=np.float32),
            "duration": np.array([min(facts.duration, MAX_SECONDS)], dtype=np.float32),
        }


def _rounds(episode: Episode) -> list[int]:
    """For each clip so far, 0 for the overview and k for those of the k-th turn that showed frames."""
    showing = (turn for turn in episode.record.turns if turn.clips)
    return [0, *(number for number, turn in enumerate(showing, start=1) for _ in turn.clips)]


class ContinuousAction:
    """A continuous action in [-1, 1]: whether to zoom, where, for how long, with how many frames; a score per option.

    Space: `Box(-1, 1, (4 + max_options,), float32)`. With `x` mapped to shares `u = (x + 1) / 2`:

    - `x[0] < 0` zooms, else the option with the highest of `x[4:]` (among those that the question has) is answered;
    - `u[1]`: place of the window within the video, 0 its beginning and 1 its end;
    - `u[2]`: the window's length, on a logarithmic scale between the shortest and the longest that the budget and the
      video allow for its number of frames;
    - `u[3]`: the number of frames, 1 to `clip_frames`.

    Every zoom it encodes is valid, except in the last round, where all zooms are refused. Values outside [-1, 1] are
    clipped. Several zooms in one turn, regions, sizes and tool calls cannot be expressed.

    Args:
        max_options: Most options of a question, 1 to 26.

    Raises:
        InvalidSetting: If `max_options` is out of range; from `decode`, if the question has none, or more than that.
    """

    def __init__(self, max_options: int = 8) -> None:
        need_count("ContinuousAction", "max_options", max_options, most=MOST_OPTIONS)
        self.max_options = int(max_options)
        self.wording: Wording = PlainWording()

    def space(self, budget: Budget) -> Space[Any]:
        """See the class."""
        return RealBox(-1.0, 1.0, (4 + self.max_options,), np.float32)

    def decode(self, value: Any, episode: Episode) -> DecodedAction:
        """See the class."""
        facts, budget = episode.record.task, episode.budget
        check_options("continuous", self.max_options, facts.id, len(facts.options))
        numbers = real_numbers(value, (4 + self.max_options,))
        if numbers is None or not np.isfinite(numbers).all():
            raise ActionTypeError(
                f"the continuous action must be an array of {4 + self.max_options} finite numbers, got {shown(value)}"
            )
        if numbers[0] >= 0:
            return DecodedAction(Answer(option_letter(int(np.argmax(numbers[4 : 4 + len(facts.options)])))))
        place, stretch, fineness = ((np.clip(numbers[1:4], -1.0, 1.0) + 1.0) / 2.0).tolist()
        count = 1 + min(budget.clip_frames - 1, int(fineness * budget.clip_frames))
        shortest = min(count / budget.max_fps, facts.duration)
        longest = min(count / budget.min_fps, facts.duration)
        length = min(math.exp(math.log(shortest) + stretch * (math.log(longest) - math.log(shortest))), facts.duration)
        fps = min(max(count / length, budget.min_fps), budget.max_fps)
        start = place * (facts.duration - length)
        return DecodedAction(Zoom(start, min(start + length, facts.duration), fps))
