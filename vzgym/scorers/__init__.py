"""Layer 4: scorers, which say how well frames fit a query, and the scoring of videos."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.scorers.base import SCORERS, EmbeddingScorer, Query, Scorer, ScorerSpec, make_scorer
    from vzgym.scorers.cache import ScoreCache
    from vzgym.scorers.evidence import EvidenceScorer
    from vzgym.scorers.pixels import ColorHistogram, FrameDifference, HashScorer
    from vzgym.scorers.video import VideoEmbeddings, VideoScores, candidate_times, embed_video, score_video
    from vzgym.video.base import Frames
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "base: SCORERS EmbeddingScorer Query Scorer ScorerSpec make_scorer Frames",
        "cache: ScoreCache",
        "evidence: EvidenceScorer",
        "pixels: ColorHistogram FrameDifference HashScorer",
        "video: VideoEmbeddings VideoScores candidate_times embed_video score_video",
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
    "ScoreCache",
    "Scorer",
    "ScorerSpec",
    "VideoEmbeddings",
    "VideoScores",
    "candidate_times",
    "embed_video",
    "make_scorer",
    "score_video",
]
