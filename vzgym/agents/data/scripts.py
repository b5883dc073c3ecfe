"""Scripts: whole trajectories in text, good ones and deliberately bad ones, played through the real engine.

Every frame, reply and grade of a trajectory is the engine's own. A `Kind` says how it is played, and which checks it
cannot pass by design.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vzgym.agents.data.thoughts import compose, think
from vzgym.baselines.viewer import NICE_FPS, Hints, Step, Viewer
from vzgym.core.actions import Answer, Zoom
from vzgym.core.budget import Budget
from vzgym.core.errors import TaskError
from vzgym.episode.answers import lettered
from vzgym.episode.episode import Episode
from vzgym.episode.record import EpisodeRecord, Outcome, Turn
from vzgym.protocols.base import TextProtocol
from vzgym.tasks import expert_zooms
from vzgym.tasks.task import VideoTask, option_letter

__all__ = ["KINDS", "Kind", "Player", "Voice", "resume_with_expert"]


@dataclass(frozen=True, slots=True)
class Voice:
    """How a script speaks.

    Args:
        protocol: The text protocol.
        book: A phrase book of `vzgym.agents.data.thoughts`.
        wordings: Only the first so many wordings of each phrase are used; all if None.
    """

    protocol: TextProtocol
    book: str = "sentences"
    wordings: int | None = None


class Player:
    """One episode, and a viewer who watches it.

    Args:
        task: What is asked.
        budget: What may be looked at.
        voice: How the turns are worded.
        seed: Of everything that is drawn: order, guesses, mistakes, wordings.

    Attributes:
        task: As given.
        episode: The episode.
        viewer: Sees every clip of the episode.
        lucky: Whether a turn that was meant to miss the event showed it.
        reflects: Whether a mistake was made and gone back on, in words.

    Raises:
        VideoError: If the video cannot be opened.
        TaskError: If the task's evidence lies outside its video.
    """

    def __init__(self, task: VideoTask, budget: Budget, voice: Voice, seed: int) -> None:
        self.task = task
        self.voice = voice
        self.episode = Episode(task, budget, voice.protocol)
        facts = self.episode.record.task
        self.viewer = Viewer(facts.question, facts.options, facts.duration, budget, Hints.of(task, budget), seed=seed)
        self.viewer.see_clip(self.episode.record.overview)
        self.lucky = False
        self.reflects = False
        opening = "".join(message.text for message in self.episode.messages)
        # Letters mean something only to an agent that was shown them.
        self._letters = bool(facts.options) and lettered(facts.options) in opening

    def do(self, step: Step, before: str = "") -> Turn:
        """Play a step.

        Args:
            step: What to do and why.
            before: A thought that comes before the step's own; a zoom then says no more than where to look instead.
        """
        action = step.action
        if isinstance(action, Answer) and self._letters and action.text in self.viewer.options:
            action = Answer(option_letter(self.viewer.options.index(action.text)))
        own = self.think(step, "instead") if before and isinstance(action, Zoom) else self.think(step)
        thought = f"{before} {own}" if before else own
        return self.play(action, compose(self.voice.protocol, action, thought), well_formed=True)

    def play(self, action: Zoom | Answer, text: str, *, well_formed: bool) -> Turn:
        """Play an action that is worded already."""
        turn = self.episode.step(action, text=text, well_formed=well_formed)
        if turn.clip is not None:
            self.viewer.see_clip(turn.clip)
        self.viewer.zooms_left = self.episode.zooms_left
        return turn

    def think(self, step: Step, reason: str | None = None) -> str:
        """A step's thought in words; another one about the same facts if `reason` is given."""
        return think(self.voice.book, reason or step.reason, step.facts, self.viewer.rng, self.voice.wordings)

    def search(self, before: str = "") -> None:
        """Let the expert play to the end. `before` comes before its first thought."""
        while not self.episode.ended:
            self.do(self.viewer.next(), before)
            before = ""

    def mistakes(self, *wanted: Callable[[Viewer], Step | None]) -> list[Step]:
        """Those of the wanted mistakes that can be made here."""
        return [step for make in wanted if (step := make(self.viewer)) is not None]


def _exemplar(player: Player) -> None:
    player.search()


def _oracle(player: Player) -> None:
    for zoom in expert_zooms(player.task, player.episode.budget):
        facts = {**player.viewer.facts(), "from": zoom.start, "to": zoom.end, "fps": zoom.fps}
        player.do(Step(zoom, "oracle", facts))
    player.do(player.viewer.answer())


def _reflection(player: Player) -> None:
    found = player.mistakes(Viewer.wrong_scene, Viewer.too_coarse)
    if not found:
        player.search()
        return
    mistake = found[int(player.viewer.rng.integers(len(found)))]
    player.do(mistake)
    player.lucky = len(player.viewer.marked()) > 0
    player.reflects = True
    player.search(player.think(mistake, f"after_{mistake.reason}"))


def _guess(player: Player) -> None:
    player.do(player.viewer.guess())


