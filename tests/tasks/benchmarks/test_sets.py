"""Every benchmark: loaded from each of its layouts, and from explicit paths."""

from __future__ import annotations

import pickle
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

import vzgym
from tests.tasks.benchmarks.miniatures import MINIATURES, Folder, Miniature, load_set, mlvu_copy
from vzgym.episode.answers import grade
from vzgym.tasks.benchmarks import (
    BENCHMARKS,
    FLAWS,
    Benchmark,
    BenchmarkTasks,
    Item,
    Layout,
    Source,
    Totals,
    get_benchmark,
    register_benchmark,
)
from vzgym.tasks.benchmarks.checking import check_benchmark
from vzgym.tasks.benchmarks.registry import benchmark_aliases

CASES = [(name, layout) for name, miniature in MINIATURES.items() for layout in miniature.layouts]
SETS = list(MINIATURES)


def test_every_registered_set_has_a_miniature() -> None:
    assert sorted(MINIATURES) == BENCHMARKS.names()


def check(tasks: BenchmarkTasks, miniature: Miniature, *, evidence: bool = True) -> None:
    """Compare loaded tasks with what the miniature says, whatever the order of its files."""
    wanted = dict(zip(miniature.ids, miniature.golds, strict=True))
    found = {task.id: task.letter or task.answer for task in tasks}
    assert found == wanted
    assert [task.id for task in tasks] == list(miniature.ids)
    assert dict(tasks.flaws) == dict(miniature.flaws)
    assert set(tasks.flaws) <= set(FLAWS)
    assert not tasks.missing
    for place, spans in miniature.evidence.items() if evidence else ():
        assert (None if tasks[place].evidence is None else [span.to_list() for span in tasks[place].evidence]) == spans
    for task in tasks:
        assert (task.source, bool(task.metadata["video_id"])) == (miniature.name, True)


@pytest.mark.parametrize(("name", "layout"), CASES)
def test_each_layout_gives_every_row(folder: Folder, name: str, layout: str) -> None:
    miniature = MINIATURES[name]
    miniature.layouts[layout](folder)
    tasks = load_set(name, root=folder.root)
    assert tasks.place.layout == layout
    positions = (name, layout) != ("longvideobench_val_v", "lmms-eval")  # parquet files have no positions
    if not positions:
        assert dict(tasks.flaws) == {"repeated_options": 2}
        assert all(task.evidence is None for task in tasks)
        return
    check(tasks, miniature)


@pytest.mark.parametrize("name", SETS)
def test_explicit_paths(folder: Folder, name: str, tmp_path: Path) -> None:
    miniature = MINIATURES[name]
    next(iter(miniature.layouts.values()))(folder)
    # Not a layout: the annotations lie elsewhere, under the names that they have.
    paths = {key: folder.root / value for key, value in miniature.given.items()}
    if paths["videos"] == folder.root or name == "videomme":
        paths["videos"] = folder.root
    tasks = load_set({"name": name, **paths})
    assert tasks.place.layout == "given paths"
    check(tasks, miniature)


@pytest.mark.parametrize("name", SETS)
def test_tasks_can_be_graded_and_pickled(folder: Folder, name: str) -> None:
    miniature = MINIATURES[name]
    next(iter(miniature.layouts.values()))(folder)
    tasks = load_set(name, root=folder.root)
    again = pickle.loads(pickle.dumps(tasks))
    assert again.benchmark is get_benchmark(name)
    for task, other in zip(tasks, again, strict=True):
        assert task == other
        if task.letter:
            assert grade(task.letter, task).is_correct
            letters = [chr(ord("A") + place) for place in range(len(task.options))]
            assert sum(grade(letter, task).is_correct for letter in letters) == 1


@pytest.mark.parametrize("name", ["videomme", "mlvu_test", "longvt", "timelens"])
def test_a_policy_plays_them(folder: Folder, name: str) -> None:
    next(iter(MINIATURES[name].layouts.values()))(folder)
    tasks = load_set(name, root=folder.root)
    report = vzgym.evaluate("blind", tasks, budget={"max_pixels": 1024, "min_pixels": 256})
    assert not report.failed
    assert len(report.episodes) == len(tasks)


def test_the_hub_copy_of_mlvu_has_letters_and_options_in_its_questions(folder: Folder) -> None:
    mlvu_copy(folder)
    tasks = load_set("mlvu", root=folder.root)
    assert (tasks.place.layout, tasks.missing) == ("lmms-eval", ())
    assert [(task.id, task.letter, task.question) for task in tasks] == [
        ("Q0", "B", "Which?"),
        ("Q1", "D", "Where?"),
        ("Q2", "C", "What?"),
        ("Q3", "A", "Which?"),
    ]
    assert tasks[3].metadata["flaws"] == ["repeated_options", "repeated_gold"]
    assert tasks[2].options == ("a", "", "b", "c")


def test_golds_are_positions_where_options_are_letters(folder: Folder) -> None:
    MINIATURES["video_mmmu"].layouts["official"](folder)
    tasks = load_set("video_mmmu_adaptation", root=folder.root)
    task = next(task for task in tasks if task.options[:1] == ("C",))
    assert (task.options, task.answer_index, task.letter) == (("C", "B", "D", "E", "A"), 2, "C")
    assert task.metadata["video_id"] == "validation_Art_Theory_3"


