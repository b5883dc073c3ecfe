"""Redaction of secrets in files, folder names and terminals: possible secrets are replaced by `***`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["HIDDEN", "redact", "redact_body", "redact_url"]

HIDDEN: Final = "***"
"""Replacement of a value that may be a secret."""

_HEADERS = re.compile(r"headers$", re.IGNORECASE)
_QUERIES = re.compile(r"^(extra_|default_)?quer(y|ies)$|^(extra_|default_)?params$", re.IGNORECASE)

_BODIES = re.compile(r"^extra(_body)?$", re.IGNORECASE)
_SECRET_NAMES = re.compile(
    r"((^|[_-])key|token|secret|passw(or)?d|passphrase|auth(orization)?|credentials?)$", re.IGNORECASE
)
# Words and numbers, such as "auto", "low", "outlines", "json_object", "en-US", "v1.5".
_WORD = r"(?:[A-Z]?[a-z]+|[A-Z]+)"
_OPTION = re.compile(rf"{_WORD}?(?:[ _.:/+-]?(?:\d{{1,4}}(?![A-Za-z])|(?<![A-Za-z0-9]){_WORD}))*")
_LONGEST_OPTION = 32
# A replaced text: it stays as it is when it is redacted again.
_REPLACED = re.compile(r"\*\*\*([0-9a-f]{8})?")

# A scheme, then everything that could belong to the URL: as long as possible, so that no part of a secret is left.
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<rest>[^\s\"'<>]*)")


def redact(value: Any) -> Any:
    """Redact possible secrets in a JSON-like value.

    Replaced are, by kind and whatever their names: all values of HTTP headers (any mapping under a key that ends in
    `headers`) and of query parameters (`extra_query`), and in all texts the user information and the query and fragment
    of URLs. Of a request's further fields (`extra`, `extra_body`), see `redact_body`.

    Args:
        value: Mappings, lists, tuples, texts and other values, nested. It is not changed.

    Returns:
        The value, with `***` in place of each secret, followed by a digest in a request's further fields. Lists and
        tuples become lists.
    """
    if isinstance(value, str):
        return redact_url(value)
    if isinstance(value, Mapping):
        return {
            _shown_key(key): _hide(inner)
            if _holds_secrets(key)
            else redact_body(inner)
            if isinstance(key, str) and _BODIES.search(key)
            else redact(inner)
            for key, inner in value.items()
        }
    return [redact(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def redact_body(value: Any, name: str = "") -> Any:
    """Redact possible secrets in fields of a request's body.

    Replaced is every text that is not plainly an option: short, and made of words and numbers ("auto", "json_object"),
    since a key is random letters and digits. `***` and a digest stand for it, so that redacted settings still differ
    where the texts differ. A text whose field is named as a secret (`api_key`) is replaced by `***` alone.

    Args:
        value: As `redact` takes it.
        name: Name of the field that holds it.
    """
    if isinstance(value, str):
        if value and _SECRET_NAMES.search(name):
            return HIDDEN
        is_option = len(value) <= _LONGEST_OPTION and _OPTION.fullmatch(value) is not None
        return value if is_option or _REPLACED.fullmatch(value) else f"{HIDDEN}{_digest(value)}"
    if isinstance(value, Mapping):
        return {
            _shown_key(key): _hide(inner) if _holds_secrets(key) else redact_body(inner, str(key))
            for key, inner in value.items()
        }
    return [redact_body(inner, name) for inner in value] if isinstance(value, (list, tuple)) else value


def redact_url(text: str) -> str:
    """A text with the user information, query and fragment of every URL in it replaced by `***`."""
    return _URL.sub(_redacted, text) if "://" in text else text


def _shown_key(key: Any) -> Any:
    return redact_url(key) if isinstance(key, str) else key


def _holds_secrets(key: Any) -> bool:
    return isinstance(key, str) and bool(_HEADERS.search(key) or _QUERIES.search(key))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]


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
