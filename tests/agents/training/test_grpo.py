from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import Qwen3VLForConditionalGeneration

from vzgym.agents.training.grpo import _generation, make_trainer, split_rollouts, train_grpo
from vzgym.agents.training.settings import GRPOSettings
from vzgym.agents.training.token_budget import measure_tokens
from vzgym.agents.training.tool_environment import finish_rollout
from vzgym.agents.vlm.chat import chat_of, encode
from vzgym.agents.vlm.checkpoint import open_checkpoint
from vzgym.agents.vlm.image_checks import ImagesDropped, image_token
from vzgym.core.actions import Zoom, Zooms
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.episode import Episode, EpisodeRecord
from vzgym.evaluation.replay import replay
from vzgym.protocols import TagProtocol
from vzgym.rewards import make_reward
from vzgym.tasks import load_tasks
from vzgym.tasks.procedural.render.encode import encode_video
from vzgym.testing.models import build_processor
from vzgym.video import ArrayVideo

REWARD = {"accuracy": 1.0, "format": 0.1, "tool": {"module": "conditional_tool", "weight": 0.5}}


def settings(model, out, **more):
    values = {"tasks": "needle-micro/train", "reward": REWARD, "learning_rate": 1e-2, "log_steps": 1}
    values |= {"steps": 3, "groups": 2, "group_size": 4, "turn_tokens": 8}
    return GRPOSettings(model=str(model), out=str(out), **{**values, **more})


@pytest.fixture(scope="module")
def willing(small_model, trajectories, tmp_path_factory):
    """A model that knows the form and likes to zoom."""
    from vzgym.agents.data.dataset import load_trajectories
    from vzgym.agents.training.settings import SFTSettings
    from vzgym.agents.training.sft import train_sft

    out = tmp_path_factory.mktemp("willing") / "sft"
    values = {"max_steps": 60, "batch_size": 8, "learning_rate": 1e-2}
    zooming = load_trajectories(trajectories)
    zooming = zooming.select([i for i in range(len(zooming)) if zooming[i]["zooms"] > 0][:8])
    return train_sft(SFTSettings(**{"model": str(small_model), "out": str(out), **values}), data=zooming)


@pytest.fixture(scope="module")
def finished(willing, tmp_path_factory):
    """A run of three steps, with what the trainer's inputs were."""
    out = tmp_path_factory.mktemp("grpo") / "run"
    seen = []
    trainer, start = make_trainer(settings(willing, out, turn_tokens=20))
    score = trainer._generate_and_score_completions

    def watch(inputs):
        outputs = score(inputs)
        seen.append((inputs, outputs))
        return outputs

    trainer._generate_and_score_completions = watch
    before = {name: weight.clone() for name, weight in start.model.state_dict().items()}
    trainer.train()
    return {"out": out, "seen": seen, "before": before, "start": start, "trainer": trainer}


MIXED = {"overview_fps": 1.0, "overview_frames": 6, "clip_frames": 2, "max_zooms": 1, "min_pixels": 1024,
         "max_pixels": 16384}  # fmt: skip


