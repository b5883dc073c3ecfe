"""Runs that are stopped, and go on: the records are those of a run that was never stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vzgym import Answer
from vzgym.core.errors import FolderInUse, InvalidSetting, RecordError
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.runs import count_records
from vzgym.evaluation import RunFolder, evaluate, read_records
from vzgym.tasks import VideoTask, load_tasks
from vzgym.tasks.io.writing import write_tasks
from vzgym.tasks.procedural.render.encode import encode_video
from vzgym.video.synthetic import ArrayVideo

Facts = Callable[[EpisodeRecord], dict[str, Any]]

EPISODES = 9


class Stopped(Exception):
    """Stands for Ctrl-C, a full disk, a machine that was taken away."""


def stop_after(count: int) -> Callable[[EpisodeRecord], None]:
    def on_episode(record: EpisodeRecord) -> None:
        if record.info.index == count - 1:
            raise Stopped

    return on_episode


def run(out: Path, **settings: Any) -> list[int]:
    """Play, or go on; returns the indices that were played now."""
    seen: list[int] = []
    everything = {"policy": "random", "tasks": "tiny", "episodes": EPISODES, "seed": 5, **settings}
    evaluate(**everything, out=out, on_episode=lambda record: seen.append(record.info.index))
    return seen


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped. Not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert run(folder) == list(range(EPISODES))
    return folder


@pytest.fixture
def same(whole: Path, facts: Facts) -> Callable[[Path], None]:
    """Checks that a folder holds the records and the report of the run that was never stopped."""

    def check(folder: Path) -> None:
        records = [[facts(record) for record in read_records(path)] for path in (folder, whole)]
        assert records[0] == records[1]
        reports = [json.loads((path / "report.json").read_text()) for path in (folder, whole)]
        for report in reports:
            for costs in (report["totals"], report["quantiles"], report["metrics"], *report["by"]["category"].values()):
                for name in [name for name in costs if name.endswith("_seconds")]:
                    del costs[name]
        assert reports[0] == reports[1]

    return check


def stopped_run(out: Path, after: int) -> None:
    with pytest.raises(Stopped):
        evaluate("random", "tiny", episodes=EPISODES, seed=5, out=out, on_episode=stop_after(after))


def test_a_stopped_run_goes_on(tmp_path: Path, same: Callable[[Path], None]) -> None:
    stopped_run(tmp_path, 4)
    assert len(list(read_records(tmp_path))) == 4
    assert not (tmp_path / "report.json").exists()
    assert run(tmp_path) == [4, 5, 6, 7, 8]
    same(tmp_path)


def test_a_run_may_be_stopped_often(tmp_path: Path, same: Callable[[Path], None]) -> None:
    for after in (1, 2, 6):
        stopped_run(tmp_path, after)
    assert run(tmp_path) == [6, 7, 8]
    same(tmp_path)


def test_a_finished_run_plays_nothing_and_reports_again(tmp_path: Path, same: Callable[[Path], None]) -> None:
    run(tmp_path)
    before = (tmp_path / "records.jsonl").read_bytes()
    (tmp_path / "report.json").unlink()
    assert run(tmp_path) == []
    assert (tmp_path / "records.jsonl").read_bytes() == before
    same(tmp_path)


@pytest.mark.parametrize("cut", [1, 2, 40, 2000])
def test_a_torn_last_line_is_played_again(tmp_path: Path, same: Callable[[Path], None], cut: int) -> None:
    stopped_run(tmp_path, 4)
    file = tmp_path / "records.jsonl"
    file.write_bytes(file.read_bytes()[:-cut])
    # A record that lacks only the end of its line is whole.
    assert count_records(tmp_path) == (4 if cut == 1 else 3)
    assert run(tmp_path) == list(range(4 if cut == 1 else 3, EPISODES))
    same(tmp_path)


def test_who_reads_a_torn_line_is_told_where(tmp_path: Path) -> None:
    run(tmp_path, episodes=2)
    file = tmp_path / "records.jsonl"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(RecordError, match=r"records.jsonl, line 2: not JSON"):
        list(read_records(tmp_path))


def test_a_line_torn_within_a_character(tmp_path: Path, make_task: Callable[..., VideoTask]) -> None:
    tasks = [make_task("one", question="Où est l'été ?"), make_task("two", question="Où est l'été ?")]
    evaluate("blind", tasks, out=tmp_path)
    file = tmp_path / "records.jsonl"
    data = file.read_bytes()
    file.write_bytes(data[: data.rfind("é".encode()) + 1])
    with pytest.raises(RecordError, match=r"records.jsonl, line 2: not UTF-8 text"):
        list(read_records(tmp_path))
    report = evaluate("blind", tasks, out=tmp_path)
    assert len(report.episodes) == 2
    assert file.read_bytes().count(b"\n") == 2


def test_a_killed_process_leaves_a_run_that_goes_on(tmp_path: Path, same: Callable[[Path], None]) -> None:
    code = (
        "import sys; from vzgym.evaluation import evaluate\n"
        f"evaluate('random', 'tiny', episodes={EPISODES}, seed=5, out=sys.argv[1],\n"
        "         on_episode=lambda record: (print(record.info.index, flush=True), sys.stdin.readline()))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for index in range(3):
            assert process.stdout.readline() == f"{index}\n"
            if index < 2:
                process.stdin.write("go on\n")
                process.stdin.flush()
        os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        process.wait()
    assert run(tmp_path) == [3, 4, 5, 6, 7, 8]
    same(tmp_path)


def test_more_episodes_continue_a_run(tmp_path: Path, same: Callable[[Path], None]) -> None:
    assert run(tmp_path, episodes=4) == [0, 1, 2, 3]
    assert run(tmp_path) == [4, 5, 6, 7, 8]
    same(tmp_path)


def test_fewer_episodes_report_on_the_first_ones(tmp_path: Path) -> None:
    run(tmp_path)
    report = evaluate("random", "tiny", episodes=3, seed=5, out=tmp_path)
    assert [item.task_id for item in report.episodes] == [f"tiny/test/{index}" for index in range(3)]
    assert len(list(read_records(tmp_path))) == EPISODES


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"policy": "sliding"}, "its policy is 'random', not 'sliding'"),
        ({"policy": {"name": "random", "reader": None}}, r"its options is \{\}, not \{'reader': None\}"),
        ({"tasks": "needle-tiny"}, "its tasks is 'tiny/test', not 'needle-tiny/test'"),
        ({"seed": 6}, "its seed is 5, not 6"),
        ({"budget": {"max_zooms": 1}}, r"its budget\.max_zooms is 3, not 1"),
        ({"reward": "accuracy"}, "its reward is 'videozoomer', not 'accuracy'"),
    ],
)
def test_another_runs_folder_is_refused_and_left_alone(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    stopped_run(tmp_path, 2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InvalidSetting, match=f"holds another run: {told}"):
        run(tmp_path, **change)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_other_tasks_of_the_same_name_are_another_run(tmp_path: Path, make_task: Callable[..., VideoTask]) -> None:
    evaluate("blind", [make_task("one"), make_task("two")], episodes=1, out=tmp_path)
    with pytest.raises(InvalidSetting, match="its task 0 is 'one', not 'other'"):
        evaluate("blind", [make_task("other"), make_task("two")], out=tmp_path)
    with pytest.raises(InvalidSetting, match=r"its question of task 0 is 'Which[?]', not 'Why[?]'"):
        evaluate("blind", [make_task("one", question="Why?"), make_task("two")], out=tmp_path)
    with pytest.raises(InvalidSetting, match=r"its answer of task 0 is 'this', not 'that'"):
        evaluate("blind", [make_task("one", answer="that"), make_task("two")], out=tmp_path)
    assert len(evaluate("blind", [make_task("one"), make_task("two")], out=tmp_path).episodes) == 2


POLICY = """
import vzgym


