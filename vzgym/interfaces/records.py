"""The run folder of a server: the records of the episodes that clients finished."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from vzgym.episode.record import EpisodeRecord
from vzgym.episode.runs import RunFolder
from vzgym.interfaces.tasks import ServedTasks
from vzgym.rewards.mix import RewardMix
from vzgym.rollout.task_rollouts import package_version
from vzgym.tools.extras import Extras

__all__ = ["ServedRun"]


class ServedRun:
    """Writes finished episodes to a run folder, as `vzgym eval --out` does. Thread-safe.

    Episodes are numbered in the order in which they end. A server that is started again with the same settings
    continues the folder.

    Args:
        path: The folder.
        tasks: The tasks that the server offers.
        interface: Such as "mcp".
        reward: The reward of the records' ledger.
        extras: Tools, and subtitles in the dialogue.
        name: Names the policy in tables; the interface if empty.

    Raises:
        InvalidSetting: If the folder holds another run, or the reward has a module that cannot be named.
        FolderInUse: If another process writes there.
    """

    def __init__(
        self,
        path: str | Path,
        tasks: ServedTasks,
        *,
        interface: str,
        reward: RewardMix,
        extras: Extras | None = None,
        name: str = "",
    ) -> None:
        self.name, self.reward = name or interface, reward.to_spec()
        settings: dict[str, Any] = {
            "policy": self.name,
            "interface": interface,
            "tasks": ", ".join(tasks.sets),
            "budget": {key: budget.to_dict() for key, budget in tasks.budgets.items()},
            "reward": self.reward,
            **(extras or Extras()).to_json(),
            "vzgym": package_version(),
        }
        self._folder = RunFolder(path, settings)
        self._lock = threading.Lock()
        self._index = 1 + max(self._folder.finished, default=-1)

    def add(self, record: EpisodeRecord, **info: Any) -> None:
        """Append a finished episode, with its index and the policy's name.

        Args:
            record: The record; its `info` is completed.
            info: Further fields of its run information.
        """
        with self._lock:
            record.set_info(policy=self.name, index=self._index, reward=self.reward, vzgym=package_version(), **info)
            self._folder.add(record)
            self._index += 1

    def close(self) -> None:
        """Close the folder."""
        self._folder.close()
