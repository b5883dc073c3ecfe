from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from vzgym.core import Budget, Interval, overview_times
from vzgym.core.errors import InvalidSetting, TaskError, UnknownName
from vzgym.core.interval import coverage
from vzgym.tasks import FAMILIES, VideoTask, expert_zooms, load_tasks, make_family
from vzgym.tasks.procedural.families.control import Control
from vzgym.tasks.procedural.families.count import Count, CountSettings, pulse_pattern
from vzgym.tasks.procedural.families.needle import Needle, NeedleSettings
from vzgym.tasks.procedural.render.palette import EVENT_COLORS

TINY: dict[str, Any] = {
    "budget": load_tasks("tiny").budget, "duration": 64.0, "fps": 10.0, "height": 64, "width": 64,
    "scenes": 8, "even_scenes": True,
}  # fmt: skip


def overview(task: VideoTask, budget: Budget) -> np.ndarray:
    return task.video.read(overview_times(task.video.duration, budget)).pixels


@pytest.mark.parametrize("cue", ["visible", "none"])
@pytest.mark.parametrize("family", ["needle", "count"])
@pytest.mark.parametrize("even", [True, False])
def test_the_overview_is_the_same_for_every_answer_and_shows_no_event(family: str, cue: str, even: bool) -> None:
    made = make_family({"name": family, **TINY, "cue": cue, "even_scenes": even, "scenes": 5})
    for seed in range(12):
        variants = made.variants(f"x/{seed}", seed)
        frames = [overview(task, made.settings.budget) for task in variants]
        assert all(np.array_equal(frames[0], other) for other in frames[1:])
        assert (frames[0].max(axis=(1, 2, 3)) <= 180).all()


@pytest.mark.parametrize("cue", ["visible", "none"])
def test_the_controls_overview_tells_all_answers_apart(cue: str) -> None:
    made = Control(**TINY, cue=cue)
    for seed in range(6):
        variants = made.variants(f"x/{seed}", seed)
        assert len({overview(task, made.settings.budget).tobytes() for task in variants}) == made.num_options
        assert all(task.evidence == () for task in variants)
        assert made.expert(variants[0], made.settings.budget) == ()


@pytest.mark.parametrize("family", ["needle", "count", "control"])
def test_nothing_but_the_pictures_depends_on_the_answer(family: str) -> None:
    made = make_family({"name": family, **TINY})
    for seed in range(5):
        variants = made.variants("x", seed)
        assert [task.answer for task in variants] == list(variants[0].options)
        known = {
            (t.question, t.options, t.evidence, str(t.metadata), t.video.duration, t.video.num_frames, t.category)
            for t in variants
        }
        assert len(known) == 1
        assert len({task.video.uri for task in variants}) == len(variants)


@pytest.mark.parametrize("family", ["needle", "count"])
def test_the_evidence_is_the_event_to_the_frame(family: str) -> None:
    made = make_family({"name": family, **TINY})
    for seed in range(10):
        a, b = made.variants("x", seed)[:2]
        (span,) = a.evidence or ()
        frames = np.arange(640)
        differs = (a.video.painter(frames, 32, 32) != b.video.painter(frames, 32, 32)).any(axis=(1, 2, 3))  # type: ignore[attr-defined]
        inside = (frames / 10 >= span.start - 1e-9) & (frames / 10 < span.end - 1e-9)
        assert not differs[~inside].any()
        assert differs[inside].any()
        # The event is seen from its first frame to its last, whatever the answer.
        bright = a.video.painter(frames, 32, 32).max(axis=(1, 2, 3)) > 200  # type: ignore[attr-defined]
        assert bright[inside].all()
        first = int(np.flatnonzero(inside)[0])
        assert not bright[first - 1]
        assert not bright[int(np.flatnonzero(inside)[-1]) + 1]


def test_a_flash_has_the_answers_colour() -> None:
    made = Needle(**TINY, colors=8, flash_size=0.6)
    for task in made.variants("x", 5):
        (span,) = task.evidence or ()
        pixels = task.video.read(np.array([span.start + 0.3])).pixels[0].reshape(-1, 3).astype(float)
        lit = pixels[pixels.max(axis=1) > 200].mean(axis=0)
        nearest = min(EVENT_COLORS, key=lambda name: float(np.abs(lit - EVENT_COLORS[name]).sum()))
        assert nearest == task.answer


