from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from vzgym.core.errors import InvalidSetting
from vzgym.core.files import write_json
from vzgym.evaluation import sources
from vzgym.evaluation.experiments import Grid
from vzgym.evaluation.experiments.stages import DONE, STAGE
from vzgym.evaluation.sources import source_digests

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


def kinds(grid: Grid) -> Counter[str]:
    return Counter(stage.kind for stage in grid.stages)


def digests(grid: Grid) -> dict[str, str]:
    """The digest of each stage, by its learner and kind."""
    return {
        f"{cell.names['learner']} {stage.kind}": stage.digest for cell in grid.cells for stage in cell.stage.lineage()
    }


def test_what_cells_share_is_done_once(grid_of: Callable[[str], Grid]):
    grid = grid_of(REWARDS)
    # A cell for each seed of blind and cold, and for each seed and reward of tiny and raw.
    assert kinds(grid) == {"pretrain": 2, "collect": 1, "sft": 2, "grpo": 8, "evaluate": 12}


def test_a_learner_that_no_reward_teaches_is_played_once(grid_of: Callable[[str], Grid]):
    grid = grid_of(REWARDS)
    assert [cell.names["reward"] for cell in grid.cells if cell.names["learner"] == "cold"] == ["", ""]


def test_cells_come_seed_by_seed_and_parents_first(grid_of: Callable[[str], Grid]):
    grid = grid_of(REWARDS)
    seeds = [cell.seed for cell in grid.cells]
    assert seeds == sorted(seeds)
    places = {stage.digest: place for place, stage in enumerate(grid.stages)}
    for stage in grid.stages:
        assert all(places[parent.digest] < places[stage.digest] for parent in stage.parents.values())


def test_a_chain_is_a_stage_with_the_only_cell_that_needs_it(grid_of: Callable[[str], Grid]):
    chains = [[stage.kind for stage in chain] for chain in grid_of(REWARDS).chains()]
    assert Counter(map(tuple, chains)) == {
        ("evaluate",): 4, ("pretrain",): 2, ("collect",): 1, ("sft",): 2, ("grpo", "evaluate"): 8,
    }  # fmt: skip


def test_names_do_not_matter_to_what_was_done(grid_of: Callable[[str], Grid]):
    before = {stage.digest for stage in grid_of(REWARDS).stages}
    other = (
        REWARDS.replace("accuracy: {", "right answers: {").replace("tiny:", "small:").replace("seeds: 2", "seeds: 3")
    )
    assert before < {stage.digest for stage in grid_of(other).stages}


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("tool_bonus: 0.5", "tool_bonus: 0.4", {"grpo", "evaluate"}),
        ("episodes: 4", "episodes: 5", {"evaluate"}),
        ("tiny: {kind: vlm}", "tiny: {kind: vlm, collect: {episodes: 50}}", {"collect", "sft", "grpo", "evaluate"}),
        ("tiny: {kind: vlm}", "tiny: {kind: vlm, grpo: {log_steps: 3}}", set()),
        ("tasks: needle-micro", "tasks: control-micro", {"pretrain", "collect", "sft", "grpo", "evaluate"}),
    ],
)
def test_settings_that_matter_make_other_stages(grid_of: Callable[[str], Grid], old: str, new: str, changed: set[str]):
    before = {stage.digest for stage in grid_of(REWARDS).stages}
    after = grid_of(REWARDS.replace(old, new)).stages
    assert {stage.kind for stage in after if stage.digest not in before} == changed


