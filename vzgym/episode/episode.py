"""The episode state machine: one task, one video, one budget.

It depends on no gymnasium, torch or rewards. Every interface (gymnasium, PettingZoo, a trainer's tool loop) wraps an
`Episode`, so that the same executed actions yield the same frames, codes and rewards through each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vzgym.core.actions import Action, Answer, Malformed, ToolCall, TurnRules, Zoom, Zooms
from vzgym.core.budget import Budget, checked_overview, overview_times, with_last_time
from vzgym.core.errors import EpisodeEnded, ToolArgumentError, VideoError
from vzgym.core.interval import Interval
from vzgym.core.text import replace_surrogates
from vzgym.episode.answers import Grade, GradeStatus, grade
from vzgym.episode.clip import Clip
from vzgym.episode.dialogue import Message
from vzgym.episode.reading import read_clip
from vzgym.episode.record import End, EpisodeRecord, TaskFacts
from vzgym.episode.run_info import RunInfo
from vzgym.episode.subtitles import check_mode, with_speech
from vzgym.episode.tools import Tool, ToolContext, checked_result, checked_tools, describe
from vzgym.episode.turn import Outcome, Refusal, Turn
from vzgym.episode.validation import checked_action, validate_zooms, within
from vzgym.episode.wording import PlainWording, Wording
from vzgym.tasks.budgets import built_for, weakened_by
from vzgym.tasks.subtitles.subtitle import SubtitleMode
from vzgym.tasks.task import VideoTask

__all__ = ["Episode"]


class Episode:
    """One question about one video, from the overview to the answer.

    Args:
        task: The task.
        budget: The budget; the paper's by default.
        wording: The wording of the dialogue.
        tools: The tools that the agent may call beside the zoom, or the tools by name.
        subtitles: Where the dialogue shows the task's subtitles: "none", "overview" (those spoken at its frames),
            "clips" (those within the interval of a zoom, or spoken at a tool's frames), or "all" (both). None: "all" if
            the task shows its subtitles (`VideoTask.show_subtitles`), else "none".
        overview: Times of the overview's frames in place of the budget's (`overview_times`): float64, shape `(n,)`,
            n <= `overview_frames`, in seconds, ascending.

    Raises:
        VideoError: If the video cannot be opened or its overview cannot be decoded.
        TaskError: If the task's evidence lies outside its video, or, where they are used, its subtitles do.
        RecordError: If the wording's `spec` is not JSON-serializable.
        InvalidSetting: If a tool is invalid, or the overview's times are not ascending, or too many.

    Attributes:
        task: As given.
        budget: As given.
        tools: The tools by name.
        record: The record so far; complete once `ended`.
    """

    def __init__(
        self,
        task: VideoTask,
        budget: Budget | None = None,
        wording: Wording | None = None,
        tools: Mapping[str, Tool] | Sequence[Tool] = (),
        subtitles: SubtitleMode | None = None,
        *,
        overview: NDArray[np.float64] | None = None,
    ) -> None:
        self.task = task
        self.tools = checked_tools(tools)
        self.budget = budget or Budget()
        self.wording: Wording = wording or PlainWording()
        own: SubtitleMode = "all" if task.show_subtitles else "none"
        self._mode = own if subtitles is None else check_mode(subtitles)
        facts = TaskFacts.of(task, subtitles=bool(self.tools))
        # Such evidence belongs to another video, and every measurement based on it would be wrong.
        task.check_evidence()
        if self._mode != "none" or self.tools:
            task.check_subtitles()
        built = built_for(task)
        info = RunInfo(
            subtitles=self._mode,
            wording=dict(self.wording.spec),
            selected_overview=overview is not None,
            proof_weakened_by=() if built is None else weakened_by(built, self.budget),
        )
        if overview is None:
            overview = overview_times(facts.duration, self.budget)
        elif self.budget.overview_last:
            overview = with_last_time(overview, facts.duration, self.budget)
        shown = self._look(checked_overview(overview, self.budget))
        described = tuple(map(describe, self.tools.values()))
        self.record = EpisodeRecord(task=facts, budget=self.budget, overview=shown, tools=described, info=info)
        self.record.messages.extend(self.wording.opening(self.record))

    @property
    def ended(self) -> bool:
        """Whether the episode is over."""
        return self.record.end is not None

    @property
    def truncated(self) -> bool:
        """Whether the episode was cut short by a video error, which the agent cannot know."""
        return self.record.end is End.VIDEO_ERROR

    @property
    def messages(self) -> list[Message]:
        """The dialogue so far."""
        return self.record.messages

    @property
    def rounds_left(self) -> int:
        """Remaining rounds; 0 once ended."""
        return self.record.rounds_left

    @property
    def zooms_left(self) -> int:
        """Remaining turns with zooms or tool calls: the remaining rounds except the last."""
        return max(0, self.rounds_left - 1)

    @property
    def zooms_due(self) -> int:
        """Turns with zooms or tool calls that are missing before an answer is accepted; 0 in the last round."""
        return self.record.zooms_due

    @property
    def rules(self) -> TurnRules:
        """What a turn's text may hold, for the parser of a text protocol."""
        return self.record.rules

    @property
    def frames_left(self) -> int:
        """Maximum number of frames that the remaining turns can show."""
        return self.zooms_left * self.budget.clip_frames

    def step(self, action: Action, *, text: str | None = None, well_formed: bool = True) -> Turn:
        """Play one round.

        Args:
            action: A `Zoom`, `Zooms`, a `ToolCall`, an `Answer`, or `Malformed` for text without an action.
            text: The agent's raw text; the wording's canonical text if None. Lone surrogates become U+FFFD, also in
                answers, since they cannot be encoded.
            well_formed: Whether the text has exactly the protocol's form.

        Returns:
            The turn, also appended to the record. An invalid zoom or tool call, and an answer before the zooms that the
            budget requires (`min_zooms`), are recorded as refusals, not raised. If one of several zooms is invalid,
            none is executed.

        Raises:
            EpisodeEnded: If the episode is over.
            ActionTypeError: If `action` has another type, an answer's text is not a string, a zoom's value is not a
                number, or a tool's arguments are not JSON values.
            InvalidSetting: If a tool returns an invalid result.
            VzgymError: If a tool fails for another reason than the video or the arguments.
        """
        if self.ended:
            raise EpisodeEnded(f"the episode of task {self.task.id!r} has ended ({self.record.end}): start a new one")
        action = checked_action(action)
        said = self.wording.text_of(action) if text is None else replace_surrogates(text)
        match action:
            case Answer():
                turn = self._answer(action, said, well_formed)
            case Malformed(reason):
                turn = Turn(action, said, False, Outcome.REFUSED, Refusal.MALFORMED, reason)
            case Zoom():
                turn = self._zoom(action, (action,), said, well_formed)
            case Zooms(zooms):
                turn = self._zoom(action, zooms, said, well_formed)
            case ToolCall():
                turn = self._call(action, said, well_formed)
        self._close_round(turn)
        return turn

    def fail(self) -> None:
        """Truncate the episode, unscored, because its video cannot be read."""
        self.record.end, self.record.grade = End.VIDEO_ERROR, Grade(GradeStatus.UNSCORED)

    def _answer(self, action: Answer, said: str, well_formed: bool) -> Turn:
        due = self.zooms_due
        if not due:
            return Turn(action, said, well_formed, Outcome.ANSWERED)
        look = "zoom or call a tool" if self.tools else "zoom"
        more = " more" if due < self.budget.min_zooms else ""
        times = f"once{more}" if due == 1 else f"in {due}{more} turns"
        reason = f"{look} {times} before you answer."
        return Turn(action, said, well_formed, Outcome.REFUSED, Refusal.ZOOM_FIRST, reason)

    def _zoom(self, action: Action, zooms: Sequence[Zoom], said: str, well_formed: bool) -> Turn:
        duration = self.record.task.duration
        fault = validate_zooms(zooms, duration, self.budget)
        if self.rounds_left == 1:
            fault = Refusal.LAST_ROUND, "this was the last round, in which only an answer is possible."
        if fault is not None:
            return Turn(action, said, well_formed, Outcome.REFUSED, *fault)
        clips = []
        for zoom in zooms:
            # Rounding may move the last times slightly beyond the end, which the video would refuse.
            times = np.minimum(within(zoom, duration).times(), duration)
            try:
                clips.append(self._look(times, zoom))
            except VideoError as error:
                return Turn(action, said, well_formed, Outcome.FAILED, detail=str(error))
        return Turn(action, said, well_formed, Outcome.EXECUTED, clips=tuple(clips))

    def _call(self, call: ToolCall, said: str, well_formed: bool) -> Turn:
        def refused(code: Refusal, reason: str) -> Turn:
            return Turn(call, said, well_formed, Outcome.REFUSED, code, reason)

        if self.rounds_left == 1:
            return refused(Refusal.LAST_ROUND, "this was the last round, in which only an answer is possible.")
        tool = self.tools.get(call.name)
        if tool is None:
            names = ", ".join(self.tools)
            reason = f"the tools are: {names}" if names else "there are no tools beside the zoom"
            return refused(Refusal.UNKNOWN_TOOL, f"there is no tool {call.name!r:.100}; {reason}.")
        told = self.task.evidence if getattr(tool, "privileged", False) else None
        context = ToolContext.of(self.task, self.record.task.duration, self.budget, told)
        try:
            result = checked_result(tool.run(call, context), call.name, self.budget)
        except ToolArgumentError as error:
            return refused(Refusal.TOOL_ARGUMENTS, replace_surrogates(str(error)))
        except VideoError as error:
            return Turn(call, said, well_formed, Outcome.FAILED, detail=str(error))
        return Turn(
            call,
            said,
            well_formed,
            Outcome.EXECUTED,
            clips=() if result.clip is None else (self._with_speech(result.clip),),
            reply=replace_surrogates(result.text),
            costs=dict(result.costs),
        )

    def _close_round(self, turn: Turn) -> None:
        record = self.record
        record.turns.append(turn)
        if turn.outcome is Outcome.ANSWERED:
            record.end, record.grade = End.ANSWERED, grade(record.answer, self.task)
        elif turn.outcome is Outcome.FAILED:
            self.fail()
        elif len(record.turns) == self.budget.max_rounds:
            record.end, record.grade = End.OUT_OF_ROUNDS, grade(None, self.task)
        record.messages.append(Message.from_text("assistant", turn.text))
        reply = self.wording.reply(record)
        if reply is not None:
            record.messages.append(reply)

    def _look(self, times: NDArray[np.float64], zoom: Zoom | None = None) -> Clip:
        video = self.task.video
        if zoom is None:
            return self._with_speech(read_clip(video, times, self.budget), overview=True)
        window = Interval(float(zoom.start), float(zoom.end))
        clip = read_clip(
            video,
            times,
            self.budget,
            window=window,
            fps=float(zoom.fps),
            region=zoom.region,
            max_pixels=zoom.max_pixels,
        )
        return self._with_speech(clip)

    def _with_speech(self, clip: Clip, *, overview: bool = False) -> Clip:
        return with_speech(clip, self.task.subtitles, self._mode, overview=overview)
