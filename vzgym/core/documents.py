"""Data from YAML files, with the place of each value, for messages."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

from vzgym.core.errors import InvalidSetting, VzgymError
from vzgym.core.secrets import redact

__all__ = ["Document", "KeyPath", "read_file", "read_text", "read_value", "shown"]

KeyPath: TypeAlias = "tuple[str | int, ...]"
"""Keys and list indices of a value in a document."""

_MERGE: Final = "tag:yaml.org,2002:merge"
_MOST_VALUES: Final = 100_000  # of one document, aliases expanded
_MOST_LEVELS: Final = 50  # of nesting
_PLAIN_TAGS: Final = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_MOST_SHOWN: Final = 200  # characters of a wrong value in a message


@dataclass(frozen=True)
class Document:
    """Data with the location of each value.

    Attributes:
        data: Mappings, lists, texts, numbers.
        source: Name of the file or text; "" for data from Python.
        places: `"file:line"` by the path of a value.
    """

    data: Any
    source: str = ""
    places: Mapping[KeyPath, str] = field(default_factory=dict, repr=False)

    def where(self, *path: str | int) -> str:
        """`"file:line"` of a value, or of the innermost known part of the path; "" for data from Python."""
        known = self.resolve(path)
        for depth in range(len(known), -1, -1):
            if known[:depth] in self.places:
                return self.places[known[:depth]]
        return self.source

    def prefix(self, *path: str | int) -> str:
        """`"file:line: "` to open a message with, or ""."""
        where = self.where(*path)
        return f"{where}: " if where else ""

    def resolve(self, path: Sequence[str | int]) -> KeyPath:
        """The parts of a path that lead through the data. A name in a list of names is replaced by its index."""
        here: Any = self.data
        known: list[str | int] = []
        for part in path:
            key = part
            if isinstance(here, (list, tuple)):
                if not isinstance(part, int):
                    key = here.index(part) if part in here else -1
                if not 0 <= int(key) < len(here):
                    continue
            elif not (isinstance(here, Mapping) and part in here):
                continue
            here = here[key]
            known.append(key)
        return tuple(known)

    def part(self, key: str | int, data: Any) -> Document:
        """The document of the value at `key`, of which `data` is the full form."""
        places = {path[1:]: place for path, place in self.places.items() if path[:1] == (key,)}
        return Document(data, self.where(key), places)

    def override(self, name: str, value: Any, place: str) -> Document:
        """The document with one value set.

        Args:
            name: Its path, with dots: "lora.rank".
            value: The value.
            place: Where it was given, for messages.

        Raises:
            InvalidSetting: If the path leads through a value that is no mapping.
        """
        path = tuple(name.split("."))
        data: dict[str, Any] = dict(self.data)
        here = data
        for depth, key in enumerate(path[:-1], 1):
            inner = here.get(key)
            if inner is not None and not isinstance(inner, Mapping):
                raise InvalidSetting(
                    f"{place}: {'.'.join(path[:depth])} is {shown(inner)} ({self.where(*path[:depth])}), not a "
                    "mapping: override it as a whole"
                )
            copy = dict(inner or {})
            here[key] = copy
            here = copy
        here[path[-1]] = value
        kept = {known: where for known, where in self.places.items() if known[: len(path)] != path}
        return Document(data, self.source, {**kept, path: place})

    @contextmanager
    def at(self, *path: str | int) -> Iterator[None]:
        """Add the place of a value to vzgym's errors that are raised inside, as `InvalidSetting`.

        If the error's message names a key within that value, the place of that key is added instead.
        """
        try:
            yield
        except VzgymError as error:
            message = str(error)
            where = self.where(*path, *self._named_in(message, path))
            if not where or (where.rpartition(":")[0] or where) in message:
                raise
            raise InvalidSetting(f"{where}: {message}") from error

    def _named_in(self, message: str, path: KeyPath) -> KeyPath:
        """The innermost key within a value that a message quotes or calls wrong ("frames must be ...")."""
        here = self.data
        for key in self.resolve(path):
            here = here[key]
        for key, value in here.items() if isinstance(here, Mapping) else ():
            if isinstance(value, Mapping) and (inner := self._named_in(message, (*path, key))):
                return (key, *inner)
            if re.search(rf"'{re.escape(key)}'|\b{re.escape(key)} must\b", message):
                return (key,)
        return ()


class _Loader(yaml.SafeLoader):
    """Plain data only; bounded in depth. `1e-3` is a number, which YAML 1.1 takes for text."""

    level = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.level += 1
        if self.level > _MOST_LEVELS:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=f"more than {_MOST_LEVELS} levels of nesting", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.level -= 1
        return node


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    # All that has an exponent; everything else is resolved as usual.
    re.compile(r"^[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def read_file(path: str | os.PathLike[str]) -> Document:
    """Read a YAML file.

    Raises:
        InvalidSetting: If it cannot be read, is not YAML, gives a key twice, or is larger than any settings; with the
            line.
    """
    name = os.fspath(path)
    try:
        text = Path(name).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InvalidSetting(f"cannot read the settings file {name}: {error}") from error
    return read_text(text, name)


def read_text(text: str, source: str, *, numbered: bool = True) -> Document:
    """Read a YAML text.

    Args:
        text: The YAML.
        source: Name of the text, for messages.
        numbered: Whether messages give lines.

    Raises:
        InvalidSetting: As `read_file`.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            reader = _Reader(loader, source, numbered)
            data = None if node is None else reader.value(node, ())
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark and numbered else source
        raise InvalidSetting(f"{where}: not YAML: {getattr(error, 'problem', None) or error}") from error
    return Document(data, source, reader.places)


