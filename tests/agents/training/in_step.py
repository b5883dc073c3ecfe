"""Runs `vzgym` in one of several processes that generate each turn together, as with weights that they share.

    torchrun --nproc_per_node 2 in_step.py train grpo ... --out FOLDER

Roll-outs of the first process call the tool in every turn; those of the others answer at once. Each process writes how
many dialogues it continued in each turn to FOLDER/turns-RANK.json.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from trl.trainer.grpo_trainer import GRPOTrainer

from vzgym.agents.training.episode_trainer import EpisodeTrainer
from vzgym.agents.training.tool_environment import TurnParser
from vzgym.cli import main

turns: list[int] = []
generate, parse = GRPOTrainer._generate_single_turn, TurnParser.__call__


def generate_together(self, prompt_ids, *given, **named):
    counts = self.accelerator.gather(torch.tensor([len(turns)]))
    assert len(set(counts.tolist())) == 1, f"processes are in turns {counts.tolist()}"
    turns.append(len(prompt_ids))
    return generate(self, prompt_ids, *given, **named)


def answer_at_once(self, response, schema=None, **context):
    return {"role": "assistant", "content": parse(self, response, schema, **context).get("content") or "red"}


patch = pytest.MonkeyPatch()
patch.setattr(GRPOTrainer, "_generate_single_turn", generate_together)
patch.setattr(EpisodeTrainer, "_collective_turns", True)
if os.environ["RANK"] != "0":
    patch.setattr(TurnParser, "__call__", answer_at_once)
try:
    main()
finally:
    out = Path(sys.argv[sys.argv.index("--out") + 1])
    (out / f"turns-{os.environ['RANK']}.json").write_text(json.dumps(turns))
