"""Counterfactual answers of a frame reader or a policy from selected clips of an episode.

`credit(record, answerer)` uses them to find the clips on which an answer depends. `Credit` is the metric; the reward
modules sufficiency, csv, rescue_regress, needed_clips, confidence_gain and information_gain use them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vzgym.baselines.readers import FrameReader, ReaderSpec, make_reader
from vzgym.core.actions import Action, Answer, Region, ToolCall, Zoom, Zooms
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, RecordError, VideoError
from vzgym.episode.answers import read_choice
from vzgym.episode.clip import Clip
from vzgym.episode.episode import Episode
from vzgym.episode.record import EpisodeRecord, ToolDescription
from vzgym.episode.tools import ToolContext, ToolResult
from vzgym.episode.wording import Wording
from vzgym.evaluation.pixels import clips_with_pixels
from vzgym.policies.policy import AnyPolicy, TextPolicy, load_policy
from vzgym.policies.traits import PolicyTraits
from vzgym.protocols import PROTOCOLS, TextProtocol
from vzgym.rewards.counterfactual import Credit, credit
from vzgym.rollout.rollout import EpisodeStart, Rollout
from vzgym.tasks.task import VideoTask, option_letter
from vzgym.tools.extras import Extras
from vzgym.video.base import Frames
from vzgym.video.synthetic import letterbox

__all__ = ["Credit", "PolicyAnswerer", "ProbabilityPolicyAnswerer", "ReaderAnswerer", "credit", "make_answerer"]


class _RecordedPixels:
    """Clips of records with pixels; caches those of the latest record."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._latest: tuple[EpisodeRecord, list[Clip]] | None = None

    def clips(self, record: EpisodeRecord) -> list[Clip]:
        """Return the record's clips with pixels.

        Raises:
            RecordError: If the video no longer shows the frames that the record was made from.
        """
        if self._latest is None or self._latest[0] is not record:
            self._latest = (record, clips_with_pixels(record, self._backend))
        return self._latest[1]


def _checked(record: EpisodeRecord, chosen: Sequence[int]) -> list[int]:
    wrong = [place for place in chosen if not 0 <= place < len(record.clips)]
    if wrong:
        raise InvalidSetting(f"task {record.task.id!r} has clips 0 to {len(record.clips) - 1}, none at {wrong[0]}")
    return sorted(set(chosen))


class ReaderAnswerer:
    """Answers from the pixels of selected clips with a frame reader; None if the reader finds nothing.

    Args:
        reader: The frame reader, as object, name, `"module:Class"` or mapping. Default: that of the task family.
        backend: Decoder for the video files of saved records.
    """

    def __init__(self, reader: ReaderSpec | None = None, *, backend: str = "pyav") -> None:
        self.reader: FrameReader = make_reader(reader)
        self._pixels = _RecordedPixels(backend)

    def answer_from(self, record: EpisodeRecord, clips: Sequence[int]) -> str | None:
        """See `vzgym.rewards.Answerer`.

        Raises:
            RecordError: If a saved record's frames cannot be read again.
            InvalidSetting: If there is no such clip.
        """
        shown = [clip for clip in map(self._pixels.clips(record).__getitem__, _checked(record, clips)) if len(clip)]
        if not shown:
            return None
        times = np.concatenate([clip.times for clip in shown])
        reading = self.reader.read(_together(shown), times, record.task.question, record.task.options)
        return reading.option

    def option_probabilities(self, record: EpisodeRecord, clips: Sequence[int]) -> NDArray[np.float64] | None:
        """See `vzgym.rewards.ProbabilityAnswerer`: certainty about what the reader finds, else equal probabilities.

        Raises:
            RecordError: If a saved record's frames cannot be read again.
            InvalidSetting: If there is no such clip.
        """
        options = record.task.options
        if not options:
            return None
        found = self.answer_from(record, clips)
        place = None if found is None else read_choice(found, options)
        return np.full(len(options), 1 / len(options)) if place is None else np.eye(len(options))[place]


def _together(clips: Sequence[Clip]) -> NDArray[np.uint8]:
    """Stack the frames of several clips, resized to the size of the first with black bars."""
    pixels = [clip.pixels for clip in clips if clip.pixels is not None]
    size = (pixels[0].shape[1], pixels[0].shape[2])
    same = [frames if frames.shape[1:3] == size else letterbox(frames, size) for frames in pixels]
    return np.concatenate(same)


