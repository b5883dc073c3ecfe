"""VideoAgent: captions of a few frames, and more where the model is not sure (Wang et al., ECCV 2024, 2403.10517)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from vzgym.agents.served.asking import AskingAgent, json_in, numbered
from vzgym.baselines.selectors.base import Floats, check_number
from vzgym.core.actions import Answer, Zoom, Zooms
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.episode.dialogue import Message
from vzgym.policies.policy import SelectedOverview
from vzgym.scorers.base import ScorerSpec, can_embed, make_scorer
from vzgym.scorers.video import candidate_times, embed_video
from vzgym.tasks.task import VideoTask

__all__ = ["VideoAgent", "first_frames", "frame_to_add"]


def first_frames(count: int, frames: int = 5) -> list[int]:
    """The frames seen first, numbered from 1: `int(linspace(1, count, frames))`, without repeats.

    Args:
        count: The number of candidates, at one a second.
        frames: The number of frames.
    """
    return list(dict.fromkeys(np.linspace(1, count, frames).astype(int).tolist()))


def frame_to_add(start: int, end: int, likeness: Floats, *, exact: bool = False) -> int | None:
    """The frame of a segment that fits a description best, numbered from 1.

    Args:
        start: The segment's first frame, which has been seen.
        end: The frame after it that has been seen.
        likeness: Of each candidate to the description; frame f has index f - 1.
        exact: As coded in the source: with the values at the indices `start` to `end - 1`, that is of the frames after
            those of the slice by one, the frame `start + argmax + 1`; for a segment of fewer than two frames
            `start + 1`, even if it has been seen. Otherwise the best frame between `start` and `end`.

    Returns:
        The frame; None if there is none between them.
    """
    if exact:
        return start + 1 if end - start < 2 else start + int(np.argmax(likeness[start:end])) + 1
    if end - start < 2:
        return None
    return start + 1 + int(np.argmax(likeness[start : end - 1]))


class VideoAgent(AskingAgent):
    """Answers from captions; while it is not confident, it asks for more frames in segments that it describes.

    It sees 5 frames of the video, evenly spaced at one candidate a second, as captions. It answers, and rates its
    confidence from 1 to 3. Below 3, in at most two more rounds, it names segments between seen frames, and what should
    be seen there; in each, the frame whose embedding fits the description best is zoomed to and captioned.

    Args:
        model: The model's name on the server; it must accept images.
        url: The server's base URL.
        scorer: Finds the frames that fit descriptions: a scorer with embeddings.
        frames: Number of frames seen first.
        rounds: Maximum number of rounds with further frames.
        exact: See `frame_to_add`.
        options: See `AskingAgent`.

    Raises:
        InvalidSetting: If an option is invalid, or the scorer has no embeddings.
    """

    title: ClassVar[str] = "videoagent"

    def __init__(
        self,
        model: str,
        url: str,
        *,
        scorer: ScorerSpec = "clip",
        frames: int = 5,
        rounds: int = 2,
        exact: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(model, url, exact=exact, **options)
        check_number("frames", frames, 1, whole=True)
        check_number("rounds", rounds, 0, whole=True)
        self.scorer: Any = make_scorer(scorer)
        if not can_embed(self.scorer):
            raise InvalidSetting(f"videoagent needs a scorer with embeddings, such as clip; got {self.scorer.name!r}")
        self.frames, self.rounds = frames, rounds
        self.budget = Budget()
        self._seen: dict[int, str] = {}
        self._asked: list[int] = []
        self._round = 0
        self._embeddings: Floats | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """See `AskingAgent`."""
        return {"scorer": self.scorer.name, "frames": self.frames, "rounds": self.rounds}

    def prepare(self, budget: Budget) -> Budget:
        """The budget of the run with an overview of `frames`, and several zooms in a turn."""
        self.budget = budget.with_zooms(
            min(self.rounds, budget.max_zooms), overview_fps=math.inf, overview_frames=self.frames,
            zooms_per_turn=max(budget.zooms_per_turn, budget.clip_frames),
        )  # fmt: skip
        return self.budget

    def overview(self, task: VideoTask, seed: int) -> SelectedOverview:
        """The frames seen first."""
        count = len(candidate_times(task.video.duration))
        self._asked = first_frames(count, self.frames)
        return SelectedOverview(np.array(self._asked, dtype=np.float64) - 1.0)

    def reset(self, seeds: Sequence[int]) -> None:
        """Start an episode."""
        super().reset(seeds)
        self._seen, self._round, self._embeddings = {}, 0, None
        self.take_costs()

    def respond(self, dialogues: Sequence[Sequence[Message]]) -> list[str]:
        """The next turn.

        Raises:
            EndpointError: If a request finally fails.
        """
        (messages,) = dialogues
        fresh = [image.pixels for image in messages[-1].images]
        self._seen |= dict(zip(self._asked, self.captions(fresh), strict=False))
        answer, confidence = self._answer()
        frames: list[int] = []
        wanted = confidence < 3 or self._round < self.budget.min_zooms
        if wanted and self._round < self.budget.max_zooms:
            frames = self._further()
        self._round += 1
        self._asked = frames
        text = self.protocol.text_of(self._zooms(frames)) if frames else self.protocol.text_of(Answer(answer))
        self.costs = [self.take_costs()]
        return [text]

    def _known(self) -> str:
        lines = [f"frame {frame} of {self._count}: {caption}" for frame, caption in sorted(self._seen.items())]
        return "Captions of frames of a video, one frame a second:\n" + "\n".join(lines)

    @property
    def _count(self) -> int:
        return len(candidate_times(self.known_task.video.duration))

    def _answer(self) -> tuple[str, int]:
        """The answer, and its confidence from 1 to 3; 1 if the model gives none."""
        known = f"{self._known()}\n\nQuestion: {self.question}\n"
        reply = self.ask_one(f'{known}Answer with JSON: {{"answer": "<letter or text>"}}.')
        answer = self.option_in(reply)
        rating = self.ask_one(
            f"{known}Proposed answer: {answer}\nHow sure can one be of it from these captions? "
            'Reply with JSON: {"confidence": n}, 1: insufficient information, 2: partial, 3: sufficient.',
        )
        found = json_in(rating)
        value = found.get("confidence") if isinstance(found, Mapping) else found
        sure = isinstance(value, (int, float)) and not isinstance(value, bool) and 1 <= value <= 3
        return answer, int(value) if sure and value is not None else 1

    def _further(self) -> list[int]:
        """Further frames, in segments that the model names."""
        spans = list(pairwise(sorted(self._seen)))
        if not spans:
            return []
        listed = numbered([f"frames {start} to {end}" for start, end in spans])
        reply = self.ask_one(
            f"{self._known()}\n\nQuestion: {self.question}\nMore frames are needed. Segments of the video:\n"
            f"{listed}\nIn which of them should one look, and for what? Reply with JSON: "
            '{"segments": [{"segment": <number>, "description": "<what the frame shows>"}]}.',
        )
        found = json_in(reply)
        named = found.get("segments", []) if isinstance(found, Mapping) else found
        frames: list[int] = []
        for item in named if isinstance(named, list) else []:
            number = item.get("segment") if isinstance(item, Mapping) else None
            if not isinstance(number, int) or not 1 <= number <= len(spans):
                continue
            likeness = self._likeness(str(item.get("description", "")) or self.known_task.question)
            frame = frame_to_add(*spans[number - 1], likeness, exact=self.exact)
            if frame is not None and frame <= self._count and frame not in self._seen and frame not in frames:
                frames.append(frame)
        return sorted(frames)[: self.budget.clip_frames]

    def _likeness(self, text: str) -> Floats:
        """The cosine of each candidate with a text."""
        if self._embeddings is None:
            video = self.known_task.video
            embedded = embed_video(self.scorer, video, candidate_times(video.duration))
            self.charge(embedded.costs)
            self._embeddings = embedded.embeddings.astype(np.float64)
        query = np.asarray(self.scorer.embed_text(text), dtype=np.float64)
        if getattr(self.scorer, "uses_model", True):
            self.charge({"text_passes": 1})
        lengths = np.linalg.norm(self._embeddings, axis=1) * max(float(np.linalg.norm(query)), 1e-12)
        found: Floats = self._embeddings @ query / np.maximum(lengths, 1e-12)
        return found

    def _zooms(self, frames: Sequence[int]) -> Zoom | Zooms:
        """Zooms of one frame each."""
        duration = self.known_task.video.duration
        fps = min(max(1.0, self.budget.min_fps), self.budget.max_fps)
        zooms = tuple(Zoom(frame - 1.0, min(frame - 1.0 + 1.0 / fps, duration), fps) for frame in frames)
        return zooms[0] if len(zooms) == 1 else Zooms(zooms)