def test_a_lamp_lights_up_as_often_as_the_answer_says_in_the_same_interval() -> None:
    made = Count(**TINY, counts=(1, 2, 3, 4), event_seconds=1.4)
    for seed in range(5):
        for task in made.variants("x", seed):
            (span,) = task.evidence or ()
            first = round(span.start * 10)
            pixels = task.video.painter(np.arange(first - 1, first + 15), 64, 64)  # type: ignore[attr-defined]
            glass = (np.abs(pixels.astype(int) - (255, 246, 206)).max(axis=3) < 45).mean(axis=(1, 2)) > 0.05
            rises = (glass[1:] & ~glass[:-1]).sum()
            assert str(rises) == task.answer
            assert glass[1]
            assert glass[14]
            assert not glass[15]


@pytest.mark.parametrize("frames", [14, 21, 45])
@pytest.mark.parametrize("pulses", [1, 2, 3, 4, 5])
def test_pulse_patterns_fill_the_burst(frames: int, pulses: int) -> None:
    runs = pulse_pattern(frames, pulses)
    assert len(runs) == 2 * pulses - 1
    assert runs[0][0] == 0
    assert runs[-1][1] == frames
    assert all(a[1] == b[0] for a, b in pairwise(runs))
    lengths = [b - a for a, b in runs]
    assert max(lengths) - min(lengths) <= 1


def test_the_question_names_the_targets_scene_and_only_with_a_cue() -> None:
    visible, hidden = Needle(**TINY), Needle(**TINY, cue="none")
    for seed in range(20):
        task = visible.build("x", seed, 0)
        painter = task.video.painter  # type: ignore[attr-defined]
        frame = round(task.evidence[0].start * 10)  # type: ignore[index]
        scene = painter.scenes[int(np.searchsorted(painter.cuts, frame, side="right")) - 1]
        assert scene.hue in task.question
        assert len({s.hue for s in painter.scenes}) == 8
        assert not any(s.hue in hidden.build("x", seed, 0).question.split() for s in painter.scenes)


def test_without_a_cue_there_is_one_event_spread_over_the_whole_video() -> None:
    made = Needle(**TINY, cue="none")
    starts = []
    for seed in range(300):
        task = made.build("x", seed, 0)
        assert len(task.video.painter.actors) == 1  # type: ignore[attr-defined]
        starts.append(task.evidence[0].start)  # type: ignore[index]
    quarters = np.histogram(starts, bins=4, range=(0, 64))[0]
    assert quarters.min() > 45


def test_options_are_shuffled_and_wordings_vary() -> None:
    tasks = [Needle(**TINY, wordings=3).build("x", seed, 0) for seed in range(300)]
    firsts = Counter(task.options[0] for task in tasks)
    assert len(firsts) == 4
    assert min(firsts.values()) > 45
    wordings = {task.question.replace(hue, "_") for task in tasks for hue in task.question.split()}
    assert len(wordings) > 3
    assert len({Needle(**TINY, wordings=1).build("x", s, 0).question.split()[0] for s in range(50)}) == 1


@pytest.mark.parametrize("suite", ["needle", "count", "needle-tiny", "count-tiny"])
def test_the_experts_zooms_are_valid_and_hold_the_evidence(suite: str) -> None:
    tasks = load_tasks(suite, "validation")
    budget = tasks.budget
    for index in range(40):
        task = tasks[index]
        zooms = expert_zooms(task, budget)
        assert len(zooms) == 1
        assert coverage(task.evidence or (), [Interval(z.start, z.end) for z in zooms]) == pytest.approx(1.0)
        for zoom in zooms:
            assert 0 <= zoom.start < zoom.end <= task.video.duration
            assert zoom.num_frames <= budget.clip_frames
            assert task.requirements.min_fps <= zoom.fps <= budget.max_fps


