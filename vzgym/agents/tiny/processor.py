"""The tiny model's processor: images to patches, chat messages to text. Needs no torchvision."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import BatchFeature, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

from vzgym.agents.tiny.tokenizer import END, IMAGE, ROLES, SEPARATOR
from vzgym.agents.vlm.processor import save_video_settings

__all__ = ["CHAT_TEMPLATE", "TinyImageProcessor", "TinyProcessor", "make_processor"]

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|' + message['role'] + '|>' -}}"
    "{%- if message['content'] is string -%}{{- message['content'] -}}{%- else -%}"
    "{%- for block in message['content'] -%}"
    "{%- if block['type'] == 'image' -%}"
    "{%- if loop.previtem is defined and loop.previtem['type'] == 'image' -%}{{- '" + SEPARATOR + "' -}}{%- endif -%}"
    "{{- '" + IMAGE + "' -}}"
    "{%- else -%}{{- block['text'] -}}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{%- for call in message['tool_calls'] or [] -%}"
    "{{- '<' + call['function']['name'] + '>' + call['function']['arguments'] | tojson -}}"
    "{{- '</' + call['function']['name'] + '>' -}}"
    "{%- endfor -%}"
    "{{- '" + END + "' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '" + ROLES["assistant"] + "' -}}{%- endif -%}"
)
"""One token starts a message, one ends it; a frame is only its visual tokens.

