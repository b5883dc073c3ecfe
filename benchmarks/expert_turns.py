"""How much of the scripted expert's turns a tiny model has learned: the most likely next token after what came before.

    python benchmarks/expert_turns.py runs/pretrain runs/sft --tasks needle-micro/validation --episodes 160

In the expert's dialogues, the script compares two kinds of tokens with the model's most likely ones: the time after the
scene in a thought ("red12"), by turn, and the answer. After pre-training alone this tells whether look-ups carry over
from the exercises to the dialogue.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vzgym.agents.data.scripted import TRAJECTORY_KINDS, ScriptedRollout, TrajectoryStyle
from vzgym.agents.tiny.tokenizer import END, IMAGE, ROLES
from vzgym.agents.vlm.checkpoint import open_checkpoint
from vzgym.episode import Message, TextBlock
from vzgym.protocols import TextProtocol
from vzgym.tasks import load_tasks

TIME = re.compile(r"<think>[a-z]+(?=\d)")
ANSWER = re.compile(r".*<answer>")


def dialogue(messages: list[Message], encode: Any) -> tuple[list[int], list[np.ndarray], dict[str, int]]:
    """Tokens and frames of a dialogue, and where the tokens of interest are.

    Returns:
        The tokens; each frame, uint8, shape `(height, width, 3)`; the place of each token of interest by its name.
    """
    tokens: list[int] = []
    frames: list[np.ndarray] = []
    places: dict[str, int] = {}
    turn = 0
    for message in messages:
        tokens += encode(ROLES[message.role])
        turn += message.role == "assistant"
        for block in message.blocks:
            if not isinstance(block, TextBlock):
                tokens += encode(IMAGE)
                frames.append(block.pixels)
                continue
            if message.role == "assistant":
                for name, pattern in ((f"time of the scene, turn {turn}", TIME), ("answer", ANSWER)):
                    if found := pattern.match(block.text):
                        places[name] = len(tokens) + len(encode(found.group()))
            tokens += encode(block.text)
        tokens += encode(END)
    return tokens, frames, places


def measure(folder: Path, tasks: str, episodes: int) -> dict[str, list[bool]]:
    """For each kind of token, whether the model's most likely token was the expert's, by dialogue."""
    start = open_checkpoint(folder)
    model, processor = start.model.eval(), start.processor
    if not isinstance(start.protocol, TextProtocol):
        raise SystemExit(f"{folder} has no text protocol")
    style, suite = TrajectoryStyle(start.protocol, "short"), load_tasks(tasks)
    found: dict[str, list[bool]] = defaultdict(list)
    script = TRAJECTORY_KINDS["exemplar"].script
    assert script is not None
    for index in range(episodes):
        rollout = ScriptedRollout(suite[index], suite.budget, style, seed=index)
        script(rollout)
        tokens, frames, places = dialogue(rollout.episode.messages, processor.tokenizer.encode)
        patches, grid = processor.image_processor.patches(np.stack(frames))
        ids = torch.tensor([tokens])
        with torch.no_grad():
            logits = model(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                mm_token_type_ids=(ids == model.config.image_token_id).long(),
                pixel_values=torch.from_numpy(patches),
                image_grid_thw=torch.from_numpy(np.repeat(grid[None], len(frames), axis=0)),
            ).logits[0]
        for name, place in places.items():
            found[name].append(int(logits[place - 1].argmax()) == tokens[place])
    return found


def main() -> None:
    """Print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, help="folders of tiny models")
    parser.add_argument("--tasks", default="needle-micro/validation")
    parser.add_argument("--episodes", type=int, default=160)
    args = parser.parse_args()
    for folder in args.models:
        print(f"{folder}, {args.tasks}")
        for name, flags in sorted(measure(folder, args.tasks, args.episodes).items()):
            print(f"  {name}: {np.mean(flags):.1%} of {len(flags)}")


if __name__ == "__main__":
    main()
