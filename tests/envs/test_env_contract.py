"""What gymnasium asks of every registered id, and what the class promises beyond that."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence

from vzgym.core.actions import Answer, Zoom
from vzgym.core.budget import Budget
from vzgym.core.errors import EpisodeEnded, InvalidSetting, TaskError, UnknownName, VideoError, VzgymError
from vzgym.envs import ENV_IDS, VideoZoomEnv, register_envs
from vzgym.envs.video_zoom import ResetNeeded
from vzgym.episode import Episode
from vzgym.tasks import SUITES, VideoTask, load_tasks
from vzgym.tasks.suite import Suite

GOOD_ZOOM = Zoom(4.0, 5.0, 4.0)


def make(id: str, **settings: Any) -> VideoZoomEnv:
    env = gymnasium.make(id, **settings).unwrapped
    assert isinstance(env, VideoZoomEnv)
    return env


# Every registered id ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", ENV_IDS)
def test_check_env_passes_without_a_warning(id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make(id))


@pytest.mark.parametrize("messages", [False, True])
@pytest.mark.parametrize("action", ["default", "text", "discrete"])
@pytest.mark.parametrize("observation", ["default", "compact", "dialogue"])
def test_check_env_passes_for_every_pair_of_modules(observation: str, action: str, messages: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make("VideoZoomTiny-v0", observation=observation, action=action, messages=messages))


@pytest.mark.parametrize("id", ENV_IDS)
def test_a_whole_episode_stays_in_its_spaces(id: str) -> None:
    env = make(id, render_mode="rgb_array", observation="default", action="default")
    observation, info = env.reset(seed=3)
    shown = [observation]
    zooms = env.budget.max_zooms
    for turn in range(zooms):
        start = info["duration"] * turn / (zooms + 1)
        action = (0, np.array([start, start + 1.0, 4.0]))
        assert action in env.action_space
        observation, reward, terminated, truncated, info = env.step(action)
        shown.append(observation)
        assert (info["outcome"], terminated, truncated, reward) == ("executed", False, False, 0.0)
        assert observation["num_frames"] == len(env.record.overview) + 4 * (turn + 1)
    observation, reward, terminated, truncated, info = env.step((1, "A"))
    shown.append(observation)
    assert terminated
    assert not truncated
    assert info["end"] == "answered"
    assert reward == pytest.approx(1.5 if info["correct"] else 0.1)
    for each in shown:
        assert env.observation_space.contains(each)
    picture = env.render()
    assert picture is not None
    assert picture.shape == (720, 1280, 3)
    assert picture.dtype == np.uint8
    assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0
    env.close()


@pytest.mark.parametrize("id", ENV_IDS)
def test_ids_play_their_suite_with_its_budget(id: str) -> None:
    env = make(id)
    suite = str(ENV_IDS[id]["tasks"])
    assert env.tasks.name == suite
    assert env.budget == load_tasks(suite).budget
    _, info = env.reset(seed=0)
    assert info["task_id"].startswith(f"{suite}/")


@pytest.mark.parametrize("id", ENV_IDS)
def test_a_spec_can_be_pickled_and_made_again(id: str) -> None:
    spec = pickle.loads(pickle.dumps(gymnasium.spec(id)))
    again = gymnasium.make(spec)
    first, _ = again.reset(seed=5)
    second, _ = gymnasium.make(id).reset(seed=5)
    assert data_equivalence(first, second, exact=True)


def test_a_spec_with_settings_survives_json() -> None:
    env = gymnasium.make("VideoZoomTiny-v0", observation="compact", reward={"accuracy": 1.0, "frame_cost": 0.01})
    assert env.spec is not None
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert isinstance(again.unwrapped, VideoZoomEnv)
    assert again.observation_space == env.observation_space
    assert set(again.unwrapped.reward.terms) == {"accuracy", "frame_cost"}


def test_registering_twice_changes_nothing() -> None:
    before = {id: gymnasium.spec(id) for id in ENV_IDS}
    register_envs()
    assert {id: gymnasium.spec(id) for id in ENV_IDS} == before


def test_gymnasium_finds_the_ids_by_module_name() -> None:
    code = "import gymnasium; print(gymnasium.make('vzgym:VideoZoomTiny-v0').unwrapped.tasks.name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tiny/train"]


# The same seed, the same bits --------------------------------------------------------------------------------------

HASHES = """
import hashlib, sys
import gymnasium, vzgym
for id in vzgym.envs.ENV_IDS:
    for observation in ("default", "compact"):
        env = gymnasium.make(id, observation=observation, action="default")
        digest = hashlib.blake2b()
        for seed in (0, 7):
            seen, info = env.reset(seed=seed)
            steps = [seen] + [env.step(a)[0] for a in (vzgym.Zoom(9.5, 11.0, 4.0), vzgym.Zoom(5, 2, 1))]
            steps += [env.reset()[0]]
            for seen in steps:
                for key in sorted(seen):
                    value = seen[key]
                    digest.update(value.encode() if isinstance(value, str) else value.tobytes())
        print(id, observation, digest.hexdigest())
