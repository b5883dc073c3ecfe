"""GRPO on real architectures: no mixture of good and bad turns ends a run, and each step learns from what it showed."""

from __future__ import annotations

import json
import math
from itertools import combinations
from typing import Any

import pytest
import torch
from transformers import LogitsProcessor, LogitsProcessorList

from vzgym.agents.training.grpo import make_trainer
from vzgym.agents.training.settings import GRPOSettings
from vzgym.agents.vlm.chat import chat_of, encode, turn_end
from vzgym.agents.vlm.image_checks import image_token
from vzgym.episode import Episode, EpisodeRecord, Outcome
from vzgym.tasks import get_task
from vzgym.testing.models import ModelSize, build_checkpoint

BUDGET = {"overview_fps": 0.5, "overview_frames": 2, "clip_frames": 2, "max_zooms": 2, "max_pixels": 1024,
          "min_pixels": 784}  # fmt: skip
ROLLOUTS, TURN_TOKENS = 4, 48
PROTOCOL = {"name": "tags", "think": "optional", "instructions": False}

TURNS = {
    "executed": '<video_zoom>{"segment": [0, 2], "fps": 1}</video_zoom>',
    "refused": '<video_zoom>{"segment": [2, 0], "fps": 1}</video_zoom>',
    "malformed": "I look.",
    "answer": "<answer>A</answer>",
    "truncated": "<answer>A</answer>",
}
KINDS = ("executed", "refused", "malformed", "answer")
MIXTURES = [mixture for size in range(1, 5) for mixture in combinations(KINDS, size)]
MIXTURES += [("truncated",), ("truncated", "executed"), ("truncated", "refused", "answer")]
TRUNCATED = [step for step, mixture in enumerate(MIXTURES) if "truncated" in mixture]


def script(mixture: tuple[str, ...]) -> list[list[str]]:
    """The kinds of turns of each roll-out: first those of the mixture, then an answer, later by one turn each time."""
    later = [["answer"], ["malformed", "answer"], ["refused", "refused"], ["executed", "answer"]]
    return [[mixture[number % len(mixture)], *later[number]] for number in range(ROLLOUTS)]


