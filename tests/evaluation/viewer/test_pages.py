"""The page of runs in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vzgym.evaluation import evaluate
from vzgym.evaluation.viewer import LiveView, write_single_file, write_view

Open = Callable[..., Any]

HOSTILE = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"> 'q' \u2028 \\u003c"
)
RIGHT_TO_LEFT = "\u202e\u05de\u05d4 \u05e6\u05d1\u05e2 \u05d4\u05d0\u05d5\u05e8?"
LONG = "x" * 100_000


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two runs on the same four tasks; three of the first have awkward texts. Not to be changed."""
    folder = tmp_path_factory.mktemp("runs")
    for policy in ("random", "oracle"):
        evaluate(policy, "needle-tiny", episodes=4, out=folder / policy)
    file = folder / "random" / "records.jsonl"
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for record, text in zip(records, (HOSTILE, RIGHT_TO_LEFT, LONG), strict=False):
        record["task"]["question"] = record["turns"][0]["text"] = record["messages"][0]["text"] = text
        record["task"]["options"][0] = text
        record["task"]["metadata"] = {"__proto__": {"taken": text}, text: text}
        record["info"]["kind"] = text
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def page_file(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of both runs, the oracle first."""
    return write_view([runs / "oracle", runs / "random"], tmp_path_factory.mktemp("page") / "view")


def test_the_list_filters_and_sorts_and_its_address_keeps_both(open_page: Open, page_file: Path) -> None:
    page = open_page(f"{page_file.as_uri()}#/episodes")
    assert page.locator("a.episode").count() == 8
    page.select_option("select[name=run]", label="oracle")
    page.fill("input[name=frames-max]", "17")
    assert page.locator("a.episode").count() == 4
    assert "4 of 8 episodes, 4 right" in page.inner_text("#episodes")
    page.fill("#search", "nowhere")
    assert "No episode passes these filters" in page.inner_text("main")
    page.click("text=Clear filters")
    for _ in range(2):
        page.click("th.col-frames button")
    assert page.get_attribute("th.col-frames", "aria-sort") == "descending"
    frames = [int(text) for text in page.locator("td.col-frames").all_inner_texts()]
    assert frames == sorted(frames, reverse=True)
    assert len(set(frames)) > 1
    again = open_page(page.url)
    assert [int(text) for text in again.locator("td.col-frames").all_inner_texts()] == frames


def test_keys_move_between_episodes_turns_and_back(open_page: Open, page_file: Path) -> None:
    page = open_page(f"{page_file.as_uri()}#/episodes?run=0")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector(".question h1")
    assert page.url.endswith("#/e/0/1")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**#/e/0/2")
    page.keyboard.press("2")
    page.wait_for_url("**#/e/0/2/2")
    page.wait_for_selector("#turn-2.current")
    assert page.evaluate("document.activeElement.id") == "turn-2"
    page.keyboard.press("u")
    page.wait_for_url("**#/episodes?run=0")
    page.wait_for_selector("a.episode")
    assert page.locator("a.episode").count() == 4


def test_a_frame_enlarges_and_opens_and_the_address_of_a_turn_opens_it(open_page: Open, page_file: Path) -> None:
    page = open_page(f"{page_file.as_uri()}#/e/0/0/1")
    page.wait_for_selector("#turn-1.current")
    frame = page.locator("#turn-1 button.frame").first
    image = frame.locator("img")
    image.scroll_into_view_if_needed()
    page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=image.element_handle())
    frame.hover()
    assert page.locator(".peek").is_visible()
    frame.click()
    dialog = page.locator("dialog.full")
    first = dialog.locator("p").inner_text()
    assert first.startswith("Turn 1, frame 1 of")
    page.keyboard.press("ArrowLeft")
    assert dialog.locator("p").inner_text().startswith("Overview, frame 16 of 16")
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert page.locator(".timeline:not(.compact) .truth").count() == 1
    assert page.locator(".timeline .bar").count() >= 1


def test_runs_are_aligned_by_task_with_paired_differences(open_page: Open, page_file: Path) -> None:
    page = open_page(page_file.as_uri())
    assert "Paired differences" in page.inner_text("main")
    assert "[" in page.inner_text("table.paired tbody tr:first-child")
    rows = page.locator("table.tasks tbody tr")
    differing = page.locator("table.tasks tbody tr.differs").count()
    assert rows.count() == 4
    assert differing >= 1
    page.click("button:text-is('Result differs')")
    assert rows.count() == differing
    rows.first.locator("a.outcome").nth(1).click()
    page.wait_for_selector("text=The same task in every run")
    assert page.locator(".other .timeline").count() == 1


@pytest.mark.parametrize("number", range(3))
def test_awkward_text_stays_text(open_page: Open, page_file: Path, number: int) -> None:
    page = open_page(f"{page_file.as_uri()}#/e/1/{number}", width=400)
    page.wait_for_selector(".question h1")
    text = (HOSTILE, RIGHT_TO_LEFT, LONG)[number]
    assert page.evaluate("document.querySelector('.question h1').textContent") == text
    assert page.evaluate("document.querySelector('.by-user .text').textContent") == text
    assert page.evaluate("document.querySelector('#turn-1 .by-assistant .text').textContent") != ""
    assert "taken" not in page.title()
    assert page.evaluate("({}).taken") is None
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.goto(f"{page_file.as_uri()}#/episodes")
    page.wait_for_selector("a.episode")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_the_theme_follows_the_system_until_it_is_chosen(open_page: Open, page_file: Path) -> None:
    page = open_page(page_file.as_uri(), color_scheme="dark")
    assert page.get_attribute("html", "data-theme") == "dark"
    page.click("button[aria-label='Light theme']")
    assert page.get_attribute("html", "data-theme") == "light"
    page.reload()
    assert page.get_attribute("html", "data-theme") == "light"


def test_a_single_file_needs_nothing_else(open_page: Open, runs: Path, tmp_path: Path) -> None:
    file = write_single_file([runs / "random"], tmp_path / "new" / "page.html")
    assert [path.name for path in file.parent.iterdir()] == ["page.html"]
    page = open_page(f"{file.as_uri()}#/e/0/0/1")
    page.wait_for_selector("#turn-1.current")
    image = page.locator("#turn-1 img").first
    page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=image.element_handle())
    assert page.evaluate("document.querySelector('.question h1').textContent") == HOSTILE
    assert "taken" not in page.title()


def test_what_cannot_be_shown_is_said_in_place(open_page: Open, runs: Path, tmp_path: Path) -> None:
    lines = (runs / "oracle" / "records.jsonl").read_text().splitlines()
    other, gone = json.loads(lines[1]), json.loads(lines[2])
    other["version"] = 1
    gone["task"]["video"] = "/gone/video.mp4"
    file = tmp_path / "records.jsonl"
    file.write_text("\n".join([lines[0], json.dumps(other), "no JSON", json.dumps(gone), lines[3][:200]]))
    page = open_page(write_view([file]).as_uri())
    assert page.locator("a.episode").count() == 2
    page.click("summary:has-text('3 lines or files could not be read')")
    told = page.inner_text("details.message")
    for words in ("line 2: an episode record of version 1", "line 3: not JSON", "line 5: the last line is incomplete"):
        assert words in told
    page.keyboard.press("j")
    page.goto(page.url.split("#")[0] + "#/e/0/1")
    page.wait_for_selector("text=/Frames not shown: .*gone.video.mp4.*cannot be found/")
    assert page.locator(".timeline .bar").count() >= 1
    page.goto(page.url.split("#")[0] + "#/e/7/1")
    page.wait_for_selector("text=There is no episode 1 in run 7")


def test_a_served_page_shows_new_episodes_curves_and_frames(open_page: Open, runs: Path, tmp_path: Path) -> None:
    lines = (runs / "oracle" / "records.jsonl").read_bytes().splitlines(keepends=True)
    run = tmp_path / "grpo"
    run.mkdir()
    with LiveView([run]) as live:
        page = open_page(live.url)
        page.wait_for_selector("text=No episode is finished yet")
        file = run / "rollouts.jsonl"
        file.write_bytes(lines[0] + lines[1][:100])
        (run / "log.jsonl").write_text("".join(f'{{"step": {n}, "reward": 0.{n}}}\n' for n in range(1, 4)))
        page.wait_for_selector("text=1 episode, 1 right")
        page.wait_for_selector("svg[aria-label^='Reward by step: from 0.1 at step 1 to 0.3 at step 3']")
        with file.open("ab") as rest:
            rest.write(lines[1][100:])
        page.wait_for_selector("text=2 episodes, 2 right")
        page.locator("a.episode").nth(1).click()
        image = page.locator("#turn-1 img").first
        page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=image.element_handle())
        page.goto(live.url)
        page.wait_for_selector("text=2 episodes, 2 right")
        file.write_bytes(lines[2])  # a training resumes from a checkpoint: later roll-outs are dropped
        page.wait_for_selector("text=1 episode, 1 right")
