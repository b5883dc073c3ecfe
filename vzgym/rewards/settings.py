"""Settings of reward terms in mappings and YAML files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema

from vzgym.core.settings import Settings
from vzgym.rewards.base import REWARDS
from vzgym.rewards.condition import PREDICATES
from vzgym.rewards.mix import Anneal
from vzgym.rewards.presets import PRESETS

__all__ = ["AnnealSettings", "TermSettings", "rewards_schema"]


class AnnealSettings(Settings):
    """A factor on a term's weight that changes with the progress of training."""

    first: float = Field(1.0, alias="from")
    """The factor at the beginning."""

    last: float = Field(alias="to")
    """The factor at the end."""

    start: float = 0.0
    """Training progress in [0, 1] at which the factor begins to change."""

    end: float = 1.0
    """Training progress in [0, 1] from which the factor is `to`."""


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"clip must be [low, high] with low <= high, got {list(bounds)}")
    return bounds


_CONDITION = {
    "description": "Condition for the term to count: a predicate, a bound on a module's value, or a list of both.",
    "anyOf": [
        {"enum": [word for name in PREDICATES for word in (name, f"not {name}")]},
        {"type": "object", "required": ["module"], "properties": {"module": {"type": "string"}}},
        {"type": "array"},
    ],
}


_MISSING: Any = None


class TermSettings(Settings):
    """One term of a reward. All other keys are options of its module."""

    model_config = ConfigDict(extra="allow")

    module: str = Field("", min_length=1)
    """Name of the reward module, or `module:Class`, if it differs from the term's name."""

    weight: float = 1.0
    """Factor on the module's value."""

    when: Annotated[Any, WithJsonSchema(_CONDITION)] = None

    # An omitted condition differs from null, which is refused.
    clip: Annotated[tuple[float, float], Strict(False), AfterValidator(_ordered)] = _MISSING
    """`[low, high]`: bounds on the module's value of each turn."""

    anneal: Annotated[
        AnnealSettings, BeforeValidator(lambda value: value.to_spec() if isinstance(value, Anneal) else value)
    ] = _MISSING
    """How the weight changes during training."""

    by_category: Mapping[str, float] = Field(_MISSING, min_length=1)
    """Weights that replace `weight` for tasks of these categories."""


def rewards_schema() -> dict[str, Any]:
    """JSON schema of a reward file: the name of a preset or module, or terms by name."""
    term = TermSettings.model_json_schema(by_alias=True)
    definitions = {**term.pop("$defs", {}), "Term": {"anyOf": [{"type": "number"}, term]}}
    reference = {"$ref": "#/$defs/Term"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "vzgym reward",
        "anyOf": [
            {"enum": [*PRESETS, *REWARDS.names()]},
            {
                "type": "object",
                "minProperties": 1,
                "properties": dict.fromkeys(REWARDS.names(), reference),
                "additionalProperties": reference,
            },
        ],
        "$defs": definitions,
    }
