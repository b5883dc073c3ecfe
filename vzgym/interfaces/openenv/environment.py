"""The environment of an OpenEnv session."""

from __future__ import annotations

import html
import logging
import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import EnvironmentMetadata

from vzgym.core.errors import InvalidSetting, TaskError, UnknownName, VideoError, VzgymError
from vzgym.envs.video_zoom import ResetNeeded
from vzgym.episode import Message
from vzgym.episode.answers import GradeStatus
from vzgym.episode.record import EpisodeRecord
from vzgym.interfaces.messages import encode_messages
from vzgym.interfaces.openenv.models import (
    ChatMessage,
    FrameImage,
    ImagePart,
    RewardTerm,
    TextPart,
    VideoZoomAction,
    VideoZoomObservation,
    VideoZoomState,
)
from vzgym.interfaces.records import ServedRun
from vzgym.interfaces.rollouts import TextRollout, TextRollouts
from vzgym.interfaces.tasks import ChosenTask, ServedTasks
from vzgym.protocols import TextProtocol
from vzgym.rewards.making import RewardSpec
from vzgym.tasks.suite import SPLITS
from vzgym.tasks.task_slice import split_slice
from vzgym.tools.base import ToolSpec

__all__ = ["ENV_NAME", "RequestRefused", "Served", "SessionClosed", "VideoZoomEnvironment"]

ENV_NAME: Final = "video_zoom"
"""Name of the environment in the addresses of the task API."""

MOST_LISTED: Final = 100
"""Maximum number of tasks that one request lists: a split may have 100,000."""

_log = logging.getLogger("vzgym.interfaces")


class RequestRefused(VzgymError, RuntimeError):
    """A request that cannot be served. The message starts with the error's name: the server sends nothing else."""


class SessionClosed(VzgymError, RuntimeError):
    """A request in a session that was closed."""


class Recorder(Protocol):
    """Where finished episodes are recorded: a `ServedRun`."""

    def add(self, record: EpisodeRecord) -> None:
        """Record an episode. Called from several threads."""
        ...

    def close(self) -> None:
        """Record no more."""
        ...


class Served:
    """What the sessions of a server share: tasks, reward, protocol, and the run folder.

    Args:
        tasks: The task sets. Each is a split, named by the last part of its name ("train" for "tiny/train") where
            these differ, else by its whole name.
        rollouts: Reward, protocol, tools and subtitles of the episodes.
        records: Where finished episodes are recorded; None: nowhere.

    Attributes:
        splits: The name of each split's task set, in order; the first is the default.
    """

    def __init__(self, tasks: ServedTasks, rollouts: TextRollouts, records: Recorder | None = None) -> None:
        self.tasks, self.rollouts, self.records = tasks, rollouts, records
        short = {split_slice(name)[0].rpartition("/")[2]: name for name in tasks.sets}
        self.splits: dict[str, str] = short if len(short) == len(tasks.sets) else {name: name for name in tasks.sets}

    @classmethod
    def make(
        cls,
        tasks: ServedTasks,
        *,
        reward: RewardSpec = "videozoomer",
        protocol: str | Mapping[str, Any] | TextProtocol = "tags",
        tools: ToolSpec | Sequence[ToolSpec] | None = None,
        subtitles: str | None = None,
        records: str | Path | None = None,
        name: str = "",
    ) -> Served:
        """Create from settings.

        Args:
            tasks: The task sets.
            reward: See `vzgym.rewards.make_reward`.
            protocol: The text protocol of the turns: name, mapping or object.
            tools: Tools that the agent may call beside the zoom.
            subtitles: Where the dialogue shows subtitles; None: as each task says.
            records: Run folder for finished episodes; None: they are not recorded.
            name: Names the agent in the records.

        Raises:
            UnknownName: If a component is not registered.
            InvalidSetting: If a setting is invalid, a tool knows the evidence, or the folder holds another run.
        """
        rollouts = TextRollouts("openenv", reward=reward, protocol=protocol, tools=tools, subtitles=subtitles)
        if rollouts.extras.privileged:
            raise InvalidSetting("a tool that knows the evidence would tell it to every client: leave it out")
        run = None
        if records is not None:
            run = ServedRun(
                records, tasks, interface="openenv", reward=rollouts.reward, extras=rollouts.extras, name=name
            )
        return cls(tasks, rollouts, run)

    def set_name(self, split: str | None) -> str:
        """The name of a split's task set; of the first split for None.

        Raises:
            UnknownName: If there is no such split.
        """
        if split is None:
            return next(iter(self.splits.values()))
        if split not in self.splits:
            raise UnknownName("split", split[:100], self.splits)
        return self.splits[split]

    def close(self) -> None:
        """Close the run folder."""
        if self.records is not None:
            self.records.close()


