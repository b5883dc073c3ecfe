"""`vzgym tasks score`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from vzgym.cli.progress import console, costs_in_words, errors, progress_bar, say
from vzgym.cli.workers import GpusOption, RayOption, WorkersOption, make_executor
from vzgym.core.errors import InvalidSetting, VideoError
from vzgym.policies.traits import add_costs
from vzgym.rollout.executor import Executor, InProcess
from vzgym.scorers import ScoreCache, Scorer, candidate_times, embed_video, make_scorer, score_video
from vzgym.scorers.base import embeds
from vzgym.scorers.cache import DEFAULT_LIMIT, Block
from vzgym.scorers.video import BLOCK, compute_block, keep_block, missing_blocks, missing_candidates
from vzgym.tasks import VideoTask, load_tasks

__all__ = ["score_command"]

_GB = 1_000_000_000


@dataclass(frozen=True)
class _Job:
    """A task whose candidates are scored."""

    task: VideoTask
    times: NDArray[np.float64]
    missing: int


def score_command(
    tasks: Annotated[str, typer.Option(help="A task file (.jsonl), also a slice of it (mine.jsonl[:50]).")],
    scorer: Annotated[
        str, typer.Option(help="A scorer: clip, siglip:model=FOLDER, endpoint:MODEL@URL, module:Class, {name: ...}.")
    ],
    fps: Annotated[float, typer.Option(help="Candidates per second.", min=1e-6)] = 1.0,
    most: Annotated[int | None, typer.Option(help="Maximum number of candidates of a video.", min=1)] = None,
    max_pixels: Annotated[
        int | None, typer.Option(help="Maximum pixels of a candidate. Default: native size.", min=1)
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of the scores. Default: scores in $VZGYM_CACHE, else ~/.cache/vzgym.")
    ] = None,
    limit: Annotated[
        float, typer.Option(help="Size limit of that folder in GB; what was used least recently is deleted.", min=0)
    ] = DEFAULT_LIMIT / _GB,
    backend: Annotated[str, typer.Option(help="Decoder of the videos.")] = "pyav",
    workers: WorkersOption = 1,
    ray: RayOption = None,
    gpus_per_worker: GpusOption = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print frames, passes and bytes; score nothing.")] = False,
) -> None:
    """Score the candidate frames of tasks, so that policies with a scorer find the scores on disk.

    Policies must use the same scorer, candidates and folder. An interrupted run resumes. Exit status 1 if a video
    cannot be read.
    """
    task_set = load_tasks(tasks, split="test", backend=backend)
    rater = make_scorer(_spec(scorer))
    store = ScoreCache(cache, limit=round(limit * _GB))
    jobs: list[_Job] = []
    failed = 0
    entries: set[str] = set()
    for index in range(len(task_set)):
        task = task_set[index]
        try:
            times = candidate_times(task.video.duration, fps, most)
            found = missing_candidates(rater, task.video, task, times, max_pixels=max_pixels, cache=store)
        except VideoError as error:
            say(f"left out: {task.id}: {error}", errors)
            failed += 1
            continue
        if found is None:
            raise InvalidSetting(_reason(rater, task))
        entry, missing = found
        # Embeddings are shared by all tasks of a video.
        jobs.append(_Job(task, times, 0 if entry in entries else missing))
        entries.add(entry)
    if dry_run:
        _print_plan(rater, jobs, len(entries), store)
    else:
        executor = make_executor(workers, ray, gpus_per_worker)
        if isinstance(executor, InProcess):
            failed += _score(rater, jobs, max_pixels, store)
        else:
            failed += _score_in_workers(executor, _spec(scorer), rater, jobs, max_pixels, store)
    if failed:
        raise typer.Exit(1)


def _spec(text: str) -> str | Mapping[str, Any]:
    if not text.lstrip().startswith("{"):
        return text
    from vzgym.core.documents import read_value

    # Messages do not repeat the text, which may contain a key.
    spec: Mapping[str, Any] = read_value(text, "--scorer given as a mapping")
    return spec


def _reason(scorer: Scorer, task: VideoTask) -> str:
    if getattr(scorer, "identity", None) is None:
        return f"the scores of scorer {scorer.name!r} are not kept on disk: it has no identity"
    return (
        f"task {task.id!r} has no video file, and scores of drawn videos are not kept on disk: first write the tasks "
        "as files (vzgym tasks write)"
    )


def _score(scorer: Scorer, jobs: list[_Job], max_pixels: int | None, store: ScoreCache) -> int:
    """Score all candidates with a progress bar; returns the number of tasks that failed."""
    failed = 0
    costs: dict[str, float] = {}
    total = sum(job.missing for job in jobs)
    with progress_bar() as bar:
        row = bar.add_task(f"{scorer.name} on {len(jobs)} tasks", total=total)
        done = 0
        for job in jobs:
            if not job.missing:
                continue
            there = len(job.times) - job.missing

            def advance(count: int, _: int, done: int = done, there: int = there) -> None:
                bar.update(row, completed=done + max(0, count - there))

            try:
                costs = add_costs(costs, _fill(scorer, job, max_pixels=max_pixels, cache=store, progress=advance))
            except VideoError as error:
                say(f"left out: {job.task.id}: {error}", errors)
                failed += 1
            finally:
                job.task.video.close()
            done += job.missing
            bar.update(row, completed=done)
    passes = costs.get("scorer_passes", 0) - costs.get("cached_passes", 0)
    _say_result(total, passes, costs, store)
    return failed


@dataclass(frozen=True)
class _BlockJob:
    """A block of a task's candidates, scored in a worker."""

    task: VideoTask
    times: NDArray[np.float64]
    first: int
    max_pixels: int | None


