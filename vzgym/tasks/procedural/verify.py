"""Verify that tasks require zooming if and only if their family declares it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vzgym.core.actions import Zoom
from vzgym.core.budget import Budget, group_zooms, overview_times
from vzgym.core.errors import InvalidSetting, TaskError
from vzgym.core.interval import Interval, coverage
from vzgym.tasks.io.writing import file_name, write_task
from vzgym.tasks.procedural.family import Family, expert_zooms
from vzgym.tasks.procedural.leaks import guess_from_metadata, predictable
from vzgym.tasks.procedural.placement import hit_rate
from vzgym.tasks.suite import SUITES, ProceduralTasks, Suite
from vzgym.tasks.task import VideoTask
from vzgym.video.base import Video, crop_box, frame_hash
from vzgym.video.synthetic import ProceduralVideo

__all__ = ["LEAST_RIGHT", "FamilyReport", "ReadFrames", "VerifyReport", "verify"]

ReadFrames: TypeAlias = Callable[[NDArray[np.uint8], NDArray[np.float64], str, Sequence[str]], "str | None"]
"""Answers from frames `(n, height, width, 3)`, times, question and options; None if it finds no answer."""

LEAST_RIGHT = 0.98
"""Share of renderings that a reader must get right."""

# Number of right-option positions checked, for each member and for all members together.
_MOST_PLACES = 2_000


@dataclass
class FamilyReport:
    """Results for one family's tasks.

    Attributes:
        family: The family's name.
        options: K, the number of options.
        zoom_needed: Whether zooming is needed; if not, the overview must show the answer.
        tasks: Tasks checked, each in K renderings, one for each answer.
        files: Tasks also checked as real files.
        overview_frames: Overview frames compared, each over all K renderings.
        expert_frames: Frames that the expert's zooms showed.
        expert_zooms: Zooms that the expert made.
        readings: Renderings read from the expert's frames (from the overview if zooming is not needed).
        right: Of them, read correctly.
        overview_readings: Renderings read from the overview alone.
        overview_right: Of them, read correctly.
        whole_readings: Renderings read from the expert's zooms without their regions, if it uses any.
        whole_right: Of them, read correctly.
        guessed: Tasks of the second half, whose answers were guessed from metadata (see `guess_from_metadata`).
        guessed_right: Of them, guessed correctly.
        hits: Sum, over tasks, of the analytic hit rate of the other budget's overview.
        failures: One sentence for each failure.
    """

    family: str
    options: int
    zoom_needed: bool
    tasks: int = 0
    files: int = 0
    overview_frames: int = 0
    expert_frames: int = 0
    expert_zooms: int = 0
    readings: int = 0
    right: int = 0
    overview_readings: int = 0
    overview_right: int = 0
    whole_readings: int = 0
    whole_right: int = 0
    guessed: int = 0
    guessed_right: int = 0
    hits: float = 0.0
    failures: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there are no failures."""
        return not self.failures


