"""Files that are whole or not there, strict JSON, and locks."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core import files
from vzgym.core.errors import FolderInUse, InvalidSetting, RecordError, TaskError
from vzgym.core.files import (
    MAX_DEPTH,
    JsonLinesWriter,
    append_json_line,
    check_model_path,
    drop_torn_line,
    file_lock,
    folder_lock,
    is_disk_full,
    is_file,
    is_leftover,
    json_fault,
    json_line,
    parse_json,
    read_json,
    read_json_lines,
    replace_file,
    write_bytes,
    write_json,
    write_text,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
LINE_ENDS = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\rh\ni"


def nested(depth: int) -> Any:
    value: Any = 0
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


# Writing -------------------------------------------------------------------------------------------------------


def test_a_file_is_written_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"\x00\xff")
    write_text(tmp_path / "b", "ä\r\n")
    write_json(tmp_path / "c.json", {"a": [1, "ä"]})
    assert (tmp_path / "a").read_bytes() == b"\x00\xff"
    assert (tmp_path / "b").read_bytes() == "ä\r\n".encode()
    assert (tmp_path / "c.json").read_text() == '{\n  "a": [\n    1,\n    "ä"\n  ]\n}\n'
    assert {file.name for file in tmp_path.iterdir()} == {"a", "b", "c.json"}
    # As any file: others may read it.
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_text(path, "old")

    def write_half() -> None:
        with replace_file(path) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    with pytest.raises(ValueError, match="nan at b"):
        write_json(path, {"b": math.nan})
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["n" * 250, "視" * 80 + ".json", "n" + "é" * 120], ids=["ascii", "three", "two"])
def test_a_very_long_name_can_be_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with file_lock(path):
        write_text(path, "x")
    append_json_line(path, 1, shared=True)
    assert path.read_text().endswith("1\n")


@pytest.mark.parametrize("name", [".", "..", "/", "x/.."])
def test_what_ends_in_no_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path / "x")
    for write in (file_lock, replace_file):
        with pytest.raises(InvalidSetting, match="is not the name of a file or folder to write"), write(name):
            pass
    assert [path.name for path in tmp_path.rglob("*")] == ["x"]


def test_errors_of_writing_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        write_text(tmp_path / "none" / "x", "x")
    assert str(caught.value.filename) == str(tmp_path / "none" / "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"folder'$") as other:
        write_text(tmp_path / "folder", "x")
    assert ".partial" not in str(other.value)


@given(st.lists(JSON, max_size=5))
def test_lines_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, values: list[Any]) -> None:
    path = tmp_path_factory.mktemp("lines") / "x.jsonl"
    with JsonLinesWriter(path) as lines:
        for value in values:
            lines.write(value)
    assert [value for _, value in read_json_lines(path)] == values
    assert path.read_bytes().count(b"\n") == len(values)


@pytest.mark.parametrize("text", [LINE_ENDS, "\ud800", "\udfff\x85"])
def test_no_text_breaks_a_line(tmp_path: Path, text: str) -> None:
    line = json_line({"text": text})
    assert line.splitlines() == [line]
    line.encode()
    append_json_line(tmp_path / "x.jsonl", {"text": text})
    append_json_line(tmp_path / "x.jsonl", 2)
    assert list(read_json_lines(tmp_path / "x.jsonl")) == [(1, {"text": text}), (2, 2)]


def test_a_torn_line_is_dropped_before_more_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1}\n{"b": ')
    with JsonLinesWriter(path) as lines:
        assert lines.dropped
        lines.write({"c": 3})
    assert path.read_bytes() == b'{"a": 1}\n{"c":3}\n'
    assert not drop_torn_line(path)
    path.write_bytes(b"x" * 200_000)
    assert drop_torn_line(path)
    assert path.read_bytes() == b""
    assert not drop_torn_line(tmp_path / "none")


@pytest.mark.parametrize("line", [b'{"b": "\xc3\xa9"}', b"[1, [2]]", b'\xef\xbb\xbf {"b": 2}\r'])
def test_a_line_that_lacks_nothing_but_its_end_is_kept(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(line)
    before = list(read_json_lines(path))
    append_json_line(path, {"c": 3})
    assert list(read_json_lines(path)) == [*before, (2, {"c": 3})]
    # A number may be the beginning of another one.
    path.write_bytes(b'{"a": 1}\n12')
    assert drop_torn_line(path)
    assert path.read_bytes() == b'{"a": 1}\n'


def test_a_new_file_forgets_the_old_one(tmp_path: Path) -> None:
    append_json_line(tmp_path / "deep" / "x.jsonl", 1)
    with JsonLinesWriter(tmp_path / "deep" / "x.jsonl", new=True) as lines:
        lines.write(2)
    assert list(read_json_lines(tmp_path / "deep" / "x.jsonl")) == [(1, 2)]


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the sizes of files")
def test_a_line_that_found_no_space_is_taken_back(tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from vzgym.core.files import JsonLinesWriter, is_disk_full, write_json
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
with JsonLinesWriter("x.jsonl") as lines:
    lines.write("a" * 60)
    try:
        lines.write("b" * 60)
    except OSError as error:
        print(error.filename, is_disk_full(error))
try:
    write_json("big.json", "c" * 200)
except OSError as error:
    print(error.filename, is_disk_full(error), sorted(file.name for file in Path().iterdir()))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["x.jsonl True", "big.json True ['x.jsonl']"]
    assert list(read_json_lines(tmp_path / "x.jsonl")) == [(1, "a" * 60)]


def test_processes_that_share_a_file_lose_no_line(tmp_path: Path) -> None:
    program = (
        "import sys; from vzgym.core.files import append_json_line\n"
        "for i in range(60): append_json_line('x.jsonl', [sys.argv[1], i, 'x' * 9000], shared=True)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, name], cwd=tmp_path) for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    found = [(name, index) for _, (name, index, _) in read_json_lines(tmp_path / "x.jsonl")]
    assert sorted(found) == [(name, index) for name in "ab" for index in range(60)]


# Reading -------------------------------------------------------------------------------------------------------


def test_a_byte_order_mark_blank_lines_and_carriage_returns_are_let_pass(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\n  \n2')
    assert list(read_json_lines(path)) == [(1, {"a": 1}), (4, 2)]
    path.write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(path) == [1]


def test_a_torn_last_line_is_refused_or_skipped(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'1\n{"a": ')
    with pytest.raises(RecordError, match=r"x\.jsonl, line 2: not JSON: .* \(the last line is incomplete"):
        list(read_json_lines(path))
    assert list(read_json_lines(path, torn="skip")) == [(1, 1)]
    path.write_bytes(b'{"a": \n1\n')
    with pytest.raises(RecordError, match=r"x\.jsonl, line 1: not JSON"):
        list(read_json_lines(path, torn="skip"))
    path.write_bytes(b'1\n{"a": \n2\nNaN\n\n3\n{"a": ')
    broken: list[str] = []
    assert list(read_json_lines(path, broken=broken)) == [(1, 1), (3, 2), (6, 3)]
    assert [re.sub(r".*(line \d+): .*", r"\1", fault) for fault in broken] == ["line 2", "line 4", "line 7"]
    assert "the last line is incomplete" in broken[-1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "not JSON: .* at column 2"),
        (b"\xff\xfe", "not UTF-8 text: invalid start byte at byte 0"),
        (b"[" * 100_000, "nested more than 64 levels deep"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested more than 64 levels deep"),
        (b"[" * 200 + b"]" * 200, "nested more than 64 levels deep"),
        (b"9" * 5000, "not readable: Exceeds the limit"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b"[-Infinity]", "-Infinity is no JSON number"),
        (b"[1e999]", "the number 1e999 is too large"),
        (b'{"a": -%d.5}' % 10**400, "the number -10{38} is too large"),
        (b"", "not JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("error", [RecordError, TaskError])
def test_what_is_no_json_is_named_with_its_place(
    tmp_path: Path, text: bytes, reason: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match=f"x, line 3: .*{reason}"):
        parse_json(text, "x, line 3", error)
    if text:
        (tmp_path / "x.jsonl").write_bytes(b"1\n" + text + b"\n")
        with pytest.raises(error, match=f"line 2: .*{reason}"):
            list(read_json_lines(tmp_path / "x.jsonl", error))


def test_brackets_within_strings_are_no_depth() -> None:
    value = {"a": "[" * 500, "b": nested(MAX_DEPTH - 1)}
    assert parse_json(json.dumps(value), "x") == value
    with pytest.raises(RecordError):
        parse_json(json.dumps(nested(MAX_DEPTH + 1)), "x")


@pytest.mark.parametrize("name", ["none.json", "n" * 5000, "a\0b", "."], ids=["gone", "long", "null", "folder"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(TaskError, match="cannot read "):
        read_json(tmp_path / name, TaskError)
    with pytest.raises(TaskError, match="cannot read "):
        list(read_json_lines(tmp_path / name, TaskError))
    assert not is_file(tmp_path / name)


@given(JSON)
def test_json_values_have_no_fault(value: Any) -> None:
    assert json_fault(value) is None
    json_line(value)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"a": [1, math.nan]}, "nan at a[1]"),
        ([math.inf], "inf at [0]"),
        ({"a": {"b": object()}}, "a object at a.b"),
        ({"a": {1: 2}}, "a key that is no text, 1, at a"),
        ({1: 2}, "a key that is no text, 1, in it"),
        ({"a": b"x"}, "a bytes at a"),
        ({"a": {1, 2}}, "a set at a"),
        ([10**6000], "an integer of 19932 bits at [0]"),
        (nested(MAX_DEPTH + 1), "values nested more than 64 levels deep"),
        (nested(50_000), "values nested more than 64 levels deep"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_json_has_no_form_for_is_named_with_its_place(value: Any, fault: str) -> None:
    assert json_fault(value) == fault


@pytest.mark.parametrize(
    "value",
    [
        {"a": [math.nan]},
        [{1, 2}],
        [10**6000],
        nested(MAX_DEPTH + 1),
        nested(50_000),
        {"a": ({1: 2},)},
        {None: 3},
        {True: 1},
        {(1, 2): 3},
    ],
    ids=["nan", "set", "integer", "deep", "bottomless", "number", "none", "truth", "tuple"],
)
def test_writing_says_what_has_no_form(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        json_line(value)
    assert str(caught.value) == json_fault(value)
    with pytest.raises(ValueError, match=r"."):
        append_json_line(tmp_path / "x.jsonl", value)
    assert (tmp_path / "x.jsonl").read_bytes() == b""


# Folders -------------------------------------------------------------------------------------------------------


def test_a_second_writer_is_refused_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with folder_lock(out) as held:
        assert held == out
        with pytest.raises(FolderInUse, match="run is being written by another process"), folder_lock(out):
            pass
        program = f"from vzgym.core.files import folder_lock\nwith folder_lock({str(out)!r}): pass"
        other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert "FolderInUse" in other.stderr
    with folder_lock(out):
        pass


def test_a_folder_made_for_nothing_is_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyError), folder_lock(tmp_path / "a" / "b"):
        raise KeyError
    assert not (tmp_path / "a").exists()
    with folder_lock(tmp_path / "a" / "b") as folder:
        write_text(folder / "x", "x")
    assert (tmp_path / "a" / "b" / "x").exists()
    with folder_lock(tmp_path / "removed") as folder:
        shutil.rmtree(folder)
    (tmp_path / "old").mkdir()
    with folder_lock(tmp_path / "old"):
        pass
    assert (tmp_path / "old").exists()


def test_a_file_is_held_like_a_folder(tmp_path: Path) -> None:
    with file_lock(tmp_path / "new" / "x.jsonl"):
        with pytest.raises(FolderInUse, match=r"x\.jsonl is being written"), file_lock(tmp_path / "new" / "x.jsonl"):
            pass
        with file_lock(tmp_path / "new" / "y.jsonl"):
            pass


def test_a_lock_ends_with_its_process_and_leftovers_are_cleared(tmp_path: Path) -> None:
    program = (
        "import os; from vzgym.core.files import folder_lock, replace_file\n"
        "with folder_lock('run'), replace_file('run/x.json') as partial:\n"
        "    partial.write_text('half'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False)
    left = list((tmp_path / "run").iterdir())
    assert len(left) == 2
    assert all(map(is_leftover, left))
    assert not is_leftover(tmp_path / "x.json")
    with folder_lock(tmp_path / "run"):
        assert [file.name for file in (tmp_path / "run").iterdir()] == [".lock"]


def test_a_full_disk_is_known_whoever_met_it() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert is_disk_full(full)
    assert is_disk_full(OSError(errno.EDQUOT, "quota"))
    assert is_disk_full(RuntimeError("cannot write: No space left on device (os error 28)"))
    wrapped = RecordError("cannot write")
    wrapped.__cause__ = full
    assert is_disk_full(wrapped)
    assert not is_disk_full(OSError(errno.EACCES, "denied"))
    assert not is_disk_full(ValueError("x"))


def test_core_imports_no_lock_until_one_is_needed() -> None:
    program = "import sys, vzgym.core.files; assert 'filelock' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert files.__doc__


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("made/sftt", "there is no such folder; did you mean 'made/sft'? Give a folder"),
        ("./sft", "there is no such folder; give a folder with a config.json, or a name on the Hugging Face hub"),
        ("/nowhere/at/all", "there is no such folder"),
        ("runs/sft", "there is no such folder"),
        ("~/models/sft", "there is no such folder"),
        ("a/b/c", "there is no such folder"),
        ("made", "no model in the folder 'made': it has no config.json and no adapter_config.json; there is one in"),
        ("made/note.txt", "it is a file"),
        ("x" * 5000 + "/y/z", "there is no such folder"),
    ],
)
def test_a_path_without_a_model_is_no_name_on_a_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("made/sft").mkdir(parents=True)
    Path("made/sft/config.json").write_text("{}")
    Path("made/note.txt").write_text("x")
    with pytest.raises(InvalidSetting) as raised:
        check_model_path(path)
    assert words in str(raised.value)
    for fine in ("Qwen/Qwen3-VL-4B-Instruct", "gpt2", "made/sft", tmp_path / "made" / "sft"):
        check_model_path(fine)
