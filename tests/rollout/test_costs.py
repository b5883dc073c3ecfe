from __future__ import annotations

from typing import Any

import pytest

import vzgym
from vzgym.core.errors import InvalidSetting
from vzgym.core.registry import Registry
from vzgym.policies.traits import PolicyTraits, add_costs


class Counting:
    """Counts its words (a `TextPolicy`)."""

    def __init__(self) -> None:
        self.identity = {"words": 3}

    def reset(self, seeds: Any) -> None: ...

    def respond(self, dialogues: Any) -> list[str]:
        texts = ["<answer>A</answer>" if len(dialogue) > 3 else "let me see" for dialogue in dialogues]
        self.costs = [{"requests": 1, "input_tokens": 10 * len(dialogue)} for dialogue in dialogues]
        return texts


def test_costs_are_added_up_for_each_episode() -> None:
    records: list[Any] = []
    report = vzgym.evaluate(Counting(), "tiny", episodes=3, on_episode=records.append)
    assert [record.info.costs for record in records] == [{"requests": 2, "input_tokens": 60}] * 3
    assert report.totals["requests"] == 6
    assert report.summary["input_tokens"].value == 60
    assert "price" not in report.totals


def test_a_policy_that_counts_nothing_leaves_no_note() -> None:
    class Silent(Counting):
        def respond(self, dialogues: Any) -> list[str]:
            texts = super().respond(dialogues)
            del self.costs
            return texts

    records: list[Any] = []
    vzgym.evaluate(Silent(), "tiny", episodes=1, on_episode=records.append)
    assert records[0].info.costs == {}
    assert PolicyTraits.of(Silent()).latest_costs(2) == [{}, {}]


def test_a_count_for_each_text_is_needed() -> None:
    class Lazy(Counting):
        def respond(self, dialogues: Any) -> list[str]:
            texts = super().respond(dialogues)
            self.costs = self.costs[:1]
            return texts

    with pytest.raises(InvalidSetting, match="1 mappings for 2 texts"):
        vzgym.evaluate(Lazy(), "tiny", episodes=2)


def test_costs_are_added_entry_by_entry() -> None:
    assert add_costs({"requests": 1.0}, {"requests": 2, "price": 0.5}) == {"requests": 3, "price": 0.5}


def test_identity_tells_runs_apart(tmp_path: Any) -> None:
    vzgym.evaluate(Counting(), "tiny", episodes=1, out=tmp_path)
    other = Counting()
    other.identity = {"words": 4}
    with pytest.raises(InvalidSetting, match=r"its options\.words is 3, not 4"):
        vzgym.evaluate(other, "tiny", episodes=1, out=tmp_path)


class Named:
    """A part with a short form."""

    def __init__(self, place: str, size: int = 1) -> None:
        self.place, self.size = place, size

    @classmethod
    def parse_name(cls, text: str) -> dict[str, Any]:
        return {"place": text}


def test_a_part_may_have_a_short_form() -> None:
    registry: Registry[Any] = Registry("part", "vzgym.tests")
    registry.register("named", Named)
    registry.register("plain", dict)
    assert registry.make("named:a:b").place == "a:b"
    assert registry.make({"name": "named:here", "size": 2}).size == 2
    with pytest.raises(InvalidSetting, match="no option 'weight'"):
        registry.make({"name": "named:here", "weight": 2})
    # Without one, what stands before the colon is a module.
    with pytest.raises(ImportError, match="plain"):
        registry.make("plain:x")
