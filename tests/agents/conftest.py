"""One small, barely trained model for all tests of agents; nothing is fetched from a network."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch

from vzgym.agents.collect import CollectSettings
from vzgym.agents.settings import WarmupSettings
from vzgym.agents.store import collect

SMALL = {"width": 32, "layers": 2, "heads": 2, "inner": 48, "vision_width": 16}


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """The folder of a small model after a few steps of perception."""
    from vzgym.agents.tiny import warm_up

    out = tmp_path_factory.mktemp("small") / "warm"
    return warm_up(WarmupSettings(out=str(out), size=SMALL, videos=8, max_steps=4, batch_size=8, log_steps=2))


@pytest.fixture(scope="session")
def trajectories(tmp_path_factory):
    """The folder of a few trajectories for it."""
    out = tmp_path_factory.mktemp("data") / "trajectories"
    mix = {"exemplar": 0.5, "guess": 0.25, "wrong_scene": 0.25}
    settings = CollectSettings(
        tasks="needle-micro/train", episodes=24, mix=mix, protocol="compact_tags", thoughts="short"
    )
    collect(settings, out)
    return out
