"""The procedural families: one file and one line here each. Plug-ins register theirs in the group `vzgym.families`."""

from typing import Any

from vzgym.core.registry import Registry

__all__ = ["FAMILIES"]

FAMILIES: Registry[Any] = Registry("task family", "vzgym.families")
"""Families by name: subclasses of `vzgym.tasks.Family`, which take their settings by name."""

# Names only: listing tasks must not import drawing code.
FAMILIES.register("anomaly", f"{__name__}.anomaly:Anomaly")
FAMILIES.register("control", f"{__name__}.control:Control")
FAMILIES.register("count", f"{__name__}.count:Count")
FAMILIES.register("decoy", f"{__name__}.decoy:Decoy")
FAMILIES.register("direction", f"{__name__}.direction:Direction")
FAMILIES.register("needle", f"{__name__}.needle:Needle")
FAMILIES.register("order", f"{__name__}.order:Order")
FAMILIES.register("speed", f"{__name__}.speed:Speed")
FAMILIES.register("state", f"{__name__}.state:State")
FAMILIES.register("text", f"{__name__}.text:Text")
FAMILIES.register("twohop", f"{__name__}.twohop:TwoHop")
