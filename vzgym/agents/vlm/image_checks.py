"""Detection of image tokens and dropped images, for any model family.

A frame that does not reach the model causes no error: the model simply trains without it. Therefore `watch_images`
compares, in every forward pass, the number of image tokens with the number of features from the model's vision tower.
No model family is treated specially.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from vzgym.core.errors import InvalidSetting, VzgymError

__all__ = ["ImagesDropped", "count_features", "frame_tokens", "image_placeholder", "image_token", "watch_images"]

_PROBE = 64
"""Side in pixels of the images used to examine a processor."""


class ImagesDropped(VzgymError, RuntimeError):
    """Frames were dropped on their way to the model: the numbers of image tokens and image features differ."""


def image_token(processor: Any) -> int:
    """The id of the placeholder token of a visual token.

    Found by encoding images, since the token that a processor declares is not always the one that it writes: it is the
    token that an image adds most often.
    """
    known: int | None = getattr(processor, "_vzgym_image_token", None)
    if known is None:
        shown, plain = (_count(processor, _chat(images)) for images in (2, 0))
        added = shown - plain
        # If an image is a single token, the tokens around it are equally frequent.
        named = getattr(processor, "image_token_id", None)
        most = max(added.values())
        known = named if named is not None and added[named] == most else added.most_common(1)[0][0]
        processor._vzgym_image_token = known
    return int(known)


def image_placeholder(processor: Any) -> str:
    """The text that the chat template writes for an image, before the processor replaces it by image tokens.

    Raises:
        InvalidSetting: If it writes nothing: images would not reach the model.
    """
    mark: str | None = getattr(processor, "_vzgym_image_placeholder", None)
    if mark is None:
        shown = str(processor.apply_chat_template(_chat(2), tokenize=False))
        plain = str(processor.apply_chat_template(_chat(0), tokenize=False))
        longest = (len(shown) - len(plain) + 1) // 2
        # The longest substring that occurs twice with the images and never without them.
        found = (
            shown[place : place + size]
            for size in range(longest, 0, -1)
            for place in range(len(shown) - size + 1)
            if shown.count(shown[place : place + size]) == 2 and shown[place : place + size] not in plain
        )
        mark = next((piece.strip() for piece in found if piece.strip()), "") if longest else ""
        if not mark:
            raise InvalidSetting(
                "the chat template writes nothing for images: set processor.chat_template to one that renders them"
            )
        processor._vzgym_image_placeholder = mark
    return mark


def frame_tokens(processor: Any, shown: tuple[int, int]) -> int:
    """Visual tokens of one frame that is shown at `(height, width)` pixels."""
    # Two images, since some processors split a single one into crops.
    return _count(processor, _chat(2, shown))[image_token(processor)] // 2


def watch_images(model: Any, image_id: int) -> Callable[[], None]:
    """Check in each forward pass of a model that there are as many image tokens as image features.

    Args:
        model: A vision-language model whose images become tokens of its language model.
        image_id: The image token, from `image_token`.

    Returns:
        A function that removes the check.

    Raises:
        InvalidSetting: If the model has no `get_image_features`, as the library's models have.
    """
    core = model.base_model
    extract = getattr(core, "get_image_features", None)
    if extract is None:
        raise InvalidSetting(
            f"{type(model).__name__} has no get_image_features: its images do not become tokens of the dialogue, so "
            "a dropped frame could not be detected. Use a model whose images do, such as Qwen-VL, Gemma 3 or Idefics"
        )
    forward = core.forward
    if getattr(forward, "watches_images", False):
        # Checked already: replace the check.
        extract, forward = extract.__wrapped__, forward.__wrapped__
    # Of the current forward pass: image tokens, and image features that were computed or passed in.
    wanted: list[int] = []
    given: list[int] = []

    def note(made: Any) -> None:
        given.append(count_features(made))
        _agree(wanted[-1], sum(given))

    @functools.wraps(extract)
    def checked_extract(*args: Any, **kwargs: Any) -> Any:
        made = extract(*args, **kwargs)
        # Outside a forward pass the library computes features in advance, and passes them in.
        if wanted:
            note(made)
        return made

    @functools.wraps(forward)
    def checked_forward(*args: Any, **kwargs: Any) -> Any:
        ids = kwargs.get("input_ids", args[0] if args else None)
        if ids is None:
            return forward(*args, **kwargs)
        wanted.append(int((ids == image_id).sum()))
        try:
            passed = (kwargs.get("mm_encoder_outputs") or {}).get("image")
            if passed is not None:
                note(passed)
            made = forward(*args, **kwargs)
            _agree(wanted[-1], sum(given))
            return made
        finally:
            wanted.clear()
            given.clear()

    checked_forward.watches_images = True  # type: ignore[attr-defined]
    core.get_image_features, core.forward = checked_extract, checked_forward

    def end() -> None:
        for name in ("get_image_features", "forward"):
            core.__dict__.pop(name, None)

    return end


def count_features(made: Any) -> int:
    """The number of feature vectors in a vision tower's output, however they are packed."""
    pooled = getattr(made, "pooler_output", made)
    if isinstance(pooled, Tensor):
        return pooled.numel() // pooled.shape[-1]
    return sum(count_features(part) for part in pooled)


def _agree(tokens: int, features: int) -> None:
    if tokens != features:
        raise ImagesDropped(
            f"the model was given {tokens} visual tokens but pixels for {features}: frames were cut off or lost. In a "
            "trainer, a limit on lengths (max_length, max_completion_length) may be too small"
        )


def _chat(images: int, shape: tuple[int, int] = (_PROBE, _PROBE)) -> list[dict[str, Any]]:
    blank = Image.fromarray(np.zeros((*shape, 3), dtype=np.uint8))
    blocks: list[dict[str, Any]] = []
    for number in range(2):
        blocks += [{"type": "image", "image": blank}] if number < images else []
        blocks.append({"type": "text", "text": f"{number}."})
    return [{"role": "user", "content": blocks}]


def _count(processor: Any, chat: Sequence[Mapping[str, Any]]) -> Counter[int]:
    made = processor.apply_chat_template(list(chat), tokenize=True, return_dict=True, return_tensors="pt")
    return Counter(made["input_ids"][0].tolist())
