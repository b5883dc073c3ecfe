"""Episodes for agents that call tools: `start`, `zoom`, `answer`, and the registered tools.

The protocol has no state, so every call names its episode by a handle.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vzgym.core.actions import Action
from vzgym.core.errors import InvalidSetting, TaskError, UnknownName, VideoError
from vzgym.episode.dialogue import Block, ImageBlock, Message
from vzgym.episode.episode import Episode
from vzgym.episode.record import End
from vzgym.episode.turn import Outcome
from vzgym.interfaces.mcp.calls import LONGEST_ANSWER, OWN_TOOLS, FrameMode, action_of, fault_of_start, tool_schemas
from vzgym.interfaces.mcp.sheet import draw_sheet
from vzgym.interfaces.messages import Frame, Part, encode_blocks
from vzgym.interfaces.sessions import SessionBusy, Sessions, UnknownSession
from vzgym.interfaces.tasks import ServedTasks
from vzgym.interfaces.videos import hold_video, release_video
from vzgym.rewards.making import make_reward
from vzgym.rewards.mix import RewardMix
from vzgym.tools.extras import Extras
from vzgym.video.images import ImageEncoder

__all__ = ["AgentEpisodes", "Reply"]

_log = logging.getLogger("vzgym.interfaces")


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of a call.

    Attributes:
        parts: Text and frames, in order.
        is_error: Whether the call failed: an unknown handle, wrong arguments of `start`. A refused zoom is no error,
            but a reply of the episode.
    """

    parts: tuple[Part, ...]
    is_error: bool = False


@dataclass
class _Played:
    """An episode in progress."""

    episode: Episode
    frames: FrameMode
    started: float = field(default_factory=time.perf_counter)
    tool_seconds: float = 0.0


