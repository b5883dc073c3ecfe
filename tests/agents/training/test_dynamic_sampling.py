"""Groups without a signal give way to groups of further tasks, with everything that belongs to their roll-outs."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from typing import Any

import pytest
import torch
from transformers import LogitsProcessor, LogitsProcessorList
from trl.trainer.grpo_trainer import GRPOTrainer

from vzgym.agents.training.dynamic_sampling import (
    batch_advantages,
    further_tasks,
    groups_with_signal,
    matches,
    replace_rollouts,
    total_rewards,
)
from vzgym.agents.training.grpo import check_groups, make_trainer, train_grpo
from vzgym.agents.training.memory import Sharding
from vzgym.agents.training.plan import plan_grpo
from vzgym.agents.training.settings import GRPOSettings
from vzgym.agents.vlm.chat import turn_end
from vzgym.core.errors import InvalidSetting
from vzgym.episode import EpisodeRecord

NAN = float("nan")
SIZE = 2
"""Roll-outs of a group."""

ZOOM = '<think>here</think><video_zoom>{"segment": [24, 30], "fps": 1}</video_zoom>'
ANSWER = "<think>seen</think><answer>red</answer>"


# Decisions ----------------------------------------------------------------------------------------------------------


def test_a_group_has_a_signal_if_its_scored_rollouts_differ():
    rewards = torch.tensor([
        [1.0, 0.2], [1.0, 0.0],  # differ
        [0.3, 0.0], [0.1, 0.2],  # equal but for rounding
        [1.0, 0.0], [NAN, NAN],  # a single scored one
        [NAN, NAN], [NAN, NAN],
        [0.0, NAN], [0.0, 1.0],  # a term that scores one of them
    ])  # fmt: skip
    totals = total_rewards(rewards, torch.ones(2))
    assert groups_with_signal(totals, 2) == [True, False, False, False, True]
    assert groups_with_signal(total_rewards(rewards, torch.tensor([1.0, 0.0])), 2)[0] is False


def test_further_tasks_are_all_others_in_an_order_of_the_key():
    order = further_tasks(10, {3, 7}, (0, 5, 0))
    assert sorted(order) == [0, 1, 2, 4, 5, 6, 8, 9]
    assert order == further_tasks(10, {3, 7}, (0, 5, 0))
    others = [further_tasks(10, {3, 7}, key) for key in ((1, 5, 0), (0, 6, 0), (0, 5, 1))]
    assert all(other != order for other in others)


def test_each_place_and_each_group_is_used_once():
    assert matches([True, False, True, True], [False, True, True, False]) == [(0, 1), (2, 2)]
    assert matches([False, False], [True, True]) == []


# Tensors ------------------------------------------------------------------------------------------------------------


def batch(prompts, completions, images, start):
    """A batch of TRL's of rows that count upwards; a pixel row holds the number of its roll-out."""
    width, length = max(prompts), max(completions)
    rows = len(prompts)
    made: dict[str, Any] = {
        "prompt_ids": torch.full((rows, width), 99),
        "prompt_mask": torch.zeros(rows, width, dtype=torch.long),
        "completion_ids": torch.full((rows, length), 99),
        "completion_mask": torch.zeros(rows, length, dtype=torch.long),
        "tool_mask": torch.ones(rows, length, dtype=torch.long),
        "old_per_token_logps": torch.zeros(rows, length),
        "advantages": torch.arange(start, start + rows).float(),
        "num_items_in_batch": torch.tensor(7),
    }
    types = torch.zeros(rows, width + length, dtype=torch.long)
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        number = start + row
        made["prompt_ids"][row, width - prompt :] = number
        made["prompt_mask"][row, width - prompt :] = 1
        made["completion_ids"][row, :completion] = number
        made["completion_mask"][row, :completion] = 1
        made["tool_mask"][row, 0] = 0
        made["old_per_token_logps"][row, :completion] = -number
        types[row, width - prompt] = 1
        types[row, width] = 2
    if sum(images):
        grids = [[1, 1 + (start + row) % 2, 2] for row, count in enumerate(images) for _ in range(count)]
        made["image_grid_thw"] = torch.tensor(grids)
        made["num_images"] = list(images)
        owners = [start + row for row, count in enumerate(images) for _ in range(count)]
        counts = made["image_grid_thw"].prod(-1).tolist()
        made["pixel_values"] = torch.tensor(
            [[owner] for owner, n in zip(owners, counts, strict=True) for _ in range(n)]
        )
        made["mm_token_type_ids"] = types
    return made


