"""The proof, run: zooming is needed where a family says so, and not needed where it says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vzgym.core.actions import Zoom
from vzgym.core.budget import Budget, overview_times
from vzgym.core.errors import InvalidSetting, TaskError
from vzgym.core.interval import Interval, coverage
from vzgym.tasks.families.base import expert_zooms
from vzgym.tasks.placement import Placement
from vzgym.tasks.suites import SUITES, ProceduralTasks, Suite
from vzgym.tasks.task import VideoTask
from vzgym.tasks.write import file_name, write_task
from vzgym.video.base import Video, frame_hash

__all__ = ["LEAST_RIGHT", "FamilyReport", "ReadFrames", "VerifyReport", "verify"]

ReadFrames: TypeAlias = Callable[[NDArray[np.uint8], NDArray[np.float64], str, Sequence[str]], "str | None"]
"""Answers from frames `(n, height, width, 3)`, their times, the question and the options; None if it sees nothing."""

LEAST_RIGHT = 0.98
"""Share of renderings that a reader must get right."""


@dataclass
class FamilyReport:
    """What was found about one family's tasks.

    Attributes:
        family: The family's name.
        options: K, the number of options.
        zoom_needed: Whether zooming is needed; where it is not, the overview must show the answer.
        tasks: Tasks checked, each in K renderings, one for each answer.
        files: Of them, tasks also checked as real files.
        overview_frames: Overview frames compared, each over all K renderings.
        expert_frames: Frames that the expert's zooms showed.
        expert_zooms: Zooms that the expert made.
        asked: Renderings read from the expert's frames (from the overview where zooming is not needed).
        right: Of them, read rightly.
        glances: Renderings read from the overview alone.
        glances_right: Of them, read rightly.
        failures: What was wrong, one sentence each.
    """

    family: str
    options: int
    zoom_needed: bool
    tasks: int = 0
    files: int = 0
    overview_frames: int = 0
    expert_frames: int = 0
    expert_zooms: int = 0
    asked: int = 0
    right: int = 0
    glances: int = 0
    glances_right: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong."""
        return not self.failures


