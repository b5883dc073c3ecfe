"""An episode as HTML for notebooks."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from vzgym.core.errors import VzgymError
from vzgym.core.interval import Interval
from vzgym.episode.clip import Clip
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.turn import Outcome, Turn
from vzgym.episode.wording import seconds
from vzgym.evaluation.notebook.parts import GOOD, NEUTRAL, POOR, badge, block, plain_text, thumbnail
from vzgym.evaluation.pixels import clips_with_pixels

__all__ = ["record_html"]

_WIDTH: Final = 104
"""Width of a thumbnail in pixels."""
_PER_CLIP, _FRAMES = 8, 40
"""Most thumbnails of a clip and of an episode, which bound the size of the HTML."""
_QUESTION, _TURN, _DIALOGUE = 2000, 400, 20_000
"""Most characters of the question, of a turn in the table, and of the dialogue."""

_EVIDENCE: Final = "#1f9d63"
_ZOOMS: Final = ("#d98324", "#3f86d8", "#a862d8", "#2a9d98")


def record_html(record: EpisodeRecord) -> str:
    """Describe an episode: question, time line, frames, turns with outcomes and rewards, dialogue.

    The frames of a saved record are read from its video again; if that fails, the reason stands in their place. Code
    named by the record is not imported. At most 40 thumbnails are shown.
    """
    return block([_head(record), _timeline(record), _frames(record), _turns(record), _dialogue(record)])


def _head(record: EpisodeRecord) -> str:
    task, budget = record.task, record.budget
    status, color = "in progress", NEUTRAL
    if record.end is not None:
        scored = record.grade is not None and record.grade.score is not None
        color = (GOOD if record.grade and record.grade.is_correct else POOR) if scored else NEUTRAL
        status = str(record.grade.status if record.grade is not None and record.answer is not None else record.end)
    totals = [entry["total"] for entry in record.rewards or ()]
    facts = [
        task.id,
        *([record.info.policy] if record.info.policy else []),
        f"{seconds(task.duration)} s of video",
        f"{record.zooms} of {budget.max_zooms} zooms",
        f"{record.frames} of {budget.max_frames} frames",
        *([] if not totals or None in totals else [f"reward {math.fsum(totals):+.3f}"]),
    ]
    options = "".join(
        f'<li value="{place + 1}">{plain_text(option, _TURN)}'
        + (f" {badge('right answer', GOOD)}" if option == task.answer else "")
        + "</li>"
        for place, option in enumerate(task.options)
    )
    listed = f'<ol type="A" style="margin:.2em 0 .2em 1.6em;padding:0">{options}</ol>' if options else ""
    gold = f"<p>Right answer: {plain_text(task.answer, _TURN)}</p>" if task.answer and not options else ""
    answer = "" if record.answer is None else f"<p>Answer: <b>{plain_text(record.answer, _TURN)}</b></p>"
    return (
        f"<p>{badge(status.replace('_', ' '), color)} <b>{plain_text(task.question, _QUESTION)}</b></p>"
        f'{listed}{gold}{answer}<p class="quiet">{" &middot; ".join(plain_text(fact, 200) for fact in facts)}</p>'
    )


def _timeline(record: EpisodeRecord) -> str:
    """Zooms above, the overview's frames as ticks, and the evidence below, over the time of the video."""
    duration, length, left = record.task.duration, 900.0, 10.0

    def span(item: Interval) -> tuple[float, float]:
        start = left + length * max(0.0, item.start) / duration
        return start, max(3.0, length * (item.end - item.start) / duration)

    bars = [f'<rect x="{left}" y="34" width="{length}" height="12" rx="3" fill="#8884"/>']
    for time in record.overview.times:
        x = left + length * float(time) / duration
        bars.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="34" y2="46" stroke="#888" stroke-width="1.5"/>')
    for number, window in enumerate(record.windows):
        x, wide = span(window)
        color, lane = _ZOOMS[number % len(_ZOOMS)], 24 - 8 * (number % 3)
        label = f"zoom {number + 1}: {seconds(window.start)} to {seconds(window.end)} s"
        bars.append(
            f'<rect x="{x:.1f}" y="{lane}" width="{wide:.1f}" height="6" fill="{color}"><title>{label}</title></rect>'
            f'<rect x="{x:.1f}" y="34" width="{wide:.1f}" height="12" fill="{color}" fill-opacity=".45"/>'
        )
    for item in record.task.evidence or ():
        x, wide = span(item)
        label = f"evidence: {seconds(item.start)} to {seconds(item.end)} s"
        bars.append(
            f'<rect x="{x:.1f}" y="49" width="{wide:.1f}" height="6" fill="{_EVIDENCE}"><title>{label}</title></rect>'
        )
    for step in range(5):
        anchor = ("start", "middle", "middle", "middle", "end")[step]
        time = duration * step / 4
        bars.append(
            f'<text x="{left + length * step / 4:.1f}" y="70" font-size="12" text-anchor="{anchor}" '
            f'fill="currentColor">{seconds(time)} s</text>'
        )
    known = record.task.evidence is not None
    label = f"Time line: {len(record.windows)} zooms" + (
        f", {len(record.task.evidence or ())} evidence" if known else ""
    )
    legend = "overview frames as ticks, zooms in color above" + (
        ", evidence in green below" if record.task.evidence else ""
    )
    return (
        f'<svg viewBox="0 0 920 76" role="img" aria-label="{label}">{"".join(bars)}</svg>'
        f'<p class="quiet">Time line: {legend}.</p>'
    )


