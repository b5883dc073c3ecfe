"""A policy on a server: `transformers serve` with a small model, on loopback."""

from __future__ import annotations

import json
import logging
import re
import socket

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from vzgym.agents.data.dataset import load_trajectories
from vzgym.agents.data.teaching import HINT
from vzgym.agents.served.policy import ServedPolicy
from vzgym.agents.vlm.policy import VLMPolicy
from vzgym.cli.collect import collect_command
from vzgym.cli.evaluate import evaluate_command
from vzgym.core.endpoint import DEFAULT_KEY, Endpoint
from vzgym.core.errors import EndpointError, InvalidSetting, PluginError
from vzgym.episode import Episode
from vzgym.evaluation import evaluate, read_records
from vzgym.policies.policy import POLICIES, TextPolicy
from vzgym.tasks import load_tasks
from vzgym.video.images import ImageEncoder, encode_image

SECRET = "sk-a-secret-that-nobody-may-see"
DEAD = "http://127.0.0.1:9/v1"


@pytest.fixture(scope="module")
def tasks():
    return load_tasks("needle-micro/test")


def options(model, url, **more):
    """As the fluent model has learnt to speak."""
    usual = {"protocol": "compact_tags", "tool_role": "tool", "turn_tokens": 40, "image_format": "png"}
    return {"name": "served", "model": str(model), "url": url, **usual, **more}


def texts(record):
    return [turn.text for turn in record.turns]


def completion(message):
    """What a server answers that does not count tokens."""
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


# Playing ------------------------------------------------------------------------------------------------------------


def test_a_served_model_says_what_the_same_model_says_here(fluent_model, server, tasks):
    there: list = []
    here: list = []
    report = evaluate(options(fluent_model, server), tasks, episodes=5, on_episode=there.append)
    alone = evaluate(VLMPolicy(fluent_model, turn_tokens=40), tasks, episodes=5, on_episode=here.append)
    assert [texts(record) for record in there] == [texts(record) for record in here]
    assert report.accuracy == alone.accuracy
    # It was no empty talk: zooms were made, and their frames read.
    assert sum(record.zooms for record in there) >= 4
    assert report.accuracy.value >= 0.6


def test_frames_next_to_each_other_are_read_there_as_here(fluent_model, server, tasks):
    """The prompts of benchmarks have no text between frames."""
    there: list = []
    here: list = []
    direct = {"protocol": {"name": "direct", "style": "direct"}, "turn_tokens": 4}
    settings = {"budget": {"max_zooms": 0}, "episodes": 2}
    evaluate(options(fluent_model, server, **direct), tasks, **settings, on_episode=there.append)
    evaluate(VLMPolicy(fluent_model, **direct), tasks, **settings, on_episode=here.append)
    assert [texts(record) for record in there] == [texts(record) for record in here]
    assert len(there) == 2


def test_jpeg_is_close_enough_to_answer_by(fluent_model, server, tasks):
    report = evaluate(options(fluent_model, server, image_format="jpeg", quality=95), tasks, episodes=4)
    assert report.accuracy.value >= 0.75


def test_what_it_costs_reaches_records_and_report(fluent_model, server, tasks, tmp_path):
    spec = options(fluent_model, server, price_in=1.0, price_out=4.0)
    report = evaluate(spec, tasks, episodes=3, out=tmp_path)
    records = list(read_records(tmp_path))
    for record in records:
        spent = record.info.costs
        assert spent["requests"] == len(record.turns)
        assert spent["retries"] == 0
        # Each turn sends all frames so far.
        sent = [sum(len(clip) for clip in record.upto(turn).clips) for turn in range(len(record.turns))]
        assert spent["images"] == sum(sent)
        assert spent["image_bytes"] > 50 * spent["images"]
        # One token a frame, and the words.
        assert spent["input_tokens"] > spent["images"]
        assert spent["price"] == pytest.approx((spent["input_tokens"] + 4 * spent["output_tokens"]) / 1e6)
    for name in ("requests", "input_tokens", "output_tokens", "price"):
        assert report.totals[name] == pytest.approx(sum(record.info.costs[name] for record in records))
        assert report.summary[name].n == 3
    assert json.loads((tmp_path / "report.json").read_text())["totals"]["requests"] == report.totals["requests"]
    assert "requests" not in evaluate("blind", tasks, episodes=1).totals


def test_samples_differ_by_their_seeds(fluent_model, gate, tasks):
    policy = POLICIES.make(options(fluent_model, gate.url, temperature=1.0, turn_tokens=4, check_images=False))
    episode = Episode(tasks[0], tasks.budget, policy.protocol)
    for seeds in ([1, 2], [1, 2], [3, 4]):
        policy.reset(seeds)
        policy.respond([episode.messages] * 2)
    sent = [{body["seed"] for body in gate.seen[i : i + 2]} for i in (0, 2, 4)]
    assert sent[0] == sent[1] != sent[2]
    assert len(sent[0]) == 2


