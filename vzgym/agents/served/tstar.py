"""T* over a served model, which looks for objects in grids of frames (Ye et al., CVPR 2025, 2504.02259)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.agents.served.asking import AskingAgent, json_in
from vzgym.baselines.selectors.base import check_number
from vzgym.baselines.selectors.tstar import TStarSearch
from vzgym.baselines.selectors.uniform import CONVENTIONS
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.episode.dialogue import Message
from vzgym.policies.policy import SelectedOverview
from vzgym.scorers.video import candidate_times
from vzgym.tasks.task import VideoTask
from vzgym.video.synthetic import letterbox

__all__ = ["Detection", "TStarAgent", "detections_in", "grid_picture"]

_CELL = (95, 200)
TARGET_WEIGHT, CUE_WEIGHT = 1.0, 0.5
"""Weights of the confidence in a target and in a cue."""

Detection = tuple[int, str, float]
"""Cell from 0, object, confidence from 0 to 1."""


def grid_picture(frames: NDArray[np.uint8], columns: int, cell: tuple[int, int] = _CELL) -> NDArray[np.uint8]:
    """Frames in a grid, row by row; missing ones are black.

    Args:
        frames: uint8, shape `(n, height, width, 3)`, n <= columns^2.
        columns: Columns, and rows.
        cell: Height and width of a cell.
    """
    height, width = cell
    cells = np.zeros((columns * columns, height, width, 3), dtype=np.uint8)
    cells[: len(frames)] = letterbox(frames, cell)
    rows = cells.reshape(columns, columns, height, width, 3).swapaxes(1, 2)
    return np.ascontiguousarray(rows.reshape(columns * height, columns * width, 3))


def detections_in(text: str, cells: int) -> list[Detection]:
    """The detections in a model's reply; those without a valid cell, object and confidence are left out."""
    found = json_in(text)
    listed = found.get("detections") if isinstance(found, Mapping) else found
    detections: list[Detection] = []
    for item in listed if isinstance(listed, list) else []:
        if not isinstance(item, Mapping):
            continue
        cell, name, confidence = item.get("cell"), item.get("object"), item.get("confidence")
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (cell, confidence))
        if numbers and isinstance(name, str) and 1 <= cell <= cells and 0 <= confidence <= 1:  # type: ignore[operator]
            detections.append((int(cell) - 1, name.strip().lower(), float(confidence)))  # type: ignore[arg-type]
    return detections


