"""The name and options from which a reward module object can be built again."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from vzgym.core.errors import InvalidSetting, PluginError
from vzgym.core.registry import import_object
from vzgym.rewards.base import REWARDS, RewardModule

__all__ = ["spec_of"]


def spec_of(module: RewardModule, reserved: Collection[str] = ()) -> tuple[str, dict[str, Any]]:
    """The name and the options from which the registry builds an equal module.

    Options are a dataclass's fields where they differ from their defaults, or what the module's own `options` mapping
    says; a module without state has none.

    Args:
        module: The module.
        reserved: Names that an option must not have.

    Raises:
        InvalidSetting: If its class cannot be imported by name, or its options are not known, no JSON, or reserved.
    """
    name = _name_of(module)
    options = _options_of(module)
    clash = sorted(set(options) & set(reserved))
    if clash:
        raise InvalidSetting(f"reward module {name!r}: its option {clash[0]!r} has the name of a key of reward terms")
    try:
        plain: dict[str, Any] = json.loads(json.dumps(options, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidSetting(f"reward module {name!r} has options that JSON cannot hold: {error}") from error
    return name, plain


def _name_of(module: RewardModule) -> str:
    kind = type(module)
    if module.name in REWARDS and REWARDS.get(module.name) is kind:
        return module.name
    path = f"{kind.__module__}:{kind.__qualname__}"
    try:
        found = import_object(path)
    except PluginError:
        found = None
    if found is not kind:
        raise InvalidSetting(
            f"reward module {module.name!r} of class {kind.__qualname__} cannot be named in data: register it, or "
            "define it at the top of a module"
        )
    return path


def _options_of(module: RewardModule) -> dict[str, Any]:
    given = getattr(module, "options", None)
    if isinstance(given, Mapping):
        return dict(given)
    if is_dataclass(module):
        options = {}
        for field in fields(module):
            if not field.init:
                continue
            default = field.default_factory() if field.default_factory is not MISSING else field.default
            value = getattr(module, field.name)
            if default is MISSING or value != default:
                options[field.name] = value
        return options
    if getattr(module, "__dict__", None):
        raise InvalidSetting(
            f"reward module {module.name!r} does not say its options: make it a dataclass, or give it a mapping "
            "`options`"
        )
    return {}
