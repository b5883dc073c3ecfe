"""What to collect for a cold start: mixtures of kinds of trajectories, filters, and the settings around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from vzgym.agents.data.scripts import KINDS
from vzgym.agents.data.thoughts import PHRASES
from vzgym.core.errors import InvalidSetting, UnknownName

__all__ = ["FILTERS", "MIXES", "CollectSettings", "parse_mix"]

MIXES: Final[Mapping[str, Mapping[str, float]]] = {
    # About the paper's: teachers' exemplars, and reflections beside them.
    "paper": {"exemplar": 0.6, "reflection": 0.4},
    # The paper's ablation: without reflection data a model zooms once and answers at once.
    "no-reflection": {"exemplar": 1.0},
    # A deliberately weak start, from which reinforcement learning has something to learn.
    "weak": {"guess": 0.35, "wrong_scene": 0.15, "one_zoom": 0.10, "exemplar": 0.40},
    # For videos of one's own whose evidence is known: no expert can read them, and no teacher is needed.
    "told": {"told": 1.0},
    # For the control that cannot zoom: give it a budget with max_zooms=0.
    "no-tool": {"direct": 1.0},
    # Rejection sampling alone; and with the wrong roll-outs mended.
    "policy": {"policy": 1.0},
    "policy-reflection": {"policy": 0.6, "continued": 0.4},
    # The paper's own: a teacher's exemplars, and what it makes of wrong roll-outs.
    "teacher": {"policy": 0.6, "taught": 0.4},
}
"""Mixtures by name: the share of each kind of trajectory."""

FILTERS: Final[tuple[str, ...]] = ("correct", "well_formed", "evidence", "reflection")
"""What a trajectory must be to be kept: right, well-formed in every turn, with the evidence among its frames, and, if a
teacher continued it, a reflection: the mistake in words, then another zoom."""


@dataclass(frozen=True, kw_only=True)
class CollectSettings:
    """What to collect."""

    tasks: str = "needle-tiny/train"
    """A suite with its split, or a .jsonl file."""

    episodes: int = 1000
    """Tasks to play, one after the other from `start`."""

    start: int = 0
    """The first task's index."""

    mix: str | Mapping[str, float] = ""
    """A mixture's name, or the share of each kind. "": "teacher" if there is one, "policy" if there is a policy, else
    "paper"."""

    policy: str | Mapping[str, Any] = ""
    """Plays the kinds "policy", "continued" and "taught": a registered name, `module:Class`, `served:MODEL@URL`, or a
    mapping with options."""

    teacher: str | Mapping[str, Any] = ""
    """Continues wrong roll-outs of the kind "taught"; a policy that speaks. "": the policy itself."""

    samples: int = 4
    """Roll-outs of the policy for each task."""

    protocol: str | Mapping[str, Any] = ""
    """Text protocol. "": the policy's own if it has one, else "tags"."""

    thoughts: str = "sentences"
    """Phrase book of the scripted kinds: "sentences" or "short"."""

    wordings: int = 0
    """Use only the first so many wordings of each phrase; 0: all."""

    budget: Mapping[str, Any] = field(default_factory=dict)
    """Single budget settings, over those that the tasks were built for."""

    filters: tuple[str, ...] = FILTERS
    """Which filters apply: of "correct", "well_formed", "evidence", "reflection". Deliberately bad kinds skip what they
    must."""

    tool_role: str = "tool"
    """The role under which the environment's replies are saved: "tool", as acting and GRPO give them, or "user"."""

    seed: int = 0
    """Of everything that is drawn."""

    part: int = 500
    """Tasks in a part. A finished part survives a kill; memory holds one part."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "filters", tuple(self.filters))
        for name, least in (("episodes", 1), ("start", 0), ("samples", 1), ("wordings", 0), ("seed", 0), ("part", 1)):
            if getattr(self, name) < least:
                raise InvalidSetting(f"CollectSettings.{name} must be >= {least}, got {getattr(self, name)}")
        if self.thoughts not in PHRASES:
            raise UnknownName("phrase book", self.thoughts, PHRASES)
        for name in self.filters:
            if name not in FILTERS:
                raise UnknownName("filter", name, FILTERS)
        if self.tool_role not in ("user", "tool"):
            raise InvalidSetting(f"CollectSettings.tool_role must be 'user' or 'tool', got {self.tool_role!r}")
        played = [kind for kind in self.shares if KINDS[kind].script is None]
        if played and not self.policy:
            raise InvalidSetting(
                f"CollectSettings.mix asks for {', '.join(played)}, which need a policy: --policy NAME"
            )
        if self.teacher and "taught" not in self.shares:
            raise InvalidSetting("CollectSettings.teacher continues trajectories of the kind 'taught': --mix teacher")

    @property
    def shares(self) -> dict[str, float]:
        """The mixture, normalised to a sum of 1."""
        mix = self.mix or ("teacher" if self.teacher else "policy" if self.policy else "paper")
        return parse_mix(mix)

    def to_dict(self) -> dict[str, Any]:
        """All fields, as JSON values; the mixture spelled out."""
        return {**asdict(self), "filters": list(self.filters), "mix": self.shares}


def parse_mix(mix: str | Mapping[str, float]) -> dict[str, float]:
    """A mixture by name ("weak"), as text ("exemplar=0.6,reflection=0.4") or as a mapping; normalised to a sum of 1.

    Raises:
        UnknownName: If a mixture or a kind is unknown.
        InvalidSetting: If a share is no number >= 0, or all are 0.
    """
    if isinstance(mix, str):
        if "=" not in mix:
            if mix not in MIXES:
                raise UnknownName("mixture", mix, MIXES, "Or give shares by kind: exemplar=0.6,reflection=0.4")
            mix = MIXES[mix]
        else:
            pairs = [pair.partition("=") for pair in mix.split(",")]
            try:
                mix = {kind.strip(): float(share) for kind, _, share in pairs}
            except ValueError as error:
                raise InvalidSetting(f"a mixture is kind=share,kind=share; got {mix!r}: {error}") from error
    for kind, share in mix.items():
        if kind not in KINDS:
            raise UnknownName("kind of trajectory", kind, KINDS)
        if not 0 <= share < float("inf"):
            raise InvalidSetting(f"the share of {kind!r} must be a number >= 0, got {share}")
    total = sum(mix.values())
    if total <= 0:
        raise InvalidSetting(f"a mixture needs a share > 0, got {dict(mix)}")
    return {kind: share / total for kind, share in mix.items() if share > 0}
