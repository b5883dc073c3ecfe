from __future__ import annotations

import json
import shutil

import pytest
import torch

from vzgym.agents.data.dataset import IMPORTED, collect, load_trajectories
from vzgym.agents.data.rows import write_rows
from vzgym.agents.data.settings import CollectSettings
from vzgym.agents.training.plan import plan_sft
from vzgym.agents.training.settings import LoraSettings, SFTSettings
from vzgym.agents.training.sft import TrajectoryCollator, train_sft, trajectory_chat
from vzgym.agents.vlm.chat import chat_of, encode, turn_spans
from vzgym.agents.vlm.checkpoint import open_checkpoint, saved_protocol
from vzgym.agents.vlm.image_checks import image_token
from vzgym.core.errors import InvalidSetting
from vzgym.episode import Episode, EpisodeRecord
from vzgym.policies.fingerprint import METADATA
from vzgym.protocols import Parsed
from vzgym.tasks import load_tasks


def settings(model, data, out, **more):
    values = {"max_steps": 3, "batch_size": 4, "learning_rate": 1e-3, "log_steps": 1, **more}
    return SFTSettings(**{"model": str(model), "data": str(data), "out": str(out), **values})


def losses(out):
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [float(line["loss"]) for line in lines if "loss" in line]


@pytest.fixture(scope="module")
def rows(trajectories):
    return load_trajectories(trajectories)


def test_three_steps_give_finite_losses_and_move_the_weights(small_model, trajectories, tmp_path):
    out = train_sft(settings(small_model, trajectories, tmp_path / "sft", freeze_vision=True))
    before, after = open_checkpoint(small_model).model.state_dict(), open_checkpoint(out).model.state_dict()
    assert len(losses(out)) == 3
    assert all(0 < loss < 20 for loss in losses(out))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("language_model" in name for name in moved)
    assert not any("visual" in name for name in moved)
    assert json.loads((out / "training.json").read_text())["steps"] == 3


def test_the_loss_covers_the_models_own_turns_and_nothing_else(small_model, rows):
    start = open_checkpoint(small_model)
    tokenizer = start.processor.tokenizer
    chosen = [rows[i] for i in range(6)]
    batch = TrajectoryCollator(start.processor, 512)(chosen)
    for ids, labels, row in zip(batch["input_ids"], batch["labels"], chosen, strict=True):
        learned = labels != -100
        assert torch.equal(ids[learned], labels[learned])
        said = [m["content"][0]["text"] for m in row["messages"] if m["role"] == "assistant"]
        assert tokenizer.decode(ids[learned]) == "".join(text + tokenizer.eos_token for text in said)
        assert not (ids[learned] == image_token(start.processor)).any()
    assert batch["attention_mask"].sum() < batch["attention_mask"].numel()


def test_spans_begin_behind_the_header_and_end_with_the_end_token():
    assert turn_spans([7, 8, 1, 2, 9, 7, 8, 3, 9, 5], [7, 8], 9) == [(2, 5), (7, 9)]
    assert turn_spans([7, 8, 1, 2], [7, 8], 9) == [(2, 4)]
    assert turn_spans([1, 2, 9], [7, 8], 9) == []


def test_replies_saved_as_the_users_are_read_as_the_tools(rows):
    row = dict(next(row for row in rows if row["zooms"] > 0))
    row["messages"] = [{**m, "role": "user" if m["role"] == "tool" else m["role"]} for m in row["messages"]]
    roles = [message["role"] for message in trajectory_chat(row)]
    assert roles[:3] == ["user", "assistant", "tool"]


def test_pictures_may_stand_in_their_column(trajectories, rows):
    apart = load_trajectories(trajectories, in_blocks=False)
    for one, other in zip(trajectory_chat(rows[0]), trajectory_chat(apart[0]), strict=True):
        for left, right in zip(one["content"], other["content"], strict=True):
            assert left["type"] == right["type"]
            assert left.get("image") == right.get("image")


def test_missing_pictures_and_long_trajectories_are_refused(small_model, rows):
    start = open_checkpoint(small_model)
    row = dict(rows[0])
    with pytest.raises(InvalidSetting, match=r"needle-micro/train/\d+.*more than max_length 10"):
        TrajectoryCollator(start.processor, 10)([row])
    row["messages"] = [
        {**m, "content": [{k: v for k, v in b.items() if k != "image"} for b in m["content"]]} for m in row["messages"]
    ]
    with pytest.raises(InvalidSetting, match="lacks images"):
        TrajectoryCollator(start.processor, 512)([row])


def test_a_run_goes_on_from_its_checkpoint(small_model, trajectories, tmp_path):
    whole = train_sft(settings(small_model, trajectories, tmp_path / "whole", max_steps=4))
    out = tmp_path / "parts"
    # The course of the learning rate depends on the number of steps: it must be constant here.
    train_sft(settings(small_model, trajectories, out, max_steps=2, save_steps=2))
    train_sft(settings(small_model, trajectories, out, max_steps=4, save_steps=2, resume=True))
    assert losses(out) == pytest.approx(losses(whole), rel=1e-3)
    one, other = (open_checkpoint(folder).model.lm_head.weight for folder in (whole, out))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_adapters_are_trained_and_merged(small_model, trajectories, tmp_path):
    lora = LoraSettings(rank=2, alpha=4, targets=("q_proj",))
    out = train_sft(settings(small_model, trajectories, tmp_path / "lora", lora=lora, max_steps=2))
    before, after = open_checkpoint(small_model).model.state_dict(), open_checkpoint(out).model.state_dict()
    assert set(before) == set(after)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(name.endswith("q_proj.weight") and "language_model" in name for name in moved)


