from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from vzgym.core import Budget
from vzgym.core.errors import InvalidSetting, TaskError, UnknownName
from vzgym.core.registry import Registry
from vzgym.envs.video_zoom import VideoZoomEnv
from vzgym.tasks import SPLITS, SUITES, Suite, TaskList, TaskSet, VideoTask, get_task, load_tasks, register_suite
from vzgym.tasks.suite import ProceduralTasks, task_seed
from vzgym.tasks.task_slice import is_task_file
from vzgym.video import ArrayVideo

NAMES = ["control", "control-tiny", "count", "count-tiny", "needle", "needle-tiny", "standard", "tiny"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("split", SPLITS)
def test_every_suite_loads_in_every_split(name: str, split: str) -> None:
    tasks = load_tasks(name, split)
    assert isinstance(tasks, TaskSet)
    assert tasks.name == f"{name}/{split}"
    assert len(tasks) == {"train": 100_000, "validation": 1_000, "test": 1_000}[split]
    task = tasks[len(tasks) - 1]
    assert task.id == f"{name}/{split}/{len(tasks) - 1}"
    assert (task.video.height, task.video.width) == ((64, 64) if name.endswith("tiny") else (144, 256))
    assert tasks[-1].question == task.question
    with pytest.raises(IndexError, match=f"{len(tasks)} tasks"):
        tasks[len(tasks)]


def test_paper_suites_are_built_for_the_papers_budget_and_tiny_ones_fit_theirs() -> None:
    assert load_tasks("standard").budget == Budget()
    budget = load_tasks("tiny").budget
    assert budget.fit(64, 64) == (64, 64)
    assert load_tasks("needle-tiny").budget == load_tasks("count-tiny").budget == budget


def test_a_name_may_say_its_split() -> None:
    assert load_tasks("needle/test", split="train").name == "needle/test"
    assert load_tasks("needle").name == "needle/train"


def test_unknown_names_are_answered_with_the_valid_ones() -> None:
    with pytest.raises(UnknownName, match=r"unknown task suite 'hay'; valid: .*needle, needle-.*tiny"):
        load_tasks("hay")
    with pytest.raises(UnknownName, match=r"unknown split 'dev'; valid: test, train, validation"):
        load_tasks("needle", "dev")
    with pytest.raises(UnknownName, match="unknown split"):
        load_tasks("needle/dev")
    with pytest.raises(InvalidSetting, match="got int"):
        load_tasks(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["tiny-curriculum/test", "tiny-mixed/test", "micro/test"])
def test_a_few_tasks_stand_for_the_lengths_and_sizes_of_all(name: str) -> None:
    tasks = load_tasks(name)
    assert isinstance(tasks, ProceduralTasks)
    used = range(5, 300)
    chosen = tasks.representatives(used)
    assert set(chosen) <= set(used)
    assert len(chosen) <= 100

    def seen(indices: Iterable[int]) -> set[tuple[float, int, int]]:
        return {(tasks[i].video.duration, tasks[i].video.height, tasks[i].video.width) for i in indices}

    assert seen(chosen) == seen(used[::7]) | seen(chosen)
    assert tasks.representatives(range(1)) == [0]
    families = {(tasks.suite.step_of(i, len(tasks)), i % len(tasks.suite.members)) for i in used}
    assert {(tasks.suite.step_of(i, len(tasks)), i % len(tasks.suite.members)) for i in chosen} == families


def test_get_task_rebuilds_a_task_bit_for_bit() -> None:
    for task_id in ("needle-tiny/test/17", "tiny/train/99999", "standard/validation/4"):
        name, split, index = task_id.split("/")
        task, again = load_tasks(name, split)[int(index)], get_task(task_id)
        assert (again.id, again.question, again.options, again.answer) == (
            task.id, task.question, task.options, task.answer,
        )  # fmt: skip
        assert again.metadata == task.metadata
        times = np.linspace(0, task.video.duration, 20)
        assert np.array_equal(again.video.read(times).pixels, task.video.read(times).pixels)


def test_get_task_knows_variants() -> None:
    tasks = load_tasks("needle-tiny", "test")
    assert isinstance(tasks, ProceduralTasks)
    for position, task in enumerate(tasks.variants(17)):
        assert task.id == f"needle-tiny/test/17~{position}"
        assert get_task(task.id).answer == task.answer == task.options[position]


@pytest.mark.parametrize(
    ("task_id", "error"),
    [
        ("needle-tiny/test", TaskError),
        ("needle-tiny/test/x", TaskError),
        ("needle-tiny/test/-1", TaskError),
        ("needle-tiny/test/1000", TaskError),
        ("needle-tiny/test/1~4", TaskError),
        ("needle-tiny/test/1~", TaskError),
        ("needle-tiny/test/" + "9" * 5000, TaskError),
        ("needle-tiny/test/1~" + "9" * 5000, TaskError),
        ("needle-tiny/test/007", TaskError),
        ("needle-tiny/test/\u0663", TaskError),
        ("n" * 5000 + "/test/1", UnknownName),
        ("a\0b/test/1", UnknownName),
        ("hay/test/1", UnknownName),
        ("needle-tiny/dev/1", UnknownName),
    ],
)
def test_bad_ids_are_named(task_id: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        get_task(task_id)
    with pytest.raises(error):
        VideoZoomEnv("needle-tiny/test").reset(options={"task": task_id})


def test_no_two_tasks_share_a_seed() -> None:
    seeds = [
        task_seed(name, split, index)
        for name in SUITES.names()
        for split, size in SPLITS.items()
        for index in (*range(200), size - 1)
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**53 for seed in seeds)
    assert load_tasks("tiny", "test")[5].metadata["seed"] == task_seed("tiny", "test", 5)


@pytest.mark.parametrize("name", ["needle-tiny", "count", "tiny", "micro"])
@pytest.mark.parametrize("split", SPLITS)
def test_places_are_balanced_over_a_split(name: str, split: str) -> None:
    tasks = load_tasks(name, split)
    assert isinstance(tasks, ProceduralTasks)
    members = len(tasks.suite.families)
    for member, family in enumerate(tasks.suite.families):
        places = Counter(tasks.position(index) for index in range(member, min(len(tasks), 3000), members))
        expected = places.total() / family.num_options
        assert set(places) == set(range(family.num_options))
        assert max(abs(count - expected) for count in places.values()) < 4 * expected**0.5


def test_a_place_is_that_of_the_right_option() -> None:
    tasks = load_tasks("tiny", "test")
    assert isinstance(tasks, ProceduralTasks)
    for index in range(18):
        assert tasks[index].options.index(tasks[index].answer) == tasks.position(index)
    assert tasks.position(-1) == tasks.position(999)


def test_a_player_who_remembers_the_answers_is_right_by_chance() -> None:
    """Who guesses the rarest answer so far: with every place once in each block of four, 52 % would be right."""
    tasks = load_tasks("needle-tiny", "test")
    assert isinstance(tasks, ProceduralTasks)
    counts, right = [0] * 4, 0
    for index in range(len(tasks)):
        right += counts.index(min(counts)) == tasks.position(index)
        counts[tasks.position(index)] += 1
    assert abs(right - 250) < 4 * 250**0.5


def test_answers_are_balanced_as_texts_too() -> None:
    for name in ("needle-tiny", "count-tiny"):
        tasks = load_tasks(name, "test")
        answers = Counter(tasks[index].answer for index in range(400))
        assert max(answers.values()) < 140
        assert min(answers.values()) > 60


def test_mixed_suites_take_turns() -> None:
    tasks = load_tasks("tiny", "test")
    names = ["needle", "count", "control", "order", "state", "anomaly", "direction", "twohop", "decoy"]
    assert [tasks[index].category for index in range(18)] == names * 2
    assert load_tasks("tiny-spatial", "test")[0].category == "text"
    assert load_tasks("tiny-spatial").budget.spatial
    mixed = load_tasks("tiny-mixed", "test")
    assert [mixed[index].metadata["cue"] for index in (0, 9, 18)] == ["visible", "partial", "none"]
    assert [bool(mixed[index].options) for index in (0, 9, 18)] == [True, False, True]


def test_a_curriculum_gets_harder_from_task_to_task() -> None:
    tasks = load_tasks("tiny-curriculum", "train")
    assert isinstance(tasks, ProceduralTasks)
    settings = [tasks[index].metadata["difficulty_setting"] for index in range(0, 100_000, 4_000)]
    assert settings == sorted(settings)
    assert (settings[0], tasks[-1].metadata["difficulty_setting"]) == (0.0, 1.0)
    assert tasks[0].video.duration < tasks[-1].video.duration
    begin, end = tasks.at(0.0), tasks.at(1.0)
    assert isinstance(begin, TaskSet)
    assert (begin[0].id, end[-1].id) == ("tiny-curriculum/train/0", "tiny-curriculum/train/99999")
    assert {begin[index].metadata["difficulty_setting"] for index in (0, -1)} == {0.0}
    assert sum(len(tasks.at((step + 0.5) / 11)) for step in range(11)) == len(tasks)
    assert get_task(end[5].id).question == end[5].question
    assert list(end.representatives(range(2, 100))) == list(range(2, 11))
    assert len(load_tasks("tiny", "test").at(0.7)) == 1000  # type: ignore[attr-defined]
    with pytest.raises(InvalidSetting, match=r"progress must be in \[0, 1\]"):
        tasks.at(1.5)


def test_a_suite_sets_the_difficulty_of_members_that_do_not_set_their_own() -> None:
    members = ({"name": "needle"}, {"name": "count", "difficulty": 0.25})
    suite = Suite("set", members, difficulty=1.0)
    assert [family.difficulty for family in suite.families] == [1.0, 0.25]
    with pytest.raises(InvalidSetting, match="difficulty must lie in"):
        Suite("set", members, difficulty=(0.0, 2.0))


@pytest.mark.parametrize("name", SUITES.names())
def test_a_suite_says_how_long_and_how_large_its_videos_are(name: str) -> None:
    suite = SUITES.get(name)
    if not isinstance(suite, Suite):
        return  # a plug-in's
    for family in suite.families if suite.difficulty is None else ():
        s = family.settings
        assert f"{s.duration:g} s" in suite.description
        assert f"{s.width}x{s.height}" in suite.description


def test_sets_pickle_and_iterate() -> None:
    tasks = pickle.loads(pickle.dumps(load_tasks("tiny", "test")))
    assert tasks[7].metadata == load_tasks("tiny", "test")[7].metadata
    assert next(iter(tasks)).id == "tiny/test/0"


def test_tasks_and_sequences_become_sets() -> None:
    tasks = load_tasks("tiny", "test")
    one = load_tasks(tasks[0])
    assert (len(one), one.name, one[0].id) == (1, "tiny/test/0", "tiny/test/0")
    several = load_tasks([tasks[0], tasks[1]])
    assert isinstance(several, TaskList)
    assert several.budget == tasks.budget
    assert [task.id for task in several] == ["tiny/test/0", "tiny/test/1"]
    assert load_tasks(several) is several
    video = ArrayVideo(np.zeros((2, 8, 8, 3), dtype=np.uint8), 1.0)
    assert load_tasks([tasks[0], VideoTask("mine", video, "What?")]).budget == Budget()
    with pytest.raises(TaskError, match="is empty"):
        load_tasks([])
    with pytest.raises(TaskError, match="item 1 is not a VideoTask but str"):
        load_tasks([tasks[0], "needle"])  # type: ignore[list-item]


def test_a_suite_of_ones_own_is_another_configuration() -> None:
    settings = {"name": "needle", "duration": 96.0, "fps": 10.0, "height": 32, "width": 32, "scenes": 8, "colors": 6}
    suite = Suite("own-recipe", ({**settings, "event_seconds": 1.0, "flash_size": 0.88},), sizes={
        "train": 50, "validation": 6, "test": 6,
    })  # fmt: skip
    tasks = load_tasks(suite, "test")
    assert (tasks.name, len(tasks), len(tasks[0].options)) == ("own-recipe/test", 6, 6)
    register_suite(suite)
    assert get_task("own-recipe/test/3").question == tasks[3].question
    assert register_suite(suite) is suite


def test_suites_that_cannot_work_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="no '/'"):
        Suite("a/b", ({"name": "needle"},))
    with pytest.raises(InvalidSetting, match="no members"):
        Suite("a", ())
    with pytest.raises(InvalidSetting, match="sizes must give 1 to 1048576 for each of train, validation, test"):
        Suite("a", ({"name": "needle"},), sizes={"train": 5})
    mixed = Suite("a", ({"name": "needle"}, {"name": "control", "budget": Budget(max_zooms=2)}))
    with pytest.raises(InvalidSetting, match="different budgets"):
        mixed("test")
    with pytest.raises(InvalidSetting, match="registered already"):
        register_suite(Suite("needle", ({"name": "count"},)))


def test_a_suite_can_be_named_by_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "my_suites.py").write_text(
        "from vzgym.tasks import Suite\nsuite = Suite('of-a-module', ({'name': 'needle'},))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_tasks("my_suites:suite", "test").name == "of-a-module/test"
    assert isinstance(SUITES, Registry)


def test_a_slice_names_a_part_of_a_suite_or_file(tmp_path: Path) -> None:
    whole = load_tasks("needle-tiny/train")
    part = load_tasks("needle-tiny/train[2:5]")
    assert (part.name, len(part), part.budget) == ("needle-tiny/train[2:5]", 3, whole.budget)
    assert [task.id for task in part] == [f"needle-tiny/train/{index}" for index in (2, 3, 4)]
    assert isinstance(part, TaskSet)
    assert list(part.representatives(range(3))) == [0]
    assert load_tasks("needle-tiny[:3]", "test").name == "needle-tiny/test[0:3]"
    assert load_tasks("needle-tiny/test[998:]").name == "needle-tiny/test[998:1000]"
    # Slices of a suite have its sampled actions, too.
    sliced, full = (VideoZoomEnv(name) for name in ("needle-tiny/train[:9]", "needle-tiny/train"))
    assert sliced.action_space == full.action_space
    assert pickle.loads(pickle.dumps(part)).name == part.name


def test_a_slice_with_a_step_takes_one_member_of_a_mixture() -> None:
    part = load_tasks("mixed-micro/test[1:9:2]")
    assert (part.name, len(part)) == ("mixed-micro/test[1:9:2]", 4)
    assert [task.id for task in part] == [f"mixed-micro/test/{index}" for index in (1, 3, 5, 7)]
    assert {task.category for task in part} == {"control"}
    assert list(part.representatives(range(1, 4))) == [1, 2]  # as many as the suite has members
    assert load_tasks("mixed-micro/test[::500]").name == "mixed-micro/test[0:1000:500]"
    with pytest.raises(InvalidSetting, match="must have a step of at least 1"):
        load_tasks("mixed-micro/test[::0]")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.parquet", "A.TSV"])
def test_files_of_tasks_are_known_by_their_suffix(name: str) -> None:
    assert is_task_file(name)
    assert not is_task_file("needle-tiny/train")


@pytest.mark.parametrize("text", ["[5:5]", "[4:2]", "[:1001]", "[1000:]"])
def test_a_slice_of_tasks_that_are_not_there_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match="must name tasks between 0 and 1000"):
        load_tasks(f"needle-tiny/test{text}")
