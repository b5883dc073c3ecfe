from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.core.interval import Interval
from vzgym.tasks import FAMILIES, Suite, VideoTask, load_jsonl, load_tasks
from vzgym.tasks.procedural.contact_sheet import contact_sheet
from vzgym.tasks.procedural.families.needle import Needle
from vzgym.tasks.procedural.leaks import guess_from_history, guess_from_metadata
from vzgym.tasks.procedural.render.palette import LAMP_LIT
from vzgym.tasks.procedural.verify import verify
from vzgym.tasks.suite import ProceduralTasks

TINY: dict[str, Any] = {
    "budget": load_tasks("tiny").budget, "duration": 24.0, "fps": 10.0, "height": 48, "width": 64, "scenes": 3,
}  # fmt: skip


FAMILY_NAMES = ["needle", "count", "control", "order", "state", "anomaly", "direction", "twohop", "decoy"]


def test_the_proof_holds_for_the_tiny_suite_on_arrays() -> None:
    budget = replace(load_tasks("tiny").budget, overview_frames=40, overview_fps=math.inf)
    report = verify("tiny", count=4, other=budget)
    assert report.failures == []
    assert [row.family for row in report.families] == FAMILY_NAMES
    for row in report.families:
        assert (row.tasks, row.options, row.files) == (4, 4, 0)
        assert (row.readings, row.overview_readings, row.right) == (16, 16, 16)
        # Who sees nothing odd says so, which is right once in four.
        assert row.overview_right == {"control": 16, "anomaly": 4}.get(row.family, 0)
        assert row.zoom_needed == (row.family != "control")
    frames = {row.family: row.expert_frames / row.tasks for row in report.families}
    assert frames == {**dict.fromkeys(FAMILY_NAMES, 1.0), "count": 7.0, "control": 0.0, "order": 2.0, "direction": 3.0,
                      "twohop": 2.0}  # fmt: skip
    hits = {row.family: row.hits / row.tasks for row in report.families}
    assert hits["control"] == 1.0
    assert hits["count"] == hits["direction"] == 0.0
    assert 0.2 < hits["needle"] < hits["decoy"] < 1.0


def test_the_proof_holds_for_text_and_shows_that_regions_are_needed() -> None:
    (row,) = verify("text-tiny", count=8).families
    assert row.failures == []
    assert (row.readings, row.right, row.whole_readings, row.whole_right) == (32, 32, 32, 0)


def test_the_proof_holds_for_one_standard_task_of_each_family() -> None:
    assert verify("standard/validation", count=1).failures == []


def test_the_proof_holds_for_other_mixtures() -> None:
    for suite in ("tiny-hard", "tiny-mixed", "tiny-spatial"):
        assert verify(suite, count=1).failures == []


def test_the_proof_holds_on_files(tmp_path: Path) -> None:
    report = verify("tiny", count=1, files=tmp_path)
    assert report.failures == []
    assert [row.files for row in report.families] == [1] * len(FAMILY_NAMES)
    assert len(list(tmp_path.glob("*.mp4"))) == 4 * len(FAMILY_NAMES)


def test_metadata_that_tells_is_found_out() -> None:
    places = np.arange(200) % 4
    rng = np.random.default_rng(0)
    blind = np.stack([rng.random(200), np.full(200, 64.0)], axis=1)
    told = np.stack([places + 0.1 * rng.random(200), np.full(200, 64.0)], axis=1)

    def right(facts: np.ndarray) -> float:
        return float((guess_from_metadata(facts[:100], places[:100], facts[100:]) == places[100:]).mean())

    assert right(told) > 0.95
    assert abs(right(blind) - 0.25) < 0.15
    assert right(np.ones((200, 2))) == 0.25


class LeakyPicture(Needle):
    """The answer also tints the video's very first frame, which the overview shows."""

    name = "leaky-picture"

    def build(self, id: str, seed: int, position: int) -> VideoTask:
        task = super().build(id, seed, position)
        painter = task.video.painter  # type: ignore[attr-defined]
        flash = painter.actors[0]
        first = replace(flash, first=0, last=3, radius=0.02 * (position + 1))
        task.video.painter = replace(painter, actors=(*painter.actors, first))  # type: ignore[attr-defined]
        return task


