"""Redaction of secrets in files, folder names and terminals: possible secrets are replaced by `***`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["HIDDEN", "redact", "redact_url"]

HIDDEN: Final = "***"
"""Replacement of a value that may be a secret."""

_HEADERS = re.compile(r"headers$", re.IGNORECASE)
_QUERIES = re.compile(r"^(extra_|default_)?quer(y|ies)$|^(extra_|default_)?params$", re.IGNORECASE)

# A scheme, then everything that could belong to the URL: as long as possible, so that no part of a secret is left.
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<rest>[^\s\"'<>]*)")


def redact(value: Any) -> Any:
    """Redact possible secrets in a JSON-like value.

    Replaced are, by kind and whatever their names: all values of HTTP headers (any mapping under a key that ends in
    `headers`) and of query parameters (`extra_query`), and in all texts the user information and the query and fragment
    of URLs.

    Args:
        value: Mappings, lists, tuples, texts and other values, nested. It is not changed.

    Returns:
        The value, with `***` in place of each secret. Lists and tuples become lists.
    """
    if isinstance(value, str):
        return redact_url(value)
    if isinstance(value, Mapping):
        return {
            redact_url(key) if isinstance(key, str) else key: _hide(inner)
            if isinstance(key, str) and (_HEADERS.search(key) or _QUERIES.search(key))
            else redact(inner)
            for key, inner in value.items()
        }
    return [redact(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def redact_url(text: str) -> str:
    """A text with the user information, query and fragment of every URL in it replaced by `***`."""
    return _URL.sub(_redacted, text) if "://" in text else text


def _hide(value: Any) -> Any:
    """Names kept, values hidden."""
    if isinstance(value, Mapping):
        return {key: _hide(inner) for key, inner in value.items()}
    return [_hide(inner) for inner in value] if isinstance(value, (list, tuple)) else HIDDEN


def _redacted(found: re.Match[str]) -> str:
    rest = found["rest"]
    # User information ends at the last "@" before the path: passwords may contain further ones.
    end = next((place for place, letter in enumerate(rest) if letter in "/?#"), len(rest))
    user, at, host = rest[:end].rpartition("@")
    rest = (HIDDEN + at if user else at) + host + rest[end:]
    for mark in "?#":
        before, separator, behind = rest.partition(mark)
        if separator and behind:
            return found["scheme"] + before + separator + HIDDEN
    return found["scheme"] + rest
