"""TRL's GRPOTrainer for roll-outs of any number of turns, over any number of processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from trl.trainer.grpo_trainer import GRPOTrainer

from vzgym.agents.training.tool_environment import ReplyToTruncated
from vzgym.agents.vlm.chat import turn_end

__all__ = ["EpisodeTrainer"]


class EpisodeTrainer(GRPOTrainer):  # type: ignore[misc]
    """`GRPOTrainer` whose tool loop continues after a turn that was cut off, and keeps processes in step.

    *Turns that the token limit cut off.* The loop appends a tool's reply to the generated tokens. A turn that was cut
    off has no end token, which a chat template writes in evaluation: it is put in front of the reply. It counts as a
    part of the reply, so that nothing is learned from it.

    *Several processes.* The loop of each process runs as long as its own roll-outs call the tool. Where generation is
    a collective operation (weights sharded by ZeRO-3 or FSDP, prompts gathered for a vLLM server), a process whose
    roll-outs have ended must take part in the turns of the others: it generates a turn that is dropped, or, for a
    server, sends empty prompts that are not asked.

    *New weights of the vision tower.* vLLM keeps the features of images that it has seen, and TRL does not tell it that
    the tower has changed: they are dropped with each transfer of weights.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._looping = False
        if self._served and self.accelerator.is_main_process:
            self.vllm_generation.vllm_client = _SparseClient(self.vllm_generation.vllm_client)
        if self.use_vllm:
            transfer = self.vllm_generation.sync_weights

            def transfer_and_forget() -> None:
                transfer()
                self._forget_features()

            self.vllm_generation.sync_weights = transfer_and_forget

    def _forget_features(self) -> None:
        """Make vLLM compute the features of all images anew."""
        if self.vllm_mode == "colocate":
            self.vllm_generation.llm.llm_engine.reset_encoder_cache()
        elif self.accelerator.is_main_process:
            client = self.vllm_generation.vllm_client
            client.session.post(f"{client.base_url}/reset_encoder_cache").raise_for_status()

    @property
    def _served(self) -> bool:
        """Whether several processes share a vLLM server."""
        return bool(self.use_vllm and self.vllm_mode == "server" and self.accelerator.num_processes > 1)

    @property
    def _collective_turns(self) -> bool:
        """Whether all processes must generate each turn together."""
        sharded = self._dist.is_zero3 or self._dist.is_fsdp
        if self.use_vllm:
            # An engine on the same devices gathers the weights in the first turn only, unless it sleeps between turns.
            sharded = sharded and self.vllm_mode == "colocate" and self.args.vllm_enable_sleep_mode
        return bool(self.accelerator.num_processes > 1 and (sharded or self._served))

    def _get_tool_suffix_ids(self, tool_messages: Sequence[Mapping[str, Any]]) -> list[int]:
        suffix: list[int] = super()._get_tool_suffix_ids(tool_messages)
        if isinstance(tool_messages[0]["content"], ReplyToTruncated):
            return [turn_end(self.processing_class), *suffix]
        return suffix

    def _tool_call_loop(self, prompts: Any, prompt_ids: Any, *given: Any) -> Any:
        if not self._collective_turns:
            return super()._tool_call_loop(prompts, prompt_ids, *given)
        images = given[-2]
        self._looping = True
        try:
            made = super()._tool_call_loop(prompts, prompt_ids, *given)
            while most := self._most(0):
                self._idle_turn(most, prompt_ids[0], images[0] if images else None)
        finally:
            self._looping = False
        return made

    def _generate_single_turn(self, prompt_ids: Any, images: Any, *given: Any, **named: Any) -> Any:
        if self._looping:
            most = self._most(len(prompt_ids))
            if self._served:
                return self._served_turn(most, prompt_ids, images)
        return super()._generate_single_turn(prompt_ids, images, *given, **named)

    def _most(self, own: int) -> int:
        """The largest number of roll-outs with a further turn in any process; each process gives its own."""
        return int(self.accelerator.gather(torch.tensor([own], device=self.accelerator.device)).max())

    def _idle_turn(self, most: int, prompt_ids: list[int], images: list[Any] | None) -> None:
        """Take part in a turn of other processes, whose result is dropped.

        Without a server, the turn is one of this process's own dialogues, so that the same parts of the model run as in
        the other processes.
        """
        if self._served:
            self._served_turn(most, [], None)
            return
        fields = dict(self.processing_class.image_processor(images=images, return_tensors="pt")) if images else {}
        super()._generate_single_turn([prompt_ids], [images] if images else None, fields, 1, bool(images))

    def _served_turn(self, most: int, prompt_ids: Any, images: Any) -> Any:
        """Generate a turn by a server. TRL cuts its replies into equal shares: each process sends as many prompts."""
        own = len(prompt_ids)
        prompts = [*prompt_ids, *[[]] * (most - own)]
        pictures = [*(images or [None] * own), *[None] * (most - own)]
        completions, logprobs = super()._generate_single_turn(prompts, pictures, {}, 1)
        return completions[:own], logprobs[:own]


class _SparseClient:
    """TRL's client of a vLLM server, except that it does not ask about empty prompts; their completions are empty.

    Args:
        client: A `trl.generation.vllm_client.VLLMClient`.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def generate(self, prompts: Sequence[list[int]], features: Any = None, n: int = 1, **rest: Any) -> dict[str, Any]:
        """See `VLLMClient.generate`."""
        asked = [place for place, prompt in enumerate(prompts) if prompt]
        chosen = None if features is None else [features[place] for place in asked]
        made: dict[str, Any] = self._client.generate([prompts[place] for place in asked], features=chosen, n=n, **rest)
        if len(asked) == len(prompts):
            return made
        # Prompts are empty in turns after the first only, of which each prompt has one completion.
        filled: dict[str, Any] = {}
        for key, rows in made.items():
            found = dict(zip(asked, rows, strict=True)) if rows is not None else None
            filled[key] = None if found is None else [found.get(place, []) for place in range(len(prompts))]
        return filled
