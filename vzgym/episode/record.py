"""Records of episodes, sufficient to grade, rescore and replay them.

Reward modules, metrics and the failure taxonomy read only an `EpisodeRecord`, so that a saved run can be rescored under
other rewards without running the policy again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vzgym.core.actions import Answer, TurnRules
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, RecordError, VzgymError
from vzgym.core.files import json_line, parse_json
from vzgym.core.interval import Interval
from vzgym.core.registry import import_object
from vzgym.episode.answers import Grade, GradeStatus
from vzgym.episode.clip import Clip
from vzgym.episode.dialogue import Message
from vzgym.episode.run_info import RunInfo
from vzgym.episode.turn import Outcome, Turn, turn_from_json, turn_to_json
from vzgym.tasks.evidence import EvidenceRequirements
from vzgym.tasks.subtitles.subtitle import Subtitle
from vzgym.tasks.task import VideoTask
from vzgym.video.base import Video

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["End", "EpisodeRecord", "TaskFacts", "ToolDescription"]

RECORD_VERSION = 3
"""Version of the saved form of records, incremented with each change."""


class End(StrEnum):
    """How an episode ended."""

    ANSWERED = "answered"
    """Terminated by an answer."""
    OUT_OF_ROUNDS = "out_of_rounds"
    """Terminated: the last round passed without an answer."""
    VIDEO_ERROR = "video_error"
    """Truncated: the video failed during the episode."""


@dataclass(frozen=True, slots=True)
class ToolDescription:
    """A tool as the agent sees it.

    Attributes:
        name: Its name for the agent.
        description: What it does, for the agent.
        parameters: JSON schema of its arguments.
        spec: `{"name": registered name, **options}`, from which it can be rebuilt for a replay.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    spec: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "name": self.name,
            "description": self.description,
            "parameters": dict(self.parameters),
            "spec": dict(self.spec),
        }

    def as_function(self) -> dict[str, Any]:
        """The form that chat templates and OpenAI-compatible endpoints take in `tools`."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """A task as stored in a record: everything except the frames. Times in seconds, sizes in pixels.

    Its subtitles are stored only if the episode has tools, which may read them; clips hold those that are shown.
    """

    id: str
    question: str
    options: tuple[str, ...]
    answer: str
    evidence: tuple[Interval, ...] | None
    category: str
    source: str
    metadata: Mapping[str, Any]
    video: str
    duration: float
    height: int
    width: int
    requirements: EvidenceRequirements = field(default_factory=EvidenceRequirements)
    subtitles: tuple[Subtitle, ...] = ()

    @classmethod
    def of(cls, task: VideoTask, *, subtitles: bool = False) -> TaskFacts:
        """The facts of a task. Opens its video: may raise `VideoError`.

        Args:
            task: The task.
            subtitles: Whether to include its subtitles, which may be long.
        """
        video = task.video
        return cls(
            task.id,
            task.question,
            task.options,
            task.answer,
            task.evidence,
            task.category,
            task.source,
            task.metadata,
            video.uri,
            video.duration,
            video.height,
            video.width,
            task.requirements,
            task.subtitles if subtitles else (),
        )

    def with_video(self, video: Video) -> VideoTask:
        """Rebuild the task with a given video.

        Raises:
            TaskError: If the values are not those of a task.
        """
        return VideoTask(
            id=self.id,
            video=video,
            question=self.question,
            options=self.options,
            answer=self.answer,
            evidence=self.evidence,
            requirements=self.requirements,
            category=self.category,
            subtitles=self.subtitles,
            source=self.source,
            metadata=self.metadata,
        )

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "id": self.id,
            "question": self.question,
            "options": list(self.options),
            "answer": self.answer,
            "evidence": None if self.evidence is None else [item.to_list() for item in self.evidence],
            "category": self.category,
            "source": self.source,
            "metadata": dict(self.metadata),
            "video": self.video,
            "duration": self.duration,
            "height": self.height,
            "width": self.width,
            "requirements": self.requirements.to_dict(),
            "subtitles": [[line.start, line.end, line.text] for line in self.subtitles],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TaskFacts:
        """Rebuild from `to_json`."""
        evidence = data["evidence"]
        return cls(
            **{
                **data,
                "options": tuple(data["options"]),
                "evidence": None if evidence is None else tuple(Interval(*item) for item in evidence),
                "requirements": EvidenceRequirements.from_dict(data["requirements"]),
                "subtitles": tuple(Subtitle(*line) for line in data["subtitles"]),
            }
        )


@dataclass
class EpisodeRecord:
    """The record of an episode, extended while it runs.

    Attributes:
        task: The task.
        budget: The budget.
        overview: The overview.
        tools: The tools that the agent may call beside the zoom.
        turns: The turns, in order.
        messages: The dialogue as the wording rendered it.
        end: How it ended; None while it runs.
        grade: The answer's grade; None while it runs.
        rewards: One entry per turn, from the reward ledger; None without a reward.
        info: Information about the run.
    """

    task: TaskFacts
    budget: Budget
    overview: Clip
    tools: tuple[ToolDescription, ...] = ()
    turns: list[Turn] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    end: End | None = None
    grade: Grade | None = None
    rewards: list[dict[str, Any]] | None = None
    info: RunInfo = field(default_factory=RunInfo)

    @property
    def clips(self) -> list[Clip]:
        """Every clip shown so far: the overview, then those of the turns, in order."""
        return [self.overview, *(clip for turn in self.turns for clip in turn.clips)]

    @property
    def windows(self) -> list[Interval]:
        """The intervals of the executed zooms, in order."""
        return [clip.window for clip in self.clips if clip.window is not None]

    @property
    def zooms(self) -> int:
        """Number of turns whose zooms were executed, as the budget's `max_zooms` counts them."""
        return sum(turn.outcome is Outcome.EXECUTED and bool(turn.zooms) for turn in self.turns)

    @property
    def tool_calls(self) -> int:
        """Number of executed tool calls."""
        return sum(turn.outcome is Outcome.EXECUTED and bool(turn.tool) for turn in self.turns)

    @property
    def rules(self) -> TurnRules:
        """What a turn's text may hold, for the parser of a text protocol."""
        return TurnRules(self.budget.zooms_per_turn, tuple(tool.name for tool in self.tools))

    @property
    def frames(self) -> int:
        """Number of shown frames, including the overview."""
        return sum(len(clip) for clip in self.clips)

    @property
    def answer(self) -> str | None:
        """The raw answer; None if there is none, or if it was refused."""
        match self.turns[-1:]:
            case [Turn(action=Answer(text), outcome=Outcome.ANSWERED)]:
                return text
        return None

    @property
    def rounds_left(self) -> int:
        """Remaining rounds; 0 once the episode has ended."""
        return 0 if self.end else self.budget.max_rounds - len(self.turns)

    @property
    def zooms_due(self) -> int:
        """Number of turns with executed zooms or tool calls that are missing before an answer is accepted.

        0 in the last round, which accepts every answer, and once the episode has ended.
        """
        if self.rounds_left < 2:
            return 0
        return max(0, self.budget.min_zooms - self.zooms - self.tool_calls)

    def set_info(self, **values: Any) -> None:
        """Change fields of `info`.

        Raises:
            RecordError: If a value is of the wrong type or not JSON-serializable.
        """
        self.info = replace(self.info, **values)

    def show(
        self,
        path: str | Path | None = None,
        *,
        evidence: bool = True,
        backend: str = "pyav",
        trust_code: bool = False,
    ) -> Image.Image:
        """Draw the episode: in the notebook, in the system's image viewer, or into a file.

        The pixels of a saved record are read from its video again.

        Args:
            path: The file to write; its suffix gives the format. Nothing is displayed then.
            evidence: Whether to draw the evidence and mark the right option.
            backend: Which decoder reads a video file.
            trust_code: Whether code that the record names (`module:suite`) may be imported.

        Returns:
            The picture, 1280 pixels wide and 720 high.

        Raises:
            RecordError: If the record's task cannot be rebuilt, or its video no longer shows the frames of the record.
            VideoError: If the video cannot be opened.
            UntrustedName: If the record names code and `trust_code` is not set.
        """
        # Drawing needs the layers above, which are loaded when they are used.
        draw: Callable[..., Image.Image] = import_object("vzgym.evaluation.pixels:show_record")
        return draw(self, path, evidence=evidence, backend=backend, trust_code=trust_code)

    def _repr_html_(self) -> str:
        """The episode with its frames, for notebooks; see `vzgym.evaluation.notebook.record.record_html`."""
        describe: Callable[[EpisodeRecord], str] = import_object("vzgym.evaluation.notebook.record:record_html")
        return describe(self)

    def upto(self, count: int) -> EpisodeRecord:
        """The record after its first `count` turns, without messages.

        Args:
            count: From 0 to `len(turns)`. The end and the grade are kept only with the last turn.

        Raises:
            InvalidSetting: If there are fewer turns.
        """
        if not 0 <= count <= len(self.turns):
            raise InvalidSetting(f"a record of {len(self.turns)} turns has no first {count}")
        if count == len(self.turns):
            return self
        return replace(self, turns=self.turns[:count], end=None, grade=None, rewards=None, messages=[])

    def to_json(self) -> dict[str, Any]:
        """JSON form. Frames are stored by reference: video, times, size, hash."""
        return {
            "version": RECORD_VERSION,
            "task": self.task.to_json(),
            "budget": self.budget.to_dict(),
            "overview": self.overview.to_json(),
            "tools": [tool.to_json() for tool in self.tools],
            "turns": [turn_to_json(turn) for turn in self.turns],
            "messages": [{"role": message.role, "text": message.text} for message in self.messages],
            "end": self.end,
            "grade": None if self.grade is None else {"status": self.grade.status, "read": self.grade.read},
            "rewards": self.rewards,
            "info": self.info.to_json(),
        }

    def to_line(self) -> str:
        """One line of JSON, without the line end.

        Raises:
            RecordError: If `rewards` contains values that are not JSON-serializable.
        """
        try:
            return json_line(self.to_json())
        except ValueError as error:
            raise RecordError(f"the record of task {self.task.id!r} cannot be written as JSON: {error}") from error

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> EpisodeRecord:
        """Rebuild from `to_json`. Equal to the original, except that pixels are missing.

        Raises:
            RecordError: If the version differs, a key is missing or a value is invalid.
        """
        if not isinstance(data, dict) or "version" not in data:
            raise RecordError(f"not an episode record: a {type(data).__name__} without 'version'")
        if data["version"] != RECORD_VERSION:
            raise RecordError(
                f"an episode record of version {data['version']!r}, but this vzgym ({version('vzgym')}) reads version "
                f"{RECORD_VERSION}: play the episodes again, or read them with the vzgym that wrote them"
            )
        try:
            grade = data["grade"]
            return cls(
                task=TaskFacts.from_json(data["task"]),
                budget=Budget.from_mapping(data["budget"]),
                overview=Clip.from_json(data["overview"]),
                tools=tuple(ToolDescription(**tool) for tool in data["tools"]),
                turns=[turn_from_json(turn) for turn in data["turns"]],
                messages=[Message.from_text(item["role"], item["text"]) for item in data["messages"]],
                end=None if data["end"] is None else End(data["end"]),
                grade=None if grade is None else Grade(GradeStatus(grade["status"]), grade["read"]),
                rewards=data["rewards"],
                info=RunInfo.from_json(data["info"]),
            )
        except RecordError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, VzgymError) as error:
            raise RecordError(f"broken episode record: {type(error).__name__}: {error}") from error

    @classmethod
    def from_line(cls, line: str, where: str = "record") -> EpisodeRecord:
        """Rebuild from `to_line`.

        Args:
            line: The JSON.
            where: The location (file and line number) for errors.

        Raises:
            RecordError: If the line is not JSON or not a record.
        """
        data = parse_json(line, where)
        try:
            return cls.from_json(data)
        except RecordError as error:
            raise RecordError(f"{where}: {error}") from error