class Follow(LogitsProcessor):  # type: ignore[misc]
    """Makes each row say the next turn of its roll-out; each turn starts with the roll-out's number."""

    def __init__(self, tokenizer: Any, end: int, kinds: list[list[str]], prompts: torch.Tensor) -> None:
        self.width = prompts.shape[1]
        self.turns = []
        for row, prompt in enumerate(tokenizer.batch_decode(prompts)):
            number = next((i for i in range(ROLLOUTS) if f"r{i};" in prompt), row)
            kind = kinds[number][prompt.count(f"r{number};")]
            ids = tokenizer.encode(f"r{number};{TURNS[kind]}", add_special_tokens=False)
            # A turn that is cut off repeats its last token up to the limit.
            self.turns.append(ids if kind == "truncated" else [*ids, end])

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        place = input_ids.shape[1] - self.width
        forced = torch.full_like(scores, -1e4)
        for row, turn in enumerate(self.turns):
            forced[row, turn[min(place, len(turn) - 1)]] = 0.0
        return forced


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One run, a step for each mixture: its records by step, its log, and what the trainer was given to learn from."""
    root = tmp_path_factory.mktemp(request.param)
    size = ModelSize(width=32, inner=48, layers=1, vision_layers=1)
    values = {"tasks": "needle-tiny/train", "budget": BUDGET, "steps": len(MIXTURES), "groups": 1, "log_steps": 1}
    settings = GRPOSettings.model_validate(
        {"model": str(build_checkpoint(request.param, root / "model", size)), "out": str(root / "out"), **values}
        | {
            "group_size": ROLLOUTS,
            "turn_tokens": TURN_TOKENS,
            "learning_rate": 1e-6,
            "protocol": PROTOCOL,
            "trainer": {"use_cpu": True},
        }
    )
    trainer, start = make_trainer(settings)
    generate, score = start.model.generate, trainer._generate_and_score_completions
    outputs: list[dict[str, Any]] = []

    def scripted(*args: Any, **kwargs: Any) -> Any:
        kinds = script(MIXTURES[trainer.state.global_step])
        follow = Follow(start.processor.tokenizer, turn_end(start.processor), kinds, kwargs["input_ids"])
        return generate(*args, **{**kwargs, "logits_processor": LogitsProcessorList([follow])})

    def watched(inputs: Any) -> Any:
        outputs.append(score(inputs))
        return outputs[-1]

    start.model.generate, trainer._generate_and_score_completions = scripted, watched
    trainer.train()
    lines = (root / "out" / "rollouts.jsonl").read_text().splitlines()
    log = [json.loads(line) for line in (root / "out" / "log.jsonl").read_text().splitlines()]
    return {
        "records": [EpisodeRecord.from_line(line) for line in lines],
        "log": log,
        "outputs": outputs,
        "start": start,
    }


@pytest.mark.parametrize("step", range(len(MIXTURES)), ids=map("+".join, MIXTURES))
def test_no_mixture_of_turns_ends_the_run(run: dict[str, Any], step: int) -> None:
    records = [record for record in run["records"] if record.info.step == step]
    assert len(records) == ROLLOUTS
    for record, kinds in zip(records, script(MIXTURES[step]), strict=True):
        expected = {"executed": Outcome.EXECUTED, "answer": Outcome.ANSWERED}.get(kinds[0], Outcome.REFUSED)
        assert record.turns[0].outcome is expected
    losses = [line["loss"] for line in run["log"] if line["step"] == step + 1 and "loss" in line]
    assert len(losses) == 1
    assert math.isfinite(losses[0])


@pytest.mark.parametrize("step", range(len(MIXTURES)), ids=map("+".join, MIXTURES))
def test_every_frame_that_was_shown_is_learned_from(run: dict[str, Any], step: int) -> None:
    outputs, start = run["outputs"][step], run["start"]
    shown = sum(len(clip) for record in run["records"] if record.info.step == step for clip in record.clips)
    assert isinstance(outputs["image_grid_thw"], torch.Tensor)
    assert len(outputs["image_grid_thw"]) == shown
    ids = torch.cat([outputs["prompt_ids"], outputs["completion_ids"]], dim=1)
    merged = start.processor.image_processor.merge_size**2
    assert int((ids == image_token(start.processor)).sum()) == int(outputs["image_grid_thw"].prod(-1).sum()) // merged


@pytest.mark.parametrize("step", TRUNCATED, ids=["+".join(MIXTURES[step]) for step in TRUNCATED])
def test_a_turn_that_was_cut_off_is_followed_by_the_next_round(run: dict[str, Any], step: int) -> None:
    """The model is given the same tokens as in evaluation, end tokens included, and learns from its own only."""
    outputs, start = run["outputs"][step], run["start"]
    records = [record for record in run["records"] if record.info.step == step]
    assert len(records) == ROLLOUTS
    for row, record in enumerate(records):
        kinds = script(MIXTURES[step])[row]
        # An answer ends the episode, what the script says later is not played.
        whole = [place for place, kind in enumerate(kinds, 1) if kind == "answer"]
        assert len(record.turns) == (whole[0] if whole else len(kinds))
        kinds = kinds[: len(record.turns)]
        episode = Episode(get_task(record.task.id), record.budget, start.protocol)
        for turn in record.turns:
            episode.step(turn.action, text=turn.text)
        chat = chat_of(episode.messages[: 2 * len(record.turns)])
        expected = encode(start.processor, chat, reply=False)["input_ids"].tolist()
        parts = [outputs[f"{part}_ids"][row][outputs[f"{part}_mask"][row].bool()] for part in ("prompt", "completion")]
        given = torch.cat(parts).tolist()
        end = turn_end(start.processor)
        assert given == expected[: len(given)]
        assert given.count(end) == expected.count(end)
        learned = outputs["completion_ids"][row][outputs["tool_mask"][row].bool()].tolist()
        assert learned.count(end) == sum(kind != "truncated" for kind in kinds)
