"""Playing policies on tasks: seeds, budgets, failures, and how a policy may be given."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from vzgym.baselines import CONTROLS, Blind, Oracle, OverviewOnly, RandomZoom, Uniform
from vzgym.core.actions import Answer, Zoom
from vzgym.core.budget import Budget, overview_times
from vzgym.core.errors import DependencyNotInstalled, InvalidSetting, TaskError, UnknownName, VideoError
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation import EvaluationReport, evaluate
from vzgym.tasks import TaskList, VideoTask, hit_rate, load_tasks
from vzgym.tasks.budgets import WeakerProof

Facts = Callable[[EpisodeRecord], dict[str, Any]]


def played(policy: Any, tasks: Any = "tiny", episodes: int = 5, **settings: Any) -> list[EpisodeRecord]:
    """The records of a run."""
    records: list[EpisodeRecord] = []
    evaluate(policy, tasks, episodes=episodes, on_episode=records.append, **settings)
    return records


class FirstSeconds:
    """All that a policy needs: it zooms once, and answers A."""

    def reset(self, seed: int) -> None:
        self.zoomed = False

    def act(self, observation: Any, info: dict[str, Any]) -> Any:
        if self.zoomed:
            return Answer("A")
        self.zoomed = True
        return Zoom(0.0, 2.0, 2.0)


# Seeds and tasks -----------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_records(facts: Facts) -> None:
    first, second = played("random", seed=3), played("random", seed=3)
    assert [facts(record) for record in first] == [facts(record) for record in second]


def test_another_seed_changes_the_policy_but_not_the_tasks(facts: Facts) -> None:
    first, second = played("random", seed=0), played("random", seed=1)
    for one, other in zip(first, second, strict=True):
        assert one.task.id == other.task.id
        assert one.overview.hashes == other.overview.hashes
        assert one.turns[0].action != other.turns[0].action


def test_episodes_of_a_run_differ_in_their_seeds() -> None:
    same_video = [load_tasks("needle-tiny/test")[0]] * 4
    windows = [record.windows for record in played("random", same_video, 4)]
    assert all(windows[0] != other for other in windows[1:])


def test_an_episode_does_not_depend_on_those_before_it(facts: Facts, make_task: Callable[..., VideoTask]) -> None:
    tiny = load_tasks("tiny/test")
    third = [make_task("another"), make_task("one more"), tiny[2]]
    assert facts(played("random", third, 3, budget=tiny.budget)[2]) == facts(played("random", tiny, 5)[2])


def test_tasks_are_the_first_ones_of_the_test_split() -> None:
    assert [record.task.id for record in played("blind", "needle-tiny", 3)] == [
        f"needle-tiny/test/{index}" for index in range(3)
    ]
    assert played("blind", "needle-tiny/validation", 1)[0].task.id == "needle-tiny/validation/0"


def test_everything_that_load_tasks_takes(written: Path) -> None:
    task = load_tasks("tiny/test")[0]
    assert evaluate("blind", task).tasks == task.id
    assert evaluate("blind", [task, task], episodes=2).tasks == "tasks"
    assert evaluate("blind", TaskList([task], name="mine")).tasks == "mine"
    assert len(evaluate("blind", str(written)).episodes) == 3
    assert len(evaluate("blind", written).episodes) == 3


def test_how_many_episodes() -> None:
    tasks = [load_tasks("tiny/test")[0]] * 3
    assert len(evaluate("blind", tasks).episodes) == 3  # all there are
    assert len(evaluate("blind", "tiny", budget={"overview_frames": 0, "min_pixels": 1024}).episodes) == 200


@pytest.mark.parametrize("episodes", [0, -1, 4, 1.5, True, "2"])
def test_impossible_numbers_of_episodes(episodes: Any) -> None:
    tasks = [load_tasks("tiny/test")[0]] * 3
    with pytest.raises(InvalidSetting, match="episodes must be 1 to 3"):
        evaluate("blind", tasks, episodes=episodes)


@pytest.mark.parametrize("seed", [-1, 1.0, None, True])
def test_impossible_seeds(seed: Any) -> None:
    with pytest.raises(InvalidSetting, match="seed must be a whole number >= 0"):
        evaluate("blind", "tiny", episodes=1, seed=seed)


def test_a_seed_may_come_out_of_an_array() -> None:
    assert evaluate("blind", "tiny", episodes=1, seed=np.arange(9)[7]).seed == 7


def test_records_say_how_they_came_about() -> None:
    record = played("random", seed=9)[2]
    assert record.info.policy == "random"
    assert (record.info.index, record.info.seed) == (2, 9)
    assert record.info.reward == "videozoomer"
    assert record.info.wall_seconds > 0
    assert record.overview.pixels is not None


# Budgets -------------------------------------------------------------------------------------------------------


def test_the_budget_is_the_tasks_own_unless_another_is_given() -> None:
    own = load_tasks("tiny/test").budget
    assert evaluate("blind", "tiny", episodes=1).budget == own
    assert evaluate("blind", "tiny", episodes=1, budget={"max_zooms": 1}).budget == replace(own, max_zooms=1)
    fewer = replace(own, max_zooms=2)
    assert evaluate("blind", "tiny", episodes=1, budget=fewer).budget == fewer


def test_fewer_zooms_leave_the_proof_that_zooming_is_needed_intact() -> None:
    whole = evaluate("overview", "needle-tiny/test", episodes=60)
    fewer = evaluate("overview", "needle-tiny/test", episodes=60, budget={"max_zooms": 1})
    assert fewer.accuracy == whole.accuracy
    assert fewer.accuracy.value < 0.35
    assert fewer.proof_weakened_by == ()


def test_a_weaker_proof_is_said_in_report_and_records() -> None:
    records: list[EpisodeRecord] = []
    with pytest.warns(WeakerProof, match="'tiny/test'.*overview_frames=64 .built for 16."):
        report = evaluate("blind", "tiny", episodes=2, budget="paper", on_episode=records.append)
    wanted = ["max_pixels", "min_pixels", "overview_fps", "overview_frames"]
    assert list(report.proof_weakened_by) == wanted
    assert report.to_json()["proof_weakened_by"] == wanted
    assert all(sorted(record.info.proof_weakened_by) == wanted for record in records)


def test_a_budget_given_by_mapping_is_checked() -> None:
    with pytest.raises(InvalidSetting, match="unknown budget setting zooms"):
        evaluate("blind", "tiny", episodes=1, budget={"zooms": 1})


def test_uniform_plays_with_as_many_frames_as_zooming_may_show() -> None:
    own = load_tasks("tiny/test").budget
    records = played("uniform", episodes=2)
    assert all(record.frames == own.max_frames == 40 for record in records)
    assert all(record.budget.max_zooms == 0 for record in records)
    assert played({"name": "uniform", "frames": 10}, episodes=1)[0].frames == 10


def test_a_policy_that_forgets_to_return_its_budget_is_told_so() -> None:
    class Forgetful(FirstSeconds):
        def prepare(self, budget: Budget) -> None:
            self.budget = budget

    with pytest.raises(InvalidSetting, match=r"prepare\(\) of policy 'Forgetful' must return a Budget, got None"):
        evaluate(Forgetful(), "tiny", episodes=1)


def test_the_analytic_hit_rate_agrees_with_what_uniform_frames_saw() -> None:
    tasks = load_tasks("needle-tiny/test")
    report = evaluate("uniform", tasks, episodes=100)
    times = [overview_times(tasks[index].video.duration, report.budget) for index in range(100)]
    expected = np.mean([hit_rate(tasks[index], at) for index, at in enumerate(times)])
    assert report.hit_rate is not None
    assert report.hit_rate == pytest.approx(expected, abs=1e-12)
    assert 0.1 < report.hit_rate < 0.9
    seen = report.summary["evidence_seen"]
    assert seen.low <= report.hit_rate <= seen.high
    # Who sees the flash is right; who does not guesses one of four.
    assert report.accuracy.low <= report.hit_rate + (1 - report.hit_rate) / 4 <= report.accuracy.high


def test_hit_rates_are_told_only_where_no_zoom_is_possible_and_the_place_is_known(
    make_task: Callable[..., VideoTask],
) -> None:
    assert evaluate("overview", "tiny", episodes=2).hit_rate is None
    assert evaluate("uniform", make_task()).hit_rate is None
    none = evaluate("overview", "needle-tiny", episodes=2, budget={"max_zooms": 0, "overview_frames": 3})
    assert none.hit_rate is not None


# Failures ------------------------------------------------------------------------------------------------------


def broken_copy(written: Path, folder: Path, *broken: int) -> Path:
    """A copy of a task file in which some videos are no videos."""
    shutil.copytree(written.parent, folder)
    rows = [json.loads(line) for line in (folder / written.name).read_text().splitlines()]
    for index in broken:
        (folder / rows[index]["video"]).write_bytes(b"no video at all")
    return folder / written.name


@pytest.mark.parametrize("policy", ["overview", "uniform", "oracle"])
def test_a_broken_video_is_listed_and_the_others_are_played(written: Path, tmp_path: Path, policy: str) -> None:
    listing = broken_copy(written, tmp_path / "copy", 1)
    report = evaluate(policy, listing, out=tmp_path / "run")
    assert list(report.failed) == ["tiny/test/1"]
    assert str(tmp_path / "copy") in report.failed["tiny/test/1"]
    assert [item.task_id for item in report.episodes] == ["tiny/test/0", "tiny/test/2"]
    assert report.accuracy.n == 2
    assert report.to_json()["failed"] == report.failed


def test_a_video_that_has_been_mended_is_played_when_the_run_goes_on(written: Path, tmp_path: Path) -> None:
    listing = broken_copy(written, tmp_path / "copy", 1)
    evaluate("overview", listing, out=tmp_path / "run")
    for video in written.parent.glob("*.mp4"):
        shutil.copy(video, tmp_path / "copy")
    seen: list[EpisodeRecord] = []
    report = evaluate("overview", listing, out=tmp_path / "run", on_episode=seen.append)
    assert [record.task.id for record in seen] == ["tiny/test/1"]
    assert report.failed == {}
    assert [item.task_id for item in report.episodes] == [f"tiny/test/{index}" for index in range(3)]


def test_when_no_video_can_be_opened_there_is_no_report(written: Path, tmp_path: Path) -> None:
    listing = broken_copy(written, tmp_path / "copy", 0, 1, 2)
    with pytest.raises(VideoError, match="none of the 3 tasks could be played") as caught:
        evaluate("overview", listing)
    assert str(tmp_path / "copy") in str(caught.value)


@pytest.mark.parametrize(("policy", "workers"), [("overview", 1), ("oracle", 2)])
def test_a_task_whose_evidence_lies_outside_its_video_is_listed(
    policy: str, workers: int, written: Path, tmp_path: Path
) -> None:
    listing = broken_copy(written, tmp_path / "copy")
    rows = [json.loads(line) for line in listing.read_text().splitlines()]
    rows[1]["evidence"] = [[400, 500]]
    listing.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = evaluate(policy, listing, workers=workers)
    assert [item.task_id for item in report.episodes] == ["tiny/test/0", "tiny/test/2"]
    (reason,) = report.failed.values()
    assert re.fullmatch(r"task 'tiny/test/1': evidence \[400, 500\] lies outside the video of [\d.]+ s", reason)


def test_a_batch_is_played_without_such_a_task(make_task: Callable[..., VideoTask]) -> None:
    class Speaker:
        def reset(self, seeds: Any) -> None:
            """Nothing to begin."""

        def respond(self, dialogues: Any) -> list[str]:
            return ["<think>so</think><answer>A</answer>" for _ in dialogues]

    tasks = [
        make_task("inside"),
        make_task("outside", evidence=[[400, 500]]),
        make_task("rounded", evidence=[[9, 10.4]]),
    ]
    report = evaluate(Speaker(), tasks)
    assert [item.task_id for item in report.episodes] == ["inside", "rounded"]
    assert report.failed == {"outside": "task 'outside': evidence [400, 500] lies outside the video of 10 s"}
    with pytest.raises(VideoError, match="none of the 1 tasks could be played; the first: task 'outside': evidence"):
        evaluate(Speaker(), [tasks[1]])


def test_evidence_given_as_pairs_is_measured(make_task: Callable[..., VideoTask]) -> None:
    report = evaluate("overview", [make_task(evidence=[(4, 6)])])
    assert report.episodes[0].evidence_coverage == 0.0


def test_a_video_that_fails_in_mid_episode_is_unscored(make_task: Callable[..., VideoTask]) -> None:
    class Eager(FirstSeconds):
        """Zooms into more frames than the second video bears."""

        def act(self, observation: Any, info: dict[str, Any]) -> Any:
            action = super().act(observation, info)
            return Zoom(0.0, 4.0, 4.0) if isinstance(action, Zoom) else action

    report = evaluate(Eager(), [make_task("whole"), make_task("torn", most=5)])
    assert [item.correct for item in report.episodes] == [True, None]
    assert report.accuracy.n == 1
    assert report.failed == {}


def test_a_policys_own_error_is_not_swallowed() -> None:
    class Buggy(FirstSeconds):
        def act(self, observation: Any, info: dict[str, Any]) -> Any:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        evaluate(Buggy(), "tiny", episodes=1)


def test_the_oracle_says_what_it_lacks(make_task: Callable[..., VideoTask]) -> None:
    with pytest.raises(TaskError, match="an expert needs known evidence"):
        evaluate("oracle", make_task(evidence=None))
    with pytest.raises(TaskError, match="needs 1 zooms"):
        evaluate("oracle", "needle-tiny", episodes=1, budget={"max_zooms": 0})


# How a policy may be given -------------------------------------------------------------------------------------


def test_by_object_name_mapping_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: Facts) -> None:
    (tmp_path / "a_policy_of_mine.py").write_text(
        "from vzgym.baselines import RandomZoom\n\n\nclass Mine(RandomZoom):\n    name = 'random'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    wanted = [facts(record) for record in played(RandomZoom())]
    for policy in ("random", {"name": "random"}, "vzgym.baselines:RandomZoom", "a_policy_of_mine:Mine"):
        assert [facts(record) for record in played(policy)] == wanted


def test_a_foreign_policy_needs_two_methods_only() -> None:
    records = played(FirstSeconds(), episodes=2)
    assert [record.answer for record in records] == ["A", "A"]
    assert [len(record.windows) for record in records] == [1, 1]
    report = evaluate(FirstSeconds(), "tiny", episodes=1)
    assert report.policy == "FirstSeconds"
    assert not report.privileged


def test_a_policy_chooses_its_modules() -> None:
    seen: list[Any] = []

    class Speaker:
        name = "speaker"
        observation = "dialogue"
        action: ClassVar[Any] = {"name": "text", "protocol": {"name": "tags", "think": "none"}}

        def reset(self, seed: int) -> None: ...

        def act(self, observation: Any, info: dict[str, Any]) -> str:
            seen.append(observation)
            return "<answer>B</answer>"

    record = played(Speaker(), episodes=1)[0]
    assert set(seen[0]) == {"budget_left", "dialogue"}
    assert record.answer == "B"
    assert record.turns[0].well_formed
    assert record.info.policy == "speaker"


class NoPolicy:
    """Can be reset, and no more."""

    def reset(self, seed: int) -> None: ...


@pytest.mark.parametrize("policy", [object(), 7, None, NoPolicy(), "types:SimpleNamespace"])
def test_a_thing_that_is_no_policy(policy: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"is no policy: it needs reset\(seed\) and act\(observation, info\)"):
        evaluate(policy, "tiny", episodes=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_class_is_not_yet_a_policy() -> None:
    with pytest.raises(InvalidSetting, match="got the class Blind: call it"):
        evaluate(Blind, "tiny", episodes=1)  # type: ignore[arg-type]


def test_unknown_names_are_answered_with_the_valid_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"unknown policy 'blond'; did you mean 'blind'. Valid: .*blind.*oracle"):
        evaluate("blond", "tiny", episodes=1, out=tmp_path / "run")
    with pytest.raises(UnknownName, match=r"unknown task suite 'needles'; did you mean 'needle'. Valid: .*needle-tiny"):
        evaluate("blind", "needles", episodes=1, out=tmp_path / "run")
    with pytest.raises(UnknownName, match=r"unknown reward 'gold'; valid: .*accuracy.*videozoomer"):
        evaluate("blind", "tiny", episodes=1, reward="gold", out=tmp_path / "run")
    with pytest.raises(InvalidSetting, match=r"no option 'farmes'; did you mean 'frames'\? Valid: frames, reader"):
        evaluate({"name": "uniform", "farmes": 3}, "tiny", episodes=1, out=tmp_path / "run")
    # A folder made for such a run would refuse the right one.
    assert not (tmp_path / "run").exists()


def test_who_is_told_the_evidence_is_marked() -> None:
    reports = {control.name: evaluate(control.name, "tiny", episodes=1) for control in CONTROLS}
    assert [name for name, report in reports.items() if report.privileged] == ["oracle"]
    assert evaluate(Oracle(), "tiny", episodes=1).to_json()["privileged"] is True


def test_reveal_comes_before_reset_and_only_to_those_who_ask() -> None:
    calls: list[Any] = []

    class Told(FirstSeconds):
        def reveal(self, task: VideoTask) -> None:
            calls.append(task.id)

        def reset(self, seed: int) -> None:
            super().reset(seed)
            calls.append("reset")

    evaluate(Told(), "tiny", episodes=2)
    assert calls == ["tiny/test/0", "reset", "tiny/test/1", "reset"]


# Rewards and reports -------------------------------------------------------------------------------------------


def test_any_reward_is_kept_in_the_ledger() -> None:
    record = played("oracle", episodes=1, reward={"accuracy": 1.0, "frame_cost": 0.01})[0]
    assert record.rewards is not None
    assert set(record.rewards[0]["terms"]) == {"accuracy", "frame_cost"}
    assert record.info.reward == {"accuracy": 1.0, "frame_cost": 0.01}


def test_numbers_out_of_arrays_reach_the_record_as_json(tmp_path: Path) -> None:
    reward = {"accuracy": np.float32(0.5), "frame_cost": {"weight": np.float64(0.25)}}
    evaluate("blind", "tiny", episodes=1, reward=reward, out=tmp_path)
    assert json.loads((tmp_path / "run.json").read_text())["reward"] == {
        "accuracy": 0.5,
        "frame_cost": {"weight": 0.25},
    }


def report() -> EvaluationReport:
    suites = [load_tasks(f"{family}-tiny/test") for family in ("needle", "count", "control")]
    return evaluate(OverviewOnly(), TaskList([suite[index] for index in range(2) for suite in suites], name="three"))


def test_report_by_category() -> None:
    found = {name: part.summary for name, part in report().by("category").items()}
    assert list(found) == ["control", "count", "needle"]
    assert all(summary["correct"].n == 2 for summary in found.values())
    assert found["control"]["correct"].value == 1.0
    assert found["control"]["evidence_seen"].n == 0
    assert found["needle"]["evidence_seen"].value == 0.0


def test_report_by_duration_and_metadata() -> None:
    whole = report()
    (durations,) = whole.by("duration").values()
    assert len(durations.episodes) == 6
    families = whole.by("metadata.family")
    assert {name: len(part.episodes) for name, part in families.items()} == {"control": 2, "count": 2, "needle": 2}
    assert list(whole.to_json(["metadata.family"])["by"]) == ["category", "metadata.family"]
    for key in ("metadata.", "length"):
        with pytest.raises(InvalidSetting, match=r"category, duration or metadata\.KEY"):
            whole.by(key)
    with pytest.raises(InvalidSetting, match="no task has 'colour'"):
        whole.by("metadata.colour")


def test_a_report_prints_as_tables_of_80_columns() -> None:
    lines = str(report()).splitlines()
    assert lines[0] == "overview on three, seed 0"
    assert max(map(len, lines)) <= 80
    for words in ("accuracy % [95 %]", "missed", "visual tokens", "mean / median / p90"):
        assert any(words in line for line in lines)


def test_a_report_is_a_data_frame_of_its_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    whole = report()
    frame = whole.to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["task_id"]) == [item.task_id for item in whole.episodes]
    assert frame["correct"].mean() == whole.accuracy.value
    assert set(frame["metadata.family"]) == {"needle", "count", "control"}
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(DependencyNotInstalled, match=r'pip install "vzgym\[pandas\]"'):
        whole.to_dataframe()


def test_report_as_json() -> None:
    found = json.loads(json.dumps(report().to_json(), allow_nan=False))
    assert (found["policy"], found["tasks"], found["episodes"], found["seed"]) == ("overview", "three", 6, 0)
    assert found["metrics"]["correct"]["n"] == 6
    assert found["metrics"]["zooms"]["value"] == 0.0
    assert found["by"]["category"]["control"]["evidence_iou"] == {"value": None, "low": None, "high": None, "n": 0}
    unbounded = evaluate(Uniform(), "tiny", episodes=1).to_json()
    assert json.loads(json.dumps(unbounded, allow_nan=False))["budget"]["overview_fps"] == "inf"
