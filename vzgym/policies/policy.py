"""The policy protocols and the policy registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import InvalidSetting
from vzgym.core.registry import Registry
from vzgym.core.secrets import redact
from vzgym.episode.dialogue import Message

__all__ = ["POLICIES", "AnyPolicy", "Policy", "SelectedOverview", "TextPolicy", "load_policy"]


@dataclass(frozen=True, slots=True, eq=False)
class SelectedOverview:
    """The frames of an episode's overview, selected by a policy.

    Attributes:
        times: float64, shape `(n,)`, in seconds, ascending; n is at most the budget's `overview_frames`.
        costs: What the selection costs, as `costs` of a policy.
    """

    times: NDArray[np.float64]
    costs: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class Policy(Protocol):
    """A policy that acts in `VideoZoomEnv`, one environment at a time.

    Two methods are required. Optional attributes and methods, read by `PolicyTraits`:

    - `name`: str, for tables; the class's name by default.
    - `identity`: JSON values stored with a run. A stopped run is resumed only with the same values. By default the
      options with which the policy was created.
    - `observation`, `action`: the modules it plays through (as `VideoZoomEnv` takes them); "default" by default.
    - `trained_budget`: the `Budget` that it was trained with. It is evaluated with it unless another is given.
    - `trained_extras`: the tools and the subtitle mode that it was trained with, as JSON values (`Extras.to_json`). It
      is evaluated with them unless others are given.
    - `prepare(budget) -> Budget`: called with the run's budget before the first episode. Returns the budget to play
      with, possibly unchanged.
    - `costs`: after each `act`, a mapping of numbers: the costs of that action ("frames_scored", ...). They are summed
      into the record's `info.costs`; those of a scorer (`vzgym.episode.costs.SCORER_COSTS`) enter the cost ledger.
    - `use_tools(tools)`: called after `prepare` with the descriptions of the run's tools
      (`vzgym.episode.ToolDescription`), an empty list if there are none.
    - `reveal(task)`: called with the whole task, evidence and answer, before each episode. For oracles and experts: a
      policy with this method is reported as privileged, unless its attribute `privileged` is False.
    - `overview(task, seed) -> SelectedOverview`: called before each episode. Selects the frames of the overview; None
      leaves them to the budget.
    - `privileged`: whether it uses what an agent cannot know: the evidence or the answer.
    """

    def reset(self, seed: int) -> None:
        """Start an episode.

        Args:
            seed: Seeds all randomness in it, >= 0.
        """
        ...

    def act(self, observation: Any, info: dict[str, Any]) -> Any:
        """Return the action of one round, in the form of the policy's action module."""
        ...


@runtime_checkable
class TextPolicy(Protocol):
    """A policy that generates text: it maps a batch of dialogues to one text each.

    Optional, beside `name`, `identity`, `trained_budget`, `trained_extras`, `prepare(budget)`, `use_tools(tools)`,
    `overview(task, seed)` and `privileged` of a `Policy`:

    - `protocol`: the text protocol that its texts follow (a name, mapping or object); "tags" by default.
    - `batch_size`: maximum number of dialogues in a batch; 8 by default.
    - `reveal(tasks)`: as for a `Policy`, with the tasks of a batch.
    - `costs`: after each `respond`, a list with one mapping of numbers per text. They are summed for each episode.
    - `log_likelihoods(dialogue, texts)`: the log-likelihood of each text as the next turn, with its end token, float64
      of shape `(texts,)`, in nats. For the rewards `confidence_gain` and `information_gain`.
    """

    def reset(self, seeds: Sequence[int]) -> None:
        """Start a batch of episodes, one seed each."""
        ...

    def respond(self, dialogues: Sequence[Sequence[Message]]) -> list[str]:
        """Return the next turn of each dialogue.

        Args:
            dialogues: Unfinished dialogues, each ending with a message from the environment. Frames are read-only
                arrays in native aspect (`Message.images`). Finished episodes are left out, so the batch shrinks.

        Returns:
            One text per dialogue, in order.
        """
        ...


AnyPolicy: TypeAlias = Policy | TextPolicy

POLICIES: Registry[AnyPolicy] = Registry("policy", "vzgym.policies", methods="reset and act, or reset and respond")
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
# Frame selectors ("aks", "bolt:scorer=siglip", {"name": "aks", "play": "zoom"}); "selector" takes any, by an option.
for _name in (
    "selector", "top-k", "windows", "binary", "tree", "shots", "motion", "top-motion", "dpselect", "aks",
    "aks-videomme", "aks-longvideobench", "bolt", "bolt-longvideobench", "q-frame", "mdp3", "gift", "focus",
    "t-star", "videotree", "wfs-sb", "dig", "uniform-linspace", "uniform-centre", "uniform-arange",
):  # fmt: skip
    # Options may name a file, a server or code.
    POLICIES.register(_name, f"vzgym.baselines.selectors.play:POLICY_OF.{_name}", from_data=False)
# A language model from a checkpoint's folder: {"name": "vlm", "path": ...}.
POLICIES.register("vlm", "vzgym.agents.vlm.policy:VLMPolicy", from_data=False)
# The trained tiny model that is part of the package.
POLICIES.register("tiny", "vzgym.agents.tiny.shipped:load_shipped_model", from_data=False)
# A learner of Stable-Baselines3 from a run's folder: {"name": "sb3", "path": ...}.
POLICIES.register("sb3", "vzgym.agents.sb3.policy:SB3Policy", from_data=False)
# A model on a server: "served:MODEL@URL", or {"name": "served", "model": ..., "url": ..., ...}.
for _name, _path in {
    "videoagent": "videoagent:VideoAgent",
    "videotree-agent": "videotree:VideoTreeAgent",
    "t-star-agent": "tstar:TStarAgent",
}.items():
    POLICIES.register(_name, f"vzgym.agents.served.{_path}", from_data=False)
POLICIES.register("served", "vzgym.agents.served.policy:ServedPolicy", from_data=False)


def load_policy(spec: AnyPolicy | str | Mapping[str, Any]) -> AnyPolicy:
    """Load or make a policy: `load_policy("tiny")` is a trained model that is part of the package.

    Args:
        spec: An object, a registered name, `"module:Class"`, a mapping `{"name": ..., **options}`, or a
            Stable-Baselines3 model with its environment.

    Raises:
        InvalidSetting: If it is not a policy.
        UnknownName: If the name is not registered.
    """
    if _is_sb3_model(spec):
        return POLICIES.make({"name": "sb3", "model": spec})
    policy = POLICIES.make(spec)
    if isinstance(policy, type):
        raise InvalidSetting(f"a policy is an object, got the class {policy.__name__}: call it")
    if not isinstance(policy, (Policy, TextPolicy)):
        raise InvalidSetting(
            f"{redact(spec)!r} is no policy: it needs reset(seed) and act(observation, info), or reset(seeds) "
            "and respond(dialogues)"
        )
    return policy


def _is_sb3_model(spec: object) -> bool:
    """Whether `spec` is a Stable-Baselines3 model; the package is not imported to find out."""
    return any(base.__module__ == "stable_baselines3.common.base_class" for base in type(spec).__mro__)
