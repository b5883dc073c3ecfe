"""What the system reports of memory."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from vzgym.core.memory import machine_memory, peak_memory


@pytest.mark.parametrize(("system", "unit"), [("linux", 2**10), ("darwin", 1)])
def test_the_peak_is_in_gib_whatever_the_system_counts_in(
    monkeypatch: pytest.MonkeyPatch, system: str, unit: int
) -> None:
    usage = SimpleNamespace(ru_maxrss=3 * 2**30 // unit)
    monkeypatch.setitem(sys.modules, "resource", SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda who: usage))
    monkeypatch.setattr(sys, "platform", system)
    assert peak_memory() == 3.0


def test_windows_reports_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (machine_memory() or 0) > 2**28
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.delattr(os, "sysconf_names")
    assert peak_memory() is None
    assert machine_memory() is None
