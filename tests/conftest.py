"""Records without clock times, task files, videos that fail, models that have memorized trajectories, and a server."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vzgym.core.actions import Region
from vzgym.core.errors import VideoError
from vzgym.core.interval import Interval
from vzgym.episode import Message
from vzgym.episode.record import EpisodeRecord
from vzgym.tasks import VideoTask, load_tasks
from vzgym.tasks.io.writing import write_tasks
from vzgym.video import ArrayVideo, Frames

# A shell that runs the tests in the background makes them ignore Ctrl-C, and with them the commands that they stop
# by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _facts(record: EpisodeRecord) -> dict[str, Any]:
    """All that a record says, but for how long things took."""
    data: dict[str, Any] = json.loads(record.to_line())
    for clock in ("wall_seconds", "tool_seconds", "model_seconds"):
        del data["info"][clock]
    for clip in [data["overview"], *(clip for turn in data["turns"] for clip in turn["clips"])]:
        clip.pop("seconds")
    return data


@pytest.fixture(scope="session")
def facts() -> Callable[[EpisodeRecord], dict[str, Any]]:
    return _facts


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of three tasks (needle, count, control) with real videos. Not to be changed."""
    tiny = load_tasks("tiny/test")
    return write_tasks([tiny[index] for index in range(3)], tmp_path_factory.mktemp("written"))


class FailingVideo(ArrayVideo):
    """Can be read while only few frames are asked for at once."""

    def __init__(self, most: int) -> None:
        super().__init__(np.zeros((40, 24, 32, 3), dtype=np.uint8), 4.0, "array:failing")
        self.most = most

    def read(
        self, times: NDArray[np.float64], *, size: tuple[int, int] | None = None, region: Region | None = None
    ) -> Frames:
        if len(times) > self.most:
            raise VideoError("the data ends here", path=self.uri)
        return super().read(times, size=size, region=region)


@pytest.fixture(scope="session")
def make_task() -> Callable[..., VideoTask]:
    """A question about a video of 10 s, which fails when more than `most` frames are read at once."""

    def make(id: str = "hand-made", *, most: int = 10_000, **facts: Any) -> VideoTask:
        known: dict[str, Any] = {
            "question": "Which?",
            "options": ("this", "that"),
            "answer": "this",
            "evidence": (Interval(4.0, 6.0),),
            "category": "hand-made",
        }
        return VideoTask(id=id, video=FailingVideo(most), **{**known, **facts})

    return make


def _learn_by_heart(
    model: Path, folder: Path, settings: Any, steps: int, more: Sequence[tuple[Message, ...]] = ()
) -> Path:
    import torch

    from vzgym.agents.data.collector import Collector
    from vzgym.agents.training.sft import TrajectoryCollator
    from vzgym.agents.vlm.checkpoint import open_checkpoint, save_checkpoint
    from vzgym.protocols import as_chat

    start = open_checkpoint(model)
    collector = Collector(settings)
    played = [trajectory.record.messages for trajectory in collector.play(range(settings.episodes))]
    collate = TrajectoryCollator(start.processor, 2000)
    batches = [
        collate([{"messages": as_chat(messages, tool_role="tool")} for messages in batch])
        for batch in (played, more)
        if batch
    ]
    optimizer = torch.optim.Adam(start.model.parameters(), lr=8e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 2.5 * (1 - step / steps)))
    for _ in range(steps):
        for batch in batches:
            start.model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    save_checkpoint(folder, start.model, start.processor, collector.protocol)
    return folder


@pytest.fixture(scope="session")
def by_heart() -> Callable[..., Path]:
    """Makes models that have memorized a few expert trajectories: `by_heart(model, folder, settings, steps, more)`."""
    return _learn_by_heart


@contextmanager
def _transformers_serve(model: Path | str, modules_cache: Path) -> Iterator[str]:
    import transformers.dynamic_module_utils as modules
    from transformers.cli.serve import Serve

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modules, "HF_MODULES_CACHE", str(modules_cache))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        served = Serve(
            force_model=str(model), trust_remote_code=True, device="cpu", host="127.0.0.1", port=port, non_blocking=True
        )
    try:
        while not served.server.started:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        served.kill_server()


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path | str], AbstractContextManager[str]]:
    """What `transformers serve FOLDER --trust-remote-code` runs, in a thread: `with serve(folder) as url`."""
    return lambda model: _transformers_serve(model, tmp_path_factory.mktemp("modules"))


# Not for the whole session: while Playwright runs, its event loop keeps tests of other modules from running theirs.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium, of Playwright's type `Browser`; skips where Playwright or Chromium is not installed."""
    sync_api = pytest.importorskip("playwright.sync_api", reason='needs Playwright: pip install "vzgym[dev]"')
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        # Chromium's sandbox does not work for root.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens addresses: `open_page(url, width=400, color_scheme="dark")`. No page may log an error or load another's."""
    contexts, faults = [], []

    def opened(url: str, width: int = 1280, height: int = 900, **options: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()
        origin = url.split("/")[:3]
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda told: faults.append(told.text) if told.type == "error" else None)
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("data:", "blob:")) or request.url.split("/")[:3] == origin
                else faults.append(f"loads {request.url}")
            ),
        )
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the stages of experiments in this process: each new one would import everything again."""
    from vzgym.evaluation.experiments import running
    from vzgym.rollout import executor

    for module in (running, executor):
        monkeypatch.setattr(module, "LocalProcesses", lambda workers, fresh: executor.InProcess())
