"""`vzgym eval`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from vzgym.baselines import CONTROLS
from vzgym.cli.evaluate import run_folder
from vzgym.core.errors import InvalidSetting, PluginError, TaskError, UnknownName, VideoError
from vzgym.evaluation import evaluate, read_records
from vzgym.tasks import load_tasks
from vzgym.tasks.io.writing import write_tasks

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of two tasks with real videos. Not to be changed."""
    tiny = load_tasks("tiny/test")
    return write_tasks([tiny[0], tiny[2]], tmp_path_factory.mktemp("written"))


def changed(written: Path, folder: Path, **facts: object) -> Path:
    """A copy of a task file with other facts in each row."""
    shutil.copytree(written.parent, folder)
    rows = [json.loads(line) | facts for line in written.read_text().splitlines()]
    (folder / written.name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / written.name


def test_a_table_in_80_columns(run: Run) -> None:
    found = run("eval", "--policy", "random", "--policy", "oracle", "--tasks", "needle-tiny", "--episodes", 4)
    assert found.exit_code == 0, found.output
    lines = found.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    head = next(line for line in lines if line.startswith("policy"))
    assert all(title in head for title in ("n", "accuracy % [95 %]", "frames", "zooms", "seen %", "wall s"))
    oracle = next(line for line in lines if line.startswith("oracle *")).split()
    assert oracle[2:5] == ["4", "100.0", "[51.0,"]
    assert oracle[6:8] == ["17.0", "1.00"]  # 16 of the overview and one of a zoom
    assert lines.index(next(line for line in lines if line.startswith("random"))) > lines.index(head)


def test_json_and_nothing_else_goes_to_stdout(run: Run) -> None:
    found = run("eval", "--policy", "oracle", "--tasks", "tiny", "--episodes", 3, "--seed", 2, "--json")
    assert found.exit_code == 0, found.output
    reports = json.loads(found.stdout)
    assert len(reports) == 1
    wanted = evaluate("oracle", "tiny", episodes=3, seed=2).to_json()
    assert reports[0]["policy"] == "oracle"
    assert reports[0]["metrics"]["correct"] == wanted["metrics"]["correct"]
    assert reports[0]["budget"] == wanted["budget"]
    assert (reports[0]["seed"], reports[0]["episodes"], reports[0]["privileged"]) == (2, 3, True)


def test_all_controls_are_played_if_none_is_named(run: Run) -> None:
    found = run("eval", "--episodes", 1, "--json")
    played = [report["policy"] for report in json.loads(found.stdout)]
    assert played[: len(CONTROLS)] == [control.name for control in CONTROLS]
    assert [name.split()[0] for name in played[len(CONTROLS) :]] == ["aks", "bolt", "q-frame", "mdp3"]


def test_a_file_of_tasks(run: Run, written: Path) -> None:
    for backend in ("pyav", "decord"):
        found = run("eval", "--policy", "oracle", "--tasks", written, "--backend", backend, "--json")
        assert found.exit_code == 0, found.output
        report = json.loads(found.stdout)[0]
        assert (report["tasks"], report["episodes"]) == ("tasks", 2)
        assert report["metrics"]["correct"]["value"] == 1.0


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (["max_zooms=2"], {"max_zooms": 2}),
        (["max_zooms=0", "overview_frames = 5"], {"max_zooms": 0, "overview_frames": 5}),
        (["min_fps=2e-2", "max_fps=12"], {"min_fps": 0.02, "max_fps": 12.0}),
        (["overview_fps=inf"], {"overview_fps": "inf"}),
        (["spatial=true"], {"spatial": True}),
    ],
)
def test_the_budget_changes_the_tasks_own(run: Run, settings: list[str], wanted: dict[str, object]) -> None:
    options = [part for setting in settings for part in ("--budget", setting)]
    found = run("eval", "--policy", "blind", "--tasks", "tiny", "--episodes", 1, "--json", *options)
    assert found.exit_code == 0, found.output
    own = load_tasks("tiny/test").budget.to_dict()
    assert json.loads(found.stdout)[0]["budget"] == {**own, **wanted}


class Stumbling:
    """Plays one episode."""

    name = "stumbling"
    episodes = 0

    def reset(self, seed: int) -> None:
        Stumbling.episodes += 1
        if Stumbling.episodes > 1:
            raise InvalidSetting("stumbled")

    def act(self, observation: object, info: dict[str, object]) -> object:
        from vzgym import Answer

        return Answer("A")


