"""Naming a policy on the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vzgym.core.errors import InvalidSetting
from vzgym.core.secrets import redact

__all__ = ["named_policy", "policy_label", "run_label"]


def named_policy(text: str, **options: Any) -> str | Mapping[str, Any]:
    """What a policy's name on the command line means.

    Args:
        text: A registered name or `module:Class`; the folder of a trained model; a Stable-Baselines3 model (`.zip`);
            `served:MODEL@URL`; or a mapping with options, as `{name: random}` or
            `{name: vlm, path: runs/sft, temperature: 1}`.
        options: For models, in folders or served: further options.

    Returns:
        What `vzgym.evaluate` takes.

    Raises:
        InvalidSetting: If the text is a mapping without a name, or no YAML.
    """
    if text.lstrip().startswith("{"):
        from vzgym.core.settings import read_value

        # The text is not repeated in a message: it may hold a key.
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
    return text


def run_label(text: str) -> str:
    """A policy's name for the folder of its run: its name and options, without those that change no result.

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
"""Options of policies that say where and how fast a model runs, and with which key: no part of a run's identity."""


def policy_label(text: str) -> str:
    """A policy's name as it is shown on the terminal, without what may be a secret.

    Args:
        text: As `named_policy` takes it.
    """
    spec = named_policy(text)
    shown = redact(spec)
    if shown == spec:
        return text
    return shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
