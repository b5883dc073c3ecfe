from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from vzgym.agents import GRPOSettings, PretrainSettings, SFTSettings
from vzgym.agents.data.settings import CollectSettings
from vzgym.agents.training.config import (
    SECTIONS,
    load_settings,
    parse_overrides,
    preset_names,
    save_settings,
    section_of,
    to_yaml,
)
from vzgym.core.errors import InvalidSetting, UnknownName

ALL = (CollectSettings, PretrainSettings, SFTSettings, GRPOSettings)


@dataclass(frozen=True)
class InnerSettings:
    size: int = 1
    name: str | None = None


@dataclass(frozen=True)
class ToolSettings:
    kind: Literal["saw", "drill"]
    size: int = 1


@dataclass(frozen=True)
class ToySettings:
    rate: float = 0.5
    steps: int = 10
    flag: bool = False
    mode: Literal["a", "b"] = "a"
    where: Path = Path()
    many: tuple[float, ...] = (1.0,)
    weights: str | Mapping[str, float] = "x"
    inner: InnerSettings = field(default_factory=InnerSettings)
    extra: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[ToolSettings, ...] = ()
    best: ToolSettings | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InvalidSetting(f"ToySettings.steps must be >= 1, got {self.steps}")


def write(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_sections_are_the_names_of_the_stages() -> None:
    assert tuple(section_of(cls) for cls in ALL) == SECTIONS


def test_values_reach_their_fields_with_their_types(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "rate: 2e-3\nsteps: 7\nflag: yes\nmode: b\nwhere: runs/x\nmany: [1, 2.5]\n"
        "weights: {a: 1, b: 0.5}\ninner: {size: 3}\nextra: {k: [1, {z: null}]}\n",
    )
    found = load_settings(ToySettings, file=file)
    assert found == ToySettings(
        0.002, 7, True, "b", Path("runs/x"), (1.0, 2.5), {"a": 1.0, "b": 0.5}, InnerSettings(3), {"k": [1, {"z": None}]}
    )
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
    assert found.inner == InnerSettings(3, "new")
    assert found.weights == {"a": 1.0, "b": 5.0, "c": 6.0}


def test_a_mapping_in_a_file_takes_the_place_of_the_presets(tmp_path: Path) -> None:
    file = write(tmp_path, "grpo: {reward: {accuracy: 1.0}}\n")
    assert load_settings(GRPOSettings, "tiny", file).reward == {"accuracy": 1.0}


def test_pairs_are_read_as_yaml() -> None:
    pairs = ["rate=1e-4", "mode=b", "many=[1, 2]", "name=a=b", "none=null"]
    assert parse_overrides(pairs) == {"rate": 1e-4, "mode": "b", "many": [1, 2], "name": "a=b", "none": None}


@pytest.mark.parametrize("pair", ["rate", "=3", "rate=[1"])
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
        ("weights: {a: x}\n", [":1:", "text or a mapping"]),
        ("inner:\n  size: 1\n  colour: red\n", [":3:", "no setting 'colour'", "size, name"]),
        ("inner: 4\n", [":1:", "a mapping"]),
        ("rate: 1\nrate: 2\n", [":2:", "given twice"]),
        ("rate: [1\n", ["not YAML"]),
        ("- rate\n- {steps: 2}\n", [":1:", "name: value", "got ['rate', {'steps': 2}]"]),
        ("\nbest:\n  size: 3\n", [":2:", "tool must say its 'kind', one of 'saw', 'drill'"]),
        ("\ntools:\n  - size: 3\n", [":3:", "tool must say its 'kind'"]),
        ("tools: {kind: saw}\n", [":1:", "tools must be a list (a mapping), got {'kind': 'saw'}"]),
        ("steps: 0\n", ["must be >= 1", "run.yaml:1"]),
        ("5: 1\n", [":1:", "name is text"]),
    ],
)
def test_mistakes_are_named_with_their_place(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(InvalidSetting) as caught:
        load_settings(ToySettings, file=write(tmp_path, text))
    for word in words:
        assert word in str(caught.value)


def test_a_file_of_sections_gives_each_stage_its_own(tmp_path: Path) -> None:
    file = write(tmp_path, "sft: {epochs: 2}\ngrpo: {steps: 5}\n")
    assert load_settings(SFTSettings, file=file).epochs == 2.0
    assert load_settings(GRPOSettings, file=file).steps == 5
    with pytest.raises(InvalidSetting, match="no section 'pretrain'; it has: sft, grpo"):
        load_settings(PretrainSettings, file=file)


def test_a_setting_beside_sections_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r":2: 'epochs' stands beside"):
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
    if cls is PretrainSettings and name != "tiny":
        # Only a model that is built from a seed has to learn to see.
        with pytest.raises(InvalidSetting, match="has no section 'pretrain'"):
            load_settings(cls, name)
    else:
        assert isinstance(load_settings(cls, name), cls)


@pytest.mark.parametrize("cls", ALL)
def test_saved_settings_come_back_equal(cls: type[Any], tmp_path: Path) -> None:
    settings = load_settings(cls, "tiny", overrides={"seed": 3})
    assert load_settings(cls, file=save_settings(settings, tmp_path / "run")) == settings


def test_saved_settings_name_their_stage() -> None:
    assert to_yaml(SFTSettings(lora=SFTSettings().lora)).startswith("sft:\n")


def test_a_part_of_a_setting_without_parts_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, "weights: plain\n")
    with pytest.raises(InvalidSetting, match="has no parts to set"):
        load_settings(ToySettings, file=file, overrides={"weights.a": 1})
