"""verl's own worker plays the agent loop, on a Qwen3-VL of random weights, with a client that says a script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("verl", reason='needs pip install "vzgym[verl]": make test-interfaces')

import torch
from PIL import Image
from verl.experimental.agent_loop.agent_loop import _agent_loop_registry
from verl.protocol import DataProto
from verl.trainer.ppo.reward import extract_reward
from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

import vzgym
from vzgym.agents.vlm.image_checks import ImagesDropped
from vzgym.core.errors import InvalidSetting, TaskError, UntrustedName, VideoError
from vzgym.episode.record import EpisodeRecord
from vzgym.interfaces.rollouts import TextRollouts
from vzgym.interfaces.verl import VerlData, write_verl_data
from vzgym.testing.models import build_checkpoint
from vzgym.testing.parity.verl import ScriptedClient, make_worker, play_rows

ZOOM = '<think>Look.</think><video_zoom>{"segment": [4.0, 6.0], "fps": 4}</video_zoom>'
TASKS = "tiny/train[:4]"


def answer(index: int, *, right: bool = True) -> str:
    task = vzgym.load_tasks(TASKS)[index]
    letter = task.letter if right else ("B" if task.letter == "A" else "A")
    return f"<think>So.</think><answer>{letter}</answer>"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_checkpoint("qwen3_vl", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def data(model: Path, tmp_path_factory: pytest.TempPathFactory) -> VerlData:
    return write_verl_data(tmp_path_factory.mktemp("data") / "verl", TASKS, model=str(model), turn_tokens=200)


@pytest.fixture(scope="module")
def worker_of(model: Path, data: VerlData) -> Callable[..., Any]:
    """Makes a worker by its own constructor, with the agent loop's YAML and the options that the command prints."""

    def make(*options: str, **loop: Any) -> Any:
        worker = make_worker(model, *data.options, *options)
        worker.loop = {**_agent_loop_registry["video_zoom"], **loop}
        return worker

    return make


@pytest.fixture(scope="module")
def worker(worker_of: Callable[..., Any]) -> Any:
    return worker_of()


def batch_of(worker: Any, data: VerlData, indices: Sequence[int], n: int = 1) -> DataProto:
    """Rows as the trainer makes them from the parquet file."""
    rows = RLHFDataset(str(data.files[0]), worker.tokenizer, worker.config.data, worker.processor)
    batch = DataProto.from_single_dict(collate_fn([rows[index] for index in indices]))
    return batch.repeat(n, interleave=True)


def play(worker: Any, batch: DataProto, script: Callable[[int], Sequence[Any]]) -> tuple[DataProto, ScriptedClient]:
    client = ScriptedClient(worker.tokenizer, script)
    return play_rows(worker, batch, client, worker.loop), client


def image_tokens(worker: Any, out: DataProto, row: int) -> int:
    return int((out.batch["input_ids"][row] == worker.processor.image_token_id).sum())


def lengths(client: ScriptedClient) -> list[int]:
    """Requests of each row; those of a row are one session."""
    assert all(len(ids) == 1 for ids in client.ids.values())
    return [len(client.requests[row]) for row in sorted(client.requests)]


def test_a_batch_through_verls_worker(worker: Any, data: VerlData) -> None:
    scripts = [[ZOOM, answer(0)], [answer(1)], [ZOOM, ZOOM, answer(2, right=False)], ["what?", answer(3)]]
    out, client = play(worker, batch_of(worker, data, range(4)), lambda row: scripts[row])

    mix = vzgym.rewards.make_reward("videozoomer")
    rewards, extra = extract_reward(out)
    assert rewards.sum(dim=1).tolist() == pytest.approx([1.5, 1.0, 0.1, 0.9])
    for row in range(4):
        last = out.batch["attention_mask"][row, out.batch["prompts"].shape[1] :].sum() - 1
        assert rewards[row].nonzero().tolist() in ([[int(last)]], [])
    terms = [f"terms/{name}" for name in mix.terms]
    assert set(terms) < set(extra)
    assert np.sum([extra[name] for name in terms], axis=0) == pytest.approx(rewards.sum(dim=1).tolist())
    assert extra["acc"].tolist() == [1.0, 1.0, 0.0, 1.0]
    assert extra["zooms"].tolist() == [1.0, 0.0, 2.0, 0.0]
    assert extra["unscored"].tolist() == extra["cut_short"].tolist() == [0.0] * 4
    assert out.non_tensor_batch["__num_turns__"].tolist() == [4, 2, 6, 4]
    assert lengths(client) == [2, 1, 3, 2]
    assert out.non_tensor_batch["max_global_steps"].tolist() == [5, 4, 6, 5]