@pytest.fixture
def mixed_tasks(tmp_path):
    """A file of questions about a small video, a long one and a large one, each of its own kind."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    rows = []
    for name, seconds, side in (("small", 2, 56), ("long", 10, 56), ("large", 1, 112)):
        video = ArrayVideo(np.full((seconds * 4, side, side, 3), 90, np.uint8), 4.0)
        encode_video(video, folder / f"{name}.mp4")
        rows.append({"id": name, "video": f"{name}.mp4", "question": "What colour?", "answer": "red"})
    listing = folder / "tasks.jsonl"
    listing.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return listing


def records(out):
    return [EpisodeRecord.from_line(line) for line in (out / "rollouts.jsonl").read_text().splitlines()]


def test_three_steps_give_finite_losses_and_move_the_weights(finished):
    logged = [json.loads(line) for line in (finished["out"] / "log.jsonl").read_text().splitlines()]
    found = [float(line["loss"]) for line in logged if "loss" in line]
    assert len(found) == 3
    assert all(abs(loss) < 100 for loss in found)
    after = finished["start"].model.state_dict()
    assert any(not torch.equal(after[name], weight) for name, weight in finished["before"].items())


def test_every_module_has_its_column_and_the_episodes_their_metrics(finished):
    line = json.loads((finished["out"] / "log.jsonl").read_text().splitlines()[0])
    assert {f"rewards/{name}/mean" for name in REWARD} <= set(line)
    for what in ("firing_rate", "mean", "groups_moved"):
        assert {f"terms/{name}/{what}" for name in REWARD} <= set(line)
    names = ("zooms", "frames", "refused", "evidence_coverage", "well_formed", "answered")
    assert {f"episode/{name}" for name in names} <= set(line)


def test_nothing_is_generated_after_an_episode_without_zooms(willing, tmp_path, monkeypatch):
    trainer, _ = make_trainer(settings(willing, tmp_path, turn_tokens=20, steps=1, budget={"max_zooms": 0}))
    generate, calls = trainer._generate_single_turn, []

    def count(*inputs, **more):
        calls.append(len(inputs[0]))
        return generate(*inputs, **more)

    monkeypatch.setattr(trainer, "_generate_single_turn", count)
    trainer.train()
    assert calls == [8]  # one turn of each roll-out, zooms that are no longer possible among them
    assert [len(record.turns) for record in records(tmp_path)] == [1] * 8


def test_all_members_of_a_group_have_the_same_task(finished):
    played = records(finished["out"])
    assert len(played) == 3 * 8
    groups = [[record.task.id for record in played[first : first + 4]] for first in range(0, len(played), 4)]
    assert all(len(set(group)) == 1 for group in groups)
    assert len({group[0] for group in groups}) > 1
    for inputs, _ in finished["seen"]:
        tasks = [row["task"] for row in inputs]
        assert tasks[0] == tasks[3]
        assert tasks[4] == tasks[7]


def test_records_of_training_replay(finished):
    played = records(finished["out"])
    assert any(record.zooms for record in played)
    for record in played[:8]:
        assert replay(record, reward=REWARD).differences == []


def test_image_tokens_equal_image_features_and_only_own_tokens_count(finished):
    start = finished["start"]
    image, merged = image_token(start.processor), start.processor.image_processor.merge_size**2
    tokenizer = start.processor.tokenizer
    for _, outputs in finished["seen"]:
        ids = torch.cat([outputs["prompt_ids"], outputs["completion_ids"]], dim=1)
        assert int((ids == image).sum()) == int(outputs["image_grid_thw"].prod(-1).sum()) // merged
        own = (outputs["completion_mask"] * outputs["tool_mask"]).bool()
        reply, learns = tokenizer.convert_tokens_to_ids("<|tool|>"), outputs["completion_ids"]
        assert not (learns[own] == image).any()
        assert not (learns[own] == reply).any()
        assert (learns[own] == tokenizer.eos_token_id).any()


def test_the_rewards_are_the_mixs(finished):
    mix = make_reward(REWARD)
    for record in records(finished["out"])[:8]:
        assert record.rewards == [turn.to_json() for turn in mix.score_all(record)]
        assert record.info.interface == "trl"


def test_a_lost_image_stops_the_run(willing, tmp_path):
    trainer, start = make_trainer(settings(willing, tmp_path / "run", steps=1, turn_tokens=20))
    processor = start.processor.image_processor
    complete = processor.preprocess

    def forgetful(images, *args, **kwargs):
        made = complete(images, *args, **kwargs)
        # The overview is shown; of what comes later the last picture is lost.
        if len(made["image_grid_thw"]) > 8:
            made["image_grid_thw"] = made["image_grid_thw"][:-1]
            made["pixel_values"] = made["pixel_values"][:-4]
        return made

    processor.preprocess = forgetful
    with pytest.raises(ImagesDropped, match=r"visual tokens but pixels"):
        trainer.train()


def test_a_completion_budget_too_small_for_the_clips_is_refused_at_the_start(small_model, tmp_path):
    with pytest.raises(
        InvalidSetting, match=r"completion_tokens is 40, but 2 zooms.*6 frames.*at least \d+.*turn_tokens"
    ):
        train_grpo(settings(small_model, tmp_path / "run", completion_tokens=40))


def test_a_model_too_short_for_the_episode_is_refused_at_the_start(small_model, tmp_path):
    with pytest.raises(InvalidSetting, match="reads at most 512 tokens"):
        train_grpo(settings(small_model, tmp_path / "run", turn_tokens=400))


def test_the_need_for_tokens_is_measured(small_model):
    start, tasks = open_checkpoint(small_model), load_tasks("needle-micro/train")
    need = measure_tokens(start.processor, start.protocol, [tasks[0]], tasks.budget, 10)
    # Six frames and their times, the message's two ends, the next turn's beginning.
    assert need.reply >= 6 * 2 + 3
    assert need.completion == 3 * 10 + round(2 * need.reply * 1.1)


def test_what_is_measured_is_the_largest_task_wherever_it_stands(mixed_tasks, tmp_path):
    """A small video first, then the longest one, then the largest: each has a part of what is needed most."""
    processor, protocol, tasks = build_processor("qwen2_5_vl"), TagProtocol(), load_tasks(mixed_tasks)
    budget = Budget.from_mapping(MIXED)
    need = measure_tokens(processor, protocol, list(tasks), budget, 10)
    assert (need.prompt_task, need.reply_task) == ("long", "large")
    assert need.overview[0] == 6
    assert need.frame > need.overview[1]
    for task in tasks:
        episode = Episode(task, budget, protocol)
        opening = len(encode(processor, chat_of(episode.messages))["input_ids"])
        assert opening <= need.prompt
        episode.step(Zoom(0.0, 1.0, 2.0), text="x")
        both = len(encode(processor, chat_of(episode.messages))["input_ids"])
        assert both - opening <= need.reply
    with pytest.raises(InvalidSetting, match=r"completion_tokens is 30.*longest replies are those of task 'large'"):
        need.check(settings("model", tmp_path, completion_tokens=30), 10_000)
    with pytest.raises(InvalidSetting, match=r"longest prompt is that of task 'long', the longest .* of 'large'"):
        need.check(settings("model", tmp_path), need.prompt)


def test_turns_of_several_zooms_at_the_greatest_size_are_measured(mixed_tasks):
    processor, protocol, tasks = build_processor("qwen2_5_vl"), TagProtocol(), load_tasks(mixed_tasks)
    paper = Budget.from_mapping({**MIXED, "max_pixels": 4096})
    budget = replace(paper, zooms_per_turn=2, zoom_max_pixels=4 * paper.max_pixels)
    need = measure_tokens(processor, protocol, list(tasks), budget, 10)
    assert need.frame > measure_tokens(processor, protocol, list(tasks), paper, 10).frame
    zoom = Zoom(0.0, 0.5, 2.0, max_pixels=budget.zoom_max_pixels)
    for task in tasks:
        episode = Episode(task, budget, protocol)
        opening = len(encode(processor, chat_of(episode.messages))["input_ids"])
        turn = episode.step(Zooms((zoom, replace(zoom, end=0.5 * (budget.clip_frames - 1)))), text="x")
        assert sum(map(len, turn.clips)) == budget.clip_frames
        both = len(encode(processor, chat_of(episode.messages))["input_ids"])
        assert both - opening <= need.reply


def test_a_task_whose_video_cannot_be_opened_is_left_out_and_named(willing, mixed_tasks, tmp_path, caplog):
    (mixed_tasks.parent / "small.mp4").write_bytes(b"no video at all")
    own = {"tasks": str(mixed_tasks), "budget": MIXED, "turn_tokens": 20}
    out = train_grpo(settings(willing, tmp_path / "run", steps=2, groups=2, group_size=2, **own))
    assert {record.task.id for record in records(out)} == {"long", "large"}
    assert "1 of 3 tasks are left out" in caplog.text
    assert "left out: small: " in caplog.text
    assert str(mixed_tasks.parent / "small.mp4") in caplog.text
    assert "vzgym videos check" in caplog.text


def test_limits_that_a_budget_does_not_name_are_the_tasks_own(small_model, tmp_path):
    trainer, _ = make_trainer(settings(small_model, tmp_path / "run", budget={"max_zooms": 1}))
    environment = trainer.environment_factories[None]()
    environment.reset(prompt=[{"role": "user", "content": ""}], task=0)
    played = finish_rollout(environment, [{"role": "assistant", "content": "<think>x</think><answer>red</answer>"}])
    assert played.budget == replace(load_tasks("needle-micro/train").budget, max_zooms=1)


def test_a_run_goes_on_from_its_checkpoint(willing, tmp_path):
    out = tmp_path / "run"
    train_grpo(settings(willing, out, steps=2, save_steps=1))
    # As if it had been killed in the second step: what that left is not there twice.
    shutil.rmtree(out / "checkpoint-2")
    with (out / "rollouts.jsonl").open("a") as file:
        file.write('{"task": {"id"')
    train_grpo(settings(willing, out, steps=3, save_steps=1, resume=True))
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines() if '"loss"' in line]
    assert steps == [1, 2, 3]
    assert [record.info.step for record in records(out)] == [0] * 8 + [1] * 8 + [2] * 8
    assert json.loads((out / "training.json").read_text())["steps"] == 3


def test_the_reference_model_is_the_starting_model(willing, tmp_path):
    """TRL opens it by the library's own class, which computes the same as ours."""
    trainer, _ = make_trainer(settings(willing, tmp_path / "out", steps=1, beta=0.1))
    assert type(trainer.ref_model) is Qwen3VLForConditionalGeneration
    trainer.train()
    (divergence,) = (line["kl"] for line in trainer.state.log_history if "kl" in line)
    assert abs(divergence) < 1e-6


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("group_size", 1, "group_size"),
        ("batch_size", 3, "batch_size must be a divisor of .*8"),
        ("loss", "ppo", "'dapo', 'grpo'"),
        ("beta", -1, "beta"),
    ],
)
def test_settings_that_cannot_work_are_refused(small_model, tmp_path, field, value, message):
    with pytest.raises(InvalidSetting, match=message):
        settings(small_model, tmp_path, **{field: value})
    with pytest.raises(InvalidSetting, match="tasks must be given"):
        train_grpo(GRPOSettings(model=str(small_model), out=str(tmp_path / "x")))


