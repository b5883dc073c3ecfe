"""Contact sheets: a task in one picture."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vzgym.core.actions import Region, Zoom
from vzgym.core.budget import overview_times
from vzgym.core.errors import InvalidSetting, TaskError
from vzgym.core.interval import Interval
from vzgym.tasks.procedural.family import expert_zooms
from vzgym.tasks.task import VideoTask, option_letter
from vzgym.tasks.task_set import TaskSet
from vzgym.video.base import Frames
from vzgym.video.synthetic import letterbox

__all__ = ["contact_sheet"]

_PAPER, _INK, _FAINT = (250, 249, 246), (24, 26, 32), (120, 122, 130)
_EVENT_INK = (186, 60, 20)
_GAP, _MARGIN = 6, 16


def contact_sheet(
    task: VideoTask, tasks: TaskSet, *, columns: int = 8, overview_rows: int = 3, frame_height: int = 90
) -> NDArray[np.uint8]:
    """Draw a task's overview, and the frames of a zoom on its evidence.

    Args:
        task: The task. If its evidence is unknown or empty, only the overview is drawn.
        tasks: The task's set, whose budget defines the overview.
        columns: Frames in a row, >= 2.
        overview_rows: Most rows of overview frames; of a longer overview every n-th frame is drawn.
        frame_height: Height of a frame in pixels.

    Returns:
        uint8, shape `(height, width, 3)`.

    Raises:
        InvalidSetting: If `columns`, `overview_rows` or `frame_height` is too small.
    """
    if columns < 2 or overview_rows < 1 or frame_height < 16:
        raise InvalidSetting("a contact sheet needs columns >= 2, overview_rows >= 1, frame_height >= 16")
    video = task.video
    size = (frame_height, max(1, round(frame_height * video.width / video.height)))
    grid = overview_times(video.duration, tasks.budget)
    chosen = grid[np.unique(np.linspace(0, len(grid) - 1, min(len(grid), columns * overview_rows)).round().astype(int))]
    strips = [
        (
            f"The overview: {len(chosen)} of {len(grid)} frames over {video.duration:g} s",
            _FAINT,
            video.read(chosen, size=size),
        )
    ]

    def add(span: Interval, what: str, region: Region | None = None) -> None:
        pad = 0.25 * span.duration
        # At the rate that the task needs, so that the sheet shows every pulse.
        needed = math.ceil((span.duration + 2 * pad) * (task.requirements.min_fps or 0.0) - 1e-6) + 1
        count = columns * max(1, math.ceil(needed / columns))
        times = np.clip(np.linspace(span.start - pad, span.end + pad, count), 0.0, video.duration)
        label = f"A zoom: {what}, {span.start:.2f} to {span.end:.2f} s"
        frames = video.read(times, size=None if region else size, region=region)
        strips.append((label, _EVENT_INK, replace(frames, pixels=letterbox(frames.pixels, size))))

    for start, end in task.metadata.get("decoys", ()):
        add(Interval(start, end), "a false cue")
    for span in task.evidence or ():
        add(span, "the event")
    regions = {zoom.region for zoom in _expert(task, tasks) if zoom.region is not None}
    for region, span in zip(regions, task.evidence or (), strict=False):
        add(span, "the expert's region of it, from the full-resolution frames", region)
    return _draw(task, strips, columns, size)


def _expert(task: VideoTask, tasks: TaskSet) -> tuple[Zoom, ...]:
    """The expert's zooms; none if the task's evidence is unknown or beyond the budget."""
    try:
        return expert_zooms(task, tasks.budget)
    except TaskError:
        return ()


def _draw(
    task: VideoTask, strips: list[tuple[str, tuple[int, int, int], Frames]], columns: int, size: tuple[int, int]
) -> NDArray[np.uint8]:
    height, width = size
    title, text, small = (ImageFont.load_default(points) for points in (17, 13, 11))
    cell = height + 16
    options = "   ".join(f"{option_letter(i)} {option}" for i, option in enumerate(task.options))
    rows = [-(-len(frames) // columns) for _, _, frames in strips]
    total_width = max(2 * _MARGIN + columns * (width + _GAP) - _GAP, 560)
    total_height = 76 + sum(26 + n * (cell + _GAP) for n in rows) + _MARGIN // 2
    sheet = Image.new("RGB", (total_width, total_height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, 12), task.question, _INK, font=title)
    pen.text((_MARGIN, 38), f"{options or 'open question'}     answer: {task.answer}     {task.id}", _FAINT, font=text)
    top = 66
    for (label, ink, frames), n in zip(strips, rows, strict=True):
        pen.text((_MARGIN, top), label, ink, font=text)
        top += 24
        for place, (pixels, time) in enumerate(zip(frames.pixels, frames.times, strict=True)):
            x = _MARGIN + (place % columns) * (width + _GAP)
            y = top + (place // columns) * (cell + _GAP)
            sheet.paste(Image.fromarray(pixels), (x, y))
            pen.text((x, y + height + 1), f"{time:.2f} s", ink, font=small)
        top += n * (cell + _GAP) + 2
    drawn: NDArray[np.uint8] = np.array(sheet)
    return drawn