UNREWARDED = """\
tasks: needle-micro
rewards: {plain: {accuracy: 1.0}, bonus: {accuracy: 1.0, tool_bonus: 0.5}}
learners: {blind: {kind: policy, policy: blind}, cold: {kind: vlm, stages: [pretrain, sft]}}
"""


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (UNREWARDED, ["trial.yaml:2: 'rewards' has"]),
        (
            UNREWARDED + "reference: {reward: plain}\n",
            ["trial.yaml:2: 'rewards' has", "trial.yaml:4: 'reference.reward' has"],
        ),
        (
            UNREWARDED + "contrasts: {gap: {of: {reward: bonus}, against: {reward: plain}, expect: more, margin: 1}}\n",
            [
                "trial.yaml:2: 'rewards' has",
                ":4: 'contrasts.gap.of.reward' has",
                ":4: 'contrasts.gap.against.reward' has",
            ],
        ),
        (
            UNREWARDED.replace("stages: [pretrain, sft]}", "stages: [pretrain, grpo]}")
            + "grid: [{learners: [blind]}]\n",
            ["trial.yaml:2: 'rewards' has"],
        ),
    ],
)
def test_rewards_without_a_learner_that_is_trained_on_them_are_refused(
    grid_of: Callable[[str], Grid], text: str, places: list[str]
):
    with pytest.raises(InvalidSetting) as caught:
        grid_of(text)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(places)
    for line, place in zip(lines, places, strict=True):
        assert place in line
        assert "no effect, since no learner of the grid is trained on rewards" in line


def test_the_default_reward_needs_no_learner_that_is_trained_on_it(grid_of: Callable[[str], Grid]):
    assert len(grid_of(UNREWARDED.replace("rewards:", "about: none #")).cells) == 10


@pytest.mark.parametrize(
    ("sides", "cause"),
    [
        (
            "of: {learner: blind, reward: bonus}, against: {reward: plain}",
            "; learner 'blind' is not trained on rewards",
        ),
        ("of: {learner: blind}, against: {tasks: needle-micro}", ""),
    ],
)
def test_a_contrast_of_the_same_cells_is_refused(grid_of: Callable[[str], Grid], sides: str, cause: str):
    text = UNREWARDED.replace("stages: [pretrain, sft]", "stages: [pretrain, grpo]")
    with pytest.raises(InvalidSetting) as caught:
        grid_of(text + f"contrasts: {{gap: {{{sides}, expect: more, margin: 1}}}}\n")
    assert str(caught.value).endswith(
        f"trial.yaml:4: contrast 'gap': 'of' and 'against' name the same group of cells{cause}"
    )


def test_a_preset_and_its_weights_are_the_same_reward(grid_of: Callable[[str], Grid]):
    twice = REWARDS.replace("accuracy: {accuracy: 1.0}", "accuracy: videozoomer_no_bonus").replace(
        "bonus: {accuracy: 1.0, tool_bonus: 0.5}", "bonus: {accuracy: 0.9, format: 0.1}"
    )
    with pytest.raises(InvalidSetting) as caught:
        grid_of(twice)
    for word in (
        "two cells are equal",
        "tiny / accuracy / seed 0",
        "tiny / bonus / seed 0",
        "trial.yaml:5",
        "trial.yaml:6",
    ):
        assert word in str(caught.value)


def test_overlapping_parts_of_a_grid_are_refused(grid_of: Callable[[str], Grid]):
    with pytest.raises(InvalidSetting, match=r"two cells are equal: 'needle-micro / usual / blind / seed 0'"):
        grid_of(REWARDS + "grid: [{learners: [blind]}, {learners: [blind, cold]}]\n")


def test_a_learner_with_its_own_budget_learns_once_for_all_budgets(grid_of: Callable[[str], Grid]):
    budgets = REWARDS + "budgets: {none: {max_zooms: 0}, one: {max_zooms: 1}}\n"
    assert kinds(grid_of(budgets))["grpo"] == 16
    own = budgets.replace("tiny: {kind: vlm}", "tiny: {kind: vlm, budget: {}}").replace(
        "raw: {kind: vlm,", "raw: {kind: vlm, budget: {},"
    )
    assert kinds(grid_of(own))["grpo"] == 8


