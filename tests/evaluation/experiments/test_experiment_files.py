from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vzgym.cli import app
from vzgym.core.errors import InvalidSetting
from vzgym.evaluation.experiments import Grid, load_experiment, make_grid
from vzgym.evaluation.experiments.loading import QUICK

SHIPPED = sorted((Path(__file__).parents[3] / "experiments").glob("*.yaml"))

GOOD = """\
tasks: needle-micro
seeds: 2
evaluate: {episodes: 4}
rewards:
  accuracy: {accuracy: 1.0}
  bonus:
    accuracy: 1.0
    conditional_tool: 0.5
learners:
  tiny:
    kind: vlm
    grpo:
      steps: 3
"""


def load(folder: Path, text: str):
    path = folder / "trial.yaml"
    path.write_text(text, encoding="utf-8")
    return load_experiment(path)


def test_short_forms_are_spelled_out(tmp_path):
    found = load(tmp_path, GOOD)
    assert found.settings.name == "trial"
    assert found.settings.seeds == (0, 1)
    assert found.settings.tasks["needle-micro"].train == "needle-micro/train"
    assert found.settings.tasks["needle-micro"].evaluate == "needle-micro/test"
    assert found.settings.budgets == {"usual": {}}


def test_a_learners_stages_lie_over_its_preset(tmp_path):
    tiny = load(tmp_path, GOOD).learners["tiny"]
    assert tiny.stages["grpo"].steps == 3
    assert tiny.stages["grpo"].groups == 8
    assert tiny.stages["grpo"].turn_tokens == 20  # the preset's
    assert tiny.rewarded


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seeds: 2", "sedes: 2", [":2:", "no setting 'sedes'", "did you mean 'seeds'", "Valid: name, title"]),
        ("seeds: 2", "seeds: two", [":2: seeds must be a whole number >= 1, or a list of seeds", "got 'two'"]),
        ("seeds: 2", "seeds: 2.5", [":2: seeds must be a whole number >= 1, or a list of seeds", "got 2.5"]),
        ("seeds: 2", "seeds: true", [":2: seeds must be a whole number >= 1, or a list of seeds", "got True"]),
        ("seeds: 2", "seeds:", [":2: seeds must be a whole number >= 1, or a list of seeds", "got nothing"]),
        ("seeds: 2", "seeds: [two]", [":2: seeds[0] must be a whole number, got 'two'"]),
        ("seeds: 2", "seeds: [1, 1]", ["trial.yaml:2: seeds must differ"]),
        ("seeds: 2", "seeds: 0", [":2: seeds must be a whole number >= 1", "got 0"]),
        ("needle-micro", "3", [":1: tasks must be a name, a list of names or a mapping by name, got 3"]),
        ("needle-micro", "[needle-micro, 3]", [":1: tasks must be a name, a list of names or a mapping by name"]),
        ("seeds: 2", "grid: {learners: [tiny]}", [":2:", "grid must be a list", "got {'learners': ['tiny']}"]),
        ("    kind: vlm\n", "", [":10:", "learners.tiny needs a value for 'kind'"]),
        (
            "tasks: needle-micro",
            "tasks: {a: {train: needle-micro/train}}",
            [":1:", "tasks.a needs a value for 'evaluate'"],
        ),
        (
            "tasks: needle-micro",
            "tasks: {train: a.jsonl, evaluate: b.jsonl}",
            ["trial.yaml:1: tasks are given by name, as in 'tasks: {NAME: {train: a.jsonl, evaluate: b.jsonl}}'"],
        ),
        (
            "tasks: needle-micro",
            "tasks: {evaluate: needle-micro}",
            [":1:", "'tasks: {NAME: {evaluate: needle-micro}}'"],
        ),
        ("{episodes: 4}", "{episodes: 0}", ["trial.yaml:3: evaluate.episodes must be >= 1, got 0"]),
        ("{episodes: 4}", "{episodes: 5000}", [":1:", "has 1000 tasks, fewer than evaluate.episodes = 5000"]),
        ("needle-micro", "needle-macro", [":1:", "unknown task suite 'needle-macro'", "needle-micro"]),
        ("  accuracy: {accuracy: 1.0}", "  accuracy: {acuracy: 1.0}", [":5:", "acuracy", "accuracy"]),
        ("    conditional_tool: 0.5", "    conditional_tool: much", [":8:", "conditional_tool", "much"]),
        ("kind: vlm", "kind: llm", [":11:", "'policy', 'vlm', 'sb3'"]),
        ("kind: vlm", "kind: policy", [":12: learners.tiny has no setting 'grpo'", "policy"]),
        ("steps: 3", "stepz: 3", [":13:", "grpo has no setting 'stepz'", "did you mean 'steps'"]),
        ("steps: 3", "steps: many", [":13:", "steps must be a whole number"]),
        ("steps: 3", "steps: 0", ["trial.yaml:13: steps must be >= 1, got 0"]),
        ("steps: 3", "seed: 3", [":13:", "grpo.seed is set by the experiment"]),
        ("    kind: vlm", "    kind: vlm\n    stages: [grpo, sft]", [":12", "in this order"]),
        (
            "    kind: vlm",
            "    kind: vlm\n    stages: [sft]",
            [":12", "must begin with 'pretrain', or 'model'"],
        ),
        ("    kind: vlm", "    kind: vlm\n    preset: huge", [":10:", "unknown preset 'huge'", "tiny"]),
        (
            "    kind: vlm",
            "    kind: vlm\n    stages: [grpo]\n    model: big",
            ["trial.yaml:13: model is 'big'", "'preset' must be given", "single-gpu"],
        ),
        (
            "    kind: vlm",
            "    kind: vlm\n    sb3: {steps: 3}",
            [":12: learners.tiny has no setting 'sb3'", "grpo"],
        ),
        (
            "    kind: vlm",
            "    kind: vlm\n    collect: {mix: weird}",
            ["unknown mixture 'weird'", "trial.yaml:12", "weak"],
        ),
        ("seeds: 2", "budgets: {few: {max_zoms: 1}}", [":2:", "max_zoms", "max_zooms"]),
        (
            "seeds: 2",
            "grid: [{learners: [tinny]}]",
            [":2:", "there is no 'tinny' in learners; did you mean 'tiny'? Valid: tiny"],
        ),
        (
            "seeds: 2",
            "reference: {rewards: accuracy}",
            [":2: reference has no 'rewards'; did you mean 'reward'? Valid:", "'reward'"],
        ),
        ("seeds: 2", "reference: {reward: iou}", [":2:", "no 'iou' in rewards", "accuracy, bonus"]),
        ("  tiny:", "  blind: {kind: policy, policy: blnd}\n  tiny:", [":10:", "unknown policy 'blnd'", "blind"]),
        ("    kind: vlm", "    kind: vlm\n    budget: {max_zoms: 1}", [":12:", "max_zoms", "max_zooms"]),
        ("{episodes: 4}", "{answerer: me}", [":3:", "answerer must be one of", "'reader'"]),
        ("seeds: 2", "name: store", [":2: name must be the name of a folder"]),
        ("seeds: 2", "name: ..", [":2: name must be the name of a folder"]),
        ("seeds: 2", r"name: ..\results", [":2: name must be the name of a folder"]),
        (
            "tasks: needle-micro",
            "tasks: {a: {evaluate: 'needle-micro[:3]', train: needle-micro}}",
            [":1: 'needle-micro/test[0:3]' has 3 tasks, fewer than evaluate.episodes = 4"],
        ),
        ("  accuracy: {accuracy: 1.0}", "  accuracy: vidozoomer", [":5: unknown reward 'vidozoomer'", "videozoomer"]),
        ("seeds: 2\n", "tasks: control-micro\n", [":2: 'tasks' is given twice, first at "]),
        ("    conditional_tool: 0.5", "    x: {module: iou, weigth: 1}", [":8: ", "no option 'weigth'"]),
    ],
)
def test_mistakes_are_named_with_line_and_what_would_be_right(tmp_path, old, new, words):
    assert old in GOOD
    with pytest.raises(InvalidSetting) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    for word in words:
        assert word in str(caught.value)


