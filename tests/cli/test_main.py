"""The command as a whole: help, and errors as one line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

import vzgym
from vzgym.cli import COMMANDS, main
from vzgym.tasks.procedural.render.encode import encode_video
from vzgym.video import ArrayVideo

Run = Callable[..., Result]


def called(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """Run the command as the shell does; returns its exit status."""
    monkeypatch.setattr(sys, "argv", ["vzgym", *arguments])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["eval", "--policy", "nobody"],
            "UnknownName: unknown policy 'nobody'; valid: aks,",
        ),
        (["replay", "gone"], "RecordError: gone: no such file of episode records"),
        # Brackets are no markup, and a long line is not broken.
        (
            ["eval", "--tasks", "[red]" + "long/" * 30 + "gone.jsonl"],
            "TaskError: cannot read [red]" + "long/" * 30 + "gone.jsonl: No such file",
        ),
    ],
)
def test_a_named_error_is_one_line_on_stderr(
    arguments: list[str], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(arguments, monkeypatch) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = [text for text in printed.err.splitlines() if text.strip()]
    assert len(lines) == 1
    assert lines[0].startswith(line)


def test_each_fault_of_settings_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trial.yaml"
    path.write_text("tasks: needle-micro\nseeds: two\nlearners: {a: {kind: policy, polcy: blind}}\n", encoding="utf-8")
    assert called(["ablate", str(path)], monkeypatch) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"InvalidSetting: {path}:3: learners.a has no setting 'polcy'")
    assert lines[1].startswith(f"{path}:2: seeds must be a whole number")


def test_a_message_of_several_lines_becomes_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(["eval", "--policy", "no\nbody"], monkeypatch) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_mistyped_option_is_the_shells_usual_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(["eval", "--polcy", "blind"], monkeypatch) == 2
    assert "--polcy" in capsys.readouterr().err


def test_other_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["vzgym", "eval", "--policy", "blind", "--episodes", "1"])
    monkeypatch.setattr(sys, "path", [*sys.path])

    def broken(*arguments: object, **settings: object) -> None:
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr("vzgym.evaluation.evaluate", broken)
    with pytest.raises(ZeroDivisionError, match="a bug of ours"):
        main()


@pytest.mark.parametrize(
    "arguments",
    [
        ["tasks", "write", "--tasks", "1", "--out", "taken"],
        ["collect", "--episodes", "1", "--out", "taken"],
        ["tasks", "show", "needle-tiny/test/0", "--out", "taken/sheet.png"],
        ["videos", "store", "some.mp4", "--root", "taken"],
        ["data", "import-rl", "rows.jsonl", "--videos", ".", "--out", "taken/rows.jsonl"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_written_is_one_line_that_names_it(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    encode_video(ArrayVideo(np.zeros((8, 32, 32, 3), dtype=np.uint8), 4.0), tmp_path / "some.mp4")
    (tmp_path / "taken").write_text("a file, where a folder is to go")
    rows = {
        "doc_id": 7,
        "problem": "<video>How many?",
        "solution": "3",
        "videos": ["some.mp4"],
        "data_source": "mine",
        "extra_info": {"answer_type": "open_ended"},
    }
    (tmp_path / "rows.jsonl").write_text(json.dumps(rows))
    monkeypatch.chdir(tmp_path)
    assert called(arguments, monkeypatch) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"\w+Error: cannot write or read (taken)(/\S+)?: (File exists|(Not|Is) a directory)", last)


def test_an_error_of_the_system_that_names_no_file_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **settings: object) -> None:
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr("vzgym.evaluation.evaluate", broken)
    monkeypatch.setattr(sys, "argv", ["vzgym", "eval", "--policy", "blind", "--episodes", "1"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(ConnectionResetError, match="reset by peer"):
        main()


@pytest.mark.parametrize(("name", "fault"), [("sheet.xyz", "ends in '.xyz'"), ("sheet", "has no suffix")])
def test_a_picture_of_no_known_kind_is_refused_before_it_is_drawn(
    name: str,
    fault: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / name
    assert called(["tasks", "show", "needle-tiny/test/0", "--out", str(out)], monkeypatch) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    wanted = f"InvalidSetting: --out must name an image file, such as sheet.png or sheet.jpg; {str(out)!r} {fault}"
    assert printed.err.strip() == wanted


def test_brackets_in_paths_are_no_markup(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wrote = run("tasks", "write", "--tasks", 1, "--out", "[old] a[/b] set")
    assert wrote.stdout.splitlines()[-1] == "1 tasks in [old] a[/b] set/tasks.jsonl"
    drew = run("tasks", "show", "needle-tiny/test/0", "--out", "[old] sheet.png")
    assert drew.stdout.splitlines()[-1] == "saved [old] sheet.png"
    # A bar's description holds what was typed.
    tasks = "[old] a[/b] set/tasks.jsonl"
    played = run("eval", "--policy", "{name: uniform, frames: 4} # [/b]", "--tasks", tasks)
    assert played.exit_code == 0, played.exception
    assert run("collect", "--tasks", tasks, "--episodes", 1, "--out", "data").exit_code == 0


def test_the_working_folder_is_searched_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["vzgym", "--help"])
    monkeypatch.setattr(sys, "path", before := [*sys.path])
    wanted = [*before]
    with pytest.raises(SystemExit):
        main()
    assert sys.path[: len(wanted)] == wanted


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_every_command_and_each_has_its_own(command: str, run: Run) -> None:
    found = run("--help")
    assert found.exit_code == 0
    assert f" {command} " in found.stdout
    own = run(command, "--help")
    assert own.exit_code == 0
    assert "--install-completion" not in own.stdout
    assert len(own.stdout.splitlines()) > 5


def test_each_command_takes_one_line_of_the_help(run: Run) -> None:
    lines = run("--help").stdout.partition("Commands")[2].splitlines()[1:]
    assert [line.split()[0] for line in lines if line.strip()] == list(COMMANDS)


def test_a_mistyped_command_gets_a_suggestion(run: Run) -> None:
    found = run("evl")
    assert found.exit_code == 2
    assert "Did you mean 'eval'?" in found.output


def test_the_version(run: Run) -> None:
    assert run("--version").stdout == f"vzgym {vzgym.__version__}\n"


def test_control_characters_of_names_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    from vzgym.cli.progress import SafeConsole, say

    console = SafeConsole(force_terminal=True, color_system=None, width=60)
    table = Table("name")
    table.add_row("evil\x1b]0;title\x07\u202e")
    console.print(table)
    say("also\x1b[2J", console)
    printed = capsys.readouterr().out
    assert "\x1b]0" not in printed
    assert "\x1b[2J" not in printed
    assert r"evil\x1b]0;title\x07\u202e" in printed  # whole: widths are measured after escaping
    assert r"also\x1b[2J" in printed