def test_image_tokens_and_pictures_agree(worker: Any, data: VerlData) -> None:
    scripts = [[ZOOM, answer(0)], [ZOOM, ZOOM, answer(1)]]
    out, client = play(worker, batch_of(worker, data, range(2)), lambda row: scripts[row])
    merge = worker.processor.image_processor.merge_size**2
    for row, frames in enumerate((16 + 8, 16 + 8 + 8)):
        inputs = out.non_tensor_batch["multi_modal_inputs"][row]
        assert len(inputs["image_grid_thw"]) == frames == out.non_tensor_batch["frames"][row]
        tokens = image_tokens(worker, out, row)
        assert tokens == int(inputs["image_grid_thw"].prod(dim=1).sum()) // merge
        assert len(inputs["pixel_values"]) == tokens * merge
    assert out.batch["position_ids"].shape[:2] == (2, 4)
    # The server was sent the frames so far, one after each time stamp.
    for turns in client.requests.values():
        for turn in turns:
            shown = turn["prompt_ids"].count(worker.processor.tokenizer.convert_tokens_to_ids("<|vision_start|>"))
            assert shown == len(turn["image_data"])


def test_the_mask_covers_own_turns_alone(worker: Any, data: VerlData) -> None:
    said = ["what?", ZOOM, answer(0)]
    out, client = play(worker, batch_of(worker, data, [0]), lambda row: said)
    ids, mask = out.batch["responses"][0], out.batch["response_mask"][0].bool()
    end = worker.tokenizer.eos_token
    assert worker.tokenizer.decode(ids[mask]) == "".join(f"{text}{end}" for text in said)
    assert "<tool_response>" in worker.tokenizer.decode(ids[~mask])
    assert worker.processor.image_token_id not in ids[mask].tolist()
    assert out.batch["rollout_log_probs"][0][mask].unique().tolist() == [-0.5]
    assert out.batch["rollout_log_probs"][0][~mask].unique().tolist() == [0.0]
    # Each request continues the tokens of the one before: nothing is encoded again.
    first, second, third = (turn["prompt_ids"] for turn in client.requests[0])
    assert second[: len(first)] == first
    assert third[: len(second)] == second
    whole = torch.cat([out.batch["prompts"][0], ids])[out.batch["attention_mask"][0].bool()].tolist()
    assert whole[: len(third)] == third


def test_tokens_are_those_of_the_whole_dialogue(worker: Any, data: VerlData) -> None:
    """Appending messages gives what the processor makes of the dialogue at once, as in vzgym's own training."""
    _, client = play(worker, batch_of(worker, data, [0]), lambda row: [ZOOM, answer(0)])
    rollout = TextRollouts("test").start({"tasks": TASKS, "index": 0})
    rollout.step(ZOOM)
    chat = vzgym.protocols.as_chat(rollout.episode.messages)
    text = worker.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    images = [block["image"] for message in chat for block in message["content"] if block["type"] == "image"]
    wanted = worker.processor(text=[text], images=images)["input_ids"][0]
    turns = client.requests[0]
    assert turns[1]["prompt_ids"] == list(wanted)
    assert [np.asarray(image).tolist() for image in turns[1]["image_data"]] == [np.asarray(i).tolist() for i in images]


def test_a_group_shares_its_task(worker: Any, data: VerlData) -> None:
    out, client = play(worker, batch_of(worker, data, [2, 1], n=3), lambda row: [answer(2 if row < 3 else 1)])
    starts = [client.requests[row][0]["prompt_ids"] for row in range(6)]
    assert starts[0] == starts[1] == starts[2] != starts[3] == starts[4] == starts[5]
    assert out.non_tensor_batch["acc"].tolist() == [1.0] * 6


