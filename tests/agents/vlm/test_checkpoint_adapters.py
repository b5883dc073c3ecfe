"""Folders of adapters: they are merged into their base model, whatever number of steps away it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from vzgym.agents.training.common import adapters
from vzgym.agents.training.settings import LoraSettings, SFTSettings
from vzgym.agents.vlm.checkpoint import open_checkpoint, open_model
from vzgym.core.errors import InvalidSetting


def adapted(base: Path, folder: Path, model: str) -> Path:
    """Adapters that change the model, saved as peft does."""
    from peft import get_peft_model

    start = open_checkpoint(base).model
    torch.manual_seed(0)
    made = get_peft_model(start, adapters(SFTSettings(lora=LoraSettings(rank=2)), start))
    for name, weight in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.constant_(weight, 0.1)
    made.save_pretrained(folder)
    set_base(folder, model)
    return folder


def set_base(folder: Path, base: str | None) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "base_model_name_or_path": base}))


def test_adapters_of_adapters_are_merged_in_order(small_model: Path, tmp_path: Path) -> None:
    first = adapted(small_model, tmp_path / "first", str(small_model))
    second = adapted(small_model, tmp_path / "second", str(first))
    plain, once, twice = (open_model(str(folder), {}).state_dict() for folder in (small_model, first, second))
    changed = [name for name in plain if not torch.equal(plain[name], once[name])]
    assert changed
    for name in changed:
        torch.testing.assert_close(twice[name] - once[name], once[name] - plain[name])


@pytest.mark.parametrize("length", [1, 2])
def test_adapters_that_are_their_own_base_are_refused(small_model: Path, tmp_path: Path, length: int) -> None:
    folders = [adapted(small_model, tmp_path / str(number), "") for number in range(length)]
    for folder, base in zip(folders, [*folders[1:], folders[0]], strict=True):
        set_base(folder, str(base))
    with pytest.raises(InvalidSetting, match=r"are their own base model .* -> .*: set base_model_name_or_path in"):
        open_model(str(folders[0]), {})


@pytest.mark.parametrize("base", ["", None])
def test_adapters_without_a_base_are_refused(small_model: Path, tmp_path: Path, base: str | None) -> None:
    folder = adapted(small_model, tmp_path / "first", "")
    set_base(folder, base)
    with pytest.raises(InvalidSetting, match="names no base model"):
        open_model(str(folder), {})
