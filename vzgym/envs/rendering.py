"""Draws an episode: the timeline with what was looked at, the newest frames, the dialogue, the rewards."""

from __future__ import annotations

import textwrap
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vzgym.core.interval import Interval
from vzgym.episode.clip import Clip
from vzgym.episode.dialogue import seconds
from vzgym.episode.record import End, EpisodeRecord, Outcome, Turn
from vzgym.tasks.task import option_letter

__all__ = ["CANVAS", "draw_episode"]

CANVAS = (720, 1280)
"""Height and width of the picture in pixels; even, since video encoders want it so."""

_INK, _PAPER, _PANEL, _FAINT = (226, 230, 238), (17, 20, 28), (28, 33, 44), (126, 136, 154)
_OVERVIEW, _EVIDENCE, _GOOD, _BAD = (110, 128, 160), (64, 196, 120), (88, 208, 132), (238, 98, 98)
_ZOOMS = ((255, 176, 59), (88, 176, 255), (214, 122, 255), (255, 122, 160), (110, 222, 214))
_MARGIN = 24


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _zoom_colour(number: int) -> tuple[int, int, int]:
    return _ZOOMS[number % len(_ZOOMS)]


def draw_episode(record: EpisodeRecord, *, evidence: bool = True) -> NDArray[np.uint8]:
    """Draw an episode as it stands.

    Top: the question, its options, the outcome. Then the timeline: a tick for each overview frame, a coloured bar for
    each executed zoom, the evidence in green if it is known. Then the overview and each zoom's frames, and the end of
    the dialogue with the rewards.

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
    _timeline(draw, record, (_MARGIN, 128, width - _MARGIN, 206), evidence)
    below = 236
    rows = record.clips
    shown = rows if len(rows) <= 4 else [rows[0], *rows[-3:]]
    row_height = 84
    for clip in shown:
        number = rows.index(clip) - 1
        _film(image, draw, clip, number, (_MARGIN, below, width - _MARGIN, below + row_height))
        below += row_height + 12
    _dialogue(draw, record, (_MARGIN, below + 6, width - _MARGIN, height - 12))
    return np.asarray(image)


def _header(draw: ImageDraw.ImageDraw, record: EpisodeRecord, width: int, reveal: bool) -> None:
    task = record.task
    question = textwrap.shorten(task.question, 96, placeholder=" ...")
    draw.text((_MARGIN, 16), question, fill=_INK, font=_font(26))
    x = float(_MARGIN)
    for place, option in enumerate(task.options):
        label = f"{option_letter(place)}. {textwrap.shorten(option, 40, placeholder=' ...')}"
        colour = _GOOD if reveal and option == task.answer else _FAINT
        draw.text((x, 58), label, fill=colour, font=_font(20))
        x += draw.textlength(label, font=_font(20)) + 36
    state, colour = _state(record)
    draw.text((width - _MARGIN - draw.textlength(state, font=_font(20)), 58), state, fill=colour, font=_font(20))
    counts = (
        f"{task.category or 'task'}   {seconds(task.duration)} s   frames {record.frames}/{record.budget.max_frames}"
        f"   zooms {record.zooms}/{record.budget.max_zooms}"
    )
    draw.text((_MARGIN, 92), counts, fill=_FAINT, font=_font(17))


def _state(record: EpisodeRecord) -> tuple[str, tuple[int, int, int]]:
    if record.end is None:
        return f"round {len(record.turns) + 1} of {record.budget.max_rounds}", _INK
    status = record.grade.status if record.grade else ""
    if record.end is End.ANSWERED:
        good = record.grade is not None and record.grade.is_correct
        return f"answered {textwrap.shorten(record.answer or '', 30)!r}: {status}", _GOOD if good else _BAD
    return f"{record.end.replace('_', ' ')}: {status}", _BAD


def _timeline(draw: ImageDraw.ImageDraw, record: EpisodeRecord, box: tuple[int, int, int, int], reveal: bool) -> None:
    left, top, right, bottom = box
    duration = record.task.duration

    def place(time: float) -> float:
        return left + (right - left) * time / duration

    draw.rounded_rectangle((left, top + 18, right, bottom - 22), 6, fill=_PANEL)
    for item in record.task.evidence or () if reveal else ():
        start, end = _visible(item, place)
        draw.rectangle((start, top + 18, end, bottom - 22), fill=_EVIDENCE)
        draw.polygon([(start - 5, top + 8), (end + 5, top + 8), ((start + end) / 2, top + 17)], fill=_EVIDENCE)
    for time in record.overview.times:
        draw.line((place(time), bottom - 32, place(time), bottom - 22), fill=_OVERVIEW, width=1)
    for number, clip in enumerate(clip for clip in record.clips if clip.window is not None):
        assert clip.window is not None  # for the type checker: the generator kept windows only
        start, end = _visible(clip.window, place)
        draw.rectangle((start, top + 22, end, bottom - 36), outline=_zoom_colour(number), width=3)
        draw.text((start, top - 2), str(number + 1), fill=_zoom_colour(number), font=_font(15))
    for step in range(5):
        time = duration * step / 4
        label = f"{time:.0f} s"
        offset = draw.textlength(label, font=_font(15)) * step / 4
        draw.text((place(time) - offset, bottom - 18), label, fill=_FAINT, font=_font(15))


def _visible(item: Interval, place: object) -> tuple[float, float]:
    """An interval's edges on the canvas, at least three pixels apart."""
    assert callable(place)
    start, end = place(item.start), place(item.end)
    return start, max(end, start + 3)


