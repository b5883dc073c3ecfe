"""The environment for VAGEN: see README.md."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any

from omegaconf import OmegaConf
from PIL import Image
from vagen.envs.gym_image_env import GymImageEnv

from vzgym.episode import ImageBlock, Message
from vzgym.interfaces import load_confined
from vzgym.interfaces.rollouts import TextRollout, shared_rollouts

# VAGEN puts pictures where its text has the first of these, and looks for videos at the second.
PLACEHOLDER = "<image>"
_PLACEHOLDERS = re.compile("<(image|video)>")


class VideoZoom(GymImageEnv):
    """An episode in the form of VAGEN; the seed of `reset` is the index of the task, modulo their number.

    Args:
        env_config: `tasks` (a suite or a file of tasks), and the settings of `vzgym.interfaces.rollouts.TextRollouts`:
            `reward`, `protocol`, `budget`, `tools`, `subtitles`, `records`, `root`.
    """

    def __init__(self, env_config: Any) -> None:
        super().__init__(env_config)
        settings: Any = OmegaConf.to_container(OmegaConf.create(env_config), resolve=True)
        self._tasks = settings.pop("tasks", "needle/train")
        self._rollouts = shared_rollouts("vagen", settings)
        self._rollout: TextRollout | None = None

    async def reset(self, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start the episode of a task: the overview and the question."""
        self._rollout = await asyncio.to_thread(self._start, seed)
        return observation(self._rollout.episode.messages[-1:]), {"task_id": self._rollout.record.task.id}

    async def system_prompt(self) -> dict[str, Any]:
        """The rules of the protocol. VAGEN asks for them after `reset`."""
        return observation(self._playing.episode.messages[:-1])

    async def step(self, action_str: str) -> tuple[dict[str, Any], float, bool, dict[str, Any]]:
        """Play a turn. A turn that cannot be scored has the reward 0.0, and its `info` says `unscored`."""
        rollout = self._playing
        replies = await asyncio.to_thread(rollout.step, action_str)
        info: dict[str, Any] = {"format_correct": rollout.record.turns[-1].well_formed, "success": False}
        if rollout.ended:
            measures = rollout.measures
            info.update(success=measures["correct"] == 1.0, unscored=bool(measures["unscored"]), measures=measures)
        return observation(replies), rollout.latest_reward, rollout.ended, info

    async def close(self) -> None:
        """End the episode; a record, if any is saved, is complete then."""
        if self._rollout is not None:
            await asyncio.to_thread(self._rollout.finish)

    def _start(self, seed: int) -> TextRollout:
        count = len(load_confined(self._tasks, split="train", root=self._rollouts.root))
        return self._rollouts.start({"tasks": self._tasks, "index": seed % count})

    @property
    def _playing(self) -> TextRollout:
        if self._rollout is None:
            raise RuntimeError("call reset() first")
        return self._rollout


def observation(messages: Iterable[Message]) -> dict[str, Any]:
    """Messages in the form of VAGEN: text with a placeholder for each picture, and the pictures."""
    blocks = [block for message in messages for block in message.blocks]
    # A question may hold the placeholder as text.
    text = "".join(
        PLACEHOLDER if isinstance(block, ImageBlock) else _PLACEHOLDERS.sub(r"[\1]", block.text) for block in blocks
    )
    pictures = [Image.fromarray(block.pixels) for block in blocks if isinstance(block, ImageBlock)]
    return {"obs_str": text, **({"multi_modal_input": {PLACEHOLDER: pictures}} if pictures else {})}
