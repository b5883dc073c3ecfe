"""Policies on the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vzgym.agents.metadata import saved_extras
from vzgym.core.errors import InvalidSetting
from vzgym.core.files import check_model_path
from vzgym.core.secrets import redact

__all__ = ["named_policy", "named_tools", "policy_label", "run_label", "trained_extras"]


def named_policy(text: str, **options: Any) -> str | Mapping[str, Any]:
    """Parse a policy given on the command line.

    Args:
        text: A registered name or `module:Class`; the folder of a trained model; a Stable-Baselines3 model (`.zip`);
            `served:MODEL@URL`; or a mapping with options, such as `{name: vlm, path: runs/sft, temperature: 1}`.
        options: Further options for models in folders or on servers.

    Returns:
        A policy specification for `vzgym.evaluate`.

    Raises:
        InvalidSetting: If the text is a mapping without a name, or invalid YAML; or a path without a trained model.
    """
    if text.lstrip().startswith("{"):
        from vzgym.core.documents import read_value

        # Messages do not repeat the text, which may contain a key.
        spec = read_value(text, "--policy given as a mapping")
        if not isinstance(spec, dict) or "name" not in spec:
            raise InvalidSetting(f"--policy given as a mapping needs a name, got {redact(spec)!r}")
        return spec
    if (Path(text) / "sb3.json").is_file() or (text.endswith(".zip") and Path(text).is_file()):
        return {"name": "sb3", "path": text}
    if (Path(text) / "config.json").is_file():
        return {"name": "vlm", "path": text, **options}
    if text.startswith("served:"):
        return {"name": text, **options}
    if text.endswith(".zip"):
        raise InvalidSetting(f"no trained model at {text!r}: there is no such file")
    if {"/", "\\"} & set(text) and ":" not in text:
        # No registered name has a slash or a backslash.
        check_model_path(text)
        raise InvalidSetting(
            f"no trained model at {text!r}: there is no such folder; a model of the Hugging Face hub is given as "
            f"'{{name: vlm, path: {text}}}'"
        )
    return text


def trained_extras(text: str) -> Mapping[str, Any]:
    """The tools and the subtitle mode that a policy given on the command line was trained with; empty if unknown.

    Args:
        text: As `named_policy` takes it.
    """
    spec = named_policy(text)
    path = spec.get("path") if isinstance(spec, Mapping) and spec["name"] == "vlm" else None
    return (saved_extras(path) or {}) if isinstance(path, str) else {}


def named_tools(texts: Sequence[str] | None) -> list[str | Mapping[str, Any]] | None:
    """Parse tools given on the command line.

    Args:
        texts: Registered names, also with options (`find_frames:scorer=clip`); `module:Class`; mappings; "none" alone
            for no tools.

    Returns:
        The tools; None if none were given, so that each policy has those that it was trained with.

    Raises:
        InvalidSetting: If a text is a mapping without a name, or invalid YAML.
    """
    from vzgym.core.documents import read_value

    if not texts or list(texts) == ["none"]:
        return [] if texts else None
    tools: list[str | Mapping[str, Any]] = []
    for text in texts:
        spec = read_value(text, "--tool given as a mapping") if text.lstrip().startswith("{") else text
        if not isinstance(spec, str) and (not isinstance(spec, dict) or "name" not in spec):
            raise InvalidSetting(f"--tool given as a mapping needs a name, got {spec!r}")
        tools.append(spec)
    return tools


def run_label(text: str) -> str:
    """Name of a policy's run folder: its name and the options that affect results.

    Args:
        text: As `named_policy` takes it.
    """
    spec = redact(named_policy(text))
    if text.lstrip().startswith("{") and isinstance(spec, Mapping):
        options = [f"{key}-{value}" for key, value in spec.items() if key not in {"name", "model", *_NOT_IDENTITY}]
        return " ".join([str(spec["name"]), *([str(spec["model"])] if "model" in spec else []), *options])
    return _SERVED_AT.sub("", text)


_SERVED_AT = re.compile(r"@https?://.*")

_NOT_IDENTITY = frozenset(
    "url headers key_variable timeout retries concurrency check_images price_in price_out device".split()
)
"""Policy options for server, speed and key, which are not part of a run's identity."""


def policy_label(text: str) -> str:
    """Display name of a policy, without possible secrets.

    Args:
        text: As `named_policy` takes it.
    """
    spec = named_policy(text)
    shown = redact(spec)
    if shown == spec:
        return text
    return shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
