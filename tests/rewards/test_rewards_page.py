"""The page on rewards says what the code does: its tables, its names, and its examples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vzgym.rewards import NEEDS, PRESETS, REWARDS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "rewards.md").read_text(encoding="utf-8")


def tables(heading: str) -> dict[str, list[str]]:
    """All tables under a heading, as one: first cell's name to the other cells."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    named = [row for row in rows if row[0].startswith("`")]
    heads = [row for row in rows if not row[0].startswith("`") and not set(row[0]) <= set("-")]
    assert len({tuple(head) for head in heads}) == 1
    assert {len(row) for row in named} == {len(heads[0])}
    assert len({row[0] for row in named}) == len(named)
    return {row[0].strip("`"): row[1:] for row in named}


MODULES = tables("Built-in modules")


def test_every_module_has_its_row() -> None:
    assert sorted(MODULES) == REWARDS.names()


def test_every_need_is_explained() -> None:
    assert list(tables("Reward modules")) == list(NEEDS)


@pytest.mark.parametrize("name", REWARDS.names())
def test_a_modules_row_is_complete_and_tells_its_needs(name: str) -> None:
    formula, span, source, needs, breaks = MODULES[name]
    assert len(formula) > 10
    assert span[0] in "[{("
    assert source
    assert breaks
    assert needs == (", ".join(sorted(REWARDS.make(name).needs)) or "-")


@pytest.mark.parametrize("name", sorted(set(REWARDS.names()) - {"iou"}))
def test_a_modules_docstring_tells_the_same_and_its_name_is_its_own(name: str) -> None:
    module = REWARDS.make(name)
    text = " ".join((type(module).__doc__ or "").split())
    for part in ("Formula:", "Range:", "Source:", "Known to break:"):
        assert text.count(part) == 1, f"{name}: {part}"
    assert module.name == name


def test_the_presets_are_those_of_the_code() -> None:
    written = {
        name: {term: float(weight) for term, weight in re.findall(r"`(\w+)` ([\d.]+)", cells[0])}
        for name, cells in tables("Presets").items()
    }
    assert written == {name: dict(weights) for name, weights in PRESETS.items()}


def test_a_module_of_ones_own_takes_ten_lines() -> None:
    block = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[0]
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
