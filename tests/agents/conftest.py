"""One small, barely trained model for all tests of agents, and a real server; nothing is fetched from a network."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from vzgym.agents.data.collector import Collector
from vzgym.agents.data.dataset import collect
from vzgym.agents.data.phrases import compose
from vzgym.agents.data.settings import CollectSettings
from vzgym.agents.data.teaching import HINT
from vzgym.agents.training.settings import PretrainSettings
from vzgym.core import Answer, Zoom
from vzgym.episode import Episode, Message
from vzgym.episode.dialogue import TextBlock

SMALL = {"width": 32, "layers": 2, "heads": 2, "inner": 48, "vision_width": 16}


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """The folder of a small model after a few steps of perception."""
    from vzgym.agents.training.pretrain import pretrain

    out = tmp_path_factory.mktemp("small") / "warm"
    return pretrain(PretrainSettings(out=str(out), size=SMALL, videos=8, max_steps=4, batch_size=8, log_steps=2))


@pytest.fixture(scope="session")
def trajectories(tmp_path_factory):
    """The folder of a few trajectories for it."""
    out = tmp_path_factory.mktemp("data") / "trajectories"
    mix = {"exemplar": 0.5, "guess": 0.25, "wrong_scene": 0.25}
    settings = CollectSettings(
        tasks="needle-micro/train", episodes=24, mix=mix, protocol="compact_tags", thoughts="short"
    )
    collect(settings, out)
    return out


# A server -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def fluent_model(small_model, by_heart, tmp_path_factory):
    """A model that knows the first tasks of needle-micro/test by heart, in compact tags; the fifth it has wrong."""
    settings = CollectSettings(
        tasks="needle-micro/test", episodes=4, mix="exemplar=1", protocol="compact_tags", thoughts="short"
    )
    folder = tmp_path_factory.mktemp("fluent") / "model"
    return by_heart(small_model, folder, settings, 80, wrong_then_taught(Collector(settings)))


def wrong_then_taught(collector):
    """Two dialogues about the fifth task: a wrong roll-out, and how one goes on from it when told so."""
    task, budget, protocol = collector.tasks[4], collector.budget, collector.protocol
    place = min(90, int(task.evidence[0].start))
    wrong, taught = (Episode(task, budget, protocol) for _ in range(2))

    def say(episode, action, thought):
        episode.step(action, text=compose(protocol, action, thought), well_formed=True)

    for episode in (wrong, taught):
        say(episode, Zoom((place + 48) % 90, (place + 48) % 90 + 6, 1.0), "here")
    say(wrong, Answer(next(option for option in task.options if option != task.answer)), "seen")
    shown = taught.messages[-1]
    say(taught, Zoom(place, place + 6, 1.0), "The previous tool call was incorrect because it shows another scene.")
    say(taught, Answer(task.answer), "seen")
    told = Message(shown.role, (*shown.blocks, TextBlock(HINT)))
    return [wrong.messages, [told if message is shown else message for message in taught.messages]]


@pytest.fixture(scope="session")
def calling_model(small_model, by_heart, tmp_path_factory):
    """A model that knows the first of these tasks by heart, in native calls, which its templates render and read."""
    settings = CollectSettings(
        tasks="needle-micro/test",
        episodes=1,
        mix="exemplar=1",
        protocol={"name": "tool_calls", "think": "none", "instructions": False, "structured": True},
    )
    folder = by_heart(small_model, tmp_path_factory.mktemp("calling") / "model", settings, steps=60)
    template = (folder / "chat_template.jinja").read_text()
    tag = "'<' + call['function']['name'] + '>' + call['function']['arguments'] | tojson"
    assert tag in template
    name = """'<tool_call>\n{"name": "' + call['function']['name'] + '", "arguments": '"""
    template = template.replace(tag, f"{name} + call['function']['arguments'] | tojson + '}}\\n'")
    template = template.replace("'</' + call['function']['name'] + '>'", "'</tool_call>'")
    (folder / "chat_template.jinja").write_text(template)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["response_template"]["fields"]["tool_calls"] = {
        "open_pattern": r"\s*<tool_call>",
        "close": "</tool_call>",
        "content": "json",
        "transform": [{"type": "function", "function": "{content}"}],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="session")
def server(fluent_model, serve):
    """The base URL of a server of `fluent_model`."""
    with serve(fluent_model) as url:
        yield url


@pytest.fixture
def gate(server):
    """A gate before the server."""
    with closing(Gate(server)) as made:
        yield made


class Gate:
    """Stands before a server and lets requests through, unless `refuse` has something to say to one.

    Attributes:
        refuse: Called with the number of requests so far; a status and a body instead of the server's own answer, or
            None.
        change: What becomes of a request on its way.
        seen: The requests' bodies.
        keys: Their Authorization headers.
        busiest: Most requests that were under way at once.
    """

    def __init__(self, url: str) -> None:
        self.server_url = url
        self.refuse: Callable[[int], tuple[int, object] | None] = lambda number: None
        self.change: Callable[[dict], dict] = lambda request: request
        self.seen: list[dict] = []
        self.keys: list[str | None] = []
        self.busiest = self._busy = 0
        self._lock = threading.Lock()
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = gate.take(self.path, body, self.headers.get("Authorization"))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *args: object) -> None:
                pass  # a client that gave up

        self._http = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def take(self, path: str, body: bytes, key: str | None) -> tuple[int, bytes]:
        with self._lock:
            self.seen.append(json.loads(body))
            body = json.dumps(self.change(json.loads(body))).encode()
            self.keys.append(key)
            refused = self.refuse(len(self.seen))
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
        try:
            if refused:
                return refused[0], json.dumps(refused[1]).encode()
            request = urllib.request.Request(
                self.server_url.removesuffix("/v1") + path, body, {"Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request) as response:
                    return response.status, response.read()
            except urllib.error.HTTPError as error:
                return error.code, error.read()
        finally:
            with self._lock:
                self._busy -= 1

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
