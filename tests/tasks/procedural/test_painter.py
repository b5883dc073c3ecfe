from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

from vzgym.core.errors import InvalidSetting
from vzgym.tasks import get_task, load_tasks
from vzgym.tasks.procedural.render.painter import Flash
from vzgym.tasks.procedural.render.palette import EVENT_COLORS, SCENE_HUES, scene_lut
from vzgym.tasks.procedural.render.scenery import STYLES, SceneSpec, draw_scene, forget_scenes, scene_frames
from vzgym.tasks.procedural.render.shapes import SHAPES, paint_shape
from vzgym.video.synthetic import resize

IDS = ["needle-tiny/test/3", "count-tiny/test/4", "control-tiny/test/5"]


@pytest.mark.parametrize("task_id", IDS)
def test_a_frame_is_the_same_however_frames_are_batched(task_id: str) -> None:
    painter = get_task(task_id).video.painter  # type: ignore[attr-defined]
    index = np.arange(640)
    at_once = painter(index, 48, 64)
    order = np.random.default_rng(0).permutation(640)
    shuffled = painter(index[order], 48, 64)
    assert np.array_equal(at_once[order], shuffled)
    for frame in (0, 79, 80, 333, 639):
        assert np.array_equal(painter(np.array([frame]), 48, 64)[0], at_once[frame])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_flash_looks_the_same_whichever_of_its_frames_are_painted_together(shape: str) -> None:
    flash = Flash(0, 20, shape, EVENT_COLORS["white"], 0.5, 0.5, 0.25)
    # On a bright ground the dark halo shows.
    together = np.full((20, 96, 96, 3), 200, dtype=np.uint8)
    flash.paint(together, np.arange(20), np.arange(20), 1.0)
    for frame in (0, 1, 3, 10, 19):
        alone = np.full((1, 96, 96, 3), 200, dtype=np.uint8)
        flash.paint(alone, np.array([0]), np.array([frame]), 1.0)
        assert np.array_equal(alone[0], together[frame])


@pytest.mark.parametrize("task_id", IDS)
def test_another_process_draws_the_same_bits(task_id: str) -> None:
    code = (
        "import hashlib, sys, numpy as np; from vzgym.tasks import get_task\n"
        "task = get_task(sys.argv[1])\n"
        "pixels = task.video.painter(np.arange(0, 640, 7), 64, 64)\n"
        "print(hashlib.sha256(pixels.tobytes()).hexdigest(), task.question, task.answer, task.evidence)"
    )
    there = subprocess.run([sys.executable, "-c", code, task_id], capture_output=True, text=True, check=True).stdout
    task = pickle.loads(pickle.dumps(get_task(task_id)))
    pixels = task.video.painter(np.arange(0, 640, 7), 64, 64)
    here = f"{hashlib.sha256(pixels.tobytes()).hexdigest()} {task.question} {task.answer} {task.evidence}"
    assert there.strip() == here


@pytest.mark.parametrize(("height", "width"), [(64, 64), (36, 64), (32, 32), (144, 256), (720, 1280)])
def test_any_size_shows_the_same_picture(height: int, width: int) -> None:
    video = get_task("needle/test/1").video
    time = get_task("needle/test/1").evidence[0].start + 0.5  # type: ignore[index]
    times = np.array([0.0, time])
    pixels = video.read(times, size=(height, width)).pixels
    assert pixels.shape == (2, height, width, 3)
    assert pixels.dtype == np.uint8
    small = resize(video.read(times).pixels, (18, 32)).astype(float)
    assert np.abs(resize(pixels, (18, 32)) - small).mean() < 2.5


def test_no_frame_at_all() -> None:
    painter = get_task(IDS[0]).video.painter  # type: ignore[attr-defined]
    assert painter(np.empty(0, dtype=np.int64), 8, 8).shape == (0, 8, 8, 3)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("hue", SCENE_HUES)
def test_scenes_are_dim_textured_and_move(style: str, hue: str) -> None:
    scene = SceneSpec(hue, style, tuple(np.random.default_rng(1).random(24).tolist()))
    drawn = draw_scene(scene, np.array([0.0, 0.1, 8.0]), 72, 128, 128 / 72)
    assert drawn.max() <= 172
    assert drawn[0].std(axis=(0, 1)).max() > 6
    moved = np.abs(drawn.astype(int) - drawn[0]).mean(axis=(1, 2, 3))
    assert moved[1] < 1.0 < moved[2] + 0.9
    assert moved[2] > moved[1]


def test_scene_tones_rise_and_unknown_hues_are_named() -> None:
    for hue in SCENE_HUES:
        assert (np.diff(scene_lut(hue).astype(int).sum(axis=1)) >= 0).all()
    with pytest.raises(InvalidSetting, match=r"no scene hue 'mauve'; valid: red"):
        scene_lut("mauve")


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_painted_inside_their_radius_with_smooth_edges(shape: str) -> None:
    canvas = np.zeros((2, 80, 80, 3), dtype=np.uint8)
    one = np.ones(1)
    white = np.array(EVENT_COLORS["white"], dtype=float)
    paint_shape(canvas, np.array([1]), shape, (0.5 * one, 0.5 * one), 0.3 * one, white, 0.0 * one, 1.0)
    assert canvas[0].max() == 0
    assert (canvas[1, 40, 40] > 200).all()
    y, x = np.nonzero(canvas[1].max(axis=2))
    assert np.hypot(x - 39.5, y - 39.5).max() < 0.3 * 80 * 1.25
    values = np.unique(canvas[1, ..., 0])
    assert ((values > 20) & (values < 180)).any()


def test_a_shape_outside_the_picture_paints_nothing() -> None:
    canvas = np.full((1, 16, 16, 3), 7, dtype=np.uint8)
    far = np.array([5.0])
    paint_shape(canvas, np.array([0]), "disc", (far, far), np.array([0.2]), np.zeros(3), np.zeros(1), 1.0)
    assert (canvas == 7).all()


def test_sceneries_kept_are_those_drawn_anew_and_nobody_paints_on_them() -> None:
    one, other = (task for task in load_tasks("needle-tiny", "test").variants(3)[:2])  # type: ignore[attr-defined]
    span = one.evidence[0]
    times = np.append(np.linspace(0.0, 63.0, 40), (span.start + span.end) / 2)
    forget_scenes()
    fresh = one.video.read(times).pixels
    other.video.read(times)
    again = one.video.read(times).pixels
    assert np.array_equal(fresh, again)
    scene = one.video.painter.scenes[0]  # type: ignore[attr-defined]
    seconds = np.arange(3) / 10
    kept = scene_frames(scene, seconds, 64, 64, 1.0)
    assert np.array_equal(kept, draw_scene(scene, seconds, 64, 64, 1.0))
    assert not kept.flags.writeable
    assert scene_frames(scene, np.arange(33) / 10, 64, 64, 1.0).flags.writeable  # too large to be kept
