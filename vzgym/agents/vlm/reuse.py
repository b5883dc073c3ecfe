"""Keys and values of dialogues, kept from one turn to the next: each turn then reads only what is new.

A batch stays a batch. What a row does not go on with (tokens behind the end of a turn, or a turn that reads back as
other tokens than it was said with) is masked out where it lies, so that rows of different lengths need no copying, and
positions are computed anew from the whole dialogue, in the model's own way. The result is what reading everything again
gives, up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vzgym.episode.dialogue import Message

__all__ = ["Continued", "TurnCache"]


@dataclass(frozen=True)
class Continued:
    """What is known of a batch of dialogues already.

    Attributes:
        cache: The library's cache, one entry a row.
        ids: Tokens in the cache's places, shape `(rows, places)`.
        mask: Which places count, shape `(rows, places)`, int64 of 0 and 1.
        lengths: Tokens of each row that need not be read again.
        pictures: Pictures of each row that need not be shown again.
    """

    cache: Any
    ids: Tensor
    mask: Tensor
    lengths: tuple[int, ...]
    pictures: tuple[int, ...]


class TurnCache:
    """The cache of the latest batch, and which dialogues it is of."""

    def __init__(self) -> None:
        self._cache: Any = None
        self._dialogues: list[tuple[Message, ...]] = []
        self._ids = torch.empty(0)
        self._mask = torch.empty(0)

    def clear(self) -> None:
        """Forget everything."""
        self.__init__()  # type: ignore[misc]

    def keep(self, cache: Any, dialogues: Sequence[Sequence[Message]], sequences: Tensor, mask: Tensor) -> None:
        """Remember a batch.

        Args:
            cache: What the library gave back. Only caches that keep every token can be gone on with; others (sliding
                windows, states) are not kept.
            dialogues: The rows' dialogues, before the turn that was just said.
            sequences: All tokens, shape `(rows, tokens)`.
            mask: Which of the tokens given to the model counted, shape `(rows, given)`, given <= tokens.
        """
        from transformers.cache_utils import DynamicLayer

        self.clear()
        if cache is None or not all(type(layer) is DynamicLayer for layer in getattr(cache, "layers", [None])):
            return
        places = cache.get_seq_length()
        rest = torch.ones(len(mask), places - mask.shape[1], dtype=mask.dtype, device=mask.device)
        self._cache, self._dialogues = cache, [tuple(dialogue) for dialogue in dialogues]
        self._ids, self._mask = sequences[:, :places], torch.cat([mask, rest], dim=1)

    def continued(
        self, dialogues: Sequence[Sequence[Message]], rows: Sequence[Tensor], image_id: int
    ) -> Continued | None:
        """What is known of a batch, if every one of its dialogues goes on from one of the latest batch's.

        The caller must `keep` anew or `clear` afterwards: the cache is used up.

        Args:
            dialogues: As `TextPolicy.respond` gets them.
            rows: Their tokens, each of shape `(tokens,)`.
            image_id: The token of pictures.
        """
        sources = self._sources(dialogues)
        if sources is None:
            return None
        index = torch.tensor(sources, device=self._ids.device)
        ids, mask = self._ids[index], self._mask[index].clone()
        lengths, pictures = [], []
        for i, (source, row) in enumerate(zip(sources, rows, strict=True)):
            places = mask[i].nonzero()[:, 0]
            count = _common(ids[i][places].tolist(), row.tolist())
            shown = sum(len(message.images) for message in self._dialogues[source])
            if int((row[count:] == image_id).sum()) and not _whole(row, count, image_id):
                return None
            if count >= len(row) or int((row[:count] == image_id).sum()) == 0 < shown:
                return None
            mask[i, places[count:]] = 0
            lengths.append(count)
            pictures.append(shown)
        if sources != list(range(len(self._dialogues))):
            self._cache.batch_select_indices(index)
        return Continued(self._cache, ids, mask, tuple(lengths), tuple(pictures))

    def _sources(self, dialogues: Sequence[Sequence[Message]]) -> list[int] | None:
        """For each dialogue the kept row that it goes on from; None if one goes on from none."""
        found: list[int] = []
        for dialogue in dialogues:
            free = (i for i in range(len(self._dialogues)) if i not in found)
            source = next((i for i in free if _starts_with(dialogue, self._dialogues[i])), None)
            if source is None:
                return None
            found.append(source)
        return found


def _starts_with(dialogue: Sequence[Message], beginning: Sequence[Message]) -> bool:
    """Whether a dialogue begins with these very messages: equal text may belong to other frames."""
    same = len(dialogue) > len(beginning)
    return same and all(a is b for a, b in zip(dialogue, beginning, strict=False))


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two rows have in common at their beginning."""
    for place, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return place
    return min(len(left), len(right))


def _whole(row: Tensor, count: int, image_id: int) -> bool:
    """Whether a cut does not go through a picture."""
    return not (int(row[count - 1]) == image_id and int(row[count]) == image_id) if 0 < count < len(row) else True
