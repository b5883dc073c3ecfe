"""Table and images of the failure taxonomy (docs/reference/taxonomy.md): the failure classes of each control.

    python benchmarks/taxonomy.py [--episodes 200] [--tasks tiny] [--pictures docs/images/taxonomy]

Plays blind, random, overview, sliding and oracle on the first tasks of a suite's test split and counts the classes of
their episodes. With --pictures it also draws an example of each class from real episodes. Exits with
status 1 if a control contradicts the definitions.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vzgym.core import Answer, Region, Zoom
from vzgym.core.errors import VideoError
from vzgym.envs.rendering import draw_episode
from vzgym.episode import EpisodeRecord
from vzgym.evaluation import TAXONOMY_CLASSES, EvaluationReport, classify, evaluate
from vzgym.evaluation import TaxonomyClass as Class
from vzgym.evaluation.tables import markdown_costs
from vzgym.evaluation.taxonomy_tables import markdown_taxonomy
from vzgym.tasks import VideoTask, expert_zooms, load_tasks
from vzgym.tasks.evidence import EvidenceRequirements
from vzgym.video.base import Frames, Video

POLICIES = ("blind", "random", "overview", "sliding", "oracle")
SHOWN = {Class.GROUNDED, Class.REDUNDANT, Class.WRONG_ANSWER}
IMPLIED = {
    # The oracle knows the evidence and its rate; without evidence the overview suffices.
    "oracle": {Class.GROUNDED},
    # It sees no frames, so no answer is grounded and it makes no zooms.
    "blind": {Class.LUCKY, Class.WRONG_SEGMENT},
    # It makes no zoom, so none is redundant.
    "overview": {
        Class.GROUNDED,
        Class.WRONG_ANSWER,
        Class.LUCKY,
        Class.TOO_COARSE,
        Class.WRONG_SEGMENT,
    },
    # It zooms everywhere, so also on the evidence.
    "sliding": {*SHOWN, Class.LUCKY, Class.TOO_COARSE},
    "random": {*SHOWN, Class.LUCKY, Class.TOO_COARSE, Class.WRONG_SEGMENT},
}
PICTURE = (960, 540)


def main() -> int:
    """Play, count, draw; print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=200, help="of each policy")
    parser.add_argument("--tasks", default="tiny", help="a suite")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=Path, help="folder for the pictures; none are drawn without it")
    arguments = parser.parse_args()
    if arguments.pictures is not None:
        draw_examples(arguments.pictures)
    started = time.perf_counter()
    reports = [evaluate(name, arguments.tasks, episodes=arguments.episodes, seed=arguments.seed) for name in POLICIES]
    print(markdown_taxonomy(reports))
    print()
    print(markdown_costs(reports))
    print(f"\n{arguments.episodes} tasks of {arguments.tasks}/test, seed {arguments.seed}; "
          f"{time.perf_counter() - started:.0f} s.")  # fmt: skip
    faults = [fault for report in reports for fault in out_of_place(report)]
    for fault in faults:
        print(f"OUT OF PLACE: {fault}", file=sys.stderr)
    return 1 if faults else 0


def out_of_place(report: EvaluationReport) -> list[str]:
    """Results that the definitions rule out."""
    return [
        f"{report.policy}: {count} episodes are {kind}"
        for kind, count in report.taxonomy.items()
        if count and kind not in IMPLIED[report.policy]
    ]


# Pictures ------------------------------------------------------------------------------------------------------


class Misreader:
    """Zooms on the evidence, then gives a wrong answer."""

    name = "misreader"

    def prepare(self, budget: Any) -> Any:
        self.budget = budget
        return budget

    def reveal(self, task: VideoTask) -> None:
        self.task = task
        self.zooms = list(expert_zooms(task, self.budget))

    def reset(self, seed: int) -> None:
        pass

    def act(self, observation: Any, info: dict[str, Any]) -> Zoom | Answer:
        if self.zooms:
            return self.zooms.pop(0)
        return Answer(next(option for option in self.task.options if option != self.task.answer))


class Restless:
    """Always zooms, never answers."""

    name = "restless"

    def reset(self, seed: int) -> None:
        self.turn = 0

    def act(self, observation: Any, info: dict[str, Any]) -> Zoom:
        self.turn += 1
        return Zoom(10.0 * self.turn, 10.0 * self.turn + 4.0, 2.0)


class Chatterbox:
    """Writes text without the protocol's tags."""

    name = "chatterbox"

    def reset(self, seeds: Sequence[int]) -> None:
        pass

    def respond(self, dialogues: Sequence[Any]) -> list[str]:
        return ["Let me look at the middle of the video first, around 30 s." for _ in dialogues]


@dataclass(frozen=True)
class Torn:
    """A video whose file ends early, after the overview is read."""

    video: Video
    last: float

    def __getattr__(self, name: str) -> Any:
        return getattr(self.video, name)

    def read(
        self, times: NDArray[np.float64], *, size: tuple[int, int] | None = None, region: Region | None = None
    ) -> Frames:
        if len(times) < 20 and times.max(initial=0.0) > self.last:
            raise VideoError("the file ends early", path=self.video.uri, time=self.last)
        return self.video.read(times, size=size, region=region)


def draw_examples(folder: Path) -> None:
    """Draw an episode of each class: the first one of a policy that falls into it."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks = load_tasks("short/test")
    torn = [replace(task, video=Torn(task.video, 40.0)) for task in (tasks[0], tasks[3])]
    unmarked = [replace(tasks[index], evidence=None, requirements=EvidenceRequirements()) for index in range(30)]
    sources: dict[Class, tuple[Any, Any]] = {
        Class.GROUNDED: ("oracle", tasks),
        Class.LUCKY: ("random", tasks),
        Class.REDUNDANT: ("sliding", tasks),
        Class.WRONG_SEGMENT: ("random", tasks),
        Class.TOO_COARSE: ("sliding", tasks),
        Class.WRONG_ANSWER: (Misreader(), tasks),
        Class.MALFORMED: (Chatterbox(), tasks),
        Class.OUT_OF_BUDGET: (Restless(), tasks),
        Class.VIDEO_ERROR: ("sliding", torn),
        Class.RIGHT: ("random", unmarked),
        Class.WRONG: ("random", unmarked),
    }
    for kind, (policy, played) in sources.items():
        found: list[EpisodeRecord] = []

        def keep(record: EpisodeRecord, kind: Class = kind, found: list[EpisodeRecord] = found) -> None:
            if classify(record) is kind:
                found.append(record)

        for count in (2, 30):
            if not found:
                evaluate(policy, played, episodes=min(count, len(played)), on_episode=keep)
        if not found:
            raise SystemExit(f"no episode of {policy} is {kind}")
        picture = Image.fromarray(draw_episode(found[0])).resize(PICTURE, Image.Resampling.LANCZOS)
        picture.quantize(128).save(folder / f"{kind}.png", optimize=True)
    assert {*sources, Class.UNKNOWN} == set(TAXONOMY_CLASSES)


if __name__ == "__main__":
    sys.exit(main())
