"""Layer 6: the policy protocols, their registry, and what is known about a policy."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.policies.policy import POLICIES, AnyPolicy, Policy, TextPolicy
else:
    __getattr__, __dir__ = lazy_exports(__name__, "policy: POLICIES AnyPolicy Policy TextPolicy")

__all__ = ["POLICIES", "AnyPolicy", "Policy", "TextPolicy"]