class VideoZoomEnvironment(Environment[VideoZoomAction, VideoZoomObservation, VideoZoomState]):
    """One session: episodes one after another. The task set is chosen by whoever starts the server.

    Args:
        served: What the server's sessions share.
    """

    SUPPORTS_CONCURRENT_SESSIONS: ClassVar[bool] = True

    def __init__(self, served: Served) -> None:
        super().__init__()
        self._served = served
        self._rollout: TextRollout | None = None
        self._state = VideoZoomState()

    # Episodes ------------------------------------------------------------------------------------------------------

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        *,
        split: str | None = None,
        index: int | None = None,
        **unknown: Any,
    ) -> VideoZoomObservation:
        """Start an episode. An unfinished one is abandoned, without a record.

        Args:
            seed: Draws the task if `index` is not given: the same seed, the same task.
            episode_id: Identity of the episode in the state; a new one if not given.
            split: Name of the split; the first if not given.
            index: Index of the task in the split. Without index and seed, each `reset` takes the split's next task.
            unknown: Refused.

        Raises:
            RequestRefused: If an argument is unknown or invalid, the session is closed, or the task's video cannot be
                read.
        """
        with _named_errors():
            self._check_open("reset")
            self._abandon()  # also if this reset fails: it must not leave the previous episode playable
            self._state = VideoZoomState()
            if unknown:
                raise InvalidSetting(
                    f"unknown argument of reset: {', '.join(sorted(unknown))[:200]}; valid: seed, episode_id, split, "
                    "index"
                )
            _check_arguments(seed, episode_id, split, index)
            name = self._served.set_name(split)
            chosen = self._choose(name, seed, index)
            self._rollout = self._start(chosen)
            self._rollout.record.set_info(seed=seed)
            self._state = VideoZoomState(
                episode_id=episode_id or uuid.uuid4().hex,
                task_id=self._rollout.record.task.id,
                split=next(key for key, value in self._served.splits.items() if value == name),
                index=chosen.index,
                seed=seed if index is None else None,
                rounds_left=self._rollout.record.rounds_left,
            )
            return self._observe(self._rollout, self._rollout.record.messages)

    def step(self, action: VideoZoomAction, timeout_s: float | None = None, **unknown: Any) -> VideoZoomObservation:
        """Play a turn. A zoom that breaks a rule, or a text without an action, is a reply in the dialogue.

        Args:
            action: The turn.
            timeout_s: Not used: a turn cannot be interrupted.
            unknown: Refused.

        Raises:
            RequestRefused: If no episode was started, it is over, or the session is closed.
        """
        with _named_errors():
            self._check_open("step")
            if unknown:
                raise InvalidSetting(f"unknown argument of step: {', '.join(sorted(unknown))[:200]}")
            if self._rollout is None:
                raise ResetNeeded(
                    "step before reset: call reset first, in the same session (each connection to /ws is a session, "
                    "each HTTP request to /step a new one)"
                )
            rollout = self._rollout
            messages = rollout.step(action.text, truncated=action.cut_off)
            self._state.step_count += 1
            self._state.rounds_left = rollout.record.rounds_left
            self._state.done = rollout.ended
            observation = self._observe(rollout, messages)
            if rollout.ended:
                rollout.finish()
                if self._served.records is not None:
                    self._served.records.add(rollout.record)
            return observation

    @property
    def state(self) -> VideoZoomState:
        """The session's state; valid at any time."""
        return self._state

    def close(self) -> None:
        """Close the session. An unfinished episode is not recorded."""
        self._abandon()
        self._state.closed = True

    def _abandon(self) -> None:
        """Drop the episode, and release its video."""
        if self._rollout is not None:
            self._rollout.abort()
        self._rollout = None

    def get_metadata(self) -> EnvironmentMetadata:
        """Name, description and version."""
        return EnvironmentMetadata(
            name=ENV_NAME,
            description="Answer a question about a long video: look at an overview, zoom into intervals, answer.",
            version=version("vzgym"),
        )

    def render_web(self, observation: dict[str, Any]) -> str:
        """The new messages of an observation as HTML, for OpenEnv's web interface (`ENABLE_WEB_INTERFACE=true`)."""
        seen = VideoZoomObservation.model_validate(observation)
        drawn = []
        for message in seen.messages:
            drawn.append(f"<h4>{message.role}</h4>")
            for part in message.content:
                if isinstance(part, TextPart):
                    drawn.append(f'<span style="white-space: pre-wrap">{html.escape(part.text)}</span>')
                else:
                    drawn.append(f'<img alt="" src="{html.escape(seen.images[part.image].data_url)}">')
        return "".join(drawn)

    # Tasks ---------------------------------------------------------------------------------------------------------

    def list_splits(self) -> list[dict[str, str]]:
        """The splits: name, and type for OpenEnv ("train", "validation" or "test")."""
        return [{"name": name, "type": name if name in SPLITS else "test"} for name in self._served.splits]

    def num_tasks(self, split: str) -> int:
        """Number of tasks of a split.

        Raises:
            IndexError: If there is no such split.
        """
        return len(self._served.tasks.sets[self._known(split)])

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """A task: its id, index, split, question and options. Never the answer, the evidence or the metadata.

        Raises:
            IndexError: If there is no such split or task.
        """
        tasks = self._served.tasks.sets[self._known(split)]
        if not 0 <= index < len(tasks):
            raise IndexError(f"{split} has {len(tasks)} tasks, 0 to {len(tasks) - 1}: there is no task {index}")
        task = tasks[index]
        return {
            "id": task.id,
            "split": split,
            "index": index,
            "question": task.question,
            "options": list(task.options),
        }

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> list[dict[str, Any]]:
        """Tasks from `start` up to `stop`, as `get_task`. At most 100.

        Raises:
            IndexError: If there is no such split, or the range is longer.
        """
        indices = range(self.num_tasks(split))[start:stop]
        if len(indices) > MOST_LISTED:
            raise IndexError(f"{len(indices)} tasks: ask for at most {MOST_LISTED} at once")
        return [self.get_task(split, index) for index in indices]

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """The first 100 tasks of a split, as `get_task`; `num_tasks` says how many there are.

        Raises:
            IndexError: If there is no such split.
        """
        return self.get_task_range(split, 0, MOST_LISTED)

    # -----------------------------------------------------------------------------------------------------------------

    def _known(self, split: str) -> str:
        try:
            return self._served.set_name(split)
        except UnknownName as error:
            raise IndexError(str(error)) from error  # the server's status 400

    def _check_open(self, call: str) -> None:
        if self._state.closed:
            raise SessionClosed(
                f"{call} in a closed session: it was unused for longer than the server's session timeout; connect "
                "again and call reset"
            )

    def _choose(self, name: str, seed: int | None, index: int | None) -> ChosenTask:
        # Clients that name a task may give a seed, too; nothing else is drawn.
        return self._served.tasks.choose(name, index, seed=seed if index is None else None)

    def _start(self, chosen: ChosenTask) -> TextRollout:
        rollouts = self._served.rollouts
        return TextRollout(rollouts, rollouts.extras.episode(chosen.task, chosen.budget, rollouts.protocol))

    def _observe(self, rollout: TextRollout, new: Sequence[Message]) -> VideoZoomObservation:
        record = rollout.record
        messages, images = _encode(new)
        facts: dict[str, Any] = {
            "messages": messages,
            "images": images,
            "task_id": record.task.id,
            "question": record.task.question,
            "options": list(record.task.options),
            "duration": record.task.duration,
            "rounds_left": record.rounds_left,
            "frames_left": rollout.episode.frames_left,
        }
        if not record.turns:
            return VideoZoomObservation(**facts)
        turn, ledger = record.turns[-1], record.rewards
        assert ledger  # one entry a turn
        facts |= {
            "done": rollout.ended,
            "reward": _finite_reward(ledger[-1]["total"], record.task.id),
            "reward_status": "unscored" if ledger[-1]["total"] is None else "scored",
            "reward_terms": {name: RewardTerm(**term) for name, term in ledger[-1]["terms"].items()},
            "outcome": str(turn.outcome),
            "refusal": str(turn.refusal or ""),
        }
        if record.end is not None and record.grade is not None:
            facts |= {
                "truncated": rollout.episode.truncated,
                "end": str(record.end),
                "grade": str(record.grade.status),
                "correct": None if record.grade.status is GradeStatus.UNSCORED else record.grade.is_correct,
            }
        return VideoZoomObservation(**facts)