@pytest.mark.parametrize(("missing", "name"), [("model", "model"), ("out", "out"), ("data", "data")])
def test_what_must_be_given_is_asked_for(small_model, trajectories, tmp_path, missing, name):
    given = {"model": str(small_model), "data": str(trajectories), "out": str(tmp_path / "x"), missing: ""}
    with pytest.raises(InvalidSetting, match=f"{name} must be given"):
        train_sft(SFTSettings(**given))


def test_a_dataset_without_trajectories_is_refused(small_model, trajectories, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    write_rows(empty, [], b"empty")
    told = settings(small_model, empty, tmp_path / "x")
    for refuse in (lambda: train_sft(told), lambda: plan_sft(told)):
        with pytest.raises(InvalidSetting, match=r"empty has no trajectories \(0 rows\)"):
            refuse()
    with pytest.raises(InvalidSetting, match="the dataset has no trajectories"):
        train_sft(told.replace(data=""), data=load_trajectories(trajectories).select([]))


def test_several_zooms_of_a_turn_are_encoded_as_they_were_played(small_model, tmp_path):
    start = open_checkpoint(small_model)
    out = tmp_path / "several"
    chosen = CollectSettings(
        tasks="order-tiny/train",
        episodes=3,
        mix="oracle=1",
        protocol="compact_tags",
        thoughts="short",
        budget={"zooms_per_turn": 2},
    )
    statistics = collect(chosen, out)
    assert statistics.rows == 3
    rows = load_trajectories(out)
    records = [EpisodeRecord.from_line(line) for line in (out / "records.jsonl").read_text().splitlines()]
    tasks = load_tasks("order-tiny/train")
    collator = TrajectoryCollator(start.processor, 4096)
    for row, record in zip(rows, records, strict=True):
        assert [len(turn.zooms) for turn in record.turns] == [2, 0]
        assert (row["zooms"], row["turns"], len(row["fps"]), row["frames"]) == (1, 2, 2, record.frames)
        # The engine's own dialogue of the same turns.
        episode = Episode(tasks[row["index"]], record.budget, start.protocol)
        for turn in record.turns:
            parsed = start.protocol.parse(turn.text, episode.rules)
            assert parsed == Parsed(turn.action, True)
            episode.step(parsed.action, text=turn.text, well_formed=parsed.well_formed)
        acting = encode(start.processor, chat_of(episode.messages), reply=False)["input_ids"].tolist()
        assert encode(start.processor, trajectory_chat(row), reply=False)["input_ids"].tolist() == acting
        assert acting.count(image_token(start.processor)) >= record.frames
        batch = collator([row])
        learned = batch["labels"][0] != -100
        said = "".join(turn.text + start.processor.tokenizer.eos_token for turn in record.turns)
        assert start.processor.tokenizer.decode(batch["input_ids"][0][learned]) == said


@pytest.fixture(scope="module")
def called(tmp_path_factory):
    """A folder of trajectories in native tool calls."""
    out = tmp_path_factory.mktemp("data") / "called"
    collect(CollectSettings(tasks="needle-micro/train", episodes=4, mix="exemplar=1", protocol="tool_calls"), out)
    return out


@pytest.fixture
def patient(small_model, tmp_path):
    """The small model, with places for the many tokens that its tokenizer makes of native calls."""
    folder = shutil.copytree(small_model, tmp_path / "patient")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 8192
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def speechless(patient):
    """A model that keeps no protocol, as one from elsewhere."""
    (patient / METADATA).unlink()
    return patient


def test_a_model_keeps_the_protocol_of_what_it_imitated(speechless, called, tmp_path):
    out = train_sft(settings(speechless, called, tmp_path / "sft", max_steps=1, batch_size=1))
    assert saved_protocol(out).spec == json.loads((called / "collect.json").read_text())["protocol"]
    assert saved_protocol(out).spec["name"] == "tool_calls"


def test_imported_trajectories_say_their_protocol_too(speechless, called, tmp_path):
    imported = shutil.copytree(called, tmp_path / "imported")
    (imported / "collect.json").rename(imported / IMPORTED)
    out = train_sft(settings(speechless, imported, tmp_path / "sft", max_steps=1, batch_size=1))
    assert saved_protocol(out).spec["name"] == "tool_calls"


def test_another_protocol_than_the_trajectories_is_refused(small_model, speechless, called, tmp_path):
    out = tmp_path / "sft"
    for wrong in (
        settings(speechless, called, out, protocol="tags"),
        settings(speechless, called, out, protocol={"name": "tool_calls", "think": "none"}),
    ):
        for refuse in (train_sft, plan_sft):
            with pytest.raises(InvalidSetting, match=rf"protocol is .*'name'.*{called} are in .*'tool_calls'"):
                refuse(wrong)
    for refuse in (train_sft, plan_sft):
        with pytest.raises(InvalidSetting, match=rf"{small_model} uses .*'compact_tags'.*{called}.*'tool_calls'"):
            refuse(settings(small_model, called, out))
    assert not out.exists()


def test_a_model_is_taught_another_protocol_only_where_that_is_said(patient, called, tmp_path):
    out = train_sft(settings(patient, called, tmp_path / "sft", max_steps=1, batch_size=1, protocol="tool_calls"))
    assert saved_protocol(out).spec["name"] == "tool_calls"
