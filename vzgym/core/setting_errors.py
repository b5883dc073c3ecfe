"""Validation errors in words: what a value must be, what it is, and where it was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from vzgym.core.documents import Document, KeyPath, shown
from vzgym.core.text import known_names

__all__ = ["explain"]


def explain(error: ValidationError, document: Document, title: str) -> str:
    """Every fault of a model's data, a line each.

    Args:
        error: The faults.
        document: The data.
        title: Opens the names of values.
    """
    groups: dict[KeyPath, list[ErrorDetails]] = {}
    for item in error.errors(include_url=False):
        loc = item["loc"]
        if item["type"] == "union_tag_invalid":
            loc = (*loc, item["ctx"]["discriminator"].strip("'"))
        groups.setdefault(document.resolve(loc), []).append(item)
    lines = []
    for path, items in groups.items():
        # Of a union, pydantic tells why each of its types did not fit: the one that went deepest was meant.
        in_union = all(len(item["loc"]) > len(path) and item["type"] != "missing" for item in items)
        if in_union and any(len(other) > len(path) and other[: len(path)] == path for other in groups):
            continue
        lines.append(f"{document.prefix(*path)}{_sentence(items, path, title)}")
    return "\n".join(lines)


def _sentence(items: Sequence[ErrorDetails], path: KeyPath, title: str) -> str:
    """The faults of one value in words."""
    name = _name(path, title)
    rules: dict[str, None] = {}
    for item in items:
        context = item.get("ctx", {})
        match item["type"]:
            case "problem" | "value_error" | "assertion_error":
                text = str(context.get("text") or context["error"])
                return f"{title}{text}" if title.endswith(" ") else text
            case "missing" if isinstance(item["loc"][-1], int):
                return f"{name} must be a list of more values, got {shown(item['input'])}"
            case "unknown_name":
                return f"{_name(path[:-1], title) or context['kind']} has {context['text']}"
            case "missing":
                return f"{name} needs a value for {str(item['loc'][-1])!r}".lstrip()
            case "union_tag_not_found":
                return f"{name} needs a value for {context['discriminator']}".lstrip()
            case "union_tag_invalid":
                return f"{name} must be one of {context['expected_tags']}, got {context['tag']!r}"
            case _ if item["loc"][-1:] == ("[key]",):
                valid = context.get("expected", "other names").replace(" or ", ", ").replace("'", "").split(", ")
                return f"{_name(path[:-1], title)} has no {str(path[-1])!r}; {known_names(path[-1:], valid)}"
        rules[_rule(item)] = None
    return f"{name or 'the value'} must be {' or '.join(rules)}, got {shown(items[0]['input'])}"


def _name(path: KeyPath, title: str) -> str:
    """`grpo.lora.targets[0]`."""
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return f"{title}{name.removeprefix('.')}" if not title or title.endswith(" ") else f"{title}{name}"


_RULES: Final[Mapping[str, str]] = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "none_required": "null",
    "string_too_short": "non-empty text",
    "greater_than_equal": ">= {ge}",
    "greater_than": "> {gt}",
    "less_than_equal": "<= {le}",
    "less_than": "< {lt}",
    "literal_error": "one of {expected}",
    "too_short": "of length >= {min_length}",
    "too_long": "of length <= {max_length}",
}


def _rule(item: ErrorDetails) -> str:
    """What a value must be."""
    rule, context = _RULES.get(item["type"]), item.get("ctx", {})
    if rule is None:
        return item["msg"].removeprefix("Input should be ")
    if item["type"] == "greater_than" and isinstance(context["gt"], int):
        return f">= {context['gt'] + 1}"
    return rule.format(**context).replace(" or '", ", '")
