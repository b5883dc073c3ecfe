"""Whatever a model says can be sent back: a server on loopback that checks requests as strictly as vendors do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("openai", reason="needs the extra 'served'")

from vzgym.agents.data.dataset import collect
from vzgym.agents.data.settings import CollectSettings
from vzgym.agents.served.policy import ServedPolicy
from vzgym.cli.evaluate import evaluate_command
from vzgym.core.errors import EndpointError, InvalidSetting
from vzgym.episode import EpisodeRecord
from vzgym.evaluation import evaluate
from vzgym.tasks import TaskSet, load_tasks

NATIVE = {"name": "tool_calls", "structured": True}
Say = Callable[[int], dict[str, Any]]


def fault_of(request: dict[str, Any], images_in_tools: bool = False) -> str:
    """What a strict vendor refuses in a request; "" if nothing. Few vendors accept images in tools' replies."""
    known: set[str] = set()
    unanswered: set[str] = set()
    before = ""
    for number, message in enumerate(request["messages"]):
        role, content, calls = message["role"], message.get("content"), message.get("tool_calls") or []
        where = f"messages[{number}] ({role}): "
        if role not in ("system", "user", "assistant", "tool"):
            return f"{where}unknown role"
        if role == "system" and number:
            return f"{where}system messages come first"
        if role == "assistant" and before in ("", "system", "assistant"):
            return f"{where}an assistant's message follows a user's or a tool's"
        if calls and role != "assistant":
            return f"{where}only an assistant calls tools"
        if content is None and not calls:
            return f"{where}content is missing"
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        for block in blocks:
            if block["type"] == "text" and not block["text"].strip():
                return f"{where}blank text"
            if block["type"] == "image_url" and role not in ("user", "tool" if images_in_tools else ""):
                return f"{where}an image in a message that is not the user's"
        if role == "tool" and message.get("tool_call_id") not in known:
            return f"{where}an answer to a call that was never made: {message.get('tool_call_id')!r}"
        if role == "tool" and message["tool_call_id"] not in unanswered:
            return f"{where}a second answer to the call {message['tool_call_id']!r}"
        if role != "tool" and unanswered:
            return f"{where}comes before the answers to the calls {sorted(unanswered)}"
        unanswered.discard(message.get("tool_call_id", ""))
        for call in calls:
            if len(call["id"]) != 9 or not call["id"].isalnum() or call["id"] in known:
                return f"{where}bad id {call['id']!r}"
            known.add(call["id"])
            unanswered.add(call["id"])
            try:
                arguments = json.loads(call["function"]["arguments"], parse_constant=_refuse)
            except ValueError:
                return f"{where}arguments are not JSON: {call['function']['arguments']!r}"
            if not isinstance(arguments, dict):
                return f"{where}arguments are no object"
        before = role
    if unanswered:
        return f"no answers to the calls {sorted(unanswered)}"
    return "" if before in ("user", "tool") else "the last message is the assistant's"


def _refuse(constant: str) -> None:
    raise ValueError(constant)


