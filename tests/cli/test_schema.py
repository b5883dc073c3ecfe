"""JSON schemas of settings files: printed by the command, and true to what the loaders accept."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from vzgym.agents.training.config import STAGES
from vzgym.cli.schema import Kind, json_schema
from vzgym.evaluation.experiments.settings import FIXED
from vzgym.rewards import REWARDS
from vzgym.tasks.evidence import EvidenceRequirements
from vzgym.tasks.io.jsonl import _KEYS
from vzgym.tasks.io.schema import RequirementsRow, TaskRow


def resolved(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    return schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part


@pytest.mark.parametrize("kind", list(Kind))
def test_the_command_prints_a_schema(run: Callable, kind: Kind) -> None:
    result = run("schema", kind.value)
    assert result.exit_code == 0, result.output
    assert json.loads(result.output) == json_schema(kind)
    assert "2020-12" in json_schema(kind)["$schema"]


def test_an_unknown_kind_is_refused_with_the_known_ones(run: Callable) -> None:
    result = run("schema", "experiments")
    assert result.exit_code == 2
    assert "'experiment', 'train', 'rewards', 'tasks'" in result.output


def test_every_stage_is_a_section_of_a_settings_file_with_descriptions() -> None:
    schema = json_schema(Kind.TRAIN)
    assert set(schema["properties"]) == set(STAGES)
    for stage, section in schema["properties"].items():
        settings = resolved(schema, section["anyOf"][0])
        assert set(settings["properties"]) == set(STAGES[stage].model_fields)
        assert settings["additionalProperties"] is False
        named = {name for name, item in settings["properties"].items() if "description" in item or "$ref" in item}
        # A field that overrides an inherited default keeps the description that it was first given.
        assert {"tasks", "seed", "learning_rate"} & set(settings["properties"]) <= named


def test_learners_of_an_experiment_are_told_apart_and_lack_what_the_experiment_sets() -> None:
    schema = json_schema(Kind.EXPERIMENT)
    learner = schema["properties"]["learners"]["additionalProperties"]
    assert set(learner["discriminator"]["mapping"]) == {"policy", "vlm", "sb3"}
    grpo = schema["$defs"]["VLMLearner"]["properties"]["grpo"]["properties"]
    assert "steps" in grpo
    assert not set(FIXED["grpo"]) & set(grpo)
    assert {item.get("type") for item in schema["properties"]["seeds"]["anyOf"]} == {"array", "integer"}
    assert {"object", "array", "string"} == {item.get("type") for item in schema["properties"]["tasks"]["anyOf"]}
    assert "max_zooms" in json.dumps(schema["properties"]["budgets"])


def test_reward_terms_are_the_registered_modules() -> None:
    terms = json_schema(Kind.REWARDS)["anyOf"][1]
    assert set(terms["properties"]) == set(REWARDS.names())


def test_the_rows_of_a_task_file_have_the_keys_that_are_read() -> None:
    assert set(TaskRow.model_fields) == set(_KEYS)
    assert set(RequirementsRow.model_fields) == {field.name for field in dataclasses.fields(EvidenceRequirements)}
    assert json_schema(Kind.TASKS)["required"] == ["id", "video", "question"]


def test_the_row_of_every_shipped_family_fits_the_schema() -> None:
    from pathlib import Path

    from vzgym.tasks import load_tasks
    from vzgym.tasks.io.jsonl import task_row

    for suite in ("needle-micro", "text-tiny", "count-tiny", "control-micro"):
        row = task_row(load_tasks(f"{suite}/test")[0], Path("a.mp4"), Path())
        assert TaskRow(**json.loads(json.dumps(row))).id == row["id"]
