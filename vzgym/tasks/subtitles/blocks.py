"""SubRip (.srt) and WebVTT (.vtt): blocks of lines, separated by blank lines.

WebVTT: https://www.w3.org/TR/webvtt1/. SubRip has no specification; what players accept is read.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vzgym.tasks.subtitles.cues import Cues, clock_seconds

__all__ = ["read_srt", "read_vtt"]

_ARROW = "-->"
_SIGNED = r"-?(?:\d+:)?\d{1,2}:\d{1,2}(?:[.,]\d{1,9})?"
_TIMING = re.compile(rf"\s*({_SIGNED})\s*-->\s*({_SIGNED})(?:\s.*)?")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_OVERRIDE = re.compile(r"\{\\[^{}]*\}")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^<>]+)>")
_STAMP = re.compile(r"<\d[\d:.]*>")
_BLOCK_TYPES = ("NOTE", "STYLE", "REGION")
# YouTube's rolling captions repeat the line above for this long at most after its cue.
_ROLLING = 0.1


@dataclass(frozen=True, slots=True)
class _Block:
    """Adjacent lines that are not blank; `line` is the first one's number."""

    line: int
    lines: list[str]


def read_srt(text: str, cues: Cues) -> None:
    """Read SubRip: a number, `HH:MM:SS,mmm --> HH:MM:SS,mmm`, and lines of text. Formatting tags are removed."""
    for number, block in enumerate(_blocks(text), start=1):
        for part, split in _parts(block):
            if split:
                cues.fault("no blank line before it", number, part.line)
            lines = part.lines
            head = 1 if _ARROW not in lines[0] and len(lines) > 1 and lines[0].strip().isdigit() else 0
            timed = _timed(lines[head], cues, number, part.line + head)
            if timed is not None:
                said = _OVERRIDE.sub("", _TAG.sub("", "\n".join(lines[head + 1 :])))
                cues.add(*timed, said, number, part.line + head)


def read_vtt(text: str, cues: Cues) -> None:
    """Read WebVTT: `WEBVTT`, then cues with an optional identifier; notes, styles and regions are skipped.

    Tags are removed, except that a voice becomes "Name: ". Lines that YouTube's automatic captions repeat from the cue
    before are removed.
    """
    # White space ends no cue: YouTube's hold lines of one space.
    blocks = list(_blocks(text, blank=lambda line: not line))
    if blocks and re.match(r"WEBVTT(?:\s|$)", blocks[0].lines[0]):
        head = blocks.pop(0)
        shift = next((line for line in head.lines if line.startswith("X-TIMESTAMP-MAP")), None)
        if shift and not re.search(r"MPEGTS:0+(?:\D|$)", shift):
            cues.fault(f"{shift!r} shifts the times, which is not done: pass offset=", 1, head.line)
        # A cue may follow the header without a blank line.
        first = next((place for place, line in enumerate(head.lines) if _ARROW in line), None)
        if first is not None:
            blocks.insert(0, _Block(head.line + first, head.lines[first:]))
    else:
        cues.fault("no line 'WEBVTT' at its start", 1, 1)
    rolling = _STAMP.search(text) is not None
    above: tuple[float, str] | None = None
    for number, block in enumerate(blocks, start=1):
        lines = block.lines
        if lines[0].partition(" ")[0].strip() in _BLOCK_TYPES and _ARROW not in lines[0]:
            continue
        head_lines = 0 if _ARROW in lines[0] else 1
        if head_lines == len(lines):
            cues.fault(f"no times, only {lines[0][:60]!r}", number, block.line)
            continue
        timed = _timed(lines[head_lines], cues, number, block.line + head_lines)
        if timed is None:
            continue
        said = [_plain(line) for line in lines[head_lines + 1 :]]
        if any(_ARROW in line for line in lines[head_lines + 1 :]):
            cues.fault("no blank line before the next cue", number, block.line)
        if rolling:
            said = [line for line in said if line.strip()]
            last = said[-1] if said else None
            if above is not None and said and said[0] == above[1] and timed[0] <= above[0] + _ROLLING:
                said = said[1:]
            above = (timed[1], last) if last is not None else above
        cues.add(*timed, "\n".join(said), number, block.line + head_lines)


def _plain(line: str) -> str:
    """A line of a WebVTT cue without its tags, with its entities decoded."""
    return html.unescape(_STAMP.sub("", _TAG.sub("", _VOICE.sub(r"\1: ", line))))


def _timed(line: str, cues: Cues, number: int, place: int) -> tuple[float, float] | None:
    """A timing line's start and end; None, and a fault, if it is not one."""
    if _ARROW not in line:
        cues.fault(f"no times: expected 'start --> end', got {line.strip()[:60]!r}", number, place)
        return None
    found = _TIMING.fullmatch(line)
    times = tuple(clock_seconds(part) for part in found.groups()) if found else ()
    if len(times) != 2 or times[0] is None or times[1] is None:
        cues.fault(f"bad times {line.strip()[:60]!r}: expected 'HH:MM:SS,mmm --> HH:MM:SS,mmm'", number, place)
        return None
    return times[0], times[1]


def _blocks(text: str, *, blank: Callable[[str], bool] = lambda line: not line.strip()) -> Iterator[_Block]:
    lines: list[str] = []
    start = 0
    # Not `splitlines`, which also splits at characters that occur within lines (U+2028, form feed).
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if not blank(line):
            if not lines:
                start = number
            lines.append(line)
        elif lines:
            yield _Block(start, lines)
            lines = []
    if lines:
        yield _Block(start, lines)


def _parts(block: _Block) -> Iterator[tuple[_Block, bool]]:
    """The cues of a block, normally one; the others follow without a blank line, which the flag says."""
    starts = [0]
    for place in range(2, len(block.lines)):
        if _TIMING.fullmatch(block.lines[place]):
            numbered = block.lines[place - 1].strip().isdigit() and place - 1 > starts[-1] + 1
            starts.append(place - 1 if numbered else place)
    for first, last in zip(starts, [*starts[1:], len(block.lines)], strict=True):
        yield _Block(block.line + first, block.lines[first:last]), first > 0
