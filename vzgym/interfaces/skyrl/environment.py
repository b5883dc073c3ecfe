"""An `Episode` as an environment of skyrl-gym, for SkyRL's generator of vision-language models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import skyrl_gym
from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput

from vzgym.core.errors import EpisodeEnded, InvalidSetting
from vzgym.episode import Message
from vzgym.interfaces.rollouts import TextRollout, shared_rollouts
from vzgym.protocols import as_chat
from vzgym.video.images import ImageEncoder

__all__ = ["ENV_CLASS", "SkyRLVideoZoom", "register"]

ENV_CLASS: Final = "video_zoom"
"""The name under which `register` registers the environment, as rows name it (`env_class`)."""


class SkyRLVideoZoom(BaseTextEnv):  # type: ignore[misc]
    """An episode of the task that a row names.

    `init` returns the whole opening (rules, overview, question) as chat messages with `image_url` blocks, whatever the
    row's prompt is; `step` reads the model's turn through the protocol, and returns the clip as a user's message.

    An unscored turn or episode has the reward 0.0, and `get_metrics` has `unscored`; metrics that are unknown are left
    out, so that SkyRL's means are over the roll-outs that have them.

    Args:
        env_config: Settings from the trainer's configuration; they replace those of `settings`.
        extras: The row's other columns. `extra_info` names the task: `{"tasks": "tiny/train", "index": 3}`. `max_turns`
            is SkyRL's `generator.max_turns`.
        image_encoder: Options of `ImageEncoder`: `format`, `quality`, `max_pixels`, `detail`.
        settings: Of `TextRollouts`, as JSON values: `reward`, `protocol`, `budget`, `tools`, `subtitles`, `records`,
            `root`.

    Raises:
        TaskError: If the row names no task.
        InvalidSetting: If a setting is unknown or invalid, or `max_turns` is less than the rounds of an episode.
    """

    def __init__(
        self,
        env_config: Mapping[str, Any] | None = None,
        extras: Mapping[str, Any] | None = None,
        *,
        image_encoder: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        self._rollouts = shared_rollouts("skyrl", {**settings, **dict(env_config or {})})
        self._images = ImageEncoder(**dict(image_encoder or {}))
        self._row = dict(extras or {}).get("extra_info")
        self._rollout: TextRollout | None = None
        _, budget = self._rollouts.find(self._row)
        self.max_turns = int(dict(extras or {}).get("max_turns") or budget.max_rounds)
        if self.max_turns < budget.max_rounds:
            raise InvalidSetting(
                f"generator.max_turns is {self.max_turns}, but an episode has up to {budget.max_rounds} rounds, which "
                f"its agent is told: set generator.max_turns={budget.max_rounds}"
            )

    @property
    def rollout(self) -> TextRollout:
        """The roll-out.

        Raises:
            EpisodeEnded: Before `init`.
        """
        if self._rollout is None:
            raise EpisodeEnded("call init() first")
        return self._rollout

    def init(self, prompt: Any = None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Start the episode.

        Args:
            prompt: The row's; not used.

        Returns:
            The opening as chat messages, and no information.

        Raises:
            VideoError: If the video cannot be opened or its overview cannot be decoded: SkyRL has no unscored
                roll-outs, and a broken video is no wrong answer.
        """
        self._rollout = self._rollouts.start(self._row)
        self.turns = 0
        return self._chat(self._rollout.episode.messages), {}

    def step(self, action: str) -> Any:
        """Play a turn.

        Args:
            action: The model's whole turn.

        Returns:
            `observations` (the environment's new messages), `reward` of the turn, `done`, and `metadata` with the raw
            value, weight and status of each term in `reward_terms`, `reward_status`, and at the end `grade` and
            `truncated`.

        Raises:
            EpisodeEnded: If the episode is over, or was not started.
        """
        rollout = self.rollout
        replies = rollout.step(action)
        self.turns += 1
        record = rollout.record
        entry = (record.rewards or [])[-1]
        metadata: dict[str, Any] = {
            "reward_terms": entry["terms"],
            "reward_status": "unscored" if entry["total"] is None else "scored",
        }
        if record.grade is not None:
            metadata.update(grade=str(record.grade.status), truncated=rollout.episode.truncated)
        return BaseTextEnvStepOutput(
            observations=[] if rollout.ended else self._chat(replies),
            reward=rollout.latest_reward,
            done=rollout.ended,
            metadata=metadata,
        )

    def get_metrics(self) -> dict[str, float]:
        """Numbers about the roll-out (`TextRollout.measures`) without those that are unknown.

        A roll-out that SkyRL has ended, because its next input was too long, is brought to its end with empty turns.
        """
        if self._rollout is None:
            return {}
        self._rollout.finish()
        return {name: value for name, value in self._rollout.measures.items() if value is not None}

    def close(self) -> None:
        """End the episode, save its record, and release its video."""
        if self._rollout is not None:
            self._rollout.finish()

    def _chat(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        return self._images.in_chat(as_chat(messages))


def register(env_class: str = ENV_CLASS, **settings: Any) -> None:
    """Register the environment with skyrl-gym, in the process of the trainer's entry point.

    Args:
        env_class: The name that rows use.
        settings: Of `SkyRLVideoZoom`, the same for all episodes.

    Raises:
        InvalidSetting: If a setting is invalid, so that a run does not start with it, or the name is taken by another
            environment.
    """
    known = skyrl_gym.registry.get(env_class)
    place = f"{__name__}:{SkyRLVideoZoom.__name__}"
    if known is not None and known.entry_point != place:
        raise InvalidSetting(f"skyrl-gym has another environment named {env_class!r}: choose another env_class")
    ImageEncoder(**dict(settings.get("image_encoder") or {}))
    shared_rollouts("skyrl", {name: value for name, value in settings.items() if name != "image_encoder"})
    if known is not None:
        skyrl_gym.envs.deregister(env_class)
    skyrl_gym.register(id=env_class, entry_point=place, kwargs=settings)