def test_everything_of_a_rollout_moves_with_it():
    ours, theirs = batch([2, 3], [4, 1], [1, 2], 10), batch([5, 1], [2, 6], [3, 0], 20)
    joined = replace_rollouts(ours, theirs, [(1, 0)], pad_token=99, image=1)
    assert joined["prompt_ids"].tolist() == [[99, 99, 99, 10, 10], [20] * 5]
    assert joined["prompt_mask"].tolist() == [[0, 0, 0, 1, 1], [1] * 5]
    assert joined["completion_ids"].tolist() == [[10, 10, 10, 10, 99, 99], [20, 20, 99, 99, 99, 99]]
    assert joined["completion_mask"].tolist() == [[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]]
    assert joined["tool_mask"].tolist() == [[0, 1, 1, 1, 1, 1]] * 2
    assert joined["old_per_token_logps"].tolist() == [[-10.0] * 4 + [0.0] * 2, [-20.0] * 2 + [0.0] * 4]
    assert joined["mm_token_type_ids"].tolist() == [
        [0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0],
    ]
    assert joined["advantages"].tolist() == [10.0, 20.0]
    assert joined["num_images"] == [1, 3]
    assert joined["image_grid_thw"].tolist() == [[1, 1, 2]] * 4
    assert joined["pixel_values"].flatten().tolist() == [10] * 2 + [20] * 6
    assert joined["num_items_in_batch"] == 7
    # The batches themselves are as they were.
    assert ours["prompt_ids"].shape == (2, 3)


def test_a_batch_without_any_image_is_joined_with_one_that_has_some():
    plain, shown = batch([2, 2], [2, 2], [0, 0], 10), batch([2, 2], [2, 2], [1, 1], 20)
    for first, second, owners in ((plain, shown, [20]), (shown, plain, [21])):
        joined = replace_rollouts(first, second, [(0, 0)], pad_token=99, image=10)
        assert sorted(set(joined["pixel_values"].flatten().tolist())) == owners
        assert sum(joined["num_images"]) == len(joined["image_grid_thw"]) == 1
    # Where there were no token types, they are those of the placeholders.
    assert joined["mm_token_type_ids"][0].tolist() == [1, 1, 1, 1]


def test_advantages_of_a_whole_batch_are_trls():
    totals = torch.tensor([1.0, 0.0, 0.5, NAN, 0.2, 0.2])
    found = batch_advantages(totals, totals, 2)
    deviation = float(totals[~totals.isnan()].std()) + 1e-4
    assert found.tolist() == pytest.approx([0.5 / deviation, -0.5 / deviation, 0, 0, 0, 0])


# Runs ---------------------------------------------------------------------------------------------------------------


def settings(model, out, **more):
    values = {"tasks": "needle-micro/train", "num_tasks": 40, "reward": {"accuracy": 1.0, "format": 0.1}}
    values |= {"steps": 1, "groups": 3, "group_size": SIZE, "turn_tokens": 24, "log_steps": 1, "learning_rate": 1e-3}
    return GRPOSettings(model=str(model), out=str(out), **{**values, **more})


class Say(LogitsProcessor):  # type: ignore[misc]
    """Makes each row say a text."""

    def __init__(self, turns: list[list[int]], width: int) -> None:
        self.turns, self.width = turns, width

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        place = input_ids.shape[1] - self.width
        forced = torch.full_like(scores, -1e4)
        for row, turn in enumerate(self.turns):
            forced[row, turn[min(place, len(turn) - 1)]] = 0.0
        return forced


