"""Contract of families of procedural tasks."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from vzgym.baselines.memory import ExpertMemory, hints_for
from vzgym.core.actions import Answer
from vzgym.core.budget import Budget, overview_times
from vzgym.core.errors import InvalidSetting, TaskError
from vzgym.episode.episode import Episode
from vzgym.episode.turn import Outcome
from vzgym.tasks import Family, VideoTask, expert_zooms
from vzgym.testing import scenes
from vzgym.testing.report import ConformanceReport, ContractViolation, Rule, apply_rules, need

__all__ = ["check_family"]

_SEEDS = (1, 2, 3)


def _variants(family: Family[Any], seed: int) -> list[VideoTask]:
    return family.variants(f"checked/test/{seed}", seed)


def _budget(task: VideoTask) -> Budget:
    given = task.metadata.get("budget")
    need(isinstance(given, dict), "metadata must hold the 'budget' that the task was built for (Budget.to_dict())")
    return Budget.from_mapping(dict(given or {}))


def _overview(task: VideoTask) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return task.video.read(overview_times(task.video.duration, _budget(task))).pixels


def _f_shape(family: Family[Any]) -> None:
    need(not isinstance(family, type), f"it is the class {family!r}: pass an instance")
    need(
        isinstance(family, Family),
        "it must be a vzgym.tasks.Family: subclass it and give name, Settings, wordings, num_options and draw",
    )
    need(isinstance(family.num_options, int) and family.num_options >= 2, "num_options must be an integer >= 2")


def _f_answers(family: Family[Any]) -> None:
    for seed in _SEEDS:
        for position in range(family.num_options):
            task = family.build("checked", seed, position)
            choices = task.options or tuple(task.metadata.get("choices", ()))
            need(
                len(choices) == family.num_options,
                f"a task has {len(choices)} options, num_options says {family.num_options}",
            )
            need(
                choices[position] == task.answer,
                f"build(id, seed, position={position}) makes a task whose answer {task.answer!r} is at position "
                f"{choices.index(task.answer)}: put the right option at the given position",
            )
    for position in (-1, family.num_options):
        try:
            family.build("checked", 1, position)
        except (InvalidSetting, TaskError):
            continue
        except (LookupError, ValueError) as error:
            raise ContractViolation(
                f"position {position} raised {type(error).__name__}: raise InvalidSetting"
            ) from error
        raise ContractViolation(
            f"position {position} is out of range but accepted: raise InvalidSetting, as Family.build does"
        )


def _f_repeats(family: Family[Any]) -> None:
    for seed in _SEEDS:
        first, second = family.build("checked", seed, 0), family.build("checked", seed, 0)
        far = pickle.loads(pickle.dumps(first))
        for other, why in ((second, "built twice"), (far, "sent to another process")):
            need(
                (first.question, first.options, first.answer, first.evidence)
                == (other.question, other.options, other.answer, other.evidence),
                f"a task {why} is a different one: everything must be derived from the seed",
            )
            need(
                np.array_equal(_overview(first), _overview(other)),
                f"the frames of a task {why} differ: draw from np.random.default_rng(seed) only",
            )


def _f_hides(family: Family[Any]) -> None:
    for seed in _SEEDS:
        tasks = _variants(family, seed)
        first = tasks[0]
        if not first.evidence:
            return  # the overview may show the answer
        for task in tasks[1:]:
            need(
                (task.question, task.options) == (first.question, first.options),
                "question or options depend on which option is right",
            )
            need(
                task.evidence == first.evidence,
                "the evidence interval depends on which option is right: draw times before using the answer",
            )
            same = (_overview(task) == _overview(first)).all(axis=(1, 2, 3))
            need(
                same.all(),
                f"overview frame {int(np.argmin(same))} depends on which option is right: the event must lie strictly "
                "between overview frames, and every other draw must not depend on the answer",
            )


def _f_shows(family: Family[Any]) -> None:
    for seed in _SEEDS:
        tasks = _variants(family, seed)
        budget = _budget(tasks[0])
        clips = []
        for task in tasks:
            for span in task.evidence or ():
                inside = 0 <= span.start < span.end <= task.video.duration
                need(inside, f"evidence {span} is not inside the video of {task.video.duration} s")
            zooms = list(expert_zooms(task, budget))
            episode = scenes.play(task, [*zooms, Answer(task.answer)], budget)
            for turn in episode.record.turns[:-1]:
                need(
                    turn.outcome is Outcome.EXECUTED,
                    f"the expert's {turn.action} is refused: {turn.detail} Fix expert() or requirements.min_fps",
                )
            if zooms:
                clips.append([clip.hashes for clip in episode.record.clips[1:]])
        alike = any(one == other for place, one in enumerate(clips) for other in clips[place + 1 :])
        need(
            not alike,
            "the expert's zooms show the same frames for two different answers: evidence or requirements.min_fps is "
            "wrong, so the question cannot be answered from what they show",
        )


def _f_facts(family: Family[Any]) -> None:
    task = family.build("checked", 1, 0)
    try:
        json.dumps(dict(task.metadata), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ContractViolation(f"metadata must hold JSON values only: {error}") from error
    for key in ("family", "seed", "budget", "grid"):
        need(key in task.metadata, f"metadata has no {key!r}: build tasks with Family.build")
    need(task.evidence is not None, "evidence is None: a family knows where its event is; use () if there is none")


def _f_reads(family: Family[Any]) -> None:
    if family.reader is None:
        return
    for seed in _SEEDS:
        tasks = _variants(family, seed)
        budget = _budget(tasks[0])
        for task in tasks:
            episode = scenes.play(task, [*expert_zooms(task, budget), Answer(task.answer)], budget)
            clips = [clip for clip in episode.record.clips if clip.pixels is not None]
            # Crops of a region have another size than the overview's frames.
            shown = [clip for clip in clips if clip.size == clips[-1].size]
            pixels = np.concatenate([clip.pixels for clip in shown if clip.pixels is not None])
            times = np.concatenate([clip.times for clip in shown])
            read = family.read(pixels, times, task.question, task.options).option
            need(
                read == task.answer,
                f"the reader reads {read!r} from the frames of the expert's zooms, but the answer is {task.answer!r}",
            )


def _f_searches(family: Family[Any]) -> None:
    if family.search is None:
        return
    for seed in _SEEDS:
        task = family.build("checked", seed, 0)
        budget = _budget(task)
        episode = Episode(task, budget)
        memory = ExpertMemory(
            task.question,
            task.options,
            task.video.duration,
            budget,
            hints_for(task, budget),
            seed=seed,
            family=type(family),
        )
        memory.see_clip(episode.record.overview)
        while not episode.ended:
            step = memory.next()
            turn = episode.step(step.action)
            need(
                turn.outcome is not Outcome.REFUSED,
                f"the search's {step.action} is refused: {turn.detail} Make zooms with SearchState.zoom or .pieces",
            )
            for clip in turn.clips:
                memory.see_clip(clip)
            memory.zooms_left = episode.zooms_left


FAMILY_RULES: tuple[Rule[Family[Any]], ...] = (
    Rule("is a family", _f_shape),
    Rule("the right option is at the given position", _f_answers),
    Rule("the same seed gives the same task, in any process", _f_repeats),
    Rule("the overview is the same whichever option is right", _f_hides),
    Rule("the expert's zooms are executed and distinguish the answers", _f_shows),
    Rule("the reader, if there is one, reads every answer from the expert's zooms", _f_reads),
    Rule("the zooms of the search, if there is one, are executed", _f_searches),
    Rule("metadata and evidence are complete", _f_facts),
)


def check_family(make: Callable[[], Family[Any]], subject: str = "") -> ConformanceReport:
    """Check a family of procedural tasks, with its default settings or those that `make` sets.

    For whole suites, written files included, use `vzgym tasks verify`.

    Args:
        make: Factory of the family, or its class.
        subject: For the report; the factory's name if not given.
    """
    return apply_rules("task family", subject or str(getattr(make, "__name__", make)), FAMILY_RULES, make)