class PolicyAnswerer:
    """Answers with a policy, in the last round of an episode with only the selected clips.

    The policy's text of each zoom is replaced by the bare call, since a thought may describe an omitted clip. Without
    clip 0 the overview is empty. The policy is seeded by the task and the selected clips, so that answers are
    reproducible.

    Args:
        policy: An object, a registered name, `"module:Class"`, or a mapping with `name`.
        backend: Decoder for the video files of saved records.

    Raises:
        InvalidSetting: If it is not a policy.
    """

    def __init__(self, policy: AnyPolicy | str | Mapping[str, Any], *, backend: str = "pyav") -> None:
        self.policy = load_policy(policy)
        self._pixels = _RecordedPixels(backend)

    def answer_from(self, record: EpisodeRecord, clips: Sequence[int]) -> str | None:
        """See `vzgym.rewards.Answerer`: what the policy answers; None if it does anything else.

        Raises:
            RecordError: If a saved record's frames cannot be read again.
            InvalidSetting: If there is no such clip.
        """
        start = self._start(record, clips)
        rollout = Rollout(self.policy, [start.task], record.budget)
        (played,) = rollout.play([start])
        if played is None:
            raise RecordError(f"the record cannot be replayed: {rollout.failed[start.task.id]}")
        return played.record.answer

    def _start(self, record: EpisodeRecord, clips: Sequence[int]) -> _ChosenClips:
        """The episode in which only these clips have been shown; prepares the policy for it."""
        chosen = _checked(record, clips)
        seen = {place: self._pixels.clips(record)[place] for place in chosen}
        key = f"{record.task.id}|{chosen}|{record.info.seed}|{record.info.index}"
        seed = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=4).digest(), "big")
        PolicyTraits.of(self.policy).prepare(record.budget)
        facts = record.task
        # Only the frames of the record are shown.
        task = facts.with_video(_RecordedVideo(facts.video, facts.duration, facts.height, facts.width))
        return _ChosenClips(task, seed, record=record, clips=seen)


class ProbabilityPolicyAnswerer(PolicyAnswerer):
    """A `PolicyAnswerer` that also gives the probabilities of the options.

    The policy writes its turn of the last round. Its answer is then replaced by each option in turn, in the form in
    which the policy wrote it (a letter or a text), and the likelihoods of these turns are normalized.

    Args:
        policy: A `TextPolicy` with `log_likelihoods`, as a `VLMPolicy` is; as for `PolicyAnswerer`.
        backend: Decoder for the video files of saved records.

    Raises:
        InvalidSetting: If the policy cannot give likelihoods.
    """

    def __init__(self, policy: AnyPolicy | str | Mapping[str, Any], *, backend: str = "pyav") -> None:
        super().__init__(policy, backend=backend)
        if not _gives_likelihoods(self.policy):
            raise InvalidSetting(
                f"policy {PolicyTraits.of(self.policy).name!r} gives no likelihoods of texts: it needs "
                "log_likelihoods(dialogue, texts), as policy 'vlm' has"
            )

    def option_probabilities(self, record: EpisodeRecord, clips: Sequence[int]) -> NDArray[np.float64] | None:
        """See `vzgym.rewards.ProbabilityAnswerer`; None also if the policy does not answer with an option.

        Raises:
            RecordError: If a saved record's frames cannot be read again.
            InvalidSetting: If there is no such clip.
        """
        policy: Any = self.policy
        options = record.task.options
        if not options:
            return None
        start = self._start(record, clips)
        protocol: TextProtocol = PROTOCOLS.make(PolicyTraits.of(policy).protocol)
        episode = start.make_episode(record.budget, protocol, Extras())
        policy.reset([start.seed])
        (text,) = policy.respond([episode.messages])
        action = protocol.parse(text, episode.rules).action
        if not isinstance(action, Answer) or (said := read_choice(action.text, options)) is None:
            return None
        written = action.text.strip()
        lead, _, rest = str(text).rpartition(written)
        letters = [option_letter(place) for place in range(len(options))]
        forms = options if written == options[said] and written != letters[said] else letters
        scores = np.asarray(policy.log_likelihoods(episode.messages, [f"{lead}{form}{rest}" for form in forms]))
        weights = np.exp(scores - scores.max())
        return np.asarray(weights / weights.sum(), dtype=np.float64)


