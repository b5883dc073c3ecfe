"""verl's agent loop of an episode: the model's turns and the environment's frames in one sequence of tokens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from inspect import signature
from typing import Any
from uuid import uuid4

from omegaconf import OmegaConf
from PIL import Image
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput, register
from verl.utils.profiler import simple_timer
from verl.utils.rollout_trace import rollout_trace_op

from vzgym.agents.vlm.chat import end_tokens, suppressed_tokens, turn_end
from vzgym.agents.vlm.image_checks import ImagesDropped, frame_tokens, image_token
from vzgym.core.errors import InvalidSetting, VideoError
from vzgym.episode import Message
from vzgym.interfaces.rollouts import TextRollout, shared_rollouts
from vzgym.protocols import as_chat

__all__ = ["VideoZoomLoop"]

_log = logging.getLogger("vzgym.interfaces")

_VERLS = frozenset({*signature(AgentLoopBase.__init__).parameters, "name", "tools"})
"""What verl itself gives an agent loop; the rest of its configuration is ours."""

_EVALUATION_KEY = "acc"
"""The name of verl's main validation metric."""


@dataclass
class _Sequence:
    """A roll-out as verl trains on it.

    Attributes:
        chat: The dialogue, with images.
        images: Its images, in order of appearance.
        ids: Tokens of prompt and response.
        prompt: How many of them are the prompt.
        mask: For each token of the response, 1 if the model generated it.
        logprobs: Of the same tokens, 0.0 for those of the environment; None if the server sends none.
        turns: Turns of the model.
        replies: Replies of the environment that the model saw.
        extra: Further fields of the server's outputs.
        preempted: How often the server interrupted a request; -1 if unknown.
        experts: Routed experts of all tokens, from the server.
        aborted: Whether the server aborted a request.
    """

    chat: list[dict[str, Any]]
    images: list[Image.Image]
    ids: list[int] = field(default_factory=list)
    prompt: int = 0
    mask: list[int] = field(default_factory=list)
    logprobs: list[float] | None = None
    turns: int = 0
    replies: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    preempted: int = -1
    experts: Any = None
    aborted: bool = False


