"""Contract of PettingZoo environments: PettingZoo's tests, and further rules."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from vzgym.testing import scenes
from vzgym.testing.report import ConformanceReport, ContractViolation, Rule, apply_rules, need

__all__ = ["check_team"]

_CYCLES = 20
_RESET = ("observations", "infos")
_SEED = 11

MakeTeam = Callable[[], Any]


def _quietly(test: Callable[..., Any], *values: Any, what: str, **options: Any) -> None:
    """Run one of PettingZoo's tests, with warnings as failures."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("error")
        # It expects arrays but checks dictionaries as well.
        warnings.filterwarnings("ignore", message="Observation is not a NumPy array")
        warnings.filterwarnings("ignore", message=".*[Oo]bservation space.*")
        try:
            test(*values, **options)
        except (AssertionError, UserWarning, ValueError, TypeError, LookupError, AttributeError) as error:
            raise ContractViolation(f"PettingZoo's {what} reports: {error!s:.300}") from error


def _t_parallel(make: MakeTeam) -> None:
    from pettingzoo.test import parallel_api_test

    _quietly(parallel_api_test, make(), num_cycles=_CYCLES, what="parallel_api_test")


def _t_aec(make: MakeTeam) -> None:
    from pettingzoo.test import api_test
    from pettingzoo.utils.conversions import parallel_to_aec

    _quietly(api_test, parallel_to_aec(make()), num_cycles=_CYCLES, what="api_test")


def _t_seed(make: MakeTeam) -> None:
    from pettingzoo.test import parallel_seed_test

    _quietly(parallel_seed_test, make, num_cycles=_CYCLES, what="parallel_seed_test")


def _rounds(env: Any, spoil: bool = False) -> Iterator[tuple[tuple[Any, ...], list[str]]]:
    """What `reset` and each `step` of an episode return, with the agents concerned.

    Args:
        env: The environment.
        spoil: Overwrite every observation after use.
    """
    came: tuple[Any, ...] = env.reset(seed=_SEED)
    agents = list(env.possible_agents)
    for agent in agents:
        env.action_space(agent).seed(_SEED)
    for _ in range(_CYCLES):
        yield came, agents
        if spoil:
            for array in scenes.arrays_in(came[0]):
                array[...] = 1
        agents = list(env.agents)
        if not agents or _over(came, agents):
            return
        came = env.step({agent: env.action_space(agent).sample() for agent in agents})
    raise ContractViolation(
        f"the episode has not ended after {_CYCLES} rounds: terminate or truncate every agent eventually"
    )


def _over(came: tuple[Any, ...], agents: list[str]) -> bool:
    """Whether a step ended the episode for all agents."""
    return len(came) == 5 and all(came[2].get(agent) or came[3].get(agent) for agent in agents)


def _t_spaces(make: MakeTeam) -> None:
    env = make()
    for agent in env.possible_agents:
        for what in ("observation_space", "action_space"):
            space = getattr(env, what)
            need(
                space(agent) is space(agent),
                f"{what}({agent!r}) returns a new space at each call, which loses its seed: return the same object",
            )


def _t_shape(make: MakeTeam) -> None:
    env = make()
    for came, agents in _rounds(env):
        names = ("observations", "rewards", "terminations", "truncations", "infos") if len(came) == 5 else _RESET
        need(len(came) == len(names), f"it returns {len(came)} values: {', '.join(names)} are expected")
        for name, values in zip(names, came, strict=True):
            missing = [agent for agent in agents if agent not in values]
            need(not missing, f"{name} have no entry for {', '.join(missing)}: give one for every agent of the round")
        for agent, seen in came[0].items():
            space = env.observation_space(agent)
            if not space.contains(seen):
                raise ContractViolation(
                    f"the observation of {agent} is not in its space{_where(space, seen)}: change one of them"
                )


def _where(space: Any, seen: Any) -> str:
    parts = getattr(space, "spaces", None)
    if not isinstance(parts, dict) or not isinstance(seen, dict):
        return ""
    apart = sorted(set(parts) ^ set(seen)) or [key for key in parts if not parts[key].contains(seen[key])]
    return f", at {', '.join(map(repr, apart))}"


def _t_alias(make: MakeTeam) -> None:
    kept, spoiled = ([scenes.copied(came[:2]) for came, _ in _rounds(make(), spoil)] for spoil in (False, True))
    place = scenes.differ(kept, spoiled)
    need(place is None, f"changes to a returned observation appear in later ones, at {place}: return fresh arrays")


def _t_end(make: MakeTeam) -> None:
    env = make()
    *_, (came, agents) = _rounds(env)
    need(_over(came, agents), "the agents are removed without termination or truncation: report one for each agent")
    need(env.agents == [], f"after the end env.agents is {env.agents}: it must be empty")


TEAM_RULES: tuple[Rule[MakeTeam], ...] = (
    Rule("an agent's spaces are the same objects each time", _t_spaces),
    Rule("every agent gets its entry, and its observation is in its space", _t_shape),
    Rule("passes PettingZoo's parallel_api_test", _t_parallel),
    Rule("passes PettingZoo's api_test, turn by turn", _t_aec),
    Rule("passes PettingZoo's seed test", _t_seed),
    Rule("returned observations are independent of the environment's state", _t_alias),
    Rule("no agent is left after the end", _t_end),
)


def check_team(make: MakeTeam, subject: str = "") -> ConformanceReport:
    """Check a parallel PettingZoo environment.

    Args:
        make: Factory of the environment.
        subject: For the report.
    """
    name = subject or str(getattr(make, "__name__", make))
    return apply_rules("team environment", name, TEAM_RULES, partial(_same, make))


def _same(make: MakeTeam) -> MakeTeam:
    return make
