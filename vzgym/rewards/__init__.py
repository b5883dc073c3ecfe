"""Floor 4: what a turn is worth."""

from vzgym.rewards.base import REWARDS, Need, RewardContext, RewardModule
from vzgym.rewards.mix import RewardMix, StepReward, Term, TermScore, make_reward
from vzgym.rewards.presets import PRESETS

__all__ = [
    "PRESETS",
    "REWARDS",
    "Need",
    "RewardContext",
    "RewardMix",
    "RewardModule",
    "StepReward",
    "Term",
    "TermScore",
    "make_reward",
]

for _name, _path in {
    "accuracy": "outcome:Accuracy",
    "format": "outcome:Format",
    "conditional_tool": "tool:ConditionalTool",
    "call_cost": "cost:CallCost",
    "frame_cost": "cost:FrameCost",
    "iou_last": "evidence:IouLast",
    "iou_union": "evidence:IouUnion",
    # The overlap that people mean when they just say IoU.
    "iou": "evidence:IouUnion",
}.items():
    REWARDS.register(_name, f"vzgym.rewards.{_path}")