class AgentEpisodes:
    """Plays episodes by calls of tools. Thread-safe: episodes are played side by side, each one call at a time.

    Args:
        tasks: The tasks that agents may start.
        extras: Tools that the agents may call beside the zoom, and subtitles in the dialogue.
        reward: The reward of the records' ledger.
        keep: Called with the record of each finished episode, and fields of its run information: `ServedRun.add`.
        frames: "single": each frame is a picture. "sheet": each clip is one picture with its times drawn in. `start`
            may choose the other.
        feedback: Whether the agent learns at the end whether its answer is right, and its reward. Off by default, since
            an agent could find an answer by starting a task again.
        images: Format, quality and size of the pictures.
        max_episodes: Largest number of episodes in progress; one more ends that which was unused for longest.
        idle_seconds: An episode that was unused for this long ends.

    Raises:
        InvalidSetting: If a tool is named as one of this class, or has an argument `episode`; or a limit is invalid.
    """

    def __init__(
        self,
        tasks: ServedTasks,
        *,
        extras: Extras | None = None,
        reward: RewardMix | None = None,
        keep: Callable[..., None] | None = None,
        frames: FrameMode = "single",
        feedback: bool = False,
        images: ImageEncoder | None = None,
        max_episodes: int = 32,
        idle_seconds: float = 3600.0,
    ) -> None:
        if frames not in ("single", "sheet"):
            raise InvalidSetting(f"frames must be 'single' or 'sheet', got {frames!r}")
        self._tasks = tasks
        self._extras = extras or Extras()
        self._reward = reward or make_reward("videozoomer")
        self._keep = keep
        self._frames: FrameMode = frames
        self._feedback = feedback
        self._images = images or ImageEncoder()
        self._sessions: Sessions[_Played] = Sessions(max_episodes, idle_seconds, on_evict=_abandon)
        for tool in self._extras.tools:
            if tool.name in OWN_TOOLS:
                raise InvalidSetting(f"a tool cannot be named {tool.name!r} here: the server has a tool of that name")
            if "episode" in tool.parameters.get("properties", {}):
                raise InvalidSetting(f"the tool {tool.name!r} has an argument 'episode', which the server needs")
        self._names = [tool["name"] for tool in self.tools]

    @property
    def instructions(self) -> str:
        """What an agent should know before it calls a tool."""
        zooms = "look more closely at an interval with `zoom`" if "zoom" in self._names else "no zoom is possible"
        return (
            "Answer questions about long videos under a budget. Each episode is one question: call `start` for a "
            f"handle, the question and an overview of the video; {zooms}; finish with `answer`. Every call with the "
            "handle uses a round; replies say how many are left."
        )

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools: `name`, `description`, and `parameters`, a JSON schema."""
        return tool_schemas(self._tasks, self._extras, self._frames)

    def call(self, name: str, arguments: Mapping[str, Any] | None = None) -> Reply:
        """Call a tool.

        Args:
            name: Its name.
            arguments: Its arguments, as the agent gave them.

        Raises:
            VzgymError: If a tool of the episode fails for another reason than the video or its arguments. The episode
                has then ended without a record.
        """
        # Models often send null for an argument that they leave out.
        given = {key: value for key, value in (arguments or {}).items() if value is not None}
        if name == "start":
            return self._start(given)
        handle = given.pop("episode", None)
        if not isinstance(handle, str):
            if name not in self._names:
                return _error(f"there is no tool {name!r:.100}; the tools are: {', '.join(self._names)}")
            return _error("the argument 'episode' is missing: the handle that start returned")
        text = given.get("text")
        if name == "answer" and isinstance(text, str) and len(text) > LONGEST_ANSWER:
            return _error(f"the answer has {len(text)} characters: at most {LONGEST_ANSWER} are read")
        try:
            with self._sessions.use(handle) as played:
                return self._play(handle, played, action_of(name, given))
        except (UnknownSession, SessionBusy) as error:
            return _error(str(error))

    def close(self) -> None:
        """End all episodes in progress, without records."""
        self._sessions.close()

    # Calls ------------------------------------------------------------------------------------------------------

    def _start(self, given: dict[str, Any]) -> Reply:
        fault = fault_of_start(given)
        if fault:
            return _error(fault)
        began = time.perf_counter()
        try:
            chosen = self._tasks.choose(given.get("tasks", ""), given.get("task"), seed=given.get("seed"))
        except (UnknownName, InvalidSetting) as error:
            return _error(str(error))
        try:
            episode = self._extras.episode(chosen.task, chosen.budget)
        except (VideoError, TaskError) as error:
            _log.warning("task %d of %s cannot be played: %s", chosen.index, chosen.tasks, error)
            return _error(f"task {chosen.index} of {chosen.tasks} cannot be played: start another one")
        hold_video(episode)
        played = _Played(episode, given.get("frames", self._frames), began)
        handle = self._sessions.add(played)
        (opening,) = self._encode(episode.messages, played.frames)
        played.tool_seconds = time.perf_counter() - began
        head = f"episode: {handle} (task {chosen.index} of {chosen.tasks})\n"
        return Reply(_joined(head, opening))

    def _play(self, handle: str, played: _Played, action: Action) -> Reply:
        episode, began = played.episode, time.perf_counter()
        finished = False
        try:
            turn = episode.step(action)
            finished = True
        finally:
            if not finished or episode.ended:
                self._sessions.end(handle)
                release_video(episode)
        parts: tuple[Part, ...] = ()
        if turn.outcome is Outcome.FAILED:
            _log.warning("the episode of task %r is unscored: %s", episode.task.id, turn.detail)
        elif episode.messages[-1].role == "tool":
            (parts,) = self._encode(episode.messages[-1:], played.frames)
        played.tool_seconds += time.perf_counter() - began
        if episode.ended:
            return Reply(_joined(parts, "\n" + self._end(played)))
        return Reply(parts)

    def _end(self, played: _Played) -> str:
        """Keep the record of a finished episode, and say how it ended."""
        record = played.episode.record
        rewards = self._reward.score_all(record)
        record.rewards = [step.to_json() for step in rewards]
        wall = time.perf_counter() - played.started
        if self._keep is not None:
            self._keep(
                record,
                interface="mcp",
                wall_seconds=round(wall, 6),
                tool_seconds=round(played.tool_seconds, 6),
                model_seconds=round(wall - played.tool_seconds, 6),
            )
        ends = {
            End.ANSWERED: "The answer is recorded. The episode has ended.",
            End.OUT_OF_ROUNDS: "No round is left. The episode has ended without an answer.",
            End.VIDEO_ERROR: "The video cannot be read any further. The episode has ended and is not scored.",
        }
        assert record.end is not None
        words = ends[record.end]
        if not self._feedback or record.grade is None:
            return words
        totals = [step.total for step in rewards if step.total is not None]
        reward = "unscored" if len(totals) < len(rewards) else f"{sum(totals):g}"
        return f"{words} Grade: {record.grade.status}. Reward: {reward}."

    # Messages ---------------------------------------------------------------------------------------------------

    def _encode(self, messages: Sequence[Message], frames: FrameMode) -> list[tuple[Part, ...]]:
        encode = self._with_sheets if frames == "sheet" else lambda blocks: encode_blocks(blocks, self._images)
        return [tuple(encode(message.blocks)) for message in messages]

    def _with_sheets(self, blocks: Sequence[Block]) -> list[Part]:
        """Text, and one picture for the frames of each clip, after the text that lists their times."""
        parts: list[Part] = []
        text = ""
        for place, block in enumerate(blocks):
            if not isinstance(block, ImageBlock):
                text += block.text
                continue
            clip = block.clip
            last = all(not isinstance(other, ImageBlock) or other.clip is not clip for other in blocks[place + 1 :])
            if last:
                shown = [other.index for other in blocks if isinstance(other, ImageBlock) and other.clip is clip]
                assert clip.pixels is not None  # a running episode has its pixels
                times = [float(clip.times[index]) for index in shown]
                sheet = draw_sheet([clip.pixels[index] for index in shown], times)
                note = f"\n[one picture with these {len(shown)} frames in rows, each above its time]"
                parts += [text + note, Frame(self._images.encode(sheet), times[0], self._images.format)]
                text = ""
        return [*parts, text] if text.strip() else parts


def _abandon(played: _Played) -> None:
    """An episode without an end leaves no record."""
    _log.warning("the episode of task %r was not finished: it has no record", played.episode.task.id)
    release_video(played.episode)


def _error(text: str) -> Reply:
    return Reply((text,), is_error=True)


def _joined(*groups: str | Sequence[Part]) -> tuple[Part, ...]:
    """Parts in a row; neighboring texts become one."""
    parts: list[Part] = []
    for part in (item for group in groups for item in ((group,) if isinstance(group, str) else group)):
        if isinstance(part, str) and parts and isinstance(parts[-1], str):
            parts[-1] += part
        else:
            parts.append(part.lstrip("\n") if isinstance(part, str) and not parts else part)
    return tuple(parts)
