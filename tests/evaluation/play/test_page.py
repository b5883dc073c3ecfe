"""The page of a session, in a browser."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vzgym.core.actions import Answer, Zoom
from vzgym.evaluation import read_records
from vzgym.tasks import load_tasks
from vzgym.tasks.subtitles.subtitle import Subtitle

TASKS = load_tasks("needle-micro", split="test")

Open = Callable[..., Any]


def drag(page: Any, start: float, end: float) -> None:
    """Drag over the time line, between two shares of its width."""
    strip = page.locator(".strip")
    strip.scroll_into_view_if_needed()
    box = strip.bounding_box()
    height = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + start * box["width"], height)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], height, steps=4)
    page.mouse.up()


def press(page: Any, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def test_an_episode_is_played_to_its_end(session: Any, open_page: Open, tmp_path: Path) -> None:
    player = session(feedback=True)
    page = open_page(player.url)
    page.get_by_role("heading", name=TASKS[0].question).wait_for()
    assert page.locator(".frames img").count() == 8
    assert page.get_by_role("button", name="Zoom", exact=True).is_disabled()
    drag(page, 0.25, 0.5)
    duration = TASKS[0].video.duration
    start, end = (float(page.locator(f"#{name}").input_value()) for name in ("start", "end"))
    assert start == pytest.approx(0.25 * duration, abs=0.5)
    assert end == pytest.approx(0.5 * duration, abs=0.5)
    assert page.locator(".count").inner_text().startswith("6 frames of at most 6")
    fps = float(page.locator("#fps").input_value())
    press(page, "Zoom")
    page.get_by_role("tab", name=re.compile("Zoom 1"), selected=True).wait_for()
    assert page.locator(".frames img").count() == 6
    assert "1 of 2 zooms left" in page.locator("#top").inner_text()
    # The frames are loaded, and one is enlarged.
    page.locator(".frames button").nth(2).click()
    picture = page.locator("dialog img")
    picture.wait_for()
    assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
    page.keyboard.press("ArrowRight")
    assert "frame 4 of 6" in page.locator("dialog").inner_text()
    page.keyboard.press("Escape")
    # The answer by its letter.
    page.locator("#question").click()
    page.keyboard.press("d")
    press(page, "Answer")
    page.locator("#next").wait_for()
    gold = TASKS[0].answer
    assert "Right" in page.locator(".result").inner_text()
    assert f"The answer is D, {gold}." in page.locator(".result").inner_text()
    assert page.locator(".strip .evidence").count() == 1
    press(page, "Next question")
    page.get_by_role("heading", name=TASKS[1].question).wait_for()
    page.get_by_label(TASKS[1].options[1]).check()
    press(page, "Answer")
    press(page, "Finish")
    page.get_by_text("All 2 questions are recorded.").wait_for()
    first, second = read_records(tmp_path / "run")
    assert [turn.action for turn in first.turns] == [Zoom(start, end, fps), Answer("D")]
    assert (first.grade.is_correct, second.answer) == (True, "B")


def test_a_window_is_chosen_by_keyboard_and_by_numbers(session: Any, open_page: Open) -> None:
    page = open_page(session().url)
    page.locator("#start").fill("3")
    page.locator("#end").fill("5.5")
    assert page.locator(".count").inner_text() == "6 frames of at most 6, from 2.50 s"
    start, end, whole = (page.get_by_role("slider", name=name) for name in ("Start of", "End of", "Position of"))
    start.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert page.locator("#start").input_value() == "4.1"
    end.focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#end").input_value() == "5.4"
    assert end.get_attribute("aria-valuetext") == "5.40 seconds"
    page.keyboard.press("Home")
    assert float(page.locator("#end").input_value()) == pytest.approx(4.11)
    whole.focus()
    page.keyboard.press("End")
    duration = TASKS[0].video.duration
    assert float(page.locator("#end").input_value()) == pytest.approx(duration, abs=0.011)
    page.keyboard.press("PageDown")
    assert float(page.locator("#end").input_value()) == pytest.approx(duration - 10, abs=0.03)
    # What would be refused cannot be sent.
    for name, value, words in (
        ("fps", "9", None), ("fps", "11", "Frames per second: 0.1 to 10"), ("end", "900", "The video lasts from 0 to"),
        ("start", "901", "The end must be greater"), ("start", "", "Drag over the time line"),
    ):  # fmt: skip
        page.locator(f"#{name}").fill(value)
        button = page.get_by_role("button", name="Zoom", exact=True)
        assert button.is_disabled() == (words is not None)
        assert words is None or words in page.locator(".count").inner_text()
    page.locator("#start").fill("1")
    page.locator("#end").fill("20")
    page.locator("#fps").fill("1")
    assert "19 frames; at most 6" in page.locator(".count").inner_text()
    page.locator("#auto").check()
    page.locator("#end").press("Enter")
    page.get_by_role("tab", name=re.compile("Zoom 1"), selected=True).wait_for()


def test_a_reload_keeps_the_episode_and_what_was_entered(session: Any, open_page: Open) -> None:
    page = open_page(session().url)
    drag(page, 0.1, 0.2)
    press(page, "Zoom")
    page.get_by_role("tab", name=re.compile("Zoom 1")).wait_for()
    drag(page, 0.6, 0.7)
    page.get_by_label(TASKS[0].options[2]).check()
    page.get_by_role("tab", name=re.compile("Overview")).click()
    entered = page.locator("#start").input_value()
    page.reload()
    page.get_by_role("tab", name=re.compile("Zoom 1")).wait_for()
    assert page.locator(".turns li").count() == 1
    assert page.locator("#start").input_value() == entered
    assert page.get_by_label(TASKS[0].options[2]).is_checked()
    assert page.get_by_role("tab", name=re.compile("Overview")).get_attribute("aria-selected") == "true"
    assert "1 of 2 zooms left" in page.locator("#top").inner_text()


def test_two_tabs_show_the_same_episode(session: Any, chromium: Any, tmp_path: Path) -> None:
    player = session()
    context = chromium.new_context()
    context.set_default_timeout(60_000)
    first, second = context.new_page(), context.new_page()
    # The second tab gets the first state only, so that it acts on what is over.
    second.route("**/state?**", lambda route: route.continue_() if route.request.url.endswith("since=") else None)
    for page in (first, second):
        page.goto(player.url)
        page.locator(".strip").wait_for()
    second.get_by_label(TASKS[0].options[0]).check()
    drag(first, 0.2, 0.3)
    press(first, "Zoom")
    first.get_by_role("tab", name=re.compile("Zoom 1")).wait_for()
    second.evaluate("() => document.querySelector('.answer').requestSubmit()")
    second.get_by_text("Not taken: the episode has gone on in another tab").wait_for()
    second.unroute("**/state?**")
    second.reload()
    second.get_by_role("tab", name=re.compile("Zoom 1")).wait_for()
    second.get_by_label(TASKS[0].options[1]).check()
    press(second, "Answer")
    for page in (first, second):
        page.get_by_text("Recorded.").wait_for()
    (record,) = read_records(tmp_path / "run")
    assert (record.zooms, record.answer) == (1, "B")
    context.close()


def test_hostile_texts_stay_texts(session: Any, open_page: Open, hostile_task: Any) -> None:
    page = open_page(session([hostile_task], episodes=1, feedback=True).url)
    page.locator(".option").first.wait_for()
    assert page.locator("#question").inner_text().startswith("<script>window.hacked=1</script>")
    assert page.locator(".option").first.inner_text().count("<img src=x") == 1
    drag(page, 0.1, 0.3)
    press(page, "Zoom")
    page.get_by_role("tab", name=re.compile("Zoom 1")).wait_for()
    page.get_by_role("radio").first.check()
    press(page, "Answer")
    page.locator("#next").wait_for()
    assert "You answered A, <script>" in page.locator(".result").inner_text()
    assert page.evaluate("() => window.hacked") is None
    # A long text does not widen the page.
    for width in (400, 900, 1600):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")


def test_an_open_question_and_no_overview_and_no_zoom(session: Any, open_page: Open, hostile_task: Any) -> None:
    task = replace(hostile_task, id="open", question="How many?", options=(), answer="3")
    page = open_page(session([task], episodes=1, budget={"overview_frames": 0, "max_zooms": 0}).url)
    page.get_by_text("This is the last round: answer now.").wait_for()
    assert "this budget has no overview" in page.locator(".clips").inner_text()
    page.get_by_label("Your answer").fill("3")
    press(page, "Answer")
    page.get_by_text("Recorded.").wait_for()


def test_subtitles_are_shown_with_the_clips(session: Any, open_page: Open, hostile_task: Any) -> None:
    lines = (Subtitle(1.0, 2.0, "<b>first</b>"), Subtitle(19.5, 19.9, "last"))
    task = replace(hostile_task, id="spoken", subtitles=lines, show_subtitles=True)
    page = open_page(session([task], episodes=1).url)
    page.locator(".strip img").first.wait_for()
    drag(page, 0.0, 1.0)
    press(page, "Zoom")
    page.get_by_role("tab", name=re.compile("Zoom 1"), selected=True).wait_for()
    said = page.locator(".speech li").all_inner_texts()
    assert [text.strip() for text in said] == ["1.00 to 2.00 s <b>first</b>", "19.50 to 19.90 s last"]


def test_a_part_of_the_frame(session: Any, open_page: Open, tmp_path: Path) -> None:
    page = open_page(session(budget={"spatial": True}).url)
    drag(page, 0.1, 0.3)
    page.get_by_text("Only a part of the frame").click()
    area = page.locator(".region")
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.25 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"], steps=3)
    page.mouse.up()
    assert float(page.get_by_label("Left, %").input_value()) == pytest.approx(25, abs=1)
    page.get_by_label("Bottom, %").fill("100")
    press(page, "Zoom")
    page.get_by_role("tab", name=re.compile("Zoom 1"), selected=True).wait_for()
    page.get_by_label(TASKS[0].options[0]).check()
    press(page, "Answer")
    page.get_by_text("Recorded.").wait_for()
    (record,) = read_records(tmp_path / "run")
    region = record.turns[0].action.region
    assert region.to_list() == pytest.approx([0.25, 0.25, 0.75, 1.0], abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 900, 1600])
def test_nothing_overflows_and_every_control_has_a_name(session: Any, open_page: Open, width: int, theme: str) -> None:
    page = open_page(session().url, width=width, color_scheme=theme)
    page.locator(".strip img").first.wait_for()
    assert page.evaluate("() => document.documentElement.dataset.theme") == theme
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, textarea, [role=slider], [role=tab]")]
            .filter((e) => !(e.textContent.trim() || e.getAttribute("aria-label") || e.title || e.labels?.length))
            .map((e) => e.outerHTML)"""
    )
    assert nameless == []


