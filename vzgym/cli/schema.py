"""`vzgym schema`: JSON schemas of settings files, for completion and validation in editors."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

__all__ = ["Kind", "json_schema", "schema"]


class Kind(StrEnum):
    """Kinds of files with a schema."""

    EXPERIMENT = "experiment"
    TRAIN = "train"
    REWARDS = "rewards"
    TASKS = "tasks"


def schema(
    kind: Annotated[
        Kind,
        typer.Argument(
            help="experiment: files of `vzgym ablate`; train: of `vzgym train` and `vzgym collect` (--config); "
            "rewards: of --reward; tasks: a line of a .jsonl file."
        ),
    ],
) -> None:
    """Print the JSON schema of a kind of file.

    An editor with a YAML language server completes names and marks mistakes in a file whose first line is
    `# yaml-language-server: $schema=FILE`.
    """
    print(json.dumps(json_schema(kind), indent=2, ensure_ascii=False))


def json_schema(kind: Kind) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a kind of file."""
    match kind:
        case Kind.EXPERIMENT:
            from vzgym.evaluation.experiments.settings import ExperimentSettings

            found = ExperimentSettings.model_json_schema()
        case Kind.TRAIN:
            from vzgym.agents.training.config import SettingsFile

            found = SettingsFile.model_json_schema()
        case Kind.REWARDS:
            from vzgym.rewards.settings import rewards_schema

            found = rewards_schema()
        case Kind.TASKS:
            from vzgym.tasks.io.schema import TaskRow

            found = TaskRow.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