def _needless(player: Player) -> None:
    for zoom in player.mistakes(Viewer.needless):
        player.do(zoom)
    player.search()


def _wrong_scene(player: Player) -> None:
    for mistake in player.mistakes(Viewer.wrong_scene):
        player.do(mistake)
    player.search()


def _one_zoom(player: Player) -> None:
    step = player.viewer.next()
    player.do(step)
    if not player.episode.ended:
        last = player.viewer.answer()
        player.do(Step(last.action, "stop", last.facts))


def _direct(player: Player) -> None:
    answer = player.task.answer
    player.do(Step(Answer(answer), "told", {**player.viewer.facts(), "answer": answer}))


def _told(player: Player) -> None:
    for zoom in _over_evidence(player.task, player.episode.budget):
        player.do(Step(zoom, "oracle", {**player.viewer.facts(), "from": zoom.start, "to": zoom.end, "fps": zoom.fps}))
    _direct(player)


def _over_evidence(task: VideoTask, budget: Budget) -> Sequence[Zoom]:
    """A zoom over each interval of a task's evidence, of some eight frames where the task names no rate.

    Raises:
        TaskError: If the evidence is unknown, or the budget cannot show it.
    """
    if task.evidence is None:
        raise TaskError(f"task {task.id!r}: its evidence is unknown, so nobody can be told where to look")
    if task.requirements.min_fps is not None:
        return expert_zooms(task, budget)
    if len(task.evidence) > budget.max_zooms:
        raise TaskError(f"task {task.id!r}: {len(task.evidence)} evidence intervals, but {budget.max_zooms} zooms")
    zooms = []
    for span in task.evidence:
        most = min(budget.max_fps, min(8, budget.clip_frames) / span.duration)
        rates = [rate for rate in NICE_FPS if budget.min_fps <= rate <= most]
        if not rates:
            raise TaskError(f"task {task.id!r}: a clip of the budget cannot show its evidence of {span.duration:g} s")
        zooms.append(Zoom(span.start, span.end, rates[-1]))
    return zooms


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of trajectory.

    Args:
        script: Plays it; None for kinds that a policy plays.
        about: One sentence for lists.
        skips: The filters that it cannot pass by design.
        reflects: Whether it goes back on a mistake, in words.
    """

    script: Callable[[Player], None] | None
    about: str
    skips: frozenset[str] = frozenset()
    reflects: bool = False


_BAD = frozenset({"correct", "evidence"})

KINDS: Final[Mapping[str, Kind]] = {
    "exemplar": Kind(_exemplar, "searches as a careful viewer would, then answers"),
    "oracle": Kind(_oracle, "is told the place, makes the cheapest zooms, then answers"),
    "reflection": Kind(_reflection, "a wrong or too coarse zoom, why it was wrong, a better one", reflects=True),
    "guess": Kind(_guess, "guesses without looking", _BAD),
    "wrong_scene": Kind(_wrong_scene, "zooms into a wrong scene, then searches with what is left", _BAD),
    "one_zoom": Kind(_one_zoom, "answers after one zoom, whatever it showed", _BAD),
    "needless": Kind(_needless, "zooms once before it answers, even where the overview shows the answer"),
    "told": Kind(_told, "is told place and answer: zooms there, then answers; for videos that no expert can read"),
    "direct": Kind(_direct, "the right answer at once, as told: for models without zoom", frozenset({"evidence"})),
    "policy": Kind(None, "a policy's own roll-out"),
    "continued": Kind(None, "a policy's wrong roll-out, continued by the expert", reflects=True),
    "taught": Kind(None, "a policy's wrong roll-out, continued by a teacher", reflects=True),
}
"""Every kind of trajectory, by name."""


def resume_with_expert(
    wrong: EpisodeRecord, task: VideoTask, voice: Voice, seed: int, turns: Sequence[Turn] | None = None
) -> EpisodeRecord | None:
    """Go on from a wrong roll-out: its executed zooms again, then why they were not enough, then the expert.

    Its final answer and its failed turns are dropped.

    Args:
        wrong: A finished record with a wrong answer.
        task: Its task.
        voice: How the expert speaks; the roll-out's own turns keep their words.
        seed: Of what the expert draws.
        turns: The turns to keep; all executed, well-formed zooms of `wrong` if None.

    Returns:
        The new record; None if nothing of the roll-out can be kept.
    """
    kept = turns if turns is not None else [t for t in wrong.turns if t.outcome is Outcome.EXECUTED and t.well_formed]
    if not kept:
        return None
    player = Player(task, wrong.budget, voice, seed)
    for turn in kept:
        assert isinstance(turn.action, Zoom)  # only zooms are executed
        player.play(turn.action, turn.text, well_formed=turn.well_formed)
    following = player.viewer.next() if not player.episode.ended else None
    if following is None:
        return None
    reason = "misread" if len(player.viewer.marked()) else "missed"
    player.do(following, player.think(following, reason))
    player.search()
    return player.episode.record
