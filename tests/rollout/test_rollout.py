"""The roll-out loop: starts in mid-episode, hints, budgets, tasks that cannot be played, times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from vzgym.core.actions import Answer, Zoom
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.episode.dialogue import Message
from vzgym.policies.policy import load_policy
from vzgym.policies.traits import PolicyTraits
from vzgym.rollout.rollout import EpisodeStart, Rollout
from vzgym.rollout.task_rollouts import TaskRollouts
from vzgym.tasks import VideoTask, load_tasks

TASKS = load_tasks("tiny/test")
ZOOM = '<video_zoom>{"segment": [1, 3], "fps": 2}</video_zoom>'


class Writer:
    """Zooms once, then answers (a `TextPolicy`)."""

    protocol = {"name": "tags", "think": "none"}  # noqa: RUF012
    batch_size = 2

    def __init__(self) -> None:
        self.seen: list[list[str]] = []

    def reset(self, seeds: Sequence[int]) -> None: ...

    def respond(self, dialogues: Sequence[Sequence[Message]]) -> list[str]:
        self.seen += [[message.text for message in dialogue] for dialogue in dialogues]
        return [ZOOM if len(dialogue) <= 2 else "<answer>A</answer>" for dialogue in dialogues]


class Looker:
    """Zooms until the last round, then answers (a `Policy`)."""

    def reset(self, seed: int) -> None:
        self.seeds = [*getattr(self, "seeds", []), seed]

    def act(self, observation: Any, info: dict[str, Any]) -> Any:
        return Zoom(1.0, 3.0, 2.0) if observation["budget_left"][0] else Answer("A")


def test_episodes_come_back_in_order_whatever_the_batch() -> None:
    starts = [EpisodeStart(TASKS[index], seed=index) for index in (2, 0, 1)]
    for policy in (Writer(), Looker()):
        played = Rollout(policy, TASKS, TASKS.budget).play(starts)
        assert [episode and episode.record.task.id for episode in played] == [start.task.id for start in starts]
    assert isinstance(policy, Looker)
    assert policy.seeds == [0 + index for index in (2, 0, 1)]


def test_turns_of_another_rollout_are_repeated_before_the_policy_goes_on() -> None:
    (first,) = Rollout(Looker(), TASKS, TASKS.budget).play([EpisodeStart(TASKS[0], 0)])
    assert first is not None
    writer = Writer()
    rollout = Rollout(writer, TASKS, TASKS.budget, reward="videozoomer")
    (whole,) = rollout.play([EpisodeStart(TASKS[0], 0)])
    assert whole is not None
    (continued,) = rollout.play([EpisodeStart(TASKS[0], 0, turns=whole.record.turns[:1])])
    assert continued is not None
    assert [turn.text for turn in continued.record.turns] == [turn.text for turn in whole.record.turns]
    assert continued.record.rewards == whole.record.rewards
    # The policy was asked for the answer alone.
    assert len(writer.seen) == 3


def test_a_hint_is_seen_in_each_turn_and_kept_nowhere() -> None:
    writer = Writer()
    hint = "\nLook at the first seconds."
    starts = [EpisodeStart(TASKS[0], 0, hint=hint), EpisodeStart(TASKS[0], 0)]
    hinted, plain = Rollout(writer, TASKS, TASKS.budget).play(starts)
    assert hinted is not None
    assert plain is not None
    assert [text.endswith(hint) for text in writer.seen[0]] == [False, True]
    assert [hint in text for text in writer.seen[2]] == [False, True, False, False]
    assert not any(hint in text for seen in (writer.seen[1], writer.seen[3]) for text in seen)
    assert [m.text for m in hinted.record.messages] == [m.text for m in plain.record.messages]


def test_an_episode_may_have_a_budget_of_its_own() -> None:
    none = replace(TASKS.budget, max_zooms=0)
    starts = [EpisodeStart(TASKS[0], 0), EpisodeStart(TASKS[0], 0, budget=none)]
    for policy in (Writer(), Looker()):
        played = Rollout(policy, TASKS, TASKS.budget).play(starts)
        zooms = [episode.record.zooms for episode in played if episode]
        assert zooms[0] > 0
        assert zooms[1] == 0
        assert [episode.record.budget.max_zooms for episode in played if episode] == [TASKS.budget.max_zooms, 0]


def test_a_task_that_cannot_be_played_is_noted(make_task: Callable[..., VideoTask]) -> None:
    tasks = [make_task("inside"), make_task("outside", evidence=[[400, 500]])]
    rollout = Rollout(Writer(), tasks, Budget())
    played = rollout.play([EpisodeStart(task, 0) for task in (tasks[1], tasks[0], tasks[1])])
    assert [episode is None for episode in played] == [True, False, True]
    assert list(rollout.failed) == ["outside"]


def test_records_have_a_ledger_only_with_a_reward() -> None:
    starts = [EpisodeStart(TASKS[0], 0)]
    (without,) = Rollout(Looker(), TASKS, TASKS.budget).play(starts)
    (scored,) = Rollout(Looker(), TASKS, TASKS.budget, reward="accuracy").play(starts)
    assert without is not None
    assert without.record.rewards is None
    assert scored is not None
    assert scored.record.rewards is not None
    assert len(scored.record.rewards) == len(scored.record.turns)


def test_the_times_of_a_batch_add_up() -> None:
    played = Rollout(Writer(), TASKS, TASKS.budget).play([EpisodeStart(TASKS[index], 0) for index in range(2)])
    whole = sum(episode.wall_seconds for episode in played if episode)
    parts = sum(episode.tool_seconds + episode.model_seconds for episode in played if episode)
    assert parts == pytest.approx(whole)


def test_a_rollouts_own_modules_take_the_place_of_the_policys() -> None:
    (played,) = Rollout(Looker(), TASKS, TASKS.budget, observation="compact").play([EpisodeStart(TASKS[0], 0)])
    assert played is not None
    with pytest.raises(UnknownName, match="unknown observation module 'compakt'"):
        Rollout(Looker(), TASKS, TASKS.budget, observation="compakt")


def test_traits_have_defaults_and_are_checked() -> None:
    traits = PolicyTraits.of(Looker())
    assert (traits.name, traits.observation, traits.action, traits.batch_size) == ("Looker", "default", "default", 1)
    assert (traits.identity, traits.privileged) == (None, False)
    traits = PolicyTraits.of(Writer())
    assert (traits.observation, traits.batch_size) == ("dialogue", 2)
    assert traits.action == {"name": "text", "protocol": Writer.protocol}
    named: Any = Looker()
    named.name = 3
    with pytest.raises(InvalidSetting, match="name of a policy must be a text, got 3"):
        PolicyTraits.of(named)
    assert PolicyTraits.of(load_policy("oracle")).privileged


def test_rollouts_of_a_task_set_are_numbered_by_task_and_sample() -> None:
    rollouts = TaskRollouts("random", TASKS, samples=2, seed=3)
    played = dict(rollouts.play([1, 2, 5]))
    assert [record.task.id for record in played.values()] == [TASKS[index].id for index in (0, 1, 2)]
    assert [record.info.sample for record in played.values()] == [1, 0, 1]
    again = dict(TaskRollouts("random", TASKS, samples=2, seed=3).play([5]))
    assert [turn.action for turn in again[5].turns] == [turn.action for turn in played[5].turns]
