"""Experiments: a YAML file describes a grid of cells, whose stages run in processes. See `vzgym ablate`."""

from vzgym.evaluation.experiments.grid import Cell, Grid, make_grid
from vzgym.evaluation.experiments.loading import load_experiment
from vzgym.evaluation.experiments.reporting import write_results
from vzgym.evaluation.experiments.results import Group, Results, Row
from vzgym.evaluation.experiments.running import Event, Outcome, run_grid
from vzgym.evaluation.experiments.settings import Experiment, ExperimentSettings
from vzgym.evaluation.experiments.stages import Stage

__all__ = [
    "Cell",
    "Event",
    "Experiment",
    "ExperimentSettings",
    "Grid",
    "Group",
    "Outcome",
    "Results",
    "Row",
    "Stage",
    "load_experiment",
    "make_grid",
    "run_grid",
    "write_results",
]
