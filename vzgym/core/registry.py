"""Registries of swappable components: built-in ones, those of plug-ins, and any `module:Class`.

Every kind of component (task suite, observation, action, reward, policy, video back-end) has one `Registry`. A
component is given by a name, by a mapping `{"name": ..., **options}`, by `"module:Class"`, or as an object. A
component may have a short form, `"name:..."`: its class then has a method `parse_name(text)`, which returns the options
that the text after the colon stands for. A class whose objects are expensive to build may have a static method
`check_options(**options)`, which raises what building would raise, as far as that is cheap to find out.

A `module:Class` is imported, and so runs code. Where a name was read from a file, resolve it inside `names_from_data`:
there only registered names are resolved.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

from vzgym.core.errors import InvalidSetting, PluginError, UnknownName, UntrustedName
from vzgym.core.text import close_name, known_names

__all__ = ["Registry", "import_object", "names_from_data"]

T = TypeVar("T")

_log = logging.getLogger("vzgym.plugins")

# What importing a third party's module may raise: it is missing, not valid Python, incompatible with its dependencies,
# or lacks a file, a setting or a device.
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


@dataclass(frozen=True, slots=True)
class _Data:
    """Origin of the names that are being resolved.

    Attributes:
        source: The origin, for the error ("the record of task 'a'").
        hint: How the user can allow more, in full sentences.
    """

    source: str
    hint: str


_data: ContextVar[_Data | None] = ContextVar("vzgym_data", default=None)


@contextmanager
def names_from_data(source: str, *, trust_code: bool = False, hint: str = "") -> Iterator[None]:
    """Restrict registries to registered names within the block, for names that come from data.

    Records, task files, and the folders of models and datasets are shared; a `module:Class` in them must not run code.
    This also applies to names nested in options.

    Args:
        source: The origin of the names, for the error message, such as "the record of task 'a'".
        trust_code: Whether the user has allowed code named by this data; if so, nothing is refused.
        hint: How the user can allow it, in full sentences.

    Raises:
        UntrustedName: Inside the block, when anything but a registered name is resolved, or the name of a component
            that reads, writes or calls what its options name (`Registry.register`, `from_data=False`).
    """
    token = _data.set(None if trust_code else _Data(source, hint))
    try:
        yield
    finally:
        _data.reset(token)


def import_object(path: str) -> Any:
    """Import the object named `"module:Name"` (or `"module:Name.inner"`).

    Raises:
        PluginError: If the module cannot be imported or has no such name; the message states which and why.
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
            raise PluginError(f"module {module_name!r} has no {attribute!r} (requested by {path!r})") from error
    return target


