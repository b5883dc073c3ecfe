"""The trained model that is part of the package plays as its recorded scores say."""

from __future__ import annotations

import json
from typing import Any

import pytest

import vzgym
from vzgym.agents.tiny.shipped import CHECKPOINT
from vzgym.core.errors import InvalidSetting
from vzgym.evaluation import evaluate
from vzgym.policies import TextPolicy

SCORES: list[dict[str, Any]] = json.loads((CHECKPOINT / "scores.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("score", SCORES[:2], ids=lambda score: f"{score['tasks']} at {score['temperature']}")
def test_its_recorded_score_holds(score: dict[str, Any]) -> None:
    policy = {"name": "tiny", "temperature": score["temperature"], "batch_size": 64}
    report = evaluate(policy, score["tasks"], episodes=score["first"], seed=0)
    right = sum(bool(episode.correct) for episode in report.episodes)
    # Rounding differs between processors: it changes a few sampled tokens.
    assert abs(right - score["right_of_first"]) <= (2 if score["temperature"] == 0 else 8)


def test_it_is_a_text_policy_with_a_card_and_its_budget() -> None:
    policy: Any = vzgym.load_policy("tiny")
    warmer: Any = vzgym.load_policy({"name": "tiny", "temperature": 0.5})
    assert isinstance(vzgym.load_policy("tiny"), TextPolicy)
    assert (policy.name, warmer.name) == ("tiny (greedy)", "tiny (T=0.5)")
    assert policy.trained_budget == vzgym.load_tasks("needle-micro").budget
    card = (CHECKPOINT / "README.md").read_text(encoding="utf-8")
    assert all(f"| {score['tasks']} |" in card for score in SCORES)
    assert all(f"### {stage}" in card for stage in ("pretrain", "sft", "grpo"))
    assert sum(file.stat().st_size for file in CHECKPOINT.iterdir()) < 3 * 2**20


@pytest.mark.parametrize("option", ["temprature", "path"])
def test_other_options_are_refused_by_name(option: str) -> None:
    with pytest.raises(InvalidSetting, match=f"policy 'tiny' has no option '{option}'"):
        vzgym.load_policy({"name": "tiny", option: 1})
