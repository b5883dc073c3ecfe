"""Layer 4: reward modules and their composition."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.rewards.base import NEEDS, REWARDS, Answerer, Need, ProbabilityAnswerer, RewardContext, RewardModule
    from vzgym.rewards.condition import PREDICATES, AllOf, Compare, Condition, Is, make_condition
    from vzgym.rewards.counterfactual import Credit, credit
    from vzgym.rewards.group import rescore, score_group
    from vzgym.rewards.making import make_reward
    from vzgym.rewards.mix import Anneal, RewardMix, StepReward, Term, TermScore
    from vzgym.rewards.presets import PRESETS
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "base: NEEDS REWARDS Answerer Need ProbabilityAnswerer RewardContext RewardModule",
        "condition: PREDICATES AllOf Compare Condition Is make_condition",
        "counterfactual: Credit credit",
        "group: rescore score_group",
        "making: make_reward",
        "mix: Anneal RewardMix StepReward Term TermScore",
        "presets: PRESETS",
    )

__all__ = [
    "NEEDS",
    "PREDICATES",
    "PRESETS",
    "REWARDS",
    "AllOf",
    "Anneal",
    "Answerer",
    "Compare",
    "Condition",
    "Credit",
    "Is",
    "Need",
    "ProbabilityAnswerer",
    "RewardContext",
    "RewardMix",
    "RewardModule",
    "StepReward",
    "Term",
    "TermScore",
    "credit",
    "make_condition",
    "make_reward",
    "rescore",
    "score_group",
]
