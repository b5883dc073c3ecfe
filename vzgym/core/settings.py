"""Typed settings, read from YAML files; errors name the file, the line and the valid values.

`Settings` is the base class of all settings models. `read_file` and `read_text` read YAML into a `Document`, which
stores the line of each value; `build` creates a model from a document.

This is the one module of `vzgym.core` that needs more than numpy: pydantic and PyYAML. Every layer may have settings,
and `import vzgym` does not import it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, LiteralString, Self, TypeAlias, TypeVar

import numpy as np
import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Strict, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from vzgym.core.errors import InvalidSetting, VzgymError
from vzgym.core.secrets import redact
from vzgym.core.text import known_names

__all__ = [
    "Document",
    "FilePath",
    "ListOf",
    "Settings",
    "build",
    "checked",
    "merged",
    "plain",
    "problem",
    "read_file",
    "read_text",
    "read_value",
    "section_of",
]

T = TypeVar("T")
M = TypeVar("M", bound="Settings")

KeyPath: TypeAlias = "tuple[str | int, ...]"
"""Keys and list indices of a value in a document."""

_MOST_VALUES: Final = 100_000  # of one document, aliases expanded
_MOST_LEVELS: Final = 50  # of nesting
_PLAIN_TAGS: Final = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_MOST_SHOWN: Final = 200  # characters of a wrong value in a message


def _as_text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


ListOf: TypeAlias = Annotated[tuple[T, ...], Strict(False)]
"""A list in YAML or Python; a tuple in the model."""

FilePath: TypeAlias = Annotated[str, BeforeValidator(_as_text)]
"""A path as text; from Python, a `Path` is accepted too."""


class Settings(BaseModel):
    """Base class of settings: immutable, strict about types, without unknown names.

    A docstring below a field describes it, in JSON schemas too. Created from Python, an invalid value raises
    `InvalidSetting`.

    Raises:
        InvalidSetting: If a name is unknown, a required value is missing, or a value is of the wrong type or out of
            range. Lists every fault.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
        # Values may be secrets, and tracebacks go into logs.
        hide_input_in_errors=True,
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InvalidSetting(_explain(error, Document(values), type(self).__name__)) from error

    # A nested model is then validated as a part of the outer one, so that its errors keep their path (as in pydantic's
    # own RootModel).
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, data: Any) -> Any:
        """Name close matches and valid names, which pydantic's own error does not. Sweeps may bring numpy's numbers."""
        if not isinstance(data, Mapping):
            return data
        if cls.model_config.get("extra") == "forbid":
            _check_known(section_of(cls), data, [item.alias or name for name, item in cls.model_fields.items()])
        return {name: value.item() if isinstance(value, np.generic) else value for name, value in data.items()}

    def to_dict(self) -> dict[str, Any]:
        """All fields as mappings, lists, texts and numbers, nested settings included."""
        found: dict[str, Any] = plain(self.model_dump())
        return found

    def replace(self, **changes: Any) -> Self:
        """The same settings with some values changed, validated again.

        Raises:
            InvalidSetting: If a change is invalid.
        """
        return type(self)(**{**dict(self), **changes})


def section_of(cls: type[Any]) -> str:
    """The name of a settings class's section in a file: "sft" for `SFTSettings`."""
    return cls.__name__.removesuffix("Settings").lower()


def _check_known(kind: str, names: Iterable[Any], known: Sequence[str]) -> None:
    """Raise a `ValidationError` with a close match and all valid names if a name is unknown."""
    faults = []
    for name in names:
        if name not in known:
            context = {"kind": kind, "text": f"no setting {name!r}; {known_names([name], known)}"}
            faults.append(InitErrorDetails(type=_error("unknown_name", context), loc=(str(name),), input=None))
    if faults:
        raise ValidationError.from_exception_data(kind, faults)


def problem(message: str, *path: str | int) -> ValidationError:
    """An error for validators to raise: its message is shown unchanged, for the value at `path` in the model."""
    detail = InitErrorDetails(type=_error("problem", {"text": message}), loc=path, input=None)
    return ValidationError.from_exception_data("settings", [detail])


def _error(kind: LiteralString, context: dict[str, Any]) -> PydanticCustomError:
    # Braces in the text must not be taken for a template.
    return PydanticCustomError(kind, "{text}", context)


def checked(check: Callable[[Any], object]) -> AfterValidator:
    """A validator that calls `check` with the value and keeps the value; named errors of vzgym become located ones."""

    def validate(value: Any) -> Any:
        try:
            check(value)
        except VzgymError as error:
            raise problem(str(error)) from error
        return value

    return AfterValidator(validate)