@dataclass(frozen=True)
class VerifyReport:
    """Results for a suite.

    Attributes:
        name: `suite/split`.
        families: One report for each family.
        other: The other budget, whose overview's analytic hit rate is reported.
        order: Failures of the order of tasks of all families together, one sentence each.
    """

    name: str
    families: tuple[FamilyReport, ...]
    other: Budget | None = None
    order: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there are no failures in any family or in the order of tasks."""
        return not self.failures

    @property
    def failures(self) -> list[str]:
        """All failures, each with its family."""
        found = [f"{report.family}: {failure}" for report in self.families for failure in report.failures]
        return found + [f"tasks in order: {failure}" for failure in self.order]


def verify(
    suite: str | Suite | ProceduralTasks,
    *,
    split: str = "test",
    count: int = 5,
    files: Path | None = None,
    file_count: int | None = None,
    reader: ReadFrames | None = None,
    other: Budget | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """Check the first tasks of each family of a suite, each rendered with every one of its K answers.

    The checks are:

    - The overview's frames are identical for all K answers (or all different, if the overview should suffice), and so
      is everything else that is known without the event.
    - The right option is at each position about equally often, and neither its positions in earlier tasks nor a
      video's metadata help to guess it.
    - The expert's zooms are valid, contain the evidence and show it at the required rate.
    - A reader answers correctly from these zooms, and from the overview only if that should suffice.
    - If the expert zooms into regions, the same zooms without regions show the same for all K answers.

    Args:
        suite: A suite, by name or object, or one of its splits.
        split: The split, if `suite` names none.
        count: Tasks of each member of the suite, >= 1.
        files: A folder for real files, which are kept; None checks arrays only.
        file_count: Number of tasks of each member also checked as files; all if not given.
        reader: Answers from frames; the reader of each family if not given. A family without a reader fails.
        other: Another budget; the analytic hit rate of its overview is reported.
        progress: Called with (tasks done, total tasks).

    Raises:
        UnknownName: If there is no such suite or split.
        InvalidSetting: If `count` is out of range, or the suite is not procedural.
    """
    tasks = _resolve(suite, split)
    members = len(tasks.suite.members)
    most = len(tasks) // members
    if not 1 <= count <= most:
        raise InvalidSetting(f"count must be 1 to {most} (tasks of each member of {tasks.name}), got {count}")
    reports: dict[str, FamilyReport] = {}
    known: dict[str, list[tuple[float, ...]]] = {}
    for index in range(count * members):
        variants = tasks.variants(index)
        family = tasks.family(index)
        report = reports.setdefault(
            family.name, FamilyReport(family.name, family.num_options, zoom_needed=variants[0].evidence != ())
        )
        read = reader or _own_reader(family)
        report.tasks += 1
        _check_same_without_event(variants, report)
        zooms = _check_expert(variants[0], tasks.budget, report)
        _check_pictures(variants, [task.video for task in variants], tasks.budget, zooms, read, report)
        size = 0
        if files is not None and (file_count is None or index < file_count * members):
            report.files += 1
            size = _check_files(variants, files, tasks.budget, zooms, read, report)
        known.setdefault(family.name, []).append((*_facts(variants[0], size), tasks.position(index)))
        if other is not None:
            report.hits += hit_rate(variants[0], overview_times(variants[0].video.duration, other))
        if progress is not None:
            progress(index + 1, count * members)
    order = _check_places(tasks, reports)
    for report in reports.values():
        _check_reader(report)
        _check_metadata(np.array(known[report.family]), report)
    return VerifyReport(tasks.name, tuple(reports.values()), other, tuple(order))


def _own_reader(family: Family[Any]) -> ReadFrames | None:
    if family.reader is None:
        return None
    return lambda frames, times, question, options: family.read(frames, times, question, options).option


def _resolve(suite: str | Suite | ProceduralTasks, split: str) -> ProceduralTasks:
    if isinstance(suite, Suite):
        return suite(split)
    if isinstance(suite, str):
        name, _, named_split = suite.partition("/")
        tasks = SUITES.get(name)(split=named_split or split)
    else:
        tasks = suite
    if not isinstance(tasks, ProceduralTasks):
        raise InvalidSetting(f"only procedural suites can be verified, and {tasks.name!r} is not")
    return tasks


def _check_same_without_event(variants: Sequence[VideoTask], report: FamilyReport) -> None:
    def known(task: VideoTask) -> tuple[object, ...]:
        video = task.video
        size = (video.duration, video.fps, video.num_frames, video.height, video.width)
        facts = task.question, task.options, task.subtitles, task.evidence, task.requirements, dict(task.metadata)
        return (*facts, size)

    if any(known(task) != known(variants[0]) for task in variants[1:]):
        report.failures.append(
            f"{variants[0].id}: question, options, subtitles, evidence or metadata depend on the answer"
        )
    choices = list(variants[0].options) or variants[0].metadata.get("choices")
    if [task.answer for task in variants] != choices:
        report.failures.append(f"{variants[0].id}: the variants do not have one answer each, in the options' order")


def _check_expert(task: VideoTask, budget: Budget, report: FamilyReport) -> tuple[Zoom, ...]:
    """Check that zooms are valid, contain the evidence and show all of it as required. Returns them."""
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
    needed, placement = task.requirements.min_fps, task.requirements.placement
    if needed is None or placement is None:
        report.failures.append(f"{task.id}: requirements.min_fps and requirements.placement must be given")
        return zooms
    valid = len(group_zooms(zooms, budget)) <= budget.max_zooms and all(_is_valid(zoom, task, budget) for zoom in zooms)
    if not valid:
        report.failures.append(f"{task.id}: the expert's zooms {zooms} are not valid in {budget}")
        return ()
    if coverage(task.evidence, [Interval(zoom.start, zoom.end) for zoom in zooms]) < 1 - 1e-9:
        report.failures.append(f"{task.id}: the expert's zooms {zooms} do not contain the evidence {task.evidence}")
    if any(zoom.fps < needed - 1e-9 for zoom in zooms):
        report.failures.append(f"{task.id}: the expert's zooms {zooms} are below the required {needed} fps")
    here = placement.at([round(span.start * placement.fps) for span in task.evidence])
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
    """Compare the overviews of all K answers, and read each rendering."""
    size = budget.fit(videos[0].height, videos[0].width)
    overviews = [video.read(overview_times(video.duration, budget), size=size) for video in videos]
    hashes: list[list[str]] = []
    for overview in overviews:
        same = bool(hashes) and np.array_equal(overview.pixels, overviews[0].pixels)
        hashes.append(hashes[0] if same else [frame_hash(frame) for frame in overview.pixels])
    report.overview_frames += len(hashes[0])
    first = variants[0].id
    if report.zoom_needed:
        for task, found in zip(variants[1:], hashes[1:], strict=True):
            other = [i for i, (a, b) in enumerate(zip(hashes[0], found, strict=True)) if a != b]
            if other:
                report.failures.append(f"{first} and {task.id}: overview frames {other[:5]} differ ({videos[0].uri})")
    elif len({tuple(found) for found in hashes}) < len(variants):
        report.failures.append(f"{first}: the overview does not distinguish all answers ({videos[0].uri})")
    if reader is None:
        return
    # The same frames and question give the same reading, so they are read once for all answers.
    readings: dict[tuple[object, ...], str | None] = {}
    wholes: set[str] = set()
    for task, video, overview, found in zip(variants, videos, overviews, hashes, strict=True):
        seen = (*found, task.question, task.options)
        if seen not in readings:
            readings[seen] = reader(overview.pixels, overview.times, task.question, task.options)
        from_overview = readings[seen]
        report.overview_readings += 1
        report.overview_right += from_overview == task.answer
        reading = from_overview
        if zooms:
            pixels, times = _frames_of(video, zooms, budget)
            reading = reader(pixels, times, task.question, task.options)
        if any(zoom.region is not None for zoom in zooms):
            pixels, times = _frames_of(video, [replace(zoom, region=None) for zoom in zooms], budget)
            report.whole_readings += 1
            whole = "".join(frame_hash(frame) for frame in pixels)
            seen = (whole, task.question, task.options)
            if seen not in readings:
                readings[seen] = reader(pixels, times, task.question, task.options)
            report.whole_right += readings[seen] == task.answer
            wholes.add(whole)
        report.readings += 1
        report.right += reading == task.answer
    # A codec changes some pixels by a level or two, so files are checked by the reader only.
    if len(wholes) > 1 and isinstance(videos[0], ProceduralVideo):
        report.failures.append(f"{first}: the expert's zooms without their regions differ from answer to answer")


def _frames_of(video: Video, zooms: Sequence[Zoom], budget: Budget) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The frames that zooms show, at the budget's size, and their times. All share one region, or have none."""
    region = zooms[0].region
    height, width = video.height, video.width
    if region is not None:
        top, bottom, left, right = crop_box(region, height, width)
        height, width = bottom - top, right - left
    times = np.concatenate([zoom.times() for zoom in zooms])
    shown = video.read(times, size=budget.fit(height, width), region=region)
    return shown.pixels, shown.times


