"""Typed settings; errors name the file, the line and the valid values.

`Settings` is the base class of all settings models. `vzgym.core.documents` reads YAML into a `Document`, which stores
the line of each value; `build` creates a model from a document.

These two modules and `vzgym.core.setting_errors` are the only ones of `vzgym.core` that need more than numpy: pydantic
and PyYAML. Every layer may have settings, and `import vzgym` does not import them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, LiteralString, Self, TypeAlias, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Strict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from vzgym.core.documents import Document, KeyPath, shown
from vzgym.core.errors import InvalidSetting, VzgymError
from vzgym.core.setting_errors import explain
from vzgym.core.text import known_names

__all__ = [
    "FilePath",
    "ListOf",
    "Settings",
    "build",
    "checked",
    "merged",
    "plain",
    "problem",
    "section_of",
]

T = TypeVar("T")
M = TypeVar("M", bound="Settings")


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
            raise InvalidSetting(explain(error, Document(values), type(self).__name__)) from error

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
            raise InvalidSetting(f"{layer.prefix()}settings are 'name: value' lines, got {shown(layer.data)}")
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
        raise InvalidSetting(f"{document.prefix()}settings are 'name: value' lines, got {shown(data)}")
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        raise InvalidSetting(explain(error, document, title)) from error
