"""Layer 6: policy protocols, their registry, and the optional traits of policies."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.policies.policy import POLICIES, AnyPolicy, Policy, SelectedOverview, TextPolicy, load_policy
    from vzgym.policies.traits import PolicyTraits
else:
    __getattr__, __dir__ = lazy_exports(
        __name__, "policy: POLICIES AnyPolicy Policy SelectedOverview TextPolicy load_policy", "traits: PolicyTraits"
    )

__all__ = ["POLICIES", "AnyPolicy", "Policy", "PolicyTraits", "SelectedOverview", "TextPolicy", "load_policy"]
