"""The perception stage: a model from a seed, taught to see what a suite's frames show. Plain torch, one core."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vzgym.agents.tiny.model import TinySize, build_model
from vzgym.agents.tiny.modeling import TinyVLM
from vzgym.agents.tiny.processor import TinyProcessor, make_processor
from vzgym.agents.tiny.tokenizer import END, IMAGE, ROLES, train_tokenizer
from vzgym.agents.training.config import save_settings
from vzgym.agents.training.pretrain_corpus import dialogue_texts, vocabulary
from vzgym.agents.training.pretrain_exercises import LOOK_UP, NAME, SPOT, Exercise, LabelledFrames, sample_frames
from vzgym.agents.training.settings import PretrainSettings
from vzgym.agents.vlm.checkpoint import save_checkpoint
from vzgym.core.errors import InvalidSetting
from vzgym.core.files import write_json
from vzgym.protocols import PROTOCOLS
from vzgym.tasks import load_tasks

__all__ = ["Progress", "pretrain"]

_log = logging.getLogger("vzgym.agents")

_IGNORED = -100
_EXERCISES = {LOOK_UP: "look-up", NAME: "name", SPOT: "spot"}
_OTHERS = 0.4  # share of a batch that is not look-ups, once these are solved


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the pre-training has come.

    Attributes:
        step: Steps done.
        seconds: Since the start.
        loss: Mean over the last steps.
        shares: By exercise ("look-up": a scene's time in an overview; "name": what is in a scene of an overview, where
            overviews show it; "spot": what happens in a clip), the share solved over the last steps; 0 until it is
            practised.
    """

    step: int
    seconds: float
    loss: float
    shares: Mapping[str, float]

    def __str__(self) -> str:
        """The shares in words, such as "look-up 98.0%, spot 12.5%"."""
        return ", ".join(f"{name} {share:.1%}" for name, share in self.shares.items())


def pretrain(settings: PretrainSettings, on_progress: Callable[[Progress], None] | None = None) -> Path:
    """Make the tiny model from its seed and teach it to see.

    Args:
        settings: See `PretrainSettings`.
        on_progress: Told every `log_steps` steps.

    Returns:
        The checkpoint's folder (`settings.out`), with the protocol in it and `pretrain.json`: seconds, steps, shares.

    Raises:
        InvalidSetting: If `out` is not given, or the suite's images cannot be practised on; see `sample_frames`.
    """
    if not settings.out:
        raise InvalidSetting("PretrainSettings.out must be given: the folder for the checkpoint")
    started = time.perf_counter()
    protocol = PROTOCOLS.make(settings.protocol)
    tasks = load_tasks(settings.tasks)
    rng = np.random.default_rng(np.random.SeedSequence([settings.seed, 1]))
    scenes = sample_frames(tasks, settings.videos, rng)
    longest = int(np.ceil(tasks[0].video.duration))
    tokenizer = train_tokenizer([*scenes.texts, *dialogue_texts(tasks, protocol)], vocabulary(), longest)
    size = settings.size
    _need_single_tokens(scenes, size, tasks.name)
    processor = make_processor(tokenizer, size.patch, tasks.budget.max_pixels)
    model = build_model(tokenizer, size, settings.seed)
    _balance(model, processor, scenes)
    # Not before all is checked: a run that is refused changes nothing in its folder.
    save_settings(settings, settings.out)
    curriculum = _Curriculum(model, processor, scenes, rng, settings)
    last = curriculum.progress(0.0)
    while curriculum.step < settings.max_steps and not curriculum.done:
        curriculum.train_step()
        if curriculum.step % settings.log_steps == 0 or curriculum.done:
            last = curriculum.progress(time.perf_counter() - started)
            _log.info("pre-training step %d, %.0f s: loss %.3f, %s", last.step, last.seconds, last.loss, last)
            if on_progress:
                on_progress(last)
    if not curriculum.done:
        _log.warning(
            "pre-training stopped after %d steps below its target of %.0f%% (%s): raise max_steps or try another seed",
            curriculum.step, 100 * settings.target, last,
        )  # fmt: skip
    out = Path(settings.out)
    save_checkpoint(out, model, processor, protocol)
    facts = {
        "seconds": round(time.perf_counter() - started, 1),
        "steps": curriculum.step,
        "shares": dict(last.shares),
        "weights": sum(weight.numel() for weight in model.parameters()),
        "settings": settings.to_dict(),
    }
    write_json(out / "pretrain.json", facts)
    return out


