"""The picture of an episode, and films made of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import RecordVideo
from numpy.typing import NDArray

from vzgym.core.actions import Answer, Zoom
from vzgym.core.budget import Budget
from vzgym.core.errors import RecordError
from vzgym.core.interval import Interval
from vzgym.envs import ENV_IDS, VideoZoomEnv, draw_episode
from vzgym.envs.rendering import CANVAS
from vzgym.episode.record import EpisodeRecord
from vzgym.tasks import VideoTask, expert_zooms, load_tasks

GREEN = np.array((88, 208, 132))


def shows(picture: NDArray[np.uint8], color: Any, tolerance: int = 12) -> int:
    """How many pixels have about this color."""
    close = np.abs(picture.astype(int) - np.asarray(color)).max(axis=-1) <= tolerance
    return int(close.sum())


@pytest.mark.parametrize("suite", ["needle/test", "tiny/test"])
def test_a_picture_at_every_moment_is_a_new_one(suite: str) -> None:
    tasks = load_tasks(suite)
    env = VideoZoomEnv(tasks, render_mode="rgb_array")
    env.reset(options={"task": 0})
    pictures = [env.render()]
    zooms = [Zoom(5.0, 3.0, 1.0), *expert_zooms(env.episode.task, env.budget), Zoom(20.0, 22.0, 2.0)]
    for action in [*zooms[: env.budget.max_zooms], Answer(env.episode.task.letter or "")]:
        env.step(action)
        pictures.append(env.render())
    for picture in pictures:
        assert picture is not None
        assert picture.shape == (*CANVAS, 3)
        assert picture.dtype == np.uint8
        assert picture.flags.writeable
    raw = {picture.tobytes() for picture in pictures if picture is not None}
    assert len(raw) == len(pictures)


def test_the_overview_lies_where_it_was_seen(task: VideoTask, small: Budget) -> None:
    env = VideoZoomEnv(task, budget=small)
    env.reset()
    picture = draw_episode(env.record)
    # Frame i of the video is (i, 255 - i, 7); the overview holds frames 0, 8, ..., each for a sixth of the width.
    for slot in range(6):
        x = 24 + round((slot + 0.5) / 6 * 1232)
        np.testing.assert_allclose(picture[182, x], (8 * slot, 255 - 8 * slot, 7), atol=2)


def test_zooms_show_their_frames(task: VideoTask, small: Budget) -> None:
    env = VideoZoomEnv(task, budget=small)
    env.reset()
    assert shows(draw_episode(env.record)[276:], (45, 210, 7), 3) == 0
    env.step(Zoom(11.0, 12.0, 4.0))  # frames 44 to 47
    assert shows(draw_episode(env.record)[276:, :884], (45, 210, 7), 3) > 5000


def test_evidence_and_the_right_option_can_be_hidden(task: VideoTask, small: Budget) -> None:
    env = VideoZoomEnv(task, budget=small)
    env.reset()
    assert shows(draw_episode(env.record), GREEN) > 500
    assert shows(draw_episode(env.record, evidence=False), GREEN) == 0


def test_unknown_and_absent_evidence_are_told_apart(small: Budget, make_task: Callable[..., VideoTask]) -> None:
    pictures = []
    for evidence in (None, (), (Interval(11.9, 12.0),)):
        env = VideoZoomEnv(make_task(evidence=evidence), budget=small)
        env.reset()
        pictures.append(draw_episode(env.record).tobytes())
    assert len(set(pictures)) == 3


@pytest.mark.parametrize(("height", "width"), [(4, 120), (120, 4), (64, 64)])
@pytest.mark.parametrize("zooms", [0, 1, 9])
def test_nothing_is_drawn_outside_its_place(
    make_task: Callable[..., VideoTask], height: int, width: int, zooms: int
) -> None:
    """Long texts, many zooms and odd shapes leave the margins and the gaps between the parts alone."""
    task = make_task(
        height=height,
        width=width,
        question="Why, in the end, " + "does the person with the very long name " * 20 + "leave?",
        options=tuple(
            f"{letter} " + "because of reasons that nobody knows " * 9 for letter in "abcdefghijklmnopqrstuvwxyz"
        ),
        answer="A",
        category="a category with a rather long name",
    )
    env = VideoZoomEnv(task, action="text", budget={"max_zooms": zooms, "overview_frames": 64, "max_pixels": 90_000})
    env.reset()
    for turn in range(zooms):
        thought = "word " * 200 + "Donaudampfschifffahrtsgesellschaft" * 9
        zoom = f'<video_zoom>{{"segment": [{turn}, {turn + 1}], "fps": 8}}</video_zoom>'
        env.step("" if turn == 4 else f"<think>{thought}</think>{zoom}")
    env.step("<answer>" + "z" * 5000 + "</answer>")
    picture = draw_episode(env.record)
    paper = np.array((17, 20, 28))
    for margin in (
        picture[:, :20],  # left
        picture[:, -20:],  # right
        picture[-8:],  # bottom
        picture[:8],  # top
        picture[258:270],  # below the time line
        picture[280:, 926:942],  # between zooms and turns
    ):
        assert (margin == paper).all()


def test_no_zooms_and_no_overview_can_be_drawn(task: VideoTask) -> None:
    env = VideoZoomEnv(task, budget={"max_zooms": 0, "overview_frames": 0})
    env.reset()
    env.step(Answer(""))
    assert draw_episode(env.record).shape == (*CANVAS, 3)


def test_a_saved_record_has_no_pixels_to_draw(env: VideoZoomEnv) -> None:
    env.reset()
    env.step(Zoom(1.0, 2.0, 4.0))
    saved = EpisodeRecord.from_json(json.loads(env.record.to_line()))
    with pytest.raises(RecordError, match="replay"):
        draw_episode(saved)


@pytest.mark.parametrize("id", ENV_IDS)
def test_record_video_writes_a_film(id: str, tmp_path: Path) -> None:
    made = gymnasium.make(id, render_mode="rgb_array", action="default")
    env = RecordVideo(made, str(tmp_path / "films"), episode_trigger=lambda _: True)
    env.reset(seed=0)
    pictures = [env.render()]
    for action in ((0, [3.0, 4.0, 4.0]), (0, [9.0, 4.0, 4.0]), (1, "A")):
        env.step(action)
        pictures.append(env.render())
    env.close()
    films = sorted((tmp_path / "films").glob("*.mp4"))
    assert [film.name for film in films] == ["rl-video-episode-0.mp4"]
    with av.open(str(films[0])) as film:
        stream = film.streams.video[0]
        assert (stream.height, stream.width, float(stream.average_rate or 0)) == (*CANVAS, 1.0)
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(stream)]
    assert len(frames) == 4
    for frame, picture in zip(frames, pictures, strict=True):
        assert np.abs(frame.astype(int) - np.asarray(picture).astype(int)).mean() < 6
