"""Experiments: a file says what is compared; a plan, processes and a folder do the rest. See `vzgym ablate`."""

from vzgym.evaluation.experiments.loading import load_experiment
from vzgym.evaluation.experiments.plan import Cell, Plan, Work, make_plan
from vzgym.evaluation.experiments.reporting import write_results
from vzgym.evaluation.experiments.results import Group, Results, Row
from vzgym.evaluation.experiments.running import Event, Outcome, run_plan
from vzgym.evaluation.experiments.settings import Experiment, ExperimentSettings

__all__ = [
    "Cell",
    "Event",
    "Experiment",
    "ExperimentSettings",
    "Group",
    "Outcome",
    "Plan",
    "Results",
    "Row",
    "Work",
    "load_experiment",
    "make_plan",
    "run_plan",
    "write_results",
]
