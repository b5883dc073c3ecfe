"""Selection of frames of a video: candidates are decoded and scored, then a selector chooses among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.selectors.base import Candidates, Floats, Indices, SelectorSpec, check_number, make_selector
from vzgym.core.errors import InvalidSetting
from vzgym.policies.traits import add_costs
from vzgym.scorers.base import Query, Scorer, ScorerSpec, can_embed, check_scores, embeds, make_scorer
from vzgym.scorers.cache import CacheSpec
from vzgym.scorers.video import candidate_times, embed_video, score_video
from vzgym.tasks.task import VideoTask

__all__ = ["Selection", "VideoSelector"]

DEFAULT_EMBEDDER = "histogram"


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Selected frames of a video.

    Attributes:
        times: float64, shape `(k,)`, in seconds, ascending.
        candidates: All candidates, with their scores as far as they are known.
        costs: Frames decoded and scored and model passes, by the names of the cost ledger.
        shares: Share of each frame's pixels in those of the largest, shape `(k,)`; None if all have one size.
    """

    times: Floats
    candidates: Candidates
    costs: Mapping[str, float] = field(default_factory=dict)
    shares: Floats | None = None


class VideoSelector:
    """A selector with its scorer and its candidates.

    Args:
        selector: The selector.
        scorer: The scorer; the selector's own default if not given. For a selector that needs embeddings but no scores,
            it gives the embeddings.
        embedder: Gives embeddings, for a selector that needs scores and embeddings: a scorer with embeddings. Default:
            `scorer` if it has embeddings, else "histogram".
        fps: Candidates per second; the selector's own default if not given.
        most: Maximum number of candidates, then spread evenly; the selector's own default if not given.
        max_pixels: Largest number of pixels of a candidate; native size if not given.
        cache: Where scores and embeddings of video files are kept; see `score_video`.

    Raises:
        InvalidSetting: If an option is out of range, or no scorer has the embeddings that the selector needs.
        UnknownName: If a name is not registered.

    Attributes:
        selector: The selector.
        scorer: The scorer; None if the selector needs none.
        embedder: The scorer that gives the embeddings; None if the selector needs none.
        privileged: Whether a scorer uses the task's evidence.
    """

    def __init__(
        self,
        selector: SelectorSpec,
        scorer: ScorerSpec | None = None,
        *,
        embedder: ScorerSpec | None = None,
        fps: float | None = None,
        most: int | None = None,
        max_pixels: int | None = None,
        cache: CacheSpec = None,
    ) -> None:
        self.selector = make_selector(selector)
        needs = self.selector.needs
        if fps is not None:
            check_number("fps", fps, 1e-9)
        if most is not None:
            check_number("most", most, 1, whole=True)
        self.fps, self.most, self.max_pixels, self.cache = fps, most, max_pixels, cache
        given = None if scorer is None else make_scorer(scorer)
        if given is not None and not needs & {"scores", "embeddings"}:
            raise InvalidSetting(f"selector {self.selector.name!r} uses no scorer, got {given.name!r}")
        self.scorer: Scorer | None = None
        self.embedder: Scorer | None = None
        if "embeddings" in needs:
            self.embedder = self._embedder(embedder, given)
        if "scores" in needs:
            self.scorer = given or make_scorer(getattr(self.selector, "scorer", "evidence"))
        used = [found for found in (self.scorer, self.embedder) if found is not None]
        self.privileged = any(bool(getattr(found, "privileged", False)) for found in used)

    def _embedder(self, embedder: ScorerSpec | None, scorer: Scorer | None) -> Scorer:
        if embedder is not None:
            found = make_scorer(embedder)
        elif scorer is not None and (can_embed(scorer) or "scores" not in self.selector.needs):
            found = scorer
        else:
            found = make_scorer(DEFAULT_EMBEDDER)
        if not can_embed(found):
            raise InvalidSetting(
                f"selector {self.selector.name!r} needs embeddings (embed_frames, embed_text), which scorer "
                f"{found.name!r} does not have: use one that has, such as clip, siglip or histogram"
            )
        return found

    def grid(self, task: VideoTask) -> Floats:
        """Times of the candidates of a task's video."""
        fps = self.fps or getattr(self.selector, "fps", 1.0) or task.video.fps
        most = self.most or getattr(self.selector, "most", None)
        return candidate_times(task.video.duration, fps, most)

    def select(self, task: VideoTask, k: int, seed: int = 0, *, sizes: bool = False) -> Selection:
        """Select frames.

        Args:
            task: The task; its evidence is used only by a privileged scorer.
            k: The number of frames wanted, >= 1.
            seed: Seeds the selector.
            sizes: Whether frames have sizes of their own (`select_sizes` of the selector): more frames, which cost as
                many visual tokens as `k` of the largest.

        Raises:
            VideoError: If a candidate cannot be decoded.
            ScorerError: If a scorer returns anything but finite numbers.
            TaskError: If a scorer needs the evidence of a task that has none.
        """
        query, times, video = Query.of(task), self.grid(task), task.video
        costs: dict[str, float] = {}
        given: dict[str, Any] = {}
        options: dict[str, Any] = {"max_pixels": self.max_pixels, "cache": self.cache}

        def charge(spent: Mapping[str, float]) -> None:
            nonlocal costs
            costs = add_costs(costs, spent)

        embedder: Any = self.embedder
        if embedder is not None:
            embedded = embed_video(embedder, video, times, **options)
            charge(embedded.costs)
            given["embeddings"] = embedded.embeddings
            if "text" in self.selector.needs:
                given["text"] = embedder.embed_text(query.to_text(getattr(self.selector, "with_options", False)))
                charge(_text_pass(embedder))
        scorer: Any = self.scorer
        if scorer is not None and scorer is embedder and embeds(scorer):
            scores = scorer.score_embeddings(query, embedded.embeddings)
            given["scores"] = check_scores(scorer, scores, times)
            charge(_text_pass(scorer))
        elif scorer is not None and getattr(self.selector, "adaptive", False):

            def score(indices: Indices) -> NDArray[np.float64]:
                order = np.argsort(indices)
                found = score_video(scorer, video, query, times[indices[order]], **options)
                charge(found.costs)
                scores = np.empty(len(indices))
                scores[order] = found.scores
                return scores

            given["scorer"] = score
        elif scorer is not None:
            found = score_video(scorer, video, query, times, **options)
            charge(found.costs)
            given["scores"] = found.scores
        candidates = Candidates(times, duration=video.duration, **given)
        if sizes:
            chosen, shares = self.selector.select_sizes(candidates, k, seed)  # type: ignore[attr-defined]
            return Selection(times[chosen], candidates, costs, shares)
        chosen = self.selector.select(candidates, k, seed)
        return Selection(times[chosen], candidates, costs)


def _text_pass(scorer: Scorer) -> dict[str, float]:
    """The cost of embedding one text."""
    return {"text_passes": 1, **getattr(scorer, "costs", {})} if getattr(scorer, "uses_model", True) else {}
