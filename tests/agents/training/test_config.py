from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import pytest
from pydantic import Field, model_validator

from vzgym.agents import GRPOSettings, PretrainSettings, SFTSettings
from vzgym.agents.data.settings import CollectSettings
from vzgym.agents.sb3.settings import SB3Settings
from vzgym.agents.training.config import (
    STAGES,
    SettingsFile,
    load_settings,
    parse_overrides,
    preset_names,
    save_settings,
    to_yaml,
)
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.core.settings import ListOf, Settings, problem
from vzgym.tasks import load_tasks

ALL = (CollectSettings, PretrainSettings, SFTSettings, GRPOSettings, SB3Settings)


class InnerSettings(Settings):
    size: int = 1
    name: str | None = None


class ToolSettings(Settings):
    kind: Literal["saw", "drill"]
    size: int = 1


class ToySettings(Settings):
    rate: float = 0.5
    steps: int = Field(10, ge=1)
    flag: bool = False
    mode: Literal["a", "b"] = "a"
    many: ListOf[float] = (1.0,)
    weights: str | Mapping[str, float] = "x"
    inner: InnerSettings = InnerSettings()
    extra: Mapping[str, Any] = Field(default_factory=dict)
    tools: ListOf[ToolSettings] = ()
    best: ToolSettings | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.flag and self.steps < 5:
            raise problem("steps must be >= 5 with {flag}", "steps")
        return self


