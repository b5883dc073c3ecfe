"""Parity and pixels of the interfaces that have an environment of their own (`make test-interfaces`)."""

from __future__ import annotations

import importlib.util

import pytest

from vzgym.testing import check_parity
from vzgym.testing.parity import INTERFACES, Interface

ALONE = {"openenv", "verifiers", "verl"}


@pytest.mark.parametrize(
    "interface",
    [each for each in INTERFACES if ALONE.intersection(each.needs)],
    ids=lambda interface: interface.name,
)
def test_the_interface_keeps_every_rule(interface: Interface) -> None:
    missing = [package for package in interface.needs if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: make test-interfaces")
    report = check_parity([interface])
    assert report.require().ok
    assert {result.status for result in report.results} == {"kept"}
