"""Shared options of commands with settings, and reading of these settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from vzgym.core.settings import Settings

__all__ = [
    "ConfigOption",
    "OutOption",
    "PresetOption",
    "ResumeOption",
    "SeedOption",
    "SetOption",
    "SubtitlesOption",
    "ToolOption",
    "read_settings",
]

S = TypeVar("S", bound="Settings")

OutOption = Annotated[str | None, typer.Option(help="Folder for checkpoints, logs and the finished model.")]
SeedOption = Annotated[int | None, typer.Option(help="Seed of all random numbers of the run.")]
ConfigOption = Annotated[Path | None, typer.Option(help="A YAML file of settings (`vzgym schema train`).")]
PresetOption = Annotated[str | None, typer.Option(help="Settings by name: tiny, paper, single-gpu, multi-gpu.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="name=value (YAML), any setting; repeatable. Highest priority.")
]
ToolOption = Annotated[
    list[str] | None,
    typer.Option(
        help="A tool that may be called beside the zoom: subtitles, find_frames:scorer=NAME, frame, module:Class, "
        "{name: ..., options}; repeatable; none for none. Default: those that a model was trained with."
    ),
]
SubtitlesOption = Annotated[
    str | None,
    typer.Option(
        help="Where the dialogue shows the tasks' subtitles: none, overview, clips, all. Default: as a model was "
        "trained, else as each task says."
    ),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Resume from the latest checkpoint in --out.")]


def read_settings(
    cls: type[S], preset: str | None, config: Path | None, pairs: list[str] | None, flags: Mapping[str, Any]
) -> S:
    """Settings from a preset, a file, flags and `--set` pairs; later ones override earlier ones.

    Args:
        cls: The settings class.
        preset: Name of a preset.
        config: A YAML file.
        pairs: `name=value` texts.
        flags: Values by name; None and False stand for flags that were not given.

    Raises:
        UnknownName: If there is no such preset.
        InvalidSetting: If a setting is unknown or invalid.
    """
    from vzgym.agents.training.config import load_settings, parse_overrides

    given = {name: value for name, value in flags.items() if value is not None and value is not False}
    return load_settings(cls, preset, config, {**given, **parse_overrides(pairs or [])})