class Registry(Generic[T]):
    """Factories by name, for one kind of component.

    Args:
        kind: The kind of component, in the singular, for error messages ("reward module").
        group: Entry-point group in which plug-ins register their components ("vzgym.rewards").
        builtin: A module that registers the built-in components when it is imported; imported on first use of the
            registry, so that creating the registry is cheap.
        methods: The methods of a component, for error messages ("reset and act").
    """

    def __init__(self, kind: str, group: str, builtin: str = "", *, methods: str = "") -> None:
        self.kind = kind
        self.group = group
        self._interface = f" with {methods}" if methods else ""
        self._builtin = builtin
        self._factories: dict[str, Callable[..., T] | str] = {}
        self._plugins: dict[str, importlib.metadata.EntryPoint] | None = None
        self._not_from_data: set[str] = set()

    def register(self, name: str, factory: Callable[..., T] | str, *, from_data: bool = True) -> None:
        """Register a factory under a name.

        Args:
            name: Non-empty, without a colon.
            factory: A callable, or `"module:attribute"`, imported on first use.
            from_data: Whether data may name it (`names_from_data`). False for a component that calls a server, writes a
                file or loads code named by its options.

        Raises:
            InvalidSetting: If the name is already registered for another factory, or contains a colon.
        """
        self._load_builtin()
        if ":" in name or not name:
            raise InvalidSetting(f"{self.kind} name {name!r} must be non-empty and hold no ':'")
        if self._factories.get(name, factory) != factory:
            raise InvalidSetting(f"{self.kind} {name!r} is registered already, as {self._factories[name]!r}")
        self._factories[name] = factory
        if not from_data:
            self._not_from_data.add(name)

    def names(self) -> list[str]:
        """All registered names, built-in and from plug-ins, sorted."""
        self._load_builtin()
        return sorted({*self._factories, *self._entry_points()})

    def __contains__(self, name: object) -> bool:
        self._load_builtin()
        return name in self._factories or name in self._entry_points()

    def get(self, name: str) -> Callable[..., T]:
        """Look up the factory of a registered name or a `module:Class`.

        Raises:
            UnknownName: If no such name is registered; the message lists those that are.
            PluginError: If it is known but cannot be imported.
            UntrustedName: If the name comes from data (`names_from_data`) and is not registered.
        """
        self._load_builtin()
        if name in self._factories:
            if name in self._not_from_data:
                self._need_trust(name, "it may call servers, write files or load code")
            factory = self._factories[name]
            return cast("Callable[..., T]", import_object(factory)) if isinstance(factory, str) else factory
        if self._short_form(name):
            return self.get(name.partition(":")[0])
        if ":" in name:
            self._need_trust(name, "it is not registered, and importing it runs its code")
            try:
                return cast("Callable[..., T]", import_object(name))
            except PluginError as error:
                # "akss:scorer=clip" is a misspelled name with options, not a module.
                close = close_name(name.partition(":")[0], self.names())
                if not close:
                    raise
                raise PluginError(f"{error}; or did you mean the {self.kind} {close!r}?") from error
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

    def _need_trust(self, name: str, reason: str) -> None:
        """Raise if names come from data that the user has not declared trusted."""
        data = _data.get()
        if data is not None:
            hint = f" {data.hint}" if data.hint else ""
            raise UntrustedName(f"{data.source} names the {self.kind} {name!r}: not used, since {reason}.{hint}")

    def make(self, spec: str | Mapping[str, Any] | T, keys: Sequence[str] = (), /, **defaults: Any) -> T:
        """Build a component.

        Args:
            spec: A name, `"module:Class"`, a mapping `{"name": ..., **options}`, or a finished object, which
                is returned unchanged.
            keys: Further keys that the user's mapping may have beside options: an unknown option may be one of them,
                misspelled.
            defaults: Options that a mapping may override; those without a parameter of the factory are ignored.

        Raises:
            UnknownName: If the name is not registered.
            PluginError: If it cannot be imported, or is not callable.
            InvalidSetting: If the factory has no such option (the message lists the valid ones) or requires one that is
                not given.
            UntrustedName: As `get`.
        """
        if not isinstance(spec, (str, Mapping)):
            return spec
        factory, options = self._call(spec, defaults, keys)
        return factory(**options)

    def check(self, spec: str | Mapping[str, Any]) -> None:
        """Check that `make` would find the component and that it takes these options, without building it.

        Building may be expensive (weights are loaded, a server is called). The values of options are checked as far as
        the component does so without building (`check_options`).

        Args:
            spec: A name, `"module:Class"`, or a mapping `{"name": ..., **options}`.

        Raises:
            UnknownName: As `make`.
            PluginError: As `make`.
            InvalidSetting: As `make`.
            UntrustedName: As `get`.
            VzgymError: Whatever the component's `check_options` raises.
        """
        factory, options = self._call(spec, {})
        check_options = getattr(factory, "check_options", None)
        if check_options is not None:
            check_options(**options)

    def _call(
        self, spec: str | Mapping[str, Any], defaults: Mapping[str, Any], keys: Sequence[str] = ()
    ) -> tuple[Callable[..., T], dict[str, Any]]:
        """The factory for `spec` and the options to call it with, both checked."""
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
                    f"{known_names(unknown, [*sorted(valid), *keys])}"
                )
            defaults = {key: value for key, value in defaults.items() if key in valid}
        options = {**defaults, **options}
        try:
            signature.bind(**options)
        except TypeError as error:
            # A function of one's own may be meant as the component itself.
            hint = (
                f". It is a function, which is called with the options to build the {self.kind}: name a class"
                f"{self._interface}, or a function that returns such an object."
                if ":" in name and inspect.isfunction(factory)
                else ""
            )
            raise InvalidSetting(f"{self.kind} {name!r}: {error}{hint}") from error
        return factory, options

    def _short_form(self, name: str) -> dict[str, Any]:
        """The options of a name of the form "name:..."; none for other forms."""
        head, colon, text = name.partition(":")
        parse = getattr(self.get(head), "parse_name", None) if colon and head in self else None
        return {} if parse is None else dict(parse(text))

    def get_all(self) -> dict[str, Callable[..., T]]:
        """Every factory that can be imported, by name, sorted.

        A plug-in's component that cannot be imported is skipped with a warning in the log `vzgym.plugins`. A built-in
        one that cannot be imported is an error.
        """
        found = {}
        for name in self.names():
            try:
                found[name] = self.get(name)
            except PluginError as error:
                if name in self._factories:
                    raise
                _log.warning("left out: %s", error)
        return found

    def _load_builtin(self) -> None:
        # Cheap once imported. The import lock makes other threads wait for all names, and lets the module, which
        # registers into this registry, enter here while it is being imported.
        if self._builtin:
            importlib.import_module(self._builtin)

    def _entry_points(self) -> dict[str, importlib.metadata.EntryPoint]:
        if self._plugins is None:
            self._plugins = {entry.name: entry for entry in importlib.metadata.entry_points(group=self.group)}
        return self._plugins


def _reason(error: Exception) -> str:
    """The reason as text. Some errors have no message, or one that is unclear without their type."""
    plain = isinstance(error, (ImportError, SyntaxError, AttributeError, NameError)) and str(error)
    return str(error) if plain else f"{type(error).__name__}: {error}".removesuffix(": ")


class _Bare(Protocol):
    """Has the `__init__` that typing adds to protocols."""


def _signature(factory: Callable[..., Any]) -> inspect.Signature | None:
    """The signature of a factory; None if it cannot be inspected."""
    # A subclass of a protocol without its own __init__ seems to accept any argument, but accepts none.
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
