"""One deliberately broken example for each way to break a contract; the message says how to fix it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Text

from vzgym.core.actions import Answer, Zoom
from vzgym.core.errors import ActionTypeError, VideoError
from vzgym.envs import CompactObservation, DecodedAction, DefaultAction, DiscreteAction
from vzgym.tasks.procedural.families.needle import Needle
from vzgym.testing import (
    ContractViolation,
    check_action,
    check_backend,
    check_environment,
    check_family,
    check_observation,
    check_policy,
    check_reward,
)
from vzgym.video.decoder import DecodedFrame
from vzgym.video.pyav_backend import PyAVDecoder


def broken(report: Any) -> dict[str, str]:
    """What is broken: the rule and the message."""
    assert not report.ok
    with pytest.raises(ContractViolation, match="breaks its contract"):
        report.require()
    return {result.rule: result.detail for result in report.broken}


# Observations ------------------------------------------------------------------------------------------------------


class Shared(CompactObservation):
    """Gives the episode's own array away."""

    def observe(self, episode):
        seen = super().observe(episode)
        self._times = getattr(self, "_times", seen["frame_times"])
        return {**seen, "frame_times": self._times}


class Leaks(CompactObservation):
    """Puts the answer where the agent can read it."""

    def observe(self, episode):
        seen = super().observe(episode)
        return {**seen, "dialogue": f"{seen['dialogue']}\n{episode.task.answer}"}


class TellsWhere(CompactObservation):
    """Shows where the evidence begins."""

    def observe(self, episode):
        seen = super().observe(episode)
        evidence = episode.task.evidence
        seen["frame_times"][0] = evidence[0].start if evidence else 0.0
        return seen


class WrongType(CompactObservation):
    """Times in the wrong precision."""

    def observe(self, episode):
        seen = super().observe(episode)
        return {**seen, "frame_times": seen["frame_times"].astype(np.float32)}


class Random(CompactObservation):
    """Adds noise."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng()

    def observe(self, episode):
        seen = super().observe(episode)
        seen["frames"][0] = self.rng.integers(0, 256, seen["frames"][0].shape, dtype=np.uint8)
        return seen


class Meddles(CompactObservation):
    """Writes into the record."""

    def observe(self, episode):
        episode.record.set_info(step=(episode.record.info.step or 0) + 1)
        return super().observe(episode)


@pytest.mark.parametrize(
    ("module", "rule", "fix"),
    [
        (Shared, "arrays are fresh", "make a fresh array"),
        (Leaks, "does not reveal", "never episode.task.answer"),
        (TellsWhere, "does not reveal", "evidence or metadata, at ['frame_times']"),
        (WrongType, "in the space", "'frame_times' is float32 (16,)"),
        (Random, "same observation", "use no randomness"),
        (Meddles, "leaves the episode", "only read from it"),
        (lambda: CompactObservation, "has the methods", "pass an instance"),
    ],
)
def test_broken_observations(module: Any, rule: str, fix: str) -> None:
    found = broken(check_observation(module, "example"))
    assert any(rule in name and fix in detail for name, detail in found.items()), found


# Actions -----------------------------------------------------------------------------------------------------------


class Swallows(DefaultAction):
    """Takes nonsense for an answer."""

    def decode(self, value, episode):
        try:
            return super().decode(value, episode)
        except ActionTypeError:
            return DecodedAction(Answer(str(value)))


class Cheats(DefaultAction):
    """Answers rightly, whatever is said."""

    def decode(self, value, episode):
        move = super().decode(value, episode)
        return DecodedAction(Answer(episode.task.answer)) if isinstance(move.action, Answer) else move


class Bare(DefaultAction):
    """Returns the action without a move."""

    def decode(self, value, episode):
        return super().decode(value, episode).action


class Tired(DefaultAction):
    """Zooms ever later."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def decode(self, value, episode):
        move = super().decode(value, episode)
        self.count += 1
        return DecodedAction(Zoom(0.0, float(self.count), 1.0)) if isinstance(move.action, Zoom) else move


class LooseMask(DiscreteAction):
    """Allows zooms in the last round."""

    def mask(self, episode):
        return np.ones(self.num_zooms + self.max_options, dtype=bool)


class Mute:
    """Has no wording."""

    def space(self, budget):
        return Discrete(2)

    def decode(self, value, episode):
        if not isinstance(value, np.integer):
            raise ActionTypeError("a number")
        return DecodedAction(Answer("A"))