def write(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_sections_are_the_names_of_the_stages() -> None:
    assert tuple(STAGES.values()) == ALL
    assert list(SettingsFile.model_fields) == list(STAGES)


def test_values_reach_their_fields_with_their_types(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "rate: 2e-3\nsteps: 7\nflag: yes\nmode: b\nmany: [1, 2.5]\n"
        "weights: {a: 1, b: 0.5}\ninner: {size: 3}\nextra: {k: [1, {z: null}]}\n",
    )
    found = load_settings(ToySettings, file=file)
    assert found == ToySettings(
        rate=0.002, steps=7, flag=True, mode="b", many=(1.0, 2.5), weights={"a": 1.0, "b": 0.5},
        inner=InnerSettings(size=3), extra={"k": [1, {"z": None}]},
    )  # fmt: skip
    assert isinstance(found.many[0], float)


def test_overrides_beat_the_file_and_the_file_beats_the_defaults(tmp_path: Path) -> None:
    file = write(tmp_path, "rate: 1.0\nsteps: 3\n")
    found = load_settings(ToySettings, file=file, overrides={"steps": 4})
    assert (found.rate, found.steps, found.flag) == (1.0, 4, False)


def test_the_file_beats_the_preset(tmp_path: Path) -> None:
    usual = load_settings(SFTSettings, "tiny")
    file = write(tmp_path, f"sft:\n  batch_size: {usual.batch_size + 1}\n")
    found = load_settings(SFTSettings, "tiny", file)
    assert found.batch_size == usual.batch_size + 1
    assert found.learning_rate == usual.learning_rate != SFTSettings().learning_rate


def test_a_dotted_override_keeps_what_stands_beside_it(tmp_path: Path) -> None:
    file = write(tmp_path, "inner: {size: 3, name: old}\nweights: {a: 1, b: 2}\n")
    found = load_settings(ToySettings, file=file, overrides={"inner.name": "new", "weights.b": 5, "weights.c": 6})
    assert found.inner == InnerSettings(size=3, name="new")
    assert found.weights == {"a": 1.0, "b": 5.0, "c": 6.0}


def test_a_mapping_in_a_file_takes_the_place_of_the_presets(tmp_path: Path) -> None:
    file = write(tmp_path, "grpo: {reward: {accuracy: 1.0}}\n")
    assert load_settings(GRPOSettings, "tiny", file).reward == {"accuracy": 1.0}


def test_pairs_are_read_as_yaml() -> None:
    pairs = ["rate=1e-4", "mode=b", "many=[1, 2]", "name=a=b", "none=null"]
    assert parse_overrides(pairs) == {"rate": 1e-4, "mode": "b", "many": [1, 2], "name": "a=b", "none": None}


@pytest.mark.parametrize("pair", ["rate", "=3", "rate=[1", "rate=" + "[" * 100_000])
def test_a_bad_pair_is_named(pair: str) -> None:
    with pytest.raises(InvalidSetting, match="--set"):
        parse_overrides([pair])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rate: 1\n\nstep: 3\n", [":3:", "no setting 'step'", "did you mean 'steps'", "rate, steps, flag"]),
        ("rate: fast\n", [":1:", "rate must be a number", "'fast'"]),
        ("steps: 2.5\n", [":1:", "a whole number", "2.5"]),
        ("steps: true\n", [":1:", "a whole number"]),
        ("flag: 1\n", [":1:", "true or false"]),
        ("mode: c\n", [":1:", "one of 'a', 'b'"]),
        ("many: [1, x]\n", [":1:", "many[1]"]),
        ("weights: {a: x}\n", [":1:", "weights.a must be a number"]),
        ("inner:\n  size: 1\n  colour: red\n", [":3:", "no setting 'colour'", "size, name"]),
        ("inner: 4\n", [":1:", "a mapping"]),
        ("rate: 1\nrate: 2\n", [":2:", "given twice"]),
        ("rate: [1\n", [":2:", "not YAML"]),
        ("- rate\n- {steps: 2}\n", [":1:", "name: value", "got ['rate', {'steps': 2}]"]),
        ("\nbest:\n  size: 3\n", [":2:", "best needs a value for 'kind'"]),
        ("\ntools:\n  - size: 3\n", [":3:", "tools[0] needs a value for 'kind'"]),
        ("tools: {kind: saw}\n", [":1:", "tools must be a list, got {'kind': 'saw'}"]),
        ("steps: 0\n", ["run.yaml:1: steps must be >= 1, got 0"]),
        ("5: 1\n", [":1:", "a name must be text, got 5"]),
        ("rate: .nan\n", [":1: rate must be a finite number"]),
        ("weights: 3\n", [":1: weights must be text or a mapping, got 3"]),
        ("best: {kind: axe}\n", [":1: best.kind must be one of 'saw', 'drill', got 'axe'"]),
        ("flag: yes\nsteps: 4\n", [":2: steps must be >= 5 with {flag}"]),
        ("rate: fast\nflag: 1\n\nstaps: 2\n", [":4:", "did you mean 'steps'"]),
        ("rate: fast\nflag: 1\ninner: {size: x}\n", [":1: rate", ":2: flag", ":3: inner.size"]),
        ("extra: !!python/object/apply:os.getcwd []\n", [":1:", "not YAML of plain data"]),
        ("extra: !!python/name:os.getcwd\n", [":1:", "not YAML"]),
        ("steps: 2001-02-31\n", [":1:", "not a number or date"]),
        ("steps: " + "9" * 5000, [":1:", "not a number or date"]),
        ("extra: " + "[" * 100_000, [":1:", "levels of nesting"]),
        ("extra: &a [*a]\n", [":1:", "levels of nesting"]),
    ],
)
def test_mistakes_are_named_with_their_place(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(InvalidSetting) as caught:
        load_settings(ToySettings, file=write(tmp_path, text))
    for word in words:
        assert word in str(caught.value)


def test_repeated_aliases_do_not_hang(tmp_path: Path) -> None:
    """Each line stands for nine times the values of the line before: 9**9 in the end."""
    lines = ["extra:", "  a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"  {name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    with pytest.raises(InvalidSetting, match="more than 100,000 values"):
        load_settings(ToySettings, file=write(tmp_path, "\n".join(lines)))


def test_an_alias_stands_for_a_copy(tmp_path: Path) -> None:
    found = load_settings(ToySettings, file=write(tmp_path, "extra: {a: &a {k: 1}, b: *a}\n"))
    assert found.extra == {"a": {"k": 1}, "b": {"k": 1}}


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "+1e-3", "1.e-3", "1.0e-3", ".001", "10e-4", "0.1e-02"])
def test_every_spelling_of_a_number_is_one(tmp_path: Path, text: str) -> None:
    assert load_settings(ToySettings, file=write(tmp_path, f"rate: {text}\n")).rate == pytest.approx(1e-3)
    assert parse_overrides([f"rate={text}"])["rate"] == pytest.approx(1e-3)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    assert load_settings(ToySettings, file=write(tmp_path, "\ufeffsteps: 3\n")).steps == 3


def test_mistakes_in_overrides_name_the_flag() -> None:
    with pytest.raises(InvalidSetting, match=r"--set inner\.size: inner\.size must be a whole number, got 'x'"):
        load_settings(ToySettings, overrides={"inner.size": "x"})
    with pytest.raises(InvalidSetting, match=r"--set staps: toy has no setting 'staps'; did you mean 'steps'"):
        load_settings(ToySettings, overrides={"staps": 1})


def test_a_mistake_in_python_names_the_class() -> None:
    with pytest.raises(InvalidSetting, match=r"^ToySettings\.inner\.size must be a whole number, got 1\.5$"):
        ToySettings(inner={"size": 1.5})
    with pytest.raises(InvalidSetting, match="ToySettings has no setting 'stepz'; did you mean 'steps'"):
        ToySettings(stepz=3)  # type: ignore[call-arg]
    with pytest.raises(InvalidSetting, match=r"ToySettings\.steps must be >= 1, got 0"):
        ToySettings().replace(steps=0)


def test_secrets_in_wrong_values_are_hidden(tmp_path: Path) -> None:
    wrong = {"extra_headers": {"Authorization": "Bearer s3cret"}}
    with pytest.raises(InvalidSetting) as caught:
        load_settings(ToySettings, file=write(tmp_path, f"steps: {wrong}\n"))
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(InvalidSetting) as caught:
        ToySettings(steps=wrong)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_a_file_of_sections_gives_each_stage_its_own(tmp_path: Path) -> None:
    file = write(tmp_path, "sft: {epochs: 2}\ngrpo: {steps: 5}\n")
    assert load_settings(SFTSettings, file=file).epochs == 2.0
    assert load_settings(GRPOSettings, file=file).steps == 5
    with pytest.raises(InvalidSetting, match="no section 'pretrain'; it has: sft, grpo"):
        load_settings(PretrainSettings, file=file)


def test_a_setting_beside_sections_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r":2: 'epochs' is outside the sections"):
        load_settings(SFTSettings, file=write(tmp_path, "sft: {}\nepochs: 2\n"))


