"""What a policy is, and the registry of those with names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from vzgym.core.errors import InvalidSetting
from vzgym.core.registry import Registry
from vzgym.episode.dialogue import Message
from vzgym.episode.record import EpisodeRecord

__all__ = ["POLICIES", "AnyPolicy", "Policy", "Spending", "TextPolicy", "add_spent"]


@runtime_checkable
class Policy(Protocol):
    """Plays `VideoZoomEnv`, one environment at a time.

    Two methods are all that is needed. Optional attributes and methods, looked for by `vzgym.evaluate`:

    - `name`: str, for tables; the class's name otherwise.
    - `identity`: what tells its runs from others, JSON values; a stopped run goes on only under the same. The options
      it was made with otherwise.
    - `observation`, `action`: the modules it wants to play through (as `VideoZoomEnv` takes them); "default" otherwise.
    - `prepare(budget) -> Budget`: told the budget before a run; returns the one to play with. A policy that only wants
      to know it returns it unchanged.
    - `reveal(task)`: told the whole task, evidence and answer, before each episode. For oracles and experts; a policy
      that has it is marked as privileged in every report.
    """

    def reset(self, seed: int) -> None:
        """Begin an episode.

        Args:
            seed: Of all randomness in it, >= 0.
        """
        ...

    def act(self, observation: Any, info: dict[str, Any]) -> Any:
        """One round's action, in a form that the policy's action module takes."""
        ...


@runtime_checkable
class TextPolicy(Protocol):
    """Speaks: takes a batch of dialogues and gives a text for each.

    Optional: `name`, `identity`, `prepare(budget)`, `reveal(tasks)` as in `Policy`; `protocol`, the text protocol that
    its texts follow (a name, mapping or object; "tags" otherwise); `batch_size`, how many dialogues it wants at once
    (default 8); `spent`, a list that says after each `respond` what each of its texts cost: mappings of numbers, which
    are added up for each episode (`Spending`).
    """

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin a batch of episodes, one seed each."""
        ...

    def respond(self, dialogues: Sequence[Sequence[Message]]) -> list[str]:
        """The next turn of each dialogue.

        Args:
            dialogues: Unfinished dialogues, each ending with a message from the environment. Frames are read-only
                arrays in native aspect (`Message.images`). Finished episodes are left out, so the batch shrinks.

        Returns:
            As many texts as there are dialogues, in order.
        """
        ...


AnyPolicy: TypeAlias = Policy | TextPolicy

POLICIES: Registry[AnyPolicy] = Registry("policy", "vzgym.policies")
for _name, _class in {
    "blind": "Blind",
    "random": "RandomZoom",
    "overview": "OverviewOnly",
    "uniform": "Uniform",
    "sliding": "SlidingWindow",
    "oracle": "Oracle",
}.items():
    POLICIES.register(_name, f"vzgym.baselines.controls:{_class}")
POLICIES.register("expert", "vzgym.baselines.experts:Expert")
# A language model from a checkpoint's folder: {"name": "vlm", "path": ...}.
POLICIES.register("vlm", "vzgym.agents.vlm.policy:VLMPolicy", from_data=False)
# A learner of Stable-Baselines3 from a run's folder: {"name": "sb3", "path": ...}.
POLICIES.register("sb3", "vzgym.agents.sb3.policy:SB3Policy", from_data=False)
# A model on a server: "served:MODEL@URL", or {"name": "served", "model": ..., "url": ..., ...}.
POLICIES.register("served", "vzgym.agents.served.policy:ServedPolicy", from_data=False)


class Spending:
    """What each of several episodes cost, as their policy counts it (`TextPolicy.spent`).

    Args:
        episodes: How many there are.
    """

    def __init__(self, episodes: int) -> None:
        self._sums: list[dict[str, float]] = [{} for _ in range(episodes)]

    def add(self, policy: object, places: Sequence[int]) -> None:
        """Add what the latest `respond` cost.

        Args:
            policy: Who spoke; one that counts nothing adds nothing.
            places: For which episodes, in the order of its texts.

        Raises:
            InvalidSetting: If `spent` has not one mapping of numbers for each text.
        """
        spent = getattr(policy, "spent", None)
        if spent is None:
            return
        if len(spent) != len(places):
            raise InvalidSetting(
                f"spent of a policy must say what each text cost: {len(spent)} mappings for {len(places)} texts"
            )
        for place, costs in zip(places, spent, strict=True):
            _add(self._sums[place], costs)

    def note(self, place: int, record: EpisodeRecord) -> None:
        """Put an episode's sums into its record's `info.costs`."""
        record.set_info(costs=self._sums[place])


def add_spent(record: EpisodeRecord, other: EpisodeRecord) -> None:
    """Add to a record's `info.costs` those of another."""
    sums = dict(record.info.costs)
    _add(sums, other.info.costs)
    record.set_info(costs=sums)


def _add(sums: dict[str, float], costs: Mapping[str, float]) -> None:
    for key, value in costs.items():
        sums[key] = sums.get(key, 0) + value
