"""Parts of the HTML that notebooks show."""

from __future__ import annotations

import base64
import io
import unicodedata
from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vzgym.evaluation.publication.table import DataTable

__all__ = ["GOOD", "NEUTRAL", "POOR", "badge", "block", "plain_text", "table_html", "thumbnail"]

# Text takes the notebook's own color, lines are translucent, and colored areas bring their own text color: the same
# HTML is readable on a light and on a dark page. (A notebook's theme is not known when the HTML is made.)
_STYLE: Final = (
    "<style>"
    ".vzgym{font:14px/1.45 system-ui,sans-serif;max-width:60rem;color:inherit}"
    ".vzgym h4{font-size:1em;margin:.8em 0 .3em}"
    ".vzgym p{margin:.3em 0}"
    ".vzgym .quiet{opacity:.75;font-size:.9em}"
    ".vzgym table{border-collapse:collapse;font-variant-numeric:tabular-nums;background:none;margin:.4em 0}"
    ".vzgym tr,.vzgym tr:nth-child(even),.vzgym tr:hover{background:none}"
    ".vzgym th,.vzgym td{padding:.2em .7em .2em 0;border:0;border-bottom:1px solid #8886;text-align:right;"
    "vertical-align:top;color:inherit;background:none;white-space:nowrap}"
    ".vzgym .text{text-align:left;white-space:normal;overflow-wrap:break-word}"
    ".vzgym .frames{display:flex;flex-wrap:wrap;gap:4px}"
    ".vzgym figure{margin:0;font-size:.75em;text-align:center}"
    ".vzgym img{display:block;max-width:none;margin:0;background:none}"
    ".vzgym pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.2em 0 .6em;font-size:.85em;background:none;"
    "color:inherit;border:0;padding:0}"
    ".vzgym details{margin:.4em 0}"
    ".vzgym summary{cursor:pointer}"
    ".vzgym svg{display:block;width:100%;max-width:56rem;height:auto}"
    ".vzgym .scroll{overflow-x:auto}"
    "</style>"
)

GOOD, POOR, NEUTRAL = "#1b7837", "#b2182b", "#5a6270"
"""Backgrounds on which white text has a contrast of at least 5:1."""


def block(parts: Sequence[str]) -> str:
    """The HTML of a notebook's output."""
    return f'<div class="vzgym">{_STYLE}{"".join(part for part in parts if part)}</div>'


def plain_text(text: str, limit: int | None = None) -> str:
    """Escape a text; characters that change the text direction or control the page are made visible.

    Args:
        text: Any text.
        limit: Maximum number of characters; a longer text is cut and says so.
    """
    cut = "" if limit is None or len(text) <= limit else f" ... ({len(text) - limit:,} more characters)"
    shown = "".join(char if _is_plain(char) else ascii(char)[1:-1] for char in text[:limit])
    return escape(shown + cut)


def _is_plain(char: str) -> bool:
    return char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or char in "\u200c\u200d"


def badge(text: str, color: str) -> str:
    """A short text on a colored background."""
    style = f"background:{color};color:#fff;border-radius:9px;padding:1px 9px;font-size:.85em;white-space:nowrap"
    return f'<span style="{style}">{plain_text(text)}</span>'


def table_html(table: DataTable) -> str:
    """A table as HTML, with its title and note."""
    heads = "".join(
        f'<th scope="col"{_text_class(column.text)}>{plain_text(column.title)}</th>' for column in table.columns
    )
    rows = []
    for cells in table.cells():
        texts = [
            f"<td{_text_class(column.text)}>{plain_text(cell)}</td>"
            for cell, column in zip(cells, table.columns, strict=True)
        ]
        rows.append(f"<tr>{''.join(texts)}</tr>")
    note = f'<p class="quiet">{plain_text(table.note)}</p>' if table.note else ""
    return (
        f'<h4>{plain_text(table.title)}</h4><div class="scroll"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{note}"
    )


def _text_class(is_text: bool) -> str:
    return ' class="text"' if is_text else ""


def thumbnail(pixels: NDArray[np.uint8], caption: str, width: int) -> str:
    """A frame as a small JPEG picture within the HTML.

    Args:
        pixels: uint8, shape `(height, width, 3)`.
        caption: A short text below it.
        width: Width in pixels; the aspect ratio is kept, up to a height of twice the width.
    """
    image = Image.fromarray(pixels)
    image.thumbnail((width, 2 * width), Image.Resampling.LANCZOS)
    if image.width < width and image.height < 2 * width:
        scale = min(width / image.width, 2 * width / image.height)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    text = plain_text(caption)
    return (
        f'<figure><img width="{image.width}" height="{image.height}" alt="frame at {text}" '
        f'src="data:image/jpeg;base64,{data}"><figcaption>{text}</figcaption></figure>'
    )
