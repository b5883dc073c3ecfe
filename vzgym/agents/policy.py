"""A vision-language model as a policy: reads dialogues, frames and all, and says the next turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from vzgym.agents.checkpoints import Checkpoint, open_checkpoint
from vzgym.agents.dialogues import chat_of, encode, image_token, join_inputs, watch_images
from vzgym.core.errors import InvalidSetting
from vzgym.episode.dialogue import Message

__all__ = ["VLMPolicy"]


class VLMPolicy:
    """A `TextPolicy` from a checkpoint folder. All of a dialogue's frames, the earlier turns' too, are shown each turn.

    Args:
        path: A folder with a model (`vzgym train` makes them), or a name on the Hugging Face hub.
        checkpoint: An opened one in place of `path`.
        temperature: 0 takes the likeliest token; above, tokens are sampled at that temperature.
        top_p: Nucleus of sampling.
        turn_tokens: Most tokens of one turn.
        batch_size: Dialogues that are answered at once.
        protocol: The text protocol; the one kept in the folder if not given.
        device: Where to run ("cpu", "cuda"); a GPU if there is one.
        name: For tables; the folder's name if not given.
        options: For the model's `from_pretrained`.

    Raises:
        InvalidSetting: If the model cannot be used (see `open_checkpoint`), or a number is out of range.
    """

    def __init__(
        self,
        path: str | Path = "",
        *,
        checkpoint: Checkpoint | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        turn_tokens: int = 512,
        batch_size: int = 16,
        protocol: str | Mapping[str, Any] | None = None,
        device: str | None = None,
        name: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if temperature < 0:
            raise InvalidSetting(f"temperature must be >= 0, got {temperature}")
        if turn_tokens < 1 or batch_size < 1:
            raise InvalidSetting(f"turn_tokens and batch_size must be >= 1, got {turn_tokens} and {batch_size}")
        opened = checkpoint or open_checkpoint(path, protocol, **(options or {}))
        self.model, self.processor, self.protocol = opened.model, opened.processor, opened.protocol
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model.to(self.device).eval()
        self.temperature, self.top_p, self.turn_tokens = temperature, top_p, turn_tokens
        self.batch_size = batch_size
        self.name = name or f"{Path(opened.path).name} ({f'T={temperature:g}' if temperature else 'greedy'})"
        self._image = image_token(self.processor)
        watch_images(self.model, self._image, self.processor.image_processor.merge_size)
        self._noise = torch.Generator(self.device)

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin a batch of episodes. The batch has one stream of randomness, made of all its seeds."""
        mixed = 0
        for seed in seeds:
            mixed = (mixed * 1_000_003 + int(seed)) % (1 << 63)
        self._noise.manual_seed(mixed)

    @torch.no_grad()
    def respond(self, dialogues: Sequence[Sequence[Message]]) -> list[str]:
        """The next turn of each dialogue, without its end token."""
        tokenizer = self.processor.tokenizer
        rows = [encode(self.processor, chat_of(messages)) for messages in dialogues]
        batch = {
            key: value.to(self.device) for key, value in join_inputs(rows, tokenizer.pad_token_id, self._image).items()
        }
        made = self._generate(batch)
        return [str(text) for text in tokenizer.batch_decode(made, skip_special_tokens=True)]

    def _generate(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """New tokens of each row, shape `(rows, new)`, padded behind the end token."""
        # The library samples from torch's global stream: lend it ours, so that a seed fixes a batch.
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(int(torch.randint(1 << 62, (1,), generator=self._noise, device=self.device)))
            out = self.model.generate(
                **batch,
                max_new_tokens=self.turn_tokens,
                do_sample=self.temperature > 0,
                suppress_tokens=silent_tokens(self.processor),
                **({"temperature": self.temperature, "top_p": self.top_p, "top_k": 0} if self.temperature else {}),
            )
        new: torch.Tensor = out[:, batch["input_ids"].shape[1] :]
        return new


def silent_tokens(processor: Any) -> list[int]:
    """Tokens that no turn may hold: those of pictures and of messages' beginnings. An agent cannot make up frames."""
    tokenizer = processor.tokenizer
    keep = {tokenizer.eos_token_id}
    ids = {int(token) for token in tokenizer.all_special_ids} | {image_token(processor)}
    roles = [f"<|{role}|>" for role in ("system", "user", "assistant", "tool")]
    marks = ["<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|im_start|>", *roles]
    vocabulary = tokenizer.get_vocab()
    ids |= {int(vocabulary[mark]) for mark in marks if mark in vocabulary}
    return sorted(ids - keep)
