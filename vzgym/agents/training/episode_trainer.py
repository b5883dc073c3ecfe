"""TRL's GRPOTrainer for roll-outs of any number of turns, over any number of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from accelerate.utils import gather_object
from trl.trainer.grpo_trainer import GRPOTrainer

from vzgym.agents.training.dynamic_sampling import (
    batch_advantages,
    further_tasks,
    groups_with_signal,
    matches,
    replace_rollouts,
    total_rewards,
)
from vzgym.agents.training.tool_environment import ReplyToTruncated
from vzgym.agents.vlm.chat import turn_end
from vzgym.agents.vlm.image_checks import image_token

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

    *Dynamic sampling.* Groups without a signal are replaced by groups of further batches, which are generated until
    every group of every process has a signal. Each process keeps its own groups, which must be whole.

    Args:
        further: Most further batches for one generation batch; 0: no dynamic sampling.
        settle: Called with the roll-outs of this process that are left out of the update: a list for each batch.
    """

    def __init__(
        self, *args: Any, further: int = 0, settle: Callable[[list[list[bool]]], None] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._looping = False
        self._further, self._settle = further, settle
        self._totals = torch.empty(0)
        # The step of the latest generation batch, and its number in that step.
        self._number = (-1, 0)
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

    def _calculate_rewards(self, *given: Any) -> Any:
        rewards = super()._calculate_rewards(*given)
        self._totals = total_rewards(rewards, self.reward_weights.to(rewards.device))
        return rewards

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if not self._further or not self.model.training:
            return batch
        size, own, count = self.num_generations, self.accelerator.process_index, len(inputs)
        step, number = self._number
        self._number = (self.state.global_step, number + 1 if step == self.state.global_step else 0)
        # All processes know the signals of all, so that they take the same decisions.
        flat = [[not signal for signal in signals] for signals in self._signals(count)]
        before, total = sum(map(sum, flat)), sum(map(len, flat))
        batch["totals"] = self._totals[own * count : (own + 1) * count]
        left_out = [[False] * count]
        for rows in self._further_rows(inputs) if before else ():
            if not any(map(any, flat)):
                break
            further = super()._generate_and_score_completions(rows)
            further["totals"] = self._totals[own * count : (own + 1) * count]
            left_out.append([True] * count)
            for process, signals in enumerate(self._signals(count)):
                pairs = matches(flat[process], signals)
                for place, _ in pairs:
                    flat[process][place] = False
                if process == own and pairs:
                    moved = [(a * size + i, b * size + i) for a, b in pairs for i in range(size)]
                    for old, new in moved:
                        left_out[0][old], left_out[-1][new] = True, False
                    batch = replace_rollouts(
                        batch, further, moved, self._tokenizer.pad_token_id, image_token(self.processing_class)
                    )
        totals = batch.pop("totals")
        if len(left_out) > 1:
            if self.scale_rewards == "batch":
                batch["advantages"] = batch_advantages(totals, self.accelerator.gather(totals), size)
            learned = batch["completion_mask"] * batch["tool_mask"]
            batch["num_items_in_batch"] = self.accelerator.gather(learned.sum()).sum()
        if self._settle is not None:
            self._settle(left_out)
        for name, value in {
            "batches": len(left_out),
            "rollouts": len(left_out) * total * size,
            "flat_before": before / total,
            "flat_after": sum(map(sum, flat)) / total,
        }.items():
            self._metrics["train"][f"dynamic_sampling/{name}"].append(float(value))
        return batch

    def _signals(self, count: int) -> list[list[bool]]:
        """For each process, which groups of its latest batch have a signal.

        Args:
            count: Roll-outs of a process.
        """
        found, share = groups_with_signal(self._totals, self.num_generations), count // self.num_generations
        return [found[first : first + share] for first in range(0, len(found), share)]

    def _further_rows(self, inputs: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
        """Rows of further batches for this process, as the data loader gives them; all of other tasks than `inputs`."""
        size, share = self.num_generations, len(inputs) // self.num_generations
        began = gather_object([self._places[row.get("environment"), row["task"]] for row in inputs[::size]])
        order = further_tasks(len(self._places), set(began), (self.args.seed, *self._number))
        for draw in range(self._further):
            first = draw * len(began) + self.accelerator.process_index * share
            yield [self.train_dataset[task] for task in order[first : first + share] for _ in range(size)]

    @cached_property
    def _places(self) -> dict[tuple[Any, int], int]:
        """The places of the tasks in the data, by the names of their environments and their indices there."""
        data = self.train_dataset
        names = data["environment"][:] if "environment" in data.column_names else [None] * len(data)
        return {key: place for place, key in enumerate(zip(names, data["task"][:], strict=True))}

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
