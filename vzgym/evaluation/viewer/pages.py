"""The page itself: its HTML, and data as scripts that a page opened from a file can load."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from vzgym.core.files import json_line
from vzgym.core.text import replace_surrogates

__all__ = ["ASSETS", "SCRIPTS", "STYLES", "asset", "data_script", "folder_page", "single_page"]

STYLES: Final = ("base.css", "viewer.css")
"""Style sheets: the first is shared by all pages of vzgym, the second belongs to the viewer."""
SCRIPTS: Final = (
    "base.js", "frames.js", "timeline.js", "curves.js", "filters.js", "list.js", "compare.js", "episode.js",
    "viewer.js",
)  # fmt: skip
ASSETS: Final = (*STYLES, *SCRIPTS)

_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; img-src {images}; script-src {scripts}; "
    "style-src {styles}"
)


def asset(name: str) -> bytes:
    """A style sheet or script of the page.

    Raises:
        KeyError: If there is none of this name.
    """
    if name not in ASSETS:
        raise KeyError(name)
    return files("vzgym.evaluation.viewer").joinpath("static", name).read_bytes()


def data_script(name: str, value: Any) -> str:
    """A script that hands JSON to the page.

    A page opened from a file may not fetch other files, but may load scripts. The JSON is within a string, so that the
    script's only code is this call, whatever the value holds.

    Args:
        name: The name under which the page asked for it.
        value: The JSON value.
    """
    text = json_line(value).replace("\\", "\\\\").replace("'", "\\'").replace("<", "\\x3c")
    return f"vzgym.receive({json.dumps(name)}, JSON.parse('{text}'));\n"


def folder_page(title: str, *, live: bool = False) -> str:
    """The page whose styles, scripts, data and frames are files beside it.

    Args:
        title: Its title.
        live: Whether it is served, and asks the server for new episodes.
    """
    # 'self' does not mean the page's own files in every browser if the page was opened from a file.
    own = "'self' file:"
    policy = _POLICY.format(images=f"{own} data:", scripts=own, styles=own)
    if live:
        policy += "; connect-src 'self'"
    styles = "".join(f'<link rel="stylesheet" href="static/{name}">\n' for name in STYLES)
    scripts = "".join(f'<script src="static/{name}"></script>\n' for name in SCRIPTS)
    mode = "live" if live else "folder"
    return _page(title, policy, styles, f'{scripts}<script src="data/index.js"></script>\n', mode)


def single_page(title: str, data: Mapping[str, Any], sheets: Mapping[str, bytes]) -> str:
    """The page with everything in one file.

    Args:
        title: Its title.
        data: JSON values by the name under which the page asks for them.
        sheets: WebP pictures by name.
    """
    styles = ["\n" + asset(name).decode() for name in STYLES]
    scripts = ["\n" + asset(name).decode() for name in SCRIPTS]
    policy = _POLICY.format(images="data:", scripts=_hashes(scripts), styles=_hashes(styles))
    blocks = [
        f'<script type="application/json" id="data-{escape(name)}">{_without_tags(json_line(value))}</script>\n'
        for name, value in data.items()
    ]
    blocks += [
        f'<script type="text/plain" id="sheet-{escape(name)}">{base64.b64encode(picture).decode()}</script>\n'
        for name, picture in sheets.items()
    ]
    head = "".join(f"<style>{style}</style>\n" for style in styles)
    return _page(
        title, policy, head, "".join(blocks) + "".join(f"<script>{code}</script>\n" for code in scripts), "one"
    )


def _without_tags(text: str) -> str:
    """JSON that cannot end the script element that holds it."""
    return text.replace("<", "\\u003c")


def _hashes(texts: list[str]) -> str:
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts)


def _page(title: str, policy: str, head: str, body: str, mode: str) -> str:
    return f"""<!doctype html>
<html lang="en" data-mode="{mode}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
{head}</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header id="top"></header>
<main id="main" tabindex="-1"><p class="note" id="loading">Reading the episodes. If this text stays, a file beside this
page is missing, or scripts are switched off.</p></main>
{body}</body>
</html>
"""


def page_title(paths: list[Path]) -> str:
    """The title of the page of some runs."""
    return replace_surrogates(" | ".join(path.name or str(path) for path in paths))