def test_a_file_named_as_the_store_is_named(tmp_path):
    (tmp_path / "store.yaml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(InvalidSetting, match=r"store\.yaml:1: name must be the name of a folder"):
        load_experiment(tmp_path / "store.yaml")


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("grpo: {tasks: needle-mcro/train}", ["unknown task suite 'needle-mcro'", "needle-micro"]),
        ("grpo: {tasks: nope.jsonl}", ["cannot read nope.jsonl"]),
        ("grpo: {tasks: ''}", ["unknown task suite ''"]),
        ("grpo: {protocol: nope}", ["unknown text protocol 'nope'", "compact_tags"]),
        ("pretrain: {tasks: needle-micro/tran}", ["unknown split 'tran'", "train"]),
        ("pretrain: {protocol: nope}", ["unknown text protocol 'nope'", "compact_tags"]),
        ("pretrain: {size: {layrs: 2}}", ["size has no setting 'layrs'; did you mean 'layers'"]),
        ("pretrain: {size: {heads: 0}}", ["size.heads must be >= 1, got 0"]),
        ("collect: {tasks: needle-micro/tran}", ["unknown split 'tran'", "train"]),
        ("collect: {episodes: 1000000}", ["learner 'tiny'", "has 100000 tasks", "collect.episodes = 1000000"]),
        ("collect: {tasks: needle-micro/test, start: 900, episodes: 101}", ["has 1000 tasks", "= 1001"]),
        ("collect: {protocol: nope}", ["unknown text protocol 'nope'", "tags"]),
        ("collect: {policy: nope}", ["unknown policy 'nope'", "expert"]),
        ("collect: {policy: expert, teacher: nope, mix: teacher}", ["unknown policy 'nope'", "expert"]),
    ],
)
def test_what_a_stage_names_is_looked_up_before_anything_is_run(tmp_path, section, words):
    with pytest.raises(InvalidSetting) as caught:
        load(tmp_path, GOOD.replace("    grpo:\n      steps: 3\n", f"    {section}\n"))
    for word in ["trial.yaml:12:", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("learner", "words"),
    [
        ("{kind: sb3, sb3: {tasks: needle-mcro}}", ["unknown task suite 'needle-mcro'", "needle-micro"]),
        ("{kind: policy, policy: {name: uniform, frame: 3}}", ["'uniform' has no option 'frame'", "frames"]),
        ("{kind: policy, policy: {name: uniform, frames: 0}}", ["frames >= 1, got 0"]),
        ("{kind: policy, policy: {frames: 3}}", ["needs the key 'name'"]),
    ],
)
def test_what_other_learners_name_is_looked_up_too(tmp_path, learner, words):
    with pytest.raises(InvalidSetting) as caught:
        load(tmp_path, f"tasks: needle-micro\nlearners:\n  a: {learner}\n")
    for word in ["trial.yaml:3:", *words]:
        assert word in str(caught.value)