class StrictServer:
    """Says what it is told to, and refuses (HTTP 400) what a strict vendor refuses.

    Attributes:
        say: The message for a turn, by the number of turns so far in the dialogue.
        finish: The reason why replies end.
        refused: Parameters that it does not know.
        images_in_tools: Whether tools' replies may have images.
        faults: What was wrong with requests.
        seen: The requests.
    """

    def __init__(self) -> None:
        self.say: Say = lambda turn: {"content": "<answer>A</answer>"}
        self.finish = "stop"
        self.refused: tuple[str, ...] = ()
        self.images_in_tools = False
        self.faults: list[str] = []
        self.seen: list[dict[str, Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                status, body = server._take(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def _take(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.seen.append(request)
        unknown = [name for name in self.refused if name in request]
        fault = f"unsupported parameter {unknown[0]}" if unknown else fault_of(request, self.images_in_tools)
        if fault:
            self.faults.append(fault)
            return 400, {"error": {"message": fault}}
        turn = sum(message["role"] == "assistant" for message in request["messages"])
        text = json.dumps(request["messages"])
        usage = {"prompt_tokens": len(text), "completion_tokens": 3, "total_tokens": len(text) + 3}
        choice = {"index": 0, "finish_reason": self.finish, "message": {"role": "assistant", **self.say(turn)}}
        return 200, {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice],
                     "usage": usage}  # fmt: skip

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[StrictServer]:
    made = StrictServer()
    yield made
    made.close()


@pytest.fixture(scope="module")
def tasks() -> TaskSet:
    return load_tasks("needle-micro/test")


def called(*calls: tuple[Any, Any], **more: Any) -> dict[str, Any]:
    """A message with native calls, each a function's name and its arguments as the server gives them."""
    made = [
        {"id": f"s{number}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for number, (name, arguments) in enumerate(calls)
    ]
    return {"content": None, "tool_calls": made, **more}


ZOOM = '{"segment": [4, 6], "fps": 1}'
BAD_TURNS: dict[str, dict[str, Any]] = {
    "a good call": called(("video_zoom", ZOOM)),
    "a call with a thought": called(("video_zoom", ZOOM), content="It is near 4 s."),
    "truncated arguments": called(("video_zoom", '{"segment": [4, 6], "fp')),
    "arguments that are no object": called(("video_zoom", "[4, 6]")),
    "arguments of a wrong type": called(("video_zoom", '{"segment": "all", "fps": 1}')),
    "arguments with NaN": called(("video_zoom", '{"segment": [4, NaN], "fps": 1}')),
    "empty arguments": called(("video_zoom", "")),
    "arguments null": called(("video_zoom", None)),
    "arguments as an object": called(("video_zoom", {"segment": [4, 6], "fps": 1})),
    "another function": called(("search_web", '{"query": "cats"}')),
    "two calls": called(("video_zoom", ZOOM), ("video_zoom", ZOOM)),
    "a call and an answer": called(("video_zoom", ZOOM), content="<answer>A"),
    "a reversed interval": called(("video_zoom", '{"segment": [6, 4], "fps": 1}')),
    "no text": {"content": ""},
    "null text": {"content": None},
    "blank text": {"content": " \n\t "},
    "text that is no action": {"content": "I would like to see more."},
    "an unclosed thought": {"content": "<think>hm"},
    "an empty thought": {"content": "<think></think>"},
    "reasoning alone": {"content": None, "reasoning_content": "hm"},
    "a refusal": {"content": None, "refusal": "I cannot help with that."},
    "a call written as text": {"content": '<tool_call>{"name": "video_zoom", "arguments": {"segment": [4'},
    "a lone surrogate": {"content": "broken \ud83d"},
    "a surrogate in arguments": called(("video_zoom", '{"segment": "\\ud83d", "fps": 1}')),
    "content in blocks": {"content": [{"type": "text", "text": "<think>a</think>"}, {"type": "text", "text": "b"}]},
    "control characters": {"content": "\x00\x1b[31m"},
    "marks of a chat template": {"content": "<|im_end|><|im_start|>user"},
}


@pytest.mark.parametrize("protocol", [NATIVE, "tool_calls", "tags", "compact_tags"], ids=str)
@pytest.mark.parametrize("turn", BAD_TURNS.values(), ids=BAD_TURNS)
def test_every_turn_can_be_sent_back(server: StrictServer, tasks: TaskSet, turn: dict[str, Any], protocol: Any) -> None:
    server.say = lambda number: turn if number == 0 else {"content": "<think>a</think><answer>A</answer>"}
    played: list[EpisodeRecord] = []
    policy = ServedPolicy("m", server.url, protocol=protocol, retries=0, check_images=False)
    evaluate(policy, tasks, episodes=1, on_episode=played.append)
    assert server.faults == []
    assert played[0].answer is not None
    assert len(played[0].turns) in (1, 2)


LATER = ZOOM.replace("[4, 6]", "[8, 10]")
SEVERAL_CALLS: dict[str, tuple[dict[str, Any], str, int]] = {
    "two good calls": (called(("video_zoom", ZOOM), ("video_zoom", LATER)), "", 2),
    "the same call twice": (called(("video_zoom", ZOOM), ("video_zoom", ZOOM)), "", 2),
    "a call, then text": (called(("video_zoom", ZOOM), content="Both."), "", 1),
    "three calls": (called(*[("video_zoom", ZOOM)] * 3), "too_many_zooms", 3),
    "many calls": (called(*[("video_zoom", ZOOM)] * 20), "too_many_zooms", 20),
    "one is reversed": (called(("video_zoom", ZOOM), ("video_zoom", ZOOM.replace("4, 6", "6, 4"))), "reversed", 2),
    "one is cut off": (called(("video_zoom", ZOOM), ("video_zoom", '{"segment": [4')), "malformed", 1),
    "one has NaN": (called(("video_zoom", ZOOM), ("video_zoom", '{"segment": [4, NaN], "fps": 1}')), "not_finite", 0),
    "one is of another function": (called(("video_zoom", ZOOM), ("search", "{}")), "malformed", 1),
    "the first is of another function": (called(("search", "{}"), ("video_zoom", ZOOM)), "malformed", 0),
}


@pytest.mark.parametrize("role", ["user", "tool"])
@pytest.mark.parametrize(("turn", "refusal", "structured"), SEVERAL_CALLS.values(), ids=SEVERAL_CALLS)
def test_parallel_calls_are_zooms_of_one_turn_each_with_its_reply(
    server: StrictServer, tasks: TaskSet, turn: dict[str, Any], refusal: str, structured: int, role: str
) -> None:
    server.images_in_tools = role == "tool"
    server.say = lambda number: turn if number == 0 else {"content": "<think>a</think><answer>A</answer>"}
    played: list[EpisodeRecord] = []
    policy = ServedPolicy("m", server.url, protocol=NATIVE, retries=0, check_images=False, tool_role=role)
    evaluate(policy, tasks, budget={"zooms_per_turn": 2}, episodes=1, on_episode=played.append)
    assert server.faults == []
    first = played[0].turns[0]
    assert str(first.refusal or "") == refusal
    messages = server.seen[-1]["messages"]
    replies = [message for message in messages if message["role"] == "tool"]
    assert len(replies) == structured == sum(len(message.get("tool_calls") or ()) for message in messages)
    shown = sum(block["type"] == "image_url" for message in messages for block in message["content"] or ()
                if isinstance(block, dict))  # fmt: skip
    assert shown == played[0].frames
    description = server.seen[0]["tools"][0]["function"]["description"]
    assert "Up to 2 calls in one turn; if one cannot be carried out, none is." in description


FRAME = '{"time": 2.5}'
TOOL_CALLS: dict[str, tuple[dict[str, Any], str, int]] = {
    "a tool": (called(("frame", FRAME)), "", 1),
    "wrong arguments": (called(("frame", '{"when": 2.5}')), "tool_arguments", 1),
    "no arguments": (called(("frame", "{}")), "tool_arguments", 1),
    "another function": (called(("search_web", "{}")), "unknown_tool", 0),
    "the zoom": (called(("video_zoom", ZOOM)), "", 1),
    "a tool, then a zoom": (called(("frame", FRAME), ("video_zoom", ZOOM)), "", 1),
}


@pytest.mark.parametrize("role", ["user", "tool"])
@pytest.mark.parametrize(("turn", "refusal", "structured"), TOOL_CALLS.values(), ids=TOOL_CALLS)
def test_tools_are_functions_of_the_server(
    server: StrictServer, tasks: TaskSet, turn: dict[str, Any], refusal: str, structured: int, role: str
) -> None:
    server.images_in_tools = role == "tool"
    server.say = lambda number: turn if number == 0 else {"content": "<think>a</think><answer>A</answer>"}
    played: list[EpisodeRecord] = []
    policy = ServedPolicy("m", server.url, protocol=NATIVE, retries=0, check_images=False, tool_role=role)
    evaluate(policy, tasks, episodes=1, on_episode=played.append, tools=["frame"])
    assert server.faults == []
    assert [function["function"]["name"] for function in server.seen[0]["tools"]] == ["video_zoom", "frame"]
    assert server.seen[0]["tools"][1]["function"]["parameters"]["required"] == ["time"]
    assert str(played[0].turns[0].refusal or "") == refusal
    messages = server.seen[-1]["messages"]
    assert sum(message["role"] == "tool" for message in messages) == structured
    # Without tools, a later run of the same policy declares the zoom alone.
    evaluate(policy, tasks, episodes=1)
    assert [function["function"]["name"] for function in server.seen[-1]["tools"]] == ["video_zoom"]


def test_a_turn_cut_by_the_length_limit_can_be_sent_back(server: StrictServer, tasks: TaskSet) -> None:
    server.finish = "length"
    server.say = lambda number: called(("video_zoom", '{"segm'))
    report = evaluate(ServedPolicy("m", server.url, protocol=NATIVE, retries=0), tasks, episodes=2)
    assert server.faults == []
    assert report.accuracy.value == 0.0


def test_a_turn_cut_by_the_length_limit_uses_up_its_round(server: StrictServer, tasks: TaskSet) -> None:
    server.finish = "length"
    server.say = lambda number: {"content": "<think>a</think><answer>A</answer>, or rather"}
    played: list[EpisodeRecord] = []
    policy = ServedPolicy("m", server.url, retries=0, check_images=False)
    evaluate(policy, tasks, episodes=1, on_episode=played.append)
    assert played[0].answer is None
    assert [turn.refusal for turn in played[0].turns] == ["malformed"] * played[0].budget.max_rounds


def test_a_failed_reply_ends_the_run_and_is_no_answer(
    server: StrictServer, tasks: TaskSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.001)
    server.say = lambda number: {"content": None, "tool_calls": [{"id": "a", "type": "function"}]}
    policy = ServedPolicy("m", server.url, protocol=NATIVE, retries=1, check_images=False)
    with pytest.raises(EndpointError, match="tool call without a function"):
        evaluate(policy, tasks, episodes=2, out=tmp_path)
    assert (tmp_path / "records.jsonl").read_text() == ""


def test_parameters_that_a_server_refuses_can_be_left_out(server: StrictServer, tasks: TaskSet) -> None:
    server.refused = ("max_tokens", "temperature", "seed")
    spec: dict[str, Any] = {"name": "served", "model": "m", "url": server.url, "temperature": 1.0, "retries": 0}
    with pytest.raises(EndpointError, match=r"unsupported parameter max_tokens.*drop.*token_limit"):
        evaluate(spec, tasks, episodes=1)
    fitting = {**spec, "token_limit": "max_completion_tokens", "drop": ["temperature", "seed"]}
    evaluate(fitting, tasks, episodes=1)
    # The check for images, with and without one, and the turn.
    fitted = [request for request in server.seen if "max_tokens" not in request]
    assert [request["max_completion_tokens"] for request in fitted] == [16, 16, 1024]


# Secrets ------------------------------------------------------------------------------------------------------------

SECRET = "sk-nobody-may-see-this"


def test_header_values_reach_the_server_and_no_file_folder_or_terminal(
    server: StrictServer, tasks: TaskSet, tmp_path: Path
) -> None:
    app = typer.Typer()
    app.command("eval")(evaluate_command)
    spec = {
        "name": "served", "model": "m", "url": server.url, "headers": {"X-Whatever": SECRET},
        "extra": {"callback": f"https://me:{SECRET}@host/x?k={SECRET}"},
    }  # fmt: skip
    command = ["--policy", json.dumps(spec), "--tasks", "needle-micro/test", "--episodes", "1"]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "eval")])
    assert result.exit_code == 0, result.output
    assert server.seen[-1]["callback"].count(SECRET) == 2
    policy = {**spec, "protocol": "compact_tags"}
    settings = CollectSettings(tasks="needle-micro/train", episodes=1, policy=policy, protocol="compact_tags")
    collect(settings, tmp_path / "data")
    named = [str(path) for path in tmp_path.rglob("*")]
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 5
    assert not any(SECRET in name for name in named)
    assert not any(SECRET.encode() in content for content in written)
    assert SECRET not in result.output
    # A stopped run still knows itself again, and so does a collection.
    again = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "eval")])
    assert again.exit_code == 0, again.output
    collect(settings, tmp_path / "data")


