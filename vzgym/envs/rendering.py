"""Render an episode as a picture: its zooms, frames, turns and rewards."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from vzgym.core.interval import Interval
from vzgym.episode.clip import Clip
from vzgym.episode.dialogue import ImageBlock
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.turn import Outcome, Turn
from vzgym.episode.wording import seconds
from vzgym.tasks.task import option_letter

__all__ = ["CANVAS", "draw_episode"]

CANVAS = (720, 1280)
"""Height and width of the picture in pixels; even, as video encoders require."""

_Color: TypeAlias = tuple[int, int, int]
_Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom."""

_INK, _PAPER, _PANEL, _FAINT, _DIM, _LINE = (
    (230, 233, 240),
    (17, 20, 28),
    (27, 32, 43),
    (138, 148, 166),
    (84, 93, 112),
    (48, 55, 70),
)
_GOOD, _BAD = (88, 208, 132), (244, 108, 108)
_ZOOMS = ((255, 176, 59), (88, 176, 255), (214, 122, 255), (110, 222, 214))
_MARGIN, _STRIP, _BELOW, _SPLIT = 24, (150, 214), (272, 700), 944
_ROWS = len(_ZOOMS)  # only the newest zooms are shown, this many
_LARGEST = 160  # largest height of a drawn frame, in pixels


def draw_episode(record: EpisodeRecord, *, evidence: bool = True) -> NDArray[np.uint8]:
    """Draw the current state of an episode.

    Top: the question, its options and the status. Below it a timeline: the overview's frames at their times, a
    colored bar above for each executed zoom, and a green bar below for the evidence, if it is known. Left: every
    frame of the newest four zooms, or of the overview before the first zoom. Right: the turns with replies and
    rewards.

    Args:
        record: A record with pixels: a live one, or a saved one through `vzgym.evaluation.pixels.with_pixels`.
        evidence: Whether to draw the evidence and mark the right option.

    Returns:
        uint8, shape `(720, 1280, 3)`, RGB.

    Raises:
        RecordError: If the record was loaded from a file and has no pixels.
    """
    height, width = CANVAS
    image = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    _header(draw, record, width, evidence)
    _timeline(image, draw, record, width, evidence)
    top, bottom = _BELOW
    zooms = list(enumerate(record.clips))[1:][-_ROWS:]
    shown = zooms or [(0, record.overview)]
    tall = (bottom - top) / len(shown)
    for row, (number, clip) in enumerate(shown):
        _film(image, draw, clip, number, (_MARGIN, top + row * tall, _SPLIT - 20, top + (row + 1) * tall - 8))
    _turns(draw, record, (_SPLIT, top, width - _MARGIN, bottom))
    return np.array(image)


# Text ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fit(text: str, size: int, width: float) -> str:
    """`text` on one line, cut with "..." if it is wider than `width`."""
    text = " ".join(text.split())
    if _font(size).getlength(text) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        wide = _font(size).getlength(text[:middle] + "...") > width
        low, high = (low, middle - 1) if wide else (middle, high)
    return text[:low].rstrip() + "..."


