"""Video-MME in its layouts."""

from __future__ import annotations

import shutil

import pytest

import vzgym
from tests.tasks.benchmarks.miniatures import MINIATURES, Folder, load_set, videomme_rows
from vzgym.core.errors import InvalidSetting, TaskError, UnknownName
from vzgym.tasks.benchmarks import get_benchmark

ROWS = videomme_rows()
VIDEOS = [f"{row['videoID']}.mp4" for row in ROWS]
HUB = "hub/datasets--lmms-lab--Video-MME/snapshots/abc123"


vlmevalkit = MINIATURES["videomme"].layouts["VLMEvalKit"]
official = MINIATURES["videomme"].layouts["official"]


def test_options_without_letters_and_flaws(folder: Folder) -> None:
    official(folder)
    tasks = load_set("videomme", root=folder.root)
    assert tasks[0].options == ("Mars.", "Venus.", "Io.", "Titan.")
    assert (tasks[6].metadata["duration"], tasks[6].category) == ("medium", "OCR Problems")
    assert tasks.flawed == 1
    assert tasks[3].metadata["flaws"] == ["repeated_options", "repeated_gold"]
    assert tasks[0].video.duration == 2.0


def test_explicit_paths(folder: Folder) -> None:
    rows = folder.json_lines("somewhere/mine.jsonl", ROWS)
    folder.videos(VIDEOS, "elsewhere/deep")
    tasks = load_set({"name": "videomme", "annotations": rows, "videos": folder.root / "elsewhere"})
    assert (len(tasks), tasks.missing, tasks.place.layout) == (10, (), "given paths")


def test_names_parts_and_what_is_left_out(folder: Folder) -> None:
    official(folder)
    assert {task.metadata["duration"] for task in load_set("videomme/short", root=folder.root)} == {"short"}
    assert len(load_set("video-mme[2:5]", root=folder.root)) == 3
    assert load_set("videomme_long", root=folder.root).name == "videomme/long"
    shorter = load_set({"name": "videomme", "root": folder.root, "skip_flawed": True})
    assert (len(shorter), shorter.rows, dict(shorter.skipped)) == (9, 10, {"flawed": 1})
    (folder.root / "videos_chunked_02/data/LONG.MKV").unlink()
    there = load_set({"name": "videomme", "root": folder.root, "skip_missing": True})
    assert (len(there), dict(there.skipped)) == (9, {"missing video": 1})


def test_all_missing_videos_are_named_before_the_first_is_opened(folder: Folder) -> None:
    official(folder)
    for name in ("videos_chunked_01/data/-short_1.mp4", "videos_chunked_02/data/LONG.MKV"):
        (folder.root / name).unlink()
    tasks = load_set("videomme", root=folder.root)
    assert tasks.missing == ("-short_1.mp4", "LONG.mp4")
    with pytest.raises(
        TaskError, match=r"2 of 4 video files are missing, which 4 tasks need: .*-short_1.mp4, .*LONG.mp4"
    ):
        vzgym.evaluate("blind", tasks)
    assert len(vzgym.evaluate("blind", "videomme[3:9]" and load_set("videomme[3:9]", root=folder.root)).episodes) == 6


def test_what_cannot_be_loaded_is_named(folder: Folder) -> None:
    with pytest.raises(TaskError, match=r"no annotation file in .*Looked for lmms-eval: .*bench download videomme"):
        load_set("videomme", root=folder.root)
    with pytest.raises(InvalidSetting, match="videomme needs the folder with its files"):
        load_set("videomme")
    with pytest.raises(UnknownName, match="unknown subset of videomme 'middle'; valid: long, medium, short"):
        load_set("videomme/middle", root=folder.root)
    with pytest.raises(UnknownName, match=r"unknown task suite 'videomm'; .*Benchmarks: .*videomme"):
        load_set("videomm", root=folder.root)
    folder.json("rows.json", [{"video": "x"}, *ROWS[:1], {"videoID": "x"}])
    with pytest.raises(
        TaskError, match=r"not rows of videomme: .*row 1: no column 'index'.*; .*row 3: no column 'question_id'"
    ):
        load_set({"name": "videomme", "annotations": folder.root / "rows.json"})
    folder.json("rows.json", [{"video": f"{number}"} for number in range(30)])
    with pytest.raises(TaskError) as raised:
        load_set({"name": "videomme", "annotations": folder.root / "rows.json"})
    assert str(raised.value).count("no column 'index'") == 1
    assert "row 1: no column 'index'; its columns: video (29 more rows have the same fault)" in str(raised.value)


def test_links_out_of_the_folder_are_refused(folder: Folder) -> None:
    official(folder)
    target = folder.root / "videos_chunked_01/data/Rep3at.mp4"
    outside = folder.root.parent / "outside.mp4"
    shutil.move(target, outside)
    target.symlink_to(outside)
    with pytest.raises(TaskError, match="is a link out of the folder"):
        load_set("videomme", root=folder.root)


def test_a_snapshot_of_links_into_its_cache_is_read(folder: Folder) -> None:
    vlmevalkit(folder)
    blobs = folder.root / "hub/datasets--lmms-lab--Video-MME/blobs"
    blobs.mkdir()
    link = folder.root / HUB / "video/LONG.mp4"
    shutil.move(link, blobs / "0123")
    link.symlink_to(blobs / "0123")
    for root in (folder.root, folder.root / "hub", folder.root / HUB):
        assert load_set("videomme", root=root).missing == ()


def test_the_definition_counts_what_the_reference_counts() -> None:
    totals = get_benchmark("videomme_w_subtitle").totals
    for key in ("duration", "domain", "task_type"):
        assert sum(totals.groups[key].values()) == totals.rows == 2700
