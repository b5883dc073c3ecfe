"""What is said of dependencies in several places is the same everywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def constraints_of(extra: str) -> str:
    """The file with the releases that an extra is tested with."""
    own = f"constraints-{extra}.txt"
    return own if (ROOT / own).is_file() else "constraints.txt"


def lower_bounds(requirements: list[str]) -> dict[str, str]:
    found = {}
    for requirement in requirements:
        match = re.match(r"([A-Za-z0-9-]+)(?:\[[^]]*\])?>=([0-9.]+)", requirement)
        assert match is not None, f"{requirement}: no lower bound"
        found[match[1].lower()] = match[2]
    return found


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def test_the_lowest_releases_are_those_of_the_project() -> None:
    pinned = pins("constraints-lowest.txt")
    # Of torch, the oldest releases for CPUs are not offered everywhere.
    assert pinned.pop("torch") == pins("constraints.txt")["torch"]
    models = [text for text in PROJECT["optional-dependencies"]["llm"] if not text.startswith("torch>")]
    bounds = lower_bounds([*PROJECT["dependencies"], *models])
    assert set(pinned) == set(bounds)
    for name, bound in bounds.items():
        assert numbers(pinned[name])[: len(numbers(bound))] == numbers(bound), name


def test_what_is_tested_with_is_allowed() -> None:
    for extra, requirements in {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}.items():
        file = constraints_of(extra)
        pinned = pins(file)
        own = [requirement for requirement in requirements if not requirement.startswith("vzgym[")]
        for name, bound in lower_bounds(own).items():
            assert name in pinned, f"{file} does not pin {name}"
            assert numbers(pinned[name]) >= numbers(bound), name


def test_extras_with_an_environment_of_their_own_are_not_in_all() -> None:
    extras = PROJECT["optional-dependencies"]
    (everything,) = extras["all"]
    together = set(everything.removeprefix("vzgym[").removesuffix("]").split(","))
    apart = {extra for extra in extras if constraints_of(extra) != "constraints.txt"}
    assert apart
    assert together == set(extras) - apart - {"all", "docs", "dev"}


def test_the_urls_are_real_addresses() -> None:
    for name, url in PROJECT["urls"].items():
        assert url.startswith("https://"), name
        assert "example" not in url


def test_the_readme_shows_no_image_of_the_source_tree() -> None:
    # An index page has the text alone: a relative address leads nowhere there.
    text = (ROOT / PROJECT["readme"]).read_text(encoding="utf-8")
    images = re.findall(r"!\[[^]]*\]\(([^)\s]+)|<img[^>]*\ssrc=[\"']([^\"']+)", text)
    assert [address for found in images for address in found if address and not address.startswith("https://")] == []
