"""Rewards from YAML files: the same objects as from Python, and errors that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from vzgym.core.errors import InvalidSetting
from vzgym.rewards import PRESETS, make_reward

GOOD = """\
# Looking costs, but only where the answer is right.
accuracy: 0.9
format: 1e-1          # YAML 1.1 would read this as a text
thrift:
  module: frame_cost
  weight: 0.01
  free: 8
  when: [correct, {module: iou_union, at_least: 0.2}]
  clip: [-8, 0]
  anneal: {from: 0, to: 1}
  by_category:
    control: 5.0e-2
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "reward.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_and_python_give_the_same_object(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD)
    python = make_reward(
        {
            "accuracy": 0.9,
            "format": 0.1,
            "thrift": {
                "module": "frame_cost",
                "weight": 0.01,
                "free": 8,
                "when": ["correct", {"module": "iou_union", "at_least": 0.2}],
                "clip": [-8, 0],
                "anneal": {"from": 0, "to": 1},
                "by_category": {"control": 0.05},
            },
        }
    )
    assert make_reward(file) == python
    assert make_reward(str(file)) == python


@pytest.mark.parametrize("name", [*PRESETS, "accuracy"])
def test_a_file_may_hold_a_name(tmp_path: Path, name: str) -> None:
    assert make_reward(written(tmp_path, f"{name}\n")) == make_reward(name)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            "accuracy: 0.9\nacuracy: 0.1\n",
            2,
            "unknown reward module 'acuracy'; did you mean 'accuracy'. Valid: accumulative_tool, accuracy",
        ),
        ("a: 1\n", 1, "unknown reward module 'a'"),
        ("accuracy: 1\nz:\n  weight: 1\n  module: zoom\n", 4, "unknown reward module 'zoom'"),
        (
            "accuracy: 1\ncall_cost:\n  weight: 1\n  frei: 2\n",
            4,
            "no option 'frei'; did you mean 'free'. Valid: free, only_co",
        ),
        ("accuracy: 1\nmine:\n  weight: 1\n  modul: iou\n", 4, "term 'mine' has no key 'modul'; did you mean 'module'"),
        ("accuracy: 1\niou:\n  clip: [0, 1]\n  wieght: 1\n", 4, "no option 'wieght'; did you mean 'weight'"),
        ("call_cost:\n  weight: 1\n  free: -2\n", 3, "free must be a finite number, >= 0, got -2"),
        (
            "accuracy: 1\nformat: .nan\n",
            2,
            "'format': weight must be a finite number, got nan",
        ),
        ("accuracy:\n  # why\n  weight: .inf\n", 3, "must be a finite number, got inf"),
        ("accuracy: lots\n", 1, "weight must be a number, got 'lots'"),
        ("accuracy:\n", 1, "weight must be a number, got nothing"),
        ("accuracy:\n  weight: 1\n  when:\n", 3, "a gate needs a condition, got None"),
        ("accuracy:\n  when: []\n", 2, "a gate needs a condition"),
        ("accuracy:\n  weight: 1\n  when: right\n", 3, "unknown condition 'right'; valid: answered"),
        ("accuracy:\n  when: {module: iou}\n", 2, "needs a bound"),
        ("accuracy:\n  when: {module: io, above: 0}\n", 2, "unknown reward module 'io'"),
        ("format: 1\naccuracy:\n  clip: [1, 0]\n", 3, "low <= high"),
        (
            "format: 1\naccuracy:\n  anneal: {too: 0}\n",
            3,
            "no setting 'too'; did you mean 'to'",
        ),
        (
            "format: 1\naccuracy:\n  by_category:\n    a: .nan\n",
            4,
            "by_category.a must be a finite number",
        ),
        (
            "accuracy: 0.5\nformat: 0.5\naccuracy: 0.9\n",
            3,
            "'accuracy' is given twice, first at .*reward.yaml:1",
        ),
        (
            "accuracy:\n  weight: 1\n  weight: 2\n",
            3,
            "'weight' is given twice, first at .*reward.yaml:2",
        ),
        ("accuracy: [1\nformat: 2\n", 2, "not YAML"),
        ("accuracy: 1\n3: 0.5\n", 2, "a name must be text, got 3"),
        ("accuracy: 1\nz:\n  module: [iou]\n", 3, "module must be text"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message) as raised:
        make_reward(written(tmp_path, text))
    assert f"reward.yaml:{line}" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a reward must be a mapping of terms or a name, got None"),
        ("- accuracy\n", r"a reward must be a mapping of terms or a name, got \['accuracy'\]"),
        ("{}\n", "a reward needs at least one term"),
        ("gold\n", "unknown reward 'gold'; valid: accumulative_tool"),
    ],
)
def test_what_has_no_line_names_the_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message) as raised:
        make_reward(written(tmp_path, text))
    assert "reward.yaml" in str(raised.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"cannot read the settings file .*none\.yaml"):
        make_reward(tmp_path / "none.yaml")


def test_a_file_runs_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="not YAML"):
        make_reward(written(tmp_path, "accuracy: !!python/object/apply:os.getcwd []\n"))
