"""Information about the run that produced a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

import numpy as np

from vzgym.core.errors import RecordError
from vzgym.core.files import MAX_DEPTH, json_fault
from vzgym.tasks.subtitles.subtitle import SUBTITLE_MODES, SubtitleMode

__all__ = ["RunInfo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """Information about the run that produced a record. The JSON form omits fields with default values.

    Args:
        interface: Interface through which the episode was played: "gymnasium", "pettingzoo", "trl", "collect", or
            the name of a sub-package of `vzgym.interfaces`; "" for `Episode` itself.
        wording: Specification of the wording of the dialogue, `{"name": ..., **options}`.
        subtitles: Where the dialogue shows subtitles: "none", "overview", "clips" or "all".
        policy: The policy's name.
        seed: The run's seed; without a run, the seed of the environment's reset.
        index: Index of the episode in its run, from 0.
        sample: Index of the roll-out of its task, from 0; None if each task is played once.
        kind: Kind of a collected trajectory ("exemplar", "reflection", ...).
        rejected: The filter that rejected a collected trajectory; "" if none did.
        step: Training step of a training roll-out.
        rollout: Index of a training roll-out in the step's batch.
        discarded: Whether dynamic sampling left a training roll-out out of the update.
        progress: Training progress of a training roll-out, in [0, 1].
        reward: The reward by name or mapping, from which it can be rebuilt; None if it has neither.
        vzgym: The version of vzgym.
        sees_frames: Whether the agent's observations contain frames.
        costs: Costs of a served model's turns, by name ("requests", "input_tokens", ...).
        counterfactual: Answers given from selected clips (`vzgym.rewards.counterfactual.Credit`), as JSON values.
        first_answer: The policy's answer before its first zoom; None if it was not asked for one.
        wall_seconds: Wall time of the episode.
        tool_seconds: Wall time of the environment, including decoding.
        model_seconds: Wall time of the policy.
        proof_weakened_by: Fields of the budget that show more of a procedural task than its suite was built for; see
            `vzgym.tasks.budgets.weakened_by`.
        selected_overview: Whether the policy selected the times of the overview.

    Raises:
        RecordError: If a value is of the wrong type or not JSON-serializable; names the field.
    """

    interface: str = ""
    wording: Mapping[str, Any] = field(default_factory=dict)
    subtitles: SubtitleMode = "none"
    policy: str = ""
    seed: int | None = None
    index: int | None = None
    sample: int | None = None
    kind: str = ""
    rejected: str = ""
    step: int | None = None
    rollout: int | None = None
    discarded: bool = False
    progress: float | None = None
    reward: str | Mapping[str, Any] | None = None
    vzgym: str = ""
    sees_frames: bool = True
    costs: Mapping[str, float] = field(default_factory=dict)
    counterfactual: Mapping[str, Any] | None = None
    first_answer: str | None = None
    wall_seconds: float | None = None
    tool_seconds: float | None = None
    model_seconds: float | None = None
    proof_weakened_by: tuple[str, ...] = ()
    selected_overview: bool = False

    def __post_init__(self) -> None:
        for names, types, words in _TYPES:
            for name in names:
                value = getattr(self, name)
                if isinstance(value, np.generic):
                    value = value.item()
                    object.__setattr__(self, name, value)
                if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                    raise RecordError(f"run information {name!r} must be {words}, got {value!r:.200}")
                if (
                    isinstance(value, (float, str, Mapping))
                    and (fault := json_fault(value, MAX_DEPTH // 2)) is not None
                ):
                    raise RecordError(f"run information {name!r} holds {fault}, which JSON has no form for")
        if self.subtitles not in SUBTITLE_MODES:
            raise RecordError(
                f"run information 'subtitles' must be one of {', '.join(SUBTITLE_MODES)}, got {self.subtitles!r:.200}"
            )
        object.__setattr__(self, "proof_weakened_by", tuple(self.proof_weakened_by))

    def to_json(self) -> dict[str, Any]:
        """JSON form: the fields that differ from their defaults."""
        found = {}
        for part in fields(self):
            value = getattr(self, part.name)
            default = part.default if part.default_factory is MISSING else part.default_factory()
            if value != default:
                found[part.name] = list(value) if isinstance(value, tuple) else value
        return found

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunInfo:
        """Rebuild from `to_json`.

        Raises:
            RecordError: If a key is unknown (lists the known ones) or a value is of the wrong type.
        """
        if not isinstance(data, Mapping):
            raise RecordError(f"run information must be an object, got {data!r:.200}")
        known = [part.name for part in fields(cls)]
        unknown = sorted(set(data) - set(known))
        if unknown:
            raise RecordError(f"unknown run information {', '.join(map(repr, unknown))}; valid: {', '.join(known)}")
        return cls(**data)


_NONE = type(None)
_TYPES: tuple[tuple[tuple[str, ...], tuple[type, ...], str], ...] = (
    (("interface", "policy", "kind", "rejected", "vzgym"), (str,), "text"),
    (("first_answer",), (str, _NONE), "text or None"),
    (("seed", "index", "sample", "step", "rollout"), (int, _NONE), "a whole number or None"),
    (("progress", "wall_seconds", "tool_seconds", "model_seconds"), (int, float, _NONE), "a number or None"),
    (("sees_frames", "selected_overview", "discarded"), (bool,), "True or False"),
    (("wording", "costs"), (Mapping,), "a mapping"),
    (("counterfactual",), (Mapping, _NONE), "a mapping or None"),
    (("reward",), (str, Mapping, _NONE), "a name, a mapping or None"),
    (("proof_weakened_by",), (tuple, list), "a list of names"),
)
