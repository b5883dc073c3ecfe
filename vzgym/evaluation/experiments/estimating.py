"""How long a plan will take: by what finished works of the same kind took, else by what the tiny model took once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vzgym.evaluation.experiments.doing import DONE, WORK, done
from vzgym.evaluation.experiments.plan import PLAY, Work
from vzgym.evaluation.experiments.settings import STORE

__all__ = ["DEFAULT_RATES", "Estimates", "measured_rates", "rate_key"]

DEFAULT_RATES: Final[Mapping[str, float]] = {
    "pretrain": 110.0,
    "collect": 0.009,
    "sft": 0.0075,
    "grpo": 0.020,
    "sb3": 0.004,
    "play policy": 0.01,
    "play vlm": 0.06,
    "play sb3": 0.02,
}
"""Seconds per unit on one core (a pre-training run, a trajectory, an SFT trajectory, a roll-out, a step, an episode),
with the tiny model or Stable-Baselines3 on the tiny suites."""

START: Final = 1.0
"""Seconds that a new process takes before it works."""


def rate_key(work: Work) -> str:
    """What works are timed together."""
    return f"play {work.settings['player']}" if work.kind == PLAY else work.kind


def measured_rates(root: Path) -> dict[str, tuple[float, int]]:
    """Seconds a unit of what was finished in a folder, and of how many works."""
    found: dict[str, list[float]] = defaultdict(list)
    for note in root.glob(f"{STORE}/*/{DONE}"):
        work = json.loads((note.parent / WORK).read_text(encoding="utf-8"))
        facts = json.loads(note.read_text(encoding="utf-8"))
        key = f"play {work['settings']['player']}" if work["kind"] == PLAY else work["kind"]
        found[key].append(facts["seconds"] / max(facts["units"], 1e-9))
    return {key: (sum(rates) / len(rates), len(rates)) for key, rates in found.items()}


@dataclass(frozen=True)
class Line:
    """The works of one kind.

    Attributes:
        kind: What they are.
        total: How many.
        done: How many of them are done.
        seconds: What those to do will take, one after the other.
        basis: What the estimate rests on.
    """

    kind: str
    total: int
    done: int
    seconds: float
    basis: str


class Estimates:
    """Times of works.

    Args:
        root: The folder of all experiments: finished works in it give the rates.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.measured = measured_rates(root)

    def seconds(self, work: Work) -> float:
        """How long a work will take, the start of its process included."""
        key = rate_key(work)
        rate = self.measured[key][0] if key in self.measured else DEFAULT_RATES[key]
        return START + rate * work.units

    def lines(self, works: Sequence[Work]) -> list[Line]:
        """One line a kind of work."""
        kinds: dict[str, list[Work]] = defaultdict(list)
        for work in works:
            kinds[rate_key(work)].append(work)
        found = []
        for key, members in kinds.items():
            open_ = [work for work in members if done(work, self.root) is None]
            count = self.measured[key][1] if key in self.measured else 0
            basis = f"{count} finished" if count else "tiny, one core"
            found.append(Line(key, len(members), len(members) - len(open_), sum(map(self.seconds, open_)), basis))
        return found