def test_requests_under_way_are_bounded(fluent_model, gate, tasks):
    policy = POLICIES.make(options(fluent_model, gate.url, concurrency=2, turn_tokens=4))
    episodes = [Episode(tasks[i], tasks.budget, policy.protocol) for i in range(5)]
    assert len(policy.respond([episode.messages for episode in episodes])) == 5
    assert gate.busiest == 2


def test_native_calls_go_through_the_server_s_tools(calling_model, serve, gate, tasks):
    protocol = {"name": "tool_calls", "think": "none", "instructions": False, "structured": True}
    there: list = []
    here: list = []
    with serve(calling_model) as url:
        gate.server_url = url
        spec = options(calling_model, gate.url, protocol=protocol, turn_tokens=120)
        evaluate(spec, tasks, episodes=1, on_episode=there.append)
    evaluate(VLMPolicy(calling_model, turn_tokens=120), tasks, episodes=1, on_episode=here.append)
    assert texts(there[0]) == texts(here[0])
    assert (there[0].zooms, there[0].grade.is_correct) == (1, True)
    assert all(turn.well_formed for turn in there[0].turns)
    # After the two requests of the check for pictures: the zoom is offered, and called; frames come back to the call.
    first, second = gate.seen[2:]
    assert first["tools"][0]["function"]["parameters"]["properties"]["fps"]["maximum"] == tasks.budget.max_fps
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "tool"]
    call = second["messages"][1]["tool_calls"][0]
    assert call["function"]["name"] == "video_zoom"
    assert second["messages"][2]["tool_call_id"] == call["id"]
    # Servers that take no pictures from tools get them in a message of their own.
    policy = POLICIES.make({**spec, "tool_role": "user"})
    with pytest.raises(InvalidSetting, match="prepare"):
        policy.respond([there[0].messages])
    policy.prepare(tasks.budget)
    apart = policy._chat(there[0].messages)
    assert [message["role"] for message in apart] == ["user", "assistant", "tool", "user", "assistant"]
    assert isinstance(apart[2]["content"], str)
    assert sum(block["type"] == "image_url" for block in apart[3]["content"]) == len(there[0].clips[1])


def test_the_command_plays_it_and_says_what_it_cost(fluent_model, server, tmp_path):
    app = typer.Typer()
    app.command("eval")(evaluate_command)
    spec = json.dumps(options(fluent_model, server, price_in=1))
    command = ["--policy", spec, "--tasks", "needle-micro/test", "--episodes", "2", "--out", str(tmp_path)]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    assert re.search(r"\d requests \(0 sent again\), [\d,]+ tokens read, \d+ written, price 0.0\d+", first.output)
    again = CliRunner().invoke(app, command)
    assert re.findall(r"\d+ requests.*", again.output) == re.findall(r"\d+ requests.*", first.output)


def test_a_served_teacher_makes_exemplars_and_reflections(fluent_model, server, gate, tmp_path):
    """The fluent model knows four tasks, has the fifth wrong, and mends that when it is told so."""
    app = typer.Typer()
    app.command("collect")(collect_command)
    spec = options(fluent_model, gate.url, temperature=0.0, turn_tokens=120, retries=0, price_in=1.0)
    command = ["--policy", json.dumps(spec), "--mix", "taught=1", "--tasks", "needle-micro/test", "--episodes", "5"]
    command += ["--samples", "1", "--set", "part=2", "--out", str(tmp_path / "data")]
    # The server breaks down after the first part, and comes back at another address.
    gate.refuse = lambda number: (502, {"error": "gone"}) if (tmp_path / "data/parts/00000.json").exists() else None
    broken = CliRunner().invoke(app, command)
    assert isinstance(broken.exception, EndpointError)
    command[1] = json.dumps({**spec, "url": server})
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    rows = load_trajectories(tmp_path / "data", in_blocks=False)
    assert rows["kind"] == ["policy"] * 4 + ["taught"]
    assert all(rows["correct"])
    last = "".join(block.get("text", "") for message in rows[4]["messages"] for block in message["content"])
    assert "The previous tool call was incorrect because it shows another scene." in last
    assert HINT.strip()[:30] not in last
    statistics = json.loads((tmp_path / "data" / "statistics.json").read_text())
    # Two turns of the wrong roll-out, two of its continuation.
    assert statistics["costs"]["requests"] == sum(rows["turns"][:4]) + 4
    assert re.search(r"Served models: \d+ requests .* price", result.output)


# Naming -------------------------------------------------------------------------------------------------------------


