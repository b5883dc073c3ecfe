"""To LLaMA-Factory's form and back; VideoZoomer's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from vzgym.agents.data.dataset import load_trajectories
from vzgym.agents.data.sharegpt import export_sharegpt, import_sharegpt
from vzgym.cli.data import app as data_app
from vzgym.core.errors import InvalidSetting, RecordError, TaskError
from vzgym.tasks.io.rows import UnusedColumns

app = typer.Typer()
app.add_typer(data_app, name="data")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def joined(row: Any) -> list[tuple[str, str, int]]:
    """What a row says: roles, texts in one piece, number of pictures."""
    return [
        (
            message["role"],
            "".join(block.get("text", "\0") for block in message["content"]),
            sum(block["type"] == "image" for block in message["content"]),
        )
        for message in row["messages"]
    ]


# Out and back -------------------------------------------------------------------------------------------------------


def test_trajectories_survive_the_way_there_and_back(trajectories: Path, tmp_path: Path) -> None:
    count = export_sharegpt(trajectories, tmp_path / "out", name="mine")
    before = load_trajectories(trajectories)
    assert count == len(before)
    report = import_sharegpt(tmp_path / "out" / "trajectories.json", tmp_path / "back", protocol="compact_tags")
    after = load_trajectories(tmp_path / "back")
    assert (report.rows, report.unreadable, report.untidy) == (count, 0, 0)
    assert report.zooms == sum(before["zooms"])
    for old, new in zip(before, after, strict=True):
        assert joined(old) == joined(new)
        for name in ("task_id", "turns", "zooms", "frames", "fps", "answer"):
            assert old[name] == new[name], name
        assert new["correct"] is None
        pictures = [
            [block["image"] for message in row["messages"] for block in message["content"] if block["type"] == "image"]
            for row in (old, new)
        ]
        for one, other in zip(*pictures, strict=True):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_an_empty_folder_takes_an_export_on_windows_too(
    trajectories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def replace_on_windows(self: Path, target: Path) -> Path:
        if target.is_dir():
            raise PermissionError(13, "Access is denied", str(target))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_on_windows)
    (tmp_path / "out").mkdir()
    assert export_sharegpt(trajectories, tmp_path / "out") > 0
    assert (tmp_path / "out" / "trajectories.json").is_file()


def test_the_form_is_llama_factory_s(trajectories: Path, tmp_path: Path) -> None:
    result = run("export", trajectories, "--out", tmp_path / "out", "--name", "mine")
    assert result.exit_code == 0, result.output
    about = json.loads((tmp_path / "out" / "dataset_info.json").read_text())["mine"]
    rows = json.loads((tmp_path / "out" / about["file_name"]).read_text())
    columns, tags = about["columns"], about["tags"]
    assert about["formatting"] == "sharegpt"
    for row in rows:
        said = row[columns["messages"]]
        # Its loader wants user and assistant in turn, and a picture for each place.
        assert [message[tags["role_tag"]] for message in said] == ["user", "assistant"] * (len(said) // 2)
        places = sum(message[tags["content_tag"]].count("<image>") for message in said)
        assert places == len(row[columns["images"]]) > 0
        assert all((tmp_path / "out" / path).is_file() for path in row[columns["images"]])


def test_what_was_imported_can_be_trained_on(small_model: Path, trajectories: Path, tmp_path: Path) -> None:
    from vzgym.agents.training.sft import TrajectoryCollator
    from vzgym.agents.vlm.checkpoint import open_checkpoint

    export_sharegpt(trajectories, tmp_path / "out")
    import_sharegpt(tmp_path / "out" / "trajectories.json", tmp_path / "back", protocol="compact_tags")
    collator = TrajectoryCollator(open_checkpoint(small_model).processor, 512)
    one, other = (collator([load_trajectories(folder)[0]]) for folder in (trajectories, tmp_path / "back"))
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key].numpy(), other[key].numpy())


def test_nothing_is_written_over(trajectories: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(InvalidSetting, match="holds something already"):
        export_sharegpt(trajectories, tmp_path / "out")
    with pytest.raises(InvalidSetting, match="no collected trajectories"):
        export_sharegpt(tmp_path / "nothing", tmp_path / "new")


# VideoZoomer's cold-start file --------------------------------------------------------------------------------------


@pytest.fixture
def published(tmp_path: Path) -> dict[str, Any]:
    """A row as VideoZoomer publishes it; its pictures are there."""
    for name in "abc":
        Image.new("RGB", (56, 28), "red").save(tmp_path / f"{name}.png")
    zoom = '<video_zoom> {"segment": [1.0, 3.0], "fps": 0.5} </video_zoom>'
    question = "What is it?\nA. a cat\nB. a dog"
    return {
        "messages": [
            {"role": "system", "content": "You answer questions about videos."},
            {"role": "user", "content": f"<frame0_time0.00s><image><frame1_time2.00s><image>\n{question}"},
            {"role": "assistant", "content": f"<think>Where?</think> {zoom}"},
            {"role": "user", "content": "<tool_response><frame0_time1.00s><image></tool_response>"},
            {
                "role": "assistant",
                "content": "<think>The previous tool call was incorrect because ...</think> <answer> B </answer>",
            },
        ],
        "images": ["a.png", "b.png", "c.png"],
    }


def write(tmp_path: Path, *rows: Any, name: str = "sft.json") -> Path:
    file = tmp_path / name
    file.write_text(json.dumps(list(rows)) if name.endswith(".json") else "\n".join(map(json.dumps, rows)))
    return file


@pytest.mark.parametrize("name", ["sft.json", "sft.jsonl", "sft.parquet"])
def test_a_published_row_becomes_a_trajectory(tmp_path: Path, published: dict[str, Any], name: str) -> None:
    file = tmp_path / name
    if name.endswith(".parquet"):
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([published]), file)
    else:
        write(tmp_path, published, name=name)
    result = run("import-sft", file, "--out", tmp_path / "data")
    assert result.exit_code == 0, result.output
    assert "1 trajectories" in result.output
    assert "2 turns, 1 zooms, 3 frames; 0 turns without an action" in result.output
    row = load_trajectories(tmp_path / "data")[0]
    assert [message["role"] for message in row["messages"]] == ["system", "user", "assistant", "tool", "assistant"]
    assert [block["type"] for block in row["messages"][1]["content"]] == ["text", "image", "text", "image", "text"]
    assert (row["zooms"], row["fps"], row["answer"], row["reflects"]) == (1, [0.5], "B", True)


def test_share_gpt_s_own_names_are_read(tmp_path: Path, published: dict[str, Any]) -> None:
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    row = {
        "conversations": [{"from": names[m["role"]], "value": m["content"]} for m in published["messages"]],
        "images": published["images"],
    }
    assert import_sharegpt(write(tmp_path, row), tmp_path / "data").rows == 1


def test_a_system_column_is_the_system_message_and_others_are_counted(
    tmp_path: Path, published: dict[str, Any]
) -> None:
    messages = [message for message in published["messages"] if message["role"] != "system"]
    row = {**published, "messages": messages, "system": "Look closely.", "score": 3}
    with pytest.warns(UnusedColumns, match=r"'score' in 1 row; used: messages"):
        import_sharegpt(write(tmp_path, row), tmp_path / "data")
    first = load_trajectories(tmp_path / "data", in_blocks=False)[0]["messages"][0]
    assert (first["role"], first["content"][0]["text"]) == ("system", "Look closely.")


def test_pictures_outside_the_root_are_refused(tmp_path: Path, published: dict[str, Any]) -> None:
    file = write(tmp_path, published)
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(RecordError, match=r"row 1: the image .* lies outside"):
        import_sharegpt(file, tmp_path / "data", root=tmp_path / "elsewhere")


def changed(row: dict[str, Any], change: str) -> Any:
    row = json.loads(json.dumps(row))
    messages = row["messages"]
    match change:
        case "no object":
            return "text"
        case "no messages":
            del row["messages"]
        case "role":
            messages[1]["role"] = "narrator"
        case "order":
            del messages[2]
        case "last":
            messages.pop()
            row["images"] = ["a.png", "b.png", "c.png"]
        case "picture lost":
            row["images"].pop()
        case "picture missing":
            row["images"][1] = "nowhere.png"
        case "picture cut":
            row["images"][1] = "cut.png"
        case "no text":
            messages[1]["content"] = [{"type": "text", "text": "x"}]
        case "videos":
            row["videos"] = ["a.mp4"]
        case "tools":
            row["tools"] = "[{}]"
        case "video mark":
            messages[1]["content"] += "<video>"
        case "two systems":
            messages[0] = {"role": "system", "content": "Look."}
            row["system"] = "Look closely."
        case "model shows":
            messages[2]["content"] += "<image>"
            row["images"].append("a.png")
    return row


BROKEN = {
    "no object": "a row must be an object",
    "no messages": "needs 'messages'",
    "role": "message 2 has the role 'narrator'; valid: .*observation",
    "order": "roles must alternate",
    "last": "last message must be the model's",
    "picture lost": "2 images, but 3 times <image>",
    "picture missing": "no image .*nowhere.png",
    "picture cut": "cut.png cannot be read as an image",
    "no text": "message 2 must hold a text, got list",
    "model shows": "a model writes no images",
    "videos": "the row has 'videos'",
    "tools": "the row has 'tools'",
    "video mark": "message 2 holds <video>",
    "two systems": "which one counts is not known",
}


@pytest.mark.parametrize("change", BROKEN)
def test_broken_rows_are_named(tmp_path: Path, published: dict[str, Any], change: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:3000])
    file = write(tmp_path, published, changed(published, change))
    with pytest.raises((RecordError, TaskError), match=rf"sft.json, row 2: .*{BROKEN[change]}"):
        import_sharegpt(file, tmp_path / "data")
    # Nothing half made stays behind.
    assert not (tmp_path / "data").exists()
    if change != "no object":
        report = import_sharegpt(file, tmp_path / "data", skip_broken=True)
        assert (report.rows, len(report.broken)) == (1, 1)
        assert len(load_trajectories(tmp_path / "data")) == 1


def test_files_that_are_none_are_named(tmp_path: Path, published: dict[str, Any]) -> None:
    for name, text, words in (
        ("a.json", "{", "not JSON"),
        ("b.json", "{}", "must hold a list"),
        ("c.json", "[]", "holds no rows"),
        ("d.jsonl", "{}\nx", "line 2: not JSON"),
        ("e.csv", "", "holds no rows"),
        ("e.txt", "", r"rows are read from .json, .jsonl, .csv, .tsv, .parquet"),
        ("f.parquet", "x", "no parquet file"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises((TaskError, RecordError), match=words):
            import_sharegpt(tmp_path / name, tmp_path / "data", skip_broken=name == "d.jsonl")
    with pytest.raises(TaskError, match="no such file"):
        import_sharegpt(tmp_path / "none.json", tmp_path / "data")
    with pytest.raises(RecordError, match=r"no row is left; the first: .*row 1"):
        import_sharegpt(write(tmp_path, changed(published, "role")), tmp_path / "data", skip_broken=True)


def test_a_text_that_names_the_place_of_a_picture_is_refused(trajectories: Path, tmp_path: Path) -> None:
    rows = load_trajectories(trajectories, in_blocks=False)

    def name_it(row: dict[str, Any]) -> dict[str, Any]:
        messages = json.loads(json.dumps(row["messages"]))
        messages[0]["content"].append({"type": "text", "text": "What is an <image>?"})
        return {"messages": messages}

    rows.select([0]).map(name_it, features=rows.features).save_to_disk(str(tmp_path / "odd"))
    with pytest.raises(RecordError, match="row 1: a text holds '<image>'"):
        export_sharegpt(tmp_path / "odd", tmp_path / "out")
    assert not (tmp_path / "out").exists()
