"""The gymnasium environment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium.spaces import OneOf
from numpy.typing import NDArray

from vzgym.core.errors import EpisodeEnded, InvalidSetting, TaskError, UnknownName
from vzgym.envs.actions import ACTIONS, ActionModule, decode
from vzgym.envs.observations import OBSERVATIONS, ObservationModule
from vzgym.envs.rendering import draw_episode
from vzgym.envs.spaces import ZoomBox
from vzgym.episode.episode import Episode
from vzgym.episode.record import EpisodeRecord
from vzgym.protocols.chat import as_chat
from vzgym.rewards.making import RewardSpec, make_reward
from vzgym.tasks import BudgetSpec, TaskList, TaskSet, get_task, load_tasks, resolve_budget
from vzgym.tasks.suite import ProceduralTasks
from vzgym.tasks.task import VideoTask
from vzgym.tasks.task_set import is_task_number
from vzgym.tasks.task_slice import TaskSlice
from vzgym.tools.base import ToolSpec
from vzgym.tools.extras import Extras

__all__ = ["ModuleSpec", "ResetNeeded", "VideoZoomEnv"]

ModuleSpec: TypeAlias = "str | Mapping[str, Any]"
"""A module by name, by `"module:Class"`, or as `{"name": ..., **options}`."""


# Most ids that an error lists: a file may hold thousands of tasks.
_IDS_SHOWN = 20


class ResetNeeded(EpisodeEnded, gymnasium.error.ResetNeeded):
    """`step` or `render` was called before `reset`, or `step` after the episode's end."""


