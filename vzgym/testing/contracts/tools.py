"""The contract of tools."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from vzgym.core.actions import ToolCall
from vzgym.core.errors import InvalidSetting, PluginError, TaskError, ToolArgumentError, VideoError
from vzgym.core.registry import import_object
from vzgym.episode.tools import Tool, ToolContext, ToolResult, checked_result, checked_tools
from vzgym.tasks import Subtitle
from vzgym.testing import scenes
from vzgym.testing.report import ConformanceReport, ContractViolation, NotApplicable, Rule, apply_rules, name_of, need
from vzgym.tools.base import TOOLS
from vzgym.video.base import Frames, Video

__all__ = ["TOOL_RULES", "check_tool"]

_NO_SUCH = "no_such_argument"
_LINES = ((1.0, 2.5, "A red car waits."), (4.0, 6.0, "The blue car leaves first."), (8.0, 9.0, "The red one follows."))


def _contexts(tool: Tool) -> Iterator[ToolContext]:
    """What a tool may know of each of the checks' tasks; a privileged one knows the evidence too."""
    for task in scenes.tasks():
        budget = replace(scenes.BUDGETS[0], clip_frames=3)
        told = replace(task, subtitles=tuple(Subtitle(*line) for line in _LINES))
        context = ToolContext.of(told, task.video.duration, budget)
        yield replace(context, evidence=task.evidence) if getattr(tool, "privileged", False) else context


def _shape(tool: Tool) -> None:
    try:
        checked_tools([tool])
    except InvalidSetting as error:
        raise ContractViolation(str(error)) from error


def _schema(tool: Tool) -> None:
    schema = tool.parameters
    need(
        schema.get("type") == "object" and isinstance(schema.get("properties"), Mapping),
        f'parameters must be a JSON schema {{"type": "object", "properties": {{...}}}}, got {schema!r:.200}',
    )
    unknown = sorted(set(schema.get("required", ())) - set(schema["properties"]))
    need(not unknown, f"the schema requires {', '.join(unknown)}, which it does not describe: add them to properties")
    bare = [
        name for name, part in schema["properties"].items() if not (isinstance(part, Mapping) and "description" in part)
    ]
    need(not bare, f"{', '.join(bare)}: give each argument a description, from which the agent learns to use it")


def _sample(schema: Mapping[str, Any], context: ToolContext) -> Any:
    """A value that fits a simple schema."""
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return _sample(schema["anyOf"][0], context)
    least, most = schema.get("minimum", 1), schema.get("maximum", context.duration)
    samples: dict[str, Callable[[], Any]] = {
        "string": lambda: "red car",
        "boolean": lambda: True,
        "integer": lambda: max(int(least), min(1, int(most))),
        "number": lambda: float(max(least, min(1.0, most))),
        "array": lambda: [_sample(schema.get("items", {}), context)] * max(1, int(schema.get("minItems", 1))),
        "object": lambda: {name: _sample(part, context) for name, part in schema.get("properties", {}).items()},
    }
    return samples.get(str(schema.get("type")), lambda: None)()


def _calls(tool: Tool, context: ToolContext) -> list[ToolCall]:
    """Calls with arguments that fit the schema: the required ones, each further one, and none."""
    properties, required = tool.parameters["properties"], list(tool.parameters.get("required", ()))
    base = {name: _sample(properties[name], context) for name in required}
    further = [{**base, name: _sample(part, context)} for name, part in properties.items() if name not in required]
    return [ToolCall(tool.name, arguments) for arguments in [base, *further]]


def _results(tool: Tool) -> list[tuple[ToolCall, ToolContext, ToolResult]]:
    """The results of all sample calls that the tool accepts.

    Raises:
        NotApplicable: If it accepts none.
    """
    found = []
    for context in _contexts(tool):
        for call in _calls(tool, context):
            try:
                found.append((call, context, tool.run(call, context)))
            except ToolArgumentError:
                continue
    if not found:
        raise NotApplicable("it refuses every call that the checks can make from its schema")
    return found


def _returns(tool: Tool) -> None:
    for call, context, result in _results(tool):
        try:
            checked_result(result, tool.name, context.budget)
        except InvalidSetting as error:
            raise ContractViolation(f"{dict(call.arguments)}: {error}") from error


