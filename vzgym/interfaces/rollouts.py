"""Roll-outs in text for trainers, whose rows name a task by its task set and index."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, TaskError
from vzgym.core.files import append_json_line
from vzgym.core.text import replace_surrogates
from vzgym.episode import Episode, EpisodeRecord, Message
from vzgym.episode.turn import Outcome
from vzgym.interfaces.tasks import load_confined
from vzgym.interfaces.videos import hold_video, release_video
from vzgym.protocols import PROTOCOLS, TextProtocol, TruncatedText
from vzgym.rewards.making import RewardSpec, make_reward
from vzgym.rewards.statistics import episode_terms
from vzgym.tasks import BudgetSpec, VideoTask, load_tasks, resolve_budget
from vzgym.tools.base import ToolSpec
from vzgym.tools.extras import Extras

__all__ = ["ROLLOUT_SETTINGS", "TextRollout", "TextRollouts", "shared_rollouts"]

_MEASURES = ("correct", "unscored", "answered", "cut_short", "rounds", "zooms", "frames", "refused", "well_formed")

ROLLOUT_SETTINGS: Final = ("reward", "protocol", "budget", "tools", "subtitles", "records", "root")
"""The settings of `TextRollouts`."""


class TextRollouts:
    """Starts roll-outs of a trainer. May be used by several threads.

    Args:
        interface: Its name in records ("verl", "skyrl").
        reward: Preset, weights, objects or a mix. Terms that compare a group of roll-outs are unscored: the trainer
            forms the groups.
        protocol: The text protocol: name, mapping or object.
        budget: A mapping overrides fields of the tasks' budget; a `Budget`, or a name ("paper"), replaces it.
        tools: Tools that the agent may call beside the zoom: names, mappings or objects.
        subtitles: Where the dialogue shows subtitles; None: as each task says.
        records: Finished records are appended to this JSONL file; None: they are not saved. Several processes may
            write to it.
        root: The folder with a benchmark's files, or the only one whose videos a task file may name; None: the task
            file's own.

    Raises:
        UnknownName: If a component is not registered.
        InvalidSetting: If a setting is invalid.
    """

    def __init__(
        self,
        interface: str,
        *,
        reward: RewardSpec = "videozoomer",
        protocol: str | Mapping[str, Any] | TextProtocol = "tags",
        budget: BudgetSpec = None,
        tools: ToolSpec | Sequence[ToolSpec] | None = None,
        subtitles: str | None = None,
        records: str | Path | None = None,
        root: str | Path | None = None,
    ) -> None:
        self.interface = interface
        self.reward = make_reward(reward)
        self.protocol = PROTOCOLS.make(protocol)
        self.budget: BudgetSpec = budget
        self.extras = Extras.make(tools, subtitles)
        self.extras.load()
        self.records = None if records is None else Path(records)
        self.root = root

    @property
    def measure_names(self) -> tuple[str, ...]:
        """The keys of `TextRollout.measures`."""
        return (*(f"terms/{name}" for name in self.reward.terms), *_MEASURES)

    def find(self, row: Mapping[str, Any] | None) -> tuple[VideoTask, Budget]:
        """The task that a row's `extra_info` names, and the budget that it is played with.

        Args:
            row: `{"tasks": "tiny/train", "index": 3}`; other keys are not read. A task set in place of its name is
                accepted too.

        Raises:
            TaskError: If a key is missing, or there is no task of that index.
            UntrustedName: If `tasks` names a `module:suite`, which would run code.
            UnknownName: If there is no such task set.
        """
        given = {} if row is None else row
        missing = [name for name in ("tasks", "index") if given.get(name) is None]
        if missing:
            raise TaskError(
                f"extra_info of a row lacks {' and '.join(missing)}: it must name a task as `vzgym data` writes it, "
                f'{{"tasks": "tiny/train", "index": 0}}; got {dict(given)!r:.200}'
            )
        index = given["index"]
        # A numpy integer or a tensor has `__index__`; text and floats have not.
        if isinstance(index, bool) or not hasattr(index, "__index__"):
            raise TaskError(f"extra_info.index must be a whole number, got {index!r:.100}")
        spec = given["tasks"]
        named = isinstance(spec, (str, Mapping))
        tasks = load_confined(spec, split="train", root=self.root) if named else load_tasks(spec)
        if not 0 <= int(index) < len(tasks):
            raise TaskError(f"extra_info.index is {int(index)}, but {tasks.name} has tasks 0 to {len(tasks) - 1}")
        return tasks[int(index)], resolve_budget(self.budget, tasks)

    def start(self, row: Mapping[str, Any] | None) -> TextRollout:
        """Start a roll-out of a row's task; errors as `find`.

        Raises:
            VideoError: If the video cannot be opened or its overview cannot be decoded.
        """
        task, budget = self.find(row)
        return TextRollout(self, self.extras.episode(task, budget, self.protocol))


def shared_rollouts(interface: str, settings: Mapping[str, Any] | None = None) -> TextRollouts:
    """The roll-outs with these settings, made once in a process: trainers make an environment for each roll-out.

    Args:
        interface: Its name in records.
        settings: Arguments of `TextRollouts` as JSON values.

    Raises:
        InvalidSetting: If a setting is unknown or invalid, or is no JSON value.
        UnknownName: If a component is not registered.
    """
    given = dict(settings or {})
    unknown = sorted(set(given) - set(ROLLOUT_SETTINGS))
    if unknown:
        raise InvalidSetting(f"unknown settings: {', '.join(unknown)}; valid: {', '.join(ROLLOUT_SETTINGS)}")
    try:
        return _shared(interface, json.dumps(given, sort_keys=True))
    except TypeError as error:
        raise InvalidSetting(f"the settings of an interface are names, numbers, lists and mappings: {error}") from error


@lru_cache(maxsize=32)
def _shared(interface: str, settings: str) -> TextRollouts:
    return TextRollouts(interface, **json.loads(settings))


class TextRollout:
    """A roll-out: an episode that is played in text, and its rewards.

    Attributes:
        episode: The episode.
        cut_short: Whether the trainer ended it before the agent did, for want of tokens.
        aborted: Whether the trainer could not go on with it: it is unscored.
    """

    def __init__(self, settings: TextRollouts, episode: Episode) -> None:
        self._settings = settings
        self.episode = episode
        self.cut_short = False
        self.aborted = False
        self._closed = False
        self._ledger: list[dict[str, Any]] = []
        self.record.rewards = self._ledger
        self.record.set_info(interface=settings.interface)
        hold_video(episode)

    @property
    def record(self) -> EpisodeRecord:
        """The record so far, with the reward ledger."""
        return self.episode.record

    @property
    def ended(self) -> bool:
        """Whether the episode is over."""
        return self.episode.ended

    def step(self, text: str, *, truncated: bool = False) -> list[Message]:
        """Play a turn.

        Args:
            text: The model's whole turn. Lone surrogates become U+FFFD.
            truncated: Whether the token limit cut it off: no action is read from it.

        Returns:
            The environment's new messages; none after an answer.

        Raises:
            EpisodeEnded: If the episode is over.
        """
        said = replace_surrogates(text)
        parsed = self._settings.protocol.parse(TruncatedText(said) if truncated else said, self.episode.rules)
        before = len(self.episode.messages)
        self.episode.step(parsed.action, text=said, well_formed=parsed.well_formed)
        self._ledger.append(self._settings.reward.score(self.record).to_json())
        return self.episode.messages[before + 1 :]

    def finish(self) -> None:
        """Bring the episode to its end, save its record, and release its video, unless another roll-out reads it.

        A second call does nothing.

        Rounds that are left when the trainer ends a roll-out hold empty turns, as in TRL's loop.
        """
        if self._closed:
            return
        self.cut_short = not self.ended
        while not self.ended:
            self.step("")
        if self._settings.records is not None:
            append_json_line(self._settings.records, self.record.to_json(), shared=True)
        self._close()

    def abort(self) -> None:
        """End a roll-out that cannot go on: it is unscored, and not saved. Does nothing after `finish`."""
        if self._closed:
            return
        self.aborted = True
        self._close()

    def _close(self) -> None:
        self._closed = True
        release_video(self.episode)

    @property
    def latest_reward(self) -> float:
        """The reward of the latest turn; 0.0 if it is unscored."""
        return float(self._ledger[-1]["total"] or 0.0) if self._ledger else 0.0

    @property
    def total(self) -> float | None:
        """The reward of the whole episode; None if it is unscored."""
        totals = [entry["total"] for entry in self._ledger]
        return None if self.aborted or any(total is None for total in totals) else math.fsum(totals)

    @property
    def measures(self) -> dict[str, float | None]:
        """Numbers about the roll-out, with the same keys for every roll-out of one reward; None where unknown.

        `terms/NAME` is a term's contribution to the reward, its weight included: together they are the reward.
        `correct` is the grade, 0 or 1. `unscored` is 1.0 if the episode has no reward: no known answer, a video error.
        """
        record = self.record
        terms = None if self.total is None else episode_terms(self._ledger)
        outcomes = [None if terms is None else terms[name] for name in self._settings.reward.terms]
        turns = record.turns
        values: list[float | None] = [
            *(None if outcome is None else outcome.contribution for outcome in outcomes),
            None if self.aborted or record.grade is None else record.grade.score,
            float(self.total is None),
            float(record.answer is not None),
            float(self.cut_short),
            float(len(turns)),
            float(record.zooms),
            float(record.frames),
            float(sum(turn.outcome is Outcome.REFUSED for turn in turns)),
            sum(turn.well_formed for turn in turns) / len(turns) if turns else None,
        ]
        return dict(zip(self._settings.measure_names, values, strict=True))
