"""Draws an episode: where the agent looked, what it saw there, what it said, and what that was worth."""

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
from vzgym.episode.dialogue import ImageBlock, seconds
from vzgym.episode.record import EpisodeRecord, Outcome, Turn
from vzgym.tasks.task import option_letter

__all__ = ["CANVAS", "draw_episode"]

CANVAS = (720, 1280)
"""Height and width of the picture in pixels; even, since video encoders want it so."""

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
_MARGIN, _STRIP, _BELOW, _SPLIT = 24, (150, 214), 276, 884
_ROWS = len(_ZOOMS)  # zooms that have a row; the newest are shown


def draw_episode(record: EpisodeRecord, *, evidence: bool = True) -> NDArray[np.uint8]:
    """Draw an episode as it stands.

    Top: the question, its options, how it stands. Then the video as time: the overview's frames side by side, each
    where it lies, a coloured bar above for each executed zoom, a green one below for the evidence, if it is known.
    Left: the frames of each zoom (the newest four). Right: the turns, with replies and rewards.

    Args:
        record: A record with pixels (a live one, or one that was replayed).
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
    clips = [clip for clip in record.clips if clip.window is not None]
    rows = min(_ROWS, record.budget.max_zooms)
    first = max(0, len(clips) - rows)
    for row in range(rows):
        tall = (height - 12 - _BELOW) / rows
        box = (_MARGIN, _BELOW + row * tall, _SPLIT - _MARGIN, _BELOW + (row + 1) * tall - 10)
        number = first + row
        if number < len(clips):
            _film(image, draw, clips[number], number, box)
        else:
            text = f"zoom {number + 1}: not used" + ("" if record.end else " yet")
            draw.rounded_rectangle(box, 6, outline=_LINE)
            draw.text(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), text, fill=_DIM, font=_font(15), anchor="mm")
    _turns(draw, record, (_SPLIT, _BELOW, width - _MARGIN, height - 22))
    return np.array(image)


# Text ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fit(text: str, size: int, width: float) -> str:
    """`text` on one line, cut with "..." where it would be wider than `width`."""
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
    """`text` broken into lines; with more than `most`, the middle is left out (an action stands at the end)."""
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
        f"{record.zooms} of {budget.max_zooms} zooms",
        f"{record.frames} of {budget.max_frames} frames",
    ]
    if reveal and not task.evidence:
        facts.append("evidence unknown" if task.evidence is None else "no evidence to find: the overview suffices")
    draw.text((_MARGIN, 96), "   |   ".join(fact for fact in facts if fact), fill=_FAINT, font=_font(15))


def _options(draw: ImageDraw.ImageDraw, record: EpisodeRecord, width: float, reveal: bool) -> None:
    """The options in one line; in two lines of columns, cut to fit, where they need more."""
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
        """Its edges on the canvas, at least four pixels apart."""
        return place(item.start), max(place(item.end), place(item.start) + 4)

    draw.rectangle((_MARGIN, top, _MARGIN + long, bottom), fill=_PANEL)
    times = record.overview.times
    if len(times):
        # A frame stands for the time until the next one, as long as it is the last that was seen.
        slots = [round(place(time)) for time in (*times.tolist(), duration)]
        for index, (left, right) in enumerate(pairwise(slots)):
            if right > left:
                frame = Image.fromarray(ImageBlock(record.overview, index).pixels)
                gap = int(right - left > 2)
                image.paste(ImageOps.fit(frame, (right - left - gap, bottom - top)), (left, top))
    else:
        draw.text((_MARGIN + 12, (top + bottom) / 2), "no overview", fill=_FAINT, font=_font(15), anchor="lm")
    for number, window in enumerate(record.windows):
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
    """A zoom's frames, spread evenly where there are more than fit."""
    left, top, right, bottom = (round(edge) for edge in box)
    color, title = _ZOOMS[number % _ROWS], f"zoom {number + 1}"
    draw.rectangle((left, top, left + 4, bottom), fill=color)
    left += 14
    tall = bottom - top - 36
    aspect = min(4.0, max(0.25, clip.size[1] / clip.size[0]))
    tall = min(tall, int((right - left - 4) / aspect))
    needed = len(clip) * (tall * aspect + 4) / (right - left)
    if 1.0 < needed < 1.6:  # a little smaller, so that all of them fit; many more would be too small to see
        tall = int(tall / needed) - 1
    wide = round(tall * aspect)
    fit = max(1, (right - left) // (wide + 4))
    picked = np.unique(np.linspace(0, len(clip) - 1, min(fit, len(clip))).round().astype(int))
    facts = [_frames(len(clip)) + (f", {len(picked)} of them here" if len(picked) < len(clip) else "")]
    if clip.window is not None:
        facts.insert(0, f"{seconds(clip.window.start)} to {seconds(clip.window.end)} s at {clip.fps:g} fps")
    draw.text((left, top), title, fill=color, font=_font(15))
    after = left + _font(15).getlength(title) + 12
    draw.text((after, top + 1), ": ".join(facts), fill=_FAINT, font=_font(14))
    frames = clip.thumbnails((tall, wide))
    labels = [f"{time:.2f}" for time in clip.times[picked]]
    each = math.ceil((max(_font(12).getlength(label) for label in labels) + 6) / (wide + 4))
    for slot, index in enumerate(picked):
        x = left + slot * (wide + 4)
        image.paste(Image.fromarray(frames[index]), (x, top + 21))
        if slot % each == 0:
            draw.text((x, top + 21 + tall + 14), labels[slot], fill=_FAINT, font=_font(12), anchor="lb")


def _turns(draw: ImageDraw.ImageDraw, record: EpisodeRecord, box: _Box) -> None:
    """What was said and what came of it, newest last; the oldest turns go where there is no room."""
    left, top, right, bottom = box
    draw.rounded_rectangle((left, top, right, bottom), 8, fill=_PANEL)
    left, top, right = left + 14, top + 12, right - 14
    blocks = [_turn(record, number, right - left - 30) for number in range(len(record.turns))]
    heights = [20 * len(said) + 18 * len(result) + 12 for said, result, _ in blocks]
    start = next(place for place in range(len(blocks) + 1) if sum(heights[place:]) <= bottom - top)
    if not blocks:
        draw.text(((left + right) / 2, (top + bottom) / 2), "no turn yet", fill=_FAINT, font=_font(15), anchor="mm")
    y = top
    for number, (said, result, color) in list(enumerate(blocks))[start:]:
        draw.text((left, y), f"{number + 1}", fill=color, font=_font(16))
        for row, line in enumerate(said):
            draw.text((left + 26, y + 20 * row), line, fill=_INK, font=_font(15))
        for row, line in enumerate(result):
            draw.text((left + 26, y + 20 * len(said) + 18 * row), line, fill=color, font=_font(14))
        y += heights[number]


def _turn(record: EpisodeRecord, number: int, width: float) -> tuple[list[str], list[str], _Color]:
    """A turn in lines: what was said, what came of it, and the colour of that."""
    turn: Turn = record.turns[number]
    said = _wrap(turn.text or "(nothing)", 15, width, 3)
    match turn.outcome:
        case Outcome.EXECUTED:
            result, color = f"{_frames(len(turn.clip or ()))} shown", _zoom_color(record, number)
        case Outcome.ANSWERED:
            good = record.grade is not None and record.grade.is_correct
            result, color = record.grade.status if record.grade else "", _GOOD if good else _BAD
        case _:
            result, color = f"{turn.outcome}: {turn.detail.rstrip('.')}", _BAD
    reward = ""
    if record.rewards and number < len(record.rewards):
        total = record.rewards[number]["total"]
        reward = ", unscored" if total is None else f", reward {total:+.2f}" if total else ""
    return said, _wrap(result + reward, 14, width, 3), color


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


def _zoom_color(record: EpisodeRecord, number: int) -> _Color:
    executed = sum(turn.clip is not None for turn in record.turns[:number])
    return _ZOOMS[executed % _ROWS]
