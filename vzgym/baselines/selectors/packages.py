"""Optional packages of the selectors, imported where used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from vzgym.core.errors import DependencyNotInstalled

__all__ = ["optional"]


def optional(module: str, selector: str) -> Any:
    """Import a module of the extra `selectors`.

    Args:
        module: Such as "scipy.signal".
        selector: The selector that needs it, for the message.

    Raises:
        DependencyNotInstalled: If it is missing.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = {"pywt": "PyWavelets"}.get(module, module.partition(".")[0])
        raise DependencyNotInstalled(
            f"the selector {selector!r} needs {package}: pip install 'vzgym[selectors]'"
        ) from error
