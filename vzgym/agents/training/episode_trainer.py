"""TRL's GRPOTrainer for roll-outs whose turns may be cut off by the token limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trl.trainer.grpo_trainer import GRPOTrainer

from vzgym.agents.training.tool_environment import ReplyToTruncated
from vzgym.agents.vlm.chat import turn_end

__all__ = ["EpisodeTrainer"]


class EpisodeTrainer(GRPOTrainer):  # type: ignore[misc]
    """`GRPOTrainer` whose tool loop continues after a turn that the token limit cut off, as evaluation does.

    The loop appends a tool's reply to the generated tokens. A turn that was cut off has no end token, which a chat
    template writes in evaluation: it is put in front of the reply. It counts as a part of the reply, so that nothing is
    learned from it.
    """

    def _get_tool_suffix_ids(self, tool_messages: Sequence[Mapping[str, Any]]) -> list[int]:
        suffix: list[int] = super()._get_tool_suffix_ids(tool_messages)
        if isinstance(tool_messages[0]["content"], ReplyToTruncated):
            return [turn_end(self.processing_class), *suffix]
        return suffix