class Played:
    """What was played: the batches by step, and what became of them. The rewards and the number of zooms are given.

    Args:
        monkeypatch: Replaces TRL's rewards.
        rewards: For each step, for each of its batches, whether each group has a signal.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rewards: list[list[list[bool]]]) -> None:
        self.batches: dict[int, list[dict[str, Any]]] = defaultdict(list)
        generate, score = GRPOTrainer._generate_and_score_completions, GRPOTrainer._calculate_rewards

        def scored(trainer: Any, *given: Any) -> torch.Tensor:
            found = score(trainer, *given)
            step = trainer.state.global_step
            given_rewards = [
                value for signal in rewards[step][len(self.batches[step])] for value in (1.0, 0.0 if signal else 1.0)
            ]
            found[:] = 0.0
            found[:, 0] = torch.tensor(given_rewards)
            return found

        def generated(trainer: Any, inputs: Any) -> dict[str, Any]:
            made = generate(trainer, inputs)
            self.batches[trainer.state.global_step].append(made)
            return made

        monkeypatch.setattr(GRPOTrainer, "_calculate_rewards", scored)
        monkeypatch.setattr(GRPOTrainer, "_generate_and_score_completions", generated)

    def zooming(self, trainer: Any, start: Any) -> None:
        """Let the number of zooms differ: roll-outs of odd batches zoom in their first turn, as do single ones."""
        generate, tokenizer = start.model.generate, start.processor.tokenizer
        texts = [
            [*tokenizer.encode(text, add_special_tokens=False), turn_end(start.processor)] for text in (ANSWER, ZOOM)
        ]

        def said(*given: Any, **named: Any) -> Any:
            ids = named["input_ids"]
            first = len(ids) == len(trainer.environments)
            odd = len(self.batches[trainer.state.global_step]) % 2
            turns = [texts[bool(first and (odd or row % 3 == 0))] for row in range(len(ids))]
            return generate(*given, **named, logits_processor=LogitsProcessorList([Say(turns, ids.shape[1])]))

        start.model.generate = said


def run(run_settings, played=None):
    """Train; the trainer, the starting model and what it learned from."""
    trainer, start = make_trainer(run_settings)
    learned, score = [], trainer._generate_and_score_completions
    if played is not None:
        played.zooming(trainer, start)

    def watch(inputs):
        learned.append(score(inputs))
        return learned[-1]

    trainer._generate_and_score_completions = watch
    trainer.train()
    return trainer, learned


def log(out):
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "loss" in line]


def sampling(line):
    return {key.partition("/")[2]: value for key, value in line.items() if key.startswith("dynamic_sampling/")}


def records(out):
    return [EpisodeRecord.from_line(line) for line in (out / "rollouts.jsonl").read_text().splitlines()]


def row(made, number):
    """What belongs to a roll-out of a batch, without padding."""
    found = {
        part: made[f"{part}_ids"][number][made[f"{part}_mask"][number].bool()].tolist()
        for part in ("prompt", "completion")
    }
    first = sum(made["num_images"][:number])
    grids = made["image_grid_thw"].prod(-1)
    pixels = slice(int(grids[:first].sum()), int(grids[: first + made["num_images"][number]].sum()))
    return found | {
        "learns": made["tool_mask"][number][made["completion_mask"][number].bool()].tolist(),
        "advantage": float(made["advantages"][number]),
        "images": made["num_images"][number],
        "pixels": made["pixel_values"][pixels].tolist(),
    }


def log_probabilities(trainer, made):
    """Of each roll-out's own tokens."""
    names = ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")
    with torch.no_grad():
        found, _, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model,
            torch.cat([made["prompt_ids"], made["completion_ids"]], dim=1),
            torch.cat([made["prompt_mask"], made["completion_mask"]], dim=1),
            made["completion_ids"].size(1),
            **{name: made[name] for name in names},
        )
    own = (made["completion_mask"] * made["tool_mask"]).bool()
    return [values[mask] for values, mask in zip(found, own, strict=True)]


GIVEN = [[False, True, False], [False, False, True], [True, True, False]]
"""Which groups of the batch and of two further ones have a signal."""

EXPECTED = [(1, 2), (0, 1), (2, 0)]
"""The batch and the group that each place of the update has in the end."""


