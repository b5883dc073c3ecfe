"""How properties are checked here: the same examples on every machine, however slow it is."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("vzgym", deadline=None, derandomize=True)
settings.load_profile("vzgym")
