"""List the installed plug-ins and whether they can be imported; a broken one does not hide the others."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import Final

from vzgym.core.errors import PluginError
from vzgym.core.registry import import_object

__all__ = ["GROUPS", "Plugin", "installed_plugins"]

GROUPS: Final[dict[str, str]] = {
    "vzgym.policies": "policy",
    "vzgym.selectors": "selector",
    "vzgym.observations": "observation",
    "vzgym.actions": "action",
    "vzgym.rewards": "reward",
    "vzgym.scorers": "scorer",
    "vzgym.tools": "tool",
    "vzgym.families": "family",
    "vzgym.videos": "video",
    "vzgym.tasks": "",
    "vzgym.readers": "",
    "vzgym.protocols": "",
}
"""Every entry-point group, and the contract's kind ("" if the kit has none)."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One registered component.

    Attributes:
        group: Its entry-point group.
        name: Its registered name.
        value: `module:Class`.
        package: The package that registers it, with its version.
        kind: Its contract; "" if the kit has none.
        fault: Why it cannot be imported; "" if it can.
    """

    group: str
    name: str
    value: str
    package: str
    kind: str
    fault: str


def installed_plugins() -> list[Plugin]:
    """All components that installed packages register, each imported once."""
    found = []
    for group, kind in GROUPS.items():
        for entry in importlib.metadata.entry_points(group=group):
            fault = ""
            try:
                import_object(entry.value)
            except PluginError as error:
                fault = str(error)
            package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else ""
            found.append(Plugin(group, entry.name, entry.value, package, kind, fault))
    return sorted(found, key=lambda plugin: (plugin.group, plugin.name))
