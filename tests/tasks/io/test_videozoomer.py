"""VideoZoomer's RL rows as tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from vzgym.cli.data import app as data_app
from vzgym.core.errors import InvalidSetting, TaskError
from vzgym.tasks import load_tasks
from vzgym.tasks.io.rows import UnusedColumns
from vzgym.tasks.io.videozoomer import read_rl_rows, split_options
from vzgym.tasks.procedural.render.encode import encode_video
from vzgym.video.synthetic import ArrayVideo

app = typer.Typer()
app.add_typer(data_app, name="data")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    (folder / "clips").mkdir()
    for name in ("one", "two"):
        encode_video(ArrayVideo(np.zeros((8, 32, 32, 3), dtype=np.uint8), 4.0), folder / "clips" / f"{name}.mp4")
    return folder


def row(**changes: Any) -> dict[str, Any]:
    usual = {
        "doc_id": 7,
        "problem": "<video>What is on the table?\nA. a cake\nB. a vase\nC. a dog",
        "solution": "<answer>B</answer>",
        "videos": ["clips/one.mp4"],
        "data_source": "longvideo-reason",
        "extra_info": {"answer_type": "multiple_choice"},
    }
    return {key: value for key, value in {**usual, **changes}.items() if value is not ...}


OPEN = row(
    doc_id="q8",
    problem="<video>\nHow many cups are there?",
    solution="3",
    videos=[{"video": "clips/two.mp4"}],
    extra_info={"answer_type": "open_ended"},
)


@pytest.mark.parametrize("form", [".json", ".jsonl", ".parquet"])
def test_rows_become_a_file_of_tasks(videos: Path, tmp_path: Path, form: str) -> None:
    rows = [row(), {**OPEN, "videos": ["clips/two.mp4"]}]
    file = tmp_path / f"rl{form}"
    if form == ".parquet":
        import pyarrow.parquet

        texts = [{**item, "doc_id": str(item["doc_id"])} for item in rows]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(texts), file)
    else:
        file.write_text(json.dumps(rows) if form == ".json" else "".join(f"{json.dumps(item)}\n" for item in rows))
    out = tmp_path / "tasks.jsonl"
    result = CliRunner().invoke(app, ["data", "import-rl", str(file), "--videos", str(videos), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "2 tasks" in result.output
    assert "1 multiple choice, 1 open; 0 rows left out" in result.output
    first, second = load_tasks(str(out))
    assert (first.id, first.question, first.options) == ("7", "What is on the table?", ("a cake", "a vase", "a dog"))
    assert (first.answer, first.category, first.source) == ("a vase", "multiple_choice", "longvideo-reason")
    assert first.evidence is None
    assert (second.id, second.question, second.options, second.answer) == ("q8", "How many cups are there?", (), "3")
    assert first.video.duration == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("source", "out", "told"),
    [
        ("rl.json", "rl.json", r"--out must end in \.jsonl, got .*rl\.json"),
        ("rl.jsonl", "rl.jsonl", "is the file that is read"),
        ("rl.json", ".", "is a folder"),
    ],
)
def test_the_rows_are_not_replaced_by_the_tasks(videos: Path, tmp_path: Path, source: str, out: str, told: str) -> None:
    file = tmp_path / source
    file.write_text(json.dumps(row()) if source.endswith("l") else json.dumps([row()]))
    before = file.read_text()
    arguments = ["data", "import-rl", str(file), "--videos", str(videos), "--out", str(tmp_path / out)]
    with pytest.raises(InvalidSetting, match=told):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("text", "question", "options", "rest"),
    [
        ("What?\nA. x\nB. y", "What?", ("x", "y"), ""),
        ("What?\n(A) x\n(B) y z\nAnswer with the letter.", "What?", ("x", "y z"), "Answer with the letter."),
        ("What? Options: A. x y B. z C. w", "What?", ("x y", "z", "w"), ""),
        ("What?\nChoices:\nA: x\nB: y", "What?", ("x", "y"), ""),
        ("Is it vitamin A. or not?\nA) x\nB) y", "Is it vitamin A. or not?", ("x", "y"), ""),
        ("Who has an A. in it?", "Who has an A. in it?", (), ""),
        ("What does plan B. say?", "What does plan B. say?", (), ""),
        ("Who?\nA. Tom\nB. Samuel C. Wright\nC. Ann", "Who?", ("Tom", "Samuel C. Wright", "Ann"), ""),
        (
            "Where?\nA. Boston\nB. Washington D. C.\nC. Miami\nD. Rome",
            "Where?",
            ("Boston", "Washington D. C.", "Miami", "Rome"),
            "",
        ),
        ("Who? A. Samuel C. Wright B. Tom", "Who?", ("Samuel C. Wright", "Tom"), ""),
    ],
)
def test_options_are_taken_out_of_the_text(text: str, question: str, options: tuple[str, ...], rest: str) -> None:
    assert split_options(text) == (question, options, rest)


@pytest.mark.parametrize(
    "text", ["Who? A. Tom B. Samuel C. Wright C. Ann", "Where? A. Rome B. Washington D. C. C. Miami D. Boston"]
)
def test_options_that_can_be_split_in_several_ways_are_refused(text: str) -> None:
    with pytest.raises(TaskError, match="split in several ways"):
        split_options(text)


def test_columns_that_are_not_used_are_counted_in_a_warning(videos: Path, tmp_path: Path) -> None:
    file = tmp_path / "rl.json"
    file.write_text(json.dumps([row(prompt="x", images=[]), {**OPEN, "prompt": "y", "level": 3}]))
    with pytest.warns(UnusedColumns, match=r"'prompt' in 2 rows, 'level' in 1 row; used: doc_id"):
        assert len(read_rl_rows(file, videos)[0]) == 2


def test_videos_outside_the_root_are_refused(videos: Path, tmp_path: Path) -> None:
    file = tmp_path / "rl.json"
    file.write_text(json.dumps([row()]))
    with pytest.raises(TaskError, match=r"row 1: the video file 'clips/one.mp4' lies outside"):
        read_rl_rows(file, videos, root=tmp_path)
    assert len(read_rl_rows(file, videos, root=videos)[0]) == 1


@pytest.mark.parametrize("solution", ["B", "(B)", "B.", "B. a vase", "a vase", "<answer> B </answer>"])
def test_solutions_are_read(videos: Path, tmp_path: Path, solution: str) -> None:
    file = tmp_path / "rl.json"
    file.write_text(json.dumps([row(solution=solution)]))
    assert read_rl_rows(file, videos)[0][0].answer == "a vase"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"doc_id": ...}, "missing 'doc_id'"),
        ({"solution": ""}, "missing 'solution'"),
        ({"videos": []}, "exactly one path, got 0"),
        ({"videos": ["clips/one.mp4", "clips/two.mp4"]}, "exactly one path, got 2"),
        ({"videos": ["clips/three.mp4"]}, "no video file .*three.mp4"),
        ({"videos": [3]}, "must hold a path"),
        ({"solution": "E"}, "'E'"),
        ({"solution": "B. a dog"}, "a dog"),
        ({"problem": "<video>What?"}, "needs its options"),
        ({"problem": "<video>", "extra_info": {"answer_type": "open_ended"}}, "question"),
        ({"problem": ["What?"]}, "must be texts"),
        ({"extra_info": "x"}, "'extra_info' must be an object"),
        ({"extra_info": {"answer_type": "essay"}}, "multiple_choice, open_ended, got 'essay'"),
        ({"doc_id": "q8"}, "doc_id 'q8' is that of an earlier row"),
    ],
)
def test_broken_rows_are_named(videos: Path, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    file = tmp_path / "rl.json"
    file.write_text(json.dumps([OPEN, row(**changes)]))
    with pytest.raises(TaskError, match=rf"rl.json, row 2: .*{words}"):
        read_rl_rows(file, videos)
    tasks, broken = read_rl_rows(file, videos, skip_broken=True)
    assert [task.id for task in tasks] == ["q8"]
    assert len(broken) == 1


def test_a_file_of_nothing_but_broken_rows_is_an_error(videos: Path, tmp_path: Path) -> None:
    file = tmp_path / "rl.json"
    file.write_text(json.dumps([row(videos=[])]))
    with pytest.raises(TaskError, match=r"no row is left; the first: .*row 1"):
        read_rl_rows(file, videos, skip_broken=True)
