"""Memory of this process and of the machine, as far as the system reports it."""

from __future__ import annotations

import os
import sys

__all__ = ["machine_memory", "peak_memory"]


def peak_memory() -> float | None:
    """Peak memory of this process in GiB; None if the system does not report it."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**30 if sys.platform == "darwin" else 2**20), 3)


def machine_memory() -> int | None:
    """Memory of this machine in bytes; None if the system does not report it."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", ()):
        return None  # Windows
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