def _wrap(text: str, size: int, width: float, most: int) -> list[str]:
    """Break `text` into lines; beyond `most`, leave out the middle (the action is at the end)."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and _font(size).getlength(longer) > width:
            lines.append(_fit(word, size, width))
        else:
            lines[-1] = _fit(longer, size, width)
    if len(lines) > most:
        tail = lines[len(lines) - most + 1 :]
        lines = [_fit(f"{lines[0]} ...", size, width), *tail] if tail else [_fit(text, size, width)]
    return lines


# Header --------------------------------------------------------------------------------------------------------


def _header(draw: ImageDraw.ImageDraw, record: EpisodeRecord, width: int, reveal: bool) -> None:
    task, budget = record.task, record.budget
    state, color = _state(record)
    left = width - _MARGIN - _font(18).getlength(state) - 28
    draw.rounded_rectangle((left, 14, width - _MARGIN, 46), 16, outline=color, width=2)
    draw.text((left + 14, 30), state, fill=color, font=_font(18), anchor="lm")
    room = left - 2 * _MARGIN
    if _font(25).getlength(task.question) <= room:
        draw.text((_MARGIN, 16), task.question, fill=_INK, font=_font(25))
    else:
        draw.text((_MARGIN, 11), "\n".join(_wrap(task.question, 18, room, 2)), fill=_INK, font=_font(18))
    _options(draw, record, width - 2 * _MARGIN, reveal)
    facts = [
        task.category,
        f"{seconds(task.duration)} s of video",
        f"overview of {len(record.overview)} frames",
        f"{record.zooms} of {budget.max_zooms} {'zooms' if budget.zooms_per_turn == 1 else 'turns with zooms'}",
        f"{record.frames} of {budget.max_frames} frames",
    ]
    if reveal and not task.evidence:
        facts.append("evidence unknown" if task.evidence is None else "no evidence to find: the overview suffices")
    draw.text((_MARGIN, 96), "   |   ".join(fact for fact in facts if fact), fill=_FAINT, font=_font(15))


def _options(draw: ImageDraw.ImageDraw, record: EpisodeRecord, width: float, reveal: bool) -> None:
    """The options on one line; if they do not fit, on two lines in columns, cut to fit."""
    labels = [f"{option_letter(place)}. {option}" for place, option in enumerate(record.task.options)]
    crowded = sum(_font(18).getlength(label) + 32 for label in labels) > width
    columns = math.ceil(len(labels) / 2)
    x = float(_MARGIN)
    for place, (option, label) in enumerate(zip(record.task.options, labels, strict=True)):
        color = _GOOD if reveal and option == record.task.answer else _FAINT
        if crowded:
            at = (_MARGIN + place % columns * width / columns, 57 + 19 * (place // columns))
            draw.text(at, _fit(label, 15, width / columns - 16), fill=color, font=_font(15))
        else:
            draw.text((x, 62), label, fill=color, font=_font(18))
            x += _font(18).getlength(label) + 32


def _state(record: EpisodeRecord) -> tuple[str, _Color]:
    if record.end is None:
        return f"round {len(record.turns) + 1} of {record.budget.max_rounds}", _INK
    totals = [entry["total"] for entry in record.rewards or ()]
    reward = "" if not totals or None in totals else f"   reward {sum(totals):+.2f}"
    good = record.grade is not None and record.grade.is_correct
    status = record.grade.status if record.grade is not None and record.answer is not None else record.end
    return f"{status.replace('_', ' ')}{reward}", _GOOD if good else _BAD


# Time ----------------------------------------------------------------------------------------------------------


def _timeline(image: Image.Image, draw: ImageDraw.ImageDraw, record: EpisodeRecord, width: int, reveal: bool) -> None:
    top, bottom = _STRIP
    duration, long = record.task.duration, width - 2 * _MARGIN

    def place(time: float) -> float:
        return _MARGIN + long * time / duration

    def span(item: Interval) -> tuple[float, float]:
        """The interval's edges on the canvas, at least four pixels apart."""
        return place(item.start), max(place(item.end), place(item.start) + 4)

    draw.rectangle((_MARGIN, top, _MARGIN + long, bottom), fill=_PANEL)
    times = record.overview.times
    if len(times):
        # A frame covers the time until the next one.
        slots = [round(place(time)) for time in (*times.tolist(), duration)]
        for index, (left, right) in enumerate(pairwise(slots)):
            if right > left:
                frame = Image.fromarray(ImageBlock(record.overview, index).pixels)
                gap = int(right - left > 2)
                image.paste(ImageOps.fit(frame, (right - left - gap, bottom - top)), (left, top))
    else:
        draw.text((_MARGIN + 12, (top + bottom) / 2), "no overview", fill=_FAINT, font=_font(15), anchor="lm")
    for number, clip in enumerate(record.clips[1:]):
        window = clip.window or Interval(float(clip.times.min()), float(clip.times.max()) + 1e-3)
        color, lane = _ZOOMS[number % _ROWS], top - 6 - 8 * (number % _ROWS)
        start, end = span(window)
        draw.rectangle((start, lane - 4, end, lane), fill=color)
        draw.line((start, lane, start, bottom), fill=color)
        draw.line((end, lane, end, bottom), fill=color)
    for item in (record.task.evidence or ()) if reveal else ():
        start, end = span(item)
        draw.rectangle((start, bottom + 4, end, bottom + 10), fill=_GOOD)
        beside = end + 6 + _font(13).getlength("evidence") < width - _MARGIN
        at = (end + 6, bottom + 7) if beside else (start - 6, bottom + 7)
        draw.text(at, "evidence", fill=_GOOD, font=_font(13), anchor="lm" if beside else "rm")
    for step in range(5):
        label = f"{seconds(duration)} s" if step == 4 else f"{duration * step / 4:.0f} s"
        draw.text((place(duration * step / 4), bottom + 18), label, fill=_FAINT, font=_font(14),
                  anchor=("la", "ma", "ma", "ma", "ra")[step])  # fmt: skip


