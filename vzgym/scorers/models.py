"""Base class of scorers that are models of transformers, from a local folder or the Hugging Face hub."""

from __future__ import annotations

import hashlib
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import DependencyNotInstalled, InvalidSetting, ScorerError
from vzgym.core.files import check_model_path
from vzgym.scorers.base import OptionsByName
from vzgym.video.base import Frames

__all__ = ["TextTooLong", "TransformersScorer", "import_package"]

LONG_TEXT: Final = ("warn", "error", "chunk")

# Files of a model's folder on which its scores depend.
_FILES: Final = frozenset({".safetensors", ".bin", ".json", ".txt", ".model"})


class TextTooLong(UserWarning):
    """A text is longer than a scorer's model reads: its end is left out."""


class TransformersScorer(OptionsByName):
    """Base class of scorers that are models of transformers. The model is loaded when it is first used.

    Args:
        model: A folder, or a name on the Hugging Face hub.
        device: "cpu", "cuda", "cuda:1"; a GPU if there is one.
        dtype: Of the weights ("bfloat16", "float32"). Default: bfloat16 on a GPU, float32 on a CPU.
        batch_size: Frames per forward pass, >= 1.
        with_options: Whether the question's options belong to the text.
        long_text: What to do with a text of more tokens than the model reads: "warn" (read its beginning, with the
            warning `TextTooLong`), "error" (`ScorerError`), or "chunk" (read it in chunks and average their
            embeddings; see `embed_text`).

    Raises:
        InvalidSetting: If a setting is invalid.
    """

    name: ClassVar[str]
    default_model: ClassVar[str] = ""
    long_texts: ClassVar[tuple[str, ...]] = LONG_TEXT

    def __init__(
        self,
        model: str | Path = "",
        *,
        device: str = "",
        dtype: str = "",
        batch_size: int = 32,
        with_options: bool = False,
        long_text: str = "warn",
    ) -> None:
        self.model_name = str(model) or self.default_model
        if not self.model_name:
            raise InvalidSetting(f"scorer {self.name!r} needs model: a folder, or a name on the Hugging Face hub")
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise InvalidSetting(f"batch_size of scorer {self.name!r} must be a whole number >= 1, got {batch_size!r}")
        if long_text not in self.long_texts:
            raise InvalidSetting(
                f"long_text of scorer {self.name!r} must be one of {', '.join(self.long_texts)}, got {long_text!r}"
            )
        if dtype not in ("", "float32", "bfloat16", "float16"):
            raise InvalidSetting(f"dtype of scorer {self.name!r} must be float32, bfloat16 or float16, got {dtype!r}")
        self.batch_size, self.with_options, self.long_text = batch_size, with_options, long_text
        self._device, self._dtype = device, dtype
        self.costs: dict[str, float] = {}

    @property
    def identity(self) -> dict[str, Any]:
        """Digest of the model's files, or its commit on the hub, and the settings on which scores depend."""
        return {**self.frame_identity, "with_options": self.with_options, "long_text": self.long_text}

    @property
    def frame_identity(self) -> dict[str, Any]:
        """The part of `identity` on which embeddings of frames depend."""
        return {"weights": self._digest, "dtype": self._precision[1]}

    @cached_property
    def model(self) -> Any:
        """The model, in evaluation mode.

        Raises:
            InvalidSetting: If there is no model, or it is of another kind.
            DependencyNotInstalled: If torch or transformers is missing.
        """
        torch = import_package("torch")
        device, dtype = self._precision
        kind = getattr(self.config, "model_type", "")
        if kind not in self._kinds:
            raise InvalidSetting(
                f"the model at {self.model_name!r} is of type {kind!r}, but scorer {self.name!r} needs "
                f"{' or '.join(map(repr, self._kinds))}"
            )
        try:
            model = self._class().from_pretrained(self.model_name, dtype=getattr(torch, dtype))
        except (OSError, ValueError) as error:
            raise InvalidSetting(f"no model could be opened at {self.model_name!r}: {error}") from error
        return model.to(device).eval().requires_grad_(False)

    def load(self) -> None:
        """Load the model, its tokenizer and its image processor now.

        Raises:
            InvalidSetting: If one of them cannot be opened, or the model is of another kind.
            DependencyNotInstalled: If torch or transformers is missing.
        """
        _ = self.model, self.tokenizer, self.image_processor

    @cached_property
    def config(self) -> Any:
        """The model's configuration."""
        return self._open("AutoConfig")

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return self._open("AutoTokenizer")

    @cached_property
    def image_processor(self) -> Any:
        """The model's image processor."""
        return self._open("AutoImageProcessor")

    @property
    def max_tokens(self) -> int:
        """Largest number of tokens of a text, special ones included."""
        return int(self.config.text_config.max_position_embeddings)

    def embed_frames(self, frames: Frames) -> NDArray[np.float32]:
        """Embeddings of frames: float32, shape `(n, d)`."""
        parts = [self._to_numpy(self._embed_images(pixels)) for pixels in self._batches(frames)]
        return np.concatenate(parts)

    def embed_text(self, text: str) -> NDArray[np.float32]:
        """Embedding of a text: float32, shape `(d,)`.

        With `long_text="chunk"`, a text of more tokens than the model reads is cut into the least number of chunks of
        full length, half of them from its beginning and half from its end; those in the middle may overlap. The
        embedding is the mean of theirs, scaled to length 1 if theirs have length 1.
        """
        chunks = self._chunks(text)
        self.costs = {"text_passes": len(chunks)}
        embeddings = self._to_numpy(self._embed_texts(self._padded(chunks)))
        mean: NDArray[np.float32] = embeddings.mean(axis=0)
        return mean if len(chunks) == 1 or not self._unit else mean / np.linalg.norm(mean)

    _kinds: ClassVar[tuple[str, ...]]
    _padding: ClassVar[str | bool] = True
    _text_inputs: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask")
    _unit: bool = True
    """Whether embeddings have length 1."""

    @abstractmethod
    def _class(self) -> Any:
        """The class of the model."""

    @abstractmethod
    def _embed_images(self, pixels: Any) -> Any:
        """Embeddings of a batch of images, a tensor `(n, d)`."""

    @abstractmethod
    def _embed_texts(self, inputs: Any) -> Any:
        """Embeddings of a batch of texts, a tensor `(n, d)`."""

    @cached_property
    def _precision(self) -> tuple[str, str]:
        """Device and dtype."""
        torch = import_package("torch")
        device = self._device or ("cuda" if torch.cuda.is_available() else "cpu")
        return device, self._dtype or ("float32" if device == "cpu" else "bfloat16")

    @cached_property
    def _digest(self) -> str:
        """What identifies the weights: BLAKE2b of the folder's files, or the commit on the hub."""
        folder = Path(self.model_name)
        if not folder.is_dir():
            commit = getattr(self.config, "_commit_hash", None)
            return f"{self.model_name}@{commit or 'unknown'}"
        digest = hashlib.blake2b(digest_size=16)
        for file in sorted(folder.iterdir()):
            if file.suffix in _FILES and file.is_file():
                with file.open("rb") as data:
                    digest.update(file.name.encode() + b"\0" + hashlib.file_digest(data, "blake2b").digest())
        return digest.hexdigest()

    def _open(self, kind: str) -> Any:
        check_model_path(self.model_name)
        try:
            return getattr(import_package("transformers"), kind).from_pretrained(self.model_name)
        except (OSError, ValueError) as error:
            part = {"AutoConfig": "model", "AutoTokenizer": "tokenizer"}.get(kind, "image processor")
            raise InvalidSetting(
                f"scorer {self.name!r}: no {part} could be opened at {self.model_name!r}: {error}"
            ) from error

    def _batches(self, frames: Frames) -> Iterator[Any]:
        """Preprocessed pixels of each batch, on the device."""
        torch = import_package("torch")
        device, dtype = self._precision
        _ = self.model  # the error of a wrong folder names the model, not its image processor
        for first in range(0, len(frames), self.batch_size):
            images = list(frames.pixels[first : first + self.batch_size])
            # The channels must be named: a frame of three rows would be ambiguous.
            pixels = self.image_processor(images=images, return_tensors="pt", input_data_format="channels_last")
            with torch.inference_mode():
                yield pixels["pixel_values"].to(device, getattr(torch, dtype))

    def _to_numpy(self, tensor: Any) -> NDArray[np.float32]:
        array: NDArray[np.float32] = tensor.float().cpu().numpy()
        return array

    def _chunks(self, text: str) -> list[list[int]]:
        """Token ids of a text: one list, or several if it is read in chunks."""
        ids = list(self.tokenizer(text, verbose=False)["input_ids"])
        most = self.max_tokens
        if len(ids) <= most:
            return [ids]
        said = (
            f"scorer {self.name!r}: a text of {len(ids)} tokens is longer than the model reads ({most}): {text[:60]!r}"
        )
        if self.long_text == "error":
            raise ScorerError(f"{said}...")
        plain = list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        lead = next(start for start in range(len(ids)) if ids[start : start + len(plain)] == plain)
        before, after = ids[:lead], ids[lead + len(plain) :]
        room = most - len(before) - len(after)
        if self.long_text == "warn":
            warnings.warn(f"{said}... Its end is left out.", TextTooLong, stacklevel=2)
            return [[*before, *plain[:room], *after]]
        count = -(-len(plain) // room)
        starts = [
            place * room if place < (count + 1) // 2 else len(plain) - (count - place) * room for place in range(count)
        ]
        return [[*before, *plain[start : start + room], *after] for start in starts]

    def _padded(self, chunks: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Inputs of the text model, on the device."""
        padded = self.tokenizer.pad(
            {"input_ids": [list(chunk) for chunk in chunks]},
            padding=self._padding,
            max_length=self.max_tokens if self._padding == "max_length" else None,
            return_tensors="pt",
        )
        return {name: padded[name].to(self._precision[0]) for name in self._text_inputs}


def import_package(package: str) -> Any:
    """Import torch or transformers.

    Raises:
        DependencyNotInstalled: If it is missing.
    """
    try:
        return __import__(package)
    except ImportError as error:
        raise DependencyNotInstalled(f'{package} is not installed, run `pip install "vzgym[llm]"`') from error
