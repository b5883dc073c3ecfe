"""Bytes of subtitle files as text."""

from __future__ import annotations

import codecs

from vzgym.core.errors import InvalidSetting, SubtitleError

__all__ = ["decode"]

# UTF-32's mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MARKLESS = ", as in UTF-16 without a byte order mark"
_ADVICE = (
    "pass encoding= with the encoding it was written in, such as 'cp1252' (Western European), 'cp1251' (Cyrillic), "
    "'gb18030' (Chinese), 'shift_jis' (Japanese), 'euc_kr' (Korean) or 'utf-16-le'"
)


def decode(data: bytes, source: str, encoding: str | None = None) -> str:
    """Decode the bytes of a file.

    Args:
        data: The bytes. A byte order mark decides the encoding; it is removed.
        source: The file, for errors.
        encoding: The encoding of bytes without a mark; UTF-8 if None.

    Raises:
        SubtitleError: If the bytes are not text of that encoding; names the byte, its place and what to pass.
        InvalidSetting: If there is no such encoding.
    """
    named = encoding or "utf-8"
    _check(named)
    for mark, marked in _MARKS:
        if data.startswith(mark):
            data, named = data[len(mark) :], marked
            break
    try:
        text = data.decode(named)
    except UnicodeDecodeError as error:
        place = error.start
        line = data[:place].count(b"\n") + 1
        raise SubtitleError(
            f"{source}, line {line}: byte 0x{data[place]:02x} at position {place} is not {named} "
            f"({error.reason}){_MARKLESS if bytes(1) in data else ''}; {_ADVICE}"
        ) from error
    except UnicodeError as error:
        raise SubtitleError(f"{source}: not {named} ({error}); {_ADVICE}") from error
    if (place := text.find("\0")) >= 0:
        raise SubtitleError(f"{source}: a NUL character at position {place}{_MARKLESS}; {_ADVICE}")
    return text


def _check(encoding: str) -> None:
    """Raise `InvalidSetting` unless there is such an encoding of text."""
    try:
        "".encode(encoding)
        b" ".decode(encoding, errors="ignore")
    except LookupError as error:
        raise InvalidSetting(f"encoding {encoding!r}: {error}; {_ADVICE}") from error
    except UnicodeError:
        # Codecs such as "idna" refuse some texts in any case.
        return
