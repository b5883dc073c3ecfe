"""Layer 8: evaluation of policies, metrics, tables and replays."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.core.statistics import Estimate, mean, proportion
    from vzgym.episode.runs import RunFolder, read_records
    from vzgym.evaluation.counterfactual import (
        Credit,
        PolicyAnswerer,
        ProbabilityPolicyAnswerer,
        ReaderAnswerer,
        credit,
        make_answerer,
    )
    from vzgym.evaluation.metrics import EpisodeMetrics, summarise
    from vzgym.evaluation.policy_evaluation import evaluate
    from vzgym.evaluation.report import EvaluationReport
    from vzgym.evaluation.taxonomy import TAXONOMY_CLASSES, TaxonomyClass, classify
    from vzgym.evaluation.tool_modes import ModeEffect, ToolModes, evaluate_tool_modes
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "vzgym.core.statistics: Estimate mean proportion",
        "counterfactual: Credit PolicyAnswerer ProbabilityPolicyAnswerer ReaderAnswerer credit make_answerer",
        "metrics: EpisodeMetrics summarise",
        "policy_evaluation: evaluate",
        "report: EvaluationReport",
        "vzgym.episode.runs: RunFolder read_records",
        "taxonomy: TAXONOMY_CLASSES TaxonomyClass classify",
        "tool_modes: ModeEffect ToolModes evaluate_tool_modes",
    )

__all__ = [
    "TAXONOMY_CLASSES",
    "Credit",
    "EpisodeMetrics",
    "Estimate",
    "EvaluationReport",
    "ModeEffect",
    "PolicyAnswerer",
    "ProbabilityPolicyAnswerer",
    "ReaderAnswerer",
    "RunFolder",
    "TaxonomyClass",
    "ToolModes",
    "classify",
    "credit",
    "evaluate",
    "evaluate_tool_modes",
    "make_answerer",
    "mean",
    "proportion",
    "read_records",
    "summarise",
]
