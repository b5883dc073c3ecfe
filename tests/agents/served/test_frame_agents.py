"""VideoAgent, VideoTree and T* over a server on loopback, whose replies are scripted."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

pytest.importorskip("openai", reason="needs the extra 'served'")

from vzgym.agents.served.asking import json_in
from vzgym.agents.served.tstar import TStarAgent, detections_in, grid_picture
from vzgym.agents.served.videoagent import VideoAgent, first_frames, frame_to_add
from vzgym.agents.served.videotree import VideoTreeAgent, ratings_in
from vzgym.core.errors import EndpointError, InvalidSetting
from vzgym.core.secrets import redact
from vzgym.evaluation import evaluate, read_records
from vzgym.evaluation.replay import replay
from vzgym.policies import POLICIES, PolicyTraits
from vzgym.tasks import load_tasks


class Scripted:
    """A server that answers each prompt with what `say` returns for its text and its number of pictures."""

    def __init__(self, say: Callable[[str, int], str]) -> None:
        self.say = say
        self.texts: list[str] = []
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = json.dumps(server.reply(body["messages"])).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def reply(self, messages: list[dict]) -> dict:
        content = messages[-1]["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        text = "".join(block.get("text", "") for block in blocks)
        with self._lock:
            self.texts.append(text)
            said = self.say(text, sum(block["type"] == "image_url" for block in blocks))
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
        return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def scripted():
    made: list[Scripted] = []

    def make(say):
        made.append(Scripted(say))
        return made[-1]

    yield make
    for server in made:
        with closing(server):
            pass


@pytest.fixture(scope="module")
def tasks():
    return load_tasks("needle-tiny/test[:2]")


def spec(name, server, **more):
    return {"name": name, "model": "m", "url": server.url, **more}


# VideoAgent ---------------------------------------------------------------------------------------------------------


def test_the_first_frames_of_the_source():
    assert first_frames(180) == [1, 45, 90, 135, 180]
    assert first_frames(3) == [1, 2, 3]


def test_the_frame_to_add_is_off_by_one_in_the_source():
    likeness = np.zeros(180)
    likeness[45 + 3] = 1.0
    assert frame_to_add(45, 90, likeness, exact=True) == 49
    # Frame 49 has index 48: it is the best one by its own value, too.
    assert frame_to_add(45, 90, likeness) == 49
    # The slice of the source ends with the frame that has been seen already.
    likeness[89] = 2.0
    assert frame_to_add(45, 90, likeness, exact=True) == 90
    assert frame_to_add(45, 90, likeness) == 49
    assert frame_to_add(45, 46, likeness, exact=True) == 46
    assert frame_to_add(45, 46, likeness) is None


def agent_says(confidences, segments, answer="B"):
    """A model that is sure only in the end."""
    left = list(confidences)

    def say(text, pictures):
        if text.startswith("Describe"):
            assert pictures == 1
            return "A scene."
        if '"confidence"' in text:
            return json.dumps({"confidence": left.pop(0)})
        if '"segments"' in text:
            return "Let me see: " + json.dumps({"segments": segments})
        return f'```json\n{{"answer": "{answer}"}}\n```'

    return say


@pytest.mark.parametrize(
    ("confidences", "frames", "zooming"), [([3], 5, 0), ([1, 3], 7, 1), ([2, 1, 1], 9, 2), (["?", 3], 7, 1)]
)
def test_videoagent_looks_again_until_it_is_sure(scripted, tasks, confidences, frames, zooming):
    wanted = [{"segment": 1, "description": "red"}, {"segment": 4, "description": "blue"}, {"segment": 9}, "no"]
    server = scripted(agent_says(confidences, wanted))
    records: list = []
    policy = spec("videoagent", server, scorer="histogram")
    report = evaluate(policy, tasks, episodes=1, on_episode=records.append)
    (record,) = records
    assert record.overview.times.tolist() == [0.0, 15.0, 31.0, 47.0, 63.0]
    assert record.frames == frames
    assert len(record.turns) == zooming + 1
    assert record.answer == "B"
    costs = record.info.costs
    # A caption for each frame; answer and confidence in each round; segments where it was not sure.
    assert costs["requests"] == len(server.texts) == frames + 2 * (zooming + 1) + zooming
    assert costs["images"] == frames
    assert costs["input_tokens"] == 10 * len(server.texts)
    assert costs.get("frames_scored", 0) == (64 if zooming else 0)
    assert not report.privileged
    assert all("Question: " not in text or "A. " in text for text in server.texts)


def test_videoagent_answers_if_no_segment_can_be_read(scripted, tasks):
    server = scripted(agent_says([1, 1, 1], "nonsense"))
    records: list = []
    evaluate(spec("videoagent", server, scorer="histogram"), tasks, episodes=1, on_episode=records.append)
    assert len(records[0].turns) == 1
    assert records[0].answer == "B"


# VideoTree ----------------------------------------------------------------------------------------------------------


def test_ratings():
    assert ratings_in('{"ratings": [1, 2, 3]}', 3) == [1, 2, 3]
    assert ratings_in("I think [1, 2]", 4) == [1, 2, 3, 3]
    assert ratings_in('{"ratings": [1, "2", 9, true, 2, 2]}', 5) == [1, 3, 3, 3, 2]
    assert ratings_in("none", 2) == [3, 3]


@pytest.mark.parametrize("answer_from", ["captions", "frames"])
@pytest.mark.parametrize(("rating", "nodes"), [(1, 32), (3, 40)])
def test_videotree_grows_where_it_is_relevant(scripted, tasks, tmp_path, answer_from, rating, nodes):
    rated: list[int] = []
    looked: list[int] = []

    def say(text, pictures):
        if text.startswith("Describe"):
            return "A scene."
        if '"ratings"' in text:
            rated.append(text.count("A scene."))
            return json.dumps({"ratings": [rating] * rated[-1]})
        looked.append(pictures)
        return "C"

    server = scripted(say)
    policy = spec("videotree-agent", server, scorer="histogram", answer_from=answer_from, frames=nodes)
    report = evaluate(policy, tasks, episodes=1, out=tmp_path)
    (record,) = read_records(tmp_path)
    if rating == 3:
        # Four clusters rated 3 are enough at once; their parts are added.
        assert len(rated) == 1
        assert rated[0] <= 8 < record.frames <= nodes
    else:
        assert len(rated) == 3
        assert record.frames <= 32
    assert record.answer == "C"
    assert looked == [0 if answer_from == "captions" else record.frames]
    assert record.info.selected_overview
    assert report.totals["frames_scored"] == 64
    assert record.info.costs["requests"] == len(server.texts)
    assert replay(record).differences == []


# T* -----------------------------------------------------------------------------------------------------------------


def test_a_grid_of_frames():
    frames = np.stack([np.full((19, 40, 3), 10 * shade, np.uint8) for shade in range(1, 4)])
    picture = grid_picture(frames, 2, (19, 40))
    assert picture.shape == (38, 80, 3)
    assert [picture[5, 5, 0], picture[5, 45, 0], picture[25, 5, 0], picture[25, 45, 0]] == [10, 20, 30, 0]


def test_detections():
    text = json.dumps(
        {
            "detections": [
                {"cell": 2, "object": "Dog ", "confidence": 0.9},
                {"cell": 0, "object": "dog", "confidence": 0.9},
                {"cell": 1, "object": "dog", "confidence": 7},
                {"cell": 5, "object": "dog", "confidence": 0.5},
                {"cell": True, "object": "dog", "confidence": 0.5},
                {"object": "dog"},
                "dog",
            ]
        }
    )
    assert detections_in(text, 4) == [(1, "dog", 0.9)]
    assert detections_in("nothing", 4) == []


def test_t_star_stops_when_the_target_is_found(scripted, tasks):
    grids: list[str] = []

    def say(text, pictures):
        if '"targets"' in text:
            assert pictures == 8
            return '{"targets": ["Flash"], "cues": ["sky", "flash"]}'
        if "grid" in text:
            grids.append(text)
            seen = [{"cell": 3, "object": "flash", "confidence": 0.5}, {"cell": 5, "object": "sky", "confidence": 0.8}]
            return json.dumps({"detections": seen if len(grids) == 2 else []})
        if '"detections"' in text:
            return '{"detections": [{"cell": 1, "object": "flash", "confidence": 0.95}]}'
        assert pictures == 8
        return "D"

    server = scripted(say)
    records: list = []
    evaluate(spec("t-star-agent", server, budget=1.0), tasks, episodes=1, on_episode=records.append)
    (record,) = records
    # The second of at most four grids shows it; the frame alone confirms it.
    assert len(grids) == 2
    assert len(server.texts) == 1 + 2 + 1 + 1
    assert "flash, sky" in grids[0]
    assert record.info.costs["frames_scored"] == 8 + 2 * 16 + 1
    assert len(record.overview) == 8
    assert record.answer == "D"


def test_t_star_ends_with_its_budget(scripted, tasks):
    server = scripted(lambda text, pictures: "D")
    for exact, frames in ((False, 8), (True, 0)):
        records: list = []
        policy = spec("t-star-agent", server, exact=exact, columns=4, budget=0.5)
        evaluate(policy, tasks, episodes=1, on_episode=records.append)
        assert records[0].info.costs["frames_scored"] == 8 + 2 * 16
        # Nothing was found: the source returns no frame.
        assert len(records[0].overview) == frames
    # Without readable objects the question is the target.
    assert f"Objects: {tasks[0].question.lower()}." in server.texts[1]


# All ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"), [("videoagent", VideoAgent), ("videotree-agent", VideoTreeAgent), ("t-star-agent", TStarAgent)]
)
def test_names_settings_and_failures(name, kind, tasks):
    policy = POLICIES.make(
        {"name": f"{name}:m@http://127.0.0.1:9/v1", **({} if kind is TStarAgent else {"scorer": "histogram"})}
    )
    assert isinstance(policy, kind)
    assert policy.name == f"{name} (m)"
    assert not PolicyTraits.of(policy).privileged
    assert json.dumps(policy.identity)
    texts = ("{{ strict }}", "{{ lenient }}")
    other = [kind("m", "http://127.0.0.1:9/v1", extra={"chat_template": text}).identity for text in texts]
    assert redact(other[0]) != redact(other[1])
    assert not any(text in json.dumps(other) for text in texts)
    with pytest.raises(InvalidSetting, match=r"has no option 'heat'; valid: concurrency, detail"):
        POLICIES.make({"name": name, "model": "m", "url": "http://127.0.0.1:9/v1", "heat": 1})
    with pytest.raises(InvalidSetting, match="temperature must be"):
        kind("m", "http://127.0.0.1:9/v1", temperature=-1)
    with pytest.raises(InvalidSetting, match="reveal"):
        policy.question  # noqa: B018
    if kind is not TStarAgent:
        with pytest.raises(InvalidSetting, match="needs a scorer with embeddings"):
            kind("m", "http://127.0.0.1:9/v1", scorer="hash")
    # A dead server ends the run: it is no wrong answer.
    dead = kind("m", "http://127.0.0.1:9/v1", retries=0, **({} if kind is TStarAgent else {"scorer": "histogram"}))
    with pytest.raises(EndpointError):
        evaluate(dead, tasks, episodes=1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        ('Sure! ```json\n{"a": [1]}\n```', {"a": [1]}),
        ("[1, 2] and {}", [1, 2]),
        ("{broken [3]", [3]),
        ("confidence 2", 2.0),
        ("none", None),
    ],
)
def test_json_in_a_reply(text, found):
    assert json_in(text) == found