def test_an_empty_file_or_section_changes_nothing(tmp_path: Path) -> None:
    assert load_settings(SFTSettings, file=write(tmp_path, "")) == SFTSettings()
    assert load_settings(SFTSettings, file=write(tmp_path, "sft:\n")) == SFTSettings()


def test_a_missing_file_and_an_unknown_preset_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"cannot read .*nowhere\.yaml"):
        load_settings(SFTSettings, file=tmp_path / "nowhere.yaml")
    with pytest.raises(UnknownName, match=r"unknown preset 'huge'; valid: .*tiny"):
        load_settings(SFTSettings, "huge")


@pytest.mark.parametrize("name", preset_names())
@pytest.mark.parametrize("cls", ALL)
def test_every_preset_has_settings_for_every_stage(name: str, cls: type[Any]) -> None:
    if cls is SB3Settings or (cls is PretrainSettings and name != "tiny"):
        # Presets are for language models, and only a model that is built from a seed is pre-trained.
        with pytest.raises(InvalidSetting, match=f"has no section '{cls.__name__[:3].lower()}"):
            load_settings(cls, name)
    else:
        assert isinstance(load_settings(cls, name), cls)


@pytest.mark.parametrize("cls", ALL)
def test_saved_settings_come_back_equal(cls: type[Any], tmp_path: Path) -> None:
    settings = load_settings(cls, None if cls is SB3Settings else "tiny", overrides={"seed": 3})
    assert load_settings(cls, file=save_settings(settings, tmp_path / "run")) == settings


def test_saved_settings_name_their_stage() -> None:
    assert to_yaml(SFTSettings(lora=SFTSettings().lora)).startswith("sft:\n")


def test_a_part_of_a_setting_without_parts_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, "weights: plain\n")
    with pytest.raises(InvalidSetting, match=r"--set weights\.a: weights is 'plain' \(.*run\.yaml:1\), not a mapping"):
        load_settings(ToySettings, file=file, overrides={"weights.a": 1})


@pytest.mark.filterwarnings("ignore::vzgym.tasks.budgets.WeakerProof")
def test_one_budget_goes_through_a_preset() -> None:
    tasks = load_tasks("needle-tiny/train")
    for preset in ("single-gpu", "paper", "multi-gpu", "tiny"):
        collecting = load_settings(CollectSettings, preset)
        training = load_settings(GRPOSettings, preset)
        assert collecting.budget_for(tasks) == training.budget_for(tasks)
    own = replace(tasks.budget, max_zooms=1)
    assert GRPOSettings().budget_for(tasks, own) == own
    assert GRPOSettings(budget={"max_zooms": 2}).budget_for(tasks, own) == replace(tasks.budget, max_zooms=2)
    assert GRPOSettings().budget_for(tasks) == tasks.budget
