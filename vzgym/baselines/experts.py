"""The scripted expert, which searches the video systematically and does not know the answer."""

from __future__ import annotations

from typing import Any

from vzgym.baselines.base import Baseline
from vzgym.baselines.memory import ExpertMemory, hints_for
from vzgym.baselines.readers import ReaderSpec
from vzgym.core.actions import Answer, Zoom
from vzgym.core.interval import Interval
from vzgym.tasks.procedural.search import Hints
from vzgym.tasks.task import VideoTask, option_letter

__all__ = ["Expert"]


class Expert(Baseline):
    """Searches the video systematically, then reads the answer from the pixels.

    The ceiling that learners are measured against: it must find the place by itself, as they must. It is privileged in
    one respect: it knows how long the event lasts and at what rate it must be seen (`Hints`). It never knows the answer
    nor, in a family with a search (`Family.search`), where the event is.
    """

    name: str = "expert"

    def __init__(self, reader: ReaderSpec | None = None) -> None:
        super().__init__(reader)
        self._hints = Hints()

    def reveal(self, task: VideoTask) -> None:
        """Receive the task; only its `Hints` are used."""
        self._hints = hints_for(task, self.budget)

    def reset(self, seed: int) -> None:
        """Start an episode."""
        super().reset(seed)
        self._seed = seed
        self._memory: ExpertMemory | None = None
        self._taken = 0
        self._asked: Zoom | None = None

    def act(self, observation: Any, info: dict[str, Any]) -> Zoom | Answer:
        """The search's next zoom; the answer once it is done."""
        if self._memory is None:
            self._memory = ExpertMemory(
                info["question"], info["options"], info["duration"], self.budget, self._hints, self.reader, self._seed
            )
        count = int(observation["num_frames"])
        window = Interval(self._asked.start, self._asked.end) if self._asked else None
        if count > self._taken or window is None:
            fresh = slice(self._taken, count)
            self._memory.see(observation["frames"][fresh], observation["frame_times"][fresh], window)
        self._taken = count
        self._memory.zooms_left = int(observation["budget_left"][0])
        action = self._memory.next().action
        self._asked = action if isinstance(action, Zoom) else None
        if isinstance(action, Answer) and action.text in self._memory.options:
            return Answer(option_letter(self._memory.options.index(action.text)))
        return action
