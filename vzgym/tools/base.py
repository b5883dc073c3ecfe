"""The registry of tools, and a base class for tools with typed arguments.

Register third-party tools in `TOOLS` or through the entry-point group `vzgym.tools`, or pass the object.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from vzgym.core.actions import ToolCall
from vzgym.core.errors import InvalidSetting, ToolArgumentError
from vzgym.core.interval import Interval
from vzgym.core.registry import Registry
from vzgym.episode.tools import Tool, ToolContext, ToolResult, checked_tools
from vzgym.episode.wording import number, seconds
from vzgym.scorers.base import OptionsByName

__all__ = [
    "TOOLS",
    "Arguments",
    "Tool",
    "ToolArgumentError",
    "ToolCall",
    "ToolContext",
    "ToolResult",
    "ToolSpec",
    "TypedTool",
    "interval_of",
    "make_tools",
]

# Times may come from decimal text: an interval may exceed the video's end by less than any frame distance.
_TIME_SLACK = 1e-6

ToolSpec: TypeAlias = "str | Mapping[str, Any] | Tool"
"""A tool by name, by `"module:Class"`, as `{"name": ..., **options}`, or as an object."""

TOOLS: Registry[Tool] = Registry("tool", "vzgym.tools")
TOOLS.register("subtitles", "vzgym.tools.subtitles:SubtitleSearch")
TOOLS.register("find_frames", "vzgym.tools.find_frames:FindFrames")
TOOLS.register("frame", "vzgym.tools.frame:ShowFrame")


def make_tools(specs: ToolSpec | Sequence[ToolSpec] | None) -> tuple[Tool, ...]:
    """Create the tools of an environment.

    Args:
        specs: One tool or several; None for no tools.

    Raises:
        UnknownName: If a name is not registered.
        PluginError: If a tool cannot be imported.
        InvalidSetting: If a tool is invalid, has no such option, or two have the same name.
        DependencyNotInstalled: If a tool needs a missing package.
    """
    if specs is None:
        return ()
    several = specs if isinstance(specs, Sequence) and not isinstance(specs, str) else [specs]
    return tuple(checked_tools([TOOLS.make(spec) for spec in several]).values())


class Arguments(BaseModel):
    """Base class of a tool's arguments: strict about types, without unknown names.

    `Field(description=...)`, or in a module a docstring below a field, describes it for the agent. A field that is None
    by default may be left out.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


A = TypeVar("A", bound=Arguments)


class TypedTool(OptionsByName, ABC, Generic[A]):
    """Base class of tools whose arguments are a pydantic model: it gives the JSON schema and validates each call.

    A subclass sets `name`, `description` and `arguments`, and implements `execute`. If its constructor takes options,
    it overrides `options` to name them. Options may follow the name: `"frame:max_pixels=200000"`.
    """

    name: str
    """The tool's name for the agent."""

    description: str
    """What it does, in one or two sentences for the agent."""

    arguments: ClassVar[type[Arguments]]
    """The model of its arguments."""

    @property
    def parameters(self) -> dict[str, Any]:
        """JSON schema of the arguments."""
        schema = _plain(self.arguments.model_json_schema())
        return {"type": "object", "properties": schema.get("properties", {}), "required": schema.get("required", [])}

    @property
    def options(self) -> Mapping[str, Any]:
        """The constructor's arguments by name, as JSON values."""
        return {}

    @property
    def spec(self) -> Mapping[str, Any]:
        """`{"name": ..., **options}`, from which the tool can be rebuilt; `"module:Class"` if it is not registered."""
        kind = type(self)
        registered = self.name in TOOLS and TOOLS.get(self.name) is kind
        return {"name": self.name if registered else f"{kind.__module__}:{kind.__qualname__}", **self.options}

    def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Validate the arguments and execute the call.

        Raises:
            ToolArgumentError: If they do not fit the schema.
        """
        try:
            arguments: Any = self.arguments.model_validate(dict(call.arguments))
        except ValidationError as error:
            faults = "; ".join(map(self._fault, error.errors(include_url=False)))
            raise ToolArgumentError(f"wrong arguments of {self.name}: {faults}.") from error
        return self.execute(arguments, context)

    @abstractmethod
    def execute(self, arguments: A, context: ToolContext) -> ToolResult:
        """Execute a call with valid arguments; errors as `Tool.run`."""

    def _fault(self, error: ErrorDetails) -> str:
        """One fault in the arguments, for the agent."""
        name = ".".join(map(str, error["loc"]))
        known = ", ".join(self.arguments.model_fields)
        match error["type"]:
            case "missing":
                return f"{name!r} is missing"
            case "extra_forbidden":
                return f"there is no argument {name!r:.100} (there are: {known or 'none'})"
        shown = repr(error["input"])
        value = shown if len(shown) <= 60 else f"{shown[:60]}..."
        return f"{name!r}: {error['msg'][:1].lower()}{error['msg'][1:]}, got {value}" if name else error["msg"]


def interval_of(start: float | None, end: float | None, duration: float) -> Interval:
    """The interval that optional arguments name, by default the whole video.

    Raises:
        ToolArgumentError: If it is reversed or not inside the video.
    """
    first, last = 0.0 if start is None else start, duration if end is None else end
    if last <= first:
        raise ToolArgumentError(f"the end ({number(last)} s) must be greater than the start ({number(first)} s).")
    if first < 0 or last > duration + _TIME_SLACK:
        raise ToolArgumentError(
            f"[{number(first)}, {number(last)}] s is not inside the video, which lasts from 0 to {seconds(duration)} s."
        )
    return Interval(first, min(last, duration))


def check_positive(tool: str, **values: float) -> None:
    """Raise `InvalidSetting` for an option of a tool that is not a number > 0."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            raise InvalidSetting(f"{name} of tool {tool!r} must be a number > 0, got {value!r}")


def check_count(tool: str, **values: int) -> None:
    """Raise `InvalidSetting` for an option of a tool that is not an integer >= 1."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidSetting(f"{name} of tool {tool!r} must be an integer >= 1, got {value!r}")


def _plain(schema: Any) -> Any:
    """A schema without titles, and without null for what may be left out."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _plain(value) for key, value in schema.items() if key != "title" or isinstance(value, dict)}
    kinds = [kind for kind in found.get("anyOf", ()) if kind != {"type": "null"}]
    if "anyOf" in found and len(kinds) == 1 and len(found["anyOf"]) == 2:
        del found["anyOf"]
        found = {**kinds[0], **{key: value for key, value in found.items() if (key, value) != ("default", None)}}
    return found
