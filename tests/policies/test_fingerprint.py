from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vzgym.policies import fingerprint as module
from vzgym.policies.fingerprint import contents, contents_named


def test_a_folder_is_known_by_its_weights_and_data_alone(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"one")
    (tmp_path / "data.arrow").write_bytes(b"rows")
    before = contents(tmp_path)
    assert list(before) == ["data.arrow", "model.safetensors"]
    (tmp_path / "log.jsonl").write_text("{}")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "model.safetensors").write_bytes(b"older")
    os.utime(tmp_path / "model.safetensors", (1, 1))
    assert contents(tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(b"two")
    after = contents(tmp_path)
    assert after["data.arrow"] == before["data.arrow"]
    assert after["model.safetensors"] != before["model.safetensors"]


def test_what_is_not_here_has_no_contents(tmp_path):
    assert contents("Qwen/Qwen2.5-VL-7B-Instruct") == contents("") == contents("x" * 5000) == {}
    assert contents(tmp_path) == {}


def test_a_file_counts_whatever_it_is_called(tmp_path):
    (tmp_path / "knowledge.txt").write_text("a")
    assert list(contents(tmp_path / "knowledge.txt")) == ["knowledge.txt"]


def test_settings_are_searched_for_places_but_not_for_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("blind", "weights"):
        (tmp_path / name).write_text(name)
    found = contents_named([None, 3, "", {"name": "blind", "size": 2, "deep": {"path": "weights"}}])
    assert list(found) == ["weights"]


@pytest.mark.parametrize("changed", ["first", "middle", "last"])
def test_a_large_file_is_known_again_by_any_of_its_tensors(tmp_path, monkeypatch, changed):
    """One tensor of ten, small beside the others, is what merged adapters change."""
    monkeypatch.setattr(module, "_WHOLE", 1 << 10)
    monkeypatch.setattr(module, "_BLOCK", 64)
    monkeypatch.setattr(module, "_BLOCKS", 4)
    tensors = {f"layer{i}": torch.zeros(4000) for i in range(10)}
    tensors |= {"first": torch.zeros(200), "middle": torch.zeros(200), "last": torch.zeros(200)}
    file = tmp_path / "model.safetensors"
    save_file(tensors, file)
    before = contents(tmp_path)
    assert contents(tmp_path) == before
    save_file({**tensors, changed: torch.ones(200)}, file)
    assert contents(tmp_path) != before


def test_a_large_file_of_another_format_is_looked_at_all_over(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_WHOLE", 1 << 10)
    for start in (b"\xff" * 8, (50).to_bytes(8, "little") + b"no JSON", (2).to_bytes(8, "little") + b"[]"):
        data = start + b"rows" * 9_000
        (tmp_path / "rows.arrow").write_bytes(data)
        before = contents(tmp_path)
        noisy = np.frombuffer(data, np.uint8) ^ np.uint8(1)
        (tmp_path / "rows.arrow").write_bytes(data[:8] + noisy.tobytes()[8:])
        assert contents(tmp_path) != before
