"""The action modules: every form that is taken, every form that is not, and what masks promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, OneOf

from vzgym.core.actions import Answer, Region, Zoom
from vzgym.core.budget import Budget
from vzgym.core.errors import ActionTypeError, InvalidSetting
from vzgym.envs import (
    ENV_IDS,
    ContinuousAction,
    DefaultObservation,
    DiscreteAction,
    FlatObservation,
    UnicodeText,
    VideoZoomEnv,
)
from vzgym.tasks import VideoTask, load_tasks
from vzgym.video import ArrayVideo

# The default module ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "action",
    [
        (0, np.array([4.0, 5.0, 4.0])),
        (np.int64(0), np.array([4.0, 5.0, 4.0])),
        (np.int32(0), np.array([4.0, 5.0, 4.0], dtype=np.float32)),
        (np.array(0), [np.array(4.0), 5.0, 4]),
        (0, [4, 5, 4]),
        (0, (4.0, 5.0, np.float64(4.0))),
        [0, [4.0, 5.0, 4.0]],
        Zoom(4.0, 5.0, 4.0),
        Zoom(4, 5, 4),
    ],
)
def test_a_zoom_in_every_form_is_the_same_zoom(env: VideoZoomEnv, action: Any) -> None:
    env.reset()
    observation, *_, info = env.step(action)
    assert info["outcome"] == "executed"
    assert observation["frame_times"][6:10].tolist() == [4.0, 4.25, 4.5, 4.75]
    assert env.record.turns[0].action == Zoom(4.0, 5.0, 4.0)
    assert env.record.turns[0].text == "zoom [4, 5] at 4 fps"


@pytest.mark.parametrize("action", [(1, "B"), (np.int64(1), "B"), [1, "B"], Answer("B")])
def test_an_answer_in_every_form_is_the_same_answer(env: VideoZoomEnv, action: Any) -> None:
    env.reset()
    _, reward, terminated, _, info = env.step(action)
    assert terminated
    assert info["correct"]
    assert reward == 1.0
    assert env.record.answer == "B"


@pytest.mark.parametrize(
    "action",
    [
        None,
        "B",
        3,
        (0, "B"),
        (1, [1.0, 2.0, 3.0]),
        (2, "B"),
        (-1, "B"),
        (0, [1.0, 2.0]),
        (0, [1.0, 2.0, "3"]),
        (0, [1.0, 2.0, None]),
        (0, np.array(1.0)),
        (0, ["1.0", "2.0", "3.0"]),
        (0, [1.0, 2.0, 10**400]),
        (0, np.array([1.0, 2.0, 3.0], dtype=object)),
        (0, np.array(["1.0", "2.0", "3.0"])),
        (0, np.array([1.0, 2.0, 3.0], dtype=complex)),
        (np.array([0]), [1.0, 2.0, 3.0]),
        (0, np.zeros((3, 1))),
        (0, [[1.0], [2.0], [3.0]]),
        (0.0, [1.0, 2.0, 3.0]),
        (0,),
        (0, [1.0, 2.0, 3.0], 4),
        Zoom("1", "2", "3"),  # type: ignore[arg-type]
        Answer(3),  # type: ignore[arg-type]
        {"zoom": [1, 2, 3]},
    ],
)
def test_what_is_no_action_is_an_error_that_uses_up_nothing(env: VideoZoomEnv, action: Any) -> None:
    env.reset()
    with pytest.raises(ActionTypeError):
        env.step(action)
    assert env.episode.rounds_left == 4
    assert len(env.record.messages) == 1
    assert env.step(Answer("B"))[4]["correct"]


def test_the_default_space(env: VideoZoomEnv) -> None:
    space = env.action_space
    assert isinstance(space, OneOf)
    zoom, answer = space.spaces
    assert isinstance(zoom, Box)
    assert zoom.dtype == np.float64
    assert zoom.shape == (3,)
    assert zoom.low.tolist() == [0.0, 0.0, env.budget.min_fps]
    assert zoom.high.tolist() == [1e6, 1e6, env.budget.max_fps]
    assert answer == UnicodeText(1024)
    assert (1, "à droite 日本") in space


@pytest.mark.parametrize("id", ENV_IDS)
def test_most_samples_of_a_fresh_episode_are_executed(id: str) -> None:
    env = gymnasium.make(id, observation="dialogue")
    env.action_space.seed(3)
    outcomes = []
    for _ in range(40):
        env.reset(seed=0, options={"task": 0})
        outcomes.append(env.step(env.action_space.sample())[4]["outcome"])
    assert outcomes.count("refused") <= 4
    assert outcomes.count("executed") >= 10


def test_samples_fit_each_video_and_the_space_stays_the_same(
    make_task: Callable[..., VideoTask], small: Budget
) -> None:
    short = ArrayVideo(np.zeros((8, 12, 20, 3), dtype=np.uint8), 4.0, "array:short")
    tasks = [make_task("long"), VideoTask(id="short", video=short, question="?", options=("a", "b"), answer="a")]
    env = VideoZoomEnv(tasks, budget=small)
    before = VideoZoomEnv(tasks, budget=small).action_space
    for index, duration in ((0, 12.0), (1, 2.0), (0, 12.0)):
        env.reset(options={"task": index})
        zooms = [value for kind, value in (env.action_space.sample() for _ in range(60)) if kind == 0]
        assert max(end for _, end, _ in zooms) == pytest.approx(duration, rel=0.3)
        for zoom in zooms:
            env.reset(options={"task": index})
            assert env.step((0, zoom))[4]["outcome"] == "executed"
        assert env.action_space == before
        assert (0, np.array([11.0, 12.0, 4.0])) in env.action_space


def test_samples_are_those_of_the_seed(env: VideoZoomEnv) -> None:
    drawn = []
    for _ in range(2):
        env.reset(seed=1)
        env.action_space.seed(5)
        drawn.append([repr(env.action_space.sample()) for _ in range(5)])
    assert drawn[0] == drawn[1]


def test_a_region_needs_an_environment_with_spatial_zoom(task: VideoTask, small: Budget) -> None:
    zoom = Zoom(4.0, 5.0, 4.0, Region(0.0, 0.0, 0.5, 0.5))
    flat = VideoZoomEnv(task, budget=small)
    flat.reset()
    assert flat.step(zoom)[4]["refusal"] == "region_not_allowed"
    spatial = VideoZoomEnv(task, budget={**small.to_dict(), "spatial": True})
    spatial.reset()
    assert spatial.step(zoom)[4]["outcome"] == "executed"


# Text --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def speaking(task: VideoTask, small: Budget) -> VideoZoomEnv:
    return VideoZoomEnv(task, action="text", budget=small)


def test_the_papers_tags_are_read(speaking: VideoZoomEnv) -> None:
    observation, _ = speaking.reset()
    assert "<video_zoom>" in observation["dialogue"]
    zoom = '<think>Vers 4 s ?</think><video_zoom>{"segment": [4.0, 5.0], "fps": 4}</video_zoom>'
    observation, *_, info = speaking.step(zoom)
    assert info["outcome"] == "executed"
    assert zoom in observation["dialogue"]
    assert "<tool_response>" in observation["dialogue"]
    _, reward, terminated, _, info = speaking.step("<think>à droite</think><answer>B</answer>")
    assert terminated
    assert reward == pytest.approx(0.9 + 0.1 + 0.5)


def test_leniently_read_text_loses_the_reward_for_form(speaking: VideoZoomEnv) -> None:
    speaking.reset()
    _, reward, _, _, info = speaking.step("It must be <answer>B</answer>")
    assert info["correct"]
    assert reward == pytest.approx(0.9)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no idea",
        "<video_zoom>{}</video_zoom>",
        '<video_zoom>{"segment": [1], "fps": 1}</video_zoom>',
        "<answer></answer>",
        "\ud800 <video_zoom>[1, 2]</video_zoom>",
    ],
)
def test_text_without_an_action_is_a_reply(speaking: VideoZoomEnv, text: str) -> None:
    speaking.reset()
    observation, reward, terminated, truncated, info = speaking.step(text)
    assert (info["outcome"], info["refusal"], reward, terminated, truncated) == (
        "refused",
        "malformed",
        0.0,
        False,
        False,
    )
    assert observation["budget_left"].tolist() == [2, 8, 3]
    assert text.replace("\ud800", "\ufffd") in observation["dialogue"]
    assert speaking.observation_space.contains(observation)


def test_the_text_module_takes_its_protocols_options(task: VideoTask, small: Budget) -> None:
    action = {"name": "text", "protocol": {"name": "tags", "think": "none", "strict": True}, "max_length": 99}
    env = VideoZoomEnv(task, action=action, budget=small)
    assert env.action_space == UnicodeText(99)
    env.reset()
    assert env.step("I say <answer>B</answer>")[4]["refusal"] == "malformed"
    assert env.step("<answer>B</answer>")[1] == pytest.approx(0.9)  # one turn was not well-formed


@pytest.mark.parametrize("action", [3, None, ("<answer>B</answer>",), Answer("B")])
def test_the_text_module_takes_text_only(speaking: VideoZoomEnv, action: Any) -> None:
    speaking.reset()
    with pytest.raises(ActionTypeError, match="string"):
        speaking.step(action)


# Discrete ----------------------------------------------------------------------------------------------------------

GRID = {"name": "discrete", "windows": 6, "fps": [0.5, 2.0, 4.0, 8.0], "max_options": 5}


def test_discrete_values_are_windows_then_options(task: VideoTask, small: Budget) -> None:
    env = VideoZoomEnv(task, action=GRID, budget=small)
    assert env.action_space == Discrete(6 * 4 + 5)
    env.reset()
    env.step(2 * 4 + 1)
    assert env.record.turns[0].action == Zoom(4.0, 6.0, 2.0)
    env.step(np.array(3))  # what Stable-Baselines3's `predict` returns
    assert env.record.turns[1].action == Zoom(0.0, 2.0, 8.0)
    env.step(np.int64(6 * 4 + 1))
    assert env.record.answer == "B"


@pytest.mark.parametrize("rounds_gone", [0, 2, 3])
def test_masks_say_what_a_step_then_does(task: VideoTask, small: Budget, rounds_gone: int) -> None:
    env = VideoZoomEnv(task, action=GRID, budget=small)
    zooms = 6 * 4

    def start() -> None:
        env.reset()
        for _ in range(rounds_gone):
            env.step(0)

    start()
    masks = env.action_masks()
    assert masks.shape == (zooms + 5,)
    assert masks.dtype == np.bool_
    # Two seconds at 4 or 8 fps are more than a clip.
    assert masks[:4].tolist() == [rounds_gone < 3, rounds_gone < 3, False, False]
    for value in range(zooms + 5):
        start()
        *_, info = env.step(value)
        if value < zooms:
            assert masks[value] == (info["outcome"] == "executed"), value
        else:
            assert masks[value] == (info["grade"] in {"correct", "wrong"}), value


def test_answers_are_masked_before_the_required_zoom(task: VideoTask, small: Budget) -> None:
    env = VideoZoomEnv(task, action=GRID, budget=replace(small, min_zooms=1))
    answers = slice(6 * 4, 6 * 4 + len(task.options))
    _, info = env.reset()
    assert info["action_mask"].any()
    assert not info["action_mask"][answers].any()
    *_, info = env.step(answers.start)
    assert (info["outcome"], info["refusal"]) == ("refused", "zoom_first")
    *_, info = env.step(0)
    assert info["action_mask"][answers].all()
    # In the last round an answer is accepted in any case, and where no zoom of the grid is possible one value must be.
    env.reset()
    for _ in range(small.max_zooms):
        *_, info = env.step(answers.start)
    assert info["action_mask"].nonzero()[0].tolist() == list(range(answers.start, answers.stop))
    too_dense = VideoZoomEnv(task, action={**GRID, "fps": [8.0]}, budget=replace(small, min_zooms=1))
    _, info = too_dense.reset()
    assert info["action_mask"].nonzero()[0].tolist() == [6 + place for place in range(len(task.options))]


@pytest.mark.parametrize("id", ENV_IDS)
def test_the_default_grid_suits_every_registered_id(id: str) -> None:
    tasks = load_tasks(str(ENV_IDS[id]["tasks"]))
    env = VideoZoomEnv(tasks, action="discrete", observation="dialogue")
    families = set()
    for index in range(10):  # once through the suite's families
        env.reset(options={"task": index})
        task = env.episode.task
        families.add(task.category)
        assert env.action_masks()[: 2 * 64].all()
        assert isinstance(env.action, DiscreteAction)
        if task.evidence:
            assert max(env.action.fps) >= (task.requirements.min_fps or 0.0) - 1e-9
    assert families >= {"needle", "count", "control", "direction", "twohop"}


@pytest.mark.parametrize("action", [-1, 29, 2.0, "3", None, np.array([3]), np.array(2.0)])
def test_the_discrete_module_takes_its_numbers_only(task: VideoTask, small: Budget, action: Any) -> None:
    env = VideoZoomEnv(task, action=GRID, budget=small)
    env.reset()
    with pytest.raises(ActionTypeError, match="0 to 28"):
        env.step(action)


@pytest.mark.parametrize("options", [(), ("a", "b", "c", "d", "e", "f")])
def test_a_question_whose_answer_could_not_be_said_is_an_error(
    small: Budget, make_task: Callable[..., VideoTask], options: tuple[str, ...]
) -> None:
    task = make_task(options=options, answer="a")
    env = VideoZoomEnv(task, action=GRID, budget=small)
    with pytest.raises(InvalidSetting, match="max_options"):
        env.reset()


def test_only_modules_with_masks_have_masks(env: VideoZoomEnv) -> None:
    env.reset()
    with pytest.raises(InvalidSetting, match="discrete"):
        env.action_masks()


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"windows": 0}, "windows must be an integer >= 1, got 0"),
        ({"windows": "8"}, "windows must be an integer >= 1, got '8'"),
        ({"windows": 2.5}, "windows must be an integer >= 1, got 2.5"),
        ({"fps": []}, r"fps must be a list of frame rates, such as \[1.0, 5.0\], got \[\]"),
        ({"fps": "2"}, "fps must be a list of frame rates, .*, got '2'"),
        ({"fps": 2.0}, "fps must be a list of frame rates, .*, got 2.0"),
        ({"fps": [0.0]}, r"fps\[0\] must be a finite number > 0, got 0.0"),
        ({"fps": [1.0, "2"]}, r"fps\[1\] must be a finite number > 0, got '2'"),
        ({"fps": [float("nan")]}, r"fps\[0\] must be a finite number > 0, got nan"),
        ({"fps": [float("inf")]}, r"fps\[0\] must be a finite number > 0, got inf"),
        ({"max_options": 27}, "max_options must be an integer from 1 to 26, got 27"),
        ({"max_options": "4"}, "max_options must be an integer from 1 to 26, got '4'"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(InvalidSetting, match=rf"^DiscreteAction: {fault}"):
        VideoZoomEnv("needle-tiny/test", action={"name": "discrete", **settings})


@pytest.mark.parametrize("fps", [(1, 5), [1.0, 5.0], np.array([1.0, 5.0], np.float32), [np.int64(1), 5]])
def test_rates_come_in_any_list_of_numbers(fps: Any) -> None:
    assert DiscreteAction(fps=fps).fps == (1.0, 5.0)


@pytest.mark.parametrize(
    ("rate", "limit"), [(100, "max_fps=30; choose rates from 0.01 to 30"), (0.001, "min_fps=0.01; choose")]
)
def test_a_rate_at_which_the_budget_refuses_every_zoom_is_refused(rate: float, limit: str) -> None:
    action = {"name": "discrete", "fps": [2.0, rate]}
    with pytest.raises(InvalidSetting, match=rf"^DiscreteAction: no zoom at fps {rate} is possible .* with {limit}"):
        gymnasium.make("VideoZoom-v0", action=action)
    if rate == 100:
        gymnasium.make("VideoZoom-v0", action=action, budget={"max_fps": 100.0})


@pytest.mark.parametrize(
    ("module", "settings", "fault"),
    [
        (ContinuousAction, {"max_options": "4"}, "max_options must be an integer from 1 to 26, got '4'"),
        (FlatObservation, {"vocabulary": 1}, "vocabulary must be an integer >= 2, got 1"),
        (FlatObservation, {"option_words": "4"}, "option_words must be an integer >= 1, got '4'"),
        (FlatObservation, {"frame_size": "16"}, "frame_size must be .* two integers >= 1, got '16'"),
        (FlatObservation, {"frame_size": 16}, "frame_size must be .* two integers >= 1, got 16"),
        (DefaultObservation, {"frame_size": [16, "16"]}, r"frame_size must be .* got \[16, '16'\]"),
    ],
)
def test_options_of_modules_are_refused_by_name(module: Any, settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(InvalidSetting, match=rf"^{module.__name__}: {fault}"):
        module(**settings)
