"""Perception pre-training: a tiny model learns to read a suite's frames. Plain torch, one core."""

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

from vzgym.agents.tiny.model import build_model
from vzgym.agents.tiny.modeling import TinyVLM
from vzgym.agents.tiny.processor import TinyProcessor, make_processor
from vzgym.agents.tiny.size import TinySize
from vzgym.agents.tiny.tokenizer import END, IMAGE, ROLES, train_tokenizer
from vzgym.agents.training.config import save_settings
from vzgym.agents.training.pretrain_corpus import dialogue_texts, vocabulary
from vzgym.agents.training.pretrain_exercises import (
    FOLLOW,
    LOOK_UP,
    NAME,
    SPOT,
    Exercise,
    LabelledFrames,
    sample_frames,
)
from vzgym.agents.training.settings import PretrainSettings
from vzgym.agents.vlm.checkpoint import save_checkpoint
from vzgym.core.errors import InvalidSetting
from vzgym.core.files import folder_lock, write_json
from vzgym.protocols import PROTOCOLS
from vzgym.tasks import load_tasks

__all__ = ["Progress", "pretrain"]

_log = logging.getLogger("vzgym.agents")

_IGNORED = -100
_EXERCISES = {LOOK_UP: "look-up", NAME: "name", SPOT: "spot", FOLLOW: "follow"}
_OTHERS = 0.4  # fraction of a batch that is not look-ups, once these are solved


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of pre-training.

    Attributes:
        step: Number of steps so far.
        seconds: Time since the start.
        loss: Mean over the last steps.
        shares: The fraction solved over the last steps, by exercise ("look-up": a scene's time in an overview; "name":
            what is in a scene of an overview, where overviews show it; "spot": what happens in a clip; "follow": the
            hue on a clip's card and that scene's time in the overview, where videos show cards); 0 for an exercise that
            has not started.
    """

    step: int
    seconds: float
    loss: float
    shares: Mapping[str, float]

    def __str__(self) -> str:
        """The shares as text, such as "look-up 98.0%, spot 12.5%"."""
        return ", ".join(f"{name} {share:.1%}" for name, share in self.shares.items())


def pretrain(settings: PretrainSettings, on_progress: Callable[[Progress], None] | None = None) -> Path:
    """Build the tiny model from a seed and pre-train its perception.

    Args:
        settings: See `PretrainSettings`.
        on_progress: Called every `log_steps` steps.

    Returns:
        The checkpoint's folder (`settings.out`), with the protocol and `pretrain.json`: seconds, steps, shares.

    Raises:
        InvalidSetting: If `out` is not given, or the exercises do not fit the suite's frames; see `sample_frames`.
        FolderInUse: If another run writes into `out`.
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
    _check_frame_size(scenes, size, tasks.name)
    processor = make_processor(tokenizer, size.patch, tasks.budget.largest_pixels)
    model = build_model(tokenizer, size, settings.seed)
    _normalize_features(model, processor, scenes)
    # After all checks, so that a refused run leaves its folder unchanged.
    with folder_lock(settings.out):
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
                "pre-training stopped after %d steps below its target of %.0f%% (%s): raise max_steps or try another "
                "seed",
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


def _check_frame_size(scenes: LabelledFrames, size: TinySize, name: str) -> None:
    """Check that a frame is one visual token: the exercises put it before its time."""
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


def _normalize_features(model: TinyVLM, processor: TinyProcessor, scenes: LabelledFrames) -> None:
    """Center the visual features and scale them to the standard deviation of the text embeddings."""
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
    """The order of the exercises, and the training on them.

    Look-ups come first, alone. The other exercises join once look-ups are solved: mixed in from the first step, they
    delay the learning of look-ups.
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
        added = processor.tokenizer.added_tokens_decoder
        self._written = [token for token, text in added.items() if not text.special]
        # Most texts occur in every batch.
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
        """The questions of the next batch's rows."""
        size = self.settings.batch_size
        if not self.solved:
            return [LOOK_UP] * size
        # Unsolved exercises get most of the rest.
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
        """Auxiliary loss at the time token after each frame: the scene after layer 1, the event after layer 2.

        A look-up finds a time by the frame before it. That early layers carry the frame's content to the time's
        position is what is learned last without this loss.
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

    def _opening(self, row: Exercise) -> tuple[list[int], list[int]]:
        """The tokens before an exercise's answer, and the places of its frames' times among them.

        Before a clip comes a turn of random tokens, and so does the answer: a look-up after a clip must not depend on
        what has been written since the overview.
        """
        encode = self._encode
        ids, places = encode(ROLES["user"]), []
        for i, moment in enumerate(row.times):
            if i == row.overview:
                ids = [*ids, *encode(f"{row.question}{END}{ROLES['assistant']}"), *self._any_tokens()]
                ids += encode(f"{END}{ROLES['tool']}")
            # A frame and its time are one token each.
            ids = [*ids, *encode(f"{IMAGE}{moment}")]
            places.append(len(ids) - 1)
        if row.overview is None:
            return [*ids, *encode(f"{row.question}{END}{ROLES['assistant']}")], places
        return [*ids, *encode(f"{END}{ROLES['assistant']}"), *self._any_tokens()], places

    def _any_tokens(self) -> list[int]:
        return [int(token) for token in self.rng.choice(self._written, int(self.rng.integers(1, 11)))]

    def _batch(self, rows: Sequence[Exercise]) -> tuple[dict[str, Any], Tensor, Tensor]:
        """Model inputs, labels, and captions (row, position, scene, event), padded on the right."""
        encode = self._encode
        sequences: list[list[int]] = []
        targets: list[list[int]] = []
        captions: list[tuple[int, int, int, int]] = []
        for number, row in enumerate(rows):
            row_ids, places = self._opening(row)
            row_labels = [_IGNORED] * len(row_ids)
            for place, scene, event in zip(places, row.scenes, row.events, strict=True):
                # Look-ups are trained without events first: see the class.
                event_token = _IGNORED if row.question == LOOK_UP else encode(event)[0]
                captions.append((number, place, encode(scene)[0], event_token))
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
