from __future__ import annotations

from typing import Any

import pytest

import vzgym
from vzgym.core.errors import InvalidSetting, VideoError
from vzgym.core.registry import Registry
from vzgym.episode.costs import EpisodeCosts
from vzgym.policies.traits import PolicyTraits, add_costs
from vzgym.rewards import make_reward


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


class Scoring:
    """Scores frames before its first action (a `Policy`)."""

    observation = "dialogue"

    def reset(self, seed: int) -> None:
        self.costs: Any = {}

    def act(self, observation: Any, info: dict[str, Any]) -> vzgym.Answer:
        self.costs = {"frames_scored": 60, "scorer_passes": 60, "candidates_decoded": 64, "text_passes": 1, "price": 2}
        return vzgym.Answer("A")


def test_costs_of_an_action_enter_the_ledger() -> None:
    records: list[Any] = []
    report = vzgym.evaluate(Scoring(), "tiny", episodes=2, on_episode=records.append)
    ledger = EpisodeCosts.of(records[0])
    assert (ledger.frames_scored, ledger.scorer_passes, ledger.candidates_decoded) == (60, 60, 64)
    assert (ledger.text_passes, ledger.cached_passes) == (1, 0)
    assert report.summary["frames_scored"].value == 60
    assert report.totals["candidates_decoded"] == 128
    assert report.totals["price"] == 4
    assert vzgym.evaluate("overview", "tiny", episodes=2).totals["frames_scored"] == 0


def test_scored_frames_can_be_charged() -> None:
    reward = {"accuracy": 1.0, "ledger_cost": {"weight": 0.01, "item": "frames_scored"}}
    records: list[Any] = []
    vzgym.evaluate(Scoring(), "tiny", episodes=2, reward=reward, on_episode=records.append)
    for record in records:
        assert record.rewards[-1]["terms"]["ledger_cost"]["value"] == -60
        assert [entry["total"] for entry in record.rewards] == [
            entry.to_json()["total"] for entry in make_reward(reward).score_all(record)
        ]


def test_costs_of_a_policy_must_be_a_mapping() -> None:
    class Wrong(Scoring):
        def act(self, observation: Any, info: dict[str, Any]) -> vzgym.Answer:
            answer = super().act(observation, info)
            self.costs = 60
            return answer

    with pytest.raises(InvalidSetting, match="costs of policy 'Wrong' must be a mapping"):
        vzgym.evaluate(Wrong(), "tiny", episodes=1)


def test_a_video_that_fails_while_a_policy_reads_it_is_no_wrong_answer() -> None:
    class Reading(Scoring):
        def act(self, observation: Any, info: dict[str, Any]) -> vzgym.Answer:
            self.played = getattr(self, "played", 0) + 1
            if self.played == 2:
                raise VideoError("the data ends here", path="broken.mp4")
            return super().act(observation, info)

    report = vzgym.evaluate(Reading(), "tiny", episodes=3)
    assert len(report.episodes) == 2
    assert list(report.failed.values()) == ["broken.mp4: the data ends here"]
