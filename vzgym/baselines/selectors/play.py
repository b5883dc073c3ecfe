"""Policies that play with a selector: one look at the selected frames, or zooms to them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Final

import numpy as np

from vzgym.agents.data.phrases import compose
from vzgym.baselines.base import ZoomingBaseline
from vzgym.baselines.readers import ReaderSpec
from vzgym.baselines.selectors.base import Floats, SelectorSpec, check_number
from vzgym.baselines.selectors.video import Selection, VideoSelector
from vzgym.core.actions import Answer, TurnRules, Zoom, Zooms, frames_asked
from vzgym.core.budget import Budget, group_zooms
from vzgym.core.errors import InvalidSetting
from vzgym.core.secrets import redact
from vzgym.episode.dialogue import Message
from vzgym.policies.policy import AnyPolicy, SelectedOverview, TextPolicy, load_policy
from vzgym.policies.traits import PolicyTraits
from vzgym.protocols import PROTOCOLS, TextProtocol
from vzgym.scorers.base import OptionsByName, ScorerSpec
from vzgym.scorers.cache import CacheSpec
from vzgym.tasks.task import VideoTask
from vzgym.video.base import Video

__all__ = [
    "POLICY_OF",
    "NamedSelector",
    "SelectorPolicy",
    "SelectorTextPolicy",
    "make_selector_policy",
    "plan_zooms",
    "sized_zooms",
]

PLAYS: Final = ("look", "zoom", "sizes")


def plan_zooms(times: Floats, step: float, duration: float, budget: Budget) -> list[Zoom | Zooms]:
    """Turns of zooms that show selected frames, as far as the budget allows.

    The times are cut at their greatest gaps into groups, groups of more than `clip_frames` first, and into no more
    than fit into `max_zooms` turns of at most `zooms_per_turn` zooms and `clip_frames` frames. The zoom of a group
    lasts from its first time to one step after its last, at the rate that gives as many frames as the group has (at
    most `clip_frames`). A group of evenly spaced times is shown exactly.

    Args:
        times: In seconds, shape `(k,)`, ascending.
        step: Distance of two candidates in seconds.
        duration: Length of the video in seconds.
        budget: The limits.

    Returns:
        Turns, ordered by time; none if the budget has no zoom.
    """
    if not budget.max_zooms or not len(times):
        return []
    most = budget.max_zooms * budget.zooms_per_turn
    while True:
        groups = _groups(times, step, budget.clip_frames, most)
        turns = group_zooms([_zoom(group, step, duration, budget) for group in groups], budget)
        if len(turns) <= budget.max_zooms:
            return turns
        # As many groups as turns always fit.
        most = len(groups) - 1


def sized_zooms(selection: Selection, video: Video, budget: Budget, shown: Budget) -> list[Zoom | Zooms]:
    """One turn of zooms that shows each selected frame at its own size.

    Args:
        selection: The frames, with `shares`.
        video: The video.
        budget: The budget that is played with; see `_sized_look`.
        shown: The budget of the run, which gives the largest size.
    """
    assert selection.shares is not None
    height, width = shown.fit(video.height, video.width)
    zooms = []
    for time, share in zip(selection.times, selection.shares, strict=True):
        zoom = _zoom(np.array([time]), selection.candidates.step, video.duration, budget)
        zooms.append(replace(zoom, max_pixels=max(budget.min_pixels, round(height * width * float(share)))))
    return group_zooms(zooms, budget)[:1]


def _groups(times: Floats, step: float, clip_frames: int, most: int) -> list[Floats]:
    """Cut the times into at most `most` groups."""
    groups = [times]
    while len(groups) < most:
        crowded = [group for group in groups if len(group) > clip_frames]
        cuts = [(index, *_greatest_gap(group)) for index, group in enumerate(groups) if len(group) > 1]
        cuts = [cut for cut in cuts if not crowded or len(groups[cut[0]]) > clip_frames]
        # Neighboring candidates belong together, unless they are too many for one zoom.
        cuts = [cut for cut in cuts if crowded or cut[2] > 1.5 * step]
        if not cuts:
            break
        index, place, _ = max(cuts, key=lambda cut: (cut[2], -cut[0]))
        groups[index : index + 1] = [groups[index][:place], groups[index][place:]]
    return groups


def _greatest_gap(group: Floats) -> tuple[int, float]:
    """Where a group has its greatest gap, and that gap; of equal ones, the nearest to the middle."""
    gaps = np.diff(group)
    widest = np.flatnonzero(gaps >= gaps.max() - 1e-9)
    place = int(widest[np.abs(widest + 1 - len(group) / 2).argmin()])
    return place + 1, float(gaps[place])


def _zoom(group: Floats, step: float, duration: float, budget: Budget) -> Zoom:
    count = min(len(group), budget.clip_frames)
    start, end = float(group[0]), min(float(group[-1]) + step, duration)
    if end <= start:
        # The last frame of the video.
        start = max(0.0, duration - step)
    fps = min(max(count / (end - start), budget.min_fps), budget.max_fps)
    if frames_asked(end - start, fps) > budget.clip_frames:
        end = start + (budget.clip_frames - 0.5) / fps
    return Zoom(start, max(end, math.nextafter(start, math.inf)), fps)


class SelectorPolicy(ZoomingBaseline):
    """Answers from selected frames, read by a frame reader.

    `play="look"` shows all frames at once, in place of overview and zooms, as papers do. `play="zoom"` plays the
    paper's protocol: after the overview the frames become zooms (`plan_zooms`). `play="sizes"` shows more frames of
    several sizes for the same visual tokens, in one turn of zooms (`sized_zooms`), if the selector has such a form
    (Q-Frame's multi-resolution).

    Args:
        selector: The selector, by object, name, `"module:Class"` or mapping.
        scorer: Its scorer; see `VideoSelector`, also for the options not listed here.
        play: "look", "zoom" or "sizes".
        frames: Number of frames; for "sizes" of the largest ones that cost as much. Default: as many as a zooming
            policy may see in all (`max_frames`), for "zoom" as many as it may zoom to (`max_zooms * clip_frames`).
        reader: Answers from pixels; see `Baseline`.
        name: For tables; selector and scorer by default.

    Raises:
        InvalidSetting: If an option is out of range.
        UnknownName: If a name is not registered.
    """

    name = "selector"

    def __init__(
        self,
        selector: SelectorSpec,
        scorer: ScorerSpec | None = None,
        *,
        play: str = "look",
        frames: int | None = None,
        fps: float | None = None,
        most: int | None = None,
        embedder: ScorerSpec | None = None,
        max_pixels: int | None = None,
        cache: CacheSpec = None,
        reader: ReaderSpec | None = None,
        name: str = "",
    ) -> None:
        super().__init__(reader)
        if play not in PLAYS:
            raise InvalidSetting(f"play must be {' or '.join(map(repr, PLAYS))}, got {play!r}")
        if frames is not None:
            check_number("frames", frames, 1, whole=True)
        self.frames_of = VideoSelector(
            selector, scorer, embedder=embedder, fps=fps, most=most, max_pixels=max_pixels, cache=cache
        )
        _check_sizes(self.frames_of, play)
        self.play, self.frames = play, frames
        self.privileged = self.frames_of.privileged
        self.costs: dict[str, float] = {}
        self.identity = _identity(
            selector=selector, scorer=scorer, play=play, frames=frames, fps=fps, most=most, embedder=embedder,
            max_pixels=max_pixels, reader=reader,
        )  # fmt: skip
        self.name = name or _label(selector, self.frames_of, scorer, play)
        self._task: VideoTask | None = None
        self._seed = 0

    def prepare(self, budget: Budget) -> Budget:
        """The budget of the run; for "look" with all frames in the overview and no zoom, for "sizes" the reverse."""
        self._shown = budget
        self._count = self.frames or (
            budget.max_zooms * budget.clip_frames if self.play == "zoom" else budget.max_frames
        )
        if self.play == "look":
            budget = _one_look(budget, self._count)
        elif self.play == "sizes":
            budget = _sized_look(budget, self.frames_of, self._count)
        return super().prepare(budget)

    def overview(self, task: VideoTask, seed: int) -> SelectedOverview | None:
        """The selected frames for "look"; else None."""
        if self.play != "look":
            return None
        selection = self.frames_of.select(task, max(1, self._count), seed)
        return SelectedOverview(selection.times, selection.costs)

    def reveal(self, task: VideoTask) -> None:
        """Receive the task, for its video and question; the evidence is used by a privileged scorer only."""
        self._task = task

    def reset(self, seed: int) -> None:
        """Start an episode."""
        super().reset(seed)
        self._seed = seed

    def plan(self, info: dict[str, Any]) -> list[Zoom | Zooms]:
        """Zooms to the selected frames."""
        if self.play == "look" or not self._count:
            return []
        if self._task is None:
            raise InvalidSetting(f"{self.name} needs each task before the episode: call reveal(task)")
        sizes = self.play == "sizes"
        selection = self.frames_of.select(self._task, self._count, self._seed, sizes=sizes)
        self.costs = dict(selection.costs)
        if sizes:
            return sized_zooms(selection, self._task.video, self.budget, self._shown)
        return plan_zooms(selection.times, selection.candidates.step, info["duration"], self.budget)

    def act(self, observation: Any, info: dict[str, Any]) -> Zoom | Zooms | Answer:
        """The next zoom while one is left; then the answer."""
        self.costs = {}
        return super().act(observation, info)


class SelectorTextPolicy:
    """A language model that answers from selected frames.

    `play="look"` shows all frames at once, without zooms. `play="sizes"` shows frames of several sizes, as for
    `SelectorPolicy`: the first turn, a turn of zooms in the model's protocol, is written for the model.

    Args:
        selector: As for `SelectorPolicy`.
        policy: The policy that answers, which must generate text.
        scorer: As for `SelectorPolicy`; so are the other options.

    Raises:
        InvalidSetting: If the policy does not generate text, or an option is out of range.
        UnknownName: If a name is not registered.
    """

    def __init__(
        self,
        selector: SelectorSpec,
        policy: AnyPolicy | str | Mapping[str, Any],
        scorer: ScorerSpec | None = None,
        *,
        play: str = "look",
        frames: int | None = None,
        fps: float | None = None,
        most: int | None = None,
        embedder: ScorerSpec | None = None,
        max_pixels: int | None = None,
        cache: CacheSpec = None,
        name: str = "",
    ) -> None:
        if play not in ("look", "sizes"):
            raise InvalidSetting(f"play of a selector with a policy must be 'look' or 'sizes', got {play!r}")
        if frames is not None:
            check_number("frames", frames, 1, whole=True)
        self.frames_of = VideoSelector(
            selector, scorer, embedder=embedder, fps=fps, most=most, max_pixels=max_pixels, cache=cache
        )
        self.inner: Any = load_policy(policy)
        if not isinstance(self.inner, TextPolicy):
            raise InvalidSetting(f"policy of a selector must generate text (reset(seeds), respond), got {self.inner!r}")
        self.traits = PolicyTraits.of(self.inner)
        _check_sizes(self.frames_of, play)
        self.play, self.frames = play, frames
        self.privileged = self.frames_of.privileged or self.traits.privileged
        self.protocol, self.batch_size = self.traits.protocol, self.traits.batch_size
        self.identity = {
            **_identity(selector=selector, scorer=scorer, play=play, frames=frames, fps=fps, most=most,
                        embedder=embedder, max_pixels=max_pixels),
            "policy": self.traits.identity or redact(policy if isinstance(policy, str | Mapping) else self.traits.name),
        }  # fmt: skip
        self.name = name or f"{_label(selector, self.frames_of, scorer, play)} + {self.traits.name}"
        self._count = 1
        self._tasks: list[VideoTask] = []
        self._seeds: list[int] = []
        self._first: list[Mapping[str, float]] | None = None
        self._looked = False

    @property
    def costs(self) -> Sequence[Mapping[str, float]] | None:
        """Costs of the latest texts: of the policy, if it counts any, or of the selection."""
        if self._first is not None:
            return self._first
        found: Sequence[Mapping[str, float]] | None = getattr(self.inner, "costs", None)
        return found

    def prepare(self, budget: Budget) -> Budget:
        """The budget of the run with all frames in the overview and no zoom; for "sizes" the reverse."""
        self._count = self.frames or budget.max_frames
        self._shown = budget
        look = _one_look(budget, self._count)
        self.budget = self.traits.prepare(
            _sized_look(budget, self.frames_of, self._count) if self.play == "sizes" else look
        )
        return self.budget

    def reveal(self, tasks: Sequence[VideoTask]) -> None:
        """Receive the tasks, for their videos and questions; the evidence is used by a privileged scorer only."""
        self._tasks = list(tasks)
        self.traits.reveal(tasks)

    def overview(self, task: VideoTask, seed: int) -> SelectedOverview | None:
        """The selected frames for "look"; else None."""
        if self.play == "sizes":
            return None
        selection = self.frames_of.select(task, max(1, self._count), seed)
        return SelectedOverview(selection.times, selection.costs)

    def reset(self, seeds: Sequence[int]) -> None:
        """Start a batch of episodes."""
        self._seeds, self._first, self._looked = list(seeds), None, False
        self.inner.reset(seeds)

    def respond(self, dialogues: Sequence[Sequence[Message]]) -> list[str]:
        """The policy's texts; for "sizes" first a turn of zooms to the selected frames."""
        if self.play == "sizes" and not self._looked:
            self._looked = True
            return self._look()
        self._first = None
        texts: list[str] = self.inner.respond(dialogues)
        return texts

    def _look(self) -> list[str]:
        """The first turn of each episode: zooms to the selected frames."""
        protocol: TextProtocol = PROTOCOLS.make(self.protocol)
        rules = TurnRules(self.budget.zooms_per_turn)
        texts, self._first = [], []
        for task, seed in zip(self._tasks, self._seeds, strict=True):
            selection = self.frames_of.select(task, max(1, self._count), seed, sizes=True)
            (zooms,) = sized_zooms(selection, task.video, self.budget, self._shown)
            texts.append(compose(protocol, zooms, "I look at the selected frames.", rules))
            self._first.append(selection.costs)
        return texts


def make_selector_policy(
    selector: SelectorSpec, *, policy: AnyPolicy | str | Mapping[str, Any] | None = None, **options: Any
) -> SelectorPolicy | SelectorTextPolicy:
    """A policy that plays with a selector.

    Args:
        selector: The selector.
        policy: Generates the answer's text; without it a frame reader answers.
        options: Those of `SelectorPolicy` or `SelectorTextPolicy`.

    Raises:
        InvalidSetting: If there is no such option.
    """
    if policy is None:
        return SelectorPolicy(selector, **options)
    if "reader" in options:
        raise InvalidSetting("a selector with a policy has no option reader: the policy reads the frames")
    return SelectorTextPolicy(selector, policy, **options)


class NamedSelector(OptionsByName):
    """Makes the policy of one selector: `aks`, `aks:scorer=siglip,play=zoom` or `{name: aks, ...}`.

    Args:
        selector: The selector's name; "" for an option `selector`.
    """

    def __init__(self, selector: str) -> None:
        self.selector = selector

    def __repr__(self) -> str:
        return f"NamedSelector({self.selector!r})"

    def __call__(self, **options: Any) -> SelectorPolicy | SelectorTextPolicy:
        """Make the policy.

        Args:
            options: Those of the policy (`make_selector_policy`); all others are the selector's.
        """
        given = {name: options.pop(name) for name in _POLICY_OPTIONS & set(options)}
        if not self.selector:
            if "selector" not in options:
                raise InvalidSetting("the policy 'selector' needs the option selector: a selector's name or mapping")
            spec = options.pop("selector")
            if options:
                raise InvalidSetting(
                    f"policy 'selector' has no option {', '.join(sorted(options))}: give the options of the selector "
                    "in a mapping, selector: {name: ..., ...}"
                )
            return make_selector_policy(spec, **given)
        return make_selector_policy({"name": self.selector, **options} if options else self.selector, **given)


_POLICY_OPTIONS = frozenset("scorer play frames fps most embedder max_pixels cache reader policy".split())


class _Makers:
    """The maker of each selector's policy, as an attribute of the selector's name; `selector` takes any selector."""

    def __getattr__(self, name: str) -> NamedSelector:
        if name.startswith("_"):
            raise AttributeError(name)
        return _maker("" if name == "selector" else name)


@cache
def _maker(name: str) -> NamedSelector:
    return NamedSelector(name)


POLICY_OF = _Makers()


def _check_sizes(selector: VideoSelector, play: str) -> None:
    if play == "sizes" and not hasattr(selector.selector, "select_sizes"):
        raise InvalidSetting(
            f"selector {selector.selector.name!r} has no frames of several sizes (play: sizes): q-frame has"
        )


def _sized_look(budget: Budget, selector: VideoSelector, frames: int) -> Budget:
    """The budget for `sized_zooms`: no overview, and one turn of as many zooms as frames."""
    most = selector.selector.most_sizes(max(1, frames))  # type: ignore[attr-defined]
    return budget.with_zooms(
        1,
        overview_frames=0,
        overview_last=False,
        zooms_per_turn=most,
        clip_frames=most,
        zoom_max_pixels=budget.max_pixels,
        # The smallest frames have a sixteenth of the largest ones' pixels.
        min_pixels=max(1, budget.min_pixels // 16),
    )


def _one_look(budget: Budget, frames: int) -> Budget:
    return budget.with_zooms(0, overview_fps=math.inf, overview_frames=frames)


def _identity(**options: Any) -> dict[str, Any]:
    """The options that differ from their defaults, as JSON values."""
    found = {name: value for name, value in options.items() if value is not None and value != "look"}
    return {
        name: value if isinstance(value, (str, int, float, Mapping)) else getattr(value, "name", repr(value))
        for name, value in found.items()
    }


def _words(spec: object, found: object) -> str:
    """A component in a table: its name and options."""
    if isinstance(spec, Mapping):
        options = [f"{key}={value}" for key, value in redact(dict(spec)).items() if key != "name"]
        return f"{spec['name']}:{','.join(options)}" if options else str(spec["name"])
    return spec if isinstance(spec, str) else str(getattr(found, "name", ""))


def _label(selector: SelectorSpec, frames_of: VideoSelector, scorer: ScorerSpec | None, play: str) -> str:
    label = _words(selector, frames_of.selector)
    if play != "look":
        label += f" {play}"
    used = frames_of.scorer or frames_of.embedder
    return label if used is None else f"{label} ({_words(scorer, used)})"
