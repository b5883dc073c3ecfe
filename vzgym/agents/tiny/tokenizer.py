"""A tokenizer of a few hundred tokens, trained on dialogues of the kind that it will encode.

Numbers and the words of a closed vocabulary (colors, reasons of refusals) are one token each. The text between them is
constant in a protocol's dialogues, and each such piece is one token too. All other text is encoded in bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

__all__ = ["END", "IMAGE", "ROLES", "SEPARATOR", "train_tokenizer"]

IMAGE = "<|image_pad|>"
"""The placeholder of a visual token."""

SEPARATOR = "<|vision_end|>"
"""Between two images that have no text between them."""

END = "<|im_end|>"
"""Ends each message."""

ROLES = {role: f"<|{role}|>" for role in ("system", "user", "assistant", "tool")}
"""Starts a message of each role."""

_PAD = "<|endoftext|>"
# A Qwen processor asks for these names, used or not.
_ASKED_FOR = ("<|video_pad|>", "<|vision_start|>", SEPARATOR)


def train_tokenizer(texts: Iterable[str], words: Sequence[str], largest_number: int) -> PreTrainedTokenizerFast:
    """Make a tokenizer from texts.

    Args:
        texts: Messages of dialogues.
        words: Words that are one token wherever they occur.
        largest_number: The integers 0 to this one are one token each.

    Returns:
        The tokenizer, with left padding.
    """
    variable = re.compile(rf"\d+(?:\.\d+)?|(?<![a-z])(?:{'|'.join(map(re.escape, sorted(words)))})+(?![a-z])")
    pieces: Counter[str] = Counter()
    for text in texts:
        pieces.update(piece for piece in variable.split(text) if len(piece) > 1)
    constant = sorted(piece for piece, count in pieces.items() if count > 1)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([_PAD, END, IMAGE, *_ASKED_FOR, *ROLES.values()])
    atoms = [*map(str, range(largest_number + 1)), *words, *constant]
    core.add_tokens([AddedToken(atom, normalized=False) for atom in dict.fromkeys(atoms)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=_PAD,
        eos_token=END,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
