"""The tiny model's folder, unedited, behind a vLLM server."""

from __future__ import annotations

import json
import urllib.request

import numpy as np
import pytest
from PIL import Image
from transformers import AutoProcessor

from vzgym.agents.training.grpo import _generation
from vzgym.agents.training.settings import GRPOSettings
from vzgym.agents.vlm.chat import suppressed_tokens
from vzgym.agents.vlm.checkpoint import open_processor
from vzgym.agents.vlm.policy import VLMPolicy
from vzgym.evaluation import evaluate
from vzgym.tasks import load_tasks

EPISODES = 16


def test_a_served_model_says_what_the_same_model_says_here(model, server):
    tasks = load_tasks("needle-micro/test")
    policy: dict = {"name": "served", "model": str(model), "url": f"{server}/v1", "protocol": "compact_tags"}
    policy |= {"tool_role": "tool", "turn_tokens": 40, "image_format": "png"}
    there: list = []
    here: list = []
    evaluate(policy, tasks, episodes=EPISODES, on_episode=there.append)
    evaluate(VLMPolicy(model, turn_tokens=40), tasks, episodes=EPISODES, on_episode=here.append)
    texts = [[(record.task.id, turn.text) for record in records for turn in record.turns] for records in (there, here)]
    assert texts[0] == texts[1]
    # The model was taught the first tasks: it zooms and answers, so that pictures of tools are compared, too.
    assert sum(record.zooms for record in here) >= 8


def test_the_librarys_own_processor_sees_the_same_pixels(model):
    """By torchvision, with its video processor: what vLLM opens."""
    theirs, ours = AutoProcessor.from_pretrained(model), open_processor(model)
    assert type(theirs).__module__.startswith("transformers.")
    assert theirs.video_processor.patch_size == theirs.image_processor.patch_size == 16
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    images = [Image.fromarray(frame) for frame in pixels]
    made = [one.image_processor(images=images, return_tensors="pt") for one in (theirs, ours)]
    assert made[0]["image_grid_thw"].tolist() == made[1]["image_grid_thw"].tolist() == [[1, 2, 2]] * 3
    np.testing.assert_allclose(made[0]["pixel_values"], made[1]["pixel_values"], atol=1e-6)
    # A frame above the saved limit is reduced to it, as here.
    large = [Image.fromarray(np.zeros((256, 256, 3), np.uint8))]
    grids = [
        one.image_processor(images=large, return_tensors="pt")["image_grid_thw"].tolist() for one in (theirs, ours)
    ]
    assert grids[0] == grids[1]


@pytest.mark.parametrize("biased", [True, False])
def test_no_special_token_is_sampled(model, server, biased):
    processor = open_processor(model)
    banned = set(suppressed_tokens(processor))
    options = _generation(GRPOSettings(vllm=True, turn_tokens=32), processor, len(processor.tokenizer))
    assert {int(token) for token in options["logit_bias"]} == banned
    if not biased:
        del options["logit_bias"]
    prompt = processor.tokenizer.encode("<|assistant|>", add_special_tokens=False)
    body = {"model": str(model), "prompt": [prompt], "n": 100, "temperature": 2.0, "return_token_ids": True, **options}
    request = urllib.request.Request(
        f"{server}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as reply:
        sampled = [token for choice in json.load(reply)["choices"] for token in choice["token_ids"]]
    assert len(sampled) > 1000
    assert bool(banned & set(sampled)) is not biased