def test_a_short_name_will_do(fluent_model, server):
    policy = POLICIES.make(f"served:{fluent_model}@{server}")
    assert isinstance(policy, TextPolicy)
    assert isinstance(policy, ServedPolicy)
    assert (policy.endpoint.model, policy.endpoint.url) == (str(fluent_model), server)
    assert POLICIES.get(f"served:a@{DEAD}") is ServedPolicy
    warmer = POLICIES.make({"name": "served:qwen3:8b@http://localhost:11434/v1/", "temperature": 0.5})
    assert isinstance(warmer, ServedPolicy)
    assert (warmer.endpoint.model, warmer.temperature) == ("qwen3:8b", 0.5)
    assert warmer.endpoint.url == "http://localhost:11434/v1"
    assert SECRET not in repr(warmer)


def test_wrong_names_are_named():
    with pytest.raises(InvalidSetting, match="served:MODEL@URL"):
        POLICIES.make("served:qwen")
    with pytest.raises(InvalidSetting, match="no option 'heat'"):
        POLICIES.make({"name": f"served:m@{DEAD}", "heat": 1})
    with pytest.raises(PluginError):
        POLICIES.make("served_by_me:Policy")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "localhost:8000"}, "url must be like"),
        ({"url": "http://me:pass@host/v1"}, "neither user"),
        ({"url": "https://host/v1?key=abc"}, "neither user, password nor query"),
        ({"model": ""}, "model must be given"),
        ({"concurrency": 0}, "concurrency"),
        ({"retries": -1}, "retries"),
        ({"timeout": 0}, "timeout"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature must be a number, got 'hot'"),
        ({"price_in": None}, "price_in must be a number, got None"),
        ({"turn_tokens": -1}, "turn_tokens"),
        ({"tool_role": "system"}, "tool_role"),
        ({"image_format": "gif"}, "image_format"),
        ({"quality": 0}, "quality"),
        ({"max_pixels": -1}, "max_pixels"),
        ({"detail": "huge"}, "detail"),
        ({"extra": {"messages": []}}, "extra may not set messages"),
    ],
)
def test_bad_settings_are_named(changes, words):
    with pytest.raises(InvalidSetting, match=words) as caught:
        POLICIES.make({**options("m", DEAD), **changes})
    assert "pass@" not in str(caught.value)
    assert "abc" not in str(caught.value)


# Failing ------------------------------------------------------------------------------------------------------------


def test_a_busy_server_is_asked_again_and_that_is_counted(fluent_model, gate, tasks, tmp_path):
    gate.refuse = lambda number: (503, {"error": "busy"}) if number in (1, 2) else None
    spec = options(fluent_model, gate.url, check_images=False, concurrency=1)
    report = evaluate(spec, tasks, episodes=1, out=tmp_path)
    assert report.totals["retries"] == 2
    assert report.accuracy.value == 1.0


def test_a_broken_run_goes_on_where_it_stopped(fluent_model, server, gate, tasks, tmp_path):
    whole = evaluate(options(fluent_model, server, concurrency=2), tasks, episodes=5, out=tmp_path / "whole")
    gate.refuse = lambda number: (500, {"error": {"message": "out of memory"}}) if number > 6 else None
    spec = options(fluent_model, gate.url, concurrency=2, retries=0)
    with pytest.raises(EndpointError, match=r"HTTP 500: out of memory.*server's own log"):
        evaluate(spec, tasks, episodes=5, out=tmp_path / "run")
    kept = list(read_records(tmp_path / "run"))
    assert 2 <= len(kept) < 5
    # Where it is served, and how fast, makes no other run of it.
    again = evaluate(options(fluent_model, server, concurrency=2, timeout=99), tasks, episodes=5, out=tmp_path / "run")
    assert again.accuracy == whole.accuracy
    runs = [[texts(record) for record in read_records(tmp_path / name)] for name in ("run", "whole")]
    assert runs[0] == runs[1]
    with pytest.raises(InvalidSetting, match=r"its options\.turn_tokens is"):
        evaluate(options(fluent_model, server, turn_tokens=9), tasks, episodes=5, out=tmp_path / "run")


def test_errors_say_what_to_do(fluent_model, server, gate, tasks):
    def error_of(**changes):
        with pytest.raises(EndpointError) as caught:
            evaluate(options(fluent_model, server, check_images=False, retries=0) | changes, tasks, episodes=1)
        return caught.value

    other = error_of(model="other")
    assert other.status == 400
    assert "pinned to" in str(other)
    assert server in str(other)
    assert "'other'" in str(other)
    lost = error_of(url=server.replace("/v1", "/v2"))
    assert lost.status == 404
    assert "/v1" in lost.advice
    away = error_of(url=DEAD, retries=1)
    assert "no connection" in str(away)
    assert "2 tries" in str(away)
    assert "Is it running" in str(away)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        late = error_of(url=f"http://127.0.0.1:{silent.getsockname()[1]}/v1", timeout=0.2)
    assert "no answer in time" in str(late)
    assert "Raise timeout" in str(late)
    gate.refuse = lambda number: (200, {"error": {"message": "quota"}})
    assert "quota (inside an HTTP 200 response)" in str(error_of(url=gate.url))
    unknown = error_of(extra={"top_q": 1})
    assert unknown.status == 422
    assert "top_q" in str(unknown)