class TStarAgent(AskingAgent):
    """Names objects to look for, searches them in grids of frames, and answers from the best frames (one look).

    The model sees a few frames and names target and cue objects. Then `TStarSearch` shows it grids of frames, of which
    it reports the objects; a target leaves the list when a frame shows it, alone, with more than `confidence`. The
    search ends when no target is left, or the budget is used. In place of the source's object detectors the served
    model reports the confidences.

    Args:
        model: The model's name on the server; it must accept images.
        url: The server's base URL.
        frames: Number of frames that it answers from; the source has 8 and 32.
        columns: Columns and rows of a grid, 4 or 8 in the source.
        budget: Share of the candidates (one a second) that may be looked at; the source has 0.5 and 1.0.
        confidence: Confidence at which a target counts as found, 0.6 or 0.7 in the source.
        ground_frames: Frames seen when naming objects.
        final: "draw" the frames in proportion to their scores, as the source's evaluation does, or "top".
        exact: Keep fewer frames if fewer have a score, and find at most one target in each frame, as the source does.
        options: See `AskingAgent`.

    Raises:
        InvalidSetting: If an option is invalid.
        DependencyNotInstalled: If SciPy is missing.
    """

    title: ClassVar[str] = "t-star-agent"

    def __init__(
        self,
        model: str,
        url: str,
        *,
        frames: int = 8,
        columns: int = 4,
        budget: float = 0.5,
        confidence: float = 0.6,
        ground_frames: int = 8,
        final: str = "draw",
        exact: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(model, url, exact=exact, **options)
        for option, value in {"frames": frames, "columns": columns, "ground_frames": ground_frames}.items():
            check_number(option, value, 1, whole=True)
        check_number("budget", budget, 1e-9, most=1)
        check_number("confidence", confidence, 0, most=1)
        if final not in ("draw", "top"):
            raise InvalidSetting(f"final must be 'draw' or 'top', got {final!r}")
        self.frames, self.columns, self.share, self.confidence = frames, columns, budget, confidence
        self.ground_frames, self.final = ground_frames, final

    @property
    def settings(self) -> dict[str, Any]:
        """See `AskingAgent`."""
        return {
            "frames": self.frames, "columns": self.columns, "budget": self.share, "confidence": self.confidence,
            "ground_frames": self.ground_frames, "final": self.final,
        }  # fmt: skip

    def prepare(self, budget: Budget) -> Budget:
        """The budget of the run with `frames` in the overview and no zoom."""
        return budget.with_zooms(0, overview_fps=math.inf, overview_frames=self.frames)

    def overview(self, task: VideoTask, seed: int) -> SelectedOverview:
        """The frames found.

        Raises:
            EndpointError: If a request finally fails.
        """
        self.task = task
        self.rng = np.random.default_rng(seed)
        self.take_costs()
        times = candidate_times(task.video.duration)
        targets, cues = self._objects(times)
        left = list(targets)
        search = TStarSearch(len(times), self.share, np.random.default_rng(seed))
        while left and search.budget > 0 and (frames := search.next_frames(self.columns**2)):
            pixels = self._read(times[frames], _CELL)
            found = self._detect(grid_picture(pixels, self.columns), self.columns**2, targets, cues)
            search.update(frames, [self._weighted(found, cell, targets, cues) for cell in range(len(frames))])
            for cell, frame in enumerate(frames):
                self._verify(frame, times[frame], {name for place, name, _ in found if place == cell}, left, search)
        chosen = search.result(self.frames, draw=self.final == "draw")
        if not self.exact and len(chosen) < min(self.frames, len(times)):
            rest = np.setdiff1d(np.arange(len(times)), chosen)
            need = min(self.frames, len(times)) - len(chosen)
            chosen = np.union1d(chosen, rest[CONVENTIONS["centre"](len(rest), need)])
        return SelectedOverview(times[chosen], self.take_costs())

    def respond(self, dialogues: Sequence[Sequence[Message]]) -> list[str]:
        """The answer.

        Raises:
            EndpointError: If a request finally fails.
        """
        (messages,) = dialogues
        pictures = [image.pixels for message in messages for image in message.images]
        text = self.answer_from(["Frames of a video, in order of time:\n", *pictures])
        self.costs = [self.take_costs()]
        return [text]

    def _objects(self, times: NDArray[np.float64]) -> tuple[list[str], list[str]]:
        """Target and cue objects; the question's text if the model names no target."""
        few = times[CONVENTIONS["linspace"](len(times), min(self.ground_frames, len(times)))]
        task = self.known_task
        size = Budget().fit(task.video.height, task.video.width)
        pictures = self._read(few, size)
        reply = self.ask_one(
            "Frames of a video:\n",
            *pictures,
            f"\n\nQuestion: {self.question}\nWhich objects must one find in the video to answer? Reply with "
            'JSON: {"targets": [...], "cues": [...]}: targets are the objects themselves, cues are objects '
            "near which they are likely; short names.",
        )
        found = json_in(reply)
        named = [_names(found, key) for key in ("targets", "cues")]
        targets = named[0] or [task.question.lower()]
        return targets, [cue for cue in named[1] if cue not in targets]

    def _detect(
        self, picture: NDArray[np.uint8], cells: int, targets: Sequence[str], cues: Sequence[str]
    ) -> list[Detection]:
        layout = f"The picture is a grid of {cells} frames of a video, numbered row by row from 1" if cells > 1 else ""
        reply = self.ask_one(
            picture,
            f"\n{layout or 'The picture is frame 1 of a video'}. Objects: {', '.join([*targets, *cues])}. For "
            'each frame that shows one of them, report it. Reply with JSON: {"detections": [{"cell": n, '
            '"object": "<name>", "confidence": 0 to 1}]}; an empty list if there is none.',
        )
        return detections_in(reply, cells)

    def _weighted(self, found: Sequence[Detection], cell: int, targets: Sequence[str], cues: Sequence[str]) -> float:
        weights = {**dict.fromkeys(cues, CUE_WEIGHT), **dict.fromkeys(targets, TARGET_WEIGHT)}
        return max((weights.get(name, CUE_WEIGHT) * sure for place, name, sure in found if place == cell), default=0.0)

    def _verify(self, frame: int, time: float, names: set[str], left: list[str], search: TStarSearch) -> None:
        """Look at a frame alone, if it may show a target that is left."""
        for target in list(left):
            if target not in names:
                continue
            pixels = self._read(np.array([time]), (3 * _CELL[0], 3 * _CELL[1]))
            found = self._detect(pixels[0], 1, [target], [])
            sure = self._weighted(found, 0, [target], [])
            search.scores[frame] = sure
            if sure > self.confidence and any(name == target for _, name, _ in found):
                left.remove(target)
                if self.exact:
                    return

    def _read(self, times: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
        found = self.known_task.video.read(times, size=size)
        self.charge({"candidates_decoded": found.decoded, "frames_scored": len(times)})
        return found.pixels


def _names(found: Any, key: str) -> list[str]:
    listed = found.get(key) if isinstance(found, Mapping) else None
    names = [name.strip().lower() for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    return list(dict.fromkeys(name for name in names if name))
