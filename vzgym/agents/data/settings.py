"""Settings of trajectory collection: mixtures of kinds of trajectories, and filters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import NonNegativeInt, PositiveInt, model_validator

from vzgym.agents.data.phrases import PHRASES
from vzgym.agents.data.scripted import TRAJECTORY_KINDS
from vzgym.agents.settings import BudgetedSettings, ExtrasSettings, Named
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.core.settings import ListOf, checked, problem

__all__ = ["FILTERS", "MIXES", "CollectSettings", "parse_mix"]

MIXES: Final[Mapping[str, Mapping[str, float]]] = {
    # Approximately the paper's: exemplars of teachers, and reflections.
    "paper": {"exemplar": 0.6, "reflection": 0.4},
    # The paper's ablation: without reflection data a model zooms once and then answers.
    "no-reflection": {"exemplar": 1.0},
    # Deliberately weak, so that reinforcement learning can improve on it.
    "weak": {"guess": 0.35, "wrong_scene": 0.15, "one_zoom": 0.10, "exemplar": 0.40},
    # For your own videos with known evidence: no expert can read them, and no teacher is needed.
    "told": {"told": 1.0},
    # For the control that cannot zoom: use a budget with max_zooms=0.
    "no-tool": {"direct": 1.0},
    # Experts that call tools.
    "subtitles": {"subtitles": 1.0},
    "find_frames": {"find_frames": 1.0},
    # Rejection sampling alone; and with wrong roll-outs continued by the expert.
    "policy": {"policy": 1.0},
    "policy-reflection": {"policy": 0.6, "continued": 0.4},
    # The paper's: a teacher's exemplars, and wrong roll-outs that it continues.
    "teacher": {"policy": 0.6, "taught": 0.4},
}
"""Mixtures by name: the share of each kind of trajectory."""

FILTERS: Final = ("correct", "well_formed", "evidence", "reflection")
"""Conditions under which a trajectory is kept: a correct answer, every turn well-formed, the evidence among its frames,
and, if a teacher continued it, a reflection (the mistake in words, then another zoom)."""


def _check_mix(mix: str | Mapping[str, float]) -> None:
    if mix:
        parse_mix(mix)


def _check_phrases(name: str) -> None:
    if name not in PHRASES:
        raise UnknownName("phrase book", name, PHRASES)


class CollectSettings(BudgetedSettings, ExtrasSettings):
    """Settings of `vzgym collect`: which trajectories to collect for the cold start."""

    tasks: str = "needle-tiny/train"
    """Tasks to play: a suite with its split, or a .jsonl file."""

    episodes: PositiveInt = 1000
    """Number of tasks to play, in order from `start`."""

    start: NonNegativeInt = 0
    """Index of the first task."""

    mix: Annotated[str | Mapping[str, float], checked(_check_mix)] = ""
    """Name of a mixture, or the share of each kind of trajectory. Default: `teacher` if there is a teacher, else
    `policy` if there is a policy, else `paper`."""

    policy: Named = ""
    """Plays the kinds "policy", "continued" and "taught": a registered name, `module:Class`, `served:MODEL@URL`, or a
    mapping with options."""

    teacher: Named = ""
    """Text policy that continues wrong roll-outs, for the kind "taught". Default: the policy itself."""

    samples: PositiveInt = 4
    """Roll-outs of the policy for each task."""

    protocol: Named = ""
    """Text protocol. Default: the policy's own if it has one, else `tags`."""

    thoughts: Annotated[str, checked(_check_phrases)] = "sentences"
    """Phrase book of the scripted kinds: `sentences` or `short`."""

    wordings: NonNegativeInt = 0
    """Use only the first wordings of each phrase, this many; 0: all."""

    filters: ListOf[Literal["correct", "well_formed", "evidence", "reflection"]] = FILTERS
    """Filters that a trajectory must pass to be kept. Deliberately wrong kinds skip those that they cannot pass."""

    tool_role: Literal["tool", "user"] = "tool"
    """Chat role of the environment's replies. `tool` is what evaluation and GRPO use."""

    part: PositiveInt = 100
    """Tasks per part. A finished part survives a kill; memory holds one part."""

    @model_validator(mode="after")
    def _check_players(self) -> Self:
        played = [kind for kind in self.shares if TRAJECTORY_KINDS[kind].script is None]
        if played and not self.policy:
            raise problem(f"mix asks for {', '.join(played)}, which need a policy: --policy NAME", "mix")
        offered = {tool if isinstance(tool, str) else tool.get("name") for tool in self.tools or ()}
        for kind in self.shares:
            needed = TRAJECTORY_KINDS[kind].tool
            if needed and not any(str(name).partition(":")[0] == needed for name in offered):
                raise problem(f"mix asks for {kind}, which calls the tool {needed}: --tool {needed}", "tools")
        if self.teacher and "taught" not in self.shares:
            raise problem("teacher continues trajectories of the kind 'taught': --mix teacher", "teacher")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """The mixture, normalized to a sum of 1."""
        mix = self.mix or ("teacher" if self.teacher else "policy" if self.policy else "paper")
        return parse_mix(mix)

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON values; the mixture as shares."""
        return {**super().to_dict(), "mix": self.shares}


def parse_mix(mix: str | Mapping[str, float]) -> dict[str, float]:
    """A mixture by name ("weak"), as text ("exemplar=0.6,reflection=0.4") or as a mapping; normalized to a sum of 1.

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
        if kind not in TRAJECTORY_KINDS:
            raise UnknownName("kind of trajectory", kind, TRAJECTORY_KINDS)
        if not 0 <= share < float("inf"):
            raise InvalidSetting(f"the share of {kind!r} must be a number >= 0, got {share}")
    total = sum(mix.values())
    if total <= 0:
        raise InvalidSetting(f"a mixture needs a share > 0, got {dict(mix)}")
    return {kind: share / total for kind, share in mix.items() if share > 0}
