"""Plays a policy on a set of tasks and reports what came of it, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np

from vzgym.core.errors import InvalidSetting, VideoError
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation.metrics import EpisodeMetrics
from vzgym.evaluation.playing import Run
from vzgym.evaluation.report import Report
from vzgym.evaluation.runs import RunFolder
from vzgym.policies.policy import AnyPolicy
from vzgym.rewards.base import Answerer
from vzgym.rewards.making import RewardSpec
from vzgym.tasks import BudgetSpec, TaskSet, TaskSpec, VideoTask, load_tasks

__all__ = ["evaluate"]

_DEFAULT_EPISODES = 200


def evaluate(
    policy: AnyPolicy | str | Mapping[str, Any],
    tasks: TaskSpec = "tiny/test",
    *,
    episodes: int | None = None,
    seed: int = 0,
    budget: BudgetSpec = None,
    reward: RewardSpec = "videozoomer",
    out: str | Path | None = None,
    on_episode: Callable[[EpisodeRecord], None] | None = None,
    samples: int = 1,
    answerer: Answerer | str | None = None,
    workers: int = 1,
) -> Report:
    """Play a policy on the first `episodes` tasks of a set.

    Args:
        policy: A `Policy` or `TextPolicy`: an object, a registered name ("oracle"), `"module:Class"`, or a mapping
            `{"name": ..., **options}`.
        tasks: A suite ("needle"; its test split unless it names one), a JSONL file, a task, tasks, or a task set.
        episodes: How many tasks; 200 if not given, or as many as there are.
        seed: Of the policy's randomness, >= 0; the tasks are the same for every seed.
        budget: A mapping overrides fields of the tasks' budget; a `Budget`, or a name ("paper"), replaces it.
        reward: The reward whose ledger the records keep.
        out: A folder for `records.jsonl`, `run.json` and `report.json`. A run that was stopped goes on there.
        on_episode: Called after each episode with its record (with pixels, unless there are several workers): for
            progress bars and pictures.
        samples: How often each task is played, each time with another seed of the policy. The roll-outs of a task are a
            group for the reward's group terms, and count as one observation in every interval.
        answerer: Who answers again from chosen clips, for `useful_zooms` and for reward terms that need it: "reader"
            (the procedural families' reader), "policy" (the very policy), or an object. Nobody, if not given.
        workers: How many processes play. The records are the same, in the same order, for any number. With more than
            one, each process makes its own policy: it and the reward are given by name, mapping or `"module:Class"`,
            and a script calls this function below `if __name__ == "__main__":`.

    Returns:
        The report.

    Raises:
        InvalidSetting: If `policy` is no policy, a setting is out of range, there are fewer tasks than `episodes`, or
            `out` holds another run.
        VideoError: If no task could be played: no video could be opened, or none holds its task's evidence. Single
            ones are listed in `Report.failed`.
        UnknownName: If a name is not registered.
        WorkerError: If one of several workers dies. A run with `out` goes on where it stopped.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InvalidSetting(f"seed must be a whole number >= 0, got {seed!r}")
    task_set = load_tasks(tasks, split="test")
    count = _how_many(episodes, task_set)
    # Everything that can be wrong with the settings comes to light before a folder is made for them.
    run = Run.of(policy, task_set, budget, reward, int(seed), samples, answerer)
    recipe = run.recipe(policy, budget, workers)
    units = count * run.samples
    folder = RunFolder(out, run.settings(policy, count)) if out is not None else None
    done = folder.finished if folder else {}
    measured: dict[int, EpisodeMetrics] = {}
    hits: dict[int, float] = {}
    weakened: set[str] = set()

    def measure(index: int, record: EpisodeRecord) -> None:
        measured[index] = EpisodeMetrics.of(record)
        weakened.update(record.info.proof_weakened_by)
        chance = _hit_rate(record)
        if chance is not None:
            hits[index] = chance

    with ExitStack() as stack:
        if folder:
            stack.callback(folder.close)
        for index, record in done.items():
            if index < units:
                _check_same(record, task_set[index // run.samples], index, out)
                measure(index, record)
        pending = [index for index in range(units) if index not in done]
        fresh = run.play_now(pending) if recipe is None else run.play_elsewhere(recipe, pending, workers)
        playing = stack.enter_context(closing(run.settled(stack.enter_context(closing(fresh)), done)))
        for index, record in playing:
            measure(index, record)
            if folder:
                folder.add(record)
            if on_episode:
                on_episode(record)
    if run.failed and not measured:
        reason = next(iter(run.failed.values()))
        raise VideoError(f"none of the {count} tasks could be played; the first: {reason}", path=task_set.name)
    report = Report(
        policy=run.name,
        tasks=task_set.name,
        seed=run.seed,
        budget=run.budget,
        privileged=hasattr(run.policy, "reveal"),
        episodes=[measured[index] for index in sorted(measured)],
        hit_rate=float(np.mean([hits[index] for index in sorted(hits)])) if hits else None,
        failed=run.failed,
        samples=run.samples,
        proof_weakened_by=tuple(sorted(weakened)),
    )
    if folder:
        folder.write_report(report.to_json())
    return report


def _how_many(episodes: int | None, tasks: TaskSet) -> int:
    if episodes is None:
        return min(_DEFAULT_EPISODES, len(tasks))
    whole = isinstance(episodes, (int, np.integer)) and not isinstance(episodes, bool)
    if not whole or not 1 <= episodes <= len(tasks):
        raise InvalidSetting(f"episodes must be 1 to {len(tasks)}, the size of {tasks.name!r}, got {episodes!r}")
    return int(episodes)


def _check_same(record: EpisodeRecord, task: VideoTask, index: int, folder: object) -> None:
    """Two files of tasks may have the same name: what was played must be what would be played now."""
    for what, there, wanted in (("", record.task.id, task.id), ("question of ", record.task.question, task.question)):
        if there != wanted:
            raise InvalidSetting(
                f"{folder} holds another run: its {what}task {index} is {there!r}, not {wanted!r}; "
                "choose another folder, or delete this one"
            )


def _hit_rate(record: EpisodeRecord) -> float | None:
    """Analytic hit rate of the overview, where the overview is all there is to see."""
    placement = record.task.requirements.placement
    if record.budget.max_zooms or placement is None:
        return None
    return placement.hit_rate(record.overview.times)
