"""Floor 7: playing policies, measuring them, and showing what was measured."""

from vzgym.evaluation.evaluate import Report, evaluate
from vzgym.evaluation.metrics import EpisodeMetrics, summarise
from vzgym.evaluation.runs import RunFolder, read_records
from vzgym.evaluation.statistics import Estimate, mean, proportion

__all__ = [
    "EpisodeMetrics",
    "Estimate",
    "Report",
    "RunFolder",
    "evaluate",
    "mean",
    "proportion",
    "read_records",
    "summarise",
]
