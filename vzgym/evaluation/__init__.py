"""Layer 8: evaluation of policies, metrics, tables and replays."""

from vzgym.core.statistics import Estimate, mean, proportion
from vzgym.evaluation.counterfactual import Credit, PolicyAnswerer, ReaderAnswerer, credit, make_answerer
from vzgym.evaluation.evaluate import evaluate
from vzgym.evaluation.metrics import EpisodeMetrics, summarise
from vzgym.evaluation.report import EvaluationReport
from vzgym.evaluation.runs import RunFolder, read_records
from vzgym.evaluation.taxonomy import TAXONOMY_CLASSES, TaxonomyClass, classify

__all__ = [
    "TAXONOMY_CLASSES",
    "Credit",
    "EpisodeMetrics",
    "Estimate",
    "EvaluationReport",
    "PolicyAnswerer",
    "ReaderAnswerer",
    "RunFolder",
    "TaxonomyClass",
    "classify",
    "credit",
    "evaluate",
    "make_answerer",
    "mean",
    "proportion",
    "read_records",
    "summarise",
]
