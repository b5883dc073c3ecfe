"""The included suites: members and settings. Importing this module registers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vzgym.core.budget import Budget
from vzgym.tasks.procedural.timeline import CUES
from vzgym.tasks.suite import Suite, register_suite

__all__ = ["MICRO_BUDGET", "TINY_BUDGET", "TINY_SPATIAL_BUDGET"]

TINY_BUDGET = Budget(
    overview_fps=0.25,
    overview_frames=16,
    clip_frames=8,
    max_zooms=3,
    min_fps=0.1,
    max_fps=10.0,
    max_pixels=4096,
    min_pixels=1024,
)
"""For CPUs: 16 overview frames and three zooms of 8 frames, of at most 64x64 pixels."""

TINY_SPATIAL_BUDGET = replace(TINY_BUDGET, spatial=True)
"""The same with spatial zoom."""

_TINY: dict[str, Any] = {
    "budget": TINY_BUDGET,
    "duration": 64.0,
    "fps": 10.0,
    "height": 64,
    "width": 64,
    "scenes": 8,
    "even_scenes": True,
    "wordings": 1,
}
_SPATIAL_BUDGET = Budget(spatial=True)
_MEMBERS: dict[str, dict[str, Any]] = {
    "needle": {"name": "needle"},
    "count": {"name": "count"},
    "control": {"name": "control"},
    "order": {"name": "order"},
    "state": {"name": "state"},
    "anomaly": {"name": "anomaly"},
    "direction": {"name": "direction"},
    "speed": {"name": "speed"},
    "twohop": {"name": "twohop"},
    "decoy": {"name": "decoy"},
    "text": {"name": "text", "budget": _SPATIAL_BUDGET},
}
_TINY_MEMBERS: dict[str, dict[str, Any]] = {
    "needle": {"name": "needle", "event_seconds": 0.5, "flash_size": 0.86, **_TINY},
    "count": {"name": "count", "event_seconds": 1.4, "counts": (1, 2, 3, 4), "lamp_size": 0.7, **_TINY},
    "control": {"name": "control", "balloon_size": 0.5, **_TINY},
    "order": {
        "name": "order", "events": 2, "event_seconds": 1.0, "flash_size": 0.7, **_TINY, "scenes": 4,
    },
    "state": {"name": "state", "event_seconds": 1.0, **_TINY},
    "anomaly": {"name": "anomaly", "event_seconds": 1.0, "ball_size": 0.36, **_TINY},
    "direction": {"name": "direction", "event_seconds": 1.4, "ball_size": 0.36, **_TINY},
    "speed": {"name": "speed", "event_seconds": 1.4, **_TINY},
    "twohop": {"name": "twohop", "event_seconds": 1.0, "flash_size": 0.7, **_TINY},
    "decoy": {"name": "decoy", "event_seconds": 1.0, "flash_size": 0.6, **_TINY, "scenes": 5},
    "text": {
        "name": "text", "event_seconds": 1.0, "glyph_pixels": 10.0, **_TINY, "budget": TINY_SPATIAL_BUDGET,
        "height": 256, "width": 256,
    },
}  # fmt: skip
# Its files are written in seconds; the flash is so short that the same number of uniform frames misses some.
_SHORT: dict[str, Any] = {"duration": 60.0, "scenes": 5}
_SHORT_MEMBERS: dict[str, dict[str, Any]] = {
    "needle": {"name": "needle", "event_seconds": 0.32, **_SHORT},
    "count": {"name": "count", **_SHORT},
    "control": {"name": "control", **_SHORT},
}
_ABOUT = {
    "needle": "one short flash in each scene; what color?",
    "count": "a lamp blinks in a short burst in each scene; how often?",
    "control": "a balloon that the overview shows; what color?",
    "order": "several flashes in each scene; in which order?",
    "state": "a ball is put into one of several boxes; which one?",
    "anomaly": "a ball may do something odd for a moment; does it, and what?",
    "direction": "a disc crosses the picture; which way?",
    "speed": "discs fly side by side; which is fastest?",
    "twohop": "a card shows another scene's hue; what flashes there?",
    "decoy": "lights mark a ring, a disc flashes elsewhere; what color is the disc?",
    "text": "a number on a sign, legible in a region crop alone; which one?",
}
# Not a member of mixtures, but verified with them (`Suite.also`): text needs spatial zoom, and another member would
# change every task of a suite, whose name is its version.
_BESIDE = ("speed", "text")
_PLAIN = tuple(name for name in _MEMBERS if name not in _BESIDE)


def _with(member: Mapping[str, Any], **settings: Any) -> dict[str, Any]:
    return {**member, **settings}


for _name, _about in _ABOUT.items():
    _size, _tiny_size = ("1272x708", "256x256") if _name == "text" else ("256x144", "64x64")
    _scenes = _TINY_MEMBERS[_name]["scenes"]
    register_suite(Suite(_name, (_MEMBERS[_name],), f"189 s, {_size}, 7 scenes: {_about}"))
    register_suite(Suite(f"{_name}-tiny", (_TINY_MEMBERS[_name],), f"64 s, {_tiny_size}, {_scenes} scenes: {_about}"))
for _prefix, _members, _size, _text_size, _spatial in (
    ("", _MEMBERS, "189 s, 256x144", "1272x708", _SPATIAL_BUDGET),
    ("tiny-", _TINY_MEMBERS, "64 s, 64x64", "256x256", TINY_SPATIAL_BUDGET),
):
    _plain = tuple(_members[name] for name in _PLAIN)
    _dash = _prefix.rstrip("-")
    register_suite(
        Suite(
            _dash or "standard",
            _plain,
            f"{_size}: nine families in turn",
            also=tuple(f"{name}-tiny" if _prefix else name for name in _BESIDE),
        )
    )
    register_suite(
        Suite(
            f"{_prefix}hard",
            tuple(_with(member, cue="partial") for member in _plain),
            f"{_size}: the same with a partial cue, distractors and grain",
            difficulty=1.0,
        )
    )
    register_suite(
        Suite(
            f"{_prefix}mixed",
            tuple(_with(member, cue=cue, open=cue == "partial") for cue in CUES for member in _plain),
            f"{_size}: the same in every cue tier, those with a partial cue as open questions",
        )
    )
    register_suite(
        Suite(
            f"{_prefix}curriculum",
            _plain,
            f"{_size} at most: the same, harder from task to task",
            difficulty=(0.0, 1.0),
        )
    )
    register_suite(
        Suite(
            f"{_prefix}spatial",
            (_members["text"], *(_with(member, budget=_spatial) for member in _plain)),
            f"{_size}: text ({_text_size}) and the nine families, with spatial zoom",
        )
    )
register_suite(
    Suite(
        "narrated-tiny",
        (_with(_TINY_MEMBERS["needle"], narrated=True),),
        "64 s, 64x64, 8 scenes: needle-tiny with subtitles that say when the flash comes",
    )
)
register_suite(Suite("short", tuple(_SHORT_MEMBERS.values()), "60 s, 256x144: needle, count, control, for files"))

MICRO_BUDGET = Budget(
    overview_fps=1 / 12,
    overview_frames=8,
    clip_frames=6,
    max_zooms=2,
    min_fps=0.1,
    max_fps=10.0,
    max_pixels=1024,
    min_pixels=1024,
)
"""For models that train in minutes: 8 overview frames, two zooms of 6, of 32x32 pixels. A zoom covers half a scene."""

_MICRO: dict[str, Any] = {
    "budget": MICRO_BUDGET,
    "duration": 96.0,
    "fps": 10.0,
    "height": 32,
    "width": 32,
    "scenes": 8,
    "even_scenes": True,
    "wordings": 1,
    "colors": 6,
}
_MICRO_MEMBERS: dict[str, dict[str, Any]] = {
    "needle": {"name": "needle", "event_seconds": 1.0, "flash_size": 0.9, **_MICRO},
    "control": {"name": "control", "balloon_size": 0.6, **_MICRO},
}
for _name, _member in _MICRO_MEMBERS.items():
    register_suite(Suite(f"{_name}-micro", (_member,), f"96 s, 32x32, 8 scenes of 12 s: {_ABOUT[_name]}"))
register_suite(
    Suite("micro", tuple(_MICRO_MEMBERS.values()), "96 s, 32x32, 8 scenes of 12 s: needle and control in turn")
)

# Suites on which reward designs differ; docs/reference/tasks.md says how.
_needle, _control = (_with(member, question="shape") for member in _MICRO_MEMBERS.values())
register_suite(
    Suite(
        "mixed-micro",
        (_needle, _control),
        "96 s, 32x32: micro with one question for both; the overview says whether a zoom is needed",
    )
)
register_suite(
    Suite(
        "rich-overview-micro",
        (_control, _control, _control, _needle),
        "96 s, 32x32: mixed-micro, but three of four need no zoom",
    )
)
register_suite(
    Suite(
        "open-micro",
        (_MICRO_MEMBERS["needle"], _with(_MICRO_MEMBERS["needle"], open=True)),
        "96 s, 32x32: needle-micro with options and without in turn",
    )
)
register_suite(
    Suite(
        "width-micro",
        (_with(_MICRO_MEMBERS["needle"], event_seconds=0.5, budget=replace(MICRO_BUDGET, max_zooms=4)),),
        "96 s, 32x32: needle-micro with flashes of 0.5 s and four zooms; a zoom over a scene mostly misses",
    )
)
register_suite(
    Suite(
        "twohop-micro",
        (
            {
                "name": "twohop",
                "event_seconds": 1.0,
                "flash_size": 0.9,
                **_MICRO,
                "budget": replace(MICRO_BUDGET, max_zooms=4),
            },
        ),
        f"96 s, 32x32, 8 scenes of 12 s: {_ABOUT['twohop']}",
    )
)
