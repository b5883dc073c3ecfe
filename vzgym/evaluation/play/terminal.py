"""Play in a terminal: commands as text, frames as half blocks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Final

from vzgym.core.actions import Answer, Region, Zoom
from vzgym.core.budget import Budget
from vzgym.episode.clip import Clip
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.turn import Outcome
from vzgym.episode.validation import validate_zoom
from vzgym.episode.wording import number, seconds
from vzgym.evaluation.play.half_blocks import contact_sheet, draw, fit
from vzgym.evaluation.play.session import PlayStopped
from vzgym.evaluation.play.view import PlayerView
from vzgym.tasks.task import option_letter

__all__ = ["TerminalPlayer", "read_time"]

_SMALLEST, _LARGEST = 12, 40
"""Columns of a frame in a contact sheet."""

_HELP: Final = """\
zoom START END [FPS]   frames of an interval, in seconds (90, 1:30); without FPS as many as allowed
B, answer TEXT         answer with an option's letter, or in words; ends the episode
frame [CLIP] NUMBER    a frame in full width; clip 0 is the overview; without CLIP the latest
show [CLIP]            the frames again
help, quit             quit keeps what was played; the same command continues"""

_REGION_HELP: Final = "zoom START END FPS LEFT TOP RIGHT BOTTOM   a part of the frame, in fractions from 0 to 1"

_TIME: Final = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)")


def read_time(text: str) -> float | None:
    """Read a time in seconds, as "90", "1:30" or "1:02:30.5"; None if it is none."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hours, minutes, rest = found.groups()
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(rest)


