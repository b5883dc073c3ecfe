from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from vzgym.agents.data.collector import Collector
from vzgym.agents.data.dataset import collect
from vzgym.agents.data.settings import CollectSettings
from vzgym.agents.vlm.chat import chat_of, encode, join_inputs, suppressed_tokens
from vzgym.agents.vlm.checkpoint import open_checkpoint, prompt_version, save_checkpoint
from vzgym.agents.vlm.image_checks import ImagesDropped, image_token, watch_images
from vzgym.agents.vlm.policy import UntrainedPrompt, VLMPolicy
from vzgym.core.actions import Answer, Malformed, Zoom
from vzgym.core.errors import InvalidSetting
from vzgym.episode import Episode
from vzgym.evaluation import evaluate, make_answerer
from vzgym.policies.fingerprint import METADATA
from vzgym.policies.policy import TextPolicy
from vzgym.protocols import PROTOCOLS, TruncatedText
from vzgym.tasks import load_tasks, resolve_budget


@pytest.fixture(scope="module")
def tasks():
    return load_tasks("needle-micro/test")


def dialogues(start, tasks, count=3):
    """Dialogues of different lengths."""
    episodes = [Episode(tasks[i], tasks.budget, start.protocol) for i in range(count)]
    episodes[1].step(Zoom(0, 6, 1))
    episodes[2].step(Zoom(0, 3, 1))
    return [episode.messages for episode in episodes]


def test_a_folder_is_a_policy_that_evaluation_takes(small_model, tasks):
    report = evaluate({"name": "vlm", "path": str(small_model), "turn_tokens": 6}, tasks, episodes=3)
    assert len(report.episodes) == 3
    assert "greedy" in report.policy


def test_it_is_a_text_policy(small_model):
    assert isinstance(VLMPolicy(small_model), TextPolicy)


def test_a_turn_without_an_end_token_is_marked_as_truncated(small_model):
    policy = VLMPolicy(small_model)
    ids = policy.processor.tokenizer.encode("<answer>red</answer>")
    cut = policy._text(ids)
    assert isinstance(cut, TruncatedText)
    assert isinstance(policy.protocol.parse(cut).action, Malformed)
    whole = policy._text([*ids, policy.processor.tokenizer.eos_token_id])
    assert not isinstance(whole, TruncatedText)
    assert whole == cut
    assert policy.protocol.parse(whole).action == Answer("red")


def test_a_batch_says_what_each_dialogue_alone_would_get(small_model, tasks):
    policy = VLMPolicy(small_model, turn_tokens=8)
    batch = dialogues(policy, tasks)
    together = policy.respond(batch)
    assert together == [policy.respond([messages])[0] for messages in batch]


def test_log_probabilities_of_a_padded_batch_are_those_of_single_dialogues(small_model, tasks):
    start = open_checkpoint(small_model)
    start.model.eval()
    rows = [encode(start.processor, chat_of(messages)) for messages in dialogues(start, tasks)]
    pad = start.processor.tokenizer.pad_token_id
    with torch.no_grad():
        for side in ("left", "right"):
            batch = join_inputs(rows, pad, side)
            logits = start.model(**batch).logits
            for i, row in enumerate(rows):
                alone = start.model(**join_inputs([row], pad)).logits[0]
                found = logits[i][batch["attention_mask"][i].bool()]
                torch.testing.assert_close(found.log_softmax(-1), alone.log_softmax(-1), rtol=0, atol=2e-5)


def test_samples_are_fixed_by_the_seeds(small_model, tasks):
    policy = VLMPolicy(small_model, temperature=1.0, turn_tokens=8)
    batch = dialogues(policy, tasks)
    said = []
    for seeds in ([1, 2, 3], [1, 2, 3], [4, 5, 6]):
        policy.reset(seeds)
        said.append(policy.respond(batch))
    assert said[0] == said[1] != said[2]


def test_no_turn_can_hold_a_picture_or_begin_a_message(small_model, tasks):
    policy = VLMPolicy(small_model, temperature=1.5, turn_tokens=24)
    silent = suppressed_tokens(policy.processor)
    tokenizer = policy.processor.tokenizer
    assert tokenizer.eos_token_id not in silent
    assert {image_token(policy.processor), tokenizer.convert_tokens_to_ids("<|assistant|>")} <= set(silent)
    with torch.no_grad():
        policy.model.lm_head.weight[silent] += 1.0
    policy.reset([0])
    text = policy.respond(dialogues(policy, tasks)[:1])[0]
    assert "<|" not in text