def test_a_server_that_drops_pictures_is_found(fluent_model, gate, tasks):
    def without_images(request):
        """As servers of models without vision do."""
        for message in request["messages"]:
            if not isinstance(message["content"], str):
                message["content"] = [block for block in message["content"] if block["type"] != "image_url"]
        return request

    gate.change = without_images
    with pytest.raises(InvalidSetting, match="drops images, so the model would not see any frame"):
        evaluate(options(fluent_model, gate.url), tasks, episodes=1)
    gate.refuse = lambda number: (200, completion({"role": "assistant", "content": "hm"}))
    with pytest.raises(InvalidSetting, match="does not count tokens"):
        evaluate(options(fluent_model, gate.url), tasks, episodes=1)


# Keys ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["", "MY_SERVERS_KEY"])
def test_a_key_goes_to_the_server_and_nowhere_else(
    fluent_model, gate, tasks, tmp_path, monkeypatch, caplog, capfd, variable
):
    monkeypatch.setenv(variable or DEFAULT_KEY, SECRET)
    monkeypatch.setenv("OPENAI_API_KEY", "another secret")
    caplog.set_level(logging.DEBUG)
    spec = options(fluent_model, gate.url, key_variable=variable, turn_tokens=4, retries=0)
    evaluate(spec, tasks, episodes=1, out=tmp_path)
    assert set(gate.keys) == {f"Bearer {SECRET}"}
    gate.refuse = lambda number: (401, {"error": {"message": f"Incorrect API key provided: {SECRET}."}})
    with pytest.raises(EndpointError, match=r"provided: \*\*\*.*VZGYM_API_KEY") as caught:
        evaluate(spec, tasks, episodes=2, out=tmp_path)
    written = "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())
    policy = POLICIES.make(spec)
    shown = caplog.text + "".join(capfd.readouterr()) + repr(policy) + repr(policy.endpoint) + repr(policy.identity)
    # Not in what a traceback would print either.
    assert caught.value.__suppress_context__
    assert SECRET not in written + shown + str(caught.value) + repr(caught.value)


def test_without_a_key_none_is_sent(fluent_model, gate, tasks, monkeypatch):
    monkeypatch.delenv(DEFAULT_KEY, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    evaluate(options(fluent_model, gate.url, turn_tokens=4), tasks, episodes=1)
    assert set(gate.keys) == {"Bearer none"}


@pytest.mark.parametrize("given", [SECRET, "NO_SUCH_VARIABLE_IS_SET", "AKeyWithoutDashes123"])
def test_a_key_given_as_a_variable_s_name_is_not_repeated(given):
    with pytest.raises(InvalidSetting, match="never a key itself") as caught:
        Endpoint(DEAD, "m", key_variable=given)
    assert given not in str(caught.value)


# Images ---------------------------------------------------------------------------------------------------------------


def test_pictures_are_sent_in_their_places_and_sizes(tasks):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 100, 3), dtype=np.uint8))
    chat = [
        {"role": "system", "content": [{"type": "text", "text": "rules"}]},
        {"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": "at 1 s"}]},
    ]
    sent = ImageEncoder("jpeg", 80, max_pixels=1500, detail="low").in_chat(chat)
    assert sent[0] == {"role": "system", "content": "rules"}
    picture, text = sent[1]["content"]
    assert text == {"type": "text", "text": "at 1 s"}
    assert picture["image_url"]["detail"] == "low"
    import base64
    import io

    kind, data = picture["image_url"]["url"].split(",")
    assert kind == "data:image/jpeg;base64"
    shown = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (shown.format, shown.size) == ("JPEG", (50, 30))
    assert ImageEncoder().measure(sent) == (1, len(base64.b64decode(data)))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_image(image, "png")))), np.asarray(image))


def test_reasoning_that_a_server_keeps_apart_is_the_thought_again(fluent_model, gate, tasks):
    policy = POLICIES.make(options(fluent_model, gate.url, check_images=False))
    episode = Episode(tasks[0], tasks.budget, policy.protocol)
    message = {"role": "assistant", "content": "<answer>red</answer>", "reasoning_content": "It is red."}
    gate.refuse = lambda number: (200, completion(message))
    assert policy.respond([episode.messages]) == ["<think>It is red.</think>\n<answer>red</answer>"]
    assert policy.protocol.parse(policy.respond([episode.messages])[0]).well_formed
    assert policy.costs == [{"requests": 1, "retries": 0, "images": 8, "image_bytes": policy.costs[0]["image_bytes"]}]