def _frames(record: EpisodeRecord) -> str:
    try:
        clips = clips_with_pixels(record)
    except VzgymError as error:
        return f'<p role="note">The frames cannot be shown: {plain_text(str(error), _TURN)}</p>'
    parts, left = [], _FRAMES
    titles = ["Overview", *(f"Turn {number}" for number, turn in enumerate(record.turns, 1) for _ in turn.clips)]
    for place, (clip, title) in enumerate(zip(clips, titles, strict=True)):
        remaining = len(clips) - place
        shown = _thumbnails(clip, min(_PER_CLIP, max(1, left // remaining) if place else _PER_CLIP))
        left -= len(shown)
        facts = ""
        if clip.window is not None:
            rate = "" if clip.fps is None else f" at {clip.fps:.4g} fps"
            facts = f", {seconds(clip.window.start)} to {seconds(clip.window.end)} s{rate}"
        of = "" if len(shown) == len(clip) else f"{len(shown)} of "
        count = f"{of}{len(clip)} frame{'' if len(clip) == 1 else 's'}"
        parts.append(f'<h4>{title}{facts}: {count}</h4><div class="frames">{"".join(shown)}</div>')
        if left <= 0 and remaining > 1:
            parts.append(f'<p class="quiet">{remaining - 1} more clips are not shown.</p>')
            break
    return "".join(parts)


def _thumbnails(clip: Clip, most: int) -> list[str]:
    """Up to `most` frames, evenly spaced."""
    if clip.pixels is None or not len(clip):
        return []
    places = np.unique(np.linspace(0, len(clip) - 1, min(most, len(clip))).round().astype(int))
    return [thumbnail(clip.pixels[place], f"{clip.times[place]:.2f} s", _WIDTH) for place in places]


def _turns(record: EpisodeRecord) -> str:
    if not record.turns:
        return '<p class="quiet">No turn yet.</p>'
    rows = []
    for number, turn in enumerate(record.turns):
        total = record.rewards[number]["total"] if record.rewards and number < len(record.rewards) else None
        reward = "" if total is None else f"{total:+.3f}"
        rows.append(
            f'<tr><td>{number + 1}</td><td class="text">{plain_text(turn.text or "(nothing)", _TURN)}</td>'
            f'<td class="text">{_outcome(turn)}</td><td>{reward}</td></tr>'
        )
    heads = '<th scope="col">turn</th><th scope="col" class="text">text</th><th scope="col" class="text">outcome</th>'
    return (
        f'<div class="scroll"><table><thead><tr>{heads}<th scope="col">reward</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _outcome(turn: Turn) -> str:
    if turn.outcome is Outcome.EXECUTED and turn.clips:
        count = sum(map(len, turn.clips))
        return f"{count} frame{'' if count == 1 else 's'} shown"
    detail = f": {plain_text(turn.detail, _TURN)}" if turn.detail else ""
    return f"{plain_text(str(turn.outcome))}{detail}"


def _dialogue(record: EpisodeRecord) -> str:
    if not record.messages:
        return ""
    parts, left = [], _DIALOGUE
    for message in record.messages:
        parts.append(f"<b>{plain_text(message.role)}</b><pre>{plain_text(message.text, max(0, left))}</pre>")
        left -= len(message.text)
    return f"<details><summary>Dialogue: {len(record.messages)} messages</summary>{''.join(parts)}</details>"
