"""Optional traits of policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.episode.tools import Tool, describe
from vzgym.policies.policy import AnyPolicy, SelectedOverview, TextPolicy
from vzgym.tasks.task import VideoTask

__all__ = ["PolicyTraits", "add_costs"]

_DEFAULT_BATCH = 8


@dataclass(frozen=True)
class PolicyTraits:
    """A policy's optional traits, with defaults for missing ones; see `Policy` and `TextPolicy`.

    Attributes:
        policy: The policy.
        name: For tables; the class's name by default.
        identity: JSON values that identify its runs, or None.
        observation: Its observation module.
        action: Its action module.
        protocol: The text protocol of a `TextPolicy`; "tags" by default.
        batch_size: Number of episodes that it plays at once, >= 1; 1 for a `Policy`.
        trained_budget: The budget that it was trained with; None if unknown.
        trained_extras: The tools and the subtitle mode that it was trained with, as JSON values; None if unknown.
        privileged: Whether it uses the evidence or the answer of each task.
    """

    policy: AnyPolicy
    name: str
    identity: Any
    observation: Any
    action: Any
    protocol: Any
    batch_size: int
    privileged: bool
    trained_budget: Budget | None = None
    trained_extras: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, policy: AnyPolicy) -> PolicyTraits:
        """Read a policy's traits.

        Raises:
            InvalidSetting: If the name is not a string, or the batch size is not an integer >= 1.
        """
        name = getattr(policy, "name", type(policy).__name__)
        if not isinstance(name, str):
            raise InvalidSetting(f"the name of a policy must be a text, got {name!r}")
        protocol = getattr(policy, "protocol", "tags")
        speaks = isinstance(policy, TextPolicy)
        batch_size = getattr(policy, "batch_size", _DEFAULT_BATCH) if speaks else 1
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise InvalidSetting(f"batch_size of policy {name!r} must be a whole number >= 1, got {batch_size!r}")
        trained = getattr(policy, "trained_budget", None)
        if trained is not None and not isinstance(trained, Budget):
            raise InvalidSetting(f"trained_budget of policy {name!r} must be a Budget or None, got {trained!r}")
        extras = getattr(policy, "trained_extras", None)
        if extras is not None and not isinstance(extras, Mapping):
            raise InvalidSetting(f"trained_extras of policy {name!r} must be a mapping or None, got {extras!r:.200}")
        return cls(
            policy=policy,
            name=name,
            identity=getattr(policy, "identity", None),
            observation="dialogue" if speaks else getattr(policy, "observation", "default"),
            action={"name": "text", "protocol": protocol} if speaks else getattr(policy, "action", "default"),
            protocol=protocol,
            batch_size=batch_size,
            privileged=bool(getattr(policy, "privileged", hasattr(policy, "reveal"))),
            trained_budget=trained,
            trained_extras=extras,
        )

    def prepare(self, budget: Budget) -> Budget:
        """The budget with which the policy plays, given that of the run.

        Raises:
            InvalidSetting: If its `prepare` does not return a budget.
        """
        prepare = getattr(self.policy, "prepare", None)
        if prepare is None:
            return budget
        prepared = prepare(budget)
        if not isinstance(prepared, Budget):
            raise InvalidSetting(f"prepare() of policy {self.name!r} must return a Budget, got {prepared!r}")
        return prepared

    def describe_tools(self, tools: Sequence[Tool]) -> None:
        """Tell the policy which tools it may call, if it asks for them (`use_tools`)."""
        use = getattr(self.policy, "use_tools", None)
        if use is not None:
            use([describe(tool) for tool in tools])

    def reveal(self, tasks: Sequence[VideoTask]) -> None:
        """Reveal the tasks of the next episodes to a policy with `reveal`; a `Policy` gets one at a time."""
        reveal = getattr(self.policy, "reveal", None)
        if reveal is not None:
            reveal(tasks if isinstance(self.policy, TextPolicy) else tasks[0])

    def overview(self, task: VideoTask, seed: int) -> SelectedOverview | None:
        """The overview that the policy selects for an episode; None if it is the budget's.

        Raises:
            InvalidSetting: If its `overview` returns anything else.
        """
        select = getattr(self.policy, "overview", None)
        if select is None:
            return None
        selected = select(task, seed)
        if selected is not None and not isinstance(selected, SelectedOverview):
            raise InvalidSetting(
                f"overview() of policy {self.name!r} must return a SelectedOverview or None, got {selected!r:.200}"
            )
        return selected

    def latest_costs(self, count: int) -> Sequence[Mapping[str, float]]:
        """Costs of each action of the latest `act` or `respond`; empty mappings for a policy without costs.

        Args:
            count: The number of texts; 1 for a `Policy`.

        Raises:
            InvalidSetting: If `costs` is not a mapping, or of a `TextPolicy` not a list of one mapping for each text.
        """
        costs = getattr(self.policy, "costs", None)
        if costs is None:
            return [{}] * count
        if not isinstance(self.policy, TextPolicy):
            costs = [costs]
        if not (isinstance(costs, Sequence) and all(isinstance(item, Mapping) for item in costs)):
            raise InvalidSetting(
                f"costs of policy {self.name!r} must be a mapping of numbers, one for each action, got {costs!r:.200}"
            )
        if len(costs) != count:
            raise InvalidSetting(
                f"costs of policy {self.name!r} must have one mapping for each text: {len(costs)} mappings for "
                f"{count} texts"
            )
        found: Sequence[Mapping[str, float]] = costs
        return found


def add_costs(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """The sum of two costs, entry by entry."""
    return {**first, **{key: first.get(key, 0) + value for key, value in second.items()}}