def test_lost_pixels_are_found_in_any_forward_pass(small_model, tasks):
    start = open_checkpoint(small_model)
    watch_images(start.model, image_token(start.processor))
    row = encode(start.processor, chat_of(dialogues(start, tasks)[1]))
    batch = join_inputs([row], start.processor.tokenizer.pad_token_id)
    start.model(**batch)
    blind = {key: value for key, value in batch.items() if not key.startswith(("pixel", "image"))}
    with pytest.raises(ImagesDropped, match="14 visual tokens but pixels for 0"):
        start.model(**blind)
    with pytest.raises(ImagesDropped, match="14 visual tokens but pixels for 13"):
        start.model(
            **{**batch, "image_grid_thw": batch["image_grid_thw"][:-1], "pixel_values": batch["pixel_values"][:-4]}
        )


def test_a_template_that_swallows_a_picture_is_found(small_model, tasks):
    start = open_checkpoint(small_model)
    start.processor.chat_template = start.processor.chat_template.replace("<|image_pad|>", "picture")
    with pytest.raises(ValueError, match=r"Found total 0.* and 8 images"):
        encode(start.processor, chat_of(dialogues(start, tasks)[0]))


def test_a_model_without_vision_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}))
    with pytest.raises(InvalidSetting, match=r"qwen3.*no vision"):
        VLMPolicy(tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InvalidSetting, match=r"there is no such folder; give a folder with a config\.json"):
        open_checkpoint(tmp_path / "nothing")
    with pytest.raises(InvalidSetting, match="must be given"):
        open_checkpoint("")


