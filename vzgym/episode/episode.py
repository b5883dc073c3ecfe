"""The episode state machine: one task, one video, one budget.

It depends on no gymnasium, torch or rewards. Every interface (gymnasium, PettingZoo, a trainer's tool loop) wraps an
`Episode`, so that the same executed actions yield the same frames, codes and rewards through each of them.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vzgym.core.actions import Action, Answer, Malformed, Region, Zoom
from vzgym.core.budget import Budget, overview_times
from vzgym.core.errors import ActionTypeError, EpisodeEnded, VideoError
from vzgym.core.interval import Interval
from vzgym.core.text import replace_surrogates
from vzgym.episode.answers import Grade, GradeStatus, grade
from vzgym.episode.clip import Clip
from vzgym.episode.dialogue import Message
from vzgym.episode.record import End, EpisodeRecord, Outcome, Refusal, TaskFacts, Turn
from vzgym.episode.run_info import RunInfo
from vzgym.episode.wording import PlainWording, Wording, number, seconds
from vzgym.tasks.budgets import built_for, weakened_by
from vzgym.tasks.task import VideoTask
from vzgym.video.base import crop_box

__all__ = ["Episode", "validate_zoom"]

# Times may come from decimal text: a zoom may exceed the end by less than any frame distance.
_TIME_SLACK = 1e-6


def validate_zoom(zoom: Zoom, duration: float, budget: Budget) -> tuple[Refusal, str] | None:
    """Check whether a zoom can be executed.

    The rules, in the order in which they are checked: all values are finite; `end > start`; the interval is inside the
    video; `fps` is within the budget's limits; at most `clip_frames` frames; a region only if the budget allows one,
    and inside the frame.

    Args:
        zoom: The requested zoom.
        duration: Length of the video in seconds.
        budget: The limits.

    Returns:
        The refusal code and one sentence for the agent with the valid values; None if the zoom is valid.
    """
    start, end, fps = zoom.start, zoom.end, zoom.fps
    if not (math.isfinite(start) and math.isfinite(end) and math.isfinite(fps)):
        return Refusal.NOT_FINITE, f"start, end and fps must be finite numbers, got {start}, {end}, {fps}."
    if end <= start:
        return Refusal.REVERSED, f"the end ({number(end)} s) must be greater than the start ({number(start)} s)."
    if start < 0 or end > duration + _TIME_SLACK:
        return Refusal.OUTSIDE, (
            f"[{number(start)}, {number(end)}] s is not inside the video, which lasts from 0 to {seconds(duration)} s."
        )
    if not budget.min_fps <= fps <= budget.max_fps:
        return Refusal.FPS_OUT_OF_RANGE, (
            f"fps must be between {number(budget.min_fps)} and {number(budget.max_fps)}, got {number(fps)}."
        )
    asked = _within(zoom, duration).num_frames
    if asked > budget.clip_frames:
        return Refusal.TOO_MANY_FRAMES, (
            f"{number(end - start)} s at {number(fps)} fps are {asked} frames; at most {budget.clip_frames} "
            "are allowed: choose a shorter interval or a lower fps."
        )
    if zoom.region is not None and not budget.spatial:
        return Refusal.REGION_NOT_ALLOWED, "regions are not available here: ask for the whole picture."
    if zoom.region is not None and not zoom.region.is_valid:
        return Refusal.REGION_INVALID, (
            "a region is [left, top, right, bottom] with 0 <= left < right <= 1 and 0 <= top < bottom <= 1, "
            f"got {zoom.region.to_list()}."
        )
    return None


def _within(zoom: Zoom, duration: float) -> Zoom:
    """`zoom` clipped to the video's end, so that the tolerance adds no frame."""
    return replace(zoom, end=min(zoom.end, duration))


