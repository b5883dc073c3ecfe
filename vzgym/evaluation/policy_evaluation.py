"""Evaluates a policy on a set of tasks, with confidence intervals."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from vzgym.core.budget import ToolMode
from vzgym.core.errors import InvalidSetting
from vzgym.core.interval import Interval
from vzgym.core.secrets import redact
from vzgym.episode.evidence import overview_shows_evidence
from vzgym.episode.record import End, EpisodeRecord, TaskFacts
from vzgym.episode.runs import RunFolder
from vzgym.evaluation.counterfactual import PolicyAnswerer, make_answerer
from vzgym.evaluation.metrics import EpisodeMetrics
from vzgym.evaluation.report import EvaluationReport
from vzgym.evaluation.sources import class_digests, source_digests
from vzgym.policies.policy import AnyPolicy
from vzgym.rewards.base import Answerer
from vzgym.rewards.counterfactual import credit
from vzgym.rewards.group import rescore
from vzgym.rewards.making import RewardSpec
from vzgym.rewards.mix import RewardMix
from vzgym.rollout.executor import Executor, local_executor
from vzgym.rollout.task_rollouts import TaskRollouts, json_values, package_version
from vzgym.tasks import BudgetSpec, TaskSet, TaskSpec, VideoTask, load_tasks
from vzgym.tasks.budgets import budget_changes, weakened_by
from vzgym.tasks.video_files import check_video_files
from vzgym.tools.base import ToolSpec

__all__ = ["UntrainedBudget", "UntrainedExtras", "ZoomNotNeeded", "evaluate"]

_DEFAULT_EPISODES = 200


class UntrainedBudget(UserWarning):
    """Warning: a policy is evaluated with a budget that differs from its training budget."""


class UntrainedExtras(UserWarning):
    """Warning: a policy is evaluated with other tools, or another subtitle mode, than it was trained with."""


class ZoomNotNeeded(UserWarning):
    """Warning: the overview alone shows the evidence of some tasks."""


def evaluate(
    policy: AnyPolicy | str | Mapping[str, Any],
    tasks: TaskSpec = "tiny/test",
    *,
    episodes: int | None = None,
    seed: int = 0,
    budget: BudgetSpec = None,
    reward: RewardSpec = "videozoomer",
    tools: ToolSpec | Sequence[ToolSpec] | None = None,
    subtitles: str | None = None,
    out: str | Path | None = None,
    on_episode: Callable[[EpisodeRecord], None] | None = None,
    samples: int = 1,
    answerer: Answerer | str | None = None,
    workers: int | Executor = 1,
    name: str = "",
    tool_mode: ToolMode | str = ToolMode.FREE,
) -> EvaluationReport:
    """Evaluate a policy on the first `episodes` tasks of a set.

    Args:
        policy: A `Policy` or `TextPolicy`: an object, a registered name ("oracle"), `"module:Class"`, or a mapping
            `{"name": ..., **options}`.
        tasks: A suite ("needle"; its test split unless it names one), a benchmark with its options (`{"name":
            "videomme", "root": ...}`), a JSONL file, a task, tasks, or a task set.
        episodes: Number of tasks. Default: 200, or all tasks if there are fewer.
        seed: Seed of the policy, >= 0; the tasks are the same for every seed.
        budget: A mapping overrides fields of the tasks' budget; a `Budget`, or a name ("paper"), replaces it. Default:
            the policy's training budget if its folder records one, else that of the tasks.
        reward: The reward whose ledger the records keep.
        tools: Tools that the agent may call beside the zoom: one or several, each a name, `"module:Class"`, a mapping
            or an object; an empty list for none. Default: those that the policy was trained with if its folder records
            them, else none.
        subtitles: Where the dialogue shows the tasks' subtitles: "none", "overview", "clips" or "all"; see
            `vzgym.episode.Episode`. Default: as the policy was trained if its folder records it, else as each task
            says.
        out: A folder for `records.jsonl`, `run.json` and `report.json`. An interrupted run resumes there.
        on_episode: Called after each episode with its record (with pixels, unless there are several workers), e.g. for
            progress bars and pictures.
        samples: Roll-outs per task, each with a different policy seed. The roll-outs of a task are a group for the
            reward's group terms, and count as one observation in every interval.
        answerer: Answers again from selected clips, for `useful_zooms` and for reward terms that need it: "reader" (the
            procedural families' reader), "policy" (the policy itself), or an object.
        workers: Number of worker processes, or an `Executor`. Records and their order do not depend on it. With several
            workers, each process creates its own policy: the policy and the reward must be given by name, mapping or
            `"module:Class"`, and a script must call this function below `if __name__ == "__main__":`.
        name: Name of the run in the report, the records and comparisons. Default: the policy's name.
        tool_mode: "free"; "no_tool", without zooms and tool calls; or "forced", in which an answer before the first
            executed zoom or tool call is refused. It changes the budget; see `vzgym.core.Budget.for_tool`, and
            `evaluate_tool_modes` for all three.

    Returns:
        The report.

    Raises:
        InvalidSetting: If `policy` is not a policy, a setting is out of range, there are fewer tasks than `episodes`,
            or `out` holds another run.
        VideoError: If no task could be played, because no video could be opened or holds its task's evidence.
            Individual failures are listed in `EvaluationReport.failed`.
        TaskError: If video files of tasks in files are missing; names all of them.
        UnknownName: If a name is not registered.
        WorkerError: If one of several workers dies. A run with `out` can be resumed.
    """
    task_set = load_tasks(tasks, split="test")
    count = _how_many(episodes, task_set)
    mode = read_tool_mode(tool_mode)
    check_video_files(task_set, range(count))
    # All settings are checked before a folder is created.
    rollouts = TaskRollouts(
        policy,
        task_set,
        budget=budget,
        tool_mode=mode,
        reward=reward,
        tools=tools,
        subtitles=subtitles,
        seed=seed,
        samples=samples,
        executor=workers if isinstance(workers, Executor) else local_executor(workers),
        name=name,
    )
    trained = rollouts.traits.trained_budget
    # What the tool mode changes is intended.
    if trained is not None and trained != rollouts.free_budget:
        changes = budget_changes(rollouts.free_budget, trained, "trained with")
        warnings.warn(
            f"policy {rollouts.traits.name!r} is evaluated with {changes}: its scores may be lower",
            UntrainedBudget,
            stacklevel=2,
        )
    learned = rollouts.traits.trained_extras
    if learned is not None and (changes := rollouts.extras.changes(learned)):
        warnings.warn(
            f"policy {rollouts.traits.name!r} is evaluated with {changes}: its scores may be lower",
            UntrainedExtras,
            stacklevel=2,
        )
    answer_source = _find_answerer(answerer, rollouts.policy)
    settings = _run_settings(rollouts, policy, count, answer_source)
    folder = RunFolder(out, settings) if out is not None else None
    done = folder.finished if folder else {}
    measured: dict[int, EpisodeMetrics] = {}
    hits: dict[int, float] = {}
    weakened: set[str] = set()
    overview_suffices: set[str] = set()

    def measure(index: int, record: EpisodeRecord) -> None:
        if overview_shows_evidence(record):
            overview_suffices.add(record.task.id)
        measured[index] = EpisodeMetrics.of(record)
        weakened.update(record.info.proof_weakened_by)
        chance = _hit_rate(record)
        if chance is not None:
            hits[index] = chance

    with ExitStack() as stack:
        if folder:
            stack.callback(folder.close)
        for index, record in done.items():
            if index < count * rollouts.samples:
                _check_same(record, task_set[index // rollouts.samples], index, out)
                measure(index, record)
        pending = [index for index in range(count * rollouts.samples) if index not in done]
        playing = stack.enter_context(closing(rollouts.play(pending)))
        for index, record in _scored(playing, rollouts, done, answer_source):
            measure(index, record)
            if folder:
                folder.add(record)
            if on_episode:
                on_episode(record)
    rollouts.check_played(len(measured))
    # A policy may show more frames, as the uniform control does.
    if overview_suffices and not weakened_by(rollouts.run_budget, rollouts.budget):
        played = len({item.task_id for item in measured.values()})
        warnings.warn(
            f"the overview alone shows the evidence of {len(overview_suffices)} of {played} tasks of "
            f"{task_set.name!r}: they need no zoom",
            ZoomNotNeeded,
            stacklevel=2,
        )
    report = EvaluationReport(
        policy=rollouts.traits.name,
        tasks=task_set.name,
        seed=rollouts.seed,
        budget=rollouts.budget,
        privileged=rollouts.traits.privileged or rollouts.extras.privileged,
        episodes=[measured[index] for index in sorted(measured)],
        hit_rate=float(np.mean([hits[index] for index in sorted(hits)])) if hits else None,
        failed=rollouts.failed,
        samples=rollouts.samples,
        proof_weakened_by=tuple(sorted(weakened)),
        trained_budget=trained,
    )
    if folder:
        folder.write_report(report.to_json())
    return report


def read_tool_mode(mode: ToolMode | str) -> ToolMode:
    """A tool mode by its name.

    Raises:
        InvalidSetting: If there is none of that name; lists those there are.
    """
    if mode not in list(ToolMode):
        raise InvalidSetting(f"tool_mode must be one of {', '.join(ToolMode)}, got {mode!r}")
    return ToolMode(mode)


def _find_answerer(spec: Answerer | str | None, policy: AnyPolicy) -> Answerer | None:
    if not isinstance(spec, str):
        return spec
    return PolicyAnswerer(policy) if spec == "policy" else make_answerer(spec)


def _run_settings(
    rollouts: TaskRollouts, policy: AnyPolicy | str | Mapping[str, Any], episodes: int, answerer: Answerer | None
) -> dict[str, Any]:
    """Settings of a run as JSON values; an interrupted run resumes only with equal settings."""
    options = rollouts.traits.identity
    if options is None:
        options = {key: value for key, value in policy.items() if key != "name"} if isinstance(policy, Mapping) else {}
    modules = {name: json_values(term.module) for name, term in rollouts.mix.terms.items()}
    named = [policy if isinstance(policy, (str, Mapping)) else "", rollouts.reward_spec, rollouts.tasks.name]
    sources = source_digests([*named, rollouts.extras.to_json()])
    objects = [
        rollouts.policy,
        *(term.module for term in rollouts.mix.terms.values()),
        *rollouts.extras.tools,
        answerer,
    ]
    sources |= {name: digest for name, digest in class_digests(objects).items() if name.split(":")[0] not in sources}
    return {
        "policy": rollouts.traits.name,
        "options": redact(json_values(options)),
        "tasks": rollouts.tasks.name,
        "episodes": episodes,
        "seed": rollouts.seed,
        "budget": rollouts.budget.to_dict(),
        **({"trained_budget": trained.to_dict()} if (trained := rollouts.traits.trained_budget) else {}),
        "reward": rollouts.reward_spec or modules,
        **rollouts.extras.to_json(),
        **({"samples": rollouts.samples} if rollouts.samples > 1 else {}),
        **({"answerer": json_values(answerer)} if answerer is not None else {}),
        # The code of the user's own components, which may have been edited since.
        **({"source_code": sources} if sources else {}),
        "vzgym": package_version(),
    }


def _scored(
    playing: Iterator[tuple[int, EpisodeRecord]],
    rollouts: TaskRollouts,
    done: Mapping[int, EpisodeRecord],
    answerer: Answerer | None,
) -> Iterator[tuple[int, EpisodeRecord]]:
    """Yield records with all rewards, each when the roll-outs of its task are complete.

    Args:
        playing: Finished records with their indices, in order.
        rollouts: The roll-outs.
        done: Records of an earlier part of the run, by index, which may belong to the same groups.
        answerer: Answers again from selected clips, if any.
    """
    samples = rollouts.samples
    # A group of one is complete immediately; groupby would wait for the next record.
    groups = (
        ([item] for item in playing)
        if samples == 1
        else (list(group) for _, group in groupby(playing, lambda item: item[0] // samples))
    )
    for group in groups:
        first = group[0][0] // samples * samples
        before = [done[index] for index in range(first, first + samples) if index in done]
        _score_group([record for _, record in group], before, rollouts.mix, answerer)
        yield from group


def _score_group(
    records: Sequence[EpisodeRecord], before: Sequence[EpisodeRecord], mix: RewardMix, answerer: Answerer | None
) -> None:
    """Score the terms that need the complete roll-outs of one task.

    Args:
        records: The new roll-outs.
        before: Roll-outs that already have their rewards.
        mix: The reward.
        answerer: Answers again from selected clips, if any.
    """
    for record in records:
        if answerer is not None and record.task.answer and record.end is not End.VIDEO_ERROR:
            record.set_info(counterfactual=credit(record, answerer).to_json())
    if mix.later:
        ledgers = rescore(mix, [*records, *before], replace(mix.context, answerer=answerer))
        for record, ledger in zip(records, ledgers, strict=False):
            record.rewards = [entry.to_json() for entry in ledger]


def _how_many(episodes: int | None, tasks: TaskSet) -> int:
    if episodes is None:
        return min(_DEFAULT_EPISODES, len(tasks))
    whole = isinstance(episodes, (int, np.integer)) and not isinstance(episodes, bool)
    if not whole or not 1 <= episodes <= len(tasks):
        raise InvalidSetting(f"episodes must be 1 to {len(tasks)}, the size of {tasks.name!r}, got {episodes!r}")
    return int(episodes)


def _check_same(record: EpisodeRecord, task: VideoTask, index: int, folder: object) -> None:
    """Check that the played tasks equal the current ones, since two task files may share a name.

    Raises:
        InvalidSetting: If one differs.
        VideoError: If its video cannot be opened.
    """
    with closing(task.video):
        now = TaskFacts.of(task)
    before = record.task
    compared: tuple[tuple[str, Any, Any], ...] = (
        ("", before.id, now.id),
        ("question of ", before.question, now.question),
        ("options of ", before.options, now.options),
        ("answer of ", before.answer, now.answer),
        ("evidence of ", _seconds(before.evidence), _seconds(now.evidence)),
        # Not the whole path: task files and their videos may be moved.
        ("video of ", Path(before.video).name, Path(now.video).name),
        ("video's duration of ", before.duration, now.duration),
    )
    for what, there, wanted in compared:
        if there != wanted:
            raise InvalidSetting(
                f"{folder} holds another run: its {what}task {index} is {there!r}, not {wanted!r}; "
                "choose another folder, or delete this one"
            )


def _seconds(evidence: Sequence[Interval] | None) -> list[list[float]] | None:
    return None if evidence is None else [span.to_list() for span in evidence]


def _hit_rate(record: EpisodeRecord) -> float | None:
    """Analytic hit rate of the overview, if the budget allows no zooms."""
    placement = record.task.requirements.placement
    if record.budget.max_zooms or record.info.selected_overview or placement is None:
        return None
    return placement.hit_rate(record.overview.times)