def _wrong(tool: Tool) -> None:
    context = next(_contexts(tool))
    base = dict(_calls(tool, context)[0].arguments)
    properties = tool.parameters["properties"]
    wrong = [{**base, _NO_SUCH: 1}]
    wrong += [
        {key: value for key, value in base.items() if key != name} for name in tool.parameters.get("required", ())
    ]
    wrong += [{**base, name: {"a": [None]}} for name, part in properties.items() if part.get("type") != "object"]
    for arguments in wrong:
        try:
            result = tool.run(ToolCall(tool.name, arguments), context)
        except ToolArgumentError as error:
            need(str(error).strip(), f"{arguments}: the ToolArgumentError has no message: say what would be right")
            continue
        raise ContractViolation(
            f"the arguments {arguments} are accepted ({result!r:.80}): raise ToolArgumentError for arguments that do "
            "not fit the schema, as vzgym.tools.TypedTool does"
        )


def _same(tool: Tool) -> None:
    for call, context, result in _results(tool):
        again = tool.run(call, context)
        clips = [
            None if item.clip is None else (item.clip.times.tolist(), item.clip.hashes) for item in (result, again)
        ]
        need(
            result.text == again.text and clips[0] == clips[1],
            f"the call {dict(call.arguments)} has another result the second time: a replay needs the same; seed what "
            "is random from the call",
        )


def _harmless(tool: Tool) -> None:
    context = next(_contexts(tool))
    for call in _calls(tool, context):
        before = copy.deepcopy(dict(call.arguments))
        try:
            tool.run(call, context)
        except ToolArgumentError:
            continue
        need(before == dict(call.arguments), "run() changes the call's arguments, which are recorded: copy them first")


class _Unreadable:
    """A video whose frames cannot be read."""

    def __init__(self, video: Video) -> None:
        self._video = video
        self.touched = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._video, name)

    def read(self, *args: Any, **options: Any) -> Frames:
        self.touched = True
        raise VideoError("the file is damaged", path=self._video.uri)


def _unreadable(tool: Tool) -> None:
    reads = False
    for call, context, _ in _results(tool):
        video = _Unreadable(context.video)
        try:
            result = tool.run(call, replace(context, video=video))
        except VideoError:
            reads = True
            continue
        need(
            not video.touched,
            f"of an unreadable video it returns {result!r:.80}: let the VideoError pass, so that the episode is "
            "unscored and not a wrong answer",
        )
    if not reads:
        raise NotApplicable("it reads no frames")


def _as_data(tool: Tool) -> None:
    name = tool.spec.get("name")
    need(isinstance(name, str), f'spec must be {{"name": registered name, **options}}, got {dict(tool.spec)!r:.200}')
    kind = type(tool)
    own = f"{kind.__module__}:{kind.__qualname__}"
    if name not in TOOLS:
        try:
            importable = import_object(own) is kind
        except PluginError:
            importable = False
        if not importable:
            raise NotApplicable("it is not registered, and its class cannot be imported by name")
        name = own
    try:
        again = TOOLS.make({**tool.spec, "name": name})
    except (InvalidSetting, TaskError) as error:
        raise ContractViolation(f"it cannot be built again from its spec {dict(tool.spec)}: {error}") from error
    need(
        dict(again.spec) == dict(tool.spec) and again.parameters == tool.parameters,
        f"built again from its spec it is another: {dict(again.spec)}, was {dict(tool.spec)}: name each option in spec",
    )


TOOL_RULES: tuple[Rule[Tool], ...] = (
    Rule("has the parts of a tool", _shape),
    Rule("describes its arguments by a JSON schema", _schema),
    Rule("returns text and frames within the budget", _returns),
    Rule("refuses wrong arguments with a reason", _wrong),
    Rule("the same call gives the same result", _same),
    Rule("leaves the call unchanged", _harmless),
    Rule("an unreadable video is an error", _unreadable),
    Rule("can be rebuilt from its spec", _as_data),
)


def check_tool(make: Callable[[], Tool], subject: str = "") -> ConformanceReport:
    """Check a tool. See `check_observation` for the arguments."""
    return apply_rules("tool", subject or name_of(make), TOOL_RULES, make)
