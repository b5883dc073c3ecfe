"""Names for swappable parts: ours, a plug-in's, or any `module:Class`.

Every kind of part (task suite, observation, action, reward, policy, video back-end) has one `Registry`. A
part is named by a string, by a mapping `{"name": ..., **options}` or by `"module:Class"`, or is given as an
object. A part may have a short form, `"name:..."`: its class then has a `parse_name(text)`, which gives the options
that the text behind the colon stands for.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import logging
from collections.abc import Callable, Container, Mapping
from typing import Any, Generic, Protocol, TypeVar, cast

from vzgym.core.errors import InvalidSetting, PluginError, UnknownName

__all__ = ["Registry", "import_object"]

T = TypeVar("T")

_log = logging.getLogger("vzgym.plugins")

# What goes wrong when somebody else's module is imported: it is missing, is no Python, does not fit the versions of
# what it uses, or lacks what it looks for when it starts (a file, a setting, a device).
_IMPORT_FAULTS = (
    ImportError,
    SyntaxError,
    AttributeError,
    NameError,
    TypeError,
    ValueError,
    LookupError,
    OSError,
    RuntimeError,
    AssertionError,
)


def import_object(path: str) -> Any:
    """Import what `"module:Name"` (or `"module:Name.inner"`) points at.

    Raises:
        PluginError: If the module cannot be imported or has no such name; the message says which and why.
    """
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute or module_name.startswith("."):
        raise PluginError(f"{path!r} is not of the form 'module:Name'")
    try:
        target: Any = importlib.import_module(module_name)
    except _IMPORT_FAULTS as error:
        raise PluginError(f"cannot import module {module_name!r} of {path!r}: {_reason(error)}") from error
    for part in attribute.split("."):
        try:
            target = getattr(target, part)
        except AttributeError as error:
            raise PluginError(f"module {module_name!r} has no {attribute!r} (asked for by {path!r})") from error
    return target


class Registry(Generic[T]):
    """Factories by name, for one kind of part.

    Args:
        kind: What is registered, in the singular, as error messages say it ("reward module").
        group: Entry-point group that plug-ins announce their parts in ("vzgym.rewards").
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group
        self._factories: dict[str, Callable[..., T] | str] = {}
        self._plugins: dict[str, importlib.metadata.EntryPoint] | None = None

    def register(self, name: str, factory: Callable[..., T] | str) -> None:
        """Give `factory` (a callable, or `"module:attribute"` imported on first use) a name.

        Raises:
            InvalidSetting: If the name is taken by something else, or holds a colon.
        """
        if ":" in name or not name:
            raise InvalidSetting(f"{self.kind} name {name!r} must be non-empty and hold no ':'")
        if self._factories.get(name, factory) != factory:
            raise InvalidSetting(f"{self.kind} {name!r} is registered already, as {self._factories[name]!r}")
        self._factories[name] = factory

    def names(self) -> list[str]:
        """All names, ours and plug-ins', sorted."""
        return sorted({*self._factories, *self._entry_points()})

    def __contains__(self, name: object) -> bool:
        return name in self._factories or name in self._entry_points()

    def get(self, name: str) -> Callable[..., T]:
        """The factory behind a registered name or a `module:Class`.

        Raises:
            UnknownName: If no such name is registered; the message lists those that are.
            PluginError: If it is known but cannot be imported.
        """
        if name in self._factories:
            factory = self._factories[name]
            return cast("Callable[..., T]", import_object(factory)) if isinstance(factory, str) else factory
        if self._short_form(name):
            return self.get(name.partition(":")[0])
        if ":" in name:
            return cast("Callable[..., T]", import_object(name))
        plugins = self._entry_points()
        if name in plugins:
            entry = plugins[name]
            try:
                return cast("Callable[..., T]", entry.load())
            except _IMPORT_FAULTS as error:
                raise PluginError(
                    f"plug-in {self.kind} {name!r} ({entry.value}) cannot be imported: {_reason(error)}"
                ) from error
        raise UnknownName(self.kind, name, self.names(), "A class of your own is named 'module:Class'.")

    def make(self, spec: str | Mapping[str, Any] | T, **defaults: Any) -> T:
        """Build the part that `spec` means.

        Args:
            spec: A name, `"module:Class"`, a mapping `{"name": ..., **options}`, or a finished object, which
                is returned as it is.
            defaults: Options that a factory may take and a mapping may override; those which the factory has
                no parameter for are left out.

        Raises:
            UnknownName: If the name is not registered.
            PluginError: If it cannot be imported, or is nothing that can be called.
            InvalidSetting: If the factory has no such option (the message lists those it has) or needs one that is
                not given.
        """
        if not isinstance(spec, (str, Mapping)):
            return spec
        factory, options = self._call(spec, defaults)
        return factory(**options)

    def check(self, spec: str | Mapping[str, Any]) -> None:
        """Check that `make` would find the part and that it takes such options, without building it.

        What building costs (weights are loaded, a server is called) is not spent; the options' values are not checked.

        Args:
            spec: A name, `"module:Class"`, or a mapping `{"name": ..., **options}`.

        Raises:
            UnknownName: As `make`.
            PluginError: As `make`.
            InvalidSetting: As `make`.
        """
        self._call(spec, {})

    def _call(
        self, spec: str | Mapping[str, Any], defaults: Mapping[str, Any]
    ) -> tuple[Callable[..., T], dict[str, Any]]:
        """The factory that `spec` means, and the options to call it with; both checked."""
        if isinstance(spec, str):
            name, options = spec, {}
        else:
            options = dict(spec)
            if "name" not in options:
                raise InvalidSetting(f"a {self.kind} given as a mapping needs the key 'name', got {sorted(options)}")
            name = options.pop("name")
            if not isinstance(name, str):
                raise InvalidSetting(f"the key 'name' of a {self.kind} must be a text, got {name!r}")
        factory = self.get(name)
        options = {**self._short_form(name), **options}
        if not callable(factory):
            raise PluginError(f"{self.kind} {name!r} is a {type(factory).__name__}, not a class or a function")
        signature = _signature(factory)
        if signature is None:
            return factory, {**defaults, **options}
        valid = _options(signature)
        if valid is not None:
            unknown = sorted(set(options) - valid, key=str)
            if unknown:
                raise InvalidSetting(
                    f"{self.kind} {name!r} has no option {', '.join(map(repr, unknown))}; "
                    f"valid: {', '.join(sorted(valid)) or 'none'}"
                )
            defaults = {key: value for key, value in defaults.items() if key in valid}
        options = {**defaults, **options}
        try:
            signature.bind(**options)
        except TypeError as error:
            raise InvalidSetting(f"{self.kind} {name!r}: {error}") from error
        return factory, options

    def _short_form(self, name: str) -> dict[str, Any]:
        """The options that a name of the form "name:..." stands for; none if it is of another form."""
        head, colon, text = name.partition(":")
        parse = getattr(self.get(head), "parse_name", None) if colon and head in self else None
        return {} if parse is None else dict(parse(text))

    def make_all(self, but: Container[str] = ()) -> dict[str, T]:
        """Every part that can be made without options, by name, sorted; those named in `but` are left out.

        A plug-in's part that cannot be made is left out, and named with the reason in a warning of the log
        `vzgym.plugins`: it must not get in the way of the others. One of our own that cannot is an error.
        """
        made = {}
        for name in self.names():
            if name in but:
                continue
            try:
                made[name] = self.make(name)
            except (PluginError, InvalidSetting) as error:
                if name in self._factories:
                    raise
                _log.warning("left out: %s", error)
        return made

    def _entry_points(self) -> dict[str, importlib.metadata.EntryPoint]:
        if self._plugins is None:
            self._plugins = {entry.name: entry for entry in importlib.metadata.entry_points(group=self.group)}
        return self._plugins


def _reason(error: Exception) -> str:
    """The reason in words. Some errors have no text, or one that says little without their name."""
    plain = isinstance(error, (ImportError, SyntaxError, AttributeError, NameError)) and str(error)
    return str(error) if plain else f"{type(error).__name__}: {error}".removesuffix(": ")


class _Bare(Protocol):
    """Exists for the `__init__` that typing gives to protocols."""


def _signature(factory: Callable[..., Any]) -> inspect.Signature | None:
    """What a factory takes; None if it cannot be inspected."""
    # A class whose base is a protocol and that has no __init__ of its own seems to take anything, and takes nothing.
    if inspect.getattr_static(factory, "__init__", None) is inspect.getattr_static(_Bare, "__init__"):
        return inspect.Signature()
    try:
        return inspect.signature(factory)
    except (TypeError, ValueError):
        return None


def _options(signature: inspect.Signature) -> set[str] | None:
    """Names of the keyword parameters; None if any is taken (`**options`)."""
    parameters = signature.parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
