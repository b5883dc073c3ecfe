"""Vision-language models as policies."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vzgym.agents.metadata import read_metadata
from vzgym.agents.vlm.chat import chat_of, encode, end_tokens, join_inputs, suppressed_tokens, turn_end, turn_lead
from vzgym.agents.vlm.checkpoint import Checkpoint, open_checkpoint, prompt_version
from vzgym.agents.vlm.image_checks import image_token, watch_images
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.core.files import check_model_path
from vzgym.core.settings import plain
from vzgym.episode.dialogue import Message
from vzgym.policies.fingerprint import fingerprint
from vzgym.protocols import TruncatedText

__all__ = ["UntrainedPrompt", "VLMPolicy"]


class UntrainedPrompt(UserWarning):
    """A model is asked with other prompts than it was trained with."""


class VLMPolicy:
    """A `TextPolicy` from a checkpoint folder: any image-text-to-text model of `transformers` with its own processor.

    The whole dialogue with all its frames is encoded again in each turn. For long dialogues, serve the model with vLLM,
    whose prefix cache keeps keys and values between turns, and use `ServedPolicy`.

    Args:
        path: A folder with a model (as from `vzgym train`), or a name on the Hugging Face hub.
        checkpoint: An open checkpoint in place of `path`.
        temperature: 0 is greedy decoding; above, tokens are sampled at that temperature.
        top_p: Probability mass of nucleus sampling.
        turn_tokens: Largest number of tokens of one turn.
        batch_size: Number of dialogues in a batch.
        protocol: The text protocol; if not given, the one that the folder names.
        device: "cpu", "cuda", "cuda:1"; a GPU if there is one.
        dtype: Of the weights ("bfloat16", "float32"); as saved if not given.
        max_pixels: Largest number of pixels of a frame, if lower than the budget's. The episode then uses it, for the
            frames of zooms that choose their size, too.
        name: For tables; the folder's name if not given.
        options: For the model's `from_pretrained` (`attn_implementation`, `device_map`, ...).

    Raises:
        InvalidSetting: If the model cannot be used (see `open_checkpoint`), or a number is out of range.
    """

    @staticmethod
    def check_options(path: str | Path = "", **options: Any) -> None:
        """Check that the model's folder is there, if it is given by a path.

        Raises:
            InvalidSetting: If it is not.
        """
        if str(path):
            check_model_path(path)

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
        dtype: str | None = None,
        max_pixels: int = 0,
        name: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if temperature < 0:
            raise InvalidSetting(f"temperature must be >= 0, got {temperature}")
        if turn_tokens < 1 or batch_size < 1:
            raise InvalidSetting(f"turn_tokens and batch_size must be >= 1, got {turn_tokens} and {batch_size}")
        if max_pixels < 0:
            raise InvalidSetting(f"max_pixels must be >= 0, got {max_pixels}")
        given = {**({"dtype": _dtype(dtype)} if dtype else {}), **(options or {})}
        self._source = str(checkpoint.path if checkpoint else path)
        # Computed now, since the files may change later.
        self._weights = fingerprint(self._source)
        opened = checkpoint or open_checkpoint(path, protocol, **given)
        self.model, self.processor, self.protocol = opened.model, opened.processor, opened.protocol
        self.trained_budget, self.trained_extras = opened.budget, opened.extras
        self._prompt = prompt_version(self.protocol)
        saved = read_metadata(self._source).get("prompt")
        if saved not in (None, self._prompt) and protocol is None:
            warnings.warn(
                f"the model in {self._source} was trained with other prompts (version {saved}; this vzgym has "
                f"{self._prompt}): its scores may be lower",
                UntrainedPrompt,
                stacklevel=2,
            )
        if "device_map" not in given:
            self.model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if checkpoint and dtype:
            self.model.to(_dtype(dtype))
        self.model.eval()
        self.device = torch.device(self.model.device)
        self.temperature, self.top_p, self.turn_tokens = temperature, top_p, turn_tokens
        self.batch_size, self.max_pixels = batch_size, max_pixels
        self.name = name or f"{Path(opened.path).name} ({f'T={temperature:g}' if temperature else 'greedy'})"
        self._image = image_token(self.processor)
        self._ends = end_tokens(self.processor)
        self._lead = turn_lead(self.processor)
        self._options = {key: value for key, value in (options or {}).items() if key != "device_map"}
        watch_images(self.model, self._image)
        self._noise = torch.Generator(self.device)

    @property
    def identity(self) -> dict[str, Any]:
        """Weights and settings that identify a run of this policy, but not the folder or the device.

        A folder is identified by its fingerprint, so a model that was retrained in place is a different one. A name on
        a hub is identified by the name, with the revision among the options.
        """
        return {
            **({"weights": self._weights} if self._weights else {"model": self._source}),
            "protocol": dict(self.protocol.spec),
            "prompt": self._prompt,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "turn_tokens": self.turn_tokens,
            # Dialogues of a batch share a random stream.
            "batch_size": self.batch_size,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "max_pixels": self.max_pixels,
            "options": json.loads(json.dumps(plain(self._options), default=str)),
        }

    def prepare(self, budget: Budget) -> Budget:
        """The budget to play with: frames of at most `max_pixels`, if that is set; those of zooms, too."""
        if not self.max_pixels:
            return budget
        most = min(self.max_pixels, budget.max_pixels)
        zoom_most = min(self.max_pixels, budget.zoom_max_pixels)
        return replace(budget, max_pixels=most, min_pixels=min(budget.min_pixels, most), zoom_max_pixels=zoom_most)

    def reset(self, seeds: Sequence[int]) -> None:
        """Start a batch of episodes. The batch has one random stream, seeded with all its seeds."""
        mixed = 0
        for seed in seeds:
            mixed = (mixed * 1_000_003 + int(seed)) % (1 << 63)
        self._noise.manual_seed(mixed)

    @torch.no_grad()
    def respond(self, dialogues: Sequence[Sequence[Message]]) -> list[str]:
        """The next turn of each dialogue, without its end token."""
        batch = join_inputs([encode(self.processor, chat_of(messages)) for messages in dialogues], self._pad)
        made = self._generate({key: self._placed(value) for key, value in batch.items()})
        return [self._text(row) for row in made.tolist()]

    @torch.no_grad()
    def log_likelihoods(self, dialogue: Sequence[Message], texts: Sequence[str]) -> NDArray[np.float64]:
        """The log-likelihood of each text as the next turn of a dialogue, without temperature and nucleus.

        Args:
            dialogue: A dialogue that ends with a message from the environment.
            texts: Turns, without their end token, which is counted.

        Returns:
            float64, shape `(texts,)`, in nats.
        """
        prompt = encode(self.processor, chat_of(dialogue))
        found: list[float] = []
        for first in range(0, len(texts), self.batch_size):
            turns = [self._turn_tokens(text) for text in texts[first : first + self.batch_size]]
            batch = join_inputs([_extended(prompt, turn) for turn in turns], self._pad)
            most = max(map(len, turns))
            logits = self.model(**{key: self._placed(value) for key, value in batch.items()}, logits_to_keep=most + 1)
            scores = logits.logits[:, :-1].float().log_softmax(-1)
            for row, turn in zip(scores, turns, strict=True):
                picked = row[most - len(turn) :].gather(1, torch.tensor(turn, device=row.device)[:, None])
                found.append(float(picked.double().sum()))
        return np.array(found, dtype=np.float64)

    def _turn_tokens(self, text: str) -> list[int]:
        tokens = self.processor.tokenizer.encode(self._lead + text, add_special_tokens=False)
        return [*map(int, tokens), turn_end(self.processor)]

    @property
    def _pad(self) -> int:
        return int(self.processor.tokenizer.pad_token_id)

    def _placed(self, value: torch.Tensor) -> torch.Tensor:
        return value.to(self.device, self.model.dtype if value.is_floating_point() else value.dtype)

    def _text(self, tokens: Sequence[int]) -> str:
        """A turn's text up to its end token; a `TruncatedText` if it has none."""
        end = next((place for place, token in enumerate(tokens) if token in self._ends), None)
        text = str(self.processor.tokenizer.decode(tokens[:end])).removeprefix(self._lead)
        return TruncatedText(text) if end is None else text

    def _generate(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """New tokens of each row, shape `(rows, new)`, padded after the end token."""
        # The library samples from torch's global generator: seed it from ours, so that a seed fixes a batch.
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(int(torch.randint(1 << 62, (1,), generator=self._noise, device=self.device)))
            sequences: torch.Tensor = self.model.generate(
                **batch,
                max_new_tokens=self.turn_tokens,
                do_sample=self.temperature > 0,
                suppress_tokens=suppressed_tokens(self.processor),
                eos_token_id=self._ends,
                pad_token_id=self._pad,
                **({"temperature": self.temperature, "top_p": self.top_p, "top_k": 0} if self.temperature else {}),
            )
        return sequences[:, batch["input_ids"].shape[1] :]


def _extended(row: Mapping[str, torch.Tensor], tokens: Sequence[int]) -> dict[str, torch.Tensor]:
    """An encoded dialogue followed by tokens of text."""
    length = len(row["input_ids"])
    more = torch.tensor(tokens)
    return {
        key: torch.cat([value, more if key == "input_ids" else torch.zeros(len(more), dtype=value.dtype)])
        if value.dim() == 1 and len(value) == length
        else value
        for key, value in row.items()
    }


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise InvalidSetting(f"dtype must be one of torch's, such as bfloat16 or float32; got {name!r}")
    return found