@dataclass(frozen=True)
class VerifyReport:
    """What was found about a suite.

    Attributes:
        name: `suite/split`.
        families: One report for each family.
    """

    name: str
    families: tuple[FamilyReport, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong anywhere."""
        return all(report.ok for report in self.families)

    @property
    def failures(self) -> list[str]:
        """All that was wrong, each with its family."""
        return [f"{report.family}: {failure}" for report in self.families for failure in report.failures]


def verify(
    suite: str | Suite | ProceduralTasks,
    *,
    split: str = "test",
    count: int = 20,
    files: Path | None = None,
    file_count: int | None = None,
    reader: ReadFrames | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """Check the first tasks of a suite, each rendered with every one of its K answers.

    Checked: the overview's frames are identical for all K answers (or all different, where the overview is meant to
    suffice); so is everything else that can be known without the event; each place holds the right option equally
    often; the expert's zooms are valid, hold the evidence and show it at the needed rate; a reader answers right
    from them, and from the overview only where that is meant to suffice.

    Args:
        suite: A suite, by name or object, or one of its splits.
        split: Which split, where `suite` says none.
        count: Number of tasks, >= 1.
        files: A folder for real files; None checks arrays alone. Files are left there.
        file_count: How many of the tasks are checked as files too; all if not given.
        reader: Answers from frames; None leaves the two checks that need one out.
        progress: Called with (tasks done, tasks in all).

    Raises:
        UnknownName: If there is no such suite or split.
        InvalidSetting: If `count` is out of range, or the suite is not procedural.
    """
    tasks = _resolve(suite, split)
    if not 1 <= count <= len(tasks):
        raise InvalidSetting(f"count must be 1 to {len(tasks)} (the tasks of {tasks.name}), got {count}")
    reports: dict[str, FamilyReport] = {}
    for index in range(count):
        variants = tasks.variants(index)
        family = tasks.family(index)
        report = reports.setdefault(
            family.name, FamilyReport(family.name, family.num_options, zoom_needed=variants[0].evidence != ())
        )
        report.tasks += 1
        _check_same_without_event(variants, report)
        zooms = _check_expert(variants[0], tasks.budget, report)
        _check_pictures(variants, [task.video for task in variants], tasks.budget, zooms, reader, report)
        if files is not None and (file_count is None or index < file_count):
            report.files += 1
            _check_files(variants, files, tasks.budget, zooms, reader, report)
        if progress is not None:
            progress(index + 1, count)
    _check_balance(tasks, reports)
    for report in reports.values():
        _check_reader(report)
    return VerifyReport(tasks.name, tuple(reports.values()))


def _resolve(suite: str | Suite | ProceduralTasks, split: str) -> ProceduralTasks:
    if isinstance(suite, Suite):
        return suite(split)
    if isinstance(suite, str):
        name, _, named_split = suite.partition("/")
        tasks = SUITES.get(name)(split=named_split or split)
    else:
        tasks = suite
    if not isinstance(tasks, ProceduralTasks):
        raise InvalidSetting(f"only procedural suites can be verified, and {tasks.name!r} is none")
    return tasks


def _check_same_without_event(variants: Sequence[VideoTask], report: FamilyReport) -> None:
    def known(task: VideoTask) -> tuple[object, ...]:
        video = task.video
        size = (video.duration, video.fps, video.num_frames, video.height, video.width)
        return task.question, task.options, task.evidence, dict(task.metadata), size

    if any(known(task) != known(variants[0]) for task in variants[1:]):
        report.failures.append(f"{variants[0].id}: question, options, evidence or metadata depend on the answer")
    if [task.answer for task in variants] != list(variants[0].options):
        report.failures.append(f"{variants[0].id}: the variants do not have one answer each, in the options' order")


def _check_expert(task: VideoTask, budget: Budget, report: FamilyReport) -> tuple[Zoom, ...]:
    """Zooms are valid, hold the evidence, and show all that is needed of it. Returns them."""
    try:
        zooms = expert_zooms(task, budget)
    except TaskError as error:
        report.failures.append(str(error))
        return ()
    report.expert_zooms += len(zooms)
    report.expert_frames += sum(zoom.num_frames for zoom in zooms)
    if not task.evidence:
        if zooms:
            report.failures.append(f"{task.id}: there is no evidence, but the expert zooms")
        return zooms
    needed = float(task.metadata["needed_fps"])
    valid = len(zooms) <= budget.max_zooms and all(_is_valid(zoom, task, budget) for zoom in zooms)
    if not valid:
        report.failures.append(f"{task.id}: the expert's zooms {zooms} are not valid in {budget}")
        return ()
    if coverage(task.evidence, [Interval(zoom.start, zoom.end) for zoom in zooms]) < 1 - 1e-9:
        report.failures.append(f"{task.id}: the expert's zooms {zooms} do not hold the evidence {task.evidence}")
    if any(zoom.fps < needed - 1e-9 for zoom in zooms):
        report.failures.append(f"{task.id}: the expert's zooms {zooms} are below the needed {needed} fps")
    placement = Placement.from_dict(task.metadata["placement"])
    start = round(task.evidence[0].start * placement.fps)
    here = Placement(((start, start + 1),), placement.needs, placement.fps)
    if here.hit_rate(np.concatenate([zoom.times() for zoom in zooms])) < 1.0:
        report.failures.append(f"{task.id}: frames of the expert's zooms {zooms} miss a part of the event")
    return zooms


def _is_valid(zoom: Zoom, task: VideoTask, budget: Budget) -> bool:
    inside = 0 <= zoom.start < zoom.end <= task.video.duration
    return inside and budget.min_fps <= zoom.fps <= budget.max_fps and zoom.num_frames <= budget.clip_frames


def _check_pictures(
    variants: Sequence[VideoTask],
    videos: Sequence[Video],
    budget: Budget,
    zooms: tuple[Zoom, ...],
    reader: ReadFrames | None,
    report: FamilyReport,
) -> None:
    """Compare the overviews of all K answers, and have each rendering read."""
    overviews = [video.read(overview_times(video.duration, budget)) for video in videos]
    hashes = [[frame_hash(frame) for frame in overview.pixels] for overview in overviews]
    report.overview_frames += len(hashes[0])
    first = variants[0].id
    if report.zoom_needed:
        for task, found in zip(variants[1:], hashes[1:], strict=True):
            other = [i for i, (a, b) in enumerate(zip(hashes[0], found, strict=True)) if a != b]
            if other:
                report.failures.append(f"{first} and {task.id}: overview frames {other[:5]} differ ({videos[0].uri})")
    elif len({tuple(found) for found in hashes}) < len(variants):
        report.failures.append(f"{first}: the overview does not tell all answers apart ({videos[0].uri})")
    if reader is None:
        return
    for task, video, overview in zip(variants, videos, overviews, strict=True):
        glance = reader(overview.pixels, overview.times, task.question, task.options)
        report.glances += 1
        report.glances_right += glance == task.answer
        reading = glance
        if zooms:
            shown = video.read(np.concatenate([zoom.times() for zoom in zooms]))
            reading = reader(shown.pixels, shown.times, task.question, task.options)
        report.asked += 1
        report.right += reading == task.answer


def _check_files(
    variants: Sequence[VideoTask],
    folder: Path,
    budget: Budget,
    zooms: tuple[Zoom, ...],
    reader: ReadFrames | None,
    report: FamilyReport,
) -> None:
    """The same with real files; their sizes must not differ either."""
    from vzgym.video.file import FileVideo

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / file_name(task.id) for task in variants]
    for task, path in zip(variants, paths, strict=True):
        write_task(task, path)
    sizes = Counter(path.stat().st_size for path in paths)
    if len(sizes) > 1:
        report.failures.append(f"{variants[0].id}: the files' sizes differ: {sorted(sizes)}")
    videos = [FileVideo(path) for path in paths]
    told = {(video.duration, video.fps, video.num_frames) for video in videos}
    if len(told) > 1:
        report.failures.append(f"{variants[0].id}: the files' durations, rates or lengths differ: {sorted(told)}")
    _check_pictures(variants, videos, budget, zooms, reader, report)
    for video in videos:
        video.close()


def _check_balance(tasks: ProceduralTasks, reports: dict[str, FamilyReport]) -> None:
    """Each whole block of K tasks of a family holds every place once, over the whole split (at most 2,000 tasks)."""
    members = len(tasks.suite.families)
    for member, family in enumerate(tasks.suite.families):
        if family.name not in reports:
            continue
        indices: Iterable[int] = range(member, min(len(tasks), 2_000), members)
        places = [tasks.position(index) for index in indices]
        options = family.num_options
        blocks = [places[start : start + options] for start in range(0, len(places) - options + 1, options)]
        uneven = sum(sorted(block) != list(range(options)) for block in blocks)
        if uneven:
            reports[family.name].failures.append(f"{uneven} of {len(blocks)} blocks of {options} tasks are unbalanced")


def _check_reader(report: FamilyReport) -> None:
    if report.asked and report.right < LEAST_RIGHT * report.asked:
        report.failures.append(
            f"the reader is right on {report.right} of {report.asked} renderings, but {LEAST_RIGHT:.0%} are needed"
        )
    # Each task is rendered once for each answer: one blind answer for all K is right exactly once in K.
    if report.zoom_needed and report.glances_right > report.glances / report.options:
        report.failures.append(
            f"from the overview alone the reader is right on {report.glances_right} of {report.glances} renderings, "
            f"more than 1 in {report.options}"
        )
