"""Runs on a miniature of each benchmark score as they must under each of its conventions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.tasks.benchmarks.miniatures import MINIATURES, Folder, load_set
from vzgym.core.actions import Answer
from vzgym.core.budget import Budget
from vzgym.episode import Episode
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation.benchmarks.conventions import conventions_of
from vzgym.evaluation.benchmarks.scoring import score_replies
from vzgym.tasks.benchmarks.registry import get_benchmark
from vzgym.tasks.task import VideoTask, option_letter
from vzgym.video import ArrayVideo

LONG = ArrayVideo(np.zeros((8, 24, 32, 3), np.uint8), 1 / 2000)
BUDGET = Budget(overview_frames=1, max_zooms=0)


def play(task: VideoTask, reply: str) -> EpisodeRecord:
    # The miniatures' clip of two seconds is shorter than the published evidence.
    episode = Episode(replace(task, video=LONG), BUDGET)
    episode.step(Answer(reply))
    return episode.record


def gold_spans(task: VideoTask) -> list[list[float]]:
    return task.metadata.get("gold_spans") or [span.to_list() for span in task.evidence or ()]


def right(task: VideoTask) -> str:
    """The reply that every scorer of the set reads as right."""
    spans = gold_spans(task)
    if spans and not task.options:
        return ", ".join(f"{min(pair)} - {max(pair)} s" for pair in spans)
    index = task.answer_index
    return task.answer if index is None else option_letter(index)


@pytest.mark.parametrize("name", sorted(MINIATURES))
def test_right_replies_score_one_and_empty_ones_zero(name: str, folder: Folder) -> None:
    miniature = MINIATURES[name]
    next(iter(miniature.layouts.values()))(folder)
    tasks = load_set(name, root=folder.root)
    # An empty option is part of every text, as VLMEvalKit matches them.
    whole = [task for task in tasks if "empty_option" not in task.metadata.get("flaws", ())]
    benchmark = get_benchmark(name)
    graded = [task for task in whole if task.answer or (benchmark.answers == "spans" and gold_spans(task))]
    if not graded:
        # Judged captions, and splits whose answers are not public.
        assert name in ("longvideobench_test_v", "videommlu_cap")
        return
    good = [play(task, right(task)) for task in graded]
    bad = [play(task, "") for task in graded]
    for convention in conventions_of(benchmark).values():
        score = score_replies(good, convention)
        scored = [item for item in score.replies if item.score is not None]
        if convention.average != "mean of groups":
            assert [item.record.task.id for item in scored if item.score != 1.0] == [], convention.name
        empty = score_replies(bad, convention)
        assert empty.unparsed == 1 or not scored
        if convention.unparsed == "wrong" and scored:
            assert empty.overall.value == 0
        if convention.unparsed == "exclude":
            assert empty.overall.n == 0