@pytest.mark.parametrize(
    ("batch_size", "devices", "expected"), [(0, 1, (8, 1)), (0, 2, (4, 1)), (2, 1, (2, 4)), (2, 4, (2, 1))]
)
def test_rollouts_are_shared_out_evenly(small_model, tmp_path, batch_size, devices, expected):
    assert split_rollouts(settings(small_model, tmp_path, batch_size=batch_size), devices) == expected


def test_rollouts_that_cannot_be_shared_out_are_refused(small_model, tmp_path):
    with pytest.raises(InvalidSetting, match=r"8 roll-outs.*3 devices"):
        split_rollouts(settings(small_model, tmp_path, batch_size=2), 3)


def test_small_batches_train_as_well(willing, tmp_path):
    out = train_grpo(settings(willing, tmp_path / "run", steps=1, batch_size=4, turn_tokens=20))
    assert json.loads((out / "training.json").read_text())["steps"] == 1
    assert len(records(out)) == 8


@pytest.mark.parametrize("vllm", [False, True])
def test_no_engine_may_sample_image_tokens_or_message_headers(small_model, tmp_path, vllm):
    start = open_checkpoint(small_model)
    size = start.model.config.get_text_config().vocab_size
    limits = _generation(settings(small_model, tmp_path, vllm=vllm), start.processor, size)
    barred = set(limits["logit_bias"]) if vllm else set(limits["suppress_tokens"])
    encode_token = start.processor.tokenizer.convert_tokens_to_ids
    assert {encode_token(mark) for mark in ("<|image_pad|>", "<|video_pad|>", "<|user|>", "<|assistant|>")} <= barred
    assert start.processor.tokenizer.eos_token_id not in barred
    assert max(barred) < start.model.config.get_text_config().vocab_size
    assert limits["max_tokens" if vllm else "max_new_tokens"] == 8
