"""The runs that a page shows: read once, or followed while they are written."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vzgym.core.errors import InvalidSetting, RecordError
from vzgym.evaluation.comparison import COMPARED, RunMetrics, compare_metrics, metric_titles
from vzgym.evaluation.metrics import EpisodeMetrics, summarise
from vzgym.evaluation.viewer.curves import learning_curves, log_state
from vzgym.evaluation.viewer.following import FollowedLines, Line, find_record_files, read_line
from vzgym.evaluation.viewer.frames import FrameSheets
from vzgym.evaluation.viewer.payload import CLASSES, COLUMNS, detail, row, untrusted

__all__ = ["RunData", "ViewData"]

_SUMMARY = ("correct", "frames", "zooms", "visual_tokens", "evidence_seen", "evidence_iou", "reward", "wall_seconds")
_MOST_PROBLEMS = 200


@dataclass
class RunData:
    """One run of the page: the episodes of one policy in one folder.

    Attributes:
        place: The run's folder, or its file of records.
        policy: The policy's name in the records.
        rows: A row of the list for each episode.
        lines: Where each episode is.
        metrics: The metrics of each episode.
    """

    place: Path
    policy: str
    rows: list[list[Any]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    metrics: list[EpisodeMetrics] = field(default_factory=list)


class ViewData:
    """Runs with their episodes.

    Args:
        paths: Folders of runs, folders of several runs, or files of records.
        live: Whether the runs may still be written: they need not have an episode yet, and an unfinished last line is
            not a problem.

    Attributes:
        runs: The runs, in the order of the paths.
        generation: Increased whenever episodes that were read before no longer hold, e.g. because a training resumed
            from a checkpoint.

    Raises:
        InvalidSetting: If a path does not exist.
        RecordError: If there are no records at a path (unless `live`).
    """

    def __init__(self, paths: Sequence[str | Path], *, live: bool = False) -> None:
        self.paths = [Path(path) for path in paths]
        self.live = live
        self.generation = 0
        self.lock = threading.RLock()
        for path in self.paths:
            if not path.exists():
                raise InvalidSetting(f"{path}: there is no such run")
            if not live and not find_record_files(path):
                raise RecordError(f"{path}: there are no records in it (no records.jsonl or rollouts.jsonl)")
        self._reset()

    def _reset(self) -> None:
        self._files: dict[Path, FollowedLines] = {}
        self._runs: dict[tuple[Path, str], RunData] = {}
        # Line numbers by file and message: a file of another version has one problem, not one for each line.
        self._problems: dict[tuple[Path, str], list[int]] = {}

    @property
    def runs(self) -> list[RunData]:
        """The runs, in the order in which they were found."""
        return list(self._runs.values())

    @property
    def state(self) -> str:
        """Changes with everything that `index` returns."""
        with self.lock:
            facts = (
                self.generation,
                [len(run.rows) for run in self.runs],
                sum(map(len, self._problems.values())) + len(self._problems),
                [log_state(folder) for folder in self._folders()],
            )
        return hashlib.blake2b(repr(facts).encode(), digest_size=8).hexdigest()

    def _folders(self) -> list[Path]:
        return list(dict.fromkeys([*self.paths, *(run.place for run in self.runs)]))

    def poll(self, on_episode: Callable[[], None] = lambda: None) -> None:
        """Read what is new.

        Args:
            on_episode: Called after each episode.
        """
        with self.lock:
            found = [item for path in self.paths for item in find_record_files(path).items()]
            now = {file for _, files in found for file in files}
            if not now.issuperset(self._files):
                self._restart()
            for place, files in found:
                for file in files:
                    if not self._read(place, file, on_episode):
                        self._restart()
                        self.poll(on_episode)
                        return

    def check_files(self) -> None:
        """Check that files named by themselves, such as `tasks.jsonl`, hold records.

        Raises:
            RecordError: If one has none; gives the reason for its first line.
        """
        with self.lock:
            for path in self.paths:
                if path.is_file() and not any(run.place == path for run in self.runs):
                    reason = next((f" ({why})" for (file, why) in self._problems if file == path), "")
                    raise RecordError(f"{path}: there are no episode records in it{reason}")

    def _restart(self) -> None:
        self._reset()
        self.generation += 1

    def _read(self, place: Path, file: Path, on_episode: Callable[[], None]) -> bool:
        """Read the new lines of a file; returns False if its earlier lines no longer hold."""
        followed = self._files.setdefault(file, FollowedLines(file))
        try:
            for line, data in followed.read():
                if followed.restarted:
                    return False
                self._add(place, line, data)
                on_episode()
            rest = None if self.live else followed.rest()
        except OSError as error:
            self._report(file, f"cannot be read: {error.strerror or error}")
            return True
        if rest is not None:
            try:
                read_line(*rest)
            except RecordError as error:
                reason = _without_place(error, rest[0])
                self._report(file, f"the last line is incomplete and left out: {reason}", rest[0].number)
            else:
                self._add(place, *rest)
        return not followed.restarted

    def _add(self, place: Path, line: Line, data: bytes) -> None:
        try:
            record = read_line(line, data)
            with untrusted(line.where):
                metrics = EpisodeMetrics.of(record)
                added = row(record, metrics)
        except RecordError as error:
            self._report(line.path, _without_place(error, line), line.number)
            return
        policy = record.info.policy or place.stem
        run = self._runs.setdefault((place, policy), RunData(place, policy))
        run.rows.append(added)
        run.lines.append(line)
        run.metrics.append(metrics)

    def _report(self, path: Path, message: str, line: int | None = None) -> None:
        """Note what cannot be read."""
        lines = self._problems.setdefault((path, message), [])
        if line is not None:
            lines.append(line)

    def index(self, have: Sequence[int] = ()) -> dict[str, Any]:
        """All that the list of episodes shows.

        Args:
            have: Number of rows of each run that the page has already; they are left out.
        """
        with self.lock:
            runs = self.runs
            names = _names(runs)
            return {
                "generation": self.generation,
                "state": self.state,
                "live": self.live,
                "columns": list(COLUMNS),
                "classes": [[kind, *words] for kind, words in CLASSES.items()],
                "runs": [
                    {
                        "name": name,
                        "policy": run.policy,
                        "place": str(run.place),
                        "from": skipped,
                        "rows": run.rows[skipped:],
                        "summary": _summary(run),
                    }
                    for number, (name, run) in enumerate(zip(names, runs, strict=True))
                    for skipped in [min(have[number], len(run.rows)) if number < len(have) else 0]
                ],
                "comparison": self._comparison(runs, names),
                "curves": self._curves(),
                "problems": [
                    [f"{path}{_line_numbers(lines)}", message]
                    for (path, message), lines in list(self._problems.items())[:_MOST_PROBLEMS]
                ],
                "unread": sum(max(1, len(lines)) for lines in self._problems.values()),
            }

    def _comparison(self, runs: Sequence[RunData], names: Sequence[str]) -> dict[str, Any] | None:
        """The paired differences of the runs from the first; None for a single run."""
        if len(runs) < 2:
            return None
        measured = [
            RunMetrics.of(name, run.place, run.metrics) for name, run in zip(names, runs, strict=True) if run.metrics
        ]
        try:
            found = compare_metrics(measured)
        except InvalidSetting as error:
            return {"missing": str(error)}
        titles = metric_titles()
        return {**found.to_json(), "metrics": [[name, titles[name]] for name in COMPARED]}

    def _curves(self) -> list[dict[str, Any]]:
        """The learning curves of each folder that has a training log."""
        found: list[dict[str, Any]] = []
        for folder in self._folders():
            try:
                series = learning_curves(folder)
            except RecordError as error:
                self._report(folder, str(error))
                continue
            if series:
                found.append({"place": str(folder), "series": series})
        return found

    def episode(self, run: int, number: int, frames: FrameSheets | None) -> dict[str, Any]:
        """All that an episode's page shows.

        Args:
            run: Number of the run, from 0.
            number: Number of the episode in it, from 0.
            frames: Makes the pictures of its frames; None shows none.

        Raises:
            RecordError: If there is no such episode, or its line can no longer be read.
        """
        with self.lock:
            runs = self.runs
            if not (0 <= run < len(runs) and 0 <= number < len(runs[run].lines)):
                raise RecordError(f"there is no episode {number} in run {run}")
            line, metrics = runs[run].lines[number], runs[run].metrics[number]
        record = read_line(line)
        with untrusted(line.where):
            return {**detail(record, metrics, frames.of(record) if frames else []), "where": line.where}


def _summary(run: RunData) -> dict[str, Any]:
    by_task = len({item.task_id for item in run.metrics}) < len(run.metrics)
    found = summarise(run.metrics, by_task=by_task)
    return {name: found[name].to_json() for name in _SUMMARY}


def _names(runs: Sequence[RunData]) -> list[str]:
    """A name for each run: its policy, with the folder where two have the same."""
    policies = [run.policy for run in runs]
    return [run.policy if policies.count(run.policy) == 1 else f"{run.policy} ({run.place})" for run in runs]


def _line_numbers(lines: Sequence[int]) -> str:
    """The lines of a problem: ", line 3", or ", lines 1, 2 and 7 more"."""
    if len(lines) < 2:
        return f", line {lines[0]}" if lines else ""
    if lines[-1] - lines[0] == len(lines) - 1:
        return f", lines {lines[0]} to {lines[-1]}"
    shown = ", ".join(map(str, lines[:5]))
    return f", lines {shown}{f' and {len(lines) - 5} more' if len(lines) > 5 else ''}"


def _without_place(error: RecordError, line: Line) -> str:
    return str(error).removeprefix(f"{line.where}: ")
