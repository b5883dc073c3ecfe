"""Check any component: determine its kind and apply the kind's contract."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from vzgym.baselines.selectors.base import SELECTORS
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.core.registry import Registry, import_object
from vzgym.envs.actions import ACTIONS
from vzgym.envs.observations import OBSERVATIONS
from vzgym.envs.video_zoom import VideoZoomEnv
from vzgym.policies.policy import POLICIES
from vzgym.rewards.base import REWARDS
from vzgym.scorers.base import SCORERS
from vzgym.tasks import FAMILIES, Family
from vzgym.testing.contracts.actions import check_action
from vzgym.testing.contracts.backends import check_backend
from vzgym.testing.contracts.environments import check_environment
from vzgym.testing.contracts.families import check_family
from vzgym.testing.contracts.observations import check_observation
from vzgym.testing.contracts.policies import check_policy
from vzgym.testing.contracts.rewards import check_reward
from vzgym.testing.contracts.scorers import check_scorer
from vzgym.testing.contracts.selectors import check_selector
from vzgym.testing.contracts.tools import check_tool
from vzgym.testing.report import ConformanceReport
from vzgym.tools.base import TOOLS
from vzgym.video.file import BACKENDS

__all__ = ["KINDS", "check", "kind_of"]

KINDS: Final[Mapping[str, tuple[Registry[Any], Callable[..., ConformanceReport]]]] = {
    "policy": (POLICIES, check_policy),
    "selector": (SELECTORS, check_selector),
    "observation": (OBSERVATIONS, check_observation),
    "action": (ACTIONS, check_action),
    "reward": (REWARDS, check_reward),
    "scorer": (SCORERS, check_scorer),
    "tool": (TOOLS, check_tool),
    "family": (FAMILIES, check_family),
    "video": (BACKENDS, check_backend),
}
"""Kinds with a contract: each with its registry and its check."""


def kind_of(part: Any) -> str:
    """Determine the kind of a class or an object.

    Raises:
        InvalidSetting: If its methods match no kind, or it is text.
    """
    target: Any = part if isinstance(part, type) else type(part)

    def has(*names: str) -> bool:
        return all(inspect.getattr_static(target, name, None) is not None for name in names)

    if (isinstance(part, type) and issubclass(part, Family)) or isinstance(part, Family):
        return "family"
    if has("read_frames") or has("isolated", "snaps"):
        return "video"
    if has("run", "parameters", "spec"):
        return "tool"
    if has("decode"):
        return "action"
    if has("observe"):
        return "observation"
    if has("select"):
        return "selector"
    if has("score"):
        return "scorer" if "frames" in inspect.signature(target.score).parameters else "reward"
    if has("respond") or has("act"):
        return "policy"
    if has("build"):
        return "family"
    kinds = ", ".join(KINDS)
    raise InvalidSetting(
        f"{getattr(part, '__name__', part)!r} has no method that identifies its kind (act or respond, select, observe, "
        f"decode, score, run, build, pictures): give its kind, one of {kinds}"
    )


def check(name: str, kind: str | None = None, **options: Any) -> ConformanceReport:
    """Check a registered component, or any `module:Class`.

    Args:
        name: A registered name, or `"module:Class"`. With `kind`, a factory function works too.
        kind: One of `KINDS`; if not given, determined from the component's methods or its registry.
        options: Arguments for the component.

    Raises:
        UnknownName: If no registry has the name.
        PluginError: If it cannot be imported.
        InvalidSetting: If its kind cannot be determined, or several registries have the name.
    """
    if kind is None:
        kind = kind_of(import_object(name)) if ":" in name else _registered(name)
    if kind not in KINDS:
        raise UnknownName("kind of part", kind, KINDS)
    registry, checks = KINDS[kind]
    registry.get(name)
    if kind == "video":
        return checks(name)
    return checks(partial(registry.make, {"name": name, **options}), name)


def _registered(name: str) -> str:
    found = [kind for kind, (registry, _) in KINDS.items() if name in registry]
    if not found:
        every = sorted({item for registry, _ in KINDS.values() for item in registry.names()})
        raise UnknownName("component", name, every, "Name an unregistered class as 'module:Class'.")
    if len(found) > 1:
        raise InvalidSetting(f"{name!r} is the name of several components ({', '.join(found)}): choose one with --kind")
    return found[0]


def environment_of(name: str, kind: str) -> ConformanceReport | None:
    """Check the environment built with an observation or action module; None for other kinds."""
    if kind not in ("observation", "action"):
        return None
    settings: dict[str, Any] = {"tasks": "tiny/test", kind: name}
    return check_environment(partial(VideoZoomEnv, **settings), f"VideoZoomEnv({kind}={name!r})")
