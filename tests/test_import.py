"""Importing vzgym must stay cheap, and must not need anything optional."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

import vzgym

OPTIONAL = {
    "accelerate",
    "datasets",
    "matplotlib",
    "moviepy",
    "peft",
    "pettingzoo",
    "sb3_contrib",
    "stable_baselines3",
    "tensorboard",
    "torch",
    "transformers",
    "trl",
}
DECODERS = {"av", "decord", "torchcodec"}
# agents may need the extras that it trains with.
SUBPACKAGES = [found.name for found in pkgutil.iter_modules(vzgym.__path__) if found.name not in {"__main__", "agents"}]
LAZY = [
    name
    for name in ("vzgym", *(f"vzgym.{found.name}" for found in pkgutil.iter_modules(vzgym.__path__) if found.ispkg))
    if "lazy_exports" in Path(importlib.import_module(name).__file__ or "").read_text(encoding="utf-8")
]


def modules_after(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `statement`."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split("\n")[-2].split())


def packages_after(statement: str) -> set[str]:
    """The top-level packages among them."""
    return {name.partition(".")[0] for name in modules_after(statement)}


def test_one_module_alone_needs_unix_to_be_imported() -> None:
    needing = {}
    for file in Path(vzgym.__path__[0]).rglob("*.py"):
        body = ast.parse(file.read_text(encoding="utf-8")).body
        named = {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
        named |= {node.module or "" for node in body if isinstance(node, ast.ImportFrom)}
        if unix := named & {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}:
            needing[file.name] = unix
    # Sharing frames does not work on Windows; the module is imported where frames are shared.
    assert needing == {"shared_frames.py": {"fcntl"}}


def test_import_vzgym_loads_gymnasium_and_the_registration_alone() -> None:
    added = modules_after("import vzgym") - modules_after("import gymnasium")
    assert added == {"vzgym", "vzgym.core", "vzgym.core.lazy", "vzgym.envs", "vzgym.envs.registration"}


def test_import_vzgym_registers_the_environments() -> None:
    ids = "import vzgym, gymnasium; print([i for i in gymnasium.registry if 'VideoZoom' in i]); import sys"
    assert "vzgym.tasks" not in modules_after(ids)
    for name in vzgym.envs.ENV_IDS:
        assert name in gymnasium.registry


@pytest.mark.parametrize("subpackage", SUBPACKAGES)
def test_no_subpackage_needs_an_optional_package(subpackage: str) -> None:
    every = f"import vzgym.{subpackage} as package\nfor name in getattr(package, '__all__', ()): getattr(package, name)"
    assert packages_after(every) & OPTIONAL == set()


def test_an_environment_loads_no_decoder() -> None:
    made = "import gymnasium, vzgym; gymnasium.make('VideoZoomTiny-v0').reset(seed=0)"
    assert packages_after(made) & (OPTIONAL | DECODERS) == set()


def test_help_of_a_command_loads_no_engine() -> None:
    loaded = modules_after(
        "import sys; sys.argv = ['vzgym', 'eval', '--help']\nfrom vzgym.cli import main\n"
        "try: main()\nexcept SystemExit: pass"
    )
    assert "vzgym.cli.evaluate" in loaded
    assert not {name for name in loaded if name.startswith(("vzgym.evaluation", "vzgym.episode", "vzgym.tasks.proc"))}


def test_help_loads_no_command() -> None:
    loaded = modules_after(
        "import sys; sys.argv = ['vzgym', '--help']\nfrom vzgym.cli import main\ntry: main()\nexcept SystemExit: pass"
    )
    ours = {name for name in loaded if name.startswith("vzgym.") and not name.startswith("vzgym.core")}
    assert ours == {"vzgym.cli", "vzgym.envs", "vzgym.envs.registration"}
    assert not {name.partition(".")[0] for name in loaded} & (OPTIONAL | DECODERS | {"PIL", "yaml", "pydantic"})


def test_core_needs_numpy_alone() -> None:
    # An empty package in place of `vzgym/__init__.py`, which registers environments with gymnasium.
    statement = f"""
import sys, types
package = sys.modules["vzgym"] = types.ModuleType("vzgym")
package.__path__ = {list(vzgym.__path__)!r}
import vzgym.core, vzgym.core.registry
for name in vzgym.core.__all__: getattr(vzgym.core, name)
"""
    added = packages_after(statement) - packages_after("import numpy")
    assert added - set(sys.stdlib_module_names) == {"vzgym"}


def test_dir_holds_the_public_names_alone() -> None:
    assert dir(vzgym) == sorted(vzgym.__all__)
    for name in vzgym.__all__:
        assert getattr(vzgym, name) is not None
    assert not {"TYPE_CHECKING", "Any", "annotations", "importlib"} & set(dir(vzgym))


@pytest.mark.parametrize("package", LAZY)
def test_lazy_exports_are_those_that_type_checkers_see(package: str) -> None:
    module = importlib.import_module(package)
    tree = ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If) and getattr(n.test, "id", "") == "TYPE_CHECKING")
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    defined = {name for name in module.__all__ if name not in seen}
    assert defined <= {"__version__"}
    assert set(seen) <= set(module.__all__)
    if package.startswith("vzgym.agents"):
        return  # the names need optional packages
    for name, source in seen.items():
        real = importlib.import_module(str(source))
        expected = importlib.import_module(f"{source}.{name}") if source == package else getattr(real, name)
        assert getattr(module, name) is expected
    # A submodule of the same name would take the place of the exported name as soon as it is imported.
    clashes = {found.name for found in pkgutil.iter_modules(module.__path__)} & set(seen)
    assert all(seen[name] == package for name in clashes)


@pytest.mark.parametrize("package", LAZY)
def test_an_unknown_name_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = importlib.import_module(package).nothing
