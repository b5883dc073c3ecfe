"""What notebooks show of records and reports."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

import vzgym
from vzgym.core.actions import Answer, Zoom
from vzgym.episode import Episode, EpisodeRecord
from vzgym.evaluation import read_records
from vzgym.evaluation.comparison import compare_runs
from vzgym.evaluation.experiments import load_experiment, make_grid
from vzgym.evaluation.experiments.results import Results
from vzgym.tasks import VideoTask, load_tasks
from vzgym.tasks.io.writing import write_tasks
from vzgym.video import ArrayVideo

HOSTILE = "<script>alert(1)</script> \"' & \u202e\x1b[31m </div></table>"
VOID = {"img"}


class Page(HTMLParser):
    """The elements, texts and attributes of an HTML fragment; checks that every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        assert not any(name.startswith("on") for name, _ in attrs)
        for name, value in attrs:
            if name in ("src", "href"):
                assert (value or "").startswith("data:image/jpeg;base64,")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] != "style":
            self.text += data


def hostile_episode() -> Episode:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 36, 64, 3), dtype=np.uint8)
    task = VideoTask(
        id=f"task {HOSTILE}",
        video=ArrayVideo(pixels, fps=4.0),
        question=HOSTILE + "x" * 100_000,
        options=(HOSTILE, "two"),
        answer="two",
    )
    return Episode(task)


def test_a_record_shows_its_frames_turns_and_dialogue() -> None:
    live: list[EpisodeRecord] = []
    vzgym.evaluate("random", "tiny", episodes=1, on_episode=live.append)
    (record,) = live
    page = Page(record._repr_html_())
    assert record.task.question in page.text
    assert all(option in page.text for option in record.task.options)
    assert page.text.count("right answer") == 1
    assert "Dialogue: " in page.text
    for image in page.images:
        data = base64.b64decode((image["src"] or "").partition(",")[2])
        picture = Image.open(io.BytesIO(data))
        assert (str(picture.width), str(picture.height)) == (image["width"], image["height"])
        assert re.fullmatch(r"frame at \d+\.\d\d s", image["alt"] or "")
    assert len(page.images) == sum(min(8, len(clip)) for clip in record.clips)
    # The frames of the saved record are read again.
    assert EpisodeRecord.from_line(record.to_line())._repr_html_() == record._repr_html_()


def test_texts_stay_text_and_the_size_is_bounded() -> None:
    episode = hostile_episode()
    assert "in progress" in Page(episode.record._repr_html_()).text
    for start in (0.0, 1.0, 2.0, 99.0):
        episode.step(Zoom(start, start + 2.0, 8.0), text=HOSTILE * 3)
    episode.step(Answer("two"), text="y" * 200_000)
    episode.record.set_info(policy=HOSTILE)
    html = episode.record._repr_html_()
    page = Page(html)
    assert {"script", "iframe", "a"}.isdisjoint(page.tags)
    assert "<script>alert(1)</script>" in page.text
    assert "\u202e" not in html
    assert "\\u202e" in html
    assert "more characters" in page.text
    assert len(page.images) <= 40
    assert len(html) < 500_000


def test_the_number_of_thumbnails_is_bounded_and_named() -> None:
    live: list[EpisodeRecord] = []
    vzgym.evaluate("random", "tiny", episodes=1, budget={"max_zooms": 30, "clip_frames": 16}, on_episode=live.append)
    page = Page(live[0]._repr_html_())
    assert len(page.images) <= 40
    assert "of 16 frames" in page.text
    assert len(page.text.split("Turn ")) > 30


def test_a_missing_video_is_said_in_place(tmp_path: Path) -> None:
    tasks = write_tasks([load_tasks("needle-micro/test")[0]], tmp_path / "tasks")
    vzgym.evaluate("oracle", tasks, episodes=1, out=tmp_path / "run")
    (record,) = read_records(tmp_path / "run")
    Path(record.task.video).unlink()
    page = Page(record._repr_html_())
    assert "The frames cannot be shown: " in page.text
    assert "cannot be found" in page.text
    assert page.images == []
    assert record.task.question in page.text
    # Code that a record names is not run to show it.
    data = record.to_json()
    data["task"]["video"] = "procedural:subprocess:run/test/0"
    assert "The frames cannot be shown" in Page(EpisodeRecord.from_json(data)._repr_html_()).text


def test_reports_and_comparisons_show_their_tables(tmp_path: Path) -> None:
    report = vzgym.evaluate("random", "tiny", episodes=8, name=HOSTILE, out=tmp_path / "random")
    page = Page(report._repr_html_())
    low, high = (f"{100 * end:.1f}" for end in (report.accuracy.low, report.accuracy.high))
    assert f"{100 * report.accuracy.value:.1f} [{low}, {high}]" in page.text
    assert "Failure taxonomy" in page.text
    assert "<script>alert(1)</script>" in page.text
    vzgym.evaluate("blind", "tiny", episodes=8, out=tmp_path / "blind")
    found = compare_runs([tmp_path / "blind", tmp_path / "random"])
    page = Page(found._repr_html_())
    assert "Comparison on 8 shared tasks" in page.text
    assert page.tags.count("tr") == 1 + sum(len(found.rows) for _ in range(page.text.count("blind")))


def test_colours_can_be_read_on_light_and_dark_pages() -> None:
    """White text on a badge has a contrast of 4.5; nothing else sets a text color."""
    from vzgym.evaluation.notebook.parts import GOOD, NEUTRAL, POOR

    def luminance(color: str) -> float:
        channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for color in (GOOD, POOR, NEUTRAL):
        assert 1.05 / (luminance(color) + 0.05) >= 4.5
    html = hostile_episode().record._repr_html_()
    assert set(re.findall(r"(?<![-\w])color:([^;}\"]+)", html)) <= {"inherit", "#fff"}


def test_the_results_of_an_experiment_show_themselves(tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(
        "title: A <b>title</b>\ntasks: [needle-micro]\nseeds: 1\nevaluate: {episodes: 2}\n"
        "learners: {blind: {kind: policy, policy: blind}}\n"
    )
    grid = make_grid(load_experiment(file))
    page = Page(Results(grid, tmp_path / "out")._repr_html_())
    assert "1 to do" in page.text
    assert "A <b>title</b>" in page.text
    assert "b" not in page.tags