@pytest.mark.parametrize(
    ("module", "rule", "fix"),
    [
        (Swallows, "raise ActionTypeError", "raise ActionTypeError for values that are not actions"),
        (Cheats, "which option is right", "must not read episode.task.answer"),
        (Bare, "decodes to an action", "must return a DecodedAction"),
        (Tired, "decoding is deterministic", "keep no state"),
        (LooseMask, "the mask allows", "but the episode refuses it"),
        (Mute, "has the methods", "has no 'wording'"),
    ],
)
def test_broken_actions(module: Any, rule: str, fix: str) -> None:
    found = broken(check_action(module))
    assert any(rule in name and fix in detail for name, detail in found.items()), found


# Rewards -----------------------------------------------------------------------------------------------------------


class _Reward:
    name: ClassVar[str] = "example"
    needs: ClassVar[frozenset[str]] = frozenset()

    def score(self, record: Any, context: Any) -> float | None:
        return 0.0


class Counts(_Reward):
    """Remembers how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def score(self, record, context):
        self.calls += 1
        return float(self.calls)


class Looks(_Reward):
    """Reads pixels, which a saved record does not have."""

    def score(self, record, context):
        pixels = record.overview.pixels
        return 0.0 if pixels is None else float(pixels.mean())


class Endless(_Reward):
    def score(self, record, context):
        return float("nan")


class Says(_Reward):
    def score(self, record, context):
        return "high"  # type: ignore[return-value]


class NoNeeds(_Reward):
    """Reads evidence without saying so."""

    def score(self, record, context):
        return record.task.evidence[0].start if len(record.task.evidence) else 0.0


class Nameless(_Reward):
    needs = "evidence"  # type: ignore[assignment]


class Notes(_Reward):
    """Writes into the record."""

    def score(self, record, context):
        record.set_info(step=(record.info.step or 0) + 1)
        return 0.0


@pytest.mark.parametrize(
    ("module", "rule", "fix"),
    [
        (Counts, "keeps no state", "keep no state between calls"),
        (Looks, "saved record", "never pixels"),
        (Endless, "finite numbers", "return a finite number, or None"),
        (NoNeeds, "finite numbers", "raised TypeError"),
        (Nameless, "has the parts", "needs (frozenset)"),
        (Notes, "leaves the record", "only read from it"),
    ],
)
def test_broken_rewards(module: Any, rule: str, fix: str) -> None:
    found = broken(check_reward(module))
    assert any(rule in name and fix in detail for name, detail in found.items()), found


@pytest.mark.parametrize(("module", "rule"), [(Says, "finite numbers"), (Nameless, "has the parts")])
def test_a_fault_of_a_reward_is_reported_once(module: Any, rule: str) -> None:
    report = check_reward(module)
    assert len(report.broken) == 1
    assert rule in report.broken[0].rule
    after = report.results[report.results.index(report.broken[0]) + 1 :]
    assert {result.status for result in after} == {"left out"}
    assert all("checked only if this holds" in result.detail for result in after)


class Asks(_Reward):
    """Needs what the check's episodes do not have."""

    needs: ClassVar[frozenset[str]] = frozenset({"answerer"})


def test_a_reward_that_is_never_scored_is_said_to_be() -> None:
    report = check_reward(Asks)
    assert report.ok
    details = [result.detail for result in report.results if result.status == "left out"]
    assert "it scores none of the check's episodes; it needs answerer" in details


# Policies ----------------------------------------------------------------------------------------------------------


class Unseeded:
    """Draws from a generator that nobody seeds."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng()

    def reset(self, seed: int) -> None: ...

    def act(self, observation: Any, info: dict[str, Any]) -> Any:
        return Zoom(float(self.rng.uniform(0, 10)), 20.0, 0.5)


class Learns(Unseeded):
    """Answers differently after each episode."""

    episodes = 0

    def reset(self, seed):
        self.episodes += 1

    def act(self, observation, info):
        return Answer("ABCD"[self.episodes % 4])


class Paints(Unseeded):
    """Writes into the observation."""

    def act(self, observation, info):
        observation["frames"][:] = 0
        return Answer("A")


class Speechless:
    """A speaking policy that forgets a dialogue."""

    def reset(self, seeds): ...

    def respond(self, dialogues):
        return []


class Odd(Unseeded):
    def act(self, observation, info):
        return "B"


@pytest.mark.parametrize(
    ("policy", "rule", "fix"),
    [
        (Unseeded, "same seed", "a generator that reset(seed) creates"),
        (Learns, "keeps no state across episodes", "reset() must clear"),
        (Paints, "leaves observations", "['frames']"),
        (Speechless, "plays whole episodes", "one text for each dialogue"),
        (Odd, "plays whole episodes", "an invalid action for its action module"),
        (object, "has the methods", "act(observation, info)"),
    ],
)
def test_broken_policies(policy: Any, rule: str, fix: str) -> None:
    found = broken(check_policy(policy))
    assert any(rule in name and fix in detail for name, detail in found.items()), found


# Families ----------------------------------------------------------------------------------------------------------

TINY = {"duration": 32.0, "scenes": 4, "height": 32, "width": 32}


class Betrays(Needle):
    """Its question tells the answer."""

    def build(self, id, seed, position):
        task = super().build(id, seed, position)
        return replace(task, question=f"{task.question} (position {position})")


class Misplaces(Needle):
    """The right option stands elsewhere."""

    def build(self, id, seed, position):
        task = super().build(id, seed, position)
        return replace(task, options=(*task.options[1:], task.options[0]))


class Overexposed(Needle):
    """Its event lasts into the overview's frames."""

    def build(self, id, seed, position):
        task = super().build(id, seed, position)
        other = super().build(id, seed + position, position)
        return replace(task, video=other.video)