class LeakyOptions(Needle):
    """The right option always stands first."""

    name = "leaky-options"

    def build(self, id: str, seed: int, position: int) -> VideoTask:
        task = super().build(id, seed, position)
        others = tuple(option for option in task.options if option != task.answer)
        return replace(task, options=(task.answer, *others))


class WrongEvidence(Needle):
    """The evidence lies a second too late."""

    name = "wrong-evidence"

    def build(self, id: str, seed: int, position: int) -> VideoTask:
        task = super().build(id, seed, position)
        (span,) = task.evidence or ()
        return replace(task, evidence=(Interval(span.start + 1, span.end + 1),))


class SlowExpert(Needle):
    """The expert looks too seldom."""

    name = "slow-expert"

    def build(self, id: str, seed: int, position: int) -> VideoTask:
        task = super().build(id, seed, position)
        return replace(task, requirements=replace(task.requirements, min_fps=99.0))


class Unread(Needle):
    """There is no reader."""

    name = "unread"
    reader = None  # type: ignore[assignment]


for family in (LeakyPicture, LeakyOptions, WrongEvidence, SlowExpert, Unread):
    FAMILIES.register(family.name, family)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (LeakyPicture, r"overview frames \[0\] differ"),
        (LeakyOptions, "question, options, subtitles, evidence or metadata depend on the answer"),
        (SlowExpert, "needs 99.0 fps, but the budget gives at most 10.0"),
        (WrongEvidence, "the reader is right on 0 of 16 renderings, but 98% are needed"),
        (Unread, "^unread: family 'unread' has no reader, which is needed to show"),
    ],
)
def test_a_faulty_family_is_found_out(family: type[Needle], message: str) -> None:
    report = verify(Suite("faulty", ({"name": family.name, **TINY},)), count=4)
    assert not report.ok
    assert any(re.search(message, failure) for failure in report.failures), report.failures


def test_an_unbalanced_suite_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProceduralTasks, "position", lambda self, index: 0)
    report = verify("needle-tiny", count=4)
    assert "needle: the right option is at position 0 in 1000 of 1000 tasks, but chance is 1 in 4" in report.failures
    assert any("guessing the most common position so far is right in 1000" in failure for failure in report.failures)


def in_blocks(self: ProceduralTasks, index: int) -> int:
    """Every place once in each four tasks of a family: balanced to the last, and so the last of four is known."""
    members = len(self.suite.families)
    block, place = divmod(index // members, 4)
    return int(np.random.default_rng((index % members, block)).permutation(4)[place])


def test_answers_that_tell_the_next_one_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProceduralTasks, "position", in_blocks)
    failures = verify("needle-tiny", count=1).failures
    assert any(
        re.fullmatch(
            r"needle: guessing the rarest position so far is right in 5\d\d of 1000 tasks in a row, but.*", text
        )
        for text in failures
    ), failures


