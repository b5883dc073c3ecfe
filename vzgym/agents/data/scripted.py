"""Scripted trajectories, good and deliberately bad ones.

They are played in an ordinary `Episode`, so every frame, reply and grade is real. A `TrajectoryKind` defines how one is
played and which filters it cannot pass by design.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vzgym.agents.data.phrases import choose_phrase, compose, windows_of
from vzgym.baselines.memory import ROUND_FPS, ExpertMemory, hints_for
from vzgym.core.actions import Action, Answer, ToolCall, Zoom
from vzgym.core.budget import Budget, group_zooms
from vzgym.core.errors import TaskError
from vzgym.episode.answers import lettered
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.turn import Outcome, Turn
from vzgym.protocols.base import TextProtocol
from vzgym.tasks import expert_zooms
from vzgym.tasks.procedural.family import family_of_task
from vzgym.tasks.procedural.search import Step
from vzgym.tasks.task import VideoTask, option_letter
from vzgym.tools.extras import Extras

__all__ = ["TRAJECTORY_KINDS", "ScriptedRollout", "TrajectoryKind", "TrajectoryStyle", "resume_with_expert"]


@dataclass(frozen=True, slots=True)
class TrajectoryStyle:
    """Style of the turns of a scripted trajectory.

    Args:
        protocol: The text protocol.
        book: A phrase book of `vzgym.agents.data.phrases`.
        wordings: Number of wordings of each phrase to use, from the first; all if None.
    """

    protocol: TextProtocol
    book: str = "sentences"
    wordings: int | None = None


class ScriptedRollout:
    """An episode played by a script, with an `ExpertMemory` that keeps track of the shown frames.

    Args:
        task: The task.
        budget: The budget.
        style: How the turns are written.
        seed: Seeds the order of searches, guesses, mistakes and wordings.
        extras: Tools, and subtitles in the dialogue.

    Attributes:
        task: As given.
        episode: The episode.
        memory: Receives every clip of the episode.
        lucky: Whether a turn that was intended to miss the event showed it.
        reflects: Whether a mistake was made, explained and corrected.

    Raises:
        VideoError: If the video cannot be opened.
        TaskError: If the task's evidence lies outside its video.
    """

    def __init__(
        self, task: VideoTask, budget: Budget, style: TrajectoryStyle, seed: int, extras: Extras | None = None
    ) -> None:
        self.task = task
        self.style = style
        self.episode = (extras or Extras()).episode(task, budget, style.protocol)
        facts = self.episode.record.task
        self.memory = ExpertMemory(
            facts.question, facts.options, facts.duration, budget, hints_for(task, budget), seed=seed
        )
        self.memory.see_clip(self.episode.record.overview)
        self.lucky = False
        self.reflects = False
        opening = "".join(message.text for message in self.episode.messages)
        # Option letters are meaningful only to an agent that was shown them.
        self._letters = bool(facts.options) and lettered(facts.options) in opening

    def do(self, step: Step, before: str = "") -> Turn:
        """Play a step.

        Args:
            step: The action and its reason.
            before: A thought placed before the step's own; a zoom's own thought then only states where to look instead.
        """
        action = step.action
        if isinstance(action, Answer) and self._letters and action.text in self.memory.options:
            action = Answer(option_letter(self.memory.options.index(action.text)))
        own = self.thought(step, "instead") if before and isinstance(action, Zoom) else self.thought(step)
        thought = f"{before} {own}" if before else own
        return self.play(action, compose(self.style.protocol, action, thought, self.episode.rules), well_formed=True)

    def call(self, tool: str, arguments: Mapping[str, Any], reason: str) -> Turn:
        """Call a tool, with the thought of a reason."""
        action = ToolCall(tool, arguments)
        thought = choose_phrase(self.style.book, reason, self.memory.facts(), self.memory.rng, self.style.wordings)
        text = compose(self.style.protocol, action, thought, self.episode.rules)
        return self.play(action, text, well_formed=True)

    def play(self, action: Action, text: str, *, well_formed: bool) -> Turn:
        """Play an action with its text."""
        turn = self.episode.step(action, text=text, well_formed=well_formed)
        for clip in turn.clips:
            self.memory.see_clip(clip)
        self.memory.zooms_left = self.episode.zooms_left
        return turn

    def thought(self, step: Step, reason: str | None = None) -> str:
        """The thought of a step, for its own reason or another one."""
        return choose_phrase(self.style.book, reason or step.reason, step.facts, self.memory.rng, self.style.wordings)

    def search(self, before: str = "") -> None:
        """Let the expert play to the end. `before` precedes its first thought."""
        while not self.episode.ended:
            self.do(self.memory.next(), before)
            before = ""

    def mistakes(self, *wanted: Callable[[ExpertMemory], Step | None]) -> list[Step]:
        """The mistakes among `wanted` that are possible here."""
        return [step for make in wanted if (step := make(self.memory)) is not None]


def _exemplar(rollout: ScriptedRollout) -> None:
    rollout.search()


def _oracle(rollout: ScriptedRollout) -> None:
    _look(rollout, expert_zooms(rollout.task, rollout.episode.budget))
    rollout.do(rollout.memory.answer())


def _look(rollout: ScriptedRollout, zooms: Sequence[Zoom]) -> None:
    """Make zooms in as few turns as the budget allows."""
    for action in group_zooms(zooms, rollout.episode.budget):
        facts = rollout.memory.facts()
        if isinstance(action, Zoom):
            facts |= {"from": action.start, "to": action.end, "fps": action.fps}
            rollout.do(Step(action, "oracle", facts))
            continue
        facts |= {"from": action.zooms[0].start, "windows": windows_of(action)}
        style, rng = rollout.style, rollout.memory.rng
        thought = choose_phrase(style.book, "oracle_several", facts, rng, style.wordings)
        text = compose(style.protocol, action, thought, rollout.episode.rules)
        rollout.play(action, text, well_formed=True)


def _reflection(rollout: ScriptedRollout) -> None:
    found = rollout.mistakes(ExpertMemory.wrong_scene, ExpertMemory.too_coarse)
    if not found:
        rollout.search()
        return
    mistake = found[int(rollout.memory.rng.integers(len(found)))]
    rollout.do(mistake)
    rollout.lucky = len(rollout.memory.event_times()) > 0
    rollout.reflects = True
    rollout.search(rollout.thought(mistake, f"after_{mistake.reason}"))


def _guess(rollout: ScriptedRollout) -> None:
    rollout.do(rollout.memory.guess())


def _needless(rollout: ScriptedRollout) -> None:
    for zoom in rollout.mistakes(ExpertMemory.needless):
        rollout.do(zoom)
    rollout.search()


def _wrong_scene(rollout: ScriptedRollout) -> None:
    for mistake in rollout.mistakes(ExpertMemory.wrong_scene):
        rollout.do(mistake)
    rollout.search()


def _one_zoom(rollout: ScriptedRollout) -> None:
    rollout.do(rollout.memory.next())
    _stop(rollout)


def _wide(rollout: ScriptedRollout) -> None:
    for zoom in rollout.mistakes(ExpertMemory.wide):
        rollout.do(zoom)
    _stop(rollout)


def _stop(rollout: ScriptedRollout) -> None:
    """Answer, whatever has been seen."""
    if not rollout.episode.ended:
        last = rollout.memory.answer()
        rollout.do(Step(last.action, "stop", last.facts))


def _direct(rollout: ScriptedRollout) -> None:
    answer = rollout.task.answer
    rollout.do(Step(Answer(answer), "told", {**rollout.memory.facts(), "answer": answer}))


def _told(rollout: ScriptedRollout) -> None:
    _look(rollout, _over_evidence(rollout.task, rollout.episode.budget))
    _direct(rollout)


def _subtitles(rollout: ScriptedRollout) -> None:
    _search_with(rollout, "subtitles", {"query": rollout.memory.question}, _LINE)


def _find_frames(rollout: ScriptedRollout) -> None:
    _search_with(rollout, "find_frames", {"text": rollout.memory.question}, _FOUND)


_LINE = re.compile(r"^\[(?P<start>[\d.]+)-(?P<end>[\d.]+) s\]", re.MULTILINE)
_FOUND = re.compile(r"^(?P<start>[\d.]+) s \(score", re.MULTILINE)


def _search_with(rollout: ScriptedRollout, tool: str, arguments: Mapping[str, Any], times: re.Pattern[str]) -> None:
    """Call a tool, zoom into the first place that its reply names, then search as an exemplar does.

    Where no expert can read the video, the script is told the evidence and the answer.
    """
    if rollout.memory.zooms_left:
        found = times.search(rollout.call(tool, arguments, tool).reply)
        if found is not None and rollout.memory.zooms_left:
            start = float(found["start"])
            _zoom_around(rollout, start, float(found.groupdict().get("end") or start))
    if family_of_task(rollout.task) is None:
        _direct(rollout)
    else:
        rollout.search()


def _zoom_around(rollout: ScriptedRollout, start: float, end: float) -> None:
    """Zoom around an interval, with room for the event to begin before it or last beyond it, as far as a clip does."""
    memory = rollout.memory
    seconds = memory.hints.seconds or 1.0
    fps = memory.rate(memory.hints.fps, end - start + 2 * seconds, 1)
    reach = memory.budget.clip_frames / fps
    first = max(start - seconds, (start + end - reach) / 2)
    zoom = memory.zoom(first, min(first + reach, end + seconds), fps)
    if zoom is not None:
        facts = {**memory.facts(), "at": (start + end) / 2, "from": zoom.start, "to": zoom.end, "fps": zoom.fps}
        rollout.do(Step(zoom, "found", facts))


def _over_evidence(task: VideoTask, budget: Budget) -> Sequence[Zoom]:
    """A zoom over each interval of a task's evidence, with about eight frames if the task specifies no rate.

    Raises:
        TaskError: If the evidence is unknown, or the budget cannot show it.
    """
    if task.evidence is None:
        raise TaskError(f"task {task.id!r}: its evidence is unknown, so a script cannot know where to look")
    if task.requirements.min_fps is not None:
        return expert_zooms(task, budget)
    zooms: list[Zoom] = []
    for span in task.evidence:
        most = min(budget.max_fps, min(8, budget.clip_frames) / span.duration)
        rates = [rate for rate in ROUND_FPS if budget.min_fps <= rate <= most]
        if not rates:
            raise TaskError(f"task {task.id!r}: a clip of the budget cannot show its evidence of {span.duration:g} s")
        zooms.append(Zoom(span.start, span.end, rates[-1]))
    if len(group_zooms(zooms, budget)) > budget.max_zooms:
        raise TaskError(f"task {task.id!r}: {len(zooms)} evidence intervals, but {budget.max_zooms} turns with zooms")
    return zooms


@dataclass(frozen=True, slots=True)
class TrajectoryKind:
    """A kind of trajectory.

    Args:
        script: Function that plays it; None for kinds played by a policy.
        about: A one-line description.
        skips: The filters that it cannot pass by design.
        reflects: Whether it corrects a mistake, in words.
        tool: The tool that it calls; "" for none.
    """

    script: Callable[[ScriptedRollout], None] | None
    about: str
    skips: frozenset[str] = frozenset()
    reflects: bool = False
    tool: str = ""


_BAD = frozenset({"correct", "evidence"})

TRAJECTORY_KINDS: Final[Mapping[str, TrajectoryKind]] = {
    "exemplar": TrajectoryKind(_exemplar, "searches as a careful viewer would, then answers"),
    "oracle": TrajectoryKind(_oracle, "knows the position of the evidence, makes the cheapest zooms, then answers"),
    "reflection": TrajectoryKind(
        _reflection, "a wrong or too coarse zoom, why it was wrong, a better one", reflects=True
    ),
    "guess": TrajectoryKind(_guess, "guesses without looking", _BAD),
    "wrong_scene": TrajectoryKind(_wrong_scene, "zooms into a wrong scene, then searches with what is left", _BAD),
    "one_zoom": TrajectoryKind(_one_zoom, "answers after one zoom, whatever it showed", _BAD),
    "wide": TrajectoryKind(_wide, "answers after one zoom over the whole scene, too coarse to show it for sure", _BAD),
    "needless": TrajectoryKind(_needless, "zooms once before it answers, even where the overview shows the answer"),
    "told": TrajectoryKind(
        _told, "knows position and answer: zooms there, then answers; for videos that no expert can read"
    ),
    "subtitles": TrajectoryKind(
        _subtitles,
        "searches the subtitles for the question, zooms to what it finds, then answers",
        tool="subtitles",
    ),
    "find_frames": TrajectoryKind(
        _find_frames, "searches for frames that fit the question, zooms there, then answers", tool="find_frames"
    ),
    "direct": TrajectoryKind(
        _direct, "the right answer at once, as told: for models without zoom", frozenset({"evidence"})
    ),
    "policy": TrajectoryKind(None, "a policy's own roll-out"),
    "continued": TrajectoryKind(None, "a policy's wrong roll-out, continued by the expert", reflects=True),
    "taught": TrajectoryKind(None, "a policy's wrong roll-out, continued by a teacher", reflects=True),
}
"""Every kind of trajectory, by name."""


def resume_with_expert(
    wrong: EpisodeRecord,
    task: VideoTask,
    style: TrajectoryStyle,
    seed: int,
    turns: Sequence[Turn] | None = None,
    extras: Extras | None = None,
) -> EpisodeRecord | None:
    """Continue a wrong roll-out.

    Its executed zooms and tool calls are repeated, a thought says why they were not enough, then the expert plays.

    Its final answer and its failed turns are dropped.

    Args:
        wrong: A finished episode with a wrong answer.
        task: Its task.
        style: Style of the expert's turns; the roll-out's own turns keep their text.
        seed: Seeds the expert.
        turns: The turns to keep; all executed, well-formed zooms and tool calls of `wrong` if None.
        extras: Tools, and subtitles in the dialogue.

    Returns:
        The new record; None if nothing of the roll-out can be kept.
    """
    kept = turns if turns is not None else [t for t in wrong.turns if t.outcome is Outcome.EXECUTED and t.well_formed]
    if not kept:
        return None
    rollout = ScriptedRollout(task, wrong.budget, style, seed, extras)
    for turn in kept:
        rollout.play(turn.action, turn.text, well_formed=turn.well_formed)
    following = rollout.memory.next() if not rollout.episode.ended else None
    if following is None:
        return None
    reason = "misread" if len(rollout.memory.event_times()) else "missed"
    rollout.do(following, rollout.thought(following, reason))
    rollout.search()
    return rollout.episode.record
