from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from vzgym.core.errors import InvalidSetting
from vzgym.evaluation.experiments import Plan
from vzgym.evaluation.experiments.doing import _settings

REWARDS = """\
tasks: needle-micro
seeds: 2
evaluate: {episodes: 4}
rewards:
  accuracy: {accuracy: 1.0}
  bonus: {accuracy: 1.0, tool_bonus: 0.5}
learners:
  blind: {kind: policy, policy: blind}
  cold: {kind: vlm, stages: [pretrain, sft]}
  tiny: {kind: vlm}
  raw: {kind: vlm, stages: [pretrain, grpo]}
"""


def kinds(plan: Plan) -> Counter[str]:
    return Counter(work.kind for work in plan.works)


def test_what_cells_share_is_done_once(plan_of: Callable[[str], Plan]):
    plan = plan_of(REWARDS)
    # A cell for each seed of blind and cold, and for each seed and reward of tiny and raw.
    assert kinds(plan) == {"pretrain": 2, "collect": 1, "sft": 2, "grpo": 8, "play": 12}


def test_a_learner_that_no_reward_teaches_is_played_once(plan_of: Callable[[str], Plan]):
    plan = plan_of(REWARDS)
    assert [cell.names["reward"] for cell in plan.cells if cell.names["learner"] == "cold"] == ["", ""]


def test_cells_come_seed_by_seed_and_parents_first(plan_of: Callable[[str], Plan]):
    plan = plan_of(REWARDS)
    seeds = [cell.seed for cell in plan.cells]
    assert seeds == sorted(seeds)
    places = {work.digest: place for place, work in enumerate(plan.works)}
    for work in plan.works:
        assert all(places[parent.digest] < places[work.digest] for parent in work.parents.values())


def test_a_chain_is_a_stage_with_the_only_cell_that_needs_it(plan_of: Callable[[str], Plan]):
    chains = [[work.kind for work in chain] for chain in plan_of(REWARDS).chains()]
    assert Counter(map(tuple, chains)) == {
        ("play",): 4, ("pretrain",): 2, ("collect",): 1, ("sft",): 2, ("grpo", "play"): 8,
    }  # fmt: skip


def test_names_do_not_matter_to_what_was_done(plan_of: Callable[[str], Plan]):
    before = {work.digest for work in plan_of(REWARDS).works}
    other = (
        REWARDS.replace("accuracy: {", "right answers: {").replace("tiny:", "small:").replace("seeds: 2", "seeds: 3")
    )
    assert before < {work.digest for work in plan_of(other).works}


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("tool_bonus: 0.5", "tool_bonus: 0.4", {"grpo", "play"}),
        ("episodes: 4", "episodes: 5", {"play"}),
        ("tiny: {kind: vlm}", "tiny: {kind: vlm, collect: {episodes: 50}}", {"collect", "sft", "grpo", "play"}),
        ("tiny: {kind: vlm}", "tiny: {kind: vlm, grpo: {log_steps: 3}}", set()),
        ("tasks: needle-micro", "tasks: control-micro", {"pretrain", "collect", "sft", "grpo", "play"}),
    ],
)
def test_settings_that_matter_make_other_works(plan_of: Callable[[str], Plan], old: str, new: str, changed: set[str]):
    before = {work.digest for work in plan_of(REWARDS).works}
    after = plan_of(REWARDS.replace(old, new)).works
    assert {work.kind for work in after if work.digest not in before} == changed


def test_a_preset_and_its_weights_are_the_same_reward(plan_of: Callable[[str], Plan]):
    twice = REWARDS.replace("accuracy: {accuracy: 1.0}", "accuracy: videozoomer_no_bonus").replace(
        "bonus: {accuracy: 1.0, tool_bonus: 0.5}", "bonus: {accuracy: 0.9, format: 0.1}"
    )
    with pytest.raises(InvalidSetting) as caught:
        plan_of(twice)
    for word in (
        "two cells are equal",
        "tiny / accuracy / seed 0",
        "tiny / bonus / seed 0",
        "trial.yaml:5",
        "trial.yaml:6",
    ):
        assert word in str(caught.value)


def test_overlapping_parts_of_a_grid_are_refused(plan_of: Callable[[str], Plan]):
    with pytest.raises(InvalidSetting, match=r"two cells are equal: 'needle-micro / usual / blind / seed 0'"):
        plan_of(REWARDS + "grid: [{learners: [blind]}, {learners: [blind, cold]}]\n")


def test_a_learner_with_its_own_budget_learns_once_for_all_budgets(plan_of: Callable[[str], Plan]):
    budgets = REWARDS + "budgets: {none: {max_zooms: 0}, one: {max_zooms: 1}}\n"
    assert kinds(plan_of(budgets))["grpo"] == 16
    own = budgets.replace("tiny: {kind: vlm}", "tiny: {kind: vlm, budget: {}}").replace(
        "raw: {kind: vlm,", "raw: {kind: vlm, budget: {},"
    )
    assert kinds(plan_of(own))["grpo"] == 8


def test_a_stage_may_learn_from_tasks_of_its_own(plan_of: Callable[[str], Plan]):
    plan = plan_of(REWARDS.replace("tiny: {kind: vlm}", "tiny: {kind: vlm, grpo: {tasks: control-micro/train}}"))
    grpo = [work for work in plan.works if work.kind == "grpo" and "tiny" in work.label]
    assert {work.settings["tasks"] for work in grpo} == {"control-micro/train"}
    assert {work.parents["model"].parents["data"].settings["tasks"] for work in grpo} == {"needle-micro/train"}


OWN = """\
tasks: needle-micro
seeds: 1
evaluate: {episodes: 4}
learners:
  blind: {kind: policy, policy: blind}
  played: {kind: policy, policy: {name: vlm, path: model}}
  learned: {kind: vlm, model: model, preset: tiny, stages: [sft, grpo], sft: {data: data}}
  asked: {kind: vlm, stages: [pretrain, sft], collect: {policy: {name: vlm, path: model}}}
"""


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("model/model.safetensors", {"played play", "learned sft", "learned grpo", "learned play", "asked collect",
                                     "asked sft", "asked play"}),
        ("data/data-00000-of-00001.arrow", {"learned sft", "learned grpo", "learned play"}),
        ("model/log.jsonl", set()),
        ("blind", set()),
    ],
)  # fmt: skip
def test_files_made_anew_in_their_place_make_other_works(
    plan_of: Callable[[str], Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, changed: set[str]
):
    def works() -> dict[str, str]:
        return {
            f"{cell.names['learner']} {work.kind}": work.digest
            for cell in plan_of(OWN).cells
            for work in cell.work.lineage()
        }

    monkeypatch.chdir(tmp_path)
    for name in ("model/model.safetensors", "data/data-00000-of-00001.arrow"):
        Path(name).parent.mkdir()
        Path(name).write_bytes(b"once")
    before = works()
    assert works() == before
    Path(file).write_bytes(b"again")
    assert {name for name, digest in works().items() if digest != before[name]} == changed


def test_fingerprints_of_files_are_no_setting_of_a_stage(plan_of: Callable[[str], Plan], tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.arrow").write_bytes(b"rows")
    plan = plan_of(OWN.replace("data: data", f"data: {tmp_path / 'data'}"))
    sft = next(work for work in plan.works if work.kind == "sft" and "learned" in work.label)
    assert list(sft.settings["files"]) == [str(tmp_path / "data")]
    assert "files" not in _settings(sft)