def test_a_stage_may_learn_from_tasks_of_its_own(grid_of: Callable[[str], Grid]):
    grid = grid_of(REWARDS.replace("tiny: {kind: vlm}", "tiny: {kind: vlm, grpo: {tasks: control-micro/train}}"))
    grpo = [stage for stage in grid.stages if stage.kind == "grpo" and "tiny" in stage.label]
    assert {stage.settings["tasks"] for stage in grpo} == {"control-micro/train"}
    assert {stage.parents["model"].parents["data"].settings["tasks"] for stage in grpo} == {"needle-micro/train"}


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
        ("model/model.safetensors", {"played evaluate", "learned sft", "learned grpo", "learned evaluate",
                                     "asked collect", "asked sft", "asked evaluate"}),
        ("data/data-00000-of-00001.arrow", {"learned sft", "learned grpo", "learned evaluate"}),
        ("model/log.jsonl", set()),
        ("blind", set()),
    ],
)  # fmt: skip
def test_files_made_anew_in_their_place_make_other_stages(
    grid_of: Callable[[str], Grid], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, changed: set[str]
):
    monkeypatch.chdir(tmp_path)
    for name in ("model/model.safetensors", "data/data-00000-of-00001.arrow"):
        Path(name).parent.mkdir()
        Path(name).write_bytes(b"once")
    Path("model/config.json").write_text("{}")
    before = digests(grid_of(OWN))
    assert digests(grid_of(OWN)) == before
    Path(file).write_bytes(b"again")
    assert {name for name, digest in digests(grid_of(OWN)).items() if digest != before[name]} == changed


FILES = """\
tasks: {own: {evaluate: "held.csv", train: "learn.jsonl[:1]"}}
seeds: 1
evaluate: {episodes: 1}
learners:
  blind: {kind: policy, policy: blind}
  learned: {kind: vlm, stages: [pretrain, grpo], grpo: {mixture: [{tasks: needle-micro}, {tasks: more.csv}]}}
"""


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("held.csv", {"blind evaluate", "learned evaluate"}),
        ("learn.jsonl", {"learned pretrain", "learned grpo", "learned evaluate"}),
        ("more.csv", {"learned grpo", "learned evaluate"}),
    ],
)
def test_changed_task_files_make_other_stages(
    grid_of: Callable[[str], Grid], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, changed: set[str]
):
    def write(name: str, question: str) -> None:
        row = {"id": "a", "video": "clip.mp4", "question": question}
        table = "".join(f"{','.join(cells)}\n" for cells in (row, row.values()))
        Path(name).write_text(json.dumps(row) if name.endswith(".jsonl") else table, encoding="utf-8")

    monkeypatch.chdir(tmp_path)
    Path("clip.mp4").touch()
    for name in ("held.csv", "learn.jsonl", "more.csv"):
        write(name, "Where?")
    before = digests(grid_of(FILES))
    write(file, "When?")
    assert {name for name, digest in digests(grid_of(FILES)).items() if digest != before[name]} == changed


def test_all_tasks_are_played_where_there_are_fewer_than_the_default(grid_of: Callable[[str], Grid]):
    text = """
tasks: {few: {evaluate: 'needle-micro[:3]'}, many: {evaluate: needle-micro}}
seeds: 1
learners: {blind: {kind: policy, policy: blind}}
"""
    assert [cell.stage.settings["episodes"] for cell in grid_of(text).cells] == [3, 200]
    given = grid_of(text.replace("few: {evaluate: 'needle-micro[:3]'}, ", "") + "evaluate: {episodes: 200}\n")
    assert given.cells[0].stage.digest == grid_of(text).cells[1].stage.digest


def test_tasks_of_a_mixture_are_checked_before_a_stage_runs(grid_of: Callable[[str], Grid]):
    text = REWARDS.replace("tiny: {kind: vlm}", "tiny: {kind: vlm, grpo: {mixture: [{tasks: needle-mikro}]}}")
    with pytest.raises(InvalidSetting, match=r"trial.yaml:\d+: unknown .*'needle-mikro'"):
        grid_of(text)


