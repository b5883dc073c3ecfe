"""A small model and a vLLM server of it on the CPU. These tests run where vLLM is installed: `make test-vllm`."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch

from vzgym.agents.data.settings import CollectSettings
from vzgym.agents.training.settings import PretrainSettings

if importlib.util.find_spec("vllm") is None:
    collect_ignore_glob = ["test_*.py"]

# vLLM needs heads of 32 channels; the micro suites' dialogues have at most 512 tokens.
SIZE = {"width": 64, "layers": 2, "head_width": 32, "inner": 96, "vision_width": 16}
EPISODES = 8


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def free_port():
    """Finds a free port of this machine."""

    def find():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture(scope="session")
def engine_environment():
    """Variables of processes with an engine: one thread, no statistics sent, and 1 GiB of keys and values."""
    return {
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "ACCELERATE_USE_CPU": "true",
    }


@pytest.fixture(scope="session")
def model(by_heart, tmp_path_factory):
    """The folder of a model that knows the first tasks of needle-micro/test by heart."""
    from vzgym.agents.training.pretrain import pretrain

    folder = tmp_path_factory.mktemp("vllm")
    warm = pretrain(PretrainSettings(out=str(folder / "warm"), size=SIZE, videos=8, max_steps=4, batch_size=8))
    taught = CollectSettings(
        tasks="needle-micro/test", episodes=EPISODES, mix="exemplar=1", protocol="compact_tags", thoughts="short"
    )
    return by_heart(warm, folder / "model", taught, 120)


@pytest.fixture(scope="session")
def server(model, engine_environment, free_port, tmp_path_factory):
    """The base URL of `vllm serve` of the folder, as it is, started with the options that TRL's client needs."""
    port = free_port()
    command = [
        str(Path(sys.executable).with_name("vllm")), "serve", str(model), "--host", "127.0.0.1", "--port", str(port),
        "--dtype", "float32", "--enforce-eager", "--max-num-seqs", "8", "--max-model-len", "512",
        "--enable-scale-out", "--logprobs-mode", "processed_logprobs", "--max-logprobs", "-1",
    ]  # fmt: skip
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            env={**os.environ, **engine_environment, "VLLM_SERVER_DEV_MODE": "1"},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        # The engine is a process of its own.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def _wait(url, process, log):
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            pass
        if process.poll() is not None:
            break
        time.sleep(1)
    pytest.fail(f"vLLM's server did not start:\n{log.read_text()[-4000:]}")
