"""A server of OpenEnv's in a thread, on a free port of the loopback interface."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

pytest.importorskip("openenv", reason='needs the extra "openenv": make test-interfaces')

from vzgym.interfaces.openenv import Served, make_app
from vzgym.interfaces.openenv.server import LARGEST_MESSAGE
from vzgym.interfaces.tasks import ServedTasks, splits_of
from vzgym.tasks import load_tasks
from vzgym.testing.parity.openenv import serving_app

SESSIONS = 64


def running(app: Any) -> AbstractContextManager[str]:
    """Serve an ASGI application with the limits of `serve`; gives its address."""
    return serving_app(app, ws_max_size=LARGEST_MESSAGE)


@pytest.fixture(scope="session")
def served() -> Served:
    return Served.make(ServedTasks([load_tasks(name) for name in splits_of("tiny")]))


@pytest.fixture(scope="session")
def url(served: Served) -> Iterator[str]:
    with running(make_app(served, sessions=SESSIONS)) as address:
        yield address