def test_a_policy_that_stops_does_not_hide_what_others_have_done(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "somebodys_policies", sys.modules[__name__])
    monkeypatch.setattr(Stumbling, "episodes", 0)
    policies = ("blind", "somebodys_policies:Stumbling", "overview")
    flags = [part for policy in policies for part in ("--policy", policy)]
    found = run("eval", *flags, "--tasks", "needle-micro", "--episodes", 3, "--out", tmp_path)
    assert found.exit_code == 1
    assert str(found.exception) == "stumbled"
    assert "blind" in found.stdout
    assert "seen %" in found.stdout
    assert f"Records: {tmp_path}" in found.stdout
    assert "Stopped: 1 of 3 runs have finished." in found.stderr
    assert len(list(tmp_path.glob("blind*/report.json"))) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        (["--policy", "runs/sft"], InvalidSetting, "no model at 'runs/sft': there is no such folder; give a folder"),
        (["--policy", "owner/name"], InvalidSetting, "'{name: vlm, path: owner/name}'"),
        (["--policy", "{name: vlm, path: ./sft}"], InvalidSetting, "no model at './sft': there is no such folder"),
        (["--policy", "{name: uniform, frmes: 3}"], InvalidSetting, "no option 'frmes'; did you mean 'frames'?"),
        (["--policy", "oracel"], UnknownName, "unknown policy 'oracel'; did you mean 'oracle'? Valid: aks,"),
        (["--tasks", "videome"], UnknownName, "Did you mean the benchmark 'videomme'? Benchmarks: "),
        (["--policy", "nobody"], UnknownName, "unknown policy 'nobody'; valid: aks,"),
        (["--policy", "no_such_module:Mine"], PluginError, "cannot import module 'no_such_module'"),
        (["--policy", "vzgym.baselines:Mine"], PluginError, "has no 'Mine'"),
        (["--tasks", "nothing"], UnknownName, "unknown task suite 'nothing'; valid: "),
        (["--tasks", "tiny/exam"], UnknownName, "unknown split 'exam'; valid: test, train, validation"),
        (["--tasks", "gone.jsonl"], TaskError, "cannot read gone.jsonl"),
        (["--reward", "gold"], UnknownName, "unknown reward 'gold'; valid: accumulative_tool, accuracy,"),
        (["--backend", "magic"], UnknownName, "unknown video back-end 'magic'; valid: decord, pyav"),
        (
            ["--budget", "max_zooms"],
            InvalidSetting,
            "--budget takes field=value (such as max_zooms=2), repeatable, or the name of a budget (paper, single-gpu)",
        ),
        (
            ["--budget", "zooms=2"],
            InvalidSetting,
            "unknown budget setting zooms; did you mean 'max_zooms'? Valid: overview_fps,",
        ),
        (["--budget", "max_zooms=many"], InvalidSetting, "max_zooms must be an integer >= 0, got 'many'"),
        (["--budget", "max_zooms=["], InvalidSetting, "max_zooms must be an integer >= 0, got '['"),
        (["--episodes", "0"], InvalidSetting, "episodes must be 1 to 1000"),
        (["--episodes", "1001"], InvalidSetting, "episodes must be 1 to 1000"),
        (["--seed", "-1"], InvalidSetting, "seed must be a whole number >= 0"),
    ],
)
def test_bad_input_is_named_before_anything_is_played(
    run: Run, tmp_path: Path, arguments: list[str], error: type[Exception], told: str
) -> None:
    found = run("eval", "--policy", "blind", "--tasks", "tiny", "--out", tmp_path / "out", *arguments)
    assert found.exit_code != 0
    assert isinstance(found.exception, error)
    assert told in str(found.exception)
    assert found.stdout == ""
    assert not (tmp_path / "out").exists()


def test_things_that_make_no_policy(run: Run) -> None:
    for name, error, told in (
        ("os:path", PluginError, "os:path"),
        ("os.path:join", InvalidSetting, "policy 'os.path:join': missing a required argument: 'a'. It is a function"),
        ("os.path:join", InvalidSetting, "name a class with reset and act, or reset and respond, or a function that"),
        ("types:SimpleNamespace", InvalidSetting, "types:SimpleNamespace"),
        ("modle.zip", InvalidSetting, "no trained model at 'modle.zip': there is no such file"),
        ("runs/modle.zip", InvalidSetting, "no trained model at 'runs/modle.zip': there is no such file"),
        ("runs\\modle", InvalidSetting, "there is no such folder"),
    ):
        found = run("eval", "--policy", name)
        assert isinstance(found.exception, error)
        assert told in str(found.exception)


def test_out_keeps_records_and_goes_on(run: Run, tmp_path: Path) -> None:
    arguments = ["eval", "--policy", "random", "--policy", "vzgym.baselines:Blind", "--tasks", "needle-tiny"]
    first = run(*arguments, "--episodes", 2, "--out", tmp_path / "out")
    assert first.exit_code == 0, first.output
    assert f"vzgym view {tmp_path / 'out'}" in first.stdout
    folders = [
        tmp_path / "out" / name for name in ("random-needle-tiny-test", "vzgym.baselines.Blind-needle-tiny-test")
    ]
    assert sorted(tmp_path.glob("out/*")) == folders
    before = [(folder / "records.jsonl").read_text() for folder in folders]
    again = run(*arguments, "--episodes", 3, "--out", tmp_path / "out")
    assert again.exit_code == 0, again.output
    for folder, text in zip(folders, before, strict=True):
        assert (folder / "records.jsonl").read_text().startswith(text)
        assert [record.info.index for record in read_records(folder)] == [0, 1, 2]
        assert json.loads((folder / "report.json").read_text())["episodes"] == 3
    other = run(*arguments, "--episodes", 3, "--seed", 1, "--out", tmp_path / "out")
    assert isinstance(other.exception, InvalidSetting)
    assert "holds another run: its seed is 0, not 1" in str(other.exception)


