"""`vzgym rewards`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from vzgym.core.errors import FolderInUse, InvalidSetting, RecordError, UnknownName
from vzgym.core.files import file_lock, read_json_lines
from vzgym.evaluation import evaluate
from vzgym.rewards import PRESETS, REWARDS

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two runs: the oracle on a needle, a count and a control, random twice on two. Not to be changed."""
    folder = tmp_path_factory.mktemp("saved")
    evaluate("oracle", "tiny", episodes=3, out=folder / "oracle")
    evaluate("random", "tiny", episodes=2, samples=2, out=folder / "random")
    return folder


def test_list_names_every_module_and_preset(run: Run) -> None:
    found = run("rewards", "list")
    assert found.exit_code == 0, found.output
    words = found.stdout.split()
    assert all(name in words for name in [*REWARDS.names(), *PRESETS])
    assert max(map(len, found.stdout.splitlines())) <= 80


def test_a_second_writer_of_ledgers_is_refused(run: Run, saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "ledgers.jsonl"
    with file_lock(out):
        found = run("rewards", "score", saved, "--reward", "accuracy", "--out", out)
        assert isinstance(found.exception, FolderInUse)
        assert not out.exists()
    assert run("rewards", "score", saved, "--reward", "accuracy", "--out", out).exit_code == 0
    assert len(list(read_json_lines(out))) == 7


@pytest.mark.parametrize("name", REWARDS.names())
def test_show_says_it_all(run: Run, name: str) -> None:
    found = run("rewards", "show", name)
    assert found.exit_code == 0, found.output
    assert all(word in found.stdout for word in (name, "formula", "range", "source", "known to break", "needs"))


def test_show_lists_options_and_presets(run: Run) -> None:
    text = " ".join(run("rewards", "show", "curiosity").stdout.split())
    assert "threshold = 0.3: The rate below which zooming is rewarded" in text
    assert "group: the other roll-outs of the same task" in text
    assert run("rewards", "show", "videozoomer_no_bonus").stdout == (
        "preset videozoomer_no_bonus: accuracy 0.9, format 0.1\n"
    )
    assert isinstance(run("rewards", "show", "gold").exception, UnknownName)


def test_score_under_a_file(run: Run, saved: Path, tmp_path: Path) -> None:
    file = tmp_path / "reward.yaml"
    file.write_text("accuracy: 1\ncall_cost: {weight: 0.1, when: correct}\n")
    found = run("rewards", "score", saved / "oracle", "--reward", file)
    assert found.exit_code == 0, found.output
    # Right three times, with two zooms in all; as played 1.5, 1.5 and 1.0.
    assert "oracle: 3 episodes, total 0.9333" in found.stdout
    assert "as played 1.3333" in found.stdout
    assert max(map(len, found.stdout.splitlines())) <= 80


def test_score_as_json_and_as_ledgers(run: Run, saved: Path, tmp_path: Path) -> None:
    found = run("rewards", "score", saved, "--reward", "videozoomer", "--json", "--out", tmp_path / "new" / "l.jsonl")
    assert found.exit_code == 0, found.output
    data = json.loads(found.stdout)
    assert sorted(Path(run).name for run in data) == ["oracle", "random"]
    for scored in data.values():
        # The reward that they were played under: nothing changes.
        assert scored["total"] == scored["saved"]
    lines = [json.loads(line) for line in (tmp_path / "new" / "l.jsonl").read_text().splitlines()]
    records = [
        json.loads(line)
        for run in ("oracle", "random")
        for line in (saved / run / "records.jsonl").read_text().splitlines()
    ]
    assert [line["rewards"] for line in lines] == [record["rewards"] for record in records]
    assert [line["task"] for line in lines] == [record["task"]["id"] for record in records]


def test_ledgers_replace_no_run(run: Run, saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "copy")
    records = tmp_path / "copy" / "oracle" / "records.jsonl"
    before = records.read_bytes()
    for source, out, told in (
        (records.parent, records, "is the file that is read"),
        (records, records, "is the file that is read"),
        (tmp_path / "copy" / "random", records, "records.jsonl is reserved for the episodes of a run"),
        (records.parent, tmp_path, "is a folder"),
        (records.parent, records.parent / "run.json", "must end in .jsonl"),
    ):
        found = run("rewards", "score", source, "--reward", "accuracy", "--out", out)
        assert isinstance(found.exception, InvalidSetting)
        assert told in str(found.exception)
        assert records.read_bytes() == before


def test_score_with_groups_and_an_answerer(run: Run, saved: Path) -> None:
    found = run("rewards", "score", saved / "random", "--reward", "videoevolve", "--json")
    (scored,) = json.loads(found.stdout).values()
    assert scored["terms"]["quality_first"]["unscored"] == 0
    found = run("rewards", "score", saved / "oracle", "--reward", "revisor", "--json")
    (scored,) = json.loads(found.stdout).values()
    assert scored["terms"]["sufficiency"]["unscored"] == 1
    found = run("rewards", "score", saved / "oracle", "--reward", "revisor", "--answerer", "reader", "--json")
    (scored,) = json.loads(found.stdout).values()
    # The two clips hold the answer; the control has none.
    assert scored["terms"]["sufficiency"]["value"]["value"] == pytest.approx(2 / 3)


def test_a_reward_may_be_given_as_a_mapping(run: Run, saved: Path, tmp_path: Path) -> None:
    file = tmp_path / "reward.yaml"
    file.write_text("accuracy: 1\nformat: {weight: 0.5}\n")
    found = [run("rewards", "score", saved, "--json", "--reward", given)
             for given in (file, "{accuracy: 1, format: {weight: 0.5}}")]  # fmt: skip
    assert found[0].exit_code == 0
    assert found[0].output == found[1].output
    wrong = run("rewards", "score", saved, "--reward", "{accuracy: 1, iuo: 2}").exception
    assert isinstance(wrong, UnknownName)
    assert "unknown reward module 'iuo'" in str(wrong)
    unfinished = run("rewards", "score", saved, "--reward", "{accuracy: 1").exception
    assert isinstance(unfinished, InvalidSetting)
    assert "a reward given as a mapping" in str(unfinished)


def test_mistakes_are_named(run: Run, saved: Path, tmp_path: Path) -> None:
    file = tmp_path / "reward.yaml"
    file.write_text("accuracy: 1\niuo: 0.5\n")
    error = run("rewards", "score", saved, "--reward", file).exception
    assert isinstance(error, InvalidSetting)
    assert "reward.yaml:2: unknown reward module 'iuo'" in str(error)
    assert "iou_union" in str(error)
    assert isinstance(run("rewards", "score", tmp_path, "--reward", "accuracy").exception, RecordError)
    wrong = run("rewards", "score", saved, "--reward", "accuracy", "--progress", "3").exception
    assert isinstance(wrong, InvalidSetting)