@pytest.fixture(scope="module")
def mixed(small_model, tmp_path_factory):
    """A step with two flat groups, which two further batches replace."""
    out = tmp_path_factory.mktemp("dynamic") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        played = Played(monkeypatch, [GIVEN])
        trainer, learned = run(settings(small_model, out, dynamic_sampling=5, learning_rate=1e-12), played)
    return out, trainer, played.batches[0], learned[0]


def test_flat_groups_are_replaced_until_all_groups_have_a_signal(mixed):
    out, _, batches, learned = mixed
    assert len(batches) == 3
    for place, (number, group) in enumerate(EXPECTED):
        for member in range(SIZE):
            assert row(learned, place * SIZE + member) == row(batches[number], group * SIZE + member)
    expected = {"batches": 3, "rollouts": 18, "flat_before": 2 / 3, "flat_after": 0}
    assert sampling(log(out)[0]) == pytest.approx(expected)
    assert (learned["advantages"] != 0).all()
    own = learned["completion_mask"] * learned["tool_mask"]
    assert learned["num_items_in_batch"] == own.sum()


def test_the_model_gives_the_rollouts_the_same_probabilities_in_their_new_batch(mixed):
    _, trainer, batches, learned = mixed
    # Batches of different lengths and numbers of images.
    assert len({made["completion_ids"].size(1) for made in batches} | {sum(made["num_images"]) for made in batches}) > 2
    before, after = [log_probabilities(trainer, made) for made in batches], log_probabilities(trainer, learned)
    for place, (number, group) in enumerate(EXPECTED):
        for member in range(SIZE):
            torch.testing.assert_close(
                after[place * SIZE + member], before[number][group * SIZE + member], atol=1e-5, rtol=0
            )


def test_every_rollout_is_saved_once_and_says_whether_it_was_used(mixed):
    out, _, batches, _ = mixed
    found = records(out)
    assert [record.info.rollout for record in found] == list(range(len(batches) * 3 * SIZE))
    assert {record.info.step for record in found} == {0}
    used = [not record.info.discarded for record in found]
    assert used == [(number, group) in EXPECTED for number in range(3) for group in range(3) for _ in range(SIZE)]
    # Further batches are of other tasks.
    groups = [[record.task.id for record in found[first : first + SIZE]] for first in range(0, len(found), SIZE)]
    assert all(len(set(group)) == 1 for group in groups)
    assert len({group[0] for group in groups}) == len(groups)
    # What is logged of the behavior is over all that was played.
    zooms = sum(record.zooms for record in found) / len(found)
    assert log(out)[0]["episode/zooms"] == pytest.approx(zooms)


def test_the_limit_ends_a_search_in_vain(small_model, tmp_path, monkeypatch):
    played = Played(monkeypatch, [[[False, False, False], [False, True, False], [False] * 3]])
    _, learned = run(settings(small_model, tmp_path, dynamic_sampling=2, scale_rewards="batch"))
    assert len(played.batches[0]) == 3
    assert [row(learned[0], number) for number in (2, 3)] == [row(played.batches[0][0], number) for number in (2, 3)]
    assert (learned[0]["advantages"] != 0).tolist() == [True, True, False, False, False, False]
    # Scaled by the deviation of the batch of the update, of rewards 1, 0, 1, 1, 1, 1.
    assert float(learned[0]["advantages"][0]) == pytest.approx(0.5 / (6**-0.5 + 1e-4))
    expected = {"batches": 3, "rollouts": 18, "flat_before": 1, "flat_after": 2 / 3}
    assert sampling(log(tmp_path)[0]) == pytest.approx(expected)
    assert [record.info.discarded for record in records(tmp_path)].count(False) == 6