@register("video_zoom")
class VideoZoomLoop(AgentLoopBase):  # type: ignore[misc]
    """Plays an episode for each row: the task that the row names by `extra_info.tasks` and `extra_info.index`.

    Tokens are never encoded again: those of the model are used as they were sampled, those of the environment are
    appended. The mask covers the model's own tokens alone.

    The roll-out ends *before* a reply that does not fit into `response_length`, its images included, and is scored as
    one without an answer. An unscored episode (no known answer, a video that cannot be read, a request that the server
    aborted) has the reward 0.0 and the metric `unscored`, and its mask is 0 everywhere: it adds nothing to the loss.

    Args:
        settings: Of `TextRollouts`: `reward`, `protocol`, `budget`, `tools`, `subtitles`, `records`, `root`.
        turn_tokens: Most tokens of a turn; None: what is left of `response_length`.
        tool_role: Role of the environment's replies: "user", as in the paper, or "tool", for templates that render the
            images of such messages.
        args: As verl passes them.
        kwargs: As verl passes them.

    Raises:
        InvalidSetting: If a setting is unknown or invalid, or the model has no processor of images.
    """

    def __init__(
        self,
        *args: Any,
        settings: Mapping[str, Any] | None = None,
        turn_tokens: int | None = None,
        tool_role: str = "user",
        **kwargs: Any,
    ) -> None:
        if tool_role not in ("user", "tool"):
            raise InvalidSetting(f"tool_role must be 'user' or 'tool', got {tool_role!r}")
        if turn_tokens is not None and turn_tokens < 1:
            raise InvalidSetting(f"turn_tokens must be at least 1, or null, got {turn_tokens!r}")
        unknown = sorted(set(kwargs) - _VERLS)
        if unknown:
            raise InvalidSetting(
                f"unknown options of the agent loop: {', '.join(unknown)}; valid: settings, turn_tokens, tool_role"
            )
        super().__init__(*args, **kwargs)
        plain = OmegaConf.to_container(settings, resolve=True) if OmegaConf.is_config(settings) else settings
        self._rollouts = shared_rollouts("verl", plain)
        self._turn_tokens, self._tool_role = turn_tokens, tool_role
        self._prompt_length: int = self.rollout_config.prompt_length
        self._response_length: int = self.rollout_config.response_length
        if getattr(self.processor, "image_processor", None) is None:
            raise InvalidSetting(
                f"the model has {'no processor' if self.processor is None else type(self.processor).__name__}, so it "
                "cannot see frames: use a vision-language model whose processor verl opens (see verl's hf_processor)"
            )
        self._assert_mm_supported(True)

    @rollout_trace_op  # type: ignore[untyped-decorator]
    async def run(self, sampling_params: dict[str, Any], **row: Any) -> AgentLoopOutput:
        """Play the row's episode.

        Args:
            sampling_params: Of the server.
            row: The columns of the data; `extra_info` names the task.

        Raises:
            TaskError: If the row names no task.
            InvalidSetting: If the opening does not fit into `prompt_length`.
            ImagesDropped: If the chat template or the processor loses a frame.
        """
        times: dict[str, float] = {}
        try:
            with simple_timer("tool_calls", times):
                rollout = await asyncio.to_thread(self._rollouts.start, row.get("extra_info"))
        except VideoError as error:
            return self._unplayable(row, error)
        try:
            played = await self._play(rollout, sampling_params, int(row.get("priority", 0)), times)
        except BaseException:
            rollout.abort()
            raise
        if played.aborted:
            rollout.abort()
        else:
            await asyncio.to_thread(rollout.finish)
        return self._output(rollout, played, times)

    async def _play(
        self, rollout: TextRollout, sampling_params: Mapping[str, Any], priority: int, times: dict[str, float]
    ) -> _Sequence:
        """Generate turns until the episode ends, or its next reply does not fit."""
        played = await self._open(rollout)
        deterministic = getattr(self.rollout_config, "full_determinism", False)
        request = f"det-{priority}" if deterministic else uuid4().hex
        while True:
            limit = self._response_length - len(played.mask)
            limit = limit if self._turn_tokens is None else min(limit, self._turn_tokens)
            turn = await self._generate(played, {**sampling_params, "max_tokens": limit}, request, priority, times)
            if turn is None:
                return played
            text, truncated = turn
            with simple_timer("tool_calls", times):
                replies = await asyncio.to_thread(rollout.step, text, truncated=truncated)
            if rollout.ended or not await self._append(played, text, truncated, replies):
                return played

    async def _open(self, rollout: TextRollout) -> _Sequence:
        chat = as_chat(rollout.episode.messages, tool_role=self._tool_role)
        played = _Sequence(chat, _images_of(chat))
        # Not the base class's method, which would cut a text that is too long.
        played.ids = await self.loop.run_in_executor(
            None, lambda: self.continuous_token_builder.build_initial_tokens(chat, images=played.images)
        )
        played.prompt = len(played.ids)
        if played.prompt > self._prompt_length:
            raise InvalidSetting(
                f"the opening of task {rollout.record.task.id!r} has {played.prompt} tokens for {len(played.images)} "
                f"frames and the question, but data.max_prompt_length is {self._prompt_length}: raise it, or lower the "
                "budget's overview_frames or max_pixels. `vzgym data verl --model` measures the longest opening"
            )
        self._check_images(played.ids, played.images, rollout)
        return played

    async def _generate(
        self,
        played: _Sequence,
        sampling_params: dict[str, Any],
        request: str,
        priority: int,
        times: dict[str, float],
    ) -> tuple[str, bool] | None:
        """Generate a turn and append it.

        Returns:
            The turn's text, and whether it was cut off; None if the server aborted the request.
        """
        with simple_timer("generate_sequences", times):
            output = await self.server_manager.generate(
                request_id=request,
                prompt_ids=played.ids,
                sampling_params=sampling_params,
                image_data=played.images or None,
                mm_processor_kwargs=self._get_mm_processor_kwargs(),
                priority=priority,
            )
        _note(played, output)
        if output.stop_reason in ("abort", "aborted"):
            played.aborted = True
            return None
        ends, forbidden = _special_tokens(self.processor)
        said = [int(token) for token in output.token_ids[: sampling_params["max_tokens"]]]
        # Image tokens that the model invents would be taken for frames, and headers for messages: the turn ends there.
        said = said[: next((place for place, token in enumerate(said) if token in forbidden), len(said))]
        end = next((place for place, token in enumerate(said) if token in ends), None)
        said = said if end is None else said[: end + 1]
        merged, played.mask, played.logprobs = await self.ct_merge_assistant_token(
            played.ids,
            said,
            played.mask,
            (played.logprobs or []) if output.log_probs else played.logprobs,
            assistant_logprobs=output.log_probs[: len(said)] if output.log_probs else None,
        )
        played.ids = merged.token_ids
        played.turns += 1
        return str(self.tokenizer.decode(said[:end])), end is None

    async def _append(self, played: _Sequence, text: str, truncated: bool, replies: Sequence[Message]) -> bool:
        """Append the environment's reply to a turn, unless there is no room for it and another turn.

        Returns:
            Whether it was appended.
        """
        before = [*played.chat, {"role": "assistant", "content": [{"type": "text", "text": text}]}]
        reply = as_chat(replies, tool_role=self._tool_role)
        ids, mask, logprobs = played.ids, played.mask, played.logprobs
        if truncated:
            # The template ends each message: without its end, the next one would be part of the turn.
            ids, mask = [*ids, turn_end(self.processor)], [*mask, 0]
            logprobs = None if logprobs is None else [*logprobs, 0.0]
        merged, mask, logprobs = await self.ct_merge_context_msg(before, [*before, *reply], ids, mask, logprobs)
        if len(mask) >= self._response_length:
            return False
        images = _images_of(reply)
        self._check_images(merged.token_ids[len(ids) :], images)
        played.chat, played.ids, played.mask, played.logprobs = [*before, *reply], merged.token_ids, mask, logprobs
        played.images.extend(images)
        played.replies += 1
        return True

    def _check_images(
        self, ids: Sequence[int], images: Sequence[Image.Image], rollout: TextRollout | None = None
    ) -> None:
        """Compare the image tokens of messages with their images.

        Raises:
            ImagesDropped: If they differ.
        """
        wanted = sum(_frame_tokens(self.processor, (image.height, image.width)) for image in images)
        found = list(ids).count(image_token(self.processor))
        if found != wanted:
            task = "" if rollout is None else f" of task {rollout.record.task.id!r}"
            raise ImagesDropped(
                f"messages{task} with {len(images)} frames have {found} image tokens instead of {wanted}: the chat "
                f"template or the processor lost frames of messages of the role {self._tool_role!r}"
            )

    def _output(self, rollout: TextRollout, played: _Sequence, times: Mapping[str, float]) -> AgentLoopOutput:
        total = rollout.total
        mask = played.mask if total is not None else [0] * len(played.mask)
        return self._finished(
            prompt_ids=played.ids[: played.prompt],
            response_ids=played.ids[played.prompt :],
            response_mask=mask,
            response_logprobs=played.logprobs,
            routed_experts=played.experts,
            images=played.images,
            reward=total,
            turns=1 + played.turns + played.replies,
            metrics=AgentLoopMetrics(
                generate_sequences=times.get("generate_sequences", 0.0),
                tool_calls=times.get("tool_calls", 0.0),
                num_preempted=played.preempted,
            ),
            measures=rollout.measures,
            turn_scores=[float(entry["total"] or 0.0) for entry in rollout.record.rewards or ()],
            extra=played.extra,
        )

    def _unplayable(self, row: Mapping[str, Any], error: VideoError) -> AgentLoopOutput:
        """The output for a row whose video cannot be read: the question, an end of turn, and nothing to learn."""
        _log.warning("a roll-out is unscored, since its overview cannot be read: %s", error)
        question = " ".join(str(message["content"]) for message in row["raw_prompt"])
        prompt = self.tokenizer.encode(question, add_special_tokens=False)[: self._prompt_length]
        measures = dict.fromkeys(self._rollouts.measure_names)
        return self._finished(
            prompt_ids=prompt,
            response_ids=[],
            response_mask=[],
            response_logprobs=None,
            routed_experts=None,
            images=[],
            reward=None,
            turns=1,
            metrics=AgentLoopMetrics(),
            measures={**measures, "unscored": 1.0},
            turn_scores=[],
            extra={},
        )

    def _finished(
        self,
        *,
        response_ids: list[int],
        response_mask: list[int],
        response_logprobs: list[float] | None,
        images: list[Image.Image],
        reward: float | None,
        turns: int,
        measures: Mapping[str, float | None],
        turn_scores: list[float],
        extra: Mapping[str, Any],
        **output: Any,
    ) -> AgentLoopOutput:
        """An output in verl's form. Every row has the same metrics: verl takes their names from the first row."""
        if not response_ids:
            # A response holds the token that gets the reward.
            response_ids, response_mask = [turn_end(self.processor)], [0]
        if response_logprobs is None and self.rollout_config.calculate_log_probs:
            # A batch has those of all rows or of none.
            response_logprobs = [0.0] * len(response_ids)
        named = {_EVALUATION_KEY if name == "correct" else name: value for name, value in measures.items()}
        kwargs = self._get_mm_processor_kwargs()
        return AgentLoopOutput(
            **output,
            response_ids=response_ids,
            response_mask=response_mask,
            response_logprobs=response_logprobs,
            multi_modal_data={"images": images} if images else {},
            mm_processor_kwargs=kwargs or None,
            reward_score=0.0 if reward is None else reward,
            num_turns=turns,
            extra_fields={
                **extra,
                "turn_scores": turn_scores,
                "tool_rewards": [],
                "reward_extra_info": {name: 0.0 if value is None else value for name, value in named.items()},
            },
        )


@lru_cache(maxsize=8)
def _special_tokens(processor: Any) -> tuple[frozenset[int], frozenset[int]]:
    """The tokens that end a turn, and those that it may not hold."""
    return frozenset(end_tokens(processor)), frozenset(suppressed_tokens(processor))


@lru_cache(maxsize=256)
def _frame_tokens(processor: Any, shape: tuple[int, int]) -> int:
    """Image tokens of a frame of `(height, width)` pixels."""
    return frame_tokens(processor, shape)


def _images_of(chat: Sequence[Mapping[str, Any]]) -> list[Image.Image]:
    return [block["image"] for message in chat for block in message["content"] if block["type"] == "image"]


def _note(played: _Sequence, output: Any) -> None:
    """Keep what the trainer wants to know of a request, as verl's own agent loops do."""
    if output.num_preempted is not None:
        played.preempted = max(0, played.preempted) + output.num_preempted
    if output.routed_experts is not None:
        played.experts = output.routed_experts
    for name, value in output.extra_fields.items():
        # The first request's values, but the latest version of the weights.
        if name not in played.extra or (name == "max_global_steps" and value is not None):
            played.extra[name] = value