def read_value(text: str, source: str = "value") -> Any:
    """Read a single value from YAML.

    Raises:
        InvalidSetting: As `read_file`.
    """
    return read_text(text, source, numbered=False).data


class _Reader:
    """Builds data from YAML nodes, with the place of each value."""

    def __init__(self, loader: _Loader, source: str, numbered: bool) -> None:
        self.loader, self.source, self.numbered = loader, source, numbered
        self.places: dict[KeyPath, str] = {}
        self.count = 0

    def place(self, node: yaml.Node) -> str:
        return f"{self.source}:{node.start_mark.line + 1}" if self.numbered else self.source

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        # An alias stands for a copy: a few lines can stand for billions of values, or contain themselves.
        self.count += 1
        if self.count > _MOST_VALUES or len(path) > _MOST_LEVELS:
            raise InvalidSetting(
                f"{self.place(node)}: more than {_MOST_VALUES:,} values or {_MOST_LEVELS} levels of nesting, "
                "aliases expanded"
            )
        # The place of a setting is that of its name: a nested value may start on a later line.
        self.places.setdefault(path, self.place(node))
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _PLAIN_TAGS:
            raise InvalidSetting(f"{self.place(node)}: not YAML of plain data: the tag {node.tag!r} is not supported")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, index)) for index, child in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        self._add(node, path, values, 0)
        return values

    def _add(self, node: yaml.MappingNode, path: KeyPath, values: dict[str, Any], level: int) -> None:
        """Add the keys of a mapping, then those of the mappings that it merges (`<<`), except keys that it has."""
        if level > _MOST_LEVELS:
            raise InvalidSetting(f"{self.place(node)}: more than {_MOST_LEVELS} mappings merged into each other")
        merged: list[yaml.Node] = []
        given: set[str] = set()
        for key_node, value_node in node.value:
            place = self.place(key_node)
            if key_node.tag == _MERGE:
                merged += value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                continue
            key = self._scalar(key_node)
            if not isinstance(key, str):
                raise InvalidSetting(f"{place}: a name must be text, got {key!r}")
            if key in given:
                raise InvalidSetting(f"{place}: {key!r} is given twice, first at {self.places[(*path, key)]}")
            given.add(key)
            if key not in values:
                self.places[(*path, key)] = place
                values[key] = self.value(value_node, (*path, key))
        for part in merged:
            if not isinstance(part, yaml.MappingNode):
                raise InvalidSetting(f"{self.place(part)}: << must be followed by a mapping, or by a list of mappings")
            self._add(part, path, values, level + 1)

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return self.loader.construct_object(node, deep=True)
        except ValueError as error:  # a date that does not exist, a number of thousands of digits
            raise InvalidSetting(f"{self.place(node)}: not a number or date: {shown(node.value)}") from error


def shown(value: Any) -> str:
    """A value for messages: in Python's form, without secrets, at most 200 characters of it."""
    text = "nothing" if value is None else repr(redact(value))
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
