"""Training data for verl: rows of tasks in parquet files, and the configuration of the agent loop."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vzgym.core.errors import InvalidSetting
from vzgym.core.files import write_text
from vzgym.interfaces.rollouts import shared_rollouts
from vzgym.interfaces.training_rows import ShowRows, measured_lengths, name_for_rows, open_tasks, write_splits
from vzgym.tasks import resolve_budget

__all__ = ["VerlData", "write_verl_data"]

_LOOP = "video_zoom"
_CLASS = "vzgym.interfaces.verl.VideoZoomLoop"


@dataclass(frozen=True)
class VerlData:
    """What `write_verl_data` has written.

    Attributes:
        files: The parquet files: of the training tasks and, if given, of the validation tasks.
        rows: Their numbers of rows.
        config: The YAML file for `actor_rollout_ref.rollout.agent.agent_loop_config_path`.
        lengths: Tokens that the longest opening and a whole roll-out need; None if they were not measured.
    """

    files: tuple[Path, ...]
    rows: tuple[int, ...]
    config: Path
    lengths: tuple[int, int] | None

    @property
    def options(self) -> list[str]:
        """Options of `python -m verl.trainer.main_ppo` for this data."""
        prompt, response = ("PROMPT_TOKENS", "RESPONSE_TOKENS") if self.lengths is None else map(str, self.lengths)
        return [
            f"data.train_files={self.files[0]}",
            f"data.val_files={self.files[-1]}",
            f"data.max_prompt_length={prompt}",
            f"data.max_response_length={response}",
            f"actor_rollout_ref.rollout.agent.agent_loop_config_path={self.config}",
        ]

    @property
    def command(self) -> str:
        """The trainer's command with the options, but without the model's."""
        return " ".join(["python -m verl.trainer.main_ppo", *map(shlex.quote, self.options)])


def write_verl_data(
    out: Path,
    tasks: str,
    validation: str | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    turn_tokens: int = 512,
    tool_role: str = "user",
    model: str | None = None,
    progress: ShowRows | None = None,
) -> VerlData:
    """Write a folder with `train.parquet`, `validation.parquet` and `agent_loop.yaml`.

    Args:
        out: The folder; made if missing.
        tasks: The training tasks: a suite, a benchmark or a file, also with a slice.
        validation: The validation tasks.
        settings: Of `TextRollouts`, as JSON values: `reward`, `protocol`, `budget`, `tools`, `subtitles`, `records`,
            `root`.
        turn_tokens: Most tokens of a turn.
        tool_role: Role of the environment's replies; see `VideoZoomLoop`.
        model: A vision-language model's folder or name, whose processor measures how many tokens the episodes need.
        progress: Called with (rows done, rows in all) after each row.

    Raises:
        InvalidSetting: If a setting is invalid, or a file exists.
        UnknownName: If there are no such tasks, or a component is not registered.
        DependencyNotInstalled: If pyarrow is missing; with `model`, if torch or transformers is.
    """
    given = dict(settings or {})
    rollouts = shared_rollouts("verl", given)
    if turn_tokens < 1:
        raise InvalidSetting(f"turn_tokens must be at least 1, got {turn_tokens}")
    names = [name_for_rows(spec) for spec in (tasks, validation) if spec is not None]
    sets = [open_tasks(name, rollouts.root) for name in names]
    for chosen in sets:
        resolve_budget(rollouts.budget, chosen)
    lengths = None if model is None else measured_lengths(model, rollouts, sets, turn_tokens)
    written = write_splits(out, list(zip(names, sets, strict=True)), _complete, progress)
    config = out / "agent_loop.yaml"
    loop = {"name": _LOOP, "_target_": _CLASS, "turn_tokens": turn_tokens, "tool_role": tool_role, "settings": given}
    comment = "# The agent loop of verl: actor_rollout_ref.rollout.agent.agent_loop_config_path\n"
    write_text(config, comment + yaml.safe_dump([loop], sort_keys=False, allow_unicode=True))
    return VerlData(tuple(written), tuple(written.values()), config, lengths)


def _complete(row: dict[str, Any]) -> dict[str, Any]:
    answer = row.pop("answer")
    return {**row, "agent_name": _LOOP, "reward_model": {"style": "rule", "ground_truth": answer}}
