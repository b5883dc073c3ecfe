"""What a policy is, and the registry of those with names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from vzgym.core.registry import Registry
from vzgym.episode.dialogue import Message

__all__ = ["POLICIES", "AnyPolicy", "Policy", "TextPolicy"]


@runtime_checkable
class Policy(Protocol):
    """Plays `VideoZoomEnv`, one environment at a time.

    Two methods are all that is needed. Optional attributes and methods, looked for by `vzgym.evaluate`:

    - `name`: str, for tables; the class's name otherwise.
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

    Optional: `name`, `prepare(budget)`, `reveal(tasks)` as in `Policy`; `protocol`, the text protocol that its texts
    follow (a name, mapping or object; "tags" otherwise); `batch_size`, how many dialogues it wants at once (default 8).
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
# A language model from a checkpoint's folder: {"name": "vlm", "path": ...}. Imported only when it is asked for.
POLICIES.register("vlm", "vzgym.agents.policy:VLMPolicy")
