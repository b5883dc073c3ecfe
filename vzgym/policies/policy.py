"""What a policy is, and the registry of those with names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from vzgym.core.errors import InvalidSetting
from vzgym.core.registry import Registry
from vzgym.core.secrets import redact
from vzgym.episode.dialogue import Message

__all__ = ["POLICIES", "AnyPolicy", "Policy", "TextPolicy", "make_policy"]


@runtime_checkable
class Policy(Protocol):
    """A policy that acts in `VideoZoomEnv`, one environment at a time.

    Two methods are all that is needed. Optional attributes and methods, which `PolicyTraits` reads:

    - `name`: str, for tables; the class's name by default.
    - `identity`: JSON values that a run keeps. A stopped run is resumed only with the same values. By default the
      options that the policy was made with.
    - `observation`, `action`: the modules it plays through (as `VideoZoomEnv` takes them); "default" by default.
    - `trained_budget`: the `Budget` that it was trained with. It is evaluated with it unless another is given.
    - `prepare(budget) -> Budget`: called with the run's budget before the first episode. Returns the budget to play
      with; a policy that only wants to know it returns it unchanged.
    - `reveal(task)`: called with the whole task, evidence and answer, before each episode. For oracles and experts: a
      policy with this method is marked as privileged in every report.
    """

    def reset(self, seed: int) -> None:
        """Start an episode.

        Args:
            seed: Seeds all randomness in it, >= 0.
        """
        ...

    def act(self, observation: Any, info: dict[str, Any]) -> Any:
        """One round's action, in a form that the policy's action module takes."""
        ...


@runtime_checkable
class TextPolicy(Protocol):
    """A policy that writes text: it takes a batch of dialogues and returns a text for each.

    Optional, beside `name`, `identity`, `trained_budget` and `prepare(budget)` of a `Policy`:

    - `protocol`: the text protocol that its texts follow (a name, mapping or object); "tags" by default.
    - `batch_size`: how many dialogues it takes at once; 8 by default.
    - `reveal(tasks)`: as of a `Policy`, with the tasks of a batch.
    - `costs`: after each `respond`, a list with a mapping of numbers for each text: what it cost. They are added up for
      each episode.
    """

    def reset(self, seeds: Sequence[int]) -> None:
        """Start a batch of episodes, one seed each."""
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


def make_policy(spec: AnyPolicy | str | Mapping[str, Any]) -> AnyPolicy:
    """A policy from whatever names one.

    Args:
        spec: An object, a registered name, `"module:Class"`, or a mapping `{"name": ..., **options}`.

    Raises:
        InvalidSetting: If it is no policy.
        UnknownName: If the name is not registered.
    """
    policy = POLICIES.make(spec)
    if isinstance(policy, type):
        raise InvalidSetting(f"a policy is an object, got the class {policy.__name__}: call it")
    if not isinstance(policy, (Policy, TextPolicy)):
        raise InvalidSetting(
            f"{redact(spec)!r} is no policy: it needs reset(seed) and act(observation, info), or reset(seeds) "
            "and respond(dialogues)"
        )
    return policy
