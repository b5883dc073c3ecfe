"""Names and options from which reward modules can be rebuilt."""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from vzgym.core.errors import InvalidSetting, PluginError
from vzgym.core.registry import import_object
from vzgym.rewards.base import REWARDS, RewardModule

__all__ = ["spec_of"]


def spec_of(module: RewardModule, reserved: Collection[str] = ()) -> tuple[str, dict[str, Any]]:
    """Return the name and options from which the registry builds an equal module.

    Options come from the module's `options` mapping, if any; else they are the fields of a dataclass, or the parameters
    of `__init__` read from attributes of the same names, that differ from their defaults.

    Args:
        module: The module.
        reserved: Names that options must not use.

    Raises:
        InvalidSetting: If its class cannot be imported by name, or its options are unknown, not JSON values, or
            reserved.
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
    return _init_options(module)


def _init_options(module: RewardModule) -> dict[str, Any]:
    """Options of a class that is not a dataclass: the parameters of `__init__`, read from attributes."""
    parameters: list[inspect.Parameter] = []
    if type(module).__init__ is not object.__init__:
        parameters = list(inspect.signature(type(module)).parameters.values())
    options = {}
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or not hasattr(module, parameter.name):
            raise InvalidSetting(
                f"reward module {module.name!r} cannot be written as data: its option {parameter.name!r} is unknown; "
                "keep each argument of __init__ in an attribute of the same name, make it a dataclass, or give it a "
                "mapping `options`"
            )
        value = getattr(module, parameter.name)
        if parameter.default is parameter.empty or value != parameter.default:
            options[parameter.name] = value
    return options
