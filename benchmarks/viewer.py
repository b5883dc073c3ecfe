"""Measure the page of a large run in headless Chromium: writing it, and opening its list and an episode.

    python benchmarks/viewer.py [--episodes 5000] [--rounds 5]

The run consists of copies of a few episodes of the random policy; the page is written without frames. Each round opens
the page from disk in a new browser context; times are medians. "List" is from the start of the navigation until the
table is in the page, "filter" from a key in the search field until the table has changed, "episode" from a click until
the question is in the page. "Processor" is the time that the page's main thread computes, which a busy machine changes
less.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from vzgym.evaluation import evaluate
from vzgym.evaluation.viewer import write_view

_PLAYED = 20


def write_run(folder: Path, episodes: int) -> None:
    """A run of many episodes."""
    evaluate("random", "needle-tiny", episodes=_PLAYED, out=folder)
    file = folder / "records.jsonl"
    records = [json.loads(line) for line in file.read_text().splitlines()]
    with file.open("w") as lines:
        for index in range(episodes):
            record = records[index % _PLAYED]
            record["info"]["index"] = index
            record["task"]["id"] = f"needle-tiny/test/{index % _PLAYED}/copy-{index // _PLAYED}"
            lines.write(json.dumps(record) + "\n")


def open_once(browser: Browser, address: str) -> dict[str, float]:
    """The seconds of each step, in a new context."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page: Any = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    found = {}
    start = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_selector("table.episodes tbody tr")
    found["list"] = time.perf_counter() - start
    metrics = session.send("Performance.getMetrics")["metrics"]
    found["list, processor"] = next(item["value"] for item in metrics if item["name"] == "TaskDuration")
    start = time.perf_counter()
    page.fill("#search", "copy-7 test/3")
    page.wait_for_function("document.querySelectorAll('a.episode').length < 100")
    found["filter"] = time.perf_counter() - start
    start = time.perf_counter()
    page.click("a.episode")
    page.wait_for_selector(".question h1")
    found["episode"] = time.perf_counter() - start
    context.close()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--episodes", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        run = Path(folder) / "run"
        write_run(run, arguments.episodes)
        start = time.perf_counter()
        page = write_view([run], frames=False)
        print(f"{arguments.episodes} episodes, page written in {time.perf_counter() - start:.1f} s")
        print(f"data/index.js: {(page.parent / 'data' / 'index.js').stat().st_size / 1e6:.2f} MB")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        rounds = [open_once(browser, page.as_uri()) for _ in range(arguments.rounds)]
        browser.close()
    for step in rounds[0]:
        times = [found[step] for found in rounds]
        print(f"{step}: {statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})")


if __name__ == "__main__":
    main()
