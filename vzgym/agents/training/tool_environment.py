"""An `Episode` as the environment of TRL's tool loop; not a `gymnasium.Env`.

TRL exposes each public method of the class as a tool, so there is one: `ToolEnvironment.video_zoom`. It receives the
model's whole turn, which the episode's text protocol parses, as in evaluation. The same protocol decides which turns
are calls of that tool: see `TurnParser`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from vzgym.agents.training.task_checks import blank_copy
from vzgym.agents.vlm.chat import TOOL, chat_of, end_tokens
from vzgym.agents.vlm.image_checks import ImagesDropped
from vzgym.core.actions import Answer, TurnRules
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, VideoError, VzgymError
from vzgym.episode import Episode, EpisodeRecord, Message
from vzgym.protocols import PAPER_RULES, TextProtocol, TruncatedText
from vzgym.tasks import TaskSet, VideoTask
from vzgym.tools.extras import Extras

__all__ = [
    "ReplyToTruncated",
    "RolloutFault",
    "ToolEnvironment",
    "TurnParser",
    "finish_rollout",
    "install_turn_parser",
    "opening_row",
    "task_set_of",
]

_log = logging.getLogger("vzgym.agents")


class RolloutFault(VzgymError, RuntimeError):
    """The trainer's tool loop and the episode disagree about the roll-out."""


class TurnParser:
    """Parses generated turns for TRL's loop; replaces the tokenizer's `parse_response`.

    A turn in which the protocol reads an answer ends the roll-out. Every other turn, malformed and empty ones included,
    is a call of the tool with the whole turn as its argument, so that it uses up a round as in evaluation. A turn
    without an end token was cut off by the token limit: the call is marked `truncated`, and no action is read from it.

    Args:
        processor: The model's; its tokenizer decodes turns.
        protocol: The text protocol.
        rules: What a turn of the episodes may hold.
    """

    def __init__(self, processor: Any, protocol: TextProtocol, rules: TurnRules = PAPER_RULES) -> None:
        self._tokenizer, self._protocol, self._rules = processor.tokenizer, protocol, rules
        self._ends = frozenset(end_tokens(processor))

    def __call__(self, response: Sequence[int], schema: Any = None, **context: Any) -> dict[str, Any]:
        """Parse one turn.

        Args:
            response: The turn's tokens, its end token included.
            schema: Unused; the protocol decides.
            context: Unused (prompt and tools).

        Returns:
            An assistant message.
        """
        ids = [int(token) for token in response]
        end = next((place for place, token in enumerate(ids) if token in self._ends), None)
        text = str(self._tokenizer.decode(ids[:end]))
        arguments: dict[str, Any] = {"turn": text}
        if end is None:
            arguments["truncated"] = True
        elif isinstance(self._protocol.parse(text, self._rules).action, Answer):
            return {"role": "assistant", "content": text}
        call = {"type": "function", "function": {"name": TOOL, "arguments": arguments}}
        return {"role": "assistant", "content": "", "tool_calls": [call]}


def install_turn_parser(processor: Any, protocol: TextProtocol, rules: TurnRules = PAPER_RULES) -> None:
    """Make TRL's loop parse turns with the protocol.

    Args:
        processor: From `open_checkpoint`; its tokenizer's `parse_response` is replaced. Saved folders keep the model's
            original response template.
        protocol: The text protocol.
        rules: What a turn of the episodes may hold (`EpisodeRecord.rules`).
    """
    tokenizer = processor.tokenizer
    if not hasattr(tokenizer, "own_response_template"):
        tokenizer.own_response_template = getattr(tokenizer, "response_template", None)
    # TRL requires a template before it parses, and would otherwise set that of a known model.
    tokenizer.response_template = {"defaults": {"role": "assistant"}, "fields": {"content": {"content": "text"}}}
    tokenizer.parse_response = TurnParser(processor, protocol, rules)


class ReplyToTruncated(list[dict[str, Any]]):
    """Content blocks of the reply to a turn that was cut off by the token limit, and so has no end token."""


