"""A session of play: the policy that asks a person, and the run that it is recorded in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from vzgym.core.actions import Answer, Region, Zoom
from vzgym.core.budget import Budget
from vzgym.core.errors import RecordError
from vzgym.core.files import read_json, write_json
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.runs import count_records
from vzgym.evaluation.play.view import PlayerObservation, PlayerView
from vzgym.evaluation.policy_evaluation import evaluate
from vzgym.evaluation.report import EvaluationReport
from vzgym.tasks import BudgetSpec, TaskSet

__all__ = ["UNFINISHED", "HumanPolicy", "PlayStopped", "Player", "play"]

UNFINISHED: Final = "unfinished.json"
"""In a run's folder: the actions of the episode that was interrupted."""


class PlayStopped(Exception):
    """Raised by a `Player` when the person stops. What was played is kept."""


class Player(Protocol):
    """The interface to the person: a page in the browser, or a terminal."""

    def act(self, view: PlayerView, number: int) -> Zoom | Answer:
        """Show the episode and wait for the person's action.

        Args:
            view: The episode.
            number: Number of the episode in the run, from 1.

        Raises:
            PlayStopped: If the person stops.
        """
        ...

    def end(self, record: EpisodeRecord | None) -> None:
        """Show that the episode is over and wait until the person continues.

        Args:
            record: The episode with grade, answer and evidence, if the person gets feedback; else None.

        Raises:
            PlayStopped: If the person stops.
        """
        ...


class HumanPolicy:
    """A policy that asks a person.

    The actions of an unfinished episode are kept in the run's folder. When the run continues, they are executed again,
    so that nobody gets a second budget for a question that they have seen.

    Args:
        player: The interface to the person.
        folder: The run's folder.
        interface: "browser" or "terminal". Part of the run's identity: they show the frames differently.
        feedback: Whether the person sees the answer after each episode. Part of the run's identity.

    Attributes:
        number: Number of the current episode, from 1.
    """

    name = "human"
    action = "default"

    def __init__(self, player: Player, folder: Path, *, interface: str, feedback: bool) -> None:
        self.player = player
        self.observation = PlayerObservation()
        self.identity = {"interface": interface, "feedback": feedback}
        self.number = count_records(folder)
        self._file = folder / UNFINISHED
        self._actions: list[dict[str, Any]] = []
        self._earlier: list[dict[str, Any]] = []

    def reset(self, seed: int) -> None:
        """Start an episode; the seed is not used."""
        self.number += 1
        self._actions = []

    def act(self, observation: PlayerView, info: dict[str, Any]) -> Zoom | Answer:
        """The person's action; that of the interrupted session, if there is one."""
        task, budget = info["task_id"], observation.budget.to_dict()
        if not observation.turns:
            self._earlier = self._read(task, budget)
        place = len(observation.turns)
        if place < len(self._earlier):
            action = _from_json(self._earlier[place], self._file)
        else:
            action = self.player.act(observation, self.number)
        self._actions.append(_to_json(action))
        write_json(self._file, {"task": task, "budget": budget, "actions": self._actions})
        return action

    def finish(self) -> None:
        """Forget the actions of an episode that has been recorded."""
        self._file.unlink(missing_ok=True)

    def _read(self, task: str, budget: dict[str, Any]) -> list[dict[str, Any]]:
        """The actions of the interrupted session, if it was on this task and budget."""
        if not self._file.is_file():
            return []
        found = read_json(self._file)
        if not isinstance(found, dict) or not isinstance(found.get("actions"), list):
            raise RecordError(f"{self._file}: not the actions of an unfinished episode; delete the file")
        same = found.get("task") == task and found.get("budget") == budget
        return found["actions"] if same else []


def _to_json(action: Zoom | Answer) -> dict[str, Any]:
    if isinstance(action, Answer):
        return {"answer": action.text}
    region = None if action.region is None else action.region.to_list()
    return {"zoom": [action.start, action.end, action.fps], "region": region, "max_pixels": action.max_pixels}


def _from_json(data: Any, where: Path) -> Zoom | Answer:
    try:
        if "answer" in data:
            return Answer(data["answer"])
        start, end, fps = data["zoom"]
        region = None if data["region"] is None else Region(*data["region"])
        return Zoom(start, end, fps, region, data["max_pixels"])
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{where}: not the actions of an unfinished episode; delete the file") from error


def play(
    player: Player,
    tasks: TaskSet,
    out: Path,
    *,
    interface: str,
    feedback: bool = False,
    episodes: int | None = None,
    budget: BudgetSpec | Budget = None,
    name: str = "",
    on_episode: Callable[[EpisodeRecord], None] | None = None,
) -> EvaluationReport:
    """Let a person play the first tasks of a set; a run as `vzgym.evaluate` leaves it.

    Args:
        player: The interface to the person.
        tasks: The tasks.
        out: The run's folder. An interrupted run continues there.
        interface: "browser" or "terminal".
        feedback: Whether the person sees the answer and the evidence after each episode.
        episodes: Number of tasks; all of them if not given.
        budget: See `vzgym.evaluate`.
        name: Name of the run; "human" if not given.
        on_episode: Called after each episode is recorded.

    Returns:
        The report.

    Raises:
        PlayStopped: If the person stops before the last episode. Finished episodes are kept.
        InvalidSetting: If `out` holds another run, or a setting is invalid.
        FolderInUse: If another process plays in `out`.
    """
    policy = HumanPolicy(player, out, interface=interface, feedback=feedback)

    def finished(record: EpisodeRecord) -> None:
        policy.finish()
        if on_episode:
            on_episode(record)
        player.end(record if feedback else None)

    return evaluate(
        policy,
        tasks,
        episodes=len(tasks) if episodes is None else episodes,
        budget=budget,
        out=out,
        on_episode=finished,
        name=name,
    )
