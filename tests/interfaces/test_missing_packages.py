"""Without an interface's packages, the error names the command that installs them."""

from __future__ import annotations

import importlib
import importlib.util

import pytest

from vzgym.core.errors import DependencyNotInstalled


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("openenv", "VideoZoomClient"),
        ("openenv", "serve"),
        ("verifiers", "VideoZoomTaskset"),
        ("verl", "VideoZoomLoop"),
    ],
)
def test_the_error_names_the_extra(package: str, name: str) -> None:
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    module = importlib.import_module(f"vzgym.interfaces.{package}")
    with pytest.raises(DependencyNotInstalled, match=rf"vzgym\[{package}\]"):
        getattr(module, name)