def test_without_it_or_without_need_a_run_is_what_it_was(small_model, tmp_path, monkeypatch):
    played = Played(monkeypatch, [[[True, False, True]]])
    off, learned = run(settings(small_model, tmp_path / "off"))
    assert learned[0] is played.batches[0][0]
    assert sampling(log(tmp_path / "off")[0]) == {}
    assert not any(record.info.discarded for record in records(tmp_path / "off"))
    plain = off.model.state_dict()
    monkeypatch.undo()

    weights = {}
    for extra in (0, 2):
        Played(monkeypatch, [[[True, True, True]]])
        trainer, _ = run(settings(small_model, tmp_path / f"with-{extra}", dynamic_sampling=extra))
        weights[extra] = trainer.model.state_dict()
        monkeypatch.undo()
    assert all(torch.equal(weights[0][name], weights[2][name]) for name in plain)
    assert any(not torch.equal(weights[0][name], plain[name]) for name in plain)


def test_a_batch_that_serves_several_updates_is_filled_once(small_model, tmp_path, monkeypatch):
    played = Played(monkeypatch, [[[False, True], [True, False]], []])
    options = {"groups": 2, "batch_size": 2, "updates": 2, "steps": 2, "dynamic_sampling": 3}
    trainer, learned = run(settings(small_model, tmp_path, **options))
    assert [len(played.batches[step]) for step in (0, 1)] == [2, 0]
    assert len(learned) == 1
    assert torch.cat([part["advantages"] for part in trainer._buffered_inputs]).abs().min() > 0
    assert [sampling(line).get("batches") for line in log(tmp_path)] == [2, None]


def test_a_resumed_run_draws_what_an_undisturbed_one_draws(small_model, tmp_path, monkeypatch):
    given = [[[True, False], [False, True]], [[False, False], [True, False], [False, True]]]
    options = {"groups": 2, "steps": 2, "save_steps": 1, "dynamic_sampling": 2}
    Played(monkeypatch, given)
    train_grpo(settings(small_model, tmp_path, **options))
    whole, weights = records(tmp_path), (tmp_path / "model.safetensors").read_bytes()
    shutil.rmtree(tmp_path / "checkpoint-2")
    monkeypatch.undo()
    Played(monkeypatch, given)
    train_grpo(settings(small_model, tmp_path, **options, resume=True))
    again = records(tmp_path)
    assert [record.info for record in again] == [record.info for record in whole]
    for before, after in zip(whole, again, strict=True):
        assert after.task.id == before.task.id
        assert [turn.text for turn in after.turns] == [turn.text for turn in before.turns]
    assert (tmp_path / "model.safetensors").read_bytes() == weights


# Refusals and plans -------------------------------------------------------------------------------------------------


def test_what_cannot_work_is_refused_before_a_model_is_loaded(small_model, tmp_path, monkeypatch):
    with pytest.raises(InvalidSetting, match=r"dynamic_sampling compares total rewards, .* normalize_then_sum"):
        settings(
            small_model, tmp_path, dynamic_sampling=1, trainer={"multi_objective_aggregation": "normalize_then_sum"}
        )
    with pytest.raises(InvalidSetting, match="dynamic_sampling"):
        settings(small_model, tmp_path, dynamic_sampling=-1)
    few = settings(small_model, tmp_path, groups=10, dynamic_sampling=4)
    words = r"dynamic_sampling is 4: .* only 40 tasks: lower dynamic_sampling to at most 3"
    for refuse in (lambda: check_groups(few, 40), lambda: plan_grpo(few, memory_gib=8), lambda: train_grpo(few)):
        with pytest.raises(InvalidSetting, match=words):
            refuse()
    split = settings(small_model, tmp_path, groups=1, group_size=4, dynamic_sampling=1)
    words = "plays 2 roll-outs .* groups of 4 are split over processes, but dynamic_sampling compares"
    with pytest.raises(InvalidSetting, match=words):
        plan_grpo(split, Sharding(2), 8)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InvalidSetting, match=words):
        train_grpo(split)


def test_a_plan_counts_the_pictures_of_a_further_batch(small_model, tmp_path):
    without, more = (
        plan_grpo(settings(small_model, tmp_path, dynamic_sampling=extra), memory_gib=8) for extra in (0, 3)
    )
    assert more.memory.parts["pictures"] == 2 * without.memory.parts["pictures"]
    assert without.length is not None
    assert more.length is not None
    assert without.length.flops < more.length.flops < 4 * without.length.flops