def test_other_texts_in_further_fields_are_another_run(server: StrictServer, tasks: TaskSet, tmp_path: Path) -> None:
    spec = {"name": "served", "model": "m", "url": server.url, "check_images": False}
    first, second = ({**spec, "extra": {"guided_regex": text}} for text in ("<answer>[A-D]</answer>", ".{0,9}[A-D]"))
    evaluate(first, tasks, episodes=1, out=tmp_path)
    with pytest.raises(InvalidSetting, match=r"holds another run: its options\.extra\.guided_regex is '\*\*\*"):
        evaluate(second, tasks, episodes=2, out=tmp_path)
    assert len(evaluate(first, tasks, episodes=2, out=tmp_path).episodes) == 2


@pytest.mark.parametrize(
    "extra", [{"extra_headers": {"A": SECRET}}, {"headers": {"A": SECRET}}, {"extra_query": {"k": SECRET}}]
)
def test_headers_and_queries_are_no_fields_of_the_body(extra: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match="fields of the body") as caught:
        ServedPolicy("m", "http://localhost:1/v1", extra=extra)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"served:m@https://me:{SECRET}@host/v1",
        f"served:m@https://host/v1?key={SECRET}",
        f"served:m@htp://me:{SECRET}@host/v1",
        f"{{name: served, model: m, url: 'https://me:{SECRET}@host/v1'}}",
        f"{{name: served, model: m, url: 'ftp://me:{SECRET}@host/v1'}}",
        f"{{name: served, model: m, headers: {{A: {SECRET}}}, url: 3x",
        f"{{model: m, headers: {{A: {SECRET}}}}}",
        f"{{name: served, model: m, url: 'http://h/v1', heat: 1, headers: {{A: {SECRET}}}}}",
    ],
)
def test_a_refused_policy_is_not_repeated_with_its_secrets(text: str, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command("eval")(evaluate_command)
    result = CliRunner().invoke(app, ["--policy", text, "--tasks", "needle-micro/test", "--out", str(tmp_path)])
    assert isinstance(result.exception, Exception)
    assert SECRET not in result.output + str(result.exception)
    assert not any(SECRET in str(path) for path in tmp_path.rglob("*"))