class TerminalPlayer:
    """The interface to a person at a terminal.

    Args:
        read: Reads a line after a prompt; raises `EOFError` at the end of the input.
        write: Writes a text, with control characters escaped.
        write_picture: Writes a line of a picture, with its escape sequences.
        width: Returns the terminal's width in columns.
        true_color: Whether it shows 24-bit colors; else 256 colors are used.
    """

    def __init__(
        self,
        read: Callable[[str], str],
        write: Callable[[str], None],
        write_picture: Callable[[str], None],
        width: Callable[[], int],
        *,
        true_color: bool,
    ) -> None:
        self._read = read
        self._write = write
        self._write_picture = write_picture
        self._width = width
        self._true_color = true_color
        self._shown = 0

    def act(self, view: PlayerView, number: int) -> Zoom | Answer:
        """See `Player.act`."""
        if not view.turns:
            self._shown = 0
            self._write(f"\nQuestion {number}. {_length(view.duration)} of video.")
        elif view.turns[-1].outcome is not Outcome.EXECUTED:
            self._write(f"Not shown: {view.turns[-1].detail}")
        for place in range(self._shown, len(view.clips)):
            self._show(view.clips[place], place)
        self._shown = len(view.clips)
        self._write(f"\n{view.question}")
        for place, option in enumerate(view.options):
            self._write(f"  {option_letter(place)}. {option}")
        self._write(_left(view))
        while True:
            action = self._command(view, self._ask("> "))
            if action is not None:
                return action

    def end(self, record: EpisodeRecord | None) -> None:
        """See `Player.end`."""
        if record is None:
            self._write("Recorded.")
        else:
            self._write(_feedback(record))
        self._ask("Enter for the next question: ")

    def _ask(self, prompt: str) -> str:
        try:
            line = self._read(prompt).strip()
        except (EOFError, KeyboardInterrupt, OSError) as error:  # OSError: the terminal was closed
            raise PlayStopped from error
        if line.lower() in ("quit", "q", "exit"):
            raise PlayStopped
        return line

    def _command(self, view: PlayerView, line: str) -> Zoom | Answer | None:
        """The action of a line; None for commands that show something, and for lines that cannot be read."""
        word, _, rest = line.partition(" ")
        word, rest = word.lower(), rest.strip()
        letters = [option_letter(place) for place in range(len(view.options))]
        if line.upper() in letters:
            return self._answer(view, line.upper())
        if word in ("answer", "a") and rest:
            return self._answer(view, rest.upper() if rest.upper() in letters else rest)
        if word in ("zoom", "z"):
            return self._zoom(view, rest.split())
        if word in ("show", "s", "frame", "f"):
            self._look(view, word[0], rest.split())
        else:
            if word not in ("help", "h", "?", ""):
                self._write(f"No such command: {word[:40]}")
            self._write(_HELP + (f"\n{_REGION_HELP}" if view.budget.spatial else ""))
        return None

    def _answer(self, view: PlayerView, text: str) -> Answer | None:
        if view.zooms_due:
            self._write(f"Not sent, since it would be refused and use up the round: {_due(view)}")
            return None
        return Answer(text)

    def _zoom(self, view: PlayerView, words: Sequence[str]) -> Zoom | None:
        times = [read_time(word) for word in words]
        lengths = (2, 3, 7) if view.budget.spatial else (2, 3)
        if len(words) not in lengths or None in times:
            self._write(f"A zoom is: {_REGION_HELP if len(words) > 3 else _HELP.splitlines()[0]}")
            return None
        start, end, *more = [time for time in times if time is not None]
        fps = more[0] if more else most_fps(end - start, view.budget)
        zoom = Zoom(start, end, fps, Region(*more[1:]) if len(more) > 1 else None)
        fault = validate_zoom(zoom, view.duration, view.budget)
        if view.rounds_left == 1:
            self._write("This is the last round: only an answer is possible.")
            return None
        if fault is not None:
            self._write(f"Not sent, since it would be refused and use up the round: {fault[1]}")
            return None
        return zoom

    def _look(self, view: PlayerView, what: str, words: Sequence[str]) -> None:
        numbers = [int(word) for word in words if word.isdecimal() and len(word) < 6]
        if len(numbers) != len(words) or len(words) > (1 if what == "s" else 2):
            self._write(_HELP)
            return
        last = len(view.clips) - 1
        if what == "s":
            for place in numbers or range(len(view.clips)):
                if place <= last:
                    self._show(view.clips[place], place)
                else:
                    self._write(f"The clips are 0 to {last}.")
            return
        clip, frame = (numbers if len(numbers) == 2 else [last, *numbers]) if numbers else (last, 0)
        if clip > last or frame >= len(view.clips[clip]):
            self._write(f"Clip {min(clip, last)} has the frames 0 to {len(view.clips[min(clip, last)]) - 1}.")
            return
        self._enlarge(view.clips[clip], frame)

    def _show(self, clip: Clip, place: int) -> None:
        title = f"Clip {place}: " + ("overview" if clip.window is None else _window(clip))
        self._write(f"\n{title}, {len(clip)} frames")
        assert clip.pixels is not None  # an episode in progress has its pixels
        captions = [f"{index} {time:.2f}s" for index, time in enumerate(clip.times)]
        width = self._width()
        # Many frames, as in an overview, are drawn smaller, so that they do not fill many screens.
        across = 5 if len(clip) > 16 else 3
        wide = max(_SMALLEST, min(_LARGEST, (width + 1) // across - 1))
        for row in contact_sheet(list(clip.pixels), captions, width, wide, true_color=self._true_color):
            self._write_picture(row)
        for _, line in clip.speech:
            self._write(f"  {line.start:.2f} to {line.end:.2f} s: {line.text}")

    def _enlarge(self, clip: Clip, frame: int) -> None:
        assert clip.pixels is not None  # an episode in progress has its pixels
        pixels = clip.pixels[frame]
        height, width, _ = pixels.shape
        size = fit(height, width, self._width(), 60)
        for line in draw(pixels, size, true_color=self._true_color):
            self._write_picture(line)
        self._write(f"{clip.times[frame]:.2f} s")


def most_fps(length: float, budget: Budget) -> float:
    """The frame rate, to three digits, that gives as many frames of an interval as a zoom may have."""
    if length <= 0:
        return budget.max_fps
    wanted = budget.clip_frames / length
    unit = 10.0 ** (2 - math.floor(math.log10(wanted)))
    return max(budget.min_fps, min(budget.max_fps, math.floor(wanted * unit) / unit))


def _window(clip: Clip) -> str:
    assert clip.window is not None  # a zoom's
    rate = "" if clip.fps is None else f" at {number(clip.fps)} fps"
    return f"{seconds(clip.window.start)} to {seconds(clip.window.end)} s{rate}"


def _length(duration: float) -> str:
    minutes = f" ({int(duration // 60)}:{int(duration % 60):02d})" if duration >= 60 else ""
    return f"{seconds(duration)} s{minutes}"


def _left(view: PlayerView) -> str:
    if view.rounds_left == 1:
        return "Last round: answer now. (help)"
    due = f" {_due(view)}" if view.zooms_due else ""
    return (
        f"Zooms left: {view.zooms_left} of {view.budget.max_zooms}, up to {view.budget.clip_frames} frames each.{due} "
        "(help)"
    )


def _due(view: PlayerView) -> str:
    """What is missing before an answer is accepted."""
    return f"{view.zooms_due} zooms before an answer." if view.zooms_due > 1 else "Zoom once before you answer."


def _feedback(record: EpisodeRecord) -> str:
    right = record.grade is not None and record.grade.is_correct
    lines = ["Right." if right else f"Not right: {record.grade.status if record.grade else record.end}."]
    if not right and record.task.answer:
        lines.append(f"The answer was {record.task.answer}.")
    if record.task.evidence:
        places = ", ".join(f"{seconds(item.start)} to {seconds(item.end)} s" for item in record.task.evidence)
        lines.append(f"The evidence was at {places}.")
    return " ".join(lines)
