"""The parity check: plays scripts through every interface, and compares what happened and what arrived."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from vzgym.testing import scenes
from vzgym.testing.parity.base import Interface, Trace
from vzgym.testing.parity.interfaces import (
    AECInterface,
    EngineInterface,
    GymnasiumInterface,
    NativeCallsInterface,
    PettingZooInterface,
    SB3Interface,
    TextInterface,
    TRLInterface,
)
from vzgym.testing.parity.mcp import MCPInterface
from vzgym.testing.parity.openenv import OpenEnvInterface
from vzgym.testing.parity.pixels import Seen, fault_of_seen
from vzgym.testing.parity.script import Script, code_scripts, scripts
from vzgym.testing.parity.served_chat import ServedChatInterface
from vzgym.testing.parity.skyrl import SkyRLInterface
from vzgym.testing.parity.verifiers import VerifiersInterface
from vzgym.testing.parity.verl import VerlInterface
from vzgym.testing.report import ConformanceReport, RuleResult

__all__ = ["INTERFACES", "check_parity"]

INTERFACES: tuple[Interface, ...] = (
    EngineInterface(),
    GymnasiumInterface(),
    TextInterface("tags"),
    TextInterface("compact_tags"),
    TextInterface("tool_calls"),
    NativeCallsInterface(),
    SB3Interface(),
    PettingZooInterface(),
    AECInterface(),
    TRLInterface(),
    ServedChatInterface(),
    ServedChatInterface(structured=True),
    MCPInterface(),
    MCPInterface(http=True),
    SkyRLInterface(),
    VerlInterface(),
    OpenEnvInterface(),
    VerifiersInterface(),
)
"""Every interface of the package; the others are compared with the first."""


def check_parity(
    interfaces: Sequence[Interface] = INTERFACES, plays: Sequence[Script] | None = None
) -> ConformanceReport:
    """Play every script through every interface, and compare the traces with the engine's.

    Of interfaces that show frames, also check on a video of bar codes that the other side's model receives every frame,
    next to its time.

    Args:
        interfaces: The interfaces; those with missing packages are reported as left out.
        plays: The scripts; `scripts()` if not given.
    """
    chosen = scripts() if plays is None else list(plays)
    codes = code_scripts()
    wanted = {script.name: Trace.of(EngineInterface().play(script), script.reward) for script in [*chosen, *codes]}
    results = []
    for interface in interfaces:
        missing = [package for package in interface.needs if importlib.util.find_spec(package) is None]
        rule = f"{interface.name} plays what the engine plays"
        if missing:
            results.append(RuleResult(rule, "left out", f"{', '.join(missing)} not installed"))
            continue
        faults = [
            fault
            for script in _playable(interface, [*chosen, *codes])
            if (fault := _compare(interface, script, wanted[script.name]))
        ]
        results.append(RuleResult(rule, "broken" if faults else "kept", "; ".join(faults[:3])))
        if interface.shows_frames:
            faults = [fault for script in _playable(interface, codes) if (fault := _look(interface, script))]
            rule = f"{interface.name} shows the model every frame, next to its time"
            results.append(RuleResult(rule, "broken" if faults else "kept", "; ".join(faults[:3])))
    return ConformanceReport(f"{len(chosen) + len(codes)} scripts", "interfaces", tuple(results))


def _playable(interface: Interface, plays: Sequence[Script]) -> list[Script]:
    ends_at_answer = getattr(interface, "ends_at_answer", False)
    return [
        script
        for script in plays
        if (script.on_grid or not interface.has_grid) and not (ends_at_answer and script.budget.min_zooms)
    ]


def _compare(interface: Interface, script: Script, wanted: Trace) -> str | None:
    found = Trace.of(interface.play(script), script.reward)
    for part in ("turns", "clips", "rewards", "end"):
        one, other = getattr(wanted, part), getattr(found, part)
        if one != other:
            place = scenes.differ(one, other, part) or part
            return f"{script.name!r} differs at {place:.200} (the engine's, then {interface.name}'s)"
    return None


def _look(interface: Interface, script: Script) -> str | None:
    seen: list[Seen] = []
    fault = fault_of_seen(interface.play(script, seen), seen)
    return None if fault is None else f"{script.name!r}: {fault}"
