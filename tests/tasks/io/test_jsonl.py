from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vzgym.core import Budget, Interval, Region
from vzgym.core.errors import InvalidSetting, TaskError, UnknownName
from vzgym.tasks import EvidenceRequirements, Subtitle, VideoTask, load_jsonl, load_tasks, write_jsonl
from vzgym.video.file import FileVideo

ROW: dict[str, Any] = {"id": "a", "video": "clips/a.mp4", "question": "Wer öffnet die Tür?"}


def folder_with(tmp_path: Path, *rows: Any) -> Path:
    (tmp_path / "clips").mkdir(exist_ok=True)
    (tmp_path / "clips" / "a.mp4").write_bytes(b"opened on first use only")
    file = tmp_path / "tasks.jsonl"
    file.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


def test_a_row_needs_three_keys(tmp_path: Path) -> None:
    tasks = load_jsonl(folder_with(tmp_path, ROW))
    task = tasks[0]
    assert (task.id, task.question, task.options, task.answer, task.evidence) == ("a", ROW["question"], (), "", None)
    assert Path(task.video.uri) == tmp_path / "clips" / "a.mp4"
    assert (tasks.name, tasks.budget) == ("tasks", Budget())


def test_everything_survives_the_round_trip(tmp_path: Path) -> None:
    file = folder_with(tmp_path, ROW)
    task = VideoTask(
        id="ä/1",
        video=FileVideo(tmp_path / "clips" / "a.mp4"),
        question="Which?",
        options=("red", "blue"),
        answer="B",
        evidence=(Interval(1.5, 2.25), Interval(7, 8)),
        requirements=EvidenceRequirements(2.5, regions=(Region(0, 0, 0.5, 1), Region(0.25, 0.5, 1, 1))),
        category="colour",
        subtitles=(Subtitle(0.0, 1.0, "Grüß Gott"),),
        source="mine",
        metadata={"budget": Budget(max_zooms=2).to_dict(), "note": [1, None]},
    )
    nothing = VideoTask("b", task.video, "Open?", evidence=())
    written = write_jsonl([task, nothing], tmp_path / "deep" / "er" / "list.jsonl")
    first, second = load_tasks(str(written))
    for name in ("id", "question", "options", "answer", "evidence", "requirements", "category", "source", "metadata"):
        assert getattr(first, name) == getattr(task, name), name
    assert first.subtitles == task.subtitles
    assert second.evidence == ()
    assert Path(first.video.uri).resolve() == (tmp_path / "clips" / "a.mp4").resolve()
    assert json.loads(written.read_text(encoding="utf-8").splitlines()[0])["video"] == "../../clips/a.mp4"
    assert load_jsonl(write_jsonl([task], file)).budget == Budget(max_zooms=2)


@pytest.mark.parametrize("way", ["absolute", "parent", "link", "uri"])
def test_a_root_confines_the_videos(tmp_path: Path, way: str) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside.mp4"
    inside.mkdir()
    outside.write_bytes(b"opened on first use only")
    if way == "link":
        (inside / "link.mp4").symlink_to(outside)
    name = {"absolute": str(outside), "parent": "../outside.mp4", "link": "link.mp4", "uri": outside.as_uri()}[way]
    file = folder_with(inside, ROW, {**ROW, "id": "b", "video": name})
    assert len(load_tasks(file)) == 2
    assert len(load_tasks(file, root=tmp_path)) == 2
    with pytest.raises(TaskError, match=r"line 2: the video file .* lies outside .*inside'"):
        load_tasks(file, root=inside)


def test_subtitles_may_be_a_file(tmp_path: Path) -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nGrüß Gott\n"
    (tmp_path / "a.srt").write_text(text, encoding="utf-8")
    (tmp_path / "b.srt").write_text(text, encoding="cp1252")
    shifted = {"path": "b.srt", "encoding": "cp1252", "offset": 2}
    file = folder_with(tmp_path, {**ROW, "subtitles": "a.srt"}, {**ROW, "id": "b", "subtitles": shifted})
    first, second = load_jsonl(file)
    assert first.subtitles == (Subtitle(1.0, 2.0, "Grüß Gott"),)
    assert second.subtitles == (Subtitle(3.0, 4.0, "Grüß Gott"),)
    (tmp_path / "other").mkdir()
    with pytest.raises(TaskError, match=r"line 1: the (video|subtitle) file .* lies outside"):
        load_jsonl(file, root=tmp_path / "other")


