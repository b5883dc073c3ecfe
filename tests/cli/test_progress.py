"""Progress in a terminal and in a log file."""

from __future__ import annotations

import io

import pytest

from vzgym.cli import progress
from vzgym.cli.progress import SafeConsole, progress_bar


class Log:
    """What a command prints on stderr, and its clock in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> None:
        self.written, self.now = io.StringIO(), 0.0
        console = SafeConsole(file=self.written, force_terminal=terminal, width=200, get_time=lambda: self.now)
        monkeypatch.setattr(progress, "errors", console)

    @property
    def lines(self) -> list[str]:
        return self.written.getvalue().splitlines()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    return Log(monkeypatch, terminal=False)


def test_a_log_file_gets_a_line_every_half_minute(log: Log) -> None:
    with progress_bar() as bar:
        job = bar.add_task("collect", total=100)
        for log.now in (10.0, 29.0):
            bar.advance(job, 10)
        assert log.lines == []
        log.now = 31.0
        bar.update(job, completed=40, description="collect [red]")
        assert len(log.lines) == 1
        assert log.lines[0].startswith("collect [red] 40/100, 0:00:31, 0:00:")
        assert log.lines[0].endswith(" left")
        log.now = 60.0
        bar.advance(job, 10)
        assert len(log.lines) == 1
        log.now = 61.0
        bar.advance(job, 10)
        assert len(log.lines) == 2
        assert log.lines[1].startswith("collect [red] 60/100, 0:01:01")


def test_a_finished_task_is_not_reported_again(log: Log) -> None:
    with progress_bar() as bar:
        first, second = bar.add_task("first", total=2), bar.add_task("second", total=None)
        bar.update(first, completed=2)
        log.now = 40.0
        bar.advance(second, 3)
        assert log.lines == ["second 3, 0:00:40"]


def test_commands_that_print_their_own_lines_get_no_others(log: Log) -> None:
    with progress_bar(report=False) as bar:
        job = bar.add_task("sft", total=10)
        log.now = 40.0
        bar.advance(job)
        assert log.lines == []


def test_a_terminal_gets_the_bar_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(monkeypatch, terminal=True)
    with progress_bar() as bar:
        job = bar.add_task("collect", total=10)
        log.now = 40.0
        bar.advance(job)
    assert "1/10" in log.written.getvalue()
    assert "1/10, 0:00:40" not in log.written.getvalue()