Two frames without text between them are separated: Qwen3-VL takes adjacent visual tokens for those of one image when it
computes their positions.
"""

_MODULE = "processing_tiny"
_CODE = f'''"""Lets `AutoProcessor.from_pretrained(folder, trust_remote_code=True)` open this folder. Requires vzgym."""

from {__name__} import TinyProcessor

__all__ = ["TinyProcessor"]
'''


class TinyImageProcessor(Qwen2VLImageProcessorPil):  # type: ignore[misc]
    """Qwen's image processor, which converts images of one fitting size to patches in one batch."""

    def preprocess(self, images: Any, *args: Any, **kwargs: Any) -> BatchFeature:
        """See `Qwen2VLImageProcessorPil.preprocess`. Always returns tensors.

        Returns:
            `pixel_values`: float32 tensor, shape `(patches, 3 * temporal_patch_size * patch_size ** 2)`;
            `image_grid_thw`: int64 tensor, shape `(images, 3)`, patches in time, height and width.
        """
        flat = _flat(images)
        pixels = self._stack(flat)
        if pixels is None:
            kwargs["return_tensors"] = "pt"
            return super().preprocess(images, *args, **kwargs)
        patches, grid = self.patches(pixels)
        return BatchFeature(
            {
                "pixel_values": torch.from_numpy(patches),
                "image_grid_thw": torch.from_numpy(np.repeat(grid[None], len(pixels), axis=0)),
            }
        )

    def patches(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Convert frames to patches, in the order of the vision tower.

        Args:
            pixels: uint8, shape `(n, height, width, 3)`; sides are multiples of `patch_size * merge_size`.

        Returns:
            Patches, float32, shape `(n * rows * columns, 3 * temporal_patch_size * patch_size ** 2)`, and the grid of
            one frame, int64: `[1, rows, columns]`.
        """
        n, height, width, _ = pixels.shape
        p, m, t = self.patch_size, self.merge_size, self.temporal_patch_size
        rows, columns = height // p, width // p
        mean, std = np.float32(self.image_mean), np.float32(self.image_std)
        values = (pixels.astype(np.float32) * np.float32(1 / 255) - mean) / std
        blocks = values.reshape(n, rows // m, m, p, columns // m, m, p, 3)
        # (n, block row, block column, row in block, column in block, channel, y, x), then the same for each time.
        ordered = blocks.transpose(0, 1, 4, 2, 5, 7, 3, 6)[..., None, :, :]
        wide = np.broadcast_to(ordered, (*ordered.shape[:6], t, p, p))
        flat = np.ascontiguousarray(wide.reshape(n * rows * columns, 3 * t * p * p))
        return flat, np.array([1, rows, columns], dtype=np.int64)

    def _stack(self, images: Sequence[Any]) -> NDArray[np.uint8] | None:
        """All images as one array if they have one size and need no resizing; else None."""
        if not images or not all(isinstance(image, Image.Image) and image.mode == "RGB" for image in images):
            return None
        width, height = images[0].size
        unit = self.patch_size * self.merge_size
        fits = self.size["shortest_edge"] <= height * width <= self.size["longest_edge"]
        if not fits or height % unit or width % unit or any(image.size != (width, height) for image in images):
            return None
        return np.stack([np.asarray(image) for image in images])


def _flat(images: Any) -> list[Any]:
    """A single image, a list or a list of lists of images as one list."""
    if not isinstance(images, (list, tuple)):
        return [images]
    return [image for item in images for image in (item if isinstance(item, (list, tuple)) else [item])]


class TinyProcessor(Qwen3VLProcessor):  # type: ignore[misc]
    """Qwen3-VL's processor without its video processor, which needs torchvision: frames are passed as images."""

    video_settings: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        image_processor: TinyImageProcessor | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        chat_template: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(image_processor, tokenizer, chat_template=chat_template, **kwargs)

    def replace_image_token(self, image_inputs: Any, image_idx: int, **kwargs: Any) -> str:
        """See `Qwen3VLProcessor.replace_image_token`; with plain integers, which are faster for many small frames."""
        time, rows, columns = image_inputs["image_grid_thw"][image_idx].tolist()
        return str(self.image_token * (time * rows * columns // self.image_processor.merge_size**2))

    @classmethod
    def get_attributes(cls) -> list[str]:
        """The attributes that are saved."""
        return ["image_processor", "tokenizer"]

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> Any:
        """Save the processor under the names of the library's own classes, which give the same pixels and tokens.

        The library's processor needs torchvision, as vLLM installs it. For servers without torchvision, a module is
        saved by which `AutoProcessor` finds this class; they need vzgym installed, and permission to run the module
        (`transformers serve FOLDER --trust-remote-code`).
        """
        saved = super().save_pretrained(save_directory, **kwargs)
        folder = Path(save_directory)
        (folder / f"{_MODULE}.py").write_text(_CODE, encoding="utf-8")
        settings = folder / "processor_config.json"
        values = json.loads(settings.read_text(encoding="utf-8"))
        values["auto_map"] = {"AutoProcessor": f"{_MODULE}.TinyProcessor"}
        settings.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        save_video_settings(folder, self)
        return saved

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> TinyProcessor:
        """Load a saved processor; the library's own loader does not know this image processor.

        Raises:
            OSError: If the folder lacks a file.
        """
        folder = Path(pretrained_model_name_or_path)
        settings = json.loads((folder / "processor_config.json").read_text())["image_processor"]
        settings.pop("image_processor_type", None)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        template = (folder / "chat_template.jinja").read_text()
        return cls(TinyImageProcessor(**settings), tokenizer, chat_template=template)


# Saved as the classes of a folder. The library's image processor is by torchvision or by PIL, whichever is there.
TinyProcessor.__name__, TinyImageProcessor.__name__ = Qwen3VLProcessor.__name__, "Qwen2VLImageProcessor"


def make_processor(tokenizer: PreTrainedTokenizerBase, patch_size: int, pixels: int) -> TinyProcessor:
    """A processor that does not resize frames of up to `pixels` pixels.

    Args:
        tokenizer: From `train_tokenizer`.
        patch_size: Side of a patch in pixels; 2x2 patches make one visual token.
        pixels: Largest number of pixels of a frame.
    """
    images = TinyImageProcessor(
        patch_size=patch_size,
        temporal_patch_size=1,
        merge_size=2,
        size={"shortest_edge": (2 * patch_size) ** 2, "longest_edge": max(pixels, (2 * patch_size) ** 2)},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    # Servers parse turns by this; without it, they would parse them as those of a large Qwen3-VL.
    tokenizer.response_template = {
        "defaults": {"role": "assistant"},
        "start_anchor": ROLES["assistant"],
        "fields": {"content": {"content": "text", "content_args": {"strip": False}, "close": END}},
    }
    return TinyProcessor(images, tokenizer, chat_template=CHAT_TEMPLATE)
