"""verl: its own agent-loop worker, with a Qwen3-VL's processor and a client that says a script."""

from __future__ import annotations

import asyncio
import tempfile
import types
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vzgym.agents.data.phrases import compose
from vzgym.episode.record import EpisodeRecord
from vzgym.protocols.base import PROTOCOLS
from vzgym.testing.parity.pixels import Seen
from vzgym.testing.parity.script import Script, rollout_settings

__all__ = ["ScriptedClient", "VerlInterface", "make_worker", "play_rows", "row_batch", "small_worker"]


class ScriptedClient:
    """An LLM server that says a script: for each row, which its priority tells, the turns in order.

    Args:
        tokenizer: The model's.
        turns: The turns of a row: text, to which the end token is added; tokens; or None for an aborted request.

    Attributes:
        requests: The requests of each row, in order.
        ids: The sessions of each row.
    """

    def __init__(self, tokenizer: Any, turns: Callable[[int], Sequence[str | list[int] | None]]) -> None:
        self._tokenizer, self._turns = tokenizer, turns
        self.requests: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self.ids: dict[int, set[str]] = defaultdict(set)

    async def generate(self, request_id: str, **request: Any) -> Any:
        """As verl's `LLMServerClient.generate`."""
        from verl.workers.rollout.replica import TokenOutput

        row = request["priority"]
        self.ids[row].add(request_id)
        images = list(request["image_data"] or ())
        self.requests[row].append({**request, "prompt_ids": list(request["prompt_ids"]), "image_data": images})
        number = len(self.requests[row])
        said = self._turns(row)[number - 1]
        if said is None:
            return TokenOutput(token_ids=[], stop_reason="aborted")
        ids = said if isinstance(said, list) else [*self._tokenizer.encode(said), self._tokenizer.eos_token_id]
        ids = ids[: request["sampling_params"]["max_tokens"]]
        extra = {"global_steps": 3, "min_global_steps": 3, "max_global_steps": 3 + number}
        return TokenOutput(
            token_ids=ids,
            log_probs=[-0.5] * len(ids),
            stop_reason="completed",
            num_preempted=0,
            extra_fields=extra,
        )


def make_worker(model: Path, *options: str) -> Any:
    """Make an `AgentLoopWorker` by its own constructor, without Ray and without a server.

    Args:
        model: A folder of a Qwen3-VL.
        options: Overrides of verl's configuration `ppo_trainer`.
    """
    import verl
    from hydra import compose as compose_config
    from hydra import initialize_config_dir
    from transformers import AutoConfig
    from transformers.models.qwen3_vl import Qwen3VLModel
    from verl.experimental.agent_loop.agent_loop import AgentLoopWorker

    from vzgym.agents.vlm.processor import load_processor

    given = ["actor_rollout_ref.rollout.name=vllm", f"actor_rollout_ref.model.path={model}", *options]
    with initialize_config_dir(str(Path(verl.__file__).parent / "trainer" / "config"), version_base=None):
        config = compose_config("ppo_trainer", overrides=given)
    worker = AgentLoopWorker(config, None)
    if worker.processor is None:
        # verl needs torchvision for the processor's video part: the same steps without that part.
        worker.processor = load_processor(str(model))
        worker.processor.config = AutoConfig.from_pretrained(model)
        for name in ("get_rope_index", "get_vision_position_ids"):
            setattr(worker.processor, name, types.MethodType(getattr(Qwen3VLModel, name), worker.processor))
    return worker


def play_rows(worker: Any, batch: Any, client: ScriptedClient, loop: dict[str, Any]) -> Any:
    """Let a worker generate the sequences of a batch.

    Args:
        worker: From `make_worker`.
        batch: A `DataProto`; the priorities are its rows' numbers, as verl's manager gives them.
        client: The server.
        loop: The configuration of the agent loop `video_zoom`.

    Returns:
        The worker's `DataProto`.
    """
    from verl.experimental.agent_loop.agent_loop import _agent_loop_registry

    # The registry is the process's, while each worker reads a configuration of its own.
    _agent_loop_registry["video_zoom"] = loop
    batch.non_tensor_batch["priority"] = np.arange(len(batch))
    worker.llm_client = client
    return asyncio.run(worker.generate_sequences(batch))


def row_batch(question: str, extra_info: dict[str, Any]) -> Any:
    """A `DataProto` of one row, with the columns that the agent loop reads.

    Args:
        question: The row's prompt.
        extra_info: Names the task.
    """
    import torch
    from verl.protocol import DataProto

    columns: dict[str, Any] = {
        "raw_prompt": [{"role": "user", "content": question}],
        "extra_info": extra_info,
        "agent_name": "video_zoom",
        "index": 0,
    }
    rows = {name: np.empty(1, dtype=object) for name in columns}
    for name, value in columns.items():
        rows[name][0] = value
    return DataProto.from_single_dict({"dummy_tensor": torch.zeros(1, 1, dtype=torch.uint8), **rows})


@cache
def small_worker() -> Any:
    """A worker with a small Qwen3-VL, whose limits hold every script; made once."""
    from vzgym.testing.models import build_checkpoint

    with tempfile.TemporaryDirectory() as folder:
        model = build_checkpoint("qwen3_vl", Path(folder) / "model")
        return make_worker(model, "data.max_prompt_length=4096", "data.max_response_length=8192")


class VerlInterface:
    """The agent loop in verl's worker; the record is the one that it saves."""

    name = "verl"
    needs = ("verl", "trl")
    has_grid = False
    shows_frames = True

    def play(self, script: Script, seen: list[Seen] | None = None) -> EpisodeRecord:
        """See `Interface.play`."""
        worker, protocol = small_worker(), PROTOCOLS.make("tags")
        rules = script.extras.episode(script.task, script.budget, protocol).rules
        turns = [compose(protocol, action, "Look, then say.", rules) for action in script.actions]
        client = ScriptedClient(worker.tokenizer, lambda row: turns)
        batch = row_batch(script.task.question, {"tasks": [script.task], "index": 0})
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "records.jsonl"
            settings = {**rollout_settings(script), "records": str(file)}
            loop = {"_target_": "vzgym.interfaces.verl.VideoZoomLoop", "settings": settings}
            play_rows(worker, batch, client, loop)
            (line,) = file.read_text(encoding="utf-8").splitlines()
        if seen is not None:
            _add(client.requests[0], worker, seen)
        return EpisodeRecord.from_line(line)


def _add(requests: Sequence[dict[str, Any]], worker: Any, seen: list[Seen]) -> None:
    """What the server got in the last request: the tokens as text, with a picture for each run of image tokens."""
    pad, last = worker.processor.image_token_id, requests[-1]
    images, text = iter(last["image_data"]), list[int]()
    before = None
    for token in last["prompt_ids"]:
        if token != pad:
            text.append(token)
        elif before != pad:
            seen += [worker.tokenizer.decode(text, skip_special_tokens=True), next(images)]
            text = []
        before = token
    seen.append(worker.tokenizer.decode(text, skip_special_tokens=True))
    seen.extend(images)  # pictures without image tokens