def _encode(new: Sequence[Message]) -> tuple[list[ChatMessage], list[FrameImage]]:
    """Messages whose frames are references to a list of images."""
    images: list[FrameImage] = []
    messages = []
    for message in encode_messages(new):
        content: list[TextPart | ImagePart] = []
        for part in message.parts:
            if isinstance(part, str):
                content.append(TextPart(text=part))
            else:
                content.append(ImagePart(image=len(images)))
                images.append(FrameImage(data=part.base64, media_type=part.media_type, time=part.time))
        messages.append(ChatMessage(role=message.role, content=content))
    return messages, images


def _finite_reward(total: float | None, task: str) -> float:
    """The reward as a finite number, which OpenEnv requires after each step: 0.0 if it is unscored.

    Raises:
        InvalidSetting: If it is not finite: JSON would turn it into null.
    """
    if total is not None and not math.isfinite(total):
        raise InvalidSetting(f"the reward of task {task!r} is {total}: its weights are too large")
    return 0.0 if total is None else total


def _check_arguments(seed: object, episode_id: object, split: object, index: object) -> None:
    """Check what a client sent; JSON has no types."""
    wanted: Mapping[str, tuple[object, type, str]] = {
        "seed": (seed, int, "an integer >= 0"),
        "index": (index, int, "an integer >= 0"),
        "split": (split, str, "a text"),
        "episode_id": (episode_id, str, "a text of at most 255 characters"),
    }
    for name, (value, kind, words) in wanted.items():
        if value is None:
            continue
        wrong = not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and value < 0)
        if wrong or (name == "episode_id" and len(str(value)) > 255):
            raise InvalidSetting(f"{name} must be {words}, got {value!r:.100}")


@contextmanager
def _named_errors() -> Iterator[None]:
    """Name an error in its message, since the server sends nothing else; and keep what only the server should know."""
    try:
        yield
    except (TaskError, VideoError) as error:
        # Their messages name files, and may quote the evidence.
        _log.exception("a task cannot be played")
        name = type(error).__name__
        raise RequestRefused(f"{name}: the task cannot be played; the server's log says why") from None
    except VzgymError as error:
        raise RequestRefused(f"{type(error).__name__}: {error}") from error
