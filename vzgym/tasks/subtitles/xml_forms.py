"""Subtitles in XML: TTML (https://www.w3.org/TR/ttml1/) and YouTube's srv1 and srv3."""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree

from vzgym.core.errors import SubtitleError
from vzgym.tasks.subtitles.cues import Cues, clock_seconds

__all__ = ["read_xml"]

_OFFSET = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def read_xml(text: str, cues: Cues) -> None:
    """Read TTML, srv1 (`<transcript>`) or srv3 (`<timedtext>`).

    Raises:
        SubtitleError: If it is not XML, or of another kind; or, if `cues.strict`, a cue is malformed.
    """
    try:
        # A declared encoding no longer applies: the text is decoded.
        root = ElementTree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))
    except ElementTree.ParseError as error:
        raise SubtitleError(f"{cues.source}: not XML: {error}") from error
    kind = _name(root)
    if kind == "transcript":
        elements, spans = [item for item in root.iter() if _name(item) == "text"], _srv1
    elif kind == "timedtext":
        elements, spans = [item for item in root.iter() if _name(item) == "p"], _srv3
    elif kind == "tt":
        elements, spans = [item for item in root.iter() if _name(item) == "p"], _ttml
    else:
        raise SubtitleError(f"{cues.source}: <{kind}> is none of <tt> (TTML), <transcript> (srv1), <timedtext> (srv3)")
    for number, element in enumerate(elements, start=1):
        # srv1 escapes its text twice.
        said = html.unescape(_text(element)) if kind == "transcript" else _text(element)
        if not said.strip():
            continue
        start, end = spans(element)
        if start is None or end is None:
            cues.fault(f"bad times: {dict(element.attrib)}", number)
            continue
        cues.add(start, end, said, number)


def _name(element: ElementTree.Element) -> str:
    """The element's name without its namespace."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _text(element: ElementTree.Element) -> str:
    """All text within an element; `<br/>` is a line break."""
    parts = [element.text or ""]
    for child in element:
        parts += ["\n" if _name(child) == "br" else _text(child), child.tail or ""]
    return "".join(parts)


def _srv1(element: ElementTree.Element) -> tuple[float | None, float | None]:
    start, length = _float(element.get("start")), _float(element.get("dur", "0"))
    return start, None if start is None or length is None else start + length


def _srv3(element: ElementTree.Element) -> tuple[float | None, float | None]:
    start, length = _float(element.get("t")), _float(element.get("d", "0"))
    return (None, None) if start is None or length is None else (start / 1000, (start + length) / 1000)


def _ttml(element: ElementTree.Element) -> tuple[float | None, float | None]:
    start = _expression(element.get("begin", "0s"))
    if "end" in element.attrib:
        return start, _expression(element.get("end", ""))
    length = _expression(element.get("dur", ""))
    return start, None if start is None or length is None else start + length


def _expression(text: str) -> float | None:
    """A TTML time expression as seconds; None for times in frames or ticks, which need the file's rates."""
    found = _OFFSET.fullmatch(text.strip())
    return float(found[1]) * _SECONDS[found[2]] if found else clock_seconds(text)


def _float(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
