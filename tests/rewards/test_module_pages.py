"""The pages on modules, findings and costs say what the code does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from vzgym.episode.costs import COSTS, PATCH_RULES
from vzgym.evaluation import TAXONOMY_CLASSES
from vzgym.evaluation.taxonomy_tables import _TITLES
from vzgym.rewards import PREDICATES, REWARDS, make_reward

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference"


def read(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reward_pages", DOCS / "reward_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_module_has_its_page_and_no_page_is_stale(writer: ModuleType) -> None:
    """If this fails: python docs/reward_pages.py."""
    there = {page.stem: page.read_text(encoding="utf-8") for page in (REFERENCE / "rewards").glob("*.md")}
    assert sorted(there) == REWARDS.names()
    assert there == writer.pages()


def test_the_overview_links_every_page() -> None:
    assert sorted(re.findall(r"\]\(rewards/(\w+)\.md\)", read("rewards.md"))) == REWARDS.names()


def test_the_overview_names_every_predicate() -> None:
    listed = read("rewards.md").partition("A condition is a predicate of the record (")[2].partition(", each also")[0]
    assert re.findall(r"`(\w+)`", listed) == sorted(PREDICATES)


@pytest.mark.parametrize("page", ["rewards.md", "costs.md"])
def test_yaml_examples_are_rewards(page: str, tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", read(page), re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        file = tmp_path / "reward.yaml"
        file.write_text(block, encoding="utf-8")
        mix = make_reward(file)
        assert make_reward(mix.to_spec()) == mix


def test_the_taxonomy_s_page_has_every_class_and_a_picture_of_each() -> None:
    text = read("taxonomy.md")
    rows = re.findall(r"^\| [^|]+ \| `([a-z_]+)` \| ([^|]+) \|", text, re.MULTILINE)
    assert {name: short.strip() for name, short in rows} == {str(f): _TITLES[f][0] for f in TAXONOMY_CLASSES}
    pictures = re.findall(r"!\[[^]]+\]\((\.\./images/taxonomy/(\w+)\.png)\)", text)
    assert {name for _, name in pictures} == {str(kind) for kind in TAXONOMY_CLASSES if kind != "unknown"}
    assert all((REFERENCE / path).stat().st_size > 10_000 for path, _ in pictures)


def test_the_costs_page_has_every_entry_and_family() -> None:
    text = read("costs.md")
    table = text.partition("| entry |")[2].partition("```")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(COSTS)
    assert all(f"`{family}`" in text for family in PATCH_RULES)