def _check_files(
    variants: Sequence[VideoTask],
    folder: Path,
    budget: Budget,
    zooms: tuple[Zoom, ...],
    reader: ReadFrames | None,
    report: FamilyReport,
) -> int:
    """Run the same checks on real files, whose sizes must not differ either. Returns the size in bytes."""
    from vzgym.video.file import FileVideo

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / file_name(task.id) for task in variants]
    for task, path in zip(variants, paths, strict=True):
        write_task(task, path)
    sizes = Counter(path.stat().st_size for path in paths)
    if len(sizes) > 1:
        report.failures.append(f"{variants[0].id}: the files' sizes differ: {sorted(sizes)}")
    videos = [FileVideo(path) for path in paths]
    known = {(video.duration, video.fps, video.num_frames) for video in videos}
    if len(known) > 1:
        report.failures.append(f"{variants[0].id}: the files' durations, rates or lengths differ: {sorted(known)}")
    _check_pictures(variants, videos, budget, zooms, reader, report)
    for video in videos:
        video.close()
    return next(iter(sizes))


def _check_places(tasks: ProceduralTasks, reports: dict[str, FamilyReport]) -> list[str]:
    """Check that the positions of right options are balanced and unpredictable from earlier tasks.

    Checks the first tasks of each member, and those of all members in the order of the split. Returns the failures of
    the latter.
    """
    members = len(tasks.suite.families)
    for member, family in enumerate(tasks.suite.families):
        indices = range(member, min(len(tasks), _MOST_PLACES * members), members)
        reports[family.name].failures += predictable([tasks.position(index) for index in indices], family.num_options)
    options = {family.num_options for family in tasks.suite.families}
    if members == 1 or len(options) > 1:
        return []
    return predictable([tasks.position(index) for index in range(min(len(tasks), _MOST_PLACES))], options.pop())


