"""Play in a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from vzgym.cli import app
from vzgym.core.actions import Answer, Region, Zoom
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.evaluation import read_records
from vzgym.evaluation.play import PlayStopped, play
from vzgym.evaluation.play.half_blocks import contact_sheet, draw, fit
from vzgym.evaluation.play.terminal import TerminalPlayer, most_fps, read_time
from vzgym.tasks import load_tasks
from vzgym.tasks.subtitles.subtitle import Subtitle

TASKS = load_tasks("needle-micro", split="test")


class Terminal:
    """A terminal whose lines are given."""

    def __init__(self, lines: list[str], true_color: bool = True) -> None:
        self.lines = lines
        self.text = ""
        self.pictures: list[str] = []
        self.player = TerminalPlayer(self.read, self.write, self.pictures.append, lambda: 80, true_color=true_color)

    def read(self, prompt: str) -> str:
        self.text += prompt
        if not self.lines:
            raise EOFError
        return self.lines.pop(0)

    def write(self, text: str) -> None:
        self.text += text + "\n"


def run(terminal: Terminal, out: Path, **options: Any) -> Any:
    return play(terminal.player, TASKS, out, interface="terminal", **{"episodes": 1, **options})


def test_an_episode_is_played_by_commands(tmp_path: Path) -> None:
    terminal = Terminal(["", "zoom 1 2", "z 0:03 4 2", "zoom 1 2", "b", ""])
    report = run(terminal, tmp_path, feedback=True)
    (record,) = read_records(tmp_path)
    assert [turn.action for turn in record.turns] == [Zoom(1.0, 2.0, 6.0), Zoom(3.0, 4.0, 2.0), Answer("B")]
    assert "zoom START END [FPS]" in terminal.text  # the empty line asks for help
    assert "This is the last round" in terminal.text
    assert "Clip 2: 3.00 to 4.00 s at 2 fps, 2 frames" in terminal.text
    assert ("Right." if report.accuracy.value else f"The answer was {TASKS[0].answer}.") in terminal.text
    assert f"The evidence was at {record.task.evidence[0].start:.2f} to" in terminal.text
    assert "A. " in terminal.text
    assert any("\x1b[38;2;" in line for line in terminal.pictures)


def test_mistakes_cost_no_round(tmp_path: Path) -> None:
    wrong = ["zoom 5 4", "zoom 1 500", "zoom a b", "zoom 1", "zoom 1 2 3 4", "zoom 0 9 10", "what", "frame 99"]
    shown = ["frame 7", "frame 0 1 2", "show 3", "show", "frame x", "frame 0 3"]
    lines = [*wrong, *shown, "answer", "answer two words", ""]
    terminal = Terminal(lines)
    run(terminal, tmp_path)
    (record,) = read_records(tmp_path)
    assert [turn.action for turn in record.turns] == [Answer("two words")]
    assert terminal.text.count("Not sent, since it would be refused") == 3
    assert "No such command: what" in terminal.text
    assert "Clip 0 has the frames 0 to 7." in terminal.text
    assert "The clips are 0 to 0." in terminal.text


def test_subtitles_are_written_with_their_times(hostile_task: Any, tmp_path: Path) -> None:
    lines = (Subtitle(1.0, 2.0, "first"), Subtitle(19.5, 19.9, "last"))
    task = replace(hostile_task, subtitles=lines, show_subtitles=True)
    terminal = Terminal(["zoom 0 20 0.5", "answer two", ""])
    play(terminal.player, load_tasks([task]), tmp_path, interface="terminal", episodes=1)
    assert "  1.00 to 2.00 s: first\n  19.50 to 19.90 s: last\n" in terminal.text


def test_a_spatial_budget_takes_a_region_and_quit_keeps_the_run(tmp_path: Path) -> None:
    terminal = Terminal(["help", "zoom 1 2 3 0 0 .5 .5", "quit"])
    with pytest.raises(PlayStopped):
        run(terminal, tmp_path, budget={"spatial": True})
    assert "LEFT TOP RIGHT BOTTOM" in terminal.text
    with pytest.raises(PlayStopped):
        run(Terminal([]), tmp_path, budget={"spatial": True})
    again = Terminal(["a", ""])
    run(again, tmp_path, budget={"spatial": True})
    (record,) = read_records(tmp_path)
    assert record.turns[0].action == Zoom(1.0, 2.0, 3.0, Region(0.0, 0.0, 0.5, 0.5))


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90.0), ("1:30", 90.0), ("1:02:30.5", 3750.5), (".5", 0.5), ("-1", None), ("1e3", None), ("nan", None)],
)
def test_times_are_seconds_or_clock_times(text: str, value: float | None) -> None:
    assert read_time(text) == value


@pytest.mark.parametrize("length", [0.01, 0.5, 1.0, 2.7, 30.0, 999.0])
def test_the_default_rate_fills_the_clip(length: float) -> None:
    budget = Budget()
    fps = most_fps(length, budget)
    count = Zoom(0.0, length, fps).num_frames
    assert count <= budget.clip_frames
    assert fps == budget.max_fps or count == budget.clip_frames
    assert most_fps(0.0, budget) == budget.max_fps


def colors_of(line: str) -> list[tuple[str, str]]:
    return re.findall(r"\x1b\[38;([0-9;]+?);48;([0-9;]+)m", line)


def test_a_cell_has_the_colours_of_its_two_pixels() -> None:
    pixels = np.zeros((2, 3, 3), dtype=np.uint8)
    pixels[0, 0], pixels[1, 0] = (255, 0, 0), (0, 0, 255)
    (line,) = draw(pixels, (2, 3), true_color=True)
    assert colors_of(line) == [("2;255;0;0", "2;0;0;255"), ("2;0;0;0", "2;0;0;0")]
    assert line.count("\u2580") == 3  # the two black cells share their colors
    assert line.endswith("\x1b[0m")
    (line,) = draw(pixels, (2, 3), true_color=False)
    assert colors_of(line)[0] == ("5;196", "5;21")


def test_greys_use_the_grey_ramp_of_256_colours() -> None:
    pixels = np.full((2, 1, 3), 118, dtype=np.uint8)
    (line,) = draw(pixels, (2, 1), true_color=False)
    assert colors_of(line) == [("5;243", "5;243")]


@pytest.mark.parametrize("shape", [(144, 256), (256, 144), (64, 64), (1, 1000), (1000, 1)])
def test_pictures_fit_and_keep_their_shape(shape: tuple[int, int]) -> None:
    tall, wide = fit(*shape, 60, 20)
    assert tall % 2 == 0
    assert 1 <= wide <= 60
    assert 2 <= tall <= 40
    if min(shape) > 1:
        assert wide / tall == pytest.approx(shape[1] / shape[0], rel=0.1)


def test_a_contact_sheet_fits_the_terminal() -> None:
    frames = [np.full((36, 64, 3), 10 * number, dtype=np.uint8) for number in range(7)]
    captions = [f"{number} s" for number in range(7)]
    for columns in (20, 80, 200):
        lines = contact_sheet(frames, captions, columns, 30, true_color=True)
        plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
        assert max(map(len, plain)) <= columns
        assert all(caption in "".join(plain) for caption in captions)
    assert contact_sheet([], [], 80, 30, true_color=True) == []


def test_the_command_needs_a_terminal_with_colours(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["play", "--terminal", "--tasks", "needle-micro", "--out", str(tmp_path)])
    assert isinstance(result.exception, InvalidSetting)
    assert "--terminal needs a terminal" in str(result.exception)


def in_terminal(*arguments: str, environment: dict[str, str], keys: Sequence[bytes] = ()) -> tuple[str, int]:
    """Run the command in a pseudo terminal; the keys of each entry are pressed at the next question's prompt."""
    controller, terminal = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl+C reaches the command

    process = subprocess.Popen(
        [sys.executable, "-m", "vzgym", *arguments], stdin=terminal, stdout=terminal, stderr=terminal, close_fds=True,
        env={**os.environ, **environment}, preexec_fn=take_terminal,
    )  # fmt: skip
    os.close(terminal)
    text, pressed, end = b"", 0, time.monotonic() + 500
    while time.monotonic() < end:
        if select.select([controller], [], [], 0.2)[0]:
            try:
                text += os.read(controller, 65536)
            except OSError:
                break
        elif process.poll() is not None:
            break
        # Only in a pause: Ctrl+C between the prompt and the wait for a line would be noticed at the next key.
        elif pressed < len(keys) and text.count(b"Zooms left") > pressed and text.endswith(b"\n> "):
            os.write(controller, keys[pressed])
            pressed += 1
    os.close(controller)
    return text.decode(errors="replace"), process.wait(30)


def test_in_a_real_terminal_ctrl_c_keeps_what_was_played(tmp_path: Path) -> None:
    arguments = ["play", "--terminal", "--tasks", "needle-micro", "--episodes", "2", "--out", str(tmp_path)]

    # An answer and on to the next question, then Ctrl+C there.
    text, status = in_terminal(
        *arguments, environment={"TERM": "xterm-256color", "COLORTERM": ""}, keys=(b"a\n\n", b"\x03")
    )
    assert status == 0, text[-2000:]
    assert "\x1b[38;5;" in text
    assert "1 of 2 episodes are recorded" in text
    assert "Traceback" not in text
    assert len(list(read_records(next(tmp_path.iterdir())))) == 1
    text, status = in_terminal(*arguments, environment={"TERM": "dumb", "NO_COLOR": "1"})
    assert status == 1
    assert "InvalidSetting: this terminal shows no pictures: it needs 256 or 24-bit colors (NO_COLOR is set)" in text