class Costly:
    """A policy that must not be made while a file is read."""

    def __init__(self, path: str) -> None:
        raise AssertionError(f"made from {path}")


def test_a_policy_of_ones_own_is_not_made_to_be_checked(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "costly", sys.modules[__name__])
    text = "tasks: needle-micro\nlearners:\n  a: {kind: policy, policy: {name: 'costly:Costly', path: x}}\n"
    assert load(tmp_path, text).learners
    with pytest.raises(
        InvalidSetting, match=r":3: policy 'costly:Costly' has no option 'pth'; did you mean 'path'. Valid: path"
    ):
        load(tmp_path, text.replace("path: x", "pth: x"))


def test_only_learners_that_collect_need_the_tasks_for_it(tmp_path):
    many = "    collect: {episodes: 1000000}\n"
    assert load(tmp_path, GOOD + many + "    stages: [pretrain, grpo]\n").learners
    assert load(tmp_path, GOOD + many + "    sft: {data: rows}\n").learners


def test_checking_a_file_imports_no_torch(tmp_path):
    path = tmp_path / "trial.yaml"
    path.write_text(GOOD + "    pretrain: {size: {layers: 2}}\n", encoding="utf-8")
    code = (
        "import sys; from vzgym.evaluation.experiments import load_experiment; "
        "load_experiment(sys.argv[1]); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_what_must_be_there_is_asked_for(tmp_path):
    with pytest.raises(InvalidSetting, match="needs a value for 'learners'"):
        load(tmp_path, "tasks: needle-micro\n")


def test_tasks_without_anything_to_learn_from_are_for_policies_alone(grid_of: Callable[[str], Grid]):
    text = GOOD.replace("tasks: needle-micro", "tasks: needle-micro/test")
    with pytest.raises(InvalidSetting, match=r":1: tasks 'needle-micro/test' need 'train'"):
        grid_of(text)
    assert grid_of(text[: text.index("rewards")] + "learners: {blind: {kind: policy, policy: blind}}\n").cells


def test_there_are_experiments_to_start_from():
    assert {path.stem for path in SHIPPED} >= {"rewards", "zooms", "frames", "fps", "stages", "ordinary"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_experiment_can_be_run(path, tmp_path):
    result = CliRunner().invoke(app, ["ablate", str(path), "--out", str(tmp_path / "out"), "--dry-run"])
    assert result.exit_code == 0, result.output or result.exception
    assert "has not run yet" in result.output
    assert not (tmp_path / "out").exists()


def test_a_quick_run_is_the_same_grid_with_short_stages_and_two_seeds():
    path = next(path for path in SHIPPED if path.stem == "lessons")
    whole, quick = load_experiment(path), load_experiment(path, quick=True)
    assert (quick.settings.name, quick.settings.seeds) == ("lessons-quick", (0, 1))
    assert quick.settings.evaluate.episodes == QUICK["evaluate"]["episodes"]
    assert quick.settings.evaluate.temperature == whole.settings.evaluate.temperature
    for kind in ("pretrain", "collect", "sft", "grpo"):
        for name, learner in quick.learners.items():
            full = learner.stages[kind]
            changed = {
                key for key in full.to_dict() if full.to_dict()[key] != whole.learners[name].stages[kind].to_dict()[key]
            }
            assert changed == set(QUICK[kind])
            assert all(getattr(full, key) == most for key, most in QUICK[kind].items())
    cells = {tuple(cell.names.values()) for cell in make_grid(whole).cells}
    assert {tuple(cell.names.values()) for cell in make_grid(quick).cells} == cells


def test_a_quick_run_plays_all_of_few_tasks_and_refuses_what_the_whole_one_refuses(tmp_path):
    path = tmp_path / "trial.yaml"
    text = "tasks: 'needle-micro[:3]'\nlearners: {blind: {kind: policy, policy: blind}}\n"
    path.write_text(text, encoding="utf-8")
    assert {cell.stage.settings["episodes"] for cell in make_grid(load_experiment(path, quick=True)).cells} == {3}
    path.write_text(text + "evaluate: {episodes: 4}\n", encoding="utf-8")
    with pytest.raises(InvalidSetting, match=r"has 3 tasks, fewer than evaluate.episodes = 4"):
        load_experiment(path, quick=True)


def test_the_guides_first_file_is_what_the_guide_says(grid_of: Callable[[str], Grid]):
    guide = (Path(__file__).parents[3] / "docs" / "how-to" / "experiments.md").read_text(encoding="utf-8")
    grid = grid_of(guide.split("## First file")[1].split("```yaml\n")[1].split("```")[0])
    assert len(grid.cells) == 15
    assert sum(stage.kind == "sft" for stage in grid.stages) == 5


@pytest.mark.parametrize(("preset", "rate", "tokens"), [("single-gpu", 1e-5, 512), ("paper", 1e-6, 1024)])
def test_a_model_of_ones_own_learns_and_plays_as_its_preset_says(
    grid_of: Callable[[str], Grid], preset: str, rate: float, tokens: int
):
    own = f"stages: [grpo]\n    model: big\n    preset: {preset}"
    grid = grid_of(GOOD.replace("kind: vlm", f"kind: vlm\n    {own}"))
    grpo = [stage for stage in grid.stages if stage.kind == "grpo"]
    assert {stage.settings["learning_rate"] for stage in grpo} == {rate}
    assert {cell.stage.settings["policy"]["turn_tokens"] for cell in grid.cells} == {tokens}


def test_the_guides_large_model_is_possible(grid_of: Callable[[str], Grid]):
    guide = (Path(__file__).parents[3] / "docs" / "how-to" / "experiments.md").read_text(encoding="utf-8")
    learners = guide.split("### Learners")[1].split("```yaml\n")[1].split("```")[0]
    grid = grid_of("tasks: needle-micro\nseeds: 1\n" + learners)
    assert [stage.kind for stage in grid.stages] == ["sft", "grpo", "evaluate"]
    assert grid.stages[1].settings["learning_rate"] == 1e-5


def test_the_guide_lists_what_ships():
    guide = (Path(__file__).parents[3] / "docs" / "how-to" / "experiments.md").read_text(encoding="utf-8")
    listed = guide.split("## Shipped experiments")[1]
    assert {path.name for path in SHIPPED} == set(re.findall(r"^\| `(\w+\.yaml)` \|", listed, re.MULTILINE))
