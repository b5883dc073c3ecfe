"""VideoTree over a served model, which captions and rates frames (Wang et al., CVPR 2025, 2405.19209)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from vzgym.agents.served.asking import AskingAgent, Part, json_in, numbered
from vzgym.baselines.selectors.base import Candidates, Indices, centred, check_number
from vzgym.baselines.selectors.videotree import expand
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.episode.dialogue import Message
from vzgym.policies.policy import SelectedOverview
from vzgym.scorers.base import ScorerSpec, can_embed, make_scorer
from vzgym.scorers.video import candidate_times, embed_video
from vzgym.tasks.task import VideoTask

__all__ = ["VideoTreeAgent", "ratings_in"]


def ratings_in(text: str, count: int) -> list[int]:
    """The ratings, 1 to 3, in a model's reply; a missing or unreadable one is 3, as in the source."""
    found = json_in(text)
    values = found.get("ratings") if isinstance(found, Mapping) else found
    listed = values if isinstance(values, list) else []
    read = [value if value in (1, 2, 3) and not isinstance(value, bool) else 3 for value in listed[:count]]
    return read + [3] * (count - len(read))


class VideoTreeAgent(AskingAgent):
    """Clusters the frames, has the clusters' centers captioned and rated, and answers from the frames of the tree.

    See `vzgym.baselines.selectors.videotree.expand` for the tree. The frames become the overview (one look).

    Args:
        model: The model's name on the server; it must accept images.
        url: The server's base URL.
        scorer: Gives the embeddings of the frames.
        frames: Maximum number of frames; the run's `max_frames` if not given. Of more, evenly spaced ones are kept.
        answer_from: "captions", as in the source, or "frames".
        first: Clusters at first.
        clusters: Maximum number of clusters.
        relevant: Clusters rated 3 that are enough.
        branches: Parts of a split.
        exact: See `expand`.
        options: See `AskingAgent`.

    Raises:
        InvalidSetting: If an option is invalid, or the scorer has no embeddings.
        DependencyNotInstalled: If SciPy is missing.
    """

    title: ClassVar[str] = "videotree-agent"

    def __init__(
        self,
        model: str,
        url: str,
        *,
        scorer: ScorerSpec = "clip",
        frames: int | None = None,
        answer_from: str = "captions",
        first: int = 8,
        clusters: int = 32,
        relevant: int = 4,
        branches: int = 4,
        exact: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(model, url, exact=exact, **options)
        if frames is not None:
            check_number("frames", frames, 1, whole=True)
        for option, value in {"first": first, "clusters": clusters, "relevant": relevant, "branches": branches}.items():
            check_number(option, value, 1, whole=True)
        if answer_from not in ("captions", "frames"):
            raise InvalidSetting(f"answer_from must be 'captions' or 'frames', got {answer_from!r}")
        self.scorer: Any = make_scorer(scorer)
        if not can_embed(self.scorer):
            raise InvalidSetting(f"videotree needs a scorer with embeddings, such as clip; got {self.scorer.name!r}")
        self.frames, self.source = frames, answer_from
        self.tree = {"first": first, "most": clusters, "relevant": relevant, "branches": branches}
        self._captions: dict[int, str] = {}
        self._chosen: list[int] = []
        self._count = 1

    @property
    def settings(self) -> dict[str, Any]:
        """See `AskingAgent`."""
        return {"scorer": self.scorer.name, "frames": self.frames, "answer_from": self.source, **self.tree}

    def prepare(self, budget: Budget) -> Budget:
        """The budget of the run with all frames in the overview and no zoom."""
        self._count = self.frames or budget.max_frames
        return budget.with_zooms(0, overview_fps=math.inf, overview_frames=self._count)

    def overview(self, task: VideoTask, seed: int) -> SelectedOverview:
        """The frames of the tree.

        Raises:
            EndpointError: If a request finally fails.
        """
        self.task, self._captions = task, {}
        self.rng = np.random.default_rng(seed)
        self.take_costs()
        times = candidate_times(task.video.duration)
        embedded = embed_video(self.scorer, task.video, times)
        self.charge(embedded.costs)
        frames = Candidates(times, embeddings=embedded.embeddings).unit_embeddings()

        def rate(indices: list[int]) -> list[int]:
            fresh = [index for index in indices if index not in self._captions]
            self._captions |= dict(zip(fresh, self.captions(self._pixels(times[fresh])), strict=True))
            listed = numbered([self._captions[index] for index in indices])
            reply = self.ask_one(
                f"Captions of frames of a video:\n{listed}\n\nQuestion: {self.question}\nHow relevant is each "
                f'frame to the question? Reply with JSON: {{"ratings": [...]}}, {len(indices)} numbers, 1: '
                "not relevant, 2: somewhat relevant, 3: very relevant.",
            )
            return ratings_in(reply, len(indices))

        chosen: Indices
        chosen, _ = expand(frames, rate, np.random.default_rng(seed), exact=self.exact, **self.tree)
        if len(chosen) > self._count:
            chosen = chosen[centred(len(chosen), self._count)]
        self._chosen = chosen.tolist()
        return SelectedOverview(times[chosen], self.take_costs())

    def _pixels(self, times: Any) -> Any:
        task = self.known_task
        size = Budget().fit(task.video.height, task.video.width)
        found = task.video.read(times, size=size)
        self.charge({"candidates_decoded": found.decoded})
        return found.pixels

    def respond(self, dialogues: Sequence[Sequence[Message]]) -> list[str]:
        """The answer.

        Raises:
            EndpointError: If a request finally fails.
        """
        (messages,) = dialogues
        pictures = [image.pixels for message in messages for image in message.images]
        parts: list[Part]
        if self.source == "frames":
            parts = ["Frames of a video, in order of time:\n", *pictures]
        else:
            missing = [place for place, index in enumerate(self._chosen) if index not in self._captions]
            said = self.captions([pictures[place] for place in missing]) if missing else []
            self._captions |= {self._chosen[place]: text for place, text in zip(missing, said, strict=True)}
            listed = numbered([f"at {index} s: {self._captions[index]}" for index in self._chosen])
            parts = [f"Captions of frames of a video, in order of time:\n{listed}"]
        text = self.answer_from(parts)
        self.costs = [self.take_costs()]
        return [text]