def _gives_likelihoods(policy: AnyPolicy) -> bool:
    return isinstance(policy, TextPolicy) and hasattr(policy, "log_likelihoods")


@dataclass(frozen=True)
class _RecordedVideo:
    """A record's video without frames; the required ones are in the record."""

    uri: str
    duration: float
    height: int
    width: int
    # Records do not store these two.
    fps: float = 1.0
    num_frames: int | None = None

    def read(
        self, times: NDArray[np.float64], *, size: tuple[int, int] | None = None, region: Region | None = None
    ) -> Frames:
        """Raise.

        Raises:
            VideoError: Always.
        """
        raise VideoError("a counterfactual answer can use the record's own frames only", path=self.uri)

    def close(self) -> None:
        """Do nothing: no file is open."""


@dataclass(frozen=True, kw_only=True)
class _ChosenClips(EpisodeStart):
    """Starts an episode in which selected clips of a record have been shown."""

    record: EpisodeRecord
    clips: Mapping[int, Clip]
    selects_overview: ClassVar[bool] = False

    def make_episode(
        self, budget: Budget, wording: Wording, extras: Extras, overview: NDArray[np.float64] | None = None
    ) -> Episode:
        return _RecordedEpisode(self.task, self.record, self.clips, wording)


class _RecordedEpisode(Episode):
    """An episode that shows clips of a record."""

    def __init__(self, task: VideoTask, record: EpisodeRecord, seen: Mapping[int, Clip], wording: Wording) -> None:
        zooms = [place for place in seen if place]
        nothing = replace(
            record.overview, requested=np.empty(0), times=np.empty(0), decoded=0, seconds=0.0,
            pixels=np.empty((0, *record.overview.size, 3), dtype=np.uint8), _hashes=[], _thumbnails={},
        )  # fmt: skip
        self._to_show = [seen.get(0, nothing), *(seen[place] for place in zooms)]
        actions = _actions_showing(record, set(zooms))
        tools = [_RecordedTool(tool, self._to_show) for tool in record.tools]
        # With this many rounds, the remaining one is the last, in which only an answer is possible.
        budget = replace(record.budget, max_zooms=len(actions), min_zooms=0)
        super().__init__(task, budget, wording, tools, "none")
        for action, reply in actions:
            for tool in tools:
                tool.reply = reply
            self.step(action)

    def _look(self, times: NDArray[np.float64], zoom: Zoom | None = None) -> Clip:
        return self._to_show.pop(0)


class _RecordedTool:
    """A tool of a record, which returns the recorded replies.

    Args:
        tool: The tool.
        to_show: The clips that are still to be shown, shared with the episode.

    Attributes:
        reply: The text to return.
    """

    def __init__(self, tool: ToolDescription, to_show: list[Clip]) -> None:
        self.name, self.description = tool.name, tool.description
        self.parameters, self.spec = tool.parameters, tool.spec
        self.reply = ""
        self._to_show = to_show

    def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Return the recorded text and the next clip."""
        return ToolResult(self.reply, self._to_show.pop(0))


def _actions_showing(record: EpisodeRecord, chosen: set[int]) -> list[tuple[Action, str]]:
    """The actions that showed the chosen clips, without their other zooms, and the texts of tools.

    Turns that showed none of them are left out, those of tools that returned only text included.
    """
    found: list[tuple[Action, str]] = []
    place = 0
    for turn in record.turns:
        kept = [number for number in range(len(turn.clips)) if place + number + 1 in chosen]
        place += len(turn.clips)
        if kept and turn.tool:
            found.append((turn.action, turn.reply))
        elif kept:
            found.append((Zooms(tuple(turn.zooms[number] for number in kept)), ""))
    return found


def make_answerer(
    spec: str | Mapping[str, Any] | AnyPolicy, *, backend: str = "pyav"
) -> ReaderAnswerer | PolicyAnswerer:
    """Create an answerer: the procedural families' frame reader, or a policy.

    Args:
        spec: "reader", or a policy as object, name, `"module:Class"` or mapping. A policy with `log_likelihoods` also
            gives the probabilities of the options.
        backend: Decoder for the video files of saved records.
    """
    if spec == "reader":
        return ReaderAnswerer(backend=backend)
    policy = load_policy(spec)
    return (ProbabilityPolicyAnswerer if _gives_likelihoods(policy) else PolicyAnswerer)(policy, backend=backend)
