from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from vzgym.core.errors import InvalidSetting
from vzgym.policies.fingerprint import METADATA, fingerprint, fingerprints_in


def saved(folder: Path, run_id: str) -> Path:
    """A folder as vzgym saves a model: the weights, then the run id."""
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    os.utime(folder / "model.safetensors", ns=(1, 10**9))
    (folder / METADATA).write_text(json.dumps({"protocol": {"name": "tags"}, "run_id": run_id}))
    return folder


def test_a_saved_model_is_identified_by_its_run_id_wherever_it_lies(tmp_path):
    one = fingerprint(saved(tmp_path / "one", "a"))
    assert one == {"model.safetensors": "7, run a"}
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    os.utime(tmp_path / "copy" / METADATA)
    assert fingerprint(tmp_path / "copy") == one
    assert fingerprint(saved(tmp_path / "one", "b")) != one


def test_weights_written_after_the_run_id_are_not_identified_by_it(tmp_path):
    folder = saved(tmp_path / "model", "a")
    before = fingerprint(folder)
    (folder / "model.safetensors").write_bytes(b"WEIGHTS")
    os.utime(folder / "model.safetensors", ns=(1, 2 * 10**18))
    assert "run" not in fingerprint(folder)["model.safetensors"]
    assert fingerprint(folder) != before


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"run_id": 3}'])
def test_metadata_without_a_run_id_leaves_size_and_time(tmp_path, text):
    (saved(tmp_path / "model", "a") / METADATA).write_text(text)
    assert fingerprint(tmp_path / "model") == {"model.safetensors": "7, modified 1000000000"}


@pytest.mark.parametrize("change", ["size", "time"])
def test_other_files_are_identified_by_size_and_modification_time(tmp_path, change):
    file = tmp_path / "data.arrow"
    file.write_bytes(b"rows")
    before = fingerprint(tmp_path)
    assert fingerprint(tmp_path) == before
    if change == "size":
        status = file.stat()
        file.write_bytes(b"more rows")
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        os.utime(file, (1, 1))
    assert fingerprint(tmp_path) != before


def test_only_weights_and_data_of_the_folder_itself_count(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"one")
    before = fingerprint(tmp_path)
    (tmp_path / "log.jsonl").write_text("{}")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "model.safetensors").write_bytes(b"older")
    assert fingerprint(tmp_path) == before
    assert list(before) == ["model.safetensors"]


def test_what_is_not_a_local_path_has_no_fingerprint(tmp_path):
    assert fingerprint("Qwen/Qwen2.5-VL-7B-Instruct") == fingerprint("") == fingerprint("x" * 5000) == {}
    assert fingerprint(tmp_path) == {}


def test_a_file_counts_whatever_its_name(tmp_path):
    (tmp_path / "knowledge.txt").write_text("a")
    assert list(fingerprint(tmp_path / "knowledge.txt")) == ["knowledge.txt"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InvalidSetting, match="cannot be read for its fingerprint: Permission denied"):
        fingerprint(tmp_path)


def test_settings_are_searched_for_paths_but_not_for_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("blind", "weights"):
        (tmp_path / name).write_text(name)
    found = fingerprints_in([None, 3, "", {"name": "blind", "size": 2, "deep": {"path": "weights"}}])
    assert list(found) == ["weights"]
