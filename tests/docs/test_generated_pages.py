"""The pages that scripts write: they are up to date, and the Python API has every public name."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import vzgym

ROOT = Path(__file__).parents[2]

# The command line has a page of its own, and is no Python interface.
NOT_PUBLIC = ("vzgym.cli",)


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


SCRIPT = load_script("api_pages")
COMMANDS = load_script("command_pages")
BENCHMARKS = load_script("benchmark_pages")
PAGES = SCRIPT.pages()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_an_api_page_is_up_to_date(name: str) -> None:
    """If this fails: python docs/api_pages.py."""
    assert (SCRIPT.FOLDER / name).read_text(encoding="utf-8") == PAGES[name]


@pytest.mark.parametrize("name", ["cli.md", "settings.md"])
def test_a_command_page_is_up_to_date(name: str) -> None:
    """If this fails: python docs/command_pages.py."""
    assert (COMMANDS.FOLDER / name).read_text(encoding="utf-8") == COMMANDS.pages()[name]


@pytest.mark.parametrize("name", sorted(BENCHMARKS.pages()))
def test_a_benchmark_page_is_up_to_date(name: str) -> None:
    """If this fails: python docs/benchmark_pages.py."""
    assert (BENCHMARKS.FOLDER / name).read_text(encoding="utf-8") == BENCHMARKS.pages()[name]


def test_benchmark_pages_are_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    written = {f"benchmarks/{path.name}" for path in (BENCHMARKS.FOLDER / "benchmarks").glob("*.md")}
    assert written == {name for name in BENCHMARKS.pages() if "/" in name}
    assert all(f"reference/{name}\n" in text for name in BENCHMARKS.pages())


def test_no_api_page_is_left_over() -> None:
    assert {path.name for path in SCRIPT.FOLDER.glob("*.md")} == set(PAGES)


def test_every_name_of_every_package_is_documented() -> None:
    documented = {
        line.removeprefix("::: ") for text in PAGES.values() for line in text.splitlines() if line[:4] == "::: "
    }
    values = [
        SCRIPT.value_of(importlib.import_module(path.rpartition(".")[0]), path.rpartition(".")[2])
        for path in documented
    ]
    packages = ["vzgym", *(found.name for found in pkgutil.walk_packages(vzgym.__path__, "vzgym.") if found.ispkg)]
    missing = []
    for package in packages:
        module = importlib.import_module(package)
        if package.startswith(NOT_PUBLIC) or not hasattr(module, "__all__"):
            continue
        missing += [
            f"{package}.{name}"
            for name in SCRIPT.public_names(module)
            if not any(SCRIPT.value_of(module, name) is value for value in values)
        ]
    assert not missing, f"add their packages to PAGES in docs/api_pages.py: {missing}"


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert isinstance(yaml.safe_load(text), dict)
    missing = [name for name in PAGES if f"reference/api/{name}" not in text]
    assert not missing