def plain(value: Any) -> Any:
    """Convert a value to mappings, lists, strings and numbers, the types of YAML and JSON."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


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
                    f"{place}: {'.'.join(path[:depth])} is {_shown(inner)} ({self.where(*path[:depth])}), not a "
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


def merged(cls: type[Settings], layers: Iterable[Document]) -> Document:
    """Settings from several documents; later ones override earlier ones.

    Nested settings (`lora`) are merged name by name; any other value replaces the earlier one as a whole.

    Raises:
        InvalidSetting: If a document is no mapping.
    """
    data: dict[str, Any] = {}
    places: dict[KeyPath, str] = {}
    source = ""
    for layer in layers:
        source = layer.source
        if not isinstance(layer.data, Mapping):
            if layer.data is None:
                continue
            raise InvalidSetting(f"{layer.prefix()}settings are 'name: value' lines, got {_shown(layer.data)}")
        for name, value in layer.data.items():
            before = data.get(name)
            if _is_nested(cls, name) and isinstance(before, Mapping) and isinstance(value, Mapping):
                data[name] = {**before, **value}
            else:
                data[name] = value
                places = {path: place for path, place in places.items() if path[0] != name}
            places |= {path: place for path, place in layer.places.items() if path[:1] == (name,)}
    return Document(data, source, places)


def _is_nested(cls: type[Settings], name: str) -> bool:
    """Whether a field holds settings of its own."""
    kind = cls.model_fields[name].annotation if name in cls.model_fields else None
    return isinstance(kind, type) and issubclass(kind, Settings)


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
        for key_node, value_node in node.value:
            key = self._scalar(key_node)
            place = self.place(key_node)
            if not isinstance(key, str):
                raise InvalidSetting(f"{place}: a name must be text, got {key!r}")
            if key in values:
                raise InvalidSetting(f"{place}: {key!r} is given twice, first at {self.places[(*path, key)]}")
            self.places[(*path, key)] = place
            values[key] = self.value(value_node, (*path, key))
        return values

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return self.loader.construct_object(node, deep=True)
        except ValueError as error:  # a date that does not exist, a number of thousands of digits
            raise InvalidSetting(f"{self.place(node)}: not a number or date: {_shown(node.value)}") from error


def build(cls: type[M], document: Document, title: str = "") -> M:
    """Make a model of a document.

    Args:
        cls: The model.
        document: Its values.
        title: Opens the names of values in messages.

    Raises:
        InvalidSetting: If the data is no mapping, a name is unknown, a required value is missing, or a value is
            invalid. Lists every fault with its place.
    """
    data = {} if document.data is None else document.data
    if not isinstance(data, Mapping):
        raise InvalidSetting(f"{document.prefix()}settings are 'name: value' lines, got {_shown(data)}")
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        raise InvalidSetting(_explain(error, document, title)) from error


def _explain(error: ValidationError, document: Document, title: str) -> str:
    """Every fault, a line each."""
    groups: dict[KeyPath, list[ErrorDetails]] = {}
    for item in error.errors(include_url=False):
        loc = item["loc"]
        if item["type"] == "union_tag_invalid":
            loc = (*loc, item["ctx"]["discriminator"].strip("'"))
        groups.setdefault(document.resolve(loc), []).append(item)
    lines = []
    for path, items in groups.items():
        # Of a union, pydantic tells why each of its types did not fit: the one that went deepest was meant.
        in_union = all(len(item["loc"]) > len(path) and item["type"] != "missing" for item in items)
        if in_union and any(len(other) > len(path) and other[: len(path)] == path for other in groups):
            continue
        lines.append(f"{document.prefix(*path)}{_sentence(items, path, title)}")
    return "\n".join(lines)


def _sentence(items: Sequence[ErrorDetails], path: KeyPath, title: str) -> str:
    """The faults of one value in words."""
    name = _name(path, title)
    rules: dict[str, None] = {}
    for item in items:
        context = item.get("ctx", {})
        match item["type"]:
            case "problem" | "value_error" | "assertion_error":
                text = str(context.get("text") or context["error"])
                return f"{title}{text}" if title.endswith(" ") else text
            case "missing" if isinstance(item["loc"][-1], int):
                return f"{name} must be a list of more values, got {_shown(item['input'])}"
            case "unknown_name":
                return f"{_name(path[:-1], title) or context['kind']} has {context['text']}"
            case "missing":
                return f"{name} needs a value for {str(item['loc'][-1])!r}".lstrip()
            case "union_tag_not_found":
                return f"{name} needs a value for {context['discriminator']}".lstrip()
            case "union_tag_invalid":
                return f"{name} must be one of {context['expected_tags']}, got {context['tag']!r}"
            case _ if item["loc"][-1:] == ("[key]",):
                valid = context.get("expected", "other names").replace(" or ", ", ").replace("'", "").split(", ")
                return f"{_name(path[:-1], title)} has no {str(path[-1])!r}; {known_names(path[-1:], valid)}"
        rules[_rule(item)] = None
    return f"{name or 'the value'} must be {' or '.join(rules)}, got {_shown(items[0]['input'])}"


def _name(path: KeyPath, title: str) -> str:
    """`grpo.lora.targets[0]`."""
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return f"{title}{name.removeprefix('.')}" if not title or title.endswith(" ") else f"{title}{name}"


_RULES: Final[Mapping[str, str]] = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "none_required": "null",
    "string_too_short": "non-empty text",
    "greater_than_equal": ">= {ge}",
    "greater_than": "> {gt}",
    "less_than_equal": "<= {le}",
    "less_than": "< {lt}",
    "literal_error": "one of {expected}",
    "too_short": "of length >= {min_length}",
    "too_long": "of length <= {max_length}",
}


def _rule(item: ErrorDetails) -> str:
    """What a value must be."""
    rule, context = _RULES.get(item["type"]), item.get("ctx", {})
    if rule is None:
        return item["msg"].removeprefix("Input should be ")
    if item["type"] == "greater_than" and isinstance(context["gt"], int):
        return f">= {context['gt'] + 1}"
    return rule.format(**context).replace(" or '", ", '")


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(redact(value))
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
