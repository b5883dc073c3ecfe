"""The command as a whole: help, and errors as one line."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from typer.testing import Result

from vzgym.cli import main

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
            "UnknownName: unknown policy 'nobody'; valid: blind,",
        ),
        (["replay", "gone"], "RecordError: gone: no such file of episode records"),
        # Brackets are no markup, and a long line is not broken.
        (
            ["eval", "--tasks", "[red]" + "long/" * 30 + "gone.jsonl"],
            "TaskError: cannot read tasks from [red]" + "long/" * 30 + "gone.jsonl: No such file",
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

    monkeypatch.setattr("vzgym.cli.evaluate.evaluate", broken)
    with pytest.raises(ZeroDivisionError, match="a bug of ours"):
        main()


def test_the_working_folder_is_searched_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["vzgym", "--help"])
    monkeypatch.setattr(sys, "path", before := [*sys.path])
    wanted = [*before]
    with pytest.raises(SystemExit):
        main()
    assert sys.path[: len(wanted)] == wanted


def test_help_names_every_command(run: Run) -> None:
    found = run("--help")
    assert found.exit_code == 0
    for command in ("demo", "eval", "replay", "doctor", "tasks", "videos"):
        assert f" {command} " in found.stdout
        assert run(command, "--help").exit_code == 0