def _check_reader(report: FamilyReport) -> None:
    if not report.readings:
        report.failures.append(
            f"family {report.family!r} has no reader, which is needed to show that its answers can be read from frames"
        )
    if report.right < LEAST_RIGHT * report.readings:
        report.failures.append(
            f"the reader is right on {report.right} of {report.readings} renderings, but {LEAST_RIGHT:.0%} are needed"
        )
    # Each task is rendered once for each answer, so the same answer for all K is right exactly once.
    if report.zoom_needed and report.overview_right > report.overview_readings / report.options:
        report.failures.append(
            f"from the overview alone the reader is right on {report.overview_right} of {report.overview_readings} "
            f"renderings, more than 1 in {report.options}"
        )
    if report.whole_right > report.whole_readings / report.options:
        report.failures.append(
            f"without regions the reader is right on {report.whole_right} of {report.whole_readings} renderings, "
            f"more than 1 in {report.options}"
        )


def _facts(task: VideoTask, size: int) -> tuple[float, ...]:
    """Facts about a task that are known without its frames; `size` is its file's size in bytes."""
    start = task.evidence[0].start if task.evidence else 0.0
    return task.video.duration, float(task.video.num_frames or 0), float(size), float(len(task.question)), start


def _check_metadata(known: NDArray[np.float64], report: FamilyReport) -> None:
    """Learn from the first half of the tasks, and guess the second."""
    half = len(known) // 2
    if half == 0:
        return
    facts, places = known[:, :-1], known[:, -1].astype(np.int64)
    report.guessed = len(known) - half
    report.guessed_right = int((guess_from_metadata(facts[:half], places[:half], facts[half:]) == places[half:]).sum())
    chance = 1.0 / report.options
    # 3.3 standard errors: one false alarm in 2,000 families.
    room = 3.3 * math.sqrt(report.guessed * chance * (1 - chance))
    if report.guessed_right > report.guessed * chance + room:
        report.failures.append(
            f"metadata guesses {report.guessed_right} of {report.guessed} answers, but chance is 1 in {report.options}"
        )