class P:
    def reset(self, seed):
        pass

    def act(self, observation, info):
        return vzgym.Answer("{letter}")


class Flat:
    name, needs = "flat", frozenset()

    def score(self, record, context):
        return {value}
"""


@pytest.mark.parametrize("edited", [{"letter": "B", "value": 1.0}, {"letter": "A", "value": 0.5}])
def test_edited_code_is_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edited: dict[str, Any]) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    name = f"code_of_a_user_{edited['letter']}"
    code, out = tmp_path / f"{name}.py", tmp_path / "out"
    code.write_text(POLICY.format(letter="A", value=1.0))
    settings = {"policy": f"{name}:P", "reward": {"flat": {"module": f"{name}:Flat"}}}
    assert run(out, **settings) == list(range(EPISODES))
    assert run(out, **settings) == []
    code.write_text(POLICY.format(**edited))
    with pytest.raises(InvalidSetting, match=rf"holds another run: its source_code\.{name} is '\w+', not '\w+'"):
        run(out, **settings)


def test_objects_of_other_classes_are_another_run(tmp_path: Path) -> None:
    class A:
        name = "mine"

        def reset(self, seed: int) -> None:
            pass

        def act(self, observation: Any, info: dict[str, Any]) -> Answer:
            return Answer("A")

    class B(A):
        def act(self, observation: Any, info: dict[str, Any]) -> Answer:
            return Answer("B")

    assert run(tmp_path, policy=A()) == list(range(EPISODES))
    assert run(tmp_path, policy=A()) == []
    with pytest.raises(InvalidSetting, match=r"holds another run: its source_code"):
        run(tmp_path, policy=B())


def test_other_videos_and_evidence_are_another_run(tmp_path: Path) -> None:
    suite = load_tasks("needle-micro/test")
    first = write_tasks([suite[index] for index in range(3)], tmp_path / "first")
    rows = [json.loads(line) for line in first.read_text().splitlines()]
    run(tmp_path / "run", tasks=str(first), episodes=1)

    def other(changes: dict[str, Any]) -> str:
        """A task file of the same name beside the videos, whose first row differs."""
        (tmp_path / "first" / "other").mkdir(exist_ok=True)
        found = tmp_path / "first" / "other" / first.name
        videos = [{"video": f"../{row['video']}"} for row in rows]
        lines = [{**row, **video} for row, video in zip(rows, videos, strict=True)]
        lines[0] |= changes
        found.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return str(found)

    with pytest.raises(InvalidSetting, match=r"its evidence of task 0 is \[\[.*\]\], not \[\[1\.0, 2\.0\]\]"):
        run(tmp_path / "run", tasks=other({"evidence": [[1.0, 2.0]], "requirements": {}}), episodes=2)
    with pytest.raises(InvalidSetting, match=f"its video of task 0 is '{rows[0]['video']}', not '{rows[1]['video']}'"):
        run(tmp_path / "run", tasks=other({"video": f"../{rows[1]['video']}"}), episodes=2)
    short = ArrayVideo(np.zeros((640, 16, 16, 3), np.uint8), fps=10.0)
    encode_video(short, tmp_path / "first" / "other" / rows[0]["video"])
    with pytest.raises(InvalidSetting, match=r"its video's duration of task 0 is 96\.0, not 64\.0"):
        run(tmp_path / "run", tasks=other({"video": rows[0]["video"]}), episodes=2)
    # The file and its videos in another place are the same tasks.
    (tmp_path / "first").rename(tmp_path / "moved")
    assert run(tmp_path / "run", tasks=str(tmp_path / "moved" / first.name), episodes=2) == [1]


def test_a_run_that_finished_nothing_binds_nobody(tmp_path: Path) -> None:
    class Buggy:
        name = "random"

        def reset(self, seed: int) -> None:
            raise Stopped

        def act(self, observation: Any, info: dict[str, Any]) -> None: ...

    with pytest.raises(Stopped):
        evaluate(Buggy(), "tiny", episodes=2, seed=77, out=tmp_path)
    assert run(tmp_path, episodes=2) == [0, 1]


def test_a_reward_made_of_objects_is_known_again(tmp_path: Path) -> None:
    from vzgym.rewards.outcome import Accuracy, Format

    assert run(tmp_path, episodes=2, reward=[(Accuracy(), 0.5), Format()]) == [0, 1]
    assert run(tmp_path, episodes=3, reward=[(Accuracy(), 0.5), Format()]) == [2]
    with pytest.raises(InvalidSetting, match=r"holds another run: its reward\.accuracy is 0\.5, not"):
        run(tmp_path, episodes=3, reward=[(Accuracy(), 0.25), Format()])


def test_a_folder_that_is_none_or_broken_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("I am a file")
    with pytest.raises(InvalidSetting, match="file cannot be a run's folder"):
        run(tmp_path / "file")
    run(tmp_path / "run", episodes=1)
    (tmp_path / "run" / "run.json").write_text('{"policy": "ran')
    with pytest.raises(RecordError, match=r"run\.json: not JSON"):
        run(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text("[]")
    with pytest.raises(RecordError, match=r"run\.json: not a run's settings"):
        run(tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    with pytest.raises(InvalidSetting, match="records of an unknown run"):
        run(tmp_path / "run")


def test_a_broken_line_in_the_middle_is_no_torn_one(tmp_path: Path) -> None:
    run(tmp_path, episodes=3)
    file = tmp_path / "records.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(lines[0] + "{}\n" + lines[2])
    with pytest.raises(RecordError, match=r"records.jsonl, line 2: "):
        run(tmp_path)


def test_records_of_other_interfaces_are_no_run(tmp_path: Path) -> None:
    run(tmp_path, episodes=1)
    file = tmp_path / "records.jsonl"
    record = json.loads(file.read_text())
    del record["info"]["index"]
    file.write_text(json.dumps(record) + "\n")
    with pytest.raises(RecordError, match=r"records.jsonl, line 1: the record lacks the index of its episode"):
        run(tmp_path)


def test_reading_records(tmp_path: Path) -> None:
    run(tmp_path, episodes=2)
    assert [record.info.index for record in read_records(tmp_path)] == [0, 1]
    assert [record.info.index for record in read_records(tmp_path / "records.jsonl")] == [0, 1]
    with pytest.raises(RecordError, match="no such file of episode records"):
        list(read_records(tmp_path / "nowhere"))


def test_a_run_folder_by_itself(tmp_path: Path) -> None:
    assert count_records(tmp_path / "deep" / "run") == 0
    folder = RunFolder(tmp_path / "deep" / "run", {"policy": "mine", "episodes": 1})
    assert folder.finished == {}
    assert not folder.dropped
    records: list[EpisodeRecord] = []
    evaluate("blind", [load_tasks("tiny/test")[0]], on_episode=records.append)
    folder.add(records[0])
    # Nothing waits in a buffer: a killed process loses no finished episode.
    assert [record.task.id for record in read_records(folder.path)] == ["tiny/test/0"]
    folder.close()
    with (folder.path / "records.jsonl").open("a") as file:
        file.write('{"half')
    again = RunFolder(folder.path, {"policy": "mine", "episodes": 2})
    assert again.dropped
    assert count_records(folder.path) == 1
    assert list(again.finished) == [0]
    again.close()


# Two writers, and duplicates -----------------------------------------------------------------------------------


def test_a_second_writer_of_a_folder_is_refused(tmp_path: Path) -> None:
    def second(record: EpisodeRecord) -> None:
        with pytest.raises(FolderInUse, match="is being written by another process"):
            evaluate("random", "tiny", episodes=4, seed=5, out=tmp_path)

    evaluate("random", "tiny", episodes=3, seed=5, out=tmp_path, on_episode=second)
    assert len(list(read_records(tmp_path))) == 3
    # The folder is free again, after an end and after an error.
    with pytest.raises(InvalidSetting, match="another run"):
        run(tmp_path, seed=6)
    assert run(tmp_path, episodes=5) == [3, 4]


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_two_processes_leave_every_episode_once(tmp_path: Path) -> None:
    program = f"from vzgym import evaluate; evaluate('random', 'tiny', episodes=40, out={str(tmp_path / 'run')!r})"
    both = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert sum(process.returncode == 0 for process in both) >= 1
    for process, errors in zip(both, said, strict=True):
        if process.returncode:
            assert "FolderInUse" in errors
    assert [record.info.index for record in read_records(tmp_path / "run")] == list(range(40))


def test_an_episode_that_is_there_twice_is_refused_not_counted(tmp_path: Path) -> None:
    run(tmp_path, episodes=3)
    file = tmp_path / "records.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines, lines[1]]))
    told = r"records.jsonl, line 4: episode 1 of the run is also in line 2:"
    for read in (lambda: list(read_records(tmp_path)), lambda: run(tmp_path, episodes=5)):
        with pytest.raises(RecordError, match=told):
            read()
    # Two runs in one file are no duplicates.
    other = [line.replace('"policy":"random"', '"policy":"another"') for line in lines]
    file.write_text("".join([*lines, *other]))
    assert len(list(read_records(tmp_path))) == 6


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the sizes of files")
def test_a_full_disk_is_one_line_and_the_run_goes_on_later(tmp_path: Path, same: Callable[[Path], None]) -> None:
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)); "
        "from vzgym.cli import main; main()"
    )
    command = [
        "eval",
        "--policy",
        "random",
        "--tasks",
        "tiny",
        "--episodes",
        str(EPISODES),
        "--seed",
        "5",
        "--out",
        ".",
    ]
    done = subprocess.run([sys.executable, "-c", limited, *command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "DiskFull" in line]
    assert re.search(r"DiskFull: cannot write .*records.jsonl: File too large. Free some space and run the same", line)
    assert "Traceback" not in done.stderr
    folder = tmp_path / "random-tiny-test"
    kept = len(list(read_records(folder)))
    assert 0 < kept < EPISODES
    assert run(folder) == list(range(kept, EPISODES))
    same(folder)
