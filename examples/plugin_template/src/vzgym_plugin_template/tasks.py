"""A suite of tasks, and a family."""

from __future__ import annotations

from typing import ClassVar

from vzgym.tasks import Suite
from vzgym.tasks.procedural.families.needle import Needle

LONG = Suite("template_long", ({"name": "needle", "duration": 600.0, "scenes": 9},), "ten minutes, one flash")
"""Ours, longer: a suite is data."""


class BigNeedle(Needle):
    """The needle family under another name, with a larger flash."""

    name: ClassVar[str] = "template_needle"

    def __init__(self, settings: object = None, **options: object) -> None:
        if settings is None:
            options.setdefault("flash_size", 0.8)
        super().__init__(settings, **options)  # type: ignore[arg-type]