def test_a_chat_template_that_drops_tools_pictures_is_mended(small_model, tasks, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(small_model, folder)
    template = folder / "chat_template.jinja"
    kept = template.read_text()
    template.write_text(
        kept.replace("block['type'] == 'image'", "block['type'] == 'image' and message['role'] != 'tool'")
    )
    start = open_checkpoint(folder)
    ids = encode(start.processor, chat_of(dialogues(start, tasks)[1]))["input_ids"]
    assert int((ids == image_token(start.processor)).sum()) == 14


def test_a_chat_template_that_drops_all_pictures_or_replies_is_refused(small_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(small_model, folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("block['type'] == 'image'", "false"))
    with pytest.raises(InvalidSetting, match="drops images"):
        open_checkpoint(folder)
    template.write_text("{%- for message in messages if message['role'] != 'tool' -%}x{%- endfor -%}")
    with pytest.raises(InvalidSetting, match="drops replies"):
        open_checkpoint(folder)


@pytest.mark.parametrize(("option", "value"), [("temperature", -1.0), ("turn_tokens", 0), ("batch_size", 0)])
def test_numbers_out_of_range_are_refused(small_model, option, value):
    with pytest.raises(InvalidSetting, match=option):
        VLMPolicy(small_model, **{option: value})


def trained_again(folder, amount=0.5):
    """Put other weights into a model's folder."""
    start = open_checkpoint(folder)
    with torch.no_grad():
        start.model.lm_head.weight += amount * torch.randn_like(start.model.lm_head.weight)
    save_checkpoint(folder, start.model, start.processor, start.protocol)


def test_a_model_trained_again_in_its_folder_is_another_run(small_model, tasks, tmp_path):
    folder, out = tmp_path / "model", tmp_path / "run"
    shutil.copytree(small_model, folder)
    spec = {"name": "vlm", "path": str(folder), "turn_tokens": 4}
    evaluate(spec, tasks, episodes=1, out=out)
    # The same weights at another place are the same model.
    shutil.copytree(folder, tmp_path / "elsewhere" / "model")
    moved = {**spec, "path": str(tmp_path / "elsewhere" / "model")}
    assert len(evaluate(moved, tasks, episodes=2, out=out).episodes) == 2
    trained_again(folder)
    with pytest.raises(
        InvalidSetting,
        match=r"its options\.weights\.model\.safetensors is '\d+, run \w+', not '\d+, run \w+'; choose another folder",
    ):
        evaluate(spec, tasks, episodes=2, out=out)


@pytest.mark.parametrize(
    "change", [{"temperature": 1.0}, {"turn_tokens": 5}, {"top_p": 0.5}, {"protocol": "tags"}, {"dtype": "bfloat16"}]
)
def test_what_changes_the_texts_is_part_of_its_identity(small_model, change):
    settings = {"turn_tokens": 4, "name": "one", "device": "cpu"}
    one = VLMPolicy(small_model, **settings).identity
    assert one == VLMPolicy(small_model, **{**settings, "name": "two"}).identity
    assert one != VLMPolicy(small_model, **{**settings, **change}).identity
    assert json.loads(json.dumps(one)) == one


def test_trajectories_of_a_model_trained_again_are_others(small_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(small_model, folder)
    policy = {"name": "vlm", "path": str(folder), "turn_tokens": 4}
    settings = CollectSettings(tasks="needle-micro/train", episodes=1, policy=policy, protocol="compact_tags")
    collect(settings, tmp_path / "data")
    before = Collector(settings).identities
    trained_again(folder)
    assert Collector(settings).identities != before
    with pytest.raises(InvalidSetting, match=r"their policy\.weights\.model\.safetensors is"):
        collect(settings, tmp_path / "data")


def test_a_checkpoint_keeps_its_budget_and_prompts(small_model, tasks, tmp_path):
    start = open_checkpoint(small_model)
    budget = resolve_budget({"max_zooms": 1}, tasks)
    save_checkpoint(tmp_path, start.model, start.processor, start.protocol, budget=budget)
    assert open_checkpoint(tmp_path).budget == budget
    policy = {"name": "vlm", "path": str(tmp_path), "turn_tokens": 4}
    assert evaluate(policy, tasks, episodes=2).budget == budget
    metadata = json.loads((tmp_path / METADATA).read_text())
    (tmp_path / METADATA).write_text(json.dumps({**metadata, "prompt": "0123"}))
    with pytest.warns(UntrainedPrompt, match="version 0123"):
        VLMPolicy(tmp_path)


def test_the_version_of_prompts_is_that_of_their_wording(monkeypatch):
    tags = PROTOCOLS.make("tags")
    version = prompt_version(tags)
    assert version == prompt_version(PROTOCOLS.make("tags"))
    assert version != prompt_version(PROTOCOLS.make("tool_calls"))
    monkeypatch.setattr(type(tags), "what_is_left", lambda self, record: "Hurry.")
    assert version != prompt_version(tags)


def test_likelihoods_of_texts_are_those_of_their_tokens_one_by_one(small_model, tasks):
    policy = VLMPolicy(small_model, batch_size=2)
    dialogue = dialogues(policy, tasks)[1]
    texts = ["<answer>A</answer>", "<answer>B</answer>", "<think>a longer thought</think><answer>red</answer>"]
    found = policy.log_likelihoods(dialogue, texts)
    prompt = join_inputs([encode(policy.processor, chat_of(dialogue))], policy._pad)
    expected = []
    for text in texts:
        batch, total = dict(prompt), 0.0
        for token in [*policy.processor.tokenizer.encode(text, add_special_tokens=False), policy._ends[0]]:
            with torch.no_grad():
                total += float(policy.model(**batch).logits[0, -1].log_softmax(-1)[token])
            width = {"input_ids": token, "attention_mask": 1, "mm_token_type_ids": 0}
            batch = {
                key: torch.cat([value, torch.full((1, 1), width[key], dtype=value.dtype)], 1) if key in width else value
                for key, value in batch.items()
            }
        expected.append(total)
    assert found == pytest.approx(expected, abs=1e-3)
    # A batch gives what each text alone gives.
    assert found[2] == pytest.approx(policy.log_likelihoods(dialogue, texts[2:])[0], abs=1e-4)


def test_probabilities_of_the_options_come_from_the_likelihoods(small_model, tasks, monkeypatch):
    """The turn that the model writes, with each option in place of its answer."""
    episode = Episode(tasks[0], tasks.budget)
    episode.step(Zoom(0, 6, 1))
    episode.step(Answer(tasks[0].answer))
    answerer = make_answerer({"name": "vlm", "path": str(small_model)})
    asked = []
    monkeypatch.setattr(answerer.policy, "respond", lambda dialogues: ["<think>blue</think><answer>B</answer>"])

    def log_likelihoods(dialogue, texts):
        asked.append(texts)
        return np.log(np.arange(len(texts)) + 1)

    monkeypatch.setattr(answerer.policy, "log_likelihoods", log_likelihoods)
    options = len(tasks[0].options)
    found = answerer.option_probabilities(episode.record, [0])
    assert found == pytest.approx((np.arange(options) + 1) / sum(range(1, options + 1)))
    assert asked == [[f"<think>blue</think><answer>{'ABCDEFGH'[place]}</answer>" for place in range(options)]]
    # A turn without an answer has no probabilities.
    monkeypatch.setattr(answerer.policy, "respond", lambda dialogues: ["what?"])
    assert answerer.option_probabilities(episode.record, [0, 1]) is None