class ToolEnvironment:
    """One roll-out at a time of tasks from a set.

    Args:
        tasks: The tasks; a row of the trainer's data says which one (`task`, its index).
        budget: The episodes' budget.
        protocol: The text protocol.
        extras: Tools that the agent may call beside the zoom, and subtitles in the dialogue.
        name: The set's name among those of the run; its own if not given.
    """

    def __init__(
        self, tasks: TaskSet, budget: Budget, protocol: TextProtocol, extras: Extras | None = None, name: str = ""
    ) -> None:
        self._tasks, self._budget, self._protocol = tasks, budget, protocol
        self._name = name or tasks.name
        self._extras = extras or Extras()
        self._episode: Episode | None = None
        self._calls = 0
        self._finished = False

    def reset(self, prompt: Sequence[Mapping[str, Any]], task: int, **row: Any) -> list[dict[str, Any]]:
        """Start an episode of the row's task.

        Args:
            prompt: The row's messages: those before the question, and the question's message, still empty.
            task: The task's index.
            row: The row's other columns; unused.

        Returns:
            Content blocks (overview and question) for the end of the prompt.

        Raises:
            InvalidSetting: If the task needs other messages before its question than the row has.
        """
        self._episode = self._begin(self._tasks[task])
        self._calls, self._finished = 0, False
        if opening_row(self._episode.messages) != [dict(message) for message in prompt]:
            raise InvalidSetting(
                f"the dialogue of task {self._episode.task.id!r} starts with other rules than the training data: "
                "the protocol's system message must be the same for all tasks of a run"
            )
        blocks: list[dict[str, Any]] = chat_of(self._episode.messages[-1:])[0]["content"]
        return blocks

    def _begin(self, task: VideoTask) -> Episode:
        """Start an episode of the task; if its overview cannot be read, an ended one with blank frames.

        A damaged file may open without an error, and the trainer cannot skip a started roll-out: this one is unscored,
        so that nothing is learned from it.
        """
        try:
            return self._extras.episode(task, self._budget, self._protocol)
        except VideoError as error:
            _log.warning(
                "a roll-out of task %r is unscored, since its overview cannot be read: %s; "
                "`vzgym videos check --full` reports the damage",
                task.id,
                error,
            )
            episode = self._extras.episode(blank_copy(task), self._budget, self._protocol)
            episode.fail()
            return episode

    def video_zoom(self, turn: str, truncated: bool = False) -> list[dict[str, Any]]:
        """Zoom into an interval of the video, or call a tool of the episode.

        Args:
            turn: The whole turn, with the zoom or the call in the protocol's form.
            truncated: Whether the turn was cut off by the token limit.

        Returns:
            Content blocks: the clip's frames, each with its time; a tool's reply; or the reason of a refusal.
        """
        episode = _episode(self)
        self._calls += 1
        if episode.ended:
            return [{"type": "text", "text": "The episode has ended."}]
        _step(episode, TruncatedText(turn) if truncated else turn)
        if not chat_of(episode.messages[-1:]) or episode.messages[-1].role != "tool":
            raise RolloutFault(f"a turn with an answer was parsed as a call of the tool: {turn!r}")
        blocks: list[dict[str, Any]] = chat_of(episode.messages[-1:])[0]["content"]
        return ReplyToTruncated(blocks) if truncated else blocks


def task_set_of(environment: ToolEnvironment) -> str:
    """The name of the environment's task set among those of the run."""
    return environment._name


def opening_row(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The start of a dialogue for a row of training data: all but the question, which `reset` returns."""
    before = [{"role": message.role, "content": message.text} for message in messages[:-1]]
    return [*before, {"role": messages[-1].role, "content": ""}]


def finish_rollout(environment: ToolEnvironment, completion: Sequence[Mapping[str, Any]]) -> EpisodeRecord:
    """Bring the episode to the roll-out's end, and return its record.

    The model's last turn is given to the episode. A roll-out ends with its first answer, or when no round is left for a
    further call. Rounds left without an answer (the trainer's limit on a completion was reached) hold empty turns.

    Args:
        environment: The roll-out's environment.
        completion: The roll-out's messages, as TRL's reward functions get them.

    Raises:
        ImagesDropped: If a reply of the environment was dropped on its way to the model.
        RolloutFault: If the tool raised an error, which TRL reports to the model only.
    """
    episode = _episode(environment)
    if environment._finished:
        return episode.record
    replies = [message for message in completion if message["role"] == "tool"]
    for reply in replies:
        if isinstance(reply["content"], str):
            raise RolloutFault(f"the zoom tool failed on task {episode.task.id!r}: {reply['content']}")
    if len(replies) != environment._calls:
        raise ImagesDropped(
            f"the episode of task {episode.task.id!r} gave {environment._calls} clips or replies, but only "
            f"{len(replies)} reached the model: completion_tokens (TRL's max_completion_length) is too small for them"
        )
    if not episode.ended:
        _step(episode, _last_text(completion))
    while not episode.ended:
        _step(episode, "")
    environment._finished = True
    return episode.record


def _last_text(completion: Sequence[Mapping[str, Any]]) -> str:
    """The text of the last turn; "" if the roll-out was cut off before it."""
    last: Mapping[str, Any] = completion[-1] if completion else {"role": "tool"}
    if last["role"] != "assistant":
        return ""
    for call in last.get("tool_calls") or ():
        # A zoom that the loop did not execute, because no round was left.
        if call["function"]["name"] == TOOL:
            arguments = call["function"]["arguments"]
            return TruncatedText(arguments["turn"]) if arguments.get("truncated") else str(arguments["turn"])
    return str(last["content"])


def _step(episode: Episode, text: str) -> None:
    parsed = episode_protocol(episode).parse(text, episode.rules)
    episode.step(parsed.action, text=text, well_formed=parsed.well_formed)


def episode_protocol(episode: Episode) -> TextProtocol:
    """Get an episode's text protocol.

    Raises:
        InvalidSetting: If its wording cannot read text.
    """
    if not isinstance(episode.wording, TextProtocol):
        raise InvalidSetting(f"an episode in text needs a text protocol, got {type(episode.wording).__name__}")
    return episode.wording


def _episode(environment: ToolEnvironment) -> Episode:
    if environment._episode is None:
        raise RolloutFault("the environment was used before its reset")
    return environment._episode