def test_a_video_of_two_tracks_is_one_pair(folder: Folder) -> None:
    MINIATURES["video_mmmu"].layouts["official"](folder)
    lecture = load_set("video_mmmu/adaptation", root=folder.root)
    alone = load_set("video_mmmu_adaptation_question_only", root=folder.root)
    assert [task.metadata["video_id"] for task in lecture] == [task.metadata["video_id"] for task in alone]
    assert all(task.video.uri.endswith("_image.mp4") for task in alone)
    assert get_benchmark("video_mmmu").group_by == "video_id"


def test_longvideobench_counts_positions_at_24_frames_a_second(folder: Folder) -> None:
    MINIATURES["longvideobench_val_v"].layouts["official"](folder)
    first, second, third, *_ = load_set("longvideobench", root=folder.root)
    # Frames 12 and 24 are 0.5 and 1 s: the seconds around them overlap.
    assert [span.to_list() for span in first.evidence] == [[0.0, 1.5]]
    assert [span.to_list() for span in second.evidence] == [[1.0, 2.0]]
    assert third.metadata["flaws"] == ["corrupt_position", "repeated_options"]
    assert [span.to_list() for span in third.evidence] == [[0.5, 1.5]]


@pytest.mark.parametrize("name", SETS)
def test_check_says_what_is_missing(folder: Folder, name: str) -> None:
    miniature = MINIATURES[name]
    next(iter(miniature.layouts.values()))(folder)
    benchmark = get_benchmark(name)
    whole = check_benchmark(benchmark, folder.root)
    assert (whole.missing, whole.groups[0].rows) == ([], len(miniature.ids))
    assert whole.groups[0].expected == (benchmark.totals.rows or None)
    assert whole.flaws == dict(miniature.flaws)
    tasks = load_set(name, root=folder.root)
    gone = Path(tasks[0].video.uri)
    gone.unlink()
    half = check_benchmark(benchmark, folder.root)
    lost = sum(task.video.uri == str(gone) for task in tasks)
    assert [Path(missing).stem for missing in half.missing] == [gone.stem]
    assert half.groups[0].playable == len(tasks) - lost
    for group in half.groups[1:]:
        assert group.playable <= group.rows
    assert not half.complete


def test_a_folder_of_archives_is_named(folder: Folder) -> None:
    MINIATURES["videomme"].layouts["official"](folder)
    shutil.rmtree(folder.root / "videos_chunked_01")
    folder.text("videos_chunked_01.zip", "not unpacked")
    found = check_benchmark(get_benchmark("videomme"), folder.root)
    assert found.missing == ["-short_1.mp4", "Rep3at.mp4"]
    assert [path.name for path in found.archives] == ["videos_chunked_01.zip"]


@pytest.mark.parametrize("name", SETS)
def test_definitions_are_consistent(name: str) -> None:
    benchmark = get_benchmark(name)
    totals = benchmark.totals
    for key, values in totals.groups.items():
        assert key in benchmark.groups
        # A question of LVBench has several types.
        assert sum(values.values()) == totals.rows or key == "question_type"
    for key, _ in benchmark.subsets.values():
        assert key in (*benchmark.groups, "group_type")
    assert benchmark.prompts
    for style in benchmark.prompts.values():
        for each in (style, *style.variants.values()):
            if "{options}" in each.text:
                asked = each.render("Which?", ("Apples.", "Pears."))
                assert asked.count("Apples.") == 1
                assert "A. A." not in asked


def test_the_copy_of_mlvu_has_sizes_of_its_own() -> None:
    totals = get_benchmark("mlvu_dev").totals
    copy = totals.nearest(2174)
    assert (copy.rows, totals.nearest(2175).rows, totals.nearest(3).rows) == (2174, 2175, 2175)
    assert sum(copy.groups["task_type"].values()) == 2174


def test_a_benchmark_of_another_package(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("kitchens_package")

    def convert(row: dict[str, str]) -> Item:
        return Item(row["id"], row["clip"], row["question"], ("p", "q"), "AB".index(row["key"]))

    kitchens = Benchmark(
        "kitchens",
        "Kitchens",
        "Questions.",
        Source((), "?", "none"),
        Totals(1),
        (Layout("official", ("{root}/rows.jsonl",), ("{root}/clips",)),),
        convert,
    )
    vars(module).update(KITCHENS=kitchens)
    monkeypatch.setitem(sys.modules, "kitchens_package", module)
    folder.json_lines("rows.jsonl", [{"id": "1", "clip": "a", "question": "?", "key": "B"}])
    folder.videos(["a.mp4"], "clips")
    for spec in ("kitchens_package:KITCHENS", {"name": "kitchens_package:KITCHENS"}):
        named = spec if isinstance(spec, str) else {**spec, "root": folder.root}
        (task,) = load_set(named, root=folder.root) if isinstance(spec, str) else load_set(named)
        assert (task.letter, task.source) == ("B", "kitchens")
    register_benchmark(kitchens)
    try:
        assert load_set("kitchens", root=folder.root)[0].letter == "B"
    finally:
        del BENCHMARKS._factories["kitchens"]


def test_no_alias_hides_a_name() -> None:
    names = BENCHMARKS.names()
    taken: dict[str, str] = {}
    for name in names:
        for alias in get_benchmark(name).aliases:
            assert alias not in names
            assert taken.setdefault(alias, name) == name
    for alias, (name, options) in benchmark_aliases().items():
        assert get_benchmark(alias).name == name
        assert options.get("subset", "") in ("", *get_benchmark(name).subsets)
