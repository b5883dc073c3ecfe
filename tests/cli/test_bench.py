"""`vzgym bench`, and `vzgym eval` on benchmarks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import vzgym
from tests.tasks.benchmarks.conftest import clip, folder  # noqa: F401 - fixtures
from tests.tasks.benchmarks.miniatures import MINIATURES, Folder, load_set
from vzgym.cli import app
from vzgym.cli.evaluate import _asked
from vzgym.cli.policies import named_policy
from vzgym.core.errors import DependencyNotInstalled, InvalidSetting, UnknownName
from vzgym.episode.record import End
from vzgym.evaluation import read_records
from vzgym.tasks.benchmarks import BENCHMARKS
from vzgym.video.file import FileVideo

SMALL = ["--budget", "max_pixels=1024", "--budget", "min_pixels=256"]


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def videomme(folder: Folder) -> Path:  # noqa: F811
    MINIATURES["videomme"].layouts["official"](folder)
    return folder.root


def test_list_and_show() -> None:
    listed = run("bench", "list")
    assert listed.exit_code == 0
    assert all(name in listed.output for name in BENCHMARKS.names())
    found = json.loads(run("bench", "list", "--json").output)
    (one,) = [entry for entry in found if entry["name"] == "longvideobench_val_v"]
    assert (one["rows"], one["evidence"], one["subtitles"], one["access"]) == (1337, "instants", True, "form")
    assert one["aliases"]["longvideobench_val_i"] == {"subtitles": True}
    shown = run("bench", "show", "longvideobench")
    for words in ("CC-BY-NC-SA", "24 per second", "not verified", "longvideobench_val_v/3600", "61388250"):
        assert words in " ".join(shown.output.split())
    assert isinstance(run("bench", "show", "longvideo").exception, UnknownName)


def test_check_of_a_half_copied_folder(videomme: Path) -> None:
    (videomme / "videos_chunked_02/data/LONG.MKV").unlink()
    (videomme / "videos_chunked_01/data/-short_1.mp4").write_bytes(b"")
    (videomme / "videos_chunked_01/data/Other.mp4").write_bytes(b"x")
    ran = run("bench", "check", "videomme", videomme)
    assert ran.exit_code == 1
    for words in ("official layout", "videos: 3 of 4 found (published: 900), 1 missing, 1 extra", "missing: LONG.mp4"):
        assert words in ran.output
    assert "repeated_gold" in ran.output
    report = json.loads(run("bench", "check", "videomme", videomme, "--json").output)
    assert report["complete"] is False
    assert report["videos"]["missing"] == ["LONG.mp4"]
    assert [Path(name).name for name in report["videos"]["extra"]] == ["Other.mp4"]
    assert [Path(name).name for name in report["videos"]["empty"]] == ["-short_1.mp4"]
    long = next(group for group in report["groups"] if group["value"] == "long")
    assert long == {"key": "duration", "value": "long", "rows": 1, "expected": 900, "playable": 0}
    assert (report["flawed"], report["flaws"]) == (1, {"repeated_options": 1, "repeated_gold": 1})
    explicit = ["--annotations", videomme / "videomme", "--videos", videomme, "--json"]
    assert json.loads(run("bench", "check", "videomme", *explicit).output)["layout"] == "given paths"


def test_eval_by_name(videomme: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    flags = ["--policy", "overview", "--root", videomme, "--skip-flawed", "--out", out, *SMALL]
    ran = run("eval", "--tasks", "videomme", "--by", "metadata.duration", *flags)
    assert ran.exit_code == 0, ran.output
    assert "videomme: official layout, 10 rows, 1 with flaws; left out: 1 (flawed)" in ran.output
    assert "\noverview: 64 overview frames at most, at 0.5 fps; 4 zooms of at most 16 frames" in ran.output
    records = list(read_records(out / "overview-videomme"))
    assert len(records) == 9
    assert {record.end for record in records} == {End.ANSWERED}
    assert records[0].task.metadata["duration"] == "short"
    as_mapping = f"{{name: videomme/short, root: {videomme}}}"
    assert "6 rows" in run("eval", "--tasks", as_mapping, "--policy", "blind", *SMALL).output
    wrong = run("eval", "--tasks", "needle-tiny", "--policy", "blind", "--skip-flawed")
    assert isinstance(wrong.exception, InvalidSetting)
    assert "--skip-flawed: for benchmarks (vzgym bench list) only" in str(wrong.exception)


def test_workers_load_the_set_again(videomme: Path) -> None:
    tasks = load_set("videomme[:4]", root=videomme)
    budget = {"max_pixels": 1024, "min_pixels": 256}
    alone = vzgym.evaluate("random", tasks, budget=budget)
    together = vzgym.evaluate("random", tasks, budget=budget, workers=2)
    assert (alone.accuracy, len(alone.episodes)) == (together.accuracy, 4)


def test_loading_opens_no_video(videomme: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(self: FileVideo) -> None:
        raise AssertionError(f"opened {self.path}")

    monkeypatch.setattr(FileVideo, "info", property(opened))
    assert len(list(load_set("videomme", root=videomme))) == 10
    assert "videos: 4 of 4 found" in run("bench", "check", "videomme", videomme).output


class Chooser:
    """A text policy that answers B, and keeps what it was asked."""

    name = "chooser"

    def __init__(self) -> None:
        self.protocol = {"name": "direct", "style": "official"}
        self.asked: list[str] = []

    def reset(self, seeds: Any) -> None:
        """Nothing is random."""

    def respond(self, dialogues: Any) -> list[str]:
        """B, with a thought."""
        self.asked += [dialogue[-1].text for dialogue in dialogues]
        return ["<think>It is B.</think> B"] * len(dialogues)


def test_a_prompt_style_is_played_and_recorded(videomme: Path, tmp_path: Path) -> None:
    policy = Chooser()
    budget = {"max_zooms": 0, "overview_frames": 2, "max_pixels": 1024, "min_pixels": 256}
    report = vzgym.evaluate(policy, load_set("videomme", root=videomme), budget=budget, out=tmp_path / "run")
    assert report.accuracy.value == pytest.approx(6 / 10)
    assert all(text.endswith("The best answer is:") for text in policy.asked)
    record = next(iter(read_records(tmp_path / "run")))
    assert record.info.wording == {"name": "direct", "style": "official"}
    assert record.turns[0].text == "<think>It is B.</think> B"


def test_the_prompt_option_is_a_protocol_of_models() -> None:
    style = {"name": "direct", "style": "official"}
    assert _asked(named_policy("served:m@http://localhost:1/v1"), "official") == {
        "name": "served:m@http://localhost:1/v1",
        "protocol": style,
    }
    assert _asked({"name": "vlm", "path": "x"}, "official") == {"name": "vlm", "path": "x", "protocol": style}
    with pytest.raises(InvalidSetting, match="would replace the protocol of vlm"):
        _asked({"name": "vlm", "path": "x", "protocol": "tags"}, "official")


def test_a_policy_without_prompts_is_named(videomme: Path) -> None:
    ran = run("eval", "--policy", "blind", "--tasks", "videomme", "--root", videomme, "--prompt", "official", *SMALL)
    assert ran.exit_code == 0
    assert "--prompt official is for models by folder or server, not for blind" in ran.output


def test_download_says_in_one_line_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ["--root", tmp_path / "data", "--yes"]
    offline = run("bench", "download", "videomme", *flags)
    assert isinstance(offline.exception, InvalidSetting)
    assert "cannot reach the Hugging Face hub" in str(offline.exception)
    elsewhere = run("bench", "download", "nextgqa", *flags)
    assert "nextgqa_test is not on the Hugging Face hub. Annotations: datasets/nextgqa" in str(elsewhere.exception)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    missing = run("bench", "download", "videomme", *flags)
    assert isinstance(missing.exception, DependencyNotInstalled)
    assert not (tmp_path / "data").exists()


class Hub:
    """A hub with one dataset."""

    class File:
        def __init__(self, name: str, size: int) -> None:
            self.rfilename, self.size = name, size

    siblings = (File("videomme/test.parquet", 1000), File("videos_chunked_01.zip", 5_000_000_000), File("README.md", 1))
    sha = "abc"

    def dataset_info(self, name: str, files_metadata: bool) -> Hub:
        assert (name, files_metadata) == ("lmms-eval/Video-MME", True)
        return self


def test_download_says_the_size_asks_and_fetches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    fetched: list[dict[str, Any]] = []
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda repo, **options: fetched.append(options))
    flags = ["bench", "download", "videomme", "--root", str(tmp_path / "data")]
    refused = CliRunner().invoke(app, [*flags, "--file", "videomme/*"], input="n\n")
    assert refused.exit_code == 1
    assert "lmms-eval/Video-MME: 1 files, 0.00 GB" in refused.output
    assert not fetched
    assert run(*flags, "--file", "*.parquet", "--yes").exit_code == 0
    assert fetched[0]["allow_patterns"] == ["videomme/test.parquet"]
    assert (fetched[0]["revision"], fetched[0]["local_dir"]) == ("abc", tmp_path / "data")
    nothing = run(*flags, "--file", "*.mp4", "--yes")
    assert "has no file like *.mp4" in str(nothing.exception)
