"""The page of runs in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vzgym.evaluation import evaluate
from vzgym.evaluation.viewer import write_view

Open = Callable[..., Any]

HOSTILE = (
    '</script><script>document.title="taken"</script><img src=x onerror=\'document.title="taken"\'> "quoted" \u2028'
)
RIGHT_TO_LEFT = "\u202e\u05de\u05d4 \u05e6\u05d1\u05e2 \u05d4\u05d0\u05d5\u05e8?"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two runs on the same four tasks; the first has hostile texts. Not to be changed."""
    folder = tmp_path_factory.mktemp("runs")
    for policy in ("random", "oracle"):
        evaluate(policy, "needle-tiny", episodes=4, out=folder / policy)
    file = folder / "random" / "records.jsonl"
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for record, text in zip(records, (HOSTILE, RIGHT_TO_LEFT, "long " * 20_000), strict=False):
        record["task"]["question"] = text
        record["messages"][0]["text"] = text
        record["task"]["metadata"]["__proto__"] = {"polluted": text[:40]}
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def page_file(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of both runs."""
    return write_view([runs / "oracle", runs / "random"], tmp_path_factory.mktemp("page") / "view")


def test_the_list_opens_filters_and_sorts(open_page: Open, page_file: Path) -> None:
    page = open_page(f"{page_file.as_uri()}#/episodes")
    assert page.locator("a.episode").count() == 8
    page.select_option("select[name=run]", label="oracle")
    page.fill("input[name=frames-max]", "17")
    assert page.locator("a.episode").count() == 4
    assert "4 of 8 episodes, 4 right" in page.inner_text("#episodes")
    page.click("text=Clear filters")
    page.click("th.col-frames button")
    page.click("th.col-frames button")
    frames = [int(text) for text in page.locator("td.col-frames").all_inner_texts()]
    assert frames == sorted(frames, reverse=True)
    assert len(set(frames)) > 1
    assert "sort=-frames" in page.url
