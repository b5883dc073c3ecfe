"""What the trainers share: where a run begins and goes on, what its checkpoints are, how its result is saved."""

from __future__ import annotations

import pytest
import torch

from vzgym.agents.checkpoints import kept_protocol, open_checkpoint
from vzgym.agents.settings import LoraSettings, SFTSettings
from vzgym.agents.sft import train_sft

LORA = LoraSettings(rank=2, alpha=4, targets=("q_proj",))


@pytest.fixture
def settings(small_model, trajectories, tmp_path):
    """Makes settings of a short run."""

    def make(**more):
        values = {"max_steps": 2, "save_steps": 1, "batch_size": 4, "learning_rate": 1e-3, "log_steps": 1, **more}
        return SFTSettings(model=str(small_model), data=str(trajectories), out=str(tmp_path / "run"), **values)

    return make


def weights(folder):
    return open_checkpoint(folder).model.state_dict()


def same(one, other):
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


# Checkpoints --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lora", [LoraSettings(), LORA])
def test_a_trainers_checkpoint_opens_as_the_finished_model_does(settings, small_model, lora):
    out = train_sft(settings(lora=lora))
    assert not same(weights(out / "checkpoint-1"), weights(out))
    last = open_checkpoint(out / "checkpoint-2")
    finished = weights(out)
    assert set(last.model.state_dict()) == set(finished)
    for name, weight in last.model.state_dict().items():
        torch.testing.assert_close(weight, finished[name])
    assert all(weight.requires_grad for weight in last.model.parameters())
    assert last.protocol.spec == kept_protocol(small_model).spec
    assert last.protocol.spec["name"] == "compact_tags"
    for name in ("tokenizer_config.json", "processor_config.json", "chat_template.jinja", "vzgym.json"):
        assert (out / "checkpoint-2" / name).read_text() == (out / name).read_text()


def test_adapters_on_top_of_a_checkpoint_of_adapters_open_too(settings, tmp_path):
    first = train_sft(settings(lora=LORA))
    second = tmp_path / "second"
    train_sft(SFTSettings(**{**vars(settings(lora=LORA)), "model": str(first / "checkpoint-1"), "out": str(second)}))
    finished = weights(second)
    for name, weight in weights(second / "checkpoint-2").items():
        torch.testing.assert_close(weight, finished[name])
