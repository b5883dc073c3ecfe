"""Play in the browser: the state of the session, and the server of the page."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

from PIL import Image

from vzgym.core.actions import Answer, Region, Zoom
from vzgym.core.errors import RecordError
from vzgym.episode.clip import Clip
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation.play.session import PlayStopped
from vzgym.evaluation.play.view import PlayerView
from vzgym.evaluation.viewer.pages import asset
from vzgym.evaluation.viewer.server import LoopbackServer, Request, Response
from vzgym.video.images import encode_image

__all__ = ["BrowserPlayer"]

Phase: TypeAlias = Literal["working", "question", "ended", "done", "stopped"]

_POLL: Final = 20.0
"""Longest time in seconds that a request for a new state waits."""
_GOODBYE: Final = 3.0
"""Longest time in seconds that the last state waits for the page."""
_LONGEST_ANSWER: Final = 10_000

_KINDS: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_SHARED: Final = ("base.css", "base.js")
_OWN: Final = ("play.css", "play.js", "timeline.js", "clips.js")


class BrowserPlayer:
    """The interface to a person with a browser. Use as a context manager.

    The state is kept here, not in the page: a page that is loaded again, or open in several tabs, shows the same
    episode. An action names the episode and the turn that it was made for; an outdated one is refused.

    Args:
        tasks: Name of the task set, for the page.
        total: Number of episodes of the run.
        feedback: Whether the person gets feedback, for the page.
        port: The port; 0 takes a free one.

    Attributes:
        url: The page's address.

    Raises:
        InvalidSetting: If the port is not free.
    """

    def __init__(self, tasks: str, total: int, *, feedback: bool = False, port: int = 0) -> None:
        self._facts = {"tasks": tasks, "total": total, "feedback": feedback}
        self._changed = threading.Condition()
        self._version = 0
        self._phase: Phase = "working"
        self._number = 0
        self._view: PlayerView | None = None
        self._result: dict[str, Any] | None = None
        self._message = ""
        self._action: Zoom | Answer | None = None
        self._continue = False
        self._stop = False
        self._last_seen = -1
        self.server = LoopbackServer(self.answer, port)
        self.url = self.server.url

    # The person's turns, in the thread of the run ------------------------------------------------------------------

    def act(self, view: PlayerView, number: int) -> Zoom | Answer:
        """See `Player.act`."""
        with self._changed:
            self._number, self._view, self._result, self._action = number, view, None, None
            self._enter("question")
            while self._action is None:
                self._wait()
            action = self._action
            self._enter("working")
            return action

    def end(self, record: EpisodeRecord | None) -> None:
        """See `Player.end`."""
        with self._changed:
            self._result = None if record is None else _result(record)
            self._continue = False
            self._enter("ended")
            while not self._continue:
                self._wait()
            self._enter("working")

    def finish(self) -> None:
        """Show that all episodes are played."""
        with self._changed:
            self._enter("done")
            self._say_goodbye()

    def _wait(self) -> None:
        # A timeout, so that Ctrl+C works on every system.
        self._changed.wait(0.5)
        if self._stop:
            raise PlayStopped

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._version += 1
        self._changed.notify_all()

    def _say_goodbye(self) -> None:
        """Wait until a page has seen the last state, if one is open."""
        end = time.monotonic() + _GOODBYE
        while self._last_seen < self._version and self._last_seen >= 0 and time.monotonic() < end:
            self._changed.wait(0.1)

    # The page, in threads of the server ----------------------------------------------------------------------------

    def answer(self, request: Request) -> Response:
        """Answer a request of the page."""
        match request.path.split("/"):
            case [""]:
                return Response(_file("play.html"), "text/html; charset=utf-8")
            case ["static", name] if name in _SHARED:
                return Response(asset(name), _KINDS[Path(name).suffix])
            case ["static", name] if name in _OWN:
                return Response(_file(name), _KINDS[Path(name).suffix])
            case ["state"]:
                return self._state(request)
            case ["frames", episode, clip, index]:
                return self._frame(episode, clip, index.removesuffix(".png"))
            case [("act" | "next" | "stop") as what] if request.method == "POST":
                return self._take(what, request.json())
        return Response.error(HTTPStatus.NOT_FOUND, f"there is no {request.path:.200}")

    def _state(self, request: Request) -> Response:
        """The current state; with `?since=VERSION`, the next one."""
        since = request.query.get("since", "")
        known = int(since) if since.isdecimal() and len(since) < 10 else -1
        with self._changed:
            end = time.monotonic() + _POLL
            while self._version == known and time.monotonic() < end:
                self._changed.wait(1.0)
            found = self._to_json()
            self._last_seen = max(self._last_seen, self._version)
            self._changed.notify_all()
        return Response.json(found)

    def _to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "version": self._version, "phase": self._phase, "number": self._number, "message": self._message,
            **self._facts,
        }  # fmt: skip
        if self._view is not None:
            found["episode"] = _view_to_json(self._view)
        if self._phase == "ended":
            found["result"] = self._result
        return found

    def _frame(self, episode: str, clip: str, index: str) -> Response:
        with self._changed:
            view, number = self._view, self._number
        places = [int(text) if text.isdecimal() and len(text) < 7 else -1 for text in (episode, clip, index)]
        if view is not None and places[0] == number and 0 <= places[1] < len(view.clips):
            pixels = view.clips[places[1]].pixels
            if pixels is not None and 0 <= places[2] < len(pixels):
                return Response(encode_image(Image.fromarray(pixels[places[2]]), "png"), "image/png", keep=True)
        return Response.error(HTTPStatus.NOT_FOUND, "there is no such frame in the current episode")

    def _take(self, what: str, data: Any) -> Response:
        """Take what the person does."""
        if not isinstance(data, Mapping):
            raise RecordError("the body must be a JSON object")
        with self._changed:
            if what == "stop":
                self._stop = True
            elif data.get("episode") != self._number or (what == "next") != (self._phase == "ended"):
                return self._outdated()
            elif what == "next":
                self._continue = True
            else:
                view = self._view
                if self._phase != "question" or view is None or data.get("turn") != len(view.turns) or self._action:
                    return self._outdated()
                self._action = _action(data.get("action"))
            self._changed.notify_all()
        return Response.json({})

    def _outdated(self) -> Response:
        return Response.error(HTTPStatus.CONFLICT, "the episode has gone on in another tab or window")

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            with self._changed:
                stopped = isinstance(error, (PlayStopped, KeyboardInterrupt))
                self._message = "" if stopped else f"{type(error).__name__}: {error}"
                self._enter("stopped")
                self._say_goodbye()
        self.server.close()


def _file(name: str) -> bytes:
    return files("vzgym.evaluation.play").joinpath("static", name).read_bytes()


def _action(data: Any) -> Zoom | Answer:
    """Read an action of the page.

    Raises:
        RecordError: If it is none.
    """
    match data:
        case {"answer": str(text)} if len(text) <= _LONGEST_ANSWER:
            return Answer(text)
        case {"zoom": [start, end, fps]} if all(map(_is_number, (start, end, fps))):
            region = data.get("region")
            if region is None:
                return Zoom(float(start), float(end), float(fps))
            if isinstance(region, list) and len(region) == 4 and all(map(_is_number, region)):
                return Zoom(float(start), float(end), float(fps), Region(*map(float, region)))
    raise RecordError('an action is {"answer": text} or {"zoom": [start, end, fps], "region": null or four numbers}')


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _view_to_json(view: PlayerView) -> dict[str, Any]:
    budget, clips = view.budget, iter(range(1, len(view.clips)))
    return {
        "question": view.question,
        "options": list(view.options),
        "duration": view.duration,
        "budget": {
            "zooms": budget.max_zooms, "clip_frames": budget.clip_frames, "min_fps": budget.min_fps,
            "max_fps": budget.max_fps, "spatial": budget.spatial,
        },
        "left": {"zooms": view.zooms_left, "frames": view.frames_left, "rounds": view.rounds_left},
        "clips": [_clip_to_json(clip) for clip in view.clips],
        "turns": [
            {
                "text": turn.text, "outcome": turn.outcome, "detail": turn.detail,
                "clips": [next(clips) for _ in turn.clips],
            }
            for turn in view.turns
        ],
    }  # fmt: skip


def _clip_to_json(clip: Clip) -> dict[str, Any]:
    return {
        "window": None if clip.window is None else clip.window.to_list(),
        "fps": clip.fps,
        "region": None if clip.region is None else clip.region.to_list(),
        "times": [round(float(value), 4) for value in clip.times],
        "size": list(clip.size),
        "speech": [[line.start, line.end, line.text] for _, line in clip.speech],
    }


def _result(record: EpisodeRecord) -> dict[str, Any]:
    """The feedback on a finished episode."""
    grade = record.grade
    return {
        "correct": None if grade is None or grade.score is None else grade.is_correct,
        "status": str(grade.status if grade is not None else record.end),
        "answer": record.answer,
        "gold": record.task.answer,
        "evidence": [item.to_list() for item in record.task.evidence or ()],
    }
