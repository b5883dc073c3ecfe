"""Registers the built-in reward modules by name; each is imported on first use."""

from vzgym.rewards.base import REWARDS

for _name, _path in {
    "accuracy": "outcome:Accuracy",
    "judged_accuracy": "judge:JudgedAccuracy",
    "format": "outcome:Format",
    "tag_format": "outcome:TagFormat",
    "overlong": "length:Overlong",
    "conditional_tool": "tool:ConditionalTool",
    "tool_bonus": "tool:ToolBonus",
    "tool_ladder": "tool:ToolLadder",
    "accumulative_tool": "tool:AccumulativeTool",
    "wrong_with_tool": "tool:WrongWithTool",
    "repeated_call": "tool:RepeatedCall",
    "call_cost": "cost:CallCost",
    "frame_cost": "cost:FrameCost",
    "token_cost": "cost:TokenCost",
    "ledger_cost": "cost:LedgerCost",
    "iou_last": "evidence:IouLast",
    "iou_union": "evidence:IouUnion",
    # The common meaning of IoU.
    "iou": "evidence:IouUnion",
    "penalized_iou": "evidence:PenalizedIou",
    "evidence_gate": "evidence:EvidenceGate",
    "frame_purity": "evidence:FramePurity",
    "recall": "localization:Recall",
    "loc_f1": "localization:LocF1",
    "repeat": "localization:Repeat",
    "consistency": "localization:Consistency",
    "time_proximity": "localization:TimeProximity",
    "gated_turn": "localization:GatedTurn",
    "potential": "shaping:PotentialShaping",
    "sufficiency": "counterfactual:Sufficiency",
    "csv": "counterfactual:Csv",
    "rescue_regress": "counterfactual:RescueRegress",
    "needed_clips": "counterfactual:NeededClips",
    "confidence_gain": "confidence:ConfidenceGain",
    "information_gain": "confidence:InformationGain",
    "quality_first": "rollouts:QualityFirst",
    "difficulty": "rollouts:Difficulty",
    "curiosity": "rollouts:Curiosity",
    "tool_benefit": "rollouts:ToolBenefit",
}.items():
    # The judge calls a server and writes a cache file, both given by its options.
    REWARDS.register(_name, f"vzgym.rewards.{_path}", from_data=_name != "judged_accuracy")
