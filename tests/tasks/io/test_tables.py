"""Tasks in tables: names of columns, forms of times, and the faults of all rows."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import vzgym
from vzgym.cli import app
from vzgym.core.errors import InvalidSetting, TaskError, UnknownName
from vzgym.episode import Episode
from vzgym.tasks import load_jsonl, load_table, load_tasks
from vzgym.tasks.io.rows import UnusedColumns
from vzgym.tasks.io.tables import read_table
from vzgym.tasks.procedural.render.encode import encode_video
from vzgym.video import ArrayVideo

HEAD = "video,question,A,B,C,D,answer letter,start,end\n"
ROWS = (
    "a.mp4,Which colour?,red,blue,green,white,B,0.5,1.5\n"
    'clips/b.mp4,"Which, then\u2028of these?",yes,no,,,A,,\n'
    "a.mp4,Which letter?,C,B,D,A,a,1,2\n"
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    encode_video(ArrayVideo(np.zeros((8, 32, 32, 3), np.uint8), 4.0), path)
    return path


@pytest.fixture
def write(tmp_path: Path, clip: Path) -> Callable[..., Path]:
    """Writes a table beside its videos."""

    def make(text: str, name: str = "labels.csv", encoding: str = "utf-8") -> Path:
        (tmp_path / "clips").mkdir(exist_ok=True)
        for video in ("a.mp4", "clips/b.mp4"):
            shutil.copyfile(clip, tmp_path / video)
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return make


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.mark.parametrize(
    ("text", "name", "encoding"),
    [
        (HEAD + ROWS, "labels.csv", "utf-8"),
        (HEAD + ROWS, "labels.csv", "utf-8-sig"),
        ((HEAD + ROWS).replace("\n", "\r\n"), "LABELS.CSV", "utf-8"),
        (
            (HEAD + ROWS)
            .replace('"Which, then', '"Which; then')
            .replace(",", ";")
            .replace("Which; then", "Which, then"),
            "labels.csv",
            "utf-8",
        ),
        (
            (HEAD + ROWS).replace('"Which, then', '"Which# then').replace(",", "\t").replace("#", ","),
            "labels.tsv",
            "utf-8",
        ),
    ],
    ids=["csv", "byte order mark", "crlf", "semicolons", "tsv"],
)
def test_a_labelling_tools_export(write: Callable[..., Path], text: str, name: str, encoding: str) -> None:
    tasks = load_tasks(str(write(text, name, encoding)))
    first, second, third = tasks
    assert (first.id, first.options, first.answer, first.letter) == (
        f"{Path(name).stem}-1",
        ("red", "blue", "green", "white"),
        "blue",
        "B",
    )
    assert [span.to_list() for span in first.evidence] == [[0.5, 1.5]]
    assert second.question == "Which, then\u2028of these?"
    assert (second.options, second.answer, second.evidence) == (("yes", "no"), "yes", None)
    # The letter is a position, though an option is that letter.
    assert (third.answer_index, third.letter, third.answer) == (0, "A", "C")
    assert second.video.duration == 2.0


def test_parquet_with_lists(tmp_path: Path, write: Callable[..., Path]) -> None:
    import pyarrow
    import pyarrow.parquet

    write("")
    rows = [
        {"id": "x", "video": "a.mp4", "question": "?", "choices": ["p", "q"], "answer_index": 1,
         "spans": [[0.0, 1.0], [1.5, 2.0]], "annotator": 3, "notes": None},
        {"id": "y", "video": "a.mp4", "question": "?", "choices": ["p", "p"], "answer_index": 1, "spans": [],
         "annotator": 4, "notes": "twice"},
    ]  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    first, second = load_tasks(tmp_path / "t.parquet")
    assert (first.answer, first.letter, first.metadata) == ("q", "B", {"annotator": 3})
    assert [span.to_list() for span in first.evidence] == [[0.0, 1.0], [1.5, 2.0]]
    assert (second.letter, second.evidence, second.metadata) == ("B", (), {"annotator": 4, "notes": "twice"})


def test_values_of_parquet_that_are_no_metadata_are_named(tmp_path: Path, write: Callable[..., Path]) -> None:
    import pyarrow
    import pyarrow.parquet

    write("")
    when = datetime(2020, 1, 1, tzinfo=UTC)
    rows = [
        {"video": "a.mp4", "question": "Q", "when": when, "price": None, "score": 1.5},
        {"video": "a.mp4", "question": "Q", "when": when, "price": Decimal("1.5"), "score": math.nan},
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    with pytest.warns(UnusedColumns, match="'when' in 2 rows, 'price' in 1 row; ") as warned:
        table = read_table(tmp_path / "t.parquet")
    assert [dict(task.metadata) for task in table.tasks] == [{"score": 1.5}, {}]
    assert "score" not in str(warned[0].message)
    twice = pyarrow.Table.from_arrays([pyarrow.array(["a.mp4"])] * 3, names=["video", "question", "video"])
    pyarrow.parquet.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(TaskError, match="several columns have the name 'video'"):
        read_table(tmp_path / "twice.parquet")


def test_empty_columns_and_lines_of_a_spreadsheet(write: Callable[..., Path]) -> None:
    table = read_table(write("video,question,,\r\n,,,\r\na.mp4,First?,,\r\n\r\nmissing.mp4,Second?,note,\r\n"))
    assert [(task.question, dict(task.metadata)) for task in table.tasks] == [("First?", {})]
    assert "row 5: no video file" in table.faults[0]
    with pytest.raises(TaskError, match="row 2: several cells are in columns without a name"):
        read_table(write("video,question,,\na.mp4,Q,one,two\n"))
    # A data frame's index has no name.
    (task,) = read_table(write(",video,question\n7,a.mp4,Q\n")).tasks
    assert dict(task.metadata) == {"": "7"}


def test_clock_times_are_read_where_they_are_declared(write: Callable[..., Path]) -> None:
    path = write("video,question,label,from,to\na.mp4,When?,now,00:00,00:01.5\na.mp4,Then?,later,0:00:01,0:00:02\n")
    columns = {"answer": "label", "start": "from", "end": "to"}
    first, second = load_table(path, columns=columns, times="clock")
    assert [span.to_list() for task in (first, second) for span in task.evidence] == [[0.0, 1.5], [1.0, 2.0]]
    with pytest.raises(TaskError, match=r"row 2: from: '00:00' is no number of seconds; say --times clock"):
        load_table(path, columns=columns)
    again = load_tasks({"name": f"{path}[1:]", "columns": columns, "times": "clock"})
    assert [task.question for task in again] == ["Then?"]
    assert vzgym.evaluate("blind", again, budget={"max_pixels": 1024, "min_pixels": 256}).episodes
    with pytest.raises(TaskError, match=r"start: '0.5' is no time MM:SS or HH:MM:SS"):
        load_table(write(HEAD + ROWS), times="clock")


def test_lists_as_text(write: Callable[..., Path]) -> None:
    path = write(
        "video,question,options,answer,evidence\n"
        'a.mp4,?,"[""it\'s"", ""b""]",it\'s,"[[0, 1]]"\n'
        "a.mp4,?,\"['c', 'd']\",D,\"[(0.5, 1)]\"\n"
    )
    first, second = load_table(path)
    assert (first.options, first.answer) == (("it's", "b"), "it's")
    assert (second.options, second.answer) == (("c", "d"), "d")
    assert [span.to_list() for span in second.evidence] == [[0.5, 1.0]]


BROKEN = HEAD + (
    "a.mp4,Fine?,p,q,r,s,A,0,1\n"
    "gone.mp4,?,p,q,r,s,A,0,1\n"
    "a.mp4,?,p,q,r,s,E,0,1\n"
    "a.mp4,?,p,,r,s,A,0,1\n"
    "a.mp4,?,p,q,r,s,A,3,1\n"
    'a.mp4,?,p,q,r,s,A,"0,5",1\n'
    "a.mp4,,p,q,r,s,A,0,1\n"
    ",?,p,q,r,s,A,0,1\n"
    "a.mp4,?,p,q,r,s,A,0,\n"
)
FAULTS = [
    "row 3: no video file",
    "row 4: answer letter: 'E' is no letter of 4 options",
    "row 5: option B is empty, but later ones are not",
    "row 6: the evidence [3, 1] must start at 0 or later, and end after its start",
    "row 7: start: '0,5' is no number of seconds, with a decimal point",
    "row 8: task 'labels-7': the question is empty",
    "row 9: no video",
    "row 10: end: '' is no number of seconds",
]


def test_the_faults_of_all_rows_are_named(write: Callable[..., Path]) -> None:
    path = write(BROKEN)
    table = read_table(path)
    assert len(table.tasks) == 1
    assert len(table.faults) == len(FAULTS)
    for found, wanted in zip(table.faults, FAULTS, strict=True):
        assert wanted in found
    with pytest.raises(TaskError) as raised:
        load_tasks(path)
    assert all(wanted in str(raised.value) for wanted in FAULTS)


def test_the_command(write: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "tasks.jsonl"
    ran = run("tasks", "import", write(HEAD + ROWS), "--out", out)
    assert ran.exit_code == 0
    assert "3 tasks in" in ran.output
    assert [task.letter for task in load_jsonl(out)] == ["B", "A", "A"]
    out.unlink()
    broken = run("tasks", "import", write(BROKEN), "--out", out)
    assert broken.exit_code == 1
    assert broken.output.count("broken: ") == 8
    assert not out.exists()
    assert run("tasks", "import", write(BROKEN), "--out", out, "--skip-broken").exit_code == 0
    assert len(load_jsonl(out)) == 1


def test_import_checks_the_evidence_against_the_video(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(HEAD + ROWS + "a.mp4,Which?,x,y,,,B,13,99\nclips/b.mp4,Which?,x,y,,,B,1,2\n")
    (tmp_path / "clips" / "b.mp4").write_bytes(b"no video")
    ran = run("tasks", "import", path, "--out", tmp_path / "tasks.jsonl")
    assert ran.exit_code == 1
    with pytest.raises(TaskError) as refused:
        Episode(read_table(path).tasks[3])
    outside = "task 'labels-4': evidence [13, 99] lies outside the video of 2 s"
    assert str(refused.value) == outside
    assert f"broken: {path}, row 5: {outside}\n" in ran.output
    assert f"broken: {path}, row 6: {tmp_path / 'clips' / 'b.mp4'}" in ran.output
    assert "2 rows are broken, 3 are not; nothing was written" in ran.output


def test_import_names_rows_without_an_answer(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(HEAD + ROWS + "a.mp4,Which?,x,y,,,,,\n")
    ran = run("tasks", "import", path, "--out", tmp_path / "tasks.jsonl")
    assert ran.exit_code == 0
    assert "no answer, so not graded: labels-4\n" in ran.output
    assert "4 multiple choice, 0 open, 2 with evidence, 1 without an answer; 0 rows left out" in ran.output


def test_eval_takes_tables(write: Callable[..., Path]) -> None:
    path = write("file,text,A,B,key,from,to\na.mp4,Which?,x,y,B,0:01,0:02\n")
    flags = ["--columns", "question=text,answer_letter=key,start=from,end=to", "--times", "clock", "--json"]
    ran = run("eval", "--policy", "blind", "--tasks", path, *flags)
    assert ran.exit_code == 0, ran.output
    wrong = run("eval", "--policy", "blind", "--tasks", "needle-tiny", *flags)
    assert isinstance(wrong.exception, InvalidSetting)
    assert "--columns, --times: for tables only" in str(wrong.exception)


@pytest.mark.parametrize(
    ("text", "options", "error", "reason"),
    [
        (
            "film,question\na,b\n",
            {},
            TaskError,
            r"no column for video; .*'film'.*; .*--columns video=NAME \(in Python: columns={'video': 'NAME'}\)",
        ),
        (HEAD, {}, TaskError, "holds no rows"),
        (
            HEAD + ROWS,
            {"columns": {"answer": "label"}},
            InvalidSetting,
            "has no column 'label', given for answer; its columns: ",
        ),
        (HEAD + ROWS, {"columns": {"answer": "qestion"}}, InvalidSetting, r"did you mean 'question'\? Its columns: "),
        (
            HEAD + ROWS,
            {"columns": {"anwser": "A"}},
            UnknownName,
            "unknown column 'anwser'; did you mean 'answer'. Valid: answer",
        ),
        (HEAD + ROWS, {"times": "frames"}, InvalidSetting, "times must be 'seconds' or 'clock'"),
        ("video,file,question\na,b,c\n", {}, InvalidSetting, "video may be 'video' or 'file'"),
        (
            "video,question,start\na,b,1\n",
            {},
            TaskError,
            r"evidence needs both a start and an end; .*--columns end=NAME",
        ),
        ("video,question,answer,answer letter\na,b,c,A\n", {}, InvalidSetting, "the right answer is in answer, answer"),
        ("video,question,video\na,b,c\n", {}, TaskError, "several columns have the name 'video'"),
        ("video,question\na,b,c\n", {}, TaskError, "row 2: 3 cells, but the first line names 2 columns"),
    ],
)
def test_what_is_no_table_of_tasks(
    write: Callable[..., Path], text: str, options: dict, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        read_table(write(text), **options)


def test_another_encoding_is_named(write: Callable[..., Path]) -> None:
    with pytest.raises(TaskError, match=r"not UTF-8 text: .* at byte .*CSV UTF-8"):
        load_table(write(HEAD + ROWS.replace("red", "r\u00e9d").replace("\u2028", ""), encoding="latin-1"))


def test_videos_are_confined_to_a_root(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(HEAD + ROWS)
    with pytest.raises(TaskError, match="lies outside the folder to which files are confined"):
        load_tasks(path, root=tmp_path / "clips")