def _need_single_tokens(scenes: LabelledFrames, size: TinySize, name: str) -> None:
    """The exercises put one visual token in front of each time."""
    height, width = scenes.pixels.shape[1:3]
    side = 2 * size.patch
    if (height, width) != (side, side):
        wanted = (
            f"--set size.patch={height // 2}" if height == width and height % 2 == 0 else "a suite of square frames"
        )
        raise InvalidSetting(
            f"pre-training needs frames of one visual token; those of {name!r} have {height}x{width} pixels, a token "
            f"covers {side}x{side}. Take {wanted}, or a suite for small models: needle-micro, control-micro, micro"
        )


def _balance(model: TinyVLM, processor: TinyProcessor, scenes: LabelledFrames) -> None:
    """Centre the visual tokens and give them the size of text embeddings, so that neither drowns the other."""
    patches, grid = processor.image_processor.patches(scenes.pixels[:512])
    count = len(scenes.pixels[:512])
    merger = model.model.visual.merger.linear_fc2
    with torch.no_grad():
        grids = torch.from_numpy(np.repeat(grid[None], count, axis=0))
        seen = model.model.visual(torch.from_numpy(patches), grid_thw=grids).pooler_output
        scale = model.get_input_embeddings().weight.std() / (seen - seen.mean(0)).std()
        merger.weight.mul_(scale)
        merger.bias.sub_(seen.mean(0)).mul_(scale)


