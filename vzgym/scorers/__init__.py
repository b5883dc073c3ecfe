"""Layer 4: scorers, which say how well frames fit a query, and the scoring of videos."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.scorers.base import SCORERS, EmbeddingScorer, Query, Scorer, ScorerSpec, make_scorer
    from vzgym.scorers.evidence import EvidenceScorer
    from vzgym.scorers.pixels import ColorHistogram, FrameDifference, HashScorer
    from vzgym.scorers.video import VideoScores, candidate_times, embed_video, score_video
    from vzgym.video.base import Frames
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "base: SCORERS EmbeddingScorer Query Scorer ScorerSpec make_scorer Frames",
        "evidence: EvidenceScorer",
        "pixels: ColorHistogram FrameDifference HashScorer",
        "video: VideoScores candidate_times embed_video score_video",
    )

__all__ = [
    "SCORERS",
    "ColorHistogram",
    "EmbeddingScorer",
    "EvidenceScorer",
    "FrameDifference",
    "Frames",
    "HashScorer",
    "Query",
    "Scorer",
    "ScorerSpec",
    "VideoScores",
    "candidate_times",
    "embed_video",
    "make_scorer",
    "score_video",
]
