"""YAML files in which errors have a line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from vzgym.core.errors import InvalidSetting, UnknownName

__all__ = ["Place", "is_yaml_path", "read_yaml"]


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-5 as a text; everyone means a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def is_yaml_path(text: str) -> bool:
    """Whether a text is the path of a YAML file, by its ending."""
    return text.endswith((".yaml", ".yml"))


class Place:
    """Where in a file a piece of data stands; nowhere, if it came from Python.

    Args:
        file: Names the file.
        lines: The line, from 1, of each key, by the keys that lead to it.
    """

    def __init__(self, file: str = "", lines: dict[tuple[str, ...], int] | None = None) -> None:
        self._file = file
        self._lines = lines or {}

    def _where(self, keys: Sequence[Any]) -> str:
        """The file, and the line of the innermost key that has one: "rewards.yaml, line 3"."""
        # Lines are known by what stands in the file, which may be no text for YAML.
        path = tuple(str(key) for key in keys)
        for depth in range(len(path), 0, -1):
            if path[:depth] in self._lines:
                return f"{self._file}, line {self._lines[path[:depth]]}"
        return self._file

    def prefix(self, *keys: Any) -> str:
        """Opens a message: "rewards.yaml, line 3: ", or nothing."""
        return f"{self._where(keys)}: " if self._file else ""

    def hint(self, *keys: Any) -> str:
        """Ends a message: " (rewards.yaml, line 3)", or nothing."""
        return f" ({self._where(keys)})" if self._file else ""

    @contextmanager
    def errors(self, *keys: Any, words: Sequence[tuple[Any, ...]] = ()) -> Iterator[None]:
        """Adds the place to errors raised inside.

        Args:
            keys: Lead to the place.
            words: More precise places, each taken if the message quotes its last key.
        """
        try:
            yield
        except UnknownName as error:
            if not self._file:
                raise
            raise UnknownName(error.kind, error.name, error.valid, f"{error.hint}{self.hint(*keys)}".strip()) from error
        except InvalidSetting as error:
            if not self._file:
                raise
            precise = next((path for path in words if re.search(rf"\b{re.escape(str(path[-1]))}\b", str(error))), keys)
            raise InvalidSetting(f"{self.prefix(*precise)}{error}") from error


def read_yaml(path: str | os.PathLike[str]) -> tuple[Any, Place]:
    """Read a YAML file.

    Returns:
        The data, and the lines of its keys.

    Raises:
        InvalidSetting: If there is no such file, it is no YAML, or a mapping has a key twice (of which YAML would
            silently keep the last); names file and line.
    """
    file = os.fspath(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"{file}: cannot be read: {error}") from error
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            lines: dict[tuple[str, ...], int] = {}
            _walk(node, (), lines, file)
            data = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}, line {mark.line + 1}" if mark is not None else file
        raise InvalidSetting(f"{where}: not YAML: {getattr(error, 'problem', None) or error}") from error
    return data, Place(file, lines)


def _walk(node: yaml.Node | None, keys: tuple[str, ...], lines: dict[tuple[str, ...], int], file: str) -> None:
    if not isinstance(node, yaml.MappingNode) or len(keys) > 8:
        return
    for key, value in node.value:
        path = (*keys, str(key.value))
        line = key.start_mark.line + 1
        if path in lines:
            raise InvalidSetting(f"{file}, line {line}: {key.value!r} stands here twice, first on line {lines[path]}")
        lines[path] = line
        _walk(value, path, lines, file)