class Elsewhere(Needle):
    """Its evidence lies where nothing is to be seen."""

    def build(self, id, seed, position):
        from vzgym.core.interval import Interval

        return replace(super().build(id, seed, position), evidence=(Interval(0.1, 0.2),))


@pytest.mark.parametrize(
    ("family", "rule", "fix"),
    [
        (Betrays, "the overview is the same", "question or options depend"),
        (Misplaces, "the right option is at", "put the right option at the given position"),
        (Overexposed, "the overview is the same", "strictly between overview frames"),
        (Elsewhere, "distinguish the answers", "evidence or requirements.min_fps is"),
    ],
)
def test_broken_families(family: Any, rule: str, fix: str) -> None:
    found = broken(check_family(lambda: family(**TINY)))
    assert any(rule in name and fix in detail for name, detail in found.items()), found


# Video back-ends ---------------------------------------------------------------------------------------------------


class Rounds(PyAVDecoder):
    """Gives the nearest frame instead of the one that is shown."""

    def read_frames(self, times, spec, keep_every, deadline):
        later = np.minimum(times + 0.05, self.info.duration)
        for picture in super().read_frames(later, spec, keep_every, deadline):
            yield DecodedFrame(picture.start - 0.05, picture.end, picture.pixels)


class Raises(PyAVDecoder):
    """Lets its own errors out."""

    def __init__(self, path, *, threads=1, timeout=30.0, options=None):
        try:
            super().__init__(path, threads=threads, timeout=timeout)
        except VideoError as error:
            raise RuntimeError("no") from error


@pytest.mark.parametrize(
    ("backend", "fix"),
    [
        ("Rounds", "frame whose own time is at or before the requested"),
        ("Raises", "raise vzgym.core.errors.VideoError"),
    ],
)
def test_broken_back_ends(backend: str, fix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    # As a plug-in would be named: pytest's way of importing gives this file no importable name.
    monkeypatch.setitem(sys.modules, "broken_back_ends", sys.modules[__name__])
    found = broken(check_backend(f"broken_back_ends:{backend}"))
    assert any(fix in detail for detail in found.values()), found


# Environments ------------------------------------------------------------------------------------------------------


class _Env(gymnasium.Env):
    """A question of one round."""

    observation_space: Any = Box(0, 255, (2, 2), np.uint8)
    action_space: Any = Discrete(2)

    def __init__(self) -> None:
        self.kept = np.zeros((2, 2), dtype=np.uint8)
        self.time = 0

    def seen(self) -> Any:
        return np.full((2, 2), self.time, dtype=np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self.seen(), {}

    def step(self, action):
        self.time += 1
        return self.seen(), 0.0, self.time > 5, False, {}


class ReusesArray(_Env):
    def seen(self):
        self.kept[:] = self.time
        return self.kept


class IgnoresSeed(_Env):
    generator = np.random.default_rng()

    def seen(self):
        return self.generator.integers(0, 256, (2, 2), dtype=np.uint8)


class StaleText(_Env):
    """gymnasium's own Text, whose first string a vector with shared memory gives for ever."""

    observation_space = Dict(text=Text(12, charset="step0123456789 "))

    def seen(self):
        return {"text": f"step {self.time}"}


@pytest.mark.parametrize(
    ("env", "rule", "fix"),
    [
        (ReusesArray, "returned observations are independent", "return fresh arrays at every step"),
        (IgnoresSeed, "same seed and actions", "draw from self.np_random"),
        (StaleText, "vector environments", "UnicodeText"),
    ],
)
def test_broken_environments(env: Any, rule: str, fix: str) -> None:
    found = broken(check_environment(env))
    assert any(rule in name and fix in detail for name, detail in found.items()), found


def test_a_whole_one_is_not_taken_for_broken() -> None:
    assert check_environment(_Env).ok
    assert check_observation(CompactObservation).ok
    assert check_action(DefaultAction).ok
    assert check_reward(_Reward).ok
    assert check_family(lambda: Needle(**TINY)).ok