def test_answers_that_tell_those_of_another_family_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProceduralTasks, "position", lambda self, index: hash((7, index // 9)) % 4)
    report = verify("tiny", count=1)
    assert any(text.startswith("tasks in order: guessing the most frequent successor") for text in report.failures)
    assert not report.ok


@pytest.mark.parametrize("options", [2, 4, 6])
def test_history_tells_nothing_of_independent_answers(options: int) -> None:
    places = np.random.default_rng(options).integers(options, size=4000).tolist()
    most = 4000 / options + 4 * math.sqrt(4000 / options)
    right = guess_from_history(places, options)
    assert len(right) == 5
    assert max(right.values()) < most
    assert guess_from_history([0, 1] * 50, 2)["the most frequent successor of the last position"] > 95


def test_a_blind_reader_fails_the_proof() -> None:
    report = verify("needle-tiny", count=4, reader=lambda frames, times, question, options: options[0])
    assert report.failures == ["needle: the reader is right on 4 of 16 renderings, but 98% are needed"]


def test_what_cannot_be_verified_is_refused() -> None:
    with pytest.raises(UnknownName):
        verify("hay")
    with pytest.raises(InvalidSetting, match="count must be 1 to 111"):
        verify("tiny", count=0)
    with pytest.raises(InvalidSetting, match="count must be 1 to 111"):
        verify("tiny", count=112)


def test_contact_sheets_show_overview_and_event() -> None:
    tasks = load_tasks("needle-tiny", "test")
    with_event = contact_sheet(tasks[0], tasks, columns=8, overview_rows=2, frame_height=64)
    assert with_event.dtype == np.uint8
    control = load_tasks("control-tiny", "test")
    without = contact_sheet(control[0], control, columns=8, overview_rows=2, frame_height=64)
    assert with_event.shape[0] > without.shape[0]
    assert with_event.shape[1] == without.shape[1]
    (span,) = tasks[0].evidence or ()
    middle = tasks[0].video.read(np.array([(span.start + span.end) / 2]), size=(64, 64)).pixels[0]
    bright = middle[middle.max(axis=2) > 200][0]
    assert (with_event == bright).all(axis=2).any()
    with pytest.raises(InvalidSetting):
        contact_sheet(tasks[0], tasks, columns=1)


def test_a_sheet_shows_an_event_as_finely_as_it_must_be_seen() -> None:
    tasks = load_tasks("count-tiny", "test")
    task = next(task for task in (tasks[index] for index in range(8)) if task.answer == "4")
    # The event's frames are the last two rows of the sheet.
    rows = contact_sheet(task, tasks, columns=8, overview_rows=1, frame_height=64)[-192:, 16:].astype(int)
    frames = [rows[y : y + 64, x : x + 64] for y in (0, 86) for x in range(0, 8 * 70, 70)]
    lit = [bool((np.abs(frame - LAMP_LIT).max(axis=2) < 30).sum() > 200) for frame in frames]
    assert sum(b and not a for a, b in pairwise([False, *lit])) == 4


def command(*arguments: str) -> Any:
    from vzgym.cli.tasks import app

    return CliRunner().invoke(app, list(arguments))


def test_the_command_lists_and_shows(tmp_path: Path) -> None:
    listed = command("list")
    assert listed.exit_code == 0
    assert "needle-tiny" in listed.output
    shown = command("show", "count-tiny/test/3", "--out", str(tmp_path / "sheet.png"), "--frame-height", "32")
    assert shown.exit_code == 0, shown.output
    task = load_tasks("count-tiny", "test")[3]
    assert task.question.split("?")[0] in shown.output
    assert Image.open(tmp_path / "sheet.png").width > 300
    assert isinstance(command("show", "needle/test/x").exception, ValueError)


def test_the_command_writes(tmp_path: Path) -> None:
    written = command("write", "--suite", "needle-tiny", "--tasks", "2", "--out", str(tmp_path))
    assert written.exit_code == 0, written.output
    assert [task.id for task in load_jsonl(tmp_path / "tasks.jsonl")] == ["needle-tiny/test/0", "needle-tiny/test/1"]


def test_the_command_verifies_and_fails_on_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = command("verify", "--suite", "needle-tiny", "--tasks", "2", "--files", "--file-tasks", "1")
    assert fine.exit_code == 0, fine.output
    assert fine.output.count("holds") == 1
    related = command("verify", "--suite", "tiny", "--tasks", "1", "--other-frames", "40")
    assert related.exit_code == 0, related.output
    assert related.output.count("holds") == 11
    assert all(name in related.output for name in ("speed-tiny", "text-tiny"))
    monkeypatch.setattr(ProceduralTasks, "position", lambda self, index: 0)
    bad = command("verify", "--suite", "needle-tiny", "--tasks", "2")
    assert bad.exit_code == 1
    assert "chance is 1 in 4" in bad.output.replace("\n", " ")
