"""What modules say of themselves."""

from __future__ import annotations

import importlib

import pytest

from vzgym.core.errors import InvalidSetting
from vzgym.rewards import REWARDS
from vzgym.rewards.describe import FACTS, describe


@pytest.mark.parametrize("name", REWARDS.names())
def test_every_module_says_all_that_it_must(name: str) -> None:
    facts = describe(name)
    assert facts.summary.endswith(".")
    assert list(facts.facts) == list(FACTS)
    assert all(text.endswith(".") and len(text) > 5 for text in facts.facts.values())
    assert all(meaning.endswith(".") for _, meaning in facts.options.values())
    module, _, kind = facts.path.partition(":")
    assert isinstance(REWARDS.make(name), getattr(importlib.import_module(module), kind))


def test_options_and_needs() -> None:
    facts = describe("curiosity")
    assert {option: default for option, (default, _) in facts.options.items()} == {
        "threshold": 0.3, "price": 0.05, "free": 1,
    }  # fmt: skip
    assert facts.needs == {"group": "the other roll-outs of the same task"}
    assert facts.alias_of is None
    assert describe("iou").alias_of == "iou_union"
    assert "_known" not in describe("judged_accuracy").options


def test_a_docstring_without_facts_is_refused() -> None:
    with pytest.raises(InvalidSetting, match=f"reward module '{__name__}:Mute' does not state its formula"):
        describe(f"{__name__}:Mute")


class Mute:
    """Says nothing."""