def test_a_reply_that_does_not_fit_ends_the_rollout_before_its_frames(
    worker_of: Callable[..., Any], data: VerlData
) -> None:
    worker = worker_of("data.max_response_length=150")
    out, client = play(worker, batch_of(worker, data, [0]), lambda row: [ZOOM, answer(0)])
    assert lengths(client) == [1]
    assert out.non_tensor_batch["cut_short"].tolist() == [1.0]
    assert out.non_tensor_batch["acc"].tolist() == [0.0]
    assert out.non_tensor_batch["unscored"].tolist() == [0.0]
    inputs = out.non_tensor_batch["multi_modal_inputs"][0]
    assert len(inputs["image_grid_thw"]) == 16
    assert (
        int((out.batch["input_ids"] == worker.processor.image_token_id).sum())
        == int(inputs["image_grid_thw"].prod(dim=1).sum()) // 4
    )
    assert out.batch["responses"].shape[1] == 150
    assert int(out.batch["response_mask"].sum()) == len(worker.tokenizer.encode(ZOOM)) + 1


def test_an_opening_that_does_not_fit_is_refused(worker_of: Callable[..., Any], data: VerlData) -> None:
    worker = worker_of("data.max_prompt_length=300")
    with pytest.raises(InvalidSetting, match=r"has \d+ tokens for 16 frames .*max_prompt_length is 300"):
        play(worker, batch_of(worker, data, [0]), lambda row: [answer(0)])


def test_turns_that_are_no_turns(worker: Any, data: VerlData) -> None:
    pad, start = worker.processor.image_token_id, worker.tokenizer.convert_tokens_to_ids("<|im_start|>")
    end = worker.tokenizer.eos_token_id
    zoom, sure = worker.tokenizer.encode(ZOOM), worker.tokenizer.encode(answer(0))
    scripts: list[list[Any]] = [
        [[*zoom[:5], *zoom], [*sure, end]],  # cut off by the limit on tokens: no end
        [[*zoom[:9], pad, pad, end], [*sure, end]],  # frames of its own making
        [[start, *sure, end], [*sure, end]],  # a header of its own making
        [[*sure, end, *zoom], []],  # goes on after its end
        [[255] * 3 + [end], [*sure, end]],  # bytes that are no text
        [[], [*sure, end]],  # nothing
    ]
    batch = batch_of(worker, data, [0] * len(scripts))
    out, client = play(worker, batch, lambda row: scripts[row])
    assert out.non_tensor_batch["acc"].tolist() == [1.0] * 6
    assert out.non_tensor_batch["zooms"].tolist() == [0.0] * 6
    assert lengths(client) == [2, 2, 2, 1, 2, 2]
    for row in range(6):
        inputs = out.non_tensor_batch["multi_modal_inputs"][row]
        assert image_tokens(worker, out, row) == int(inputs["image_grid_thw"].prod(dim=1).sum()) // 4
        mask = out.batch["response_mask"][row].bool()
        assert pad not in out.batch["responses"][row][mask]
        # Every message is closed before the next one starts.
        ids = out.batch["responses"][row].tolist()
        opened = [place for place, token in enumerate(ids) if token == start]
        assert all(end in ids[place - 2 : place] for place in opened)


