"""A suite of tasks."""

from __future__ import annotations

from vzgym.tasks import Suite

LONG = Suite("template_long", ({"name": "needle", "duration": 600.0, "scenes": 9},), "ten minutes, one flash")
"""The needle family, longer: a suite is data."""