def test_a_broken_video_is_told_on_stderr_with_its_path_as_it_is(run: Run, written: Path, tmp_path: Path) -> None:
    listing = changed(written, tmp_path / "[red]videos")
    video = listing.parent / json.loads(listing.read_text().splitlines()[0])["video"]
    video.write_bytes(b"no video")
    found = run("eval", "--policy", "overview", "--tasks", listing, "--json")
    assert found.exit_code == 0, found.output
    assert list(json.loads(found.stdout)[0]["failed"]) == ["tiny/test/0"]
    line = next(line for line in found.stderr.splitlines() if line.startswith("left out: tiny/test/0"))
    assert str(video) in line
    video.with_name(json.loads(listing.read_text().splitlines()[1])["video"]).write_bytes(b"nor this")
    assert isinstance(run("eval", "--policy", "overview", "--tasks", listing).exception, VideoError)


def test_where_the_evidence_is_unknown_the_other_controls_are_played(run: Run, written: Path, tmp_path: Path) -> None:
    listing = changed(written, tmp_path / "copy", evidence=None, metadata={})
    budget = ["--budget", "overview_frames=4", "--budget", "clip_frames=2", "--budget", "min_pixels=1024"]
    found = run("eval", "--tasks", listing, "--json", *budget)
    assert found.exit_code == 0, found.output
    played = [report["policy"] for report in json.loads(found.stdout)]
    assert played == [*(control.name for control in CONTROLS if control.name != "oracle"), "mdp3 (histogram)"]
    assert "left out: oracle: task 'tiny/test/0': an expert needs known evidence" in found.stderr
    for name in ("aks", "bolt", "q-frame"):
        assert f"left out: {name}:scorer=evidence:noise=0.5: task 'tiny/test/0': scorer 'evidence'" in found.stderr
    # Whoever asks for the oracle is told why there is none.
    assert isinstance(run("eval", "--policy", "oracle", "--tasks", listing).exception, TaskError)


def test_the_real_command_finds_a_policy_in_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import vzgym\n\n\n"
        "class First:\n"
        "    def reset(self, seed):\n"
        "        self.zoomed = False\n\n"
        "    def act(self, observation, info):\n"
        "        if not self.zoomed:\n"
        "            self.zoomed = True\n"
        "            return vzgym.Zoom(0.0, 4.0, fps=2)\n"
        "        return vzgym.Answer('A')\n"
    )
    command = Path(sys.executable).with_name("vzgym")
    arguments = ["eval", "--policy", "mine:First", "--tasks", "needle-tiny", "--episodes", "2", "--json"]
    done = subprocess.run([command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)[0]
    assert report["policy"] == "First"
    assert report["metrics"]["zooms"]["value"] == 1.0


def test_a_name_names_records_and_folder(run: Run, tmp_path: Path) -> None:
    arguments = ["eval", "--policy", "{name: blind}", "--policy", "blind", "--tasks", "needle-micro", "--episodes", 1]
    named = run(*arguments, "--name", "first try", "--name", "second", "--out", tmp_path)
    assert named.exit_code == 0, named.output
    folders = sorted(path.name for path in tmp_path.iterdir())
    assert folders == ["first-try-needle-micro-test", "second-needle-micro-test"]
    (record,) = read_records(tmp_path / folders[0])
    assert record.info.policy == "first try"
    assert "first try" in named.stdout
    few = run(*arguments, "--name", "one")
    assert "1 names for 2 policies" in str(few.exception)
    same = run(*arguments, "--out", tmp_path / "same")
    assert "two runs would have the folder" in str(same.exception)
    assert not (tmp_path / "same").exists()


@pytest.mark.parametrize(
    ("policy", "folder"),
    [
        ("{name: random, zooms: 2}", "random-zooms-2-tiny-test"),
        ("{name: served, model: org/m, url: 'http://u:key@h/v1', retries: 3, timeout: 9}", "served-org-m-tiny-test"),
        ("{name: served, model: m, url: 'http://h', headers: {X-Key: secret}, temperature: 1}",
         "served-m-temperature-1-tiny-test"),
        ("served:org/m@https://user:key@host/v1", "served.org-m-tiny-test"),
    ],
)  # fmt: skip
def test_a_runs_folder_says_what_was_run_not_where(policy: str, folder: str) -> None:
    assert run_folder(Path("out"), policy, load_tasks("tiny/test")) == Path("out") / folder
