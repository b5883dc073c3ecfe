"""Contract of PettingZoo environments: PettingZoo's own tests, and what they do not ask."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from vzgym.testing import scenes
from vzgym.testing.report import Broken, Report, Rule, apply_rules, need

__all__ = ["check_team"]

_CYCLES = 20
_SEED = 11

MakeTeam = Callable[[], Any]


def _quietly(test: Callable[..., Any], *values: Any, what: str, **options: Any) -> None:
    """Run one of PettingZoo's tests; what it warns of is a fault."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("error")
        # It expects arrays, and goes on to check dictionaries all the same.
        warnings.filterwarnings("ignore", message="Observation is not a NumPy array")
        warnings.filterwarnings("ignore", message=".*[Oo]bservation space.*")
        try:
            test(*values, **options)
        except (AssertionError, UserWarning, ValueError, TypeError, LookupError, AttributeError) as error:
            raise Broken(f"PettingZoo's {what} says: {error}") from error


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


def _run(env: Any, spoil: bool) -> list[Any]:
    said = []
    observations, _ = env.reset(seed=_SEED)
    for agent in env.possible_agents:
        env.action_space(agent).seed(_SEED)
    while env.agents:
        said.append(scenes.copied(observations))
        if spoil:
            for array in scenes.arrays_in(observations):
                array[...] = 1
        observations, rewards, *_ = env.step({agent: env.action_space(agent).sample() for agent in env.agents})
        said.append(scenes.copied(rewards))
    return said


def _t_alias(make: MakeTeam) -> None:
    place = scenes.differ(_run(make(), False), _run(make(), True))
    need(place is None, f"what a user writes into an observation shows up later, at {place}: return fresh arrays")


def _t_end(make: MakeTeam) -> None:
    env = make()
    _run(env, False)
    need(env.agents == [], "after the end env.agents must be empty")


TEAM_RULES: tuple[Rule[MakeTeam], ...] = (
    Rule("passes PettingZoo's parallel_api_test", _t_parallel),
    Rule("passes PettingZoo's api_test, turn by turn", _t_aec),
    Rule("passes PettingZoo's seed test", _t_seed),
    Rule("observations belong to whoever got them", _t_alias),
    Rule("no agent is left after the end", _t_end),
)


def check_team(make: MakeTeam, subject: str = "") -> Report:
    """Check a parallel environment of PettingZoo.

    Args:
        make: Makes it.
        subject: For the report.
    """
    name = subject or str(getattr(make, "__name__", make))
    return apply_rules("team environment", name, TEAM_RULES, partial(_same, make))


def _same(make: MakeTeam) -> MakeTeam:
    return make