def _film(
    image: Image.Image, draw: ImageDraw.ImageDraw, clip: Clip, number: int, box: tuple[int, int, int, int]
) -> None:
    """A row of a clip's frames, spread evenly where there are more than fit."""
    left, top, right, bottom = box
    colour = _OVERVIEW if number < 0 else _zoom_colour(number)
    title = "overview" if clip.window is None else f"zoom {number + 1}"
    draw.text((left, top), title, fill=colour, font=_font(16))
    if clip.window is not None:
        span = f"{seconds(clip.window.start)}-{seconds(clip.window.end)} s"
        draw.text((left, top + 20), span, fill=_FAINT, font=_font(13))
        draw.text((left, top + 36), f"{clip.fps:g} fps, {len(clip)} fr.", fill=_FAINT, font=_font(13))
    else:
        draw.text((left, top + 20), f"{len(clip)} frames", fill=_FAINT, font=_font(13))
    if not len(clip):
        return
    tall = bottom - top - 14
    wide = max(12, round(tall * clip.size[1] / clip.size[0]))
    start = left + 128
    fit = max(1, (right - start) // (wide + 4))
    picked = np.unique(np.linspace(0, len(clip) - 1, min(fit, len(clip))).round().astype(int))
    frames = clip.thumbnails((tall, wide))
    for slot, index in enumerate(picked):
        x = start + slot * (wide + 4)
        image.paste(Image.fromarray(frames[index]), (x, top))
        draw.text((x, bottom - 13), f"{clip.times[index]:.2f}", fill=_FAINT, font=_font(11))
    draw.line((start, bottom, start + len(picked) * (wide + 4) - 4, bottom), fill=colour, width=2)


def _dialogue(draw: ImageDraw.ImageDraw, record: EpisodeRecord, box: tuple[int, int, int, int]) -> None:
    left, top, _, bottom = box
    if bottom - top < 24:
        return
    lines: list[tuple[str, tuple[int, int, int]]] = []
    for number, turn in enumerate(record.turns):
        reward = ""
        if record.rewards and number < len(record.rewards):
            total = record.rewards[number]["total"]
            reward = "   reward unscored" if total is None else f"   reward {total:+.2f}"
        said = textwrap.shorten(turn.text.strip() or "(nothing readable)", 90, placeholder=" ...")
        lines.append((f"{number + 1}  {said}   {_result(turn)}{reward}", _BAD if turn.refusal else _INK))
    fit = max(1, (bottom - top) // 22)
    for row, (line, colour) in enumerate(lines[-fit:]):
        draw.text((left, top + row * 22), textwrap.shorten(line, 150, placeholder=" ..."), fill=colour, font=_font(16))


def _result(turn: Turn) -> str:
    if turn.outcome is Outcome.EXECUTED and turn.clip is not None:
        return f"-> {len(turn.clip)} frames"
    return f"-> {turn.refusal or turn.outcome}"