def test_the_expert_splits_long_evidence_and_says_what_a_budget_cannot_show() -> None:
    task = load_tasks("count", "test")[0]
    budget = load_tasks("count").budget
    zooms = expert_zooms(task, replace(budget, clip_frames=4))
    assert [zoom.num_frames for zoom in zooms] == [4, 4, 1]
    times = np.concatenate([zoom.times() for zoom in zooms])
    assert np.allclose(np.diff(times), 0.2)
    with pytest.raises(TaskError, match=r"needs 3 zooms of 4 frames at 5.0 fps, but the budget has 2"):
        expert_zooms(task, replace(budget, clip_frames=4, max_zooms=2))
    with pytest.raises(TaskError, match=r"needs 5.0 fps, but the budget gives at most 4"):
        expert_zooms(task, replace(budget, max_fps=4.0))
    with pytest.raises(TaskError, match="an expert needs known evidence"):
        expert_zooms(replace(task, evidence=None), budget)


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("needle", {"event_seconds": 4.0}, r"4.0 s \(40 frames at 10.0 fps\) cannot hide .* gaps of 37 free frames"),
        ("needle", {"event_seconds": 0.01}, "shorter than a frame at 10.0 fps"),
        ("needle", {"scenes": 10}, "scenes must be 1 to 9"),
        ("needle", {"duration": 12.0}, "8 scenes do not fit: the overview of 12.0 s has 3 frames, hence 3 gaps"),
        ("needle", {"colors": 1}, "colors must be 2 to 8, got 1"),
        ("needle", {"flash_size": 1.5}, r"flash_size must be in \(0, 0.9\], got 1.5"),
        ("needle", {"height": 63}, "height must be even and >= 16 pixels, got 63"),
        ("needle", {"cue": "loud"}, "cue must be one of visible, partial, none, got 'loud'"),
        ("needle", {"duration": float("nan")}, "duration must be finite"),
        ("needle", {"budget": Budget(overview_frames=1)}, "at least 2 frames"),
        ("needle", {"budget": Budget(max_zooms=0)}, "0 zooms of 16 frames show 0"),
        ("count", {"event_seconds": 0.5}, "5 pulses need 9 frames at least, but a burst of 0.5 s at 10.0 fps has 5"),
        ("count", {"event_seconds": 1.8, "budget": Budget(max_fps=4.0, overview_fps=0.25)}, "needs 5.000 fps, but a"),
        (
            "count",
            {"event_seconds": 1.8, "budget": Budget(overview_fps=0.25, clip_frames=4, max_zooms=2)},
            "need 9 frames, but the budget's 2 zooms of 4 frames show 8",
        ),
        ("count", {"counts": (3, 2)}, "two different numbers >= 1 in order"),
        ("count", {"lamp_size": 0.0}, "lamp_size"),
        ("control", {"colors": 9}, "colors must be 2 to 8, got 9"),
        ("control", {"balloon_size": 0.9}, "balloon_size"),
        ("control", {"flash": 1}, "has no setting flash; valid: balloon_size, budget"),
    ],
)
def test_impossible_settings_are_refused_with_their_numbers(family: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        make_family({"name": family, **TINY, **options})


def test_families_take_settings_objects_and_refuse_others() -> None:
    assert Needle(NeedleSettings(colors=3)).num_options == 3
    assert Count(CountSettings(counts=(1, 2))).num_options == 2
    with pytest.raises(InvalidSetting, match="takes NeedleSettings, got CountSettings"):
        Needle(CountSettings())
    with pytest.raises(InvalidSetting, match="not both"):
        Needle(NeedleSettings(), colors=3)
    with pytest.raises(InvalidSetting, match="position must be 0 to 3, got 4"):
        Needle().build("x", 1, 4)
    with pytest.raises(UnknownName, match=r"unknown task family 'haystack'; valid: .*control, count, .*needle"):
        make_family("haystack")
    assert {"control", "count", "needle"} <= set(FAMILIES.names())


def test_longer_searches_are_harder() -> None:
    easy = Needle(**TINY)
    hard = Needle(**{**TINY, "scenes": 2})
    hardest = Needle(**{**TINY, "cue": "none"})
    values = [made.build("x", 3, 0).metadata["difficulty"] for made in (easy, hard, hardest)]
    assert 0 < values[0] < values[1] < values[2] < 1
    assert Control(**TINY).build("x", 3, 0).metadata["difficulty"] == 0


def test_metadata_says_what_the_task_is() -> None:
    task = load_tasks("count-tiny", "test")[2]
    assert task.category == task.metadata["family"] == "count"
    assert task.source == "count-tiny"
    assert task.metadata["cue"] == "visible"
    assert task.metadata["grid"] == [4.0 * i for i in range(16)]
    assert task.requirements.min_fps == 5.0
    assert Budget.from_mapping(task.metadata["budget"]) == load_tasks("count-tiny").budget