def test_fingerprints_of_files_are_inputs_of_a_stage(grid_of: Callable[[str], Grid], tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.arrow").write_bytes(b"rows")
    grid = grid_of(OWN.replace("data: data", f"data: {tmp_path / 'data'}"))
    sft = next(stage for stage in grid.stages if stage.kind == "sft" and "learned" in stage.label)
    assert list(sft.inputs["files"]) == [str(tmp_path / "data")]


CODE = """\
tasks: needle-micro
seeds: 1
evaluate: {episodes: 4}
rewards: {own: {accuracy: 1.0, mine: {module: "user_rewards.terms:Mine", weight: 0.5}}}
learners:
  blind: {kind: policy, policy: blind}
  mine: {kind: policy, policy: "user_policy:Mine"}
  trained: {kind: vlm, stages: [pretrain, grpo]}
"""

MODULES = {
    "user_policy.py": "import json\nfrom user_helper import VALUE\nclass Mine:\n    def reset(self, seed): ...\n"
    "    def act(self, observation, info): ...\n",
    "user_helper.py": "VALUE = 1\n",
    "user_rewards/__init__.py": "",
    "user_rewards/terms.py": "from dataclasses import dataclass\nfrom . import shared\n@dataclass\nclass Mine:\n"
    "    name = 'mine'\n    needs = frozenset()\n    def score(self, record, context): return 0.0\n",
    "user_rewards/shared.py": "",
    "user_rewards/other.py": "",
    "unrelated.py": "",
}


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("user_policy.py", {"mine evaluate"}),
        ("user_helper.py", {"mine evaluate"}),
        ("user_rewards/terms.py", {"trained grpo", "trained evaluate"}),
        ("user_rewards/shared.py", {"trained grpo", "trained evaluate"}),
        ("user_rewards/__init__.py", {"trained grpo", "trained evaluate"}),
        ("user_rewards/other.py", set()),
        ("unrelated.py", set()),
    ],
)
def test_edited_code_makes_other_stages(
    grid_of: Callable[[str], Grid], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, changed: set[str]
):
    for name, text in MODULES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = digests(grid_of(CODE))
    assert digests(grid_of(CODE)) == before
    (tmp_path / file).write_text(MODULES[file] + "# edited\n")
    assert {name for name, digest in digests(grid_of(CODE)).items() if digest != before[name]} == changed


def test_vzgyms_own_modules_and_installed_packages_are_no_user_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert source_digests({"policy": "vzgym.baselines:Uniform", "tasks": "needle-micro/train"}) == {}
    assert source_digests(["served:qwen", "http://localhost:8000/v1", "no_such_module:Thing"]) == {}
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "user_code.py").write_text("import torch, numpy as np\nfrom vzgym import Answer\n")
    (digest,) = source_digests({"user_code:A.b": {"name": "user_code:C"}, "tasks": "user_code:Suite/train"}).values()
    assert len(digest) == 16


def test_a_plug_ins_component_is_user_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "plug_in.py").write_text("class Policy: ...\n")
    information = tmp_path / "plug_in-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: plug-in\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[vzgym.policies]\nplugged = plug_in:Policy\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    sources._plugins.cache_clear()
    try:
        assert list(source_digests({"policy": {"name": "plugged"}})) == ["plug_in"]
    finally:
        sources._plugins.cache_clear()


def test_a_stage_says_why_it_runs(grid_of: Callable[[str], Grid], tmp_path: Path):
    def note(text: str, done: bool = True) -> None:
        for stage in grid_of(text).stages:
            stage.folder(tmp_path).mkdir(parents=True, exist_ok=True)
            write_json(stage.folder(tmp_path) / STAGE, {"label": stage.label, **stage.identity})
            if done:
                write_json(stage.folder(tmp_path) / DONE, {})

    def reasons(text: str) -> dict[str, str]:
        stages = grid_of(text).stages
        return {stage.label: stage.why_not_done(tmp_path) for stage in stages if stage.done(tmp_path) is None}

    one = REWARDS.replace("seeds: 2", "seeds: 1")
    assert set(reasons(one).values()) == {"has not run yet"}
    note(one, done=False)
    assert set(reasons(one).values()) == {"was interrupted"}
    note(one)
    assert reasons(one) == {}
    changed = reasons(one.replace("tool_bonus: 0.5", "tool_bonus: 0.4"))
    assert set(changed.values()) == {"reward.tool_bonus changed from 0.5 to 0.4"}
    assert len(changed) == 4  # GRPO and evaluation of two learners
    changed = reasons(one.replace("stages: [pretrain, sft]}", "stages: [pretrain, sft], sft: {epochs: 2}}"))
    assert changed == {
        "sft cold, seed 0": "epochs changed from 3.0 to 2.0",
        "evaluate cold on needle-micro, usual, seed 0": "its model comes from another stage",
    }
