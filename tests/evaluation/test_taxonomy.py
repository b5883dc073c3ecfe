"""The failure taxonomy: each class, the order in which they are tried, and what it says of the controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vzgym.core import Action, Answer, Budget, Interval, Malformed, Region, Zoom
from vzgym.core.errors import InvalidSetting, VideoError
from vzgym.episode import Episode, EpisodeRecord, evidence_shown
from vzgym.evaluation import TAXONOMY_CLASSES, classify, evaluate
from vzgym.evaluation import TaxonomyClass as Class
from vzgym.tasks import EvidenceRequirements, Placement, get_task
from vzgym.tasks.task import VideoTask
from vzgym.video import ArrayVideo, Frames

BLUE, RED = Answer("blue"), Answer("red")
JUNK = Malformed("no action found.")


class HalfVideo(ArrayVideo):
    """Breaks when a zoom goes beyond 9 s; the overview does not."""

    def read(
        self, times: NDArray[np.float64], *, size: tuple[int, int] | None = None, region: Region | None = None
    ) -> Frames:
        if times.max(initial=0.0) > 9.0:
            raise VideoError("the data ends here", path=self.uri, time=9.0)
        return super().read(times, size=size, region=region)


def played(actions: Sequence[Action], spatial: bool = False, overview: int = 5, **facts: Any) -> EpisodeRecord:
    """10 s at 20 fps with an overview at 0, 2, 4, 6, 8 s; the event is at [4.5, 5.5)."""
    defaults: dict[str, Any] = {
        "id": "event",
        "video": HalfVideo(np.zeros((200, 8, 8, 3), dtype=np.uint8), 20.0, "array:event"),
        "question": "Which?",
        "options": ("red", "blue", "green"),
        "answer": "blue",
        "evidence": (Interval(4.5, 5.5),),
        "requirements": EvidenceRequirements(min_fps=4.0),
    }
    budget = Budget(overview_frames=overview, clip_frames=8, max_zooms=3, min_pixels=1, spatial=spatial)
    episode = Episode(VideoTask(**{**defaults, **facts}), budget)
    for action in actions:
        episode.step(action)
    return episode.record


THERE = Zoom(4.5, 5.5, 4.0)  # 4.5, 4.75, 5.0, 5.25
COARSE = Zoom(4.0, 6.0, 2.0)  # 4.0, 4.5, 5.0, 5.5
ELSEWHERE = Zoom(7.0, 8.0, 4.0)
REVERSED = Zoom(5.0, 4.0, 1.0)


@pytest.mark.parametrize(
    ("actions", "kind"),
    [
        ([THERE, BLUE], Class.GROUNDED),
        ([ELSEWHERE, THERE, BLUE], Class.GROUNDED),  # a search that found it is not redundant
        ([COARSE, THERE, BLUE], Class.GROUNDED),  # going closer is not redundant
        ([REVERSED, THERE, BLUE], Class.GROUNDED),
        ([THERE, REVERSED, BLUE], Class.GROUNDED),  # a refused zoom shows nothing
        ([Zoom(4.5, 5.0, 4.0), Zoom(5.0, 5.5, 4.0), BLUE], Class.GROUNDED),  # two halves
        ([THERE, ELSEWHERE, BLUE], Class.REDUNDANT),
        ([THERE, THERE, BLUE], Class.REDUNDANT),
        ([ELSEWHERE, THERE, COARSE, BLUE], Class.REDUNDANT),
        ([BLUE], Class.LUCKY),
        ([ELSEWHERE, BLUE], Class.LUCKY),
        ([COARSE, BLUE], Class.LUCKY),
        ([Zoom(4.5, 5.0, 4.0), BLUE], Class.LUCKY),  # half of it
        ([RED], Class.WRONG_SEGMENT),
        ([ELSEWHERE, RED], Class.WRONG_SEGMENT),
        ([Zoom(5.5, 6.5, 4.0), RED], Class.WRONG_SEGMENT),  # half-open: it has just ended
        ([COARSE, RED], Class.TOO_COARSE),
        ([ELSEWHERE, Zoom(5.4, 7.0, 1.0), RED], Class.TOO_COARSE),
        ([THERE, RED], Class.WRONG_ANSWER),
        ([THERE, ELSEWHERE, RED], Class.WRONG_ANSWER),
        ([THERE, Answer("perhaps")], Class.MALFORMED),
        ([JUNK, THERE, BLUE], Class.GROUNDED),  # what came of it counts, not a slip on the way
        ([THERE, JUNK, JUNK, JUNK], Class.MALFORMED),
        ([JUNK, JUNK, JUNK, ELSEWHERE], Class.OUT_OF_BUDGET),
        ([THERE, THERE, THERE, THERE], Class.OUT_OF_BUDGET),
        ([THERE, Zoom(8.5, 9.5, 4.0)], Class.VIDEO_ERROR),
    ],
)
def test_each_class(actions: list[Action], kind: Class) -> None:
    record = played(actions)
    assert classify(record) is kind
    # Pixels are not needed.
    assert classify(EpisodeRecord.from_line(record.to_line())) is kind


def test_all_classes_of_tasks_with_known_evidence_stand_in_the_test_above() -> None:
    (mark,) = [mark for mark in test_each_class.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert {kind for _, kind in mark.args[1]} == set(TAXONOMY_CLASSES) - {Class.RIGHT, Class.WRONG, Class.UNKNOWN}


# The order -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("facts", [{"evidence": None}, {"answer": "", "options": ()}])
@pytest.mark.parametrize(
    ("actions", "kind"),
    [
        ([THERE, Zoom(8.5, 9.5, 4.0)], Class.VIDEO_ERROR),
        ([THERE, THERE, THERE, JUNK], Class.MALFORMED),
        ([THERE, THERE, THERE, THERE], Class.OUT_OF_BUDGET),
    ],
)
def test_what_can_be_said_without_evidence_or_answer(facts: dict[str, Any], actions: list[Action], kind: Class) -> None:
    assert classify(played(actions, **facts)) is kind


@pytest.mark.parametrize(("answer", "right"), [(BLUE, True), (RED, False)])
def test_without_evidence_right_and_wrong_stay_apart(answer: Answer, right: bool) -> None:
    assert classify(played([THERE, answer], evidence=None)) is (Class.RIGHT if right else Class.WRONG)
    assert classify(played([answer], answer="", options=())) is Class.UNKNOWN


def test_an_unreadable_answer_is_malformed_whatever_was_seen() -> None:
    assert classify(played([THERE, Answer("perhaps")], evidence=None)) is Class.MALFORMED


def test_a_running_episode_has_no_class_yet() -> None:
    with pytest.raises(InvalidSetting, match="'event' is unfinished"):
        classify(played([THERE]))


# What counts as seen -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zooms", "shown"),
    [
        ([Zoom(4.5, 5.5, 4.0)], True),
        ([Zoom(4.5, 5.5, 3.9)], False),
        ([Zoom(4.3, 5.55, 4.0)], True),  # 4.55 to 5.3: no gap beyond 0.25 s at either end
        ([Zoom(4.5, 5.2, 4.0)], False),  # the last look is at 5.0, the event goes on to 5.5
        ([Zoom(4.8, 5.5, 10.0)], False),  # nothing before 4.8
        ([Zoom(4.5, 5.5, 2.0), Zoom(4.75, 5.5, 2.0)], True),  # interleaved: 4.5, 4.75, 5.0, 5.25
        ([], False),
    ],
)
def test_the_rate_is_kept_from_end_to_end(zooms: list[Zoom], shown: bool) -> None:
    assert evidence_shown(played(zooms)) is shown


def test_every_interval_must_be_seen() -> None:
    evidence = (Interval(4.5, 5.5), Interval(6.5, 7.5))
    assert classify(played([THERE, BLUE], evidence=evidence)) is Class.LUCKY
    assert classify(played([THERE, RED], evidence=evidence)) is Class.WRONG_SEGMENT
    assert classify(played([THERE, Zoom(6.0, 8.0, 1.0), RED], evidence=evidence)) is Class.TOO_COARSE
    assert classify(played([THERE, Zoom(6.5, 7.5, 4.0), BLUE], evidence=evidence)) is Class.GROUNDED


def test_without_a_rate_one_look_at_each_interval_is_enough() -> None:
    assert classify(played([COARSE, BLUE], requirements=EvidenceRequirements())) is Class.GROUNDED
    assert (
        classify(played([RED], evidence=(Interval(3.9, 4.1),), requirements=EvidenceRequirements()))
        is Class.WRONG_ANSWER
    )  # overview
    assert (
        classify(played([THERE, BLUE], evidence=(Interval(3.9, 4.1),), requirements=EvidenceRequirements()))
        is Class.REDUNDANT
    )


def test_nothing_to_find_is_shown_by_any_frame() -> None:
    assert classify(played([BLUE], evidence=())) is Class.GROUNDED
    assert classify(played([THERE, BLUE], evidence=())) is Class.REDUNDANT
    assert classify(played([RED], evidence=())) is Class.WRONG_ANSWER
    assert classify(played([BLUE], evidence=(), overview=0)) is Class.LUCKY


def test_who_sees_no_frames_has_seen_nothing() -> None:
    for actions, facts in (([THERE, BLUE], {}), ([BLUE], {"evidence": ()})):
        record = played(actions, **facts)  # type: ignore[arg-type]
        record.set_info(sees_frames=False)
        assert classify(record) is Class.LUCKY
    record = played([THERE, RED])
    record.set_info(sees_frames=False)
    assert classify(record) is Class.WRONG_SEGMENT


def test_a_frame_of_the_evidence_in_the_overview_counts_as_a_look() -> None:
    # A look at 4 s of [3.5, 4.5), which needs four a second.
    assert classify(played([RED], evidence=(Interval(3.5, 4.5),))) is Class.TOO_COARSE


def test_the_part_of_the_picture_counts_where_the_task_says_which() -> None:
    left = Zoom(4.5, 5.5, 4.0, Region(0.0, 0.0, 0.5, 1.0))
    right = Zoom(4.5, 5.5, 4.0, Region(0.5, 0.0, 1.0, 1.0))
    sign = EvidenceRequirements(min_fps=4.0, regions=(Region(0.6, 0.2, 0.9, 0.4),))
    assert classify(played([left, BLUE], True)) is Class.GROUNDED  # the task does not say
    assert classify(played([left, BLUE], True, requirements=sign)) is Class.LUCKY
    assert classify(played([left, RED], True, requirements=sign)) is Class.WRONG_SEGMENT
    assert classify(played([left, right, BLUE], True, requirements=sign)) is Class.GROUNDED
    assert classify(played([THERE, BLUE], True, requirements=sign)) is Class.GROUNDED  # all of the picture


def test_each_interval_has_a_region_of_its_own() -> None:
    evidence = (Interval(4.5, 5.5), Interval(6.5, 7.5))
    left, right = Region(0.0, 0.0, 0.5, 1.0), Region(0.5, 0.0, 1.0, 1.0)
    facts: dict[str, Any] = {
        "evidence": evidence,
        "requirements": EvidenceRequirements(regions=(left, right)),
    }
    good = [Zoom(4.5, 5.5, 1.0, left), Zoom(6.5, 7.5, 1.0, right)]
    swapped = [Zoom(4.5, 5.5, 1.0, right), Zoom(6.5, 7.5, 1.0, left)]
    assert classify(played([*good, BLUE], True, **facts)) is Class.GROUNDED
    assert classify(played([*swapped, BLUE], True, **facts)) is Class.LUCKY


def test_small_print_takes_a_close_look() -> None:
    # Frames of 8 rows; a quarter of the picture is shown with 4, which is no sharper.
    whole, quarter = THERE, Zoom(4.5, 5.5, 4.0, Region(0.5, 0.5, 1.0, 1.0))
    assert classify(played([whole, BLUE], True, requirements=EvidenceRequirements(min_rows=8))) is Class.GROUNDED
    assert classify(played([quarter, BLUE], True, requirements=EvidenceRequirements(min_rows=8))) is Class.GROUNDED
    assert classify(played([whole, BLUE], True, requirements=EvidenceRequirements(min_rows=9))) is Class.LUCKY
    assert classify(played([whole, RED], True, requirements=EvidenceRequirements(min_rows=9))) is Class.TOO_COARSE


def test_a_placement_of_several_events() -> None:
    # At 20 fps: [4.5, 5.5) starts at frame 90 and takes a frame in its first and in its last quarter; [7, 7.5) at 140.
    two = Placement(((130, 150),), ((0, 10),), 20.0)
    placement = Placement(((80, 100),), ((0, 5), (15, 20)), 20.0, (two,))
    facts: dict[str, Any] = {
        "evidence": (Interval(4.5, 5.5), Interval(7.0, 7.5)),
        "requirements": EvidenceRequirements(placement=placement),
    }
    first, last, other = Zoom(4.6, 4.7, 1.0), Zoom(5.4, 5.5, 1.0), Zoom(7.2, 7.3, 1.0)
    assert classify(played([first, last, other, BLUE], **facts)) is Class.GROUNDED
    assert classify(played([first, last, BLUE], **facts)) is Class.LUCKY
    assert classify(played([first, other, BLUE], **facts)) is Class.LUCKY
    assert classify(played([first, other, RED], **facts)) is Class.TOO_COARSE
    assert classify(played([first, last, RED], **facts)) is Class.WRONG_SEGMENT


# Procedural tasks ----------------------------------------------------------------------------------------------


def of(task_id: str, zooms: list[Zoom]) -> EpisodeRecord:
    task = get_task(task_id)
    episode = Episode(task, Budget.from_mapping(task.metadata["budget"]))
    for zoom in zooms:
        episode.step(zoom)
    episode.step(Answer(task.answer))
    return episode.record


def test_a_flash_needs_one_frame() -> None:
    span = (get_task("needle-tiny/test/0").evidence or ())[0]
    middle = (span.start + span.end) / 2
    assert classify(of("needle-tiny/test/0", [Zoom(middle, middle + 0.1, 10.0)])) is Class.GROUNDED
    assert classify(of("needle-tiny/test/0", [Zoom(span.end, span.end + 0.1, 10.0)])) is Class.LUCKY


def test_a_burst_needs_a_frame_in_every_run() -> None:
    task = get_task("count-tiny/test/0")
    span, rate = (task.evidence or ())[0], task.requirements.min_fps or 0.0
    assert classify(of(task.id, [Zoom(span.start, span.end, rate)])) is Class.GROUNDED
    assert classify(of(task.id, [Zoom(span.start, span.end, rate / 2)])) is Class.LUCKY


def test_a_control_is_shown_by_the_overview() -> None:
    assert classify(of("control-tiny/test/0", [])) is Class.GROUNDED
    assert classify(of("control-tiny/test/0", [Zoom(1.0, 2.0, 1.0)])) is Class.REDUNDANT


GOOD = {Class.GROUNDED, Class.REDUNDANT, Class.WRONG_ANSWER}
"""Classes of an episode whose evidence was shown."""


@pytest.mark.parametrize(
    ("policy", "family", "possible"),
    [
        ("oracle", "needle", {Class.GROUNDED}),
        ("oracle", "count", {Class.GROUNDED}),
        ("oracle", "control", {Class.GROUNDED}),
        # Never grounded, since it sees nothing; never coarse, since it looks nowhere.
        ("blind", "needle", {Class.LUCKY, Class.WRONG_SEGMENT}),
        ("blind", "count", {Class.LUCKY, Class.WRONG_SEGMENT}),
        ("blind", "control", {Class.LUCKY, Class.WRONG_SEGMENT}),
        # The overview proves nothing but the controls, and those without a zoom too many.
        ("overview", "needle", {Class.LUCKY, Class.WRONG_SEGMENT}),
        ("overview", "count", {Class.LUCKY, Class.WRONG_SEGMENT}),
        ("overview", "control", {Class.GROUNDED}),
        # It looks everywhere, so never in the wrong segment.
        ("sliding", "needle", {*GOOD, Class.LUCKY, Class.TOO_COARSE}),
        ("sliding", "count", {*GOOD, Class.LUCKY, Class.TOO_COARSE}),
        ("sliding", "control", {Class.REDUNDANT}),
        ("random", "needle", {*GOOD, Class.LUCKY, Class.TOO_COARSE, Class.WRONG_SEGMENT}),
        ("random", "count", {*GOOD, Class.LUCKY, Class.TOO_COARSE, Class.WRONG_SEGMENT}),
        ("random", "control", {Class.REDUNDANT}),
    ],
)
def test_the_controls_are_what_the_definitions_imply(policy: str, family: str, possible: set[Class]) -> None:
    report = evaluate(policy, f"{family}-tiny", episodes=10)
    found = {kind for kind, count in report.taxonomy.items() if count}
    assert found <= possible
    assert sum(report.taxonomy.values()) == 10
    right = sum(report.taxonomy[kind] for kind in (Class.GROUNDED, Class.LUCKY, Class.REDUNDANT))
    assert right == sum(bool(item.correct) for item in report.episodes)
    written = report.to_json()["taxonomy"]
    assert list(written) == [str(kind) for kind in TAXONOMY_CLASSES]
    assert sum(written.values()) == 10