class _Curriculum:
    """The exercises' order, and the training on them.

    Look-ups come first, alone. All else is practised beside them once they are solved: from the first step on it keeps
    look-ups from being learned for long.
    """

    def __init__(
        self,
        model: TinyVLM,
        processor: TinyProcessor,
        scenes: LabelledFrames,
        rng: np.random.Generator,
        settings: PretrainSettings,
    ) -> None:
        self.model = model.train()
        self.processor = processor
        self.scenes = scenes
        self.rng = rng
        self.settings = settings
        self.step = 0
        self.solved = 0  # step at which look-ups were solved
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
        )
        # Most pieces come up in every batch.
        self._encode = lru_cache(maxsize=4096)(processor.tokenizer.encode)
        self.losses: list[float] = []
        self.shares: dict[str, list[float]] = {question: [] for question in scenes.questions}

    @property
    def done(self) -> bool:
        """Whether all exercises are solved."""
        return all(self._share(question) >= self.settings.target for question in self.shares)

    def progress(self, seconds: float) -> Progress:
        """See `Progress`."""
        recent = self.losses[-self.settings.log_steps :]
        shares = {_EXERCISES[question]: self._share(question) for question in self.shares}
        return Progress(self.step, seconds, float(np.mean(recent)) if recent else 0.0, shares)

    def _share(self, question: str) -> float:
        recent = self.shares[question][-8:]
        return float(np.mean(recent)) if len(recent) == 8 else 0.0

    def train_step(self) -> None:
        """One step."""
        if not self.solved and self._share(LOOK_UP) >= self.settings.target:
            self.solved = self.step
            _log.info("pre-training: look-ups solved at step %d", self.step)
        asked = self._questions()
        rows = [self.scenes.ask(question, self.rng) for question in asked]
        inputs, labels, captions = self._batch(rows)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * min(1.0, (self.step + 1) / 20)
        output = self.model(**inputs, output_hidden_states=True)
        logits = output.logits[:, :-1]
        wanted = labels[:, 1:]
        loss = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=_IGNORED)
        loss = loss + self._caption_loss(output.hidden_states, captions)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.losses.append(loss.item())
        learned = wanted != _IGNORED
        right = (logits.argmax(-1) == wanted) & learned
        for question, found in self.shares.items():
            part = [i for i, other in enumerate(asked) if other == question]
            if part:
                found.append(float(right[part].sum() / learned[part].sum()))
        self.step += 1

    def _questions(self) -> list[str]:
        """What the rows of the next batch ask."""
        size = self.settings.batch_size
        if not self.solved:
            return [LOOK_UP] * size
        # Most of the rest is for what is not solved yet.
        target = self.settings.target
        weights = {
            question: 1 if self._share(question) >= target else 3
            for question in self.scenes.questions
            if question != LOOK_UP
        }
        asked = [
            question
            for question, weight in weights.items()
            for _ in range(round(_OTHERS * size * weight / sum(weights.values())))
        ]
        return [LOOK_UP] * (size - len(asked)) + asked

    def _caption_loss(self, hidden: Sequence[Tensor], captions: Tensor) -> Tensor:
        """Behind each frame, at its time, name the scene after the first layer and what happens after the second.

        A look-up has to find a time by what was seen before it; that this is known at the time's place, early in the
        model, is what takes longest to come about by itself.
        """
        inner = self.model.model.language_model
        loss = torch.zeros(())
        for depth in (1, 2):
            state = hidden[min(depth, len(hidden) - 2)][captions[:, 0], captions[:, 1]]
            wanted = captions[:, 1 + depth]
            if (wanted != _IGNORED).any():
                named = self.model.lm_head(inner.norm(state))
                loss = loss + functional.cross_entropy(named, wanted, ignore_index=_IGNORED)
        return loss

    def _batch(self, rows: Sequence[Exercise]) -> tuple[dict[str, Any], Tensor, Tensor]:
        """Model inputs, labels, and captions (row, place, scene, event), padded on the right."""
        encode = self._encode
        sequences: list[list[int]] = []
        targets: list[list[int]] = []
        captions: list[tuple[int, int, int, int]] = []
        for number, row in enumerate(rows):
            shown = "".join(f"{IMAGE}{moment}" for moment in row.times)
            given = encode(f"{ROLES['user']}{shown}{row.question}{END}{ROLES['assistant']}")
            row_ids, row_labels = list(given), [_IGNORED] * len(given)
            # Behind the message's beginning, each frame and its time take one token each.
            for i, (scene, event) in enumerate(zip(row.scenes, row.events, strict=True)):
                # Look-ups stay alone: see the class.
                event_token = _IGNORED if row.question == LOOK_UP else encode(event)[0]
                captions.append((number, 2 + 2 * i, encode(scene)[0], event_token))
            for piece, learned in (*row.answer, (END, True)):
                tokens = encode(piece)
                row_ids += tokens
                row_labels += tokens if learned else [_IGNORED] * len(tokens)
            sequences.append(row_ids)
            targets.append(row_labels)
        length = max(map(len, sequences))
        pad = self.processor.tokenizer.pad_token_id
        ids = torch.tensor([row + [pad] * (length - len(row)) for row in sequences])
        labels = torch.tensor([row + [_IGNORED] * (length - len(row)) for row in targets])
        frames = np.concatenate([row.frames for row in rows])
        patches, grid = self.processor.image_processor.patches(self.scenes.pixels[frames])
        inputs = {
            "input_ids": ids,
            "attention_mask": (ids != pad).long(),
            "mm_token_type_ids": (ids == self.model.config.image_token_id).long(),
            "pixel_values": torch.from_numpy(patches),
            "image_grid_thw": torch.from_numpy(np.repeat(grid[None], len(frames), axis=0)),
        }
        return inputs, labels, torch.tensor(captions)