def test_a_video_may_be_a_uri(tmp_path: Path) -> None:
    file = folder_with(tmp_path, ROW)
    spaced = tmp_path / "clips" / "a b.mp4"
    spaced.write_bytes(b"opened on first use only")
    file = folder_with(tmp_path, {**ROW, "video": spaced.as_uri()})
    assert "%20" in spaced.as_uri()
    assert Path(load_jsonl(file)[0].video.uri) == spaced


def test_a_moved_folder_still_finds_its_videos(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    folder_with(tmp_path / "one", ROW)
    (tmp_path / "one").rename(tmp_path / "two")
    assert Path(load_jsonl(tmp_path / "two" / "tasks.jsonl")[0].video.uri).is_file()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{bad", "not JSON: .* at column 2"),
        ([1], "must be a JSON object, got list"),
        ({"id": "a", "video": "clips/a.mp4"}, "missing 'question'"),
        ({**ROW, "anwser": "x"}, "unknown key 'anwser'; did you mean 'answer'. Valid: id, video"),
        ({**ROW, "id": 3}, "'id' must be a text, got 3"),
        ({**ROW, "question": " "}, "the question is empty"),
        ({**ROW, "options": "red"}, "'options' must be a list of texts"),
        ({**ROW, "options": ["red", "blue"], "answer": "green"}, "answer 'green' is none of the options"),
        ({**ROW, "options": ["red", "blue"]}, "a question with options needs 'answer'"),
        ({**ROW, "options": ["red", "red"], "answer": "red"}, "answer 'red' fits the options A"),
        ({**ROW, "evidence": [[5, 2]]}, r"bad evidence: an interval needs end > start, got \[5.0, 2.0\)"),
        ({**ROW, "evidence": [[5]]}, r"'evidence' must hold \[start, end\]"),
        ({**ROW, "evidence": 7}, "'evidence' must be a list"),
        ({**ROW, "evidence": [[0, float("inf")]]}, "Infinity is no JSON number"),
        ({**ROW, "requirements": []}, r"requirements must be an object, got \[\]"),
        (
            {**ROW, "requirements": {"needed_fps": 2}},
            "requirements: unknown key 'needed_fps'; valid: min_fps",
        ),
        ({**ROW, "requirements": {"min_fps": 0}}, "min_fps must be a number > 0, got 0"),
        ({**ROW, "evidence": [[1, 2]], "requirements": {"regions": [[0, 0, 1, 1]] * 2}}, "2 regions for 1 evidence"),
        ({**ROW, "subtitles": [[0, 1]]}, r"'subtitles' must hold \[start, end, text\]"),
        ({**ROW, "subtitles": {}}, "'subtitles' must be a list"),
        ({**ROW, "subtitles": [[2, 1, "x"]]}, "a subtitle ends at 1 s, before it starts at 2 s"),
        ({**ROW, "subtitles": "gone.srt"}, "no subtitle file .*gone.srt"),
        ({**ROW, "subtitles": {"path": "clips/a.mp4"}}, "a.mp4: of no known format"),
        (
            {**ROW, "subtitles": {"path": "clips/a.mp4", "language": "en"}},
            "setting of subtitles language; valid",
        ),
        ({**ROW, "subtitles": {"path": "clips/a.mp4", "offset": "1"}}, "'offset' of subtitles must be a number"),
        ({**ROW, "subtitles": {"path": "clips/a.mp4", "strict": 1}}, "'strict' of subtitles must be true or false"),
        ({**ROW, "metadata": []}, "'metadata' must be an object"),
        ({**ROW, "video": "clips/gone.mp4"}, "no video file .*gone.mp4"),
        ({**ROW, "video": "v" * 5000}, "no video file .*vvv"),
        ({**ROW, "video": "a\0b"}, "no video file .*b"),
        ({**ROW, "evidence": [[0, 10**400]]}, "too large"),
        ({**ROW, "subtitles": [[0, 10**400, "x"]]}, "too large"),
        ('{"id": "a", "video": "clips/a.mp4", "question": "?", "metadata": {"x": NaN}}', "NaN is no JSON number"),
        ('{"id": "a", "video": "clips/a.mp4", "question": "?", "metadata": {"x": 1e999}}', "1e999 is too large"),
        ('{"id": "a", "metadata": ' + "[" * 100_000, "nested more than 64 levels deep"),
        ('{"id": "a", "metadata": ' + "[" * 100 + "]" * 100 + "}", "nested more than 64 levels deep"),
        ('{"id": "a", "evidence": [[0, ' + "9" * 5000 + "]]}", "not readable: Exceeds the limit"),
        ({**ROW, "id": "first"}, "id 'first' is that of line 1 too"),
    ],
)
def test_a_bad_row_is_named_with_file_line_and_reason(tmp_path: Path, row: Any, reason: str) -> None:
    file = folder_with(tmp_path, {**ROW, "id": "first"}, "", row)
    with pytest.raises(TaskError, match=rf"tasks\.jsonl, line 3: .*{reason}"):
        load_jsonl(file)


