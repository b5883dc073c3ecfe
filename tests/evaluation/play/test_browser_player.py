"""The state that the page of a session shows, and the actions that it takes."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vzgym.core.errors import InvalidSetting, RecordError
from vzgym.evaluation import read_records
from vzgym.evaluation.play.browser import BrowserPlayer
from vzgym.evaluation.viewer.server import Request, Response
from vzgym.tasks import load_tasks

TASKS = load_tasks("needle-micro", split="test")


def get(player: BrowserPlayer, path: str, **query: str) -> Response:
    return player.answer(Request("GET", path, query))


def post(player: BrowserPlayer, path: str, value: Any) -> Response:
    return player.answer(Request("POST", path, {}, json.dumps(value).encode()))


def state(player: BrowserPlayer, phase: str, number: int | None = None) -> dict[str, Any]:
    """The state, once the session is in a phase."""
    end = time.monotonic() + 60
    found: dict[str, Any] = json.loads(get(player, "state").body)
    while found["phase"] != phase or number not in (None, found["number"]):
        assert time.monotonic() < end, found
        found = json.loads(get(player, "state", since=str(found["version"])).body)
    return found


def act(player: BrowserPlayer, number: int, turn: int, action: Any) -> Response:
    return post(player, "act", {"episode": number, "turn": turn, "action": action})


@pytest.mark.parametrize("feedback", [False, True])
def test_the_answer_is_never_sent_before_the_end(session: Any, feedback: bool) -> None:
    player = session(feedback=feedback)
    task = TASKS[0]
    secrets = [task.id, '"gold"', '"evidence"', '"answer"', str(task.metadata)]
    shown = state(player, "question")
    assert act(player, 1, 0, {"zoom": [1.0, 2.0, 3.0]}).status == 200
    zoomed = state(player, "question")
    while zoomed["episode"]["turns"] == []:
        zoomed = json.loads(get(player, "state", since=str(zoomed["version"])).body)
    for found in (shown, zoomed):
        keys = {"question", "options", "duration", "budget", "left", "clips", "turns"}
        assert set(found["episode"]) == keys
        assert "result" not in found
        assert not any(secret in json.dumps(found) for secret in secrets)
    act(player, 1, 1, {"answer": "A"})
    ended = state(player, "ended")
    if feedback:
        assert ended["result"]["gold"] == task.answer
        assert ended["result"]["evidence"] == [item.to_list() for item in task.evidence]
        assert ended["result"]["correct"] == (task.options.index(task.answer) == 0)
    else:
        # Not even then: other questions of the run may be about the same video.
        assert ended["result"] is None
        assert not any(secret in json.dumps(ended) for secret in secrets)


def test_frames_are_those_of_the_episode(session: Any, tmp_path: Path) -> None:
    player = session()
    found = state(player, "question")
    clip = found["episode"]["clips"][0]
    pictures = [get(player, f"frames/1/0/{index}.png") for index in range(len(clip["times"]))]
    assert all(picture.kind == "image/png" and picture.keep for picture in pictures)
    view = player._view
    assert view is not None
    for picture, pixels in zip(pictures, view.clips[0].pixels, strict=True):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(picture.body))), pixels)
    for wrong in ("1/0/99", "1/1/0", "2/0/0", "0/0/0", "1/0/-1", "1/0/x", "1/0", "1/../0/0", "a/b/c"):
        assert get(player, f"frames/{wrong}.png").status == 404


def test_outdated_actions_are_refused(session: Any, tmp_path: Path) -> None:
    player = session()
    state(player, "question")
    assert act(player, 1, 0, {"zoom": [1.0, 2.0, 3.0]}).status == 200
    # A second tab still shows the first turn.
    assert act(player, 1, 0, {"answer": "A"}).status == 409
    time.sleep(0.2)
    state(player, "question")
    assert act(player, 1, 0, {"answer": "A"}).status == 409
    assert act(player, 2, 1, {"answer": "A"}).status == 409
    assert post(player, "next", {"episode": 1}).status == 409
    assert act(player, 1, 1, {"answer": "A"}).status == 200
    state(player, "ended")
    assert act(player, 1, 2, {"answer": "B"}).status == 409
    assert post(player, "next", {"episode": 2}).status == 409
    assert post(player, "next", {"episode": 1}).status == 200
    state(player, "question", 2)
    (record,) = read_records(tmp_path / "run")
    assert [turn.text for turn in record.turns] == ["zoom [1, 2] at 3 fps", "A"]


@pytest.mark.parametrize(
    "action",
    [
        None, 3, {}, {"answer": 3}, {"answer": "x" * 10_001}, {"zoom": [1, 2]}, {"zoom": [1, 2, "3"]},
        {"zoom": [1, 2, True]}, {"zoom": [1, 2, 3], "region": [0, 0, 1]}, {"zoom": [1, 2, 3], "region": "all"},
    ],
)  # fmt: skip
def test_actions_that_are_none_cost_no_round(session: Any, action: Any) -> None:
    player = session()
    state(player, "question")
    with pytest.raises(RecordError, match="an action is"):
        act(player, 1, 0, action)
    with pytest.raises(RecordError, match="must be a JSON object"):
        post(player, "act", [1])
    assert act(player, 1, 0, {"zoom": [1.0, 2.0, 3.0]}).status == 200


def test_a_region_is_passed_on_and_other_paths_are_none(session: Any) -> None:
    player = session(budget={"spatial": True})
    state(player, "question")
    act(player, 1, 0, {"zoom": [1, 2, 3], "region": [0, 0, 0.5, 0.5]})
    found = state(player, "question")
    while len(found["episode"]["clips"]) == 1:
        found = json.loads(get(player, "state", since=str(found["version"])).body)
    assert found["episode"]["clips"][1]["region"] == [0.0, 0.0, 0.5, 0.5]
    for path in ("static/../browser.py", "static/viewer.css", "act", "next", "stop", "records.jsonl", "state/x"):
        assert get(player, path).status == 404
    assert b"<script src" in get(player, "").body
    for name in ("base.css", "play.css", "base.js", "play.js", "timeline.js", "clips.js"):
        assert get(player, f"static/{name}").status == 200


def test_a_session_ends_and_stops(session: Any, tmp_path: Path) -> None:
    player = session(episodes=1)
    state(player, "question")
    act(player, 1, 0, {"answer": "A"})
    state(player, "ended")
    post(player, "next", {"episode": 1})
    assert state(player, "done")["total"] == 1
    other = session(tasks="needle-micro", episodes=2)
    state(other, "question", 2)
    post(other, "stop", {})
    assert state(other, "stopped")["message"] == ""
    assert len(list(read_records(tmp_path / "run"))) == 1


def test_a_port_in_use_is_named() -> None:
    first = BrowserPlayer("tiny", 1)
    port = int(first.url.split(":")[2].split("/")[0])
    with pytest.raises(InvalidSetting, match=f"port {port} cannot be used: .*--port 0"):
        BrowserPlayer("tiny", 1, port=port)
    first.server.close()
