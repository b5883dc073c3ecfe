"""Metadata of a trained model's folder: `vzgym.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.core.files import read_json
from vzgym.policies.fingerprint import METADATA

__all__ = ["read_metadata", "saved_budget", "saved_extras"]


def read_metadata(folder: str | Path) -> dict[str, Any]:
    """Read a folder's `vzgym.json`; empty if there is none.

    Raises:
        InvalidSetting: If the file cannot be read.
    """
    file = Path(folder) / METADATA
    if not file.is_file():
        return {}
    values = read_json(file, InvalidSetting)
    if not isinstance(values, dict):
        raise InvalidSetting(f"{file} must hold a JSON object, got {values!r:.100}")
    return values


def saved_budget(folder: str | Path) -> Budget | None:
    """The budget that the model in a folder was trained with; None if it is not recorded.

    Raises:
        InvalidSetting: If the folder's `vzgym.json` cannot be read, or its budget is invalid.
    """
    found = read_metadata(folder).get("budget")
    return None if found is None else Budget.from_mapping(found)


def saved_extras(folder: str | Path) -> dict[str, Any] | None:
    """The tools and the subtitle mode that the model in a folder was trained with; None if they are not recorded.

    Returns:
        As `Extras.to_json` gives them. They are not resolved: the folder may come from someone else.

    Raises:
        InvalidSetting: If the folder's `vzgym.json` cannot be read, or is invalid there.
    """
    found = read_metadata(folder).get("extras")
    if found is None:
        return None
    tools = found.get("tools", []) if isinstance(found, dict) else None
    if not isinstance(tools, list) or not all(isinstance(spec, dict) and "name" in spec for spec in tools):
        raise InvalidSetting(
            f"{Path(folder) / METADATA}: extras must be an object with a list of tools, got {found!r:.200}"
        )
    return dict(found)
