"""Contract of environments: gymnasium's checks, and further rules."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array

from vzgym.testing import scenes
from vzgym.testing.report import ConformanceReport, ContractViolation, NotApplicable, Rule, apply_rules, need

__all__ = ["check_environment"]

_STEPS = 8
_SEED = 11

MakeEnv = Callable[[], "gymnasium.Env[Any, Any]"]


def _actions(env: gymnasium.Env[Any, Any], count: int = _STEPS) -> list[Any]:
    env.action_space.seed(_SEED)
    return [env.action_space.sample() for _ in range(count)]


def _run(env: gymnasium.Env[Any, Any], actions: list[Any], spoil: bool = False) -> list[Any]:
    """Everything that the environment returns; it is reset whenever an episode ends.

    Args:
        env: The environment.
        actions: The actions to take.
        spoil: Overwrite every observation after it was recorded.
    """
    said: list[Any] = []

    def note(*values: Any) -> None:
        said.append(scenes.copied(values))
        if spoil:
            for array in scenes.arrays_in(values[0]):
                array[...] = 1

    observation, info = env.reset(seed=_SEED)
    note(observation, _facts(info))
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        note(observation, reward, terminated, truncated, _facts(info))
        if terminated or truncated:
            observation, info = env.reset()
            note(observation, _facts(info))
    return said


def _facts(info: dict[str, Any]) -> dict[str, Any]:
    # Pictures are compared in observations; messages hold them as objects.
    return {key: value for key, value in info.items() if key != "messages"}


def _e_gymnasium(make: MakeEnv) -> None:
    with closing(make()) as env, warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            check_env(env.unwrapped, skip_render_check=True)
        except (AssertionError, UserWarning, ValueError, TypeError, gymnasium.error.Error) as error:
            raise ContractViolation(f"gymnasium's check_env reports: {error}") from error


def _e_seeded(make: MakeEnv) -> None:
    with closing(make()) as first, closing(make()) as second:
        actions = _actions(first)
        one, two = _run(first, actions), _run(second, actions)
        again = _run(first, actions)
    for other, what in ((two, "two environments"), (again, "one environment, reset again,")):
        place = scenes.differ(one, other)
        need(place is None, f"with the same seed and actions {what} differ at {place}: draw from self.np_random alone")


def _e_alias(make: MakeEnv) -> None:
    with closing(make()) as kept, closing(make()) as spoiled:
        actions = _actions(kept)
        place = scenes.differ(_run(kept, actions), _run(spoiled, actions, spoil=True))
    need(
        place is None,
        f"changes to a returned observation appear in later ones, at {place}: return fresh arrays at every step",
    )
    with closing(make()) as env:
        observation, _ = env.reset(seed=_SEED)
        before = scenes.copied(observation)
        for action in _actions(env, 3):
            if any(env.step(action)[2:4]):
                break
        place = scenes.differ(before, observation)
    need(place is None, f"an observation changes after it was returned, at {place}: return fresh arrays at every step")


def _e_vector(make: MakeEnv) -> None:
    single = [make(), make()]
    vectors: list[Any] = [
        SyncVectorEnv([make, make]),
        AsyncVectorEnv([make, make], shared_memory=True),
        AsyncVectorEnv([make, make], shared_memory=False),
    ]
    names = ("SyncVectorEnv", "AsyncVectorEnv with shared memory", "AsyncVectorEnv without shared memory")
    try:
        spaces = [env.action_space for env in single]
        for place, space in enumerate(spaces):
            space.seed(place)
        seen = [env.reset(seed=_SEED + place)[0] for place, env in enumerate(single)]
        for vector, name in zip(vectors, names, strict=True):
            _alike(vector.reset(seed=[_SEED, _SEED + 1])[0], seen, name, "after reset")
        for step in range(4):
            actions = [space.sample() for space in spaces]
            came = [env.step(action) for env, action in zip(single, actions, strict=True)]
            empty: Any = create_empty_array(spaces[0], 2)
            batch = concatenate(spaces[0], actions, empty)
            for vector, name in zip(vectors, names, strict=True):
                _alike(vector.step(batch)[0], [item[0] for item in came], name, f"after step {step + 1}")
            if any(item[2] or item[3] for item in came):
                break
    finally:
        for env in (*single, *vectors):
            env.close()


def _alike(batch: Any, single: list[Any], vector: str, when: str) -> None:
    for place, wanted in enumerate(single):
        found = _row(batch, place)
        where = scenes.differ(_plain(wanted), _plain(found))
        need(
            where is None,
            f"{vector} gives worker {place} another observation than a single environment {when}, at {where}: its "
            "spaces must batch and share memory (text: vzgym.envs.UnicodeText, not gymnasium's Text)",
        )


def _row(batch: Any, place: int) -> Any:
    if isinstance(batch, dict):
        return {key: _row(value, place) for key, value in batch.items()}
    return batch[place]


def _plain(value: Any) -> Any:
    """Convert NumPy scalars to arrays, since vector environments return them as rows."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return np.asarray(value) if isinstance(value, (np.ndarray, np.generic, int, float)) else value


def _e_sb3(make: MakeEnv) -> None:
    if importlib.util.find_spec("stable_baselines3") is None:
        raise NotApplicable("stable-baselines3 is not installed")
    from stable_baselines3.common.env_checker import check_env as check_sb3

    with closing(make()) as env:
        seen = env.observation_space
        parts = list(seen.spaces.values()) if isinstance(seen, Dict) else [seen]
        if not all(isinstance(part, (Box, Discrete, MultiBinary, MultiDiscrete)) for part in parts):
            raise NotApplicable("its observation holds text or nested parts, which stable-baselines3 does not support")
        if not isinstance(env.action_space, (Box, Discrete, MultiBinary, MultiDiscrete)):
            raise NotApplicable("stable-baselines3 does not support its type of action space")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # Stacks of frames are four-dimensional; a features extractor reads them.
            warnings.filterwarnings("ignore", message=".*unconventional shape.*")
            warnings.filterwarnings("ignore", message=".*has no render_mode.*|.*render_mode.*")
            try:
                check_sb3(env.unwrapped, skip_render_check=True)
            except (AssertionError, UserWarning, ValueError, TypeError) as error:
                raise ContractViolation(f"stable-baselines3's check_env reports: {error}") from error


ENVIRONMENT_RULES: tuple[Rule[MakeEnv], ...] = (
    Rule("passes gymnasium's check_env without a warning", _e_gymnasium),
    Rule("the same seed and actions give the same episodes", _e_seeded),
    Rule("returned observations are independent of the environment's state", _e_alias),
    Rule("vector environments return what single ones return, text included", _e_vector),
    Rule("passes stable-baselines3's check_env", _e_sb3),
)


def check_environment(make: MakeEnv, subject: str = "") -> ConformanceReport:
    """Check an environment.

    Args:
        make: Factory; must be picklable by cloudpickle, for gymnasium's vector environments.
        subject: For the report.
    """
    name = subject or str(getattr(make, "__name__", make))
    return apply_rules("environment", name, ENVIRONMENT_RULES, partial(_same, make))


def _same(make: MakeEnv) -> MakeEnv:
    return make
