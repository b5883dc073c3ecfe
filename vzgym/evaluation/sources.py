"""Digests of the user's Python sources, so that edited code is not taken for that of an earlier run or stage."""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from vzgym.tasks.task_slice import split_slice

__all__ = ["class_digests", "source_digests"]

_OBJECT = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):[A-Za-z_]\w*(?:\.\w+)*")

_INSTALLED: Final = tuple(
    {str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def source_digests(settings: Any) -> dict[str, str]:
    """Compute source digests of all modules named in settings, including plug-ins.

    The digest of a module covers its direct and indirect imports, except vzgym and installed packages. No module is
    imported.

    Args:
        settings: Mappings, lists and texts. Modules are named by strings `module:Class`, as keys or values, or by the
            registered name of a plug-in's component.

    Returns:
        By module name, without vzgym's modules, which its version identifies.
    """
    plugins = _plugins()
    found: dict[str, str] = {}
    for text in _texts(settings):
        name = split_slice(text)[0].partition("/")[0]  # a suite's name may be followed by its split and a slice
        match = _OBJECT.fullmatch(plugins.get(name, name))
        if match and (name := match[1]).partition(".")[0] != "vzgym" and (digest := _digest(name)):
            found[name] = digest
    return dict(sorted(found.items()))


def class_digests(objects: Iterable[object]) -> dict[str, str]:
    """Compute source digests of the classes of objects, with their base classes.

    Returns:
        By module and class. Without vzgym's classes, those of installed packages, and those whose source is not known,
        such as of an interactive session.
    """
    found: dict[str, str] = {}
    for kind in map(type, objects):
        texts = [text for base in kind.__mro__ if (text := _class_source(base))]
        if texts:
            found[f"{kind.__module__}:{kind.__qualname__}"] = _hash("\n".join(texts).encode())
    return dict(sorted(found.items()))


def _class_source(kind: type) -> str:
    try:
        file = inspect.getsourcefile(kind)
        mine = file is not None and kind.__module__.partition(".")[0] != "vzgym" and _is_local(Path(file))
        return inspect.getsource(kind) if mine else ""
    except (OSError, TypeError):  # no file, or a built-in class
        return ""


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


@cache
def _plugins() -> Mapping[str, str]:
    """`module:attribute` of every component that a plug-in registers, by its name."""
    found = entry_points()
    groups = [group for group in found.groups if group.startswith("vzgym.")]
    return {entry.name: entry.value for group in groups for entry in found.select(group=group)}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _texts(inner)


def _digest(name: str) -> str:
    """Digest of the source of a module and its imports; "" if it has no source."""
    root = name.partition(".")[0]
    files: dict[str, bytes] = {}
    waiting = [name]
    while waiting:
        module = waiting.pop()
        file = _source(module)
        package = module.partition(".")[0]
        # vzgym may be installed from its source folder, but its version identifies it there, too.
        if file is None or module in files or package == "vzgym" or not (package == root or _is_local(file)):
            continue
        files[module] = file.read_bytes()
        waiting += _imports(files[module], module, is_package=file.name == "__init__.py")
    parts = (f"{module} {len(source)}\n".encode() + source for module, source in sorted(files.items()))
    return _hash(b"".join(parts)) if files else ""


def _source(name: str) -> Path | None:
    """Find the file of a module without importing its package."""
    spec: ModuleSpec | None = None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        path = spec.submodule_search_locations if spec else None
        if depth > 1 and not path:
            return None
        spec = PathFinder.find_spec(".".join(parts[:depth]), path)
    origin = spec.origin if spec else getattr(sys.modules.get(name), "__file__", None)
    return Path(origin) if origin and origin.endswith(".py") else None


def _is_local(file: Path) -> bool:
    """Whether a file belongs to the user, not to an installed package."""
    return not str(file.resolve()).startswith(_INSTALLED)


def _imports(source: bytes, module: str, *, is_package: bool) -> Iterator[str]:
    """Names of modules that a module may import; some are names within modules."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)]
        else:
            continue
        for name in names:
            # Importing a module imports its parent packages.
            parts = name.split(".")
            yield from (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
