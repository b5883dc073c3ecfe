"""One deliberately broken tool for each way to break the contract."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import pytest

from vzgym.core.errors import VideoError
from vzgym.testing import ToolContract, check, check_tool, kind_of
from vzgym.tools import Arguments, FindFrames, ShowFrame, SubtitleSearch, ToolCall, ToolContext, ToolResult, TypedTool


class LookArguments(Arguments):
    time: float
    """When, in seconds."""


class Look(TypedTool[LookArguments]):
    """Keeps the contract."""

    name = "look"
    description = "Shows a frame."
    arguments: ClassVar[type[Arguments]] = LookArguments

    def execute(self, arguments: LookArguments, context: ToolContext) -> ToolResult:
        return ToolResult("Here:", context.look([min(max(arguments.time, 0.0), context.duration)]))


class TestLook(ToolContract):
    def make(self) -> Look:
        return Look()


@pytest.mark.parametrize(
    "make", [Look, ShowFrame, SubtitleSearch, lambda: FindFrames("hash"), lambda: FindFrames("evidence")]
)
def test_good_tools_keep_every_rule(make: Any) -> None:
    report = check_tool(make)
    assert report.ok, report.broken
    assert check("frame").kind == "tool"
    assert kind_of(Look) == kind_of(Look()) == "tool"


class Reserved(Look):
    name = "video_zoom"


class Undescribed(Look):
    @property
    def parameters(self) -> dict[str, Any]:
        return {"type": "object", "properties": {"time": {"type": "number"}}, "required": ["time", "place"]}


class Returns(Look):
    def execute(self, arguments: LookArguments, context: ToolContext) -> Any:
        return "a text"


class TakesAnything(Look):
    def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        return ToolResult("Here:", context.look([1.0]))


class Counts(Look):
    numbers = itertools.count()

    def execute(self, arguments: LookArguments, context: ToolContext) -> ToolResult:
        return ToolResult(f"Call {next(self.numbers)}.")


class Changes(Look):
    def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        result = super().run(call, context)
        call.arguments["seen"] = True
        return result


class Swallows(Look):
    def execute(self, arguments: LookArguments, context: ToolContext) -> ToolResult:
        try:
            return super().execute(arguments, context)
        except VideoError:
            return ToolResult("Nothing to see.")


class Forgets(Look):
    def __init__(self, size: int = 3) -> None:
        self.size = size

    @property
    def spec(self) -> dict[str, Any]:
        return {"name": "look", "colour": "red"}


@pytest.mark.parametrize(
    ("tool", "rule", "reason"),
    [
        (Reserved, "has the parts of a tool", "text protocols use that name"),
        (Undescribed, "describes its arguments by a JSON schema", "requires place"),
        (Returns, "returns text and frames within the budget", "must return a ToolResult"),
        (TakesAnything, "refuses wrong arguments with a reason", "no_such_argument.*are accepted"),
        (Counts, "the same call gives the same result", "another result the second time"),
        (Changes, "leaves the call unchanged", "changes the call's arguments"),
        (Swallows, "an unreadable video is an error", "let the VideoError pass"),
        (Forgets, "can be rebuilt from its spec", "has no option 'colour'"),
    ],
)
def test_each_violation_is_named(tool: Any, rule: str, reason: str) -> None:
    found = {result.rule: result.detail for result in check_tool(tool).broken}
    assert rule in found, found
    import re

    assert re.search(reason, found[rule]), found[rule]