def test_the_command_serves_the_page_and_ctrl_c_keeps_the_run(
    chromium: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "vzgym", "play", "--tasks", "needle-micro", "--episodes", "3", "--out",
         str(tmp_path), "--name", "ann", "--no-open"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ},
    )  # fmt: skip
    request.addfinalizer(process.kill)
    assert process.stdout is not None
    address = next(found[0] for line in process.stdout if (found := re.search(r"http://127\S+", line)))
    # A page of its own: frames that are being loaded when the server stops are errors in the console.
    page = chromium.new_page()
    page.goto(address)
    page.get_by_label(TASKS[0].options[0]).check()
    press(page, "Answer")
    press(page, "Next question")
    page.get_by_role("heading", name=TASKS[1].question).wait_for()
    drag(page, 0.1, 0.2)
    press(page, "Zoom")
    page.get_by_role("tab", name=re.compile("Zoom 1")).wait_for()
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=500)
    page.get_by_role("heading", name="Stopped").wait_for()
    assert process.returncode == 0
    assert "1 of 3 episodes are recorded" in text
    assert "Traceback" not in text
    (folder,) = tmp_path.iterdir()
    assert folder.name == "ann-needle-micro-test"
    assert len(list(read_records(folder))) == 1
    assert len(json.loads((folder / "unfinished.json").read_text())["actions"]) == 1
    page.close()
