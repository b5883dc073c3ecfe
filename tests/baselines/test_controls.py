"""The controls: what each of them must score, and that their zooms are always carried out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vzgym.baselines import (
    CONTROLS,
    Blind,
    Oracle,
    OverviewOnly,
    RandomZoom,
    Reading,
    SlidingWindow,
    Uniform,
    sample_zoom,
)
from vzgym.core.actions import Answer, Zoom
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.envs import VideoZoomEnv
from vzgym.episode import validate_zoom
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation import EvaluationReport, evaluate, proportion
from vzgym.policies.policy import POLICIES, Policy
from vzgym.tasks import load_tasks


@cache
def report(policy: str, tasks: str, episodes: int = 80) -> EvaluationReport:
    return evaluate(policy, tasks, episodes=episodes)


# What they score -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tasks", ["needle-tiny", "count-tiny", "control-tiny"])
def test_blind_is_at_chance(tasks: str) -> None:
    unseen = {"overview_frames": 0, "max_zooms": 0}
    runs = [evaluate("blind", tasks, episodes=150, seed=seed, budget=unseen) for seed in range(3)]
    found = proportion([item.correct is True for run in runs for item in run.episodes])
    assert found.n == 450
    assert found.low <= 1 / 4 <= found.high


@pytest.mark.parametrize("tasks", ["needle-tiny", "count-tiny"])
def test_the_overview_alone_is_at_chance_where_zooming_is_needed(tasks: str) -> None:
    found = report("overview", tasks)
    assert found.accuracy.low <= 1 / 4 <= found.accuracy.high
    assert found.summary["evidence_seen"].value == 0.0
    assert found.summary["zooms"].value == 0.0


def test_the_overview_alone_answers_the_control() -> None:
    assert report("overview", "control-tiny", 50).accuracy.value >= 0.98


@pytest.mark.parametrize(("tasks", "zooms"), [("needle-tiny", 1.0), ("count-tiny", 1.0), ("control-tiny", 0.0)])
def test_the_oracle_is_right_with_no_more_zooms_than_needed(tasks: str, zooms: float) -> None:
    found = report("oracle", tasks, 50)
    assert found.accuracy.value >= 0.98
    assert found.summary["zooms"].value == zooms
    assert found.summary["refused"].value == 0.0
    if zooms:
        assert found.summary["evidence_seen"].value == 1.0
        assert found.summary["evidence_coverage"].value == pytest.approx(1.0)


def test_the_oracle_is_never_told_the_answer() -> None:
    """Shown frames that say nothing, it is at chance."""

    class Unseeing:
        def read(self, frames: Any, times: Any, question: str, options: Any) -> Reading:
            return Reading(None, 0.0)

    found = evaluate(Oracle(Unseeing()), "needle-tiny", episodes=80)
    assert found.summary["evidence_seen"].value == 1.0
    assert found.accuracy.low <= 1 / 4 <= found.accuracy.high


def test_searching_is_better_than_glancing_and_worse_than_knowing() -> None:
    glance, oracle = report("overview", "needle-tiny"), report("oracle", "needle-tiny", 50)
    for search in ("uniform", "sliding"):
        found = report(search, "needle-tiny", 40)
        assert glance.accuracy.value < found.accuracy.value < oracle.accuracy.value
        assert 0.0 < found.summary["evidence_seen"].value < 1.0


# Zooms that are always carried out -----------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["random", "sliding"])
@pytest.mark.parametrize("tasks", ["tiny", "needle", "count"])
def test_no_zoom_is_refused(policy: str, tasks: str) -> None:
    found = report(policy, tasks, 9 if tasks == "tiny" else 2)
    zooms = load_tasks(tasks).budget.max_zooms
    assert [(item.zooms, item.refused) for item in found.episodes] == [(zooms, 0)] * len(found.episodes)


def test_the_sliding_window_leaves_nothing_out() -> None:
    budget = load_tasks("tiny/test").budget
    zooms = plan(SlidingWindow(), 64.0, budget)
    assert [zoom.num_frames for zoom in zooms] == [budget.clip_frames] * budget.max_zooms
    assert zooms[0].start == 0.0
    assert zooms[-1].end == 64.0
    assert all(a.end == pytest.approx(b.start) for a, b in pairwise(zooms))


def plan(policy: Any, duration: float, budget: Budget) -> list[Zoom]:
    policy.prepare(budget)
    policy.reset(0)
    zooms: list[Zoom] = policy.plan({"duration": duration})
    return zooms


budgets = st.builds(
    lambda fps, **counts: Budget(min_fps=min(fps), max_fps=max(fps), **counts),
    fps=st.tuples(st.floats(1e-3, 1e4), st.floats(1e-3, 1e4)),
    clip_frames=st.integers(1, 300),
    max_zooms=st.integers(0, 20),
)
durations = st.floats(1e-3, 1e6)
PAPER = Budget()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), durations, budgets)
@example(0, 189.0, PAPER)
@example(0, 0.05, PAPER)
@example(0, 1e6, Budget(min_fps=1e4, max_fps=1e4, clip_frames=1))
@example(1, 1e6, Budget(min_fps=29.97, max_fps=29.97, clip_frames=300))
def test_a_sampled_zoom_is_always_accepted(seed: int, duration: float, budget: Budget) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(5):
        zoom = sample_zoom(rng, duration, budget)
        assert validate_zoom(zoom, duration, budget) is None
        assert 1 <= zoom.num_frames <= budget.clip_frames


@settings(max_examples=200, deadline=None, derandomize=True)
@given(durations, budgets)
@example(64.0, load_tasks("tiny/test").budget)
@example(1e5, PAPER)  # so long that four clips at the lowest fps do not fill it
@example(0.01, PAPER)
def test_a_sliding_window_is_always_accepted(duration: float, budget: Budget) -> None:
    zooms = plan(SlidingWindow(), duration, budget)
    assert len(zooms) == budget.max_zooms
    assert all(validate_zoom(zoom, duration, budget) is None for zoom in zooms)
    assert all(a.end <= b.start + 1e-6 for a, b in pairwise(zooms))


def test_sampled_zooms_are_spread_over_all_that_is_allowed() -> None:
    rng = np.random.default_rng(0)
    budget = load_tasks("tiny/test").budget
    zooms = [sample_zoom(rng, 64.0, budget) for _ in range(3000)]
    frames = np.bincount([zoom.num_frames for zoom in zooms], minlength=budget.clip_frames + 1)
    assert frames[0] == 0
    assert frames[1:].min() > 0.7 * 3000 / budget.clip_frames
    assert min(zoom.end - zoom.start for zoom in zooms) < 0.2
    assert max(zoom.end - zoom.start for zoom in zooms) > 40.0
    short = [zoom.start for zoom in zooms if zoom.end - zoom.start < 8.0]
    assert 25.0 < np.mean(short) < 35.0
    assert min(zoom.fps for zoom in zooms) < 0.2
    assert max(zoom.fps for zoom in zooms) > 8.0


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_a_sampled_zoom_depends_on_its_seed_alone(seed: int) -> None:
    first, second = (sample_zoom(np.random.default_rng(seed), 100.0, PAPER) for _ in range(2))
    assert first == second


# Each by itself ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("control", CONTROLS)
def test_controls_are_policies_with_names(control: Callable[[], Any]) -> None:
    made = control()
    name = made.name
    assert isinstance(made, Policy)
    assert type(POLICIES.make(name)) is control


def test_uniforms_budget_is_one_glance() -> None:
    assert Uniform().prepare(PAPER).overview_frames == 128
    glance = Uniform(10).prepare(PAPER)
    assert (glance.overview_frames, glance.max_zooms, glance.max_rounds) == (10, 0, 1)
    # As many frames from a short video as from a long one.
    frames = evaluate(Uniform(10), "tiny", episodes=1).summary["frames"].value
    assert frames == 10


@pytest.mark.parametrize("frames", [0, -3, 2.5, "many", True])
def test_uniform_needs_frames(frames: Any) -> None:
    with pytest.raises(InvalidSetting, match="uniform needs a whole number of frames >= 1"):
        Uniform(frames)


def test_the_oracle_must_be_told() -> None:
    oracle = Oracle()
    oracle.prepare(PAPER)
    oracle.reset(0)
    with pytest.raises(InvalidSetting, match=r"call reveal\(task\)"):
        oracle.plan({})


def test_an_open_question_gets_an_empty_answer() -> None:
    blind = Blind()
    blind.reset(0)
    assert blind.act({}, {"options": ()}) == Answer("")


def test_guesses_are_seeded_and_even() -> None:
    info = {"options": ("a", "b", "c")}
    blind = Blind()

    def guess(seed: int) -> str:
        blind.reset(seed)
        return blind.act({}, info).text

    guesses = [guess(seed) for seed in range(300)]
    assert guesses == [guess(seed) for seed in range(300)]
    assert set(guesses) == {"A", "B", "C"}
    assert min(guesses.count(letter) for letter in "ABC") > 70


def test_a_reader_of_ones_own() -> None:
    class Parrot:
        def __init__(self) -> None:
            self.frames: list[int] = []

        def read(self, frames: Any, times: Any, question: str, options: Any) -> Reading:
            assert len(frames) == len(times)
            self.frames.append(len(frames))
            return Reading(options[1], 1.0)

    parrot = Parrot()
    records: list[EpisodeRecord] = []
    evaluate(OverviewOnly(parrot), "tiny", episodes=2, on_episode=records.append)
    assert [record.answer for record in records] == [record.task.options[1] for record in records]
    assert parrot.frames == [16, 16]  # padding is not shown


def test_a_baseline_plays_in_a_loop_of_ones_own() -> None:
    env = VideoZoomEnv("needle-tiny/test")
    policy = RandomZoom()
    assert policy.prepare(env.budget) == env.budget
    observation, info = env.reset(seed=1)
    policy.reset(seed=2)
    ended = False
    while not ended:
        observation, _, ended, _, info = env.step(policy.act(observation, info))
    assert env.record.zooms == env.budget.max_zooms
    assert env.record.answer is not None