def test_missing_empty_and_binary_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"cannot read .*gone\.jsonl: No such file"):
        load_tasks(str(tmp_path / "gone.jsonl"))
    with pytest.raises(TaskError, match="holds no task"):
        load_jsonl(folder_with(tmp_path, "", " "))
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TaskError, match=r"binary\.jsonl, line 1: not UTF-8"):
        load_tasks(tmp_path / "binary.jsonl")


def test_separators_within_texts_and_a_byte_order_mark(tmp_path: Path) -> None:
    question = "One\u2028two\u2029three\x85four\x0bfive?"
    file = folder_with(tmp_path, json.dumps({**ROW, "question": question}, ensure_ascii=False))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    (task,) = load_jsonl(file)
    assert task.question == question
    again = write_jsonl([task], tmp_path / "again.jsonl")
    assert len(again.read_text(encoding="utf-8").splitlines()) == 1
    assert load_jsonl(again)[0].question == question


@pytest.mark.parametrize("path", ["x" * 5000 + ".jsonl", "a\0b.jsonl"], ids=["long", "null"])
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(TaskError, match="cannot read"):
        load_tasks(path)


def test_a_folder_and_a_file_of_another_name_are_told_from_suites(tmp_path: Path) -> None:
    folder = tmp_path / "my data" / "tiny set"
    folder.mkdir(parents=True)
    with pytest.raises(InvalidSetting, match=r"is a folder: name the file, but there is none .*end in \.jsonl"):
        load_tasks(str(folder))
    file = folder_with(folder, ROW)
    with pytest.raises(InvalidSetting) as caught:
        load_tasks(str(folder))
    assert f"name the file: {file} (task files end in .jsonl, .csv, .tsv, .parquet)" in str(caught.value)
    other = file.rename(folder / "tasks.json")
    with pytest.raises(InvalidSetting, match=r"tasks\.json' is a file of another name: .* end in \.jsonl"):
        load_tasks(str(other))


def test_a_folder_does_not_hide_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needle-tiny" / "test").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert load_tasks("needle-tiny/test").name == "needle-tiny/test"
    with pytest.raises(UnknownName, match="unknown task suite"):
        load_tasks("x" * 5000)


def test_unknown_back_ends_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="pyav"):
        load_jsonl(folder_with(tmp_path, ROW), backend="vhs")


def test_a_drawn_video_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"'tiny/test/0': its video 'procedural:tiny/test/0' is no file; write_tasks"):
        write_jsonl([load_tasks("tiny", "test")[0]], tmp_path / "x.jsonl")
