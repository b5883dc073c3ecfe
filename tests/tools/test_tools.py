"""The registry of tools, and the typed base class."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from pydantic import Field

from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.tools import TOOLS, Arguments, ToolArgumentError, ToolCall, ToolContext, ToolResult, TypedTool, make_tools


class EchoArguments(Arguments):
    text: str
    """What to repeat."""

    times: int = Field(1, ge=1, le=3)
    """How often."""

    share: float | None = None


class Echo(TypedTool[EchoArguments]):
    name = "echo"
    description = "Repeats a text."
    arguments: ClassVar[type[Arguments]] = EchoArguments

    def execute(self, arguments: EchoArguments, context: ToolContext) -> ToolResult:
        return ToolResult(" ".join([arguments.text] * arguments.times))


def test_the_schema_describes_the_arguments_without_pydantics_own_additions() -> None:
    assert Echo().parameters == {
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "What to repeat."},
            "times": {"type": "integer", "default": 1, "minimum": 1, "maximum": 3, "description": "How often."},
            "share": {"type": "number"},
        },
        "required": ["text"],
    }


def test_valid_arguments_are_executed(context: ToolContext) -> None:
    assert Echo().run(ToolCall("echo", {"text": "a", "times": 2}), context).text == "a a"
    assert Echo().run(ToolCall("echo", {"text": "a", "share": 1}), context).text == "a"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "'text' is missing"),
        ({"text": 5}, "'text': input should be a valid string, got 5"),
        ({"text": "a", "times": 9}, "'times': input should be less than or equal to 3, got 9"),
        ({"text": "a", "times": "2"}, "'times': .*valid integer"),
        ({"text": "a", "share": 10**400}, "'share'"),
        ({"text": "a", "share": float("nan")}, "'share'"),
        ({"text": "a", "volume": 3}, r"there is no argument 'volume' \(there are: text, times, share\)"),
        ({"text": None, "times": 0}, "'text'.*; 'times'"),
    ],
)
def test_wrong_arguments_are_named(context: ToolContext, arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(ToolArgumentError, match=f"^wrong arguments of echo: .*{reason}"):
        Echo().run(ToolCall("echo", arguments), context)


def test_tools_are_made_by_name_mapping_class_and_object() -> None:
    echo = Echo()
    made = make_tools(["frame", {"name": "subtitles", "results": 2}, echo, "tests.tools.test_tools:Other"])
    assert [tool.name for tool in made] == ["frame", "subtitles", "echo", "other"]
    assert made[2] is echo
    assert make_tools("frame")[0].spec == {"name": "frame"}
    assert make_tools(None) == make_tools([]) == ()
    for tool in (*made[:2], *make_tools({"name": "find_frames", "scorer": {"name": "evidence", "noise": 0.5}})):
        assert TOOLS.make(dict(tool.spec)).spec == tool.spec


class Other(Echo):
    name = "other"


def test_invalid_tools_are_refused() -> None:
    with pytest.raises(UnknownName, match="unknown tool 'sound'; valid: find_frames, frame, subtitles"):
        make_tools("sound")
    with pytest.raises(InvalidSetting, match="has no option 'size'"):
        make_tools({"name": "frame", "size": 3})
    with pytest.raises(InvalidSetting, match="two tools named 'frame'"):
        make_tools(["frame", {"name": "frame", "max_pixels": 400}])
    for spec, reason in (
        ({"name": "frame", "max_pixels": 0}, "max_pixels of tool 'frame'"),
        ({"name": "subtitles", "results": 0}, "results of tool 'subtitles'"),
        ({"name": "find_frames", "scorer": "hash", "fps": 0}, "fps of tool 'find_frames'"),
        ({"name": "find_frames", "scorer": "hash", "results": 1.5}, "results of tool 'find_frames'"),
    ):
        with pytest.raises(InvalidSetting, match=reason):
            make_tools(spec)