class Episode:
    """One question about one video, from the overview to the answer.

    Args:
        task: The task.
        budget: The budget; the paper's by default.
        wording: The wording of the dialogue.

    Raises:
        VideoError: If the video cannot be opened or its overview cannot be decoded.
        TaskError: If the task's evidence lies outside its video.
        RecordError: If the wording's `spec` is not JSON-serializable.

    Attributes:
        task: As given.
        budget: As given.
        record: The record so far; complete once `ended`.
    """

    def __init__(self, task: VideoTask, budget: Budget | None = None, wording: Wording | None = None) -> None:
        self.task = task
        self.budget = budget or Budget()
        self.wording: Wording = wording or PlainWording()
        facts = TaskFacts.of(task)
        # Such evidence belongs to another video, and every measurement based on it would be wrong.
        task.check_evidence()
        built = built_for(task)
        info = RunInfo(
            wording=dict(self.wording.spec),
            proof_weakened_by=() if built is None else weakened_by(built, self.budget),
        )
        overview = self._look(overview_times(facts.duration, self.budget))
        self.record = EpisodeRecord(task=facts, budget=self.budget, overview=overview, info=info)
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
        """Remaining zooms: one per remaining round except the last."""
        return max(0, self.rounds_left - 1)

    @property
    def frames_left(self) -> int:
        """Maximum number of frames that the remaining zooms can show."""
        return self.zooms_left * self.budget.clip_frames

    def step(self, action: Action, *, text: str | None = None, well_formed: bool = True) -> Turn:
        """Play one round.

        Args:
            action: A `Zoom`, an `Answer`, or `Malformed` for text without either.
            text: The agent's raw text; the wording's canonical text if None. Lone surrogates become U+FFFD, also in
                answers, since they cannot be encoded.
            well_formed: Whether the text has exactly the protocol's form.

        Returns:
            The turn, also appended to the record. An invalid zoom is recorded as a refusal, not raised.

        Raises:
            EpisodeEnded: If the episode is over.
            ActionTypeError: If `action` has another type, an answer's text is not a string, or a zoom's value is not a
                number.
        """
        if self.ended:
            raise EpisodeEnded(f"the episode of task {self.task.id!r} has ended ({self.record.end}): start a new one")
        action = _checked(action)
        said = self.wording.said(action) if text is None else replace_surrogates(text)
        match action:
            case Answer():
                turn = Turn(action, said, well_formed, Outcome.ANSWERED)
            case Malformed(reason):
                turn = Turn(action, said, False, Outcome.REFUSED, Refusal.MALFORMED, reason)
            case Zoom():
                turn = self._zoom(action, said, well_formed)
        self._close_round(turn)
        return turn

    def fail(self) -> None:
        """Truncate the episode, unscored, because its video cannot be read."""
        self.record.end, self.record.grade = End.VIDEO_ERROR, Grade(GradeStatus.UNSCORED)

    def _zoom(self, zoom: Zoom, said: str, well_formed: bool) -> Turn:
        fault = validate_zoom(zoom, self.record.task.duration, self.budget)
        if self.rounds_left == 1:
            fault = Refusal.LAST_ROUND, "this was the last round, in which only an answer is possible."
        if fault is not None:
            return Turn(zoom, said, well_formed, Outcome.REFUSED, *fault)
        duration = self.record.task.duration
        # Rounding may move the last times slightly beyond the end, which the video would refuse.
        times = np.minimum(_within(zoom, duration).times(), duration)
        try:
            clip = self._look(times, zoom)
        except VideoError as error:
            return Turn(zoom, said, well_formed, Outcome.FAILED, detail=str(error))
        return Turn(zoom, said, well_formed, Outcome.EXECUTED, clip=clip)

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
        region: Region | None = zoom.region if zoom else None
        started = time.perf_counter()
        size = self.budget.fit(*_shape(video.height, video.width, region))
        frames = video.read(times, size=size, region=region)
        took = time.perf_counter() - started
        # Policies receive these arrays; read-only, so that none changes what others see or what the record hashes.
        own_times = frames.times.copy()
        for array in (frames.pixels, own_times, times):
            array.flags.writeable = False
        return Clip(
            requested=times,
            times=own_times,
            size=size,
            window=Interval(float(zoom.start), float(zoom.end)) if zoom else None,
            fps=float(zoom.fps) if zoom else None,
            region=region,
            decoded=frames.decoded,
            seconds=took,
            pixels=frames.pixels,
        )


def _checked(action: object) -> Action:
    """Validate `action` and convert its numbers to floats: programming errors must not enter a record."""
    match action:
        case Zoom(start, end, fps, region):
            if not (region is None or isinstance(region, Region)):
                raise ActionTypeError(f"a zoom's region is a Region or None, got {region!r}")
            place = (
                None
                if region is None
                else Region(*map(_to_float, (region.left, region.top, region.right, region.bottom)))
            )
            return Zoom(_to_float(start), _to_float(end), _to_float(fps), place)
        case Answer(text):
            if not isinstance(text, str):
                raise ActionTypeError(f"an answer is text, got {text!r}")
            return Answer(replace_surrogates(text))
        case Malformed():
            return action
    raise ActionTypeError(f"an action is a Zoom, an Answer or Malformed, got {type(action).__name__}")


def _to_float(value: object) -> float:
    if not isinstance(value, (int, float, np.integer, np.floating)):
        raise ActionTypeError(f"a zoom is made of numbers, got {value!r}")
    try:
        return float(value)
    except OverflowError:
        # An integer beyond the range of floats becomes infinite, which is refused.
        return math.inf if value > 0 else -math.inf


def _shape(height: int, width: int, region: Region | None) -> tuple[int, int]:
    """Size in pixels of a region of a frame."""
    if region is None:
        return height, width
    top, bottom, left, right = crop_box(region, height, width)
    return bottom - top, right - left