def _make_block_scorer(spec: str | Mapping[str, Any]) -> Callable[[_BlockJob], tuple[Block, dict[str, float]] | str]:
    return partial(_score_block, make_scorer(spec))


def _score_block(scorer: Scorer, job: _BlockJob) -> tuple[Block, dict[str, float]] | str:
    """The values of a block, or the reason why a candidate cannot be decoded."""
    try:
        return compute_block(scorer, job.task.video, job.task, job.times, job.first, max_pixels=job.max_pixels)
    except VideoError as error:
        return str(error)


def _score_in_workers(
    executor: Executor,
    spec: str | Mapping[str, Any],
    scorer: Scorer,
    jobs: list[_Job],
    max_pixels: int | None,
    store: ScoreCache,
) -> int:
    """Score all candidates in workers, block by block; this process writes. Returns the number of failed tasks."""
    blocks = [
        _BlockJob(job.task, job.times, first, max_pixels)
        for job in jobs
        if job.missing
        for first in missing_blocks(scorer, job.task.video, job.task, job.times, max_pixels=max_pixels, cache=store)
    ]
    failed: set[str] = set()
    costs: dict[str, float] = {}
    scored = 0
    with progress_bar() as bar:
        row = bar.add_task(f"{scorer.name} on {len(jobs)} tasks", total=sum(job.missing for job in jobs))
        results = executor.map(partial(_make_block_scorer, spec), blocks, ahead=4 * executor.workers)
        for block, found in zip(blocks, results, strict=True):
            task = block.task
            bar.advance(row, min(BLOCK, len(block.times) - block.first))
            if isinstance(found, str):
                if task.id not in failed:
                    say(f"left out: {task.id}: {found}", errors)
                failed.add(task.id)
                continue
            values, own = found
            costs = add_costs(costs, {"candidates_decoded": values.decoded, **own})
            scored += len(values.times)
            keep_block(values, scorer, task.video, task, block.times, block.first, max_pixels=max_pixels, cache=store)
    passes = scored if getattr(scorer, "uses_model", True) else 0
    _say_result(scored, passes, costs, store)
    return len(failed)


def _say_result(frames: int, passes: float, costs: Mapping[str, float], store: ScoreCache) -> None:
    say(
        f"{frames:,} frames scored, {costs.get('candidates_decoded', 0):,.0f} decoded, {passes:,.0f} passes. "
        f"{store.folder}: {_size(store.nbytes)} of {_size(store.limit)}."
    )
    if words := costs_in_words(costs):
        say(words)


def _fill(scorer: Scorer, job: _Job, **options: Any) -> Mapping[str, float]:
    """Score or embed the candidates of a task; returns the costs."""
    if embeds(scorer):  # the question is not needed
        return embed_video(scorer, job.task.video, job.times, **options).costs
    return score_video(scorer, job.task.video, job.task, job.times, **options).costs


def _print_plan(scorer: Scorer, jobs: list[_Job], entries: int, store: ScoreCache) -> None:
    missing = sum(job.missing for job in jobs)
    uses_model = bool(getattr(scorer, "uses_model", True))
    size = getattr(scorer, "embedding_size", None) if embeds(scorer) else 2
    table = Table("", "", box=SIMPLE_HEAD, show_header=False)
    table.add_row("tasks", f"{len(jobs):,}")
    table.add_row("videos" if embeds(scorer) else "videos and questions", f"{entries:,}")
    table.add_row("candidates, all tasks", f"{sum(len(job.times) for job in jobs):,}")
    table.add_row("frames to score", f"{missing:,}")
    table.add_row("passes of the scorer's model", f"{missing if uses_model else 0:,}")
    # An embedding of d numbers, or a score, with the frame's time.
    table.add_row("bytes", "unknown" if size is None else f"about {_size(missing * (4 * int(size) + 8))}")
    table.add_row("folder", str(store.folder))
    table.add_row("in use", f"{_size(store.nbytes)} of {_size(store.limit)}")
    console.print(table)


def _size(nbytes: int) -> str:
    return f"{nbytes / 1e6:,.1f} MB" if nbytes >= 100_000 else f"{nbytes / 1e3:,.1f} kB"