def test_unscored_rollouts_teach_nothing(
    worker: Any, data: VerlData, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = vzgym.load_tasks(TASKS)
    broken = tasks[1].id
    whole, reads = TextRollouts.start, []

    def start(self: TextRollouts, row: Any) -> Any:
        rollout = whole(self, row)
        if rollout.record.task.id == broken:
            raise VideoError("torn", path="a.mp4")
        if rollout.record.task.id == tasks[3].id:
            monkeypatch.setattr(rollout.episode, "_look", fail)
        return rollout

    def fail(*args: Any) -> Any:
        reads.append(args)
        raise VideoError("torn", path="b.mp4")

    monkeypatch.setattr(TextRollouts, "start", start)
    scripts: list[list[Any]] = [[answer(0)], [], [None], [ZOOM]]
    out, _ = play(worker, batch_of(worker, data, range(4)), lambda row: scripts[row])
    assert reads
    assert "cannot be read" in caplog.text
    assert out.non_tensor_batch["unscored"].tolist() == [0.0, 1.0, 1.0, 1.0]
    assert out.batch["response_mask"].sum(dim=1).tolist()[1:] == [0, 0, 0]
    assert out.batch["rm_scores"].sum(dim=1).tolist() == [1.0, 0.0, 0.0, 0.0]
    assert "rollout_log_probs" in out.batch


def test_records_and_settings(worker_of: Callable[..., Any], data: VerlData, tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    settings = {"reward": {"accuracy": 1.0, "frame_cost": 0.01}, "budget": {"max_zooms": 1}, "records": str(file)}
    worker = worker_of(settings=settings, turn_tokens=100)
    out, client = play(worker, batch_of(worker, data, [0, 0]), lambda row: [ZOOM, [ZOOM, answer(0)][row]])
    records = [EpisodeRecord.from_line(line) for line in file.read_text().splitlines()]
    assert sorted(str(record.end) for record in records) == ["answered", "out_of_rounds"]
    assert all(record.info.interface == "verl" and record.budget.max_zooms == 1 for record in records)
    assert {turn["sampling_params"]["max_tokens"] for turns in client.requests.values() for turn in turns} == {100}
    found = sorted(sum(entry["total"] for entry in record.rewards) for record in records)
    assert sorted(out.batch["rm_scores"].sum(dim=1).tolist()) == pytest.approx(found)
    assert "terms/frame_cost" in out.non_tensor_batch


def test_pixels_reach_the_model(worker: Any, data: VerlData) -> None:
    """The frames behind the image tokens are those of the episode: undone, the patches are their pixels."""
    out, _ = play(worker, batch_of(worker, data, [0]), lambda row: [ZOOM, answer(0)])
    rollout = TextRollouts("test").start({"tasks": TASKS, "index": 0})
    rollout.step(ZOOM)
    shown = np.concatenate([clip.pixels for clip in rollout.record.clips])
    images = worker.processor.image_processor
    wanted = images(images=[Image.fromarray(frame) for frame in shown], return_tensors="pt")
    assert torch.equal(out.non_tensor_batch["multi_modal_inputs"][0]["pixel_values"], wanted["pixel_values"])


def test_replies_of_the_role_tool(worker_of: Callable[..., Any], data: VerlData) -> None:
    worker = worker_of(tool_role="tool")
    out, client = play(worker, batch_of(worker, data, [0]), lambda row: [ZOOM, answer(0)])
    assert [len(turn["image_data"]) for turn in client.requests[0]] == [16, 24]
    inputs = out.non_tensor_batch["multi_modal_inputs"][0]
    assert image_tokens(worker, out, 0) == int(inputs["image_grid_thw"].prod(dim=1).sum()) // 4


def test_frames_that_the_template_loses_stop_the_run(
    worker: Any, data: VerlData, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = worker.processor.chat_template.replace("<|image_pad|>", "")
    batch = batch_of(worker, data, [0])
    play(worker, batch, lambda row: [answer(0)])  # what is known of the processor is found with its own template
    monkeypatch.setattr(worker.processor, "chat_template", blind)
    with pytest.raises(ImagesDropped, match="16 frames have 0 image tokens"):
        play(worker, batch, lambda row: [answer(0)])


@pytest.mark.parametrize(
    ("loop", "error", "words"),
    [
        ({"settings": {"rewards": "videozoomer"}}, InvalidSetting, "unknown settings: rewards"),
        ({"turn_tokens": 0}, InvalidSetting, "turn_tokens"),
        ({"turn_token": 9}, InvalidSetting, "unknown options of the agent loop: turn_token; valid: settings"),
        ({"tool_role": "system"}, InvalidSetting, "tool_role"),
    ],
)
def test_wrong_settings_are_named(
    worker_of: Callable[..., Any], data: VerlData, loop: dict[str, Any], error: type, words: str
) -> None:
    worker = worker_of(**loop)
    with pytest.raises(Exception, match=words) as found:
        play(worker, batch_of(worker, data, [0]), lambda row: [answer(0)])
    assert isinstance(found.value.__cause__ or found.value, error)


@pytest.mark.parametrize(
    ("row", "error", "words"),
    [
        (None, TaskError, "lacks tasks and index"),
        ({"tasks": "tiny/train", "index": 1.5}, TaskError, "whole number"),
        ({"tasks": "tiny/train[:4]", "index": 4}, TaskError, "tasks 0 to 3"),
        ({"tasks": "os:path", "index": 0}, UntrustedName, "os:path"),
    ],
)
def test_rows_that_name_no_task(worker: Any, data: VerlData, row: Any, error: type, words: str) -> None:
    batch = batch_of(worker, data, [0])
    batch.non_tensor_batch["extra_info"][0] = row
    with pytest.raises(error, match=words):
        play(worker, batch, lambda row: [answer(0)])
