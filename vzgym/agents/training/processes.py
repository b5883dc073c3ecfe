"""The processes of a training run: this one among them, how they share the work, and what they need installed."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from vzgym.agents.training.memory import Sharding
from vzgym.agents.training.settings import GRPOSettings, TrainSettings
from vzgym.core.errors import DependencyNotInstalled, InvalidSetting
from vzgym.core.files import read_json

__all__ = [
    "check_launch",
    "check_packages",
    "first_process",
    "mean_measures",
    "mean_over_processes",
    "missing_packages",
    "process_count",
    "process_index",
    "running",
    "unmet_requirements",
    "zero_stage",
]

_INSTALL = 'pip install -c constraints-gpu.txt "vzgym[llm,gpu]"'


def process_index() -> int:
    """The rank of this process in its run, from 0; set by `torchrun` and `accelerate launch`."""
    return int(os.environ.get("RANK", "0"))


def process_count() -> int:
    """The number of processes of this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def first_process() -> bool:
    """Whether this process writes the run's log and model, and prints its messages."""
    return process_index() == 0


def running() -> Sharding:
    """How the launcher that started this process distributes its run."""
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "")
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        options = {name.lower(): value for name, value in os.environ.items() if name.startswith("FSDP_")}
        return Sharding(process_count(), fsdp_stage(options, "the launcher"), precision, fsdp=True)
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        deepspeed = {
            "zero_stage": int(os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", _ZERO_STAGE)),
            "deepspeed_config_file": os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE"),
        }
        return Sharding(process_count(), zero_stage(deepspeed, "the launcher"), precision)
    return Sharding(process_count())


_ZERO_STAGE = 2
"""Accelerate's own stage of ZeRO where a configuration of DeepSpeed gives none."""


def zero_stage(options: Mapping[str, Any], place: str) -> int:
    """The stage of ZeRO of a `deepspeed_config` of accelerate.

    Args:
        options: The `deepspeed_config`. A configuration file of DeepSpeed that it names decides.
        place: Where it is, for the message.

    Raises:
        InvalidSetting: If the file cannot be read, or the stage is not an integer.
    """
    found, name = options.get("zero_stage", _ZERO_STAGE), "zero_stage"
    file = options.get("deepspeed_config_file")
    if file not in (None, "", "none"):
        place, name = f"{file}, named by {place}", "zero_optimization.stage"
        given = read_json(str(file), InvalidSetting)
        given = given.get("zero_optimization", {}) if isinstance(given, Mapping) else None
        found = given.get("stage", 0) if isinstance(given, Mapping) else given
    if not isinstance(found, int) or isinstance(found, bool):
        raise InvalidSetting(f"{name} in {place} must be an integer, got {found!r}")
    return found


def fsdp_stage(options: Mapping[str, Any], place: str) -> int:
    """The stage of ZeRO that shards what an `fsdp_config` of accelerate does.

    Hybrid sharding is planned as if all processes were on one machine.

    Args:
        options: The `fsdp_config`.
        place: Where it is, for the message.

    Raises:
        InvalidSetting: If the strategy is unknown.
    """
    if str(options.get("fsdp_version", 1)) == "2":
        return 3 if options.get("fsdp_reshard_after_forward", True) in (True, "true") else 2
    strategy = str(options.get("fsdp_sharding_strategy", options.get("fsdp_reshard_after_forward", "FULL_SHARD")))
    names = ("FULL_SHARD", "SHARD_GRAD_OP", "NO_SHARD", "HYBRID_SHARD", "HYBRID_SHARD_ZERO2")
    stages: dict[str, int] = dict(zip((*names, *"12345"), (3, 2, 0, 3, 2) * 2, strict=True))
    if strategy.upper() not in stages:
        raise InvalidSetting(
            f"fsdp_sharding_strategy in {place} must be one of {', '.join(names)} or 1 to 5, got {strategy!r}"
        )
    return stages[strategy.upper()]


def mean_over_processes(measures: Mapping[str, float]) -> dict[str, float]:
    """Average measures over all processes, each of which must call this.

    Args:
        measures: Those of this process; names may be missing in some processes.
    """
    from accelerate.utils import gather_object

    return mean_measures(gather_object([dict(measures)]))


def mean_measures(shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Average measures, each over the shares that have it."""
    names = dict.fromkeys(name for share in shares for name in share)
    known = {name: [share[name] for share in shares if name in share] for name in names}
    return {name: math.fsum(values) / len(values) for name, values in known.items()}


def check_launch(settings: TrainSettings, sharding: Sharding) -> None:
    """Check that a run can be distributed as its launcher says, before a model is loaded.

    Args:
        settings: Of the run.
        sharding: How it is distributed.

    Raises:
        InvalidSetting: If it cannot; with the setting to change.
    """
    settings.check_sharding(sharding.splits_weights)
    if sharding.deepspeed and sharding.precision == "bf16" and not settings.bf16:
        raise InvalidSetting(
            f"{type(settings).__name__}.bf16 is false, but the launch configuration has mixed_precision: bf16, which "
            "DeepSpeed requires to agree: set bf16 to true, or mixed_precision to 'no' in the configuration"
        )
    engine = isinstance(settings, GRPOSettings) and settings.vllm
    split = sharding.splits_weights
    if (engine or split) and (Path(settings.model) / "adapter_config.json").is_file():
        reader = "which vLLM would read there" if engine else f"into which no process could merge them under {split}"
        raise InvalidSetting(
            f"{type(settings).__name__}.model is {settings.model}, a folder of adapters without the model's own "
            f"weights, {reader}: give the folder of a finished run, whose adapters are merged"
        )
    if engine:
        _check_engine(settings)


def _check_engine(settings: TrainSettings) -> None:
    parallel = settings.trainer.get("vllm_tensor_parallel_size", 1)
    if settings.trainer.get("vllm_mode", "colocate") == "colocate" and parallel != 1:
        raise InvalidSetting(
            f"trainer.vllm_tensor_parallel_size is {parallel}: engines that share devices with training would wait for "
            "each other in turns that only some of them generate. Leave it out, or use a server (vllm_mode: server), "
            "whose own --tensor-parallel-size may be larger"
        )


def missing_packages(settings: TrainSettings, sharding: Sharding) -> list[str]:
    """What the run needs and is not installed, or not in a release that fits; a sentence for each.

    Args:
        settings: Of the run.
        sharding: How it is distributed.
    """
    needed = {
        "vllm": ("vllm is true", isinstance(settings, GRPOSettings) and settings.vllm),
        "deepspeed": (f"the launch configuration has ZeRO stage {sharding.stage}", sharding.deepspeed),
    }
    faults = []
    for package, (why, wanted) in needed.items():
        if not wanted:
            continue
        if importlib.util.find_spec(package) is None:
            faults.append(f"{why}, but {package} is not installed: {_INSTALL}")
        elif unmet := unmet_requirements(package):
            faults.append(f"{package} does not fit what is installed: it needs {', '.join(unmet)}: {_INSTALL}")
    return faults


def check_packages(settings: TrainSettings, sharding: Sharding) -> None:
    """Check that the packages of the run are installed; see `missing_packages`.

    Raises:
        DependencyNotInstalled: If one is missing or does not fit.
    """
    if faults := missing_packages(settings, sharding):
        raise DependencyNotInstalled("; ".join(faults))


_WITH_MODELS = ("torch", "transformers")
"""Packages whose releases decide whether vLLM and DeepSpeed run a model."""


def unmet_requirements(package: str) -> list[str]:
    """Requirements of an installed package on torch and transformers that the installed releases do not meet.

    Args:
        package: Name of the distribution.

    Returns:
        Such as `["transformers<5.18 (5.23.0 is installed)"]`; empty if the package is not installed.
    """
    from packaging.requirements import Requirement

    try:
        requirements = map(Requirement, metadata.requires(package) or ())
    except metadata.PackageNotFoundError:
        return []
    faults = []
    for requirement in requirements:
        if requirement.name not in _WITH_MODELS or (requirement.marker and not requirement.marker.evaluate()):
            continue
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            found = ""
        if not requirement.specifier.contains(found or "0", prereleases=True):
            faults.append(f"{requirement.name}{requirement.specifier} ({found or 'none'} is installed)")
    return faults