# Zooms and turns -----------------------------------------------------------------------------------------------


def _film(image: Image.Image, draw: ImageDraw.ImageDraw, clip: Clip, number: int, box: _Box) -> None:
    """Draw all frames of a clip, in the number of rows that makes them largest; `number` is 0 for the overview."""
    left, top, right, bottom = (round(edge) for edge in box)
    color = _ZOOMS[(number - 1) % _ROWS] if number else _FAINT
    draw.rectangle((left, top, left + 4, bottom), fill=color)
    left, top = left + 14, top + 19
    title, facts = "overview", _frames(len(clip))
    if clip.window is not None:
        title = f"zoom {number}"
        facts = f"{seconds(clip.window.start)} to {seconds(clip.window.end)} s at {clip.fps:g} fps: {facts}"
    elif number:
        title = f"tool {number}"
    draw.text((left, top - 19), title, fill=color, font=_font(15))
    draw.text((left + _font(15).getlength(title) + 12, top - 18), facts, fill=_FAINT, font=_font(14))
    if not len(clip):
        return
    aspect = min(4.0, max(0.25, clip.size[1] / clip.size[0]))
    fitting = [
        (
            min(
                _LARGEST,
                (bottom - top) // lines - 18,
                int(((right - left) / math.ceil(len(clip) / lines) - 4) / aspect),
            ),
            lines,
        )
        for lines in range(1, min(9, len(clip)) + 1)
    ]
    tall, lines = max(fitting)
    tall = max(4, tall)
    wide, columns = max(1, round(tall * aspect)), math.ceil(len(clip) / lines)
    frames = clip.thumbnails((tall, wide))
    labels = [f"{time:.2f}" for time in clip.times]
    each = math.ceil((max(map(_font(12).getlength, labels)) + 6) / (wide + 4))
    for index, (frame, label) in enumerate(zip(frames, labels, strict=True)):
        line, column = divmod(index, columns)
        x, y = left + column * (wide + 4), top + line * (tall + 18)
        image.paste(Image.fromarray(frame), (x, y))
        if column % each == 0:
            draw.text((x, y + tall + 14), label, fill=_FAINT, font=_font(12), anchor="lb")


def _turns(draw: ImageDraw.ImageDraw, record: EpisodeRecord, box: _Box) -> None:
    """Draw the turns and their outcomes, newest last; the oldest are left out if they do not fit."""
    left, top, right, bottom = box
    draw.rounded_rectangle(box, 8, fill=_PANEL)
    if not record.turns:
        draw.text(((left + right) / 2, (top + bottom) / 2), "no turn yet", fill=_DIM, font=_font(15), anchor="mm")
    width, room, blocks = right - left - 46, bottom - top - 12, []
    for number in reversed(range(len(record.turns))):
        said = _wrap(record.turns[number].text or "(nothing)", 14, width, 3)
        result, color = _result(record, number)
        replied = _wrap(result, 13, width, 4)
        tall = 18 * len(said) + 17 * len(replied) + 10
        if tall > room:
            break
        room -= tall
        blocks.append((number, said, replied, color))
    y = top + 10
    for number, said, replied, color in reversed(blocks):
        draw.text((left + 12, y), f"{number + 1}", fill=color, font=_font(15))
        for line in said:
            draw.text((left + 34, y), line, fill=_INK, font=_font(14))
            y += 18
        for line in replied:
            draw.text((left + 34, y), line, fill=color, font=_font(13))
            y += 17
        y += 10


def _result(record: EpisodeRecord, number: int) -> tuple[str, _Color]:
    """A turn's outcome as text and as a color."""
    turn: Turn = record.turns[number]
    match turn.outcome:
        case Outcome.EXECUTED:
            shown = f"{_frames(sum(map(len, turn.clips)))} shown"
            result = f"{turn.reply}\n{shown}" if turn.reply and turn.clips else turn.reply or shown
            color = _ZOOMS[sum(len(earlier.clips) for earlier in record.turns[:number]) % _ROWS]
        case Outcome.ANSWERED:
            good = record.grade is not None and record.grade.is_correct
            result, color = str(record.grade.status) if record.grade else "", _GOOD if good else _BAD
        case _:
            result, color = f"{turn.outcome}: {turn.detail.rstrip('.')}", _BAD
    if record.rewards and number < len(record.rewards):
        total = record.rewards[number]["total"]
        result += ", unscored" if total is None else f", reward {total:+.2f}" if total else ""
    return result, color


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"
