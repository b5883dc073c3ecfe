"""Packages that import their submodules when a name is first used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["lazy_exports"]


def lazy_exports(package: str, *exports: str, extra: str = "") -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The functions `__getattr__` and `__dir__` of a package whose exports are imported on first use.

    Type checkers see the same names imported below `TYPE_CHECKING`, and `__all__`:

        if TYPE_CHECKING:
            from vzgym.tasks.task import Subtitle, VideoTask
        else:
            __getattr__, __dir__ = lazy_exports(__name__, "task: Subtitle VideoTask")

    Args:
        package: The package's `__name__`.
        exports: `"submodule: Name OtherName"` for names that a submodule defines; `"submodule"` for the submodule. A
            module elsewhere in vzgym is given in full.
        extra: The extra whose packages the submodules need: if one is missing, the error names it
            (`DependencyNotInstalled`).
    """
    names: dict[str, str] = {}
    for export in exports:
        module, mark, listed = export.partition(":")
        names.update(dict.fromkeys(listed.split() if mark else [module], module))

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = names[name]
        try:
            value = import_module(module if module.startswith("vzgym.") else f"{package}.{module}")
        except ModuleNotFoundError as error:
            if not extra or str(error.name).startswith("vzgym"):
                raise
            from vzgym.core.errors import DependencyNotInstalled  # `import vzgym` does not need it

            message = f'{error.name} is not installed, run `pip install "vzgym[{extra}]"`'
            raise DependencyNotInstalled(message) from error
        if name != names[name]:
            value = getattr(value, name)
        setattr(sys.modules[package], name, value)
        return value

    def list_names() -> list[str]:
        return sorted(vars(sys.modules[package])["__all__"])

    return get, list_names
