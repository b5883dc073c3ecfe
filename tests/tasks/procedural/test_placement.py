from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vzgym.core import overview_times
from vzgym.core.errors import TaskError
from vzgym.tasks import VideoTask, hit_rate, load_tasks, make_family
from vzgym.tasks.evidence import Placement
from vzgym.video import ArrayVideo

TINY: dict[str, Any] = {
    "budget": load_tasks("tiny").budget, "duration": 64.0, "fps": 10.0, "height": 64, "width": 64, "scenes": 5,
}  # fmt: skip


def shows_enough(task: VideoTask, times: np.ndarray) -> bool:
    """By brute force: each run of frames that is needed holds a frame seen."""
    seen = {int(time * 10 + 1e-6) for time in times.tolist()}
    start = round(task.evidence[0].start * 10)  # type: ignore[index]
    needs = task.requirements.placement.needs  # type: ignore[union-attr]
    return all(any(start + frame in seen for frame in range(low, high)) for low, high in needs)


@pytest.mark.parametrize("cue", ["visible", "none"])
@pytest.mark.parametrize(("family", "rate"), [("needle", 0.9), ("count", 4.5)])
def test_hit_rates_agree_with_what_happens(family: str, rate: float, cue: str) -> None:
    made = make_family({"name": family, **TINY, "cue": cue})
    times = np.arange(0.37, 64, 1 / rate)
    tasks = [made.build("x", seed, seed % 4) for seed in range(1200)]
    expected = [hit_rate(task, times) for task in tasks]
    found = [shows_enough(task, times) for task in tasks]
    mean = float(np.mean(expected))
    assert 0.05 < mean < 0.95
    # Four standard errors of the simulation.
    assert abs(np.mean(found) - mean) < 4 * np.sqrt(mean * (1 - mean) / len(tasks))


def test_starts_are_uniform_over_the_ranges_of_one_scene() -> None:
    made = make_family({"name": "needle", **TINY, "scenes": 1})
    starts = []
    for seed in range(1600):
        task = made.build("x", seed, 0)
        starts.append(round(task.evidence[0].start * 10))  # type: ignore[index]
    allowed = np.concatenate([np.arange(low, high) for low, high in task.requirements.placement.starts])
    assert set(starts) <= set(allowed.tolist())
    halves = np.histogram(starts, bins=8, range=(0, 640))[0]
    assert np.abs(halves - 1600 / 8).max() < 5 * np.sqrt(1600 / 8)


def test_the_overview_never_hits_and_every_frame_always_does() -> None:
    for name in ("needle-tiny", "count-tiny", "needle", "count"):
        tasks = load_tasks(name, "test")
        task = tasks[0]
        assert hit_rate(task, overview_times(task.video.duration, tasks.budget)) == 0.0
        assert hit_rate(task, np.arange(0, task.video.duration, 1 / task.video.fps)) == 1.0
        assert hit_rate(task, []) == 0.0


def test_the_overview_shows_the_control_and_another_scene_does_not() -> None:
    tasks = load_tasks("control-tiny", "test")
    task = tasks[0]
    assert hit_rate(task, overview_times(task.video.duration, tasks.budget)) == 1.0
    (scene,) = task.varying
    outside = [time for time in np.arange(0, 64, 1.0) if time not in scene]
    assert hit_rate(task, outside) == 0.0


def test_an_exact_value() -> None:
    # Starts 10..19, a flash of 4 frames, one frame seen at index 15: starts 12..15 show it.
    placement = Placement(((10, 20),), ((0, 4),), 10.0)
    assert placement.hit_rate([1.5]) == 0.4
    assert placement.hit_rate([1.5, 1.9]) == 0.8
    assert Placement.from_dict(placement.to_dict()) == placement
    assert placement.seconds == 1.0
    # Two runs of two frames, both needed: frames 15 and 17 see both for starts 14 and 15.
    assert Placement(((10, 20),), ((0, 2), (2, 4)), 10.0).hit_rate([1.5, 1.7]) == 0.2


def test_a_task_of_no_family_has_no_hit_rate() -> None:
    video = ArrayVideo(np.zeros((2, 8, 8, 3), dtype=np.uint8), 1.0)
    with pytest.raises(TaskError, match="'mine' does not define where its event may lie"):
        hit_rate(VideoTask("mine", video, "What?"), [0.0])
