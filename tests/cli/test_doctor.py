"""`vzgym doctor`."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from vzgym.cli import doctor
from vzgym.core.errors import VideoError
from vzgym.video.file import BACKENDS, FileVideo

Run = Callable[..., Result]


def test_json(run: Run) -> None:
    found = run("doctor", "--json")
    assert found.exit_code == 0, found.output
    data = json.loads(found.stdout)
    assert set(data) == {"packages", "unmet", "decoders", "machine"}
    assert data["packages"]["numpy"] == np.__version__
    assert data["packages"]["av"] == importlib.metadata.version("av")
    assert sorted(data["decoders"]) == BACKENDS.names()
    assert data["decoders"]["pyav"] == "works"
    assert data["machine"]["python"] == platform.python_version()
    assert int(data["machine"]["cores"]) >= 1
    assert "gpu" in data["machine"]


def test_tables(run: Run) -> None:
    found = run("doctor")
    assert found.exit_code == 0, found.output
    assert max(map(len, found.stdout.splitlines())) <= 80
    for word in ("Packages", "numpy", "Decoders", "pyav", "works", "Machine", "python"):
        assert word in found.stdout


def test_a_missing_package_comes_with_the_command_that_installs_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = doctor._version
    monkeypatch.setattr(doctor, "_decoders", dict)
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in ("torch", "av") else installed(name))
    found = run("doctor")
    assert found.exit_code == 0, found.output
    lines = {line.split("│")[1].strip(): line for line in found.stdout.splitlines() if line.count("│") == 3}
    assert 'pip install "vzgym[llm]"' in lines["torch"]
    assert "not installed" in lines["av"]
    assert "torch is not installed" in lines["gpu"]
    assert json.loads(run("doctor", "--json").stdout)["packages"]["torch"] is None


def test_a_decoder_that_is_a_frame_off_does_not_work(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    read = FileVideo.read

    def late(self: FileVideo, times: Any, **options: Any) -> Any:
        return read(self, np.minimum(np.asarray(times) + 0.1, self.duration), **options)

    monkeypatch.setattr(FileVideo, "read", late)
    monkeypatch.setattr(BACKENDS, "names", lambda: ["pyav"])
    assert json.loads(run("doctor", "--json").stdout)["decoders"]["pyav"].startswith("wrong frame at ")


def test_a_decoder_that_fails_says_why(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: FileVideo, times: Any, **options: Any) -> Any:
        raise VideoError("no [codec] for this", path=self.path)

    monkeypatch.setattr(FileVideo, "read", fail)
    found = run("doctor", "--json")
    assert found.exit_code == 0
    state = json.loads(found.stdout)["decoders"]["pyav"]
    assert state.startswith("VideoError: ")
    assert state.endswith("no [codec] for this")
    assert "[codec]" in run("doctor").stdout


def test_releases_that_vllm_does_not_take_are_named(run, monkeypatch):
    monkeypatch.setattr(doctor, "_decoders", dict)
    needs = {"vllm": ["transformers<5.18 (5.23.0 is installed)"]}
    monkeypatch.setattr("vzgym.agents.training.processes.unmet_requirements", lambda name: needs.get(name, []))
    assert "vllm needs transformers<5.18 (5.23.0 is installed)" in " ".join(run("doctor").stdout.split())
    assert json.loads(run("doctor", "--json").stdout)["unmet"] == [f"vllm needs {needs['vllm'][0]}"]