class VideoZoomEnv(gymnasium.Env[Any, Any]):
    """Environment for answering questions about long videos by zooming into short intervals.

    ## Description

    Each episode is one question about one video. The agent first sees an overview: a few frames, far apart. In each
    round it either zooms (requests the frames of a short interval at a higher frame rate) or answers. The setting and
    the budgets are those of *VideoZoomer: Reinforcement-Learned Temporal Focusing for Long Video Reasoning*
    (arXiv 2512.22315).

    ## Action Space

    `action="default"`: `OneOf((Box float64 (3,), UnicodeText))`. `(0, [start, end, fps])` zooms into `[start, end)`
    seconds at `fps`; `(1, "B")` answers. `vzgym.Zoom(start, end, fps)` and `vzgym.Answer("B")` are accepted too,
    `vzgym.Zooms((zoom, zoom))` where the budget allows several zooms in a turn (`zooms_per_turn`), and
    `vzgym.ToolCall(name, arguments)`. The space is the same for every video; its samples are zooms into the video of
    the current episode.

    `action="text"`: `UnicodeText`, a language model's raw text in the paper's tags. `action="discrete"`: one flat
    `Discrete` (windows x frame rates, then options) with a mask of the valid actions. `action="continuous"`: a `Box` of
    numbers in [-1, 1]. Others: `vzgym.envs.ACTIONS`. A value that is not an action raises `ActionTypeError`.

    A zoom asks for `n = ceil((end - start) * fps - 1e-6)` frames at `start + i / fps`. It is refused if it is not
    finite, reversed, outside the video, of more than `clip_frames` frames, outside the fps bounds, or made in the last
    round. A refused zoom uses up the round, and the dialogue gives the reason. The zooms of a turn share `clip_frames`
    and are executed or refused together.

    ## Observation Space

    `observation="default"`: `Dict`:

    | key | space | meaning |
    |---|---|---|
    | `frames` | `Box` uint8 `(capacity, 64, 64, 3)` | every frame so far, RGB, letterboxed; padding 0 |
    | `frame_times` | `Box` float64 `(capacity,)` | the frames' times in seconds; padding -1 |
    | `num_frames` | `Discrete(capacity + 1)` | number of frames so far |
    | `budget_left` | `Box` int32 `(3,)` | zooms, frames, rounds left |
    | `dialogue` | `UnicodeText(8192)` | question, options, replies |

    `observation="compact"` holds the latest clip only, `observation="dialogue"` no frames, `observation="flat"` arrays
    only (for Stable-Baselines3 and the like). Arrays are fresh each step.

    ## Information

    `info` always has `task_id`, `question`, `options`, `duration`, and with tools their descriptions
    in `tools`; after a step `outcome`, `refusal`, `reward_terms`
    (each module's raw `value`, `weight`, `status`) and `reward_status`; at the end `end`, `grade` and `correct`. With
    `action="discrete"` it has `action_mask`, bool, one entry for each action. With `messages=True` it has `messages`:
    chat messages with `PIL` images in native aspect. It never contains the evidence or the right answer.

    ## Rewards

    `reward="videozoomer"`: 0.9 accuracy + 0.1 format + 0.5 for a right answer after an executed zoom, at the end.
    Others by preset, by weights (`{"accuracy": 0.9, "format": 0.1}`) or as module objects. A module without a score
    is *unscored* and adds nothing. If accuracy is unscored (no known answer, video error) the reward is 0.0 and
    `info["reward_status"]` is "unscored".

    ## Starting State

    A task drawn uniformly from `tasks` by the seeded generator, and its overview. `reset(options={"task": ...})` takes
    a `VideoTask`, an index into `tasks` or a task's id instead; `reset(options={"episode": ...})` continues an
    `Episode`.

    ## Episode End

    *Terminated*: by an answer, or after the last of the `max_zooms + 1` rounds. *Truncated*: only by a video error
    during the episode.

    ## Registered Configurations

    | id | tasks | video | overview | zooms | observation |
    |---|---|---|---|---|---|
    | `VideoZoom-v0` | `standard` | 189 s, 144x256, 25 fps | 64 frames | 4 of 16 frames | 128 frames of 64x64 |
    | `VideoZoomTiny-v0` | `tiny` | 64 s, 64x64, 10 fps | 16 frames | 3 of 8 frames | 40 frames of 64x64 |
    | `VideoZoomTinyArrays-v0` | `tiny` | 64 s, 64x64, 10 fps | 16 frames | 3 of 8 frames | 40 frames of 16x16 |
    | `VideoZoomSpatial-v0` | `spatial` | 189 s, 708x1272, 25 fps | 64 frames | 4 of 16 frames | 128 frames of 64x64 |

    `VideoZoomTinyArrays-v0` has `observation="flat"` and `action="discrete"`: `PPO("MultiInputPolicy", env)` takes it.
    `VideoZoomSpatial-v0` allows spatial zooms: `vzgym.Zoom(start, end, fps, region=vzgym.Region(...))`.
    Its videos are 708x1272 if the question is about text, else 144x256. Each suite cycles through its families
    (`vzgym tasks list`).

    ## Vectorization

    `gymnasium.make_vec(id, num_envs=8)` runs the environments in one process, where they share decoded frames;
    `vectorization_mode="async"` runs each in its own process. Text observations are a tuple of strings. Masks are in
    `infos["action_mask"]`, shape `(num_envs, n)`, or come from `envs.unwrapped.call("action_masks")`. A vector
    environment's `action_space` is a copy: its samples are drawn for the first task's video.

    ## Arguments

    ```python
    >>> import gymnasium as gym, vzgym
    >>> env = gym.make("VideoZoomTiny-v0", reward={"accuracy": 1.0, "frame_cost": 0.001})
    >>> observation, info = env.reset(seed=0)
    >>> observation, reward, terminated, truncated, info = env.step(vzgym.Zoom(4.0, 6.0, fps=4))
    >>> info["outcome"]
    'executed'

    ```

    Args:
        tasks: A suite ("needle", "needle/test"), a JSONL file, a `VideoTask`, a sequence of them, or a task set.
        observation: Observation module: name, mapping or object.
        action: Action module: name, mapping or object.
        reward: Reward: preset, weights, objects or a `RewardMix`.
        tools: Tools that the agent may call beside the zoom (`vzgym.tools`): names, mappings or objects.
        subtitles: Where the dialogue shows the tasks' subtitles: "none", "overview", "clips" or "all"; see `Episode`.
            Default: as each task says (`VideoTask.show_subtitles`).
        budget: A mapping overrides fields of the tasks' budget; a `Budget`, or a name ("paper"), replaces it.
        render_mode: "rgb_array" or None.
        messages: Whether `info["messages"]` is filled.

    Raises:
        UnknownName: If a suite, module or preset does not exist; lists those that do.
        InvalidSetting: If a setting is invalid.

    ## References

    * *VideoZoomer: Reinforcement-Learned Temporal Focusing for Long Video Reasoning*, ICLR 2026,
      [arXiv:2512.22315](https://arxiv.org/abs/2512.22315): the setting, the budget of `VideoZoom-v0` and the reward.

    ## Version History

    * v0: first version.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - as gymnasium declares it
        "render_modes": ["rgb_array"],
        "render_fps": 1,
    }

    def __init__(
        self,
        tasks: str | os.PathLike[str] | VideoTask | Sequence[VideoTask] | TaskSet = "standard/train",
        observation: ModuleSpec | ObservationModule = "default",
        action: ModuleSpec | ActionModule = "default",
        reward: RewardSpec = "videozoomer",
        tools: ToolSpec | Sequence[ToolSpec] | None = None,
        subtitles: str | None = None,
        budget: BudgetSpec = None,
        render_mode: str | None = None,
        messages: bool = False,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise InvalidSetting(
                f"render_mode must be 'rgb_array' or None, got {render_mode!r}; to see an episode in a window, wrap "
                "the environment: gymnasium.wrappers.HumanRendering(gym.make(..., render_mode='rgb_array')); to play "
                "episodes yourself: vzgym play"
            )
        self.tasks: TaskSet = load_tasks(tasks)
        self.budget = resolve_budget(budget, self.tasks)
        self.observation: ObservationModule = OBSERVATIONS.make(observation)
        _check_module(self.observation, ObservationModule, "observation")
        self.action: ActionModule = ACTIONS.make(action)
        _check_module(self.action, ActionModule, "action")
        self.reward = make_reward(reward)
        self.extras = Extras.make(tools, subtitles)
        self.extras.load()
        self.render_mode = render_mode
        self.with_messages = messages
        self.observation_space = self.observation.space(self.budget)
        self.action_space = self.action.space(self.budget)
        spaces = self.action_space.spaces if isinstance(self.action_space, OneOf) else (self.action_space,)
        self._zoom_boxes = [space for space in spaces if isinstance(space, ZoomBox)]
        whole = self.tasks.tasks if isinstance(self.tasks, TaskSlice) else self.tasks
        if isinstance(whole, ProceduralTasks):
            self._sample_zooms_in(self.tasks[0].video.duration)
        self._episode: Episode | None = None

    @property
    def episode(self) -> Episode:
        """The current episode: in progress, or just ended.

        Raises:
            ResetNeeded: Before the first `reset`.
        """
        if self._episode is None:
            raise ResetNeeded("call reset() first")
        return self._episode

    @property
    def record(self) -> EpisodeRecord:
        """The record of the episode, with the reward ledger.

        Raises:
            ResetNeeded: Before the first `reset`.
        """
        return self.episode.record

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seeds the generator that draws tasks.
            options: `{"task": ...}` names the task: a `VideoTask`, an index into `tasks`, or a task's id.
                `{"episode": ...}` continues an `Episode`, which must have this environment's wording.

        Raises:
            VideoError: If the task's video cannot be opened or its overview cannot be decoded.
            InvalidSetting: If `options` has another key, or no task has that index.
            UnknownName: If no task has that id.
            TaskError: If the id is malformed and not in `tasks`, or if the task's evidence lies outside its video.
        """
        super().reset(seed=seed)
        self._episode = None  # a failed reset must not leave the previous episode playable
        options = options or {}
        _check_reset_options(options)
        episode = options.get("episode")
        self._episode = episode or self.extras.episode(self._choose(options), self.budget, self.action.wording)
        self._sample_zooms_in(self.record.task.duration)
        self.record.rewards = [reward.to_json() for reward in self.reward.score_all(self.record)]
        self.record.set_info(interface="gymnasium", seed=seed)
        return self.observation.observe(self._episode), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Play one round; see the class docstring.

        Raises:
            ResetNeeded: If the episode has ended or was not started.
            ActionTypeError: If `action` is not an action.
            InvalidSetting: If the action module returns anything but a `DecodedAction`.
        """
        episode = self.episode
        if episode.ended:
            raise ResetNeeded(f"the episode has ended ({episode.record.end}): call reset()")
        decoded = decode(self.action, action, episode)
        turn = episode.step(decoded.action, text=decoded.text, well_formed=decoded.well_formed)
        reward = self.reward.score(self.record)
        assert self.record.rewards is not None  # created by reset
        entry = reward.to_json()
        self.record.rewards.append(entry)
        info = self._info()
        info["outcome"] = str(turn.outcome)
        info["refusal"] = str(turn.refusal) if turn.refusal else ""
        # Copies, so that changes to `info` do not change the ledger.
        info["reward_terms"] = {name: dict(term) for name, term in entry["terms"].items()}
        info["reward_status"] = reward.status
        if self.record.end is not None and self.record.grade is not None:
            info["end"] = str(self.record.end)
            info["grade"] = str(self.record.grade.status)
            info["correct"] = self.record.grade.is_correct
        total = 0.0 if reward.total is None else reward.total
        terminated = episode.ended and not episode.truncated
        return self.observation.observe(episode), total, terminated, episode.truncated, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Mask of the actions that are valid now, bool, shape `(n,)`; `info["action_mask"]` holds the same.

        `sb3_contrib.MaskablePPO` calls it. In a vector environment: `envs.unwrapped.call("action_masks")`.

        Raises:
            InvalidSetting: If the action module has no masks.
            ResetNeeded: Before the first `reset`.
        """
        mask = getattr(self.action, "mask", None)
        if mask is None:
            raise InvalidSetting(f"action module {type(self.action).__name__} has no masks; 'discrete' has")
        masks: NDArray[np.bool_] = mask(self.episode)
        return masks

    def render(self) -> NDArray[np.uint8] | None:
        """Render the episode as a picture, uint8 `(720, 1280, 3)`; None without a render mode.

        Raises:
            ResetNeeded: Before the first `reset`.
        """
        return draw_episode(self.record) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Release the current video's decoder."""
        if self._episode is not None:
            self._episode.task.video.close()

    def _sample_zooms_in(self, duration: float) -> None:
        """Set the video length in seconds that the action space samples zooms for."""
        for box in self._zoom_boxes:
            box.duration = duration

    def _choose(self, options: dict[str, Any]) -> VideoTask:
        match options.get("task"):
            case None:
                return self.tasks[int(self.np_random.integers(len(self.tasks)))]
            case VideoTask() as task:
                return task
            case bool() as other:
                raise InvalidSetting(f"options['task'] takes a VideoTask, an index or an id, got {other!r}")
            case int() | np.integer() as index:
                if not -len(self.tasks) <= index < len(self.tasks):
                    raise InvalidSetting(
                        f"options['task']: {self.tasks!r} has {len(self.tasks)} tasks, index {index} is out of range"
                    )
                return self.tasks[int(index)]
            case str() as name:
                return self._named(name)
            case other:
                raise InvalidSetting(f"options['task'] takes a VideoTask, an index or an id, got {other!r}")

    def _named(self, name: str) -> VideoTask:
        """Find a task by id: one of `tasks`, or any procedural task."""
        listed = tuple(self.tasks) if isinstance(self.tasks, TaskList) else ()
        for task in listed:
            if task.id == name:
                return task
        # A suite passed as an object may be unregistered.
        prefix, _, number = name.rpartition("/")
        if prefix == self.tasks.name and is_task_number(number) and int(number) < len(self.tasks):
            return self.tasks[int(number)]
        try:
            return get_task(name)
        except TaskError:
            if not listed:
                raise
            ids = [task.id for task in listed[:_IDS_SHOWN]]
            raise UnknownName("task", name, ids, f"{len(listed)} tasks in all; or 'suite/split/index'.") from None

    def _info(self) -> dict[str, Any]:
        facts = self.record.task
        info: dict[str, Any] = {
            "task_id": facts.id,
            "question": facts.question,
            "options": facts.options,
            "duration": facts.duration,
        }
        if self.record.tools:
            info["tools"] = [tool.as_function() for tool in self.record.tools]
        if hasattr(self.action, "mask"):
            info["action_mask"] = self.action_masks()
        if self.with_messages:
            info["messages"] = as_chat(self.episode.messages)
        return info


def _check_reset_options(options: Mapping[str, Any]) -> None:
    unknown = sorted(set(options) - {"task", "episode"})
    if unknown:
        raise InvalidSetting(f"unknown reset option {', '.join(unknown)}; valid: task, episode")
    if len(options) > 1:
        raise InvalidSetting("reset takes either the option task or the option episode, got both")
    episode = options.get("episode")
    if not (episode is None or isinstance(episode, Episode)):
        raise InvalidSetting(f"options['episode'] takes an Episode, got {episode!r}")


def _check_module(module: object, protocol: type, kind: str) -> None:
    """Raise if an object given as a module lacks its methods; a common mistake is to pass the class."""
    if isinstance(module, type) or not isinstance(module, protocol):
        given = f"the class {module.__name__}" if isinstance(module, type) else repr(module)
        parts = ", ".join(sorted(name for name in vars(protocol) if not name.startswith("_")))
        raise InvalidSetting(
            f"{kind} takes a name, 'module:Class', a mapping with 'name', or an object with {parts}; got {given}"
        )