"""


def test_the_same_seed_gives_the_same_bits_in_two_processes() -> None:
    found = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"}
        code = "import vzgym.envs\n" + HASHES
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        found.append(done.stdout.splitlines())
    assert len(found[0]) == 2 * len(ENV_IDS)
    suites = {settings["tasks"] for settings in ENV_IDS.values()}
    assert len({line.split()[-1] for line in found[0]}) == 2 * len(suites)
    assert found[0] == found[1]


def test_a_seed_decides_which_tasks_are_drawn() -> None:
    env = make("VideoZoomTiny-v0", observation="dialogue")

    def drawn(seed: int) -> list[str]:
        names = [env.reset(seed=seed)[1]["task_id"]]
        return names + [env.reset()[1]["task_id"] for _ in range(3)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert len(set(drawn(1))) == 4


def test_a_copy_of_an_episode_goes_on_on_its_own(env: VideoZoomEnv) -> None:
    env.reset(seed=1)
    env.step(GOOD_ZOOM)
    for copied in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        mine, theirs = env, copied
        assert data_equivalence(mine.observation.observe(mine.episode), theirs.observation.observe(theirs.episode))
        seen, reward, *_ = theirs.step(Answer("B"))
        assert reward == pytest.approx(1.5)
        assert "B" in seen["dialogue"]
        assert not mine.episode.ended
        assert theirs.reset()[1]["task_id"] == "small"
    assert data_equivalence(env.step(GOOD_ZOOM)[0]["num_frames"], np.int64(14))


# What is handed out belongs to the user ----------------------------------------------------------------------------


@pytest.mark.parametrize("observation", ["default", "compact", "dialogue"])
def test_writing_into_what_was_returned_changes_nothing(task: VideoTask, small: Budget, observation: str) -> None:
    def play(spoil: bool) -> list[Any]:
        env = VideoZoomEnv(task, observation=observation, budget=small, messages=False)
        seen: list[Any] = []
        for outcome in (env.reset(seed=0), env.step(GOOD_ZOOM), env.step(Zoom(3, 1, 1)), env.step(Answer("A"))):
            seen.append(copy.deepcopy(outcome))
            if spoil:
                for value in outcome[0].values():
                    if isinstance(value, np.ndarray):
                        value[...] = 77
                info: dict[str, Any] = outcome[-1]
                for term in info.get("reward_terms", {}).values():
                    term["value"] = 99.0
                info.clear()
        seen.append(env.record.rewards)
        return seen

    assert data_equivalence(play(spoil=True), play(spoil=False), exact=True)


def test_writing_into_a_rendered_picture_is_possible(task: VideoTask, small: Budget) -> None:
    env = VideoZoomEnv(task, budget=small, render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    assert first is not None
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(env.render(), kept)


# Rounds and ends ---------------------------------------------------------------------------------------------------


def test_acting_needs_a_reset(env: VideoZoomEnv) -> None:
    for act in (lambda: env.step(GOOD_ZOOM), lambda: env.episode, lambda: env.record):
        with pytest.raises(ResetNeeded, match=r"reset\(\)"):
            act()
    env.reset()
    env.step(Answer("A"))
    with pytest.raises(ResetNeeded, match="answered"):
        env.step(GOOD_ZOOM)
    env.reset()
    assert env.step(GOOD_ZOOM)[4]["outcome"] == "executed"


def test_reset_needed_is_known_by_everybody() -> None:
    for base in (gymnasium.error.ResetNeeded, EpisodeEnded, VzgymError, RuntimeError):
        assert issubclass(ResetNeeded, base)


def test_rendering_needs_a_reset_and_a_mode(task: VideoTask, small: Budget) -> None:
    env = VideoZoomEnv(task, budget=small, render_mode="rgb_array")
    with pytest.raises(ResetNeeded):
        env.render()
    silent = VideoZoomEnv(task, budget=small)
    silent.reset()
    assert silent.render() is None


def test_the_last_round_passing_terminates(env: VideoZoomEnv) -> None:
    env.reset()
    for _ in range(3):
        _, reward, terminated, truncated, info = env.step(Zoom(5, 4, 1))
        assert (reward, terminated, truncated, info["refusal"]) == (0.0, False, False, "reversed")
    observation, reward, terminated, truncated, info = env.step(GOOD_ZOOM)
    assert (reward, terminated, truncated) == (0.0, True, False)
    assert (info["refusal"], info["end"], info["grade"], info["correct"]) == (
        "last_round",
        "out_of_rounds",
        "missing",
        False,
    )
    assert observation["budget_left"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("zoom", "refusal"),
    [
        (Zoom(float("nan"), 2, 1), "not_finite"),
        (Zoom(1, float("inf"), 1), "not_finite"),
        (Zoom(3, 3, 1), "reversed"),
        (Zoom(-1, 2, 1), "outside"),
        (Zoom(10, 12.5, 1), "outside"),
        (Zoom(1, 2, 0.0), "fps_out_of_range"),
        (Zoom(1, 2, 9.0), "fps_out_of_range"),
        (Zoom(1, 3, 4.0), "too_many_frames"),
    ],
)
def test_a_bad_zoom_is_a_reply_that_uses_up_its_round(env: VideoZoomEnv, zoom: Zoom, refusal: str) -> None:
    before, _ = env.reset(seed=0)
    after, reward, terminated, truncated, info = env.step((0, [zoom.start, zoom.end, zoom.fps]))
    assert (info["outcome"], info["refusal"], reward, terminated, truncated) == ("refused", refusal, 0.0, False, False)
    assert after["budget_left"].tolist() == [2, 8, 3]
    assert before["budget_left"].tolist() == [3, 12, 4]
    np.testing.assert_array_equal(after["frames"], before["frames"])
    assert after["num_frames"] == before["num_frames"]
    assert after["dialogue"].startswith(before["dialogue"])
    assert refusal in after["dialogue"]
    assert "Rounds left: 3" in after["dialogue"]


# What info tells ---------------------------------------------------------------------------------------------------


def texts(value: Any) -> list[str]:
    """Every key and every text in nested data."""
    if isinstance(value, dict):
        return [text for item in value.items() for text in texts(list(item))]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in texts(item)]
    return [str(value)]


def test_info_gives_nothing_away_before_the_end(small: Budget, make_task: Callable[..., VideoTask]) -> None:
    # The answer is no option here, so that finding its text anywhere is a leak.
    task = make_task(options=(), answer="xylophone", question="What is heard?")
    env = VideoZoomEnv(task, budget=small, messages=True)
    for observation, *_, info in (env.reset(), env.step(GOOD_ZOOM), env.step(Zoom(1, 0, 1)), env.step(GOOD_ZOOM)):
        assert {"evidence", "answer", "grade", "correct", "end"}.isdisjoint(info)
        assert not any("xylophone" in text for text in texts([info, observation["dialogue"]]))
    assert env.step(Answer("a Xylophone."))[4]["grade"] == "correct"


def test_info_after_each_step(env: VideoZoomEnv) -> None:
    _, info = env.reset()
    assert info == {
        "task_id": "small",
        "question": "Où est l'été? 日本",
        "options": ("à gauche", "à droite", "nowhere"),
        "duration": 12.0,
    }
    *_, info = env.step(GOOD_ZOOM)
    assert info["reward_terms"]["accuracy"] == {"value": 0.0, "weight": 0.9, "status": "scored"}
    *_, info = env.step(Answer("(B)"))
    assert (info["grade"], info["correct"], info["reward_status"]) == ("correct", True, "scored")
    assert {name: term["value"] for name, term in info["reward_terms"].items()} == {
        "accuracy": 1.0,
        "format": 1.0,
        "conditional_tool": 1.0,
    }


def test_messages_come_only_when_asked_for(task: VideoTask, small: Budget) -> None:
    assert "messages" not in VideoZoomEnv(task, budget=small).reset()[1]
    env = VideoZoomEnv(task, budget=small, messages=True)
    _, info = env.reset()
    images = [block["image"] for block in info["messages"][0]["content"] if block["type"] == "image"]
    assert [image.size for image in images] == [(20, 12)] * 6
    *_, info = env.step(GOOD_ZOOM)
    assert [message["role"] for message in info["messages"]] == ["user", "assistant", "user"]
    assert sum(block["type"] == "image" for block in info["messages"][-1]["content"]) == 4


def test_the_record_is_complete_and_serialises(env: VideoZoomEnv) -> None:
    env.reset(seed=4)
    env.step(GOOD_ZOOM)
    env.step(Answer("B"))
    saved = json.loads(env.record.to_line())
    assert saved["info"]["interface"] == "gymnasium"
    assert saved["info"]["seed"] == 4
    assert [entry["total"] for entry in saved["rewards"]] == [0.0, 1.5]


# Which task is played ----------------------------------------------------------------------------------------------


def test_reset_takes_a_task_in_every_form(small: Budget, make_task: Callable[..., VideoTask]) -> None:
    tasks = [make_task("one"), make_task("two"), make_task("three")]
    env = VideoZoomEnv(tasks, budget=small)
    other = make_task("other")
    given: list[tuple[Any, str]] = [
        (other, "other"),
        (1, "two"),
        (np.int64(2), "three"),
        (-1, "three"),
        ("one", "one"),
        ("needle-tiny/test/17", "needle-tiny/test/17"),
    ]
    for option, id in given:
        assert env.reset(options={"task": option})[1]["task_id"] == id
    assert env.reset(seed=0, options={})[1]["task_id"] in {"one", "two", "three"}
    assert env.reset(seed=0, options={"task": None})[1]["task_id"] in {"one", "two", "three"}


def test_an_episode_is_gone_on_with(small: Budget, make_task: Callable[..., VideoTask]) -> None:
    env = VideoZoomEnv([make_task("one")], budget=small)
    env.reset()
    env.step(GOOD_ZOOM)
    whole = env.step(Answer("B"))
    ledger = env.record.rewards
    episode = Episode(make_task("one"), small)
    episode.step(GOOD_ZOOM)
    observation, info = env.reset(options={"episode": episode})
    assert info["task_id"] == "one"
    assert observation["budget_left"][0] == small.max_zooms - 1
    again = env.step(Answer("B"))
    assert again[1:4] == whole[1:4]
    assert env.record is episode.record
    assert env.record.rewards == ledger


def test_an_unregistered_suite_knows_its_tasks_by_id() -> None:
    suite = Suite("my-own", ({"name": "needle", "duration": 40.0, "scenes": 2},))
    env = VideoZoomEnv(suite("test"), observation="dialogue")
    assert env.reset(options={"task": "my-own/test/3"})[1]["task_id"] == "my-own/test/3"


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"tasks": 1}, InvalidSetting, "unknown reset option tasks; valid: task, episode"),
        ({"task": 1, "episode": None}, InvalidSetting, "got both"),
        ({"episode": "two"}, InvalidSetting, "takes an Episode, got 'two'"),
        ({"task": 2}, InvalidSetting, "index 2 is out of range"),
        ({"task": True}, InvalidSetting, "True"),
        ({"task": 1.5}, InvalidSetting, "1.5"),
        ({"task": "three"}, UnknownName, "one, two"),
        ({"task": "needle-tiny/tset/0"}, UnknownName, "test, train, validation"),
        ({"task": "nedle/test/0"}, UnknownName, "needle"),
    ],
)
def test_a_wrong_task_is_named(
    small: Budget, make_task: Callable[..., VideoTask], options: dict[str, Any], error: type[Exception], says: str
) -> None:
    env = VideoZoomEnv([make_task("one"), make_task("two")], budget=small)
    env.reset()
    with pytest.raises(error, match=says):
        env.reset(options=options)
    # Nor can the episode before it be played on by mistake.
    with pytest.raises(ResetNeeded):
        env.step(GOOD_ZOOM)


def test_a_suite_names_the_form_of_its_ids() -> None:
    with pytest.raises(TaskError, match="suite/split/index"):
        VideoZoomEnv("tiny/test").reset(options={"task": "banana"})


# Bad settings ------------------------------------------------------------------------------------------------------


def test_unknown_names_list_the_valid_ones(task: VideoTask) -> None:
    cases: tuple[tuple[dict[str, Any], list[str]], ...] = (
        ({"tasks": "neddle"}, SUITES.names()),
        ({"tasks": "needle/tset"}, ["train", "validation", "test"]),
        ({"observation": "defualt"}, ["default", "compact", "dialogue"]),
        ({"action": {"name": "txt"}}, ["default", "text", "discrete"]),
        ({"action": {"name": "text", "protocol": "tegs"}}, ["tags"]),
        ({"reward": "videozoom"}, ["videozoomer", "accuracy", "format"]),
        ({"reward": {"acuracy": 1.0}}, ["accuracy", "format"]),
    )
    for settings, valid in cases:
        with pytest.raises(UnknownName) as caught:
            VideoZoomEnv(**{"tasks": task} | settings)
        assert all(name in str(caught.value) for name in valid)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"render_mode": "human"}, "rgb_array"),
        ({"budget": {"max_zoom": 3}}, "max_zooms"),
        ({"budget": {"max_zooms": -1}}, "max_zooms"),
        ({"observation": {"name": "compact", "size": 3}}, "frame_size"),
        ({"observation": {"name": "compact", "frame_size": 64}}, "frame_size"),
        ({"observation": {"name": "default", "frame_size": (0, 64)}}, "frame_size"),
        ({"observation": {"name": "dialogue", "max_dialogue": 0}}, "max_length"),
        ({"observation": 3}, "observe, space"),
        ({"action": VideoZoomEnv}, "the class VideoZoomEnv"),
        ({"action": {"name": "discrete", "windows": 0}}, "windows"),
        ({"reward": {"accuracy": float("nan")}}, "accuracy"),
        ({"tasks": 3}, "tasks"),
    ],
)
def test_settings_that_cannot_work_are_named(task: VideoTask, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidSetting, match=says):
        VideoZoomEnv(**{"tasks": task, **settings})


# Unscored ----------------------------------------------------------------------------------------------------------


def test_an_open_question_without_an_answer_is_unscored(small: Budget, make_task: Callable[..., VideoTask]) -> None:
    env = VideoZoomEnv(make_task(options=(), answer="", evidence=None), budget=small)
    env.reset()
    assert env.step(GOOD_ZOOM)[4]["reward_status"] == "unscored"
    _, reward, terminated, truncated, info = env.step(Answer("a dog"))
    assert (reward, terminated, truncated) == (0.0, True, False)
    assert (info["reward_status"], info["grade"], info["correct"]) == ("unscored", "unscored", False)
    assert info["reward_terms"]["accuracy"] == {"value": None, "weight": 0.9, "status": "unscored"}
    assert env.record.rewards is not None
    assert env.record.rewards[-1]["total"] is None


def test_a_video_that_breaks_in_mid_episode_truncates_unscored(
    small: Budget, make_task: Callable[..., VideoTask]
) -> None:
    env = VideoZoomEnv(make_task(breaks_at=2), budget=small, render_mode="rgb_array")
    env.reset()
    assert env.step(GOOD_ZOOM)[4]["outcome"] == "executed"
    observation, reward, terminated, truncated, info = env.step(GOOD_ZOOM)
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert (info["outcome"], info["end"], info["grade"]) == ("failed", "video_error", "unscored")
    assert info["reward_status"] == "unscored"
    assert env.observation_space.contains(observation)
    assert observation["num_frames"] == 10
    assert env.render() is not None
    with pytest.raises(ResetNeeded, match="video_error"):
        env.step(Answer("B"))


def test_a_video_that_cannot_be_read_at_all_is_an_error(small: Budget, make_task: Callable[..., VideoTask]) -> None:
    env = VideoZoomEnv(make_task("broken", breaks_at=0), budget=small)
    with pytest.raises(VideoError, match=r"array:broken at 0\.000 s"):
        env.reset()
    with pytest.raises(ResetNeeded):
        env.step(Answer("B"))


def test_a_missing_file_is_an_error_with_its_path(small: Budget) -> None:
    task = VideoTask.from_file("no/such/film.mp4", "What happens?")
    with pytest.raises(VideoError, match=r"no/such/film\.mp4"):
        VideoZoomEnv(task, budget=small).reset()


def test_closing_is_allowed_at_any_time(env: VideoZoomEnv) -> None:
    env.close()
    env.reset()
    env.close()
    env.close()
    assert env.reset()[0]["num_frames"] == 6


@pytest.mark.parametrize("id", ENV_IDS)
def test_a_window_is_refused_when_the_environment_is_made(id: str) -> None:
    with pytest.raises(InvalidSetting, match=r"HumanRendering.*: vzgym play"):
        gymnasium.make(id, render_mode="human")
    assert gymnasium.make(id, render_mode="rgb_array_list").render_mode == "rgb_array_list"
