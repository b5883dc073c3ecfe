"""Loading and saving of processors of any model family, with or without torchvision."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from vzgym.core.errors import DependencyNotInstalled, InvalidSetting
from vzgym.core.files import read_json, write_json

__all__ = ["load_processor", "save_video_settings", "without_video"]

_VIDEO = "video_preprocessor_config.json"
_SHARED = ("patch_size", "temporal_patch_size", "merge_size", "image_mean", "image_std")
"""Settings that a video processor shares with the image processor."""


@cache
def without_video(cls: type[Any]) -> type[Any]:
    """A processor class without its video processor, which needs torchvision: frames are passed as images.

    Args:
        cls: A subclass of `transformers.ProcessorMixin`.

    Returns:
        `cls` itself if it has no video processor; else a subclass with the same name, so that a saved processor opens
        everywhere as the original class. It saves the settings of the video processor (`video_settings`), which the
        original class looks for where torchvision is installed.
    """
    if "video_processor" not in cls.get_attributes():
        return cls

    def init(
        self: Any, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None, **rest: Any
    ) -> None:
        cls.__init__(self, image_processor, tokenizer, chat_template=chat_template, **rest)

    def save(self: Any, save_directory: str | os.PathLike[str], **rest: Any) -> Any:
        saved = cls.save_pretrained(self, save_directory, **rest)
        save_video_settings(Path(save_directory), self)
        return saved

    parts = [part for part in cls.get_attributes() if part != "video_processor"]
    body = {
        "__init__": init,
        "get_attributes": classmethod(lambda _: parts),
        "save_pretrained": save,
        "video_settings": {},
        "__module__": cls.__module__,
    }
    return type(cls.__name__, (cls,), body)


def save_video_settings(folder: Path, processor: Any) -> None:
    """Write the settings of a processor's video processor into its folder.

    Args:
        folder: Of the saved processor.
        processor: Made without a video processor. Its `video_settings` are written; if there are none, what a video
            processor shares with the image processor, so that the library's class for the model's type opens.
    """
    images = processor.image_processor
    shared = {name: getattr(images, name) for name in _SHARED if getattr(images, name, None) is not None}
    write_json(folder / _VIDEO, processor.video_settings or shared)


def load_processor(path: str) -> Any:
    """A model's own processor, without its video processor.

    Args:
        path: A folder, or a name on the Hugging Face hub.

    Raises:
        DependencyNotInstalled: If it needs a package that is missing.
        InvalidSetting: If there is no processor.
    """
    from transformers import AutoConfig, AutoProcessor
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    kind = PROCESSOR_MAPPING.get(type(AutoConfig.from_pretrained(path)), None)
    try:
        if kind is None or "video_processor" not in kind.get_attributes():
            return AutoProcessor.from_pretrained(path)
        processor = without_video(kind).from_pretrained(path)
    except ImportError as error:
        raise DependencyNotInstalled(f"the processor of {path!r} needs a package that is missing: {error}") from error
    except (OSError, ValueError) as error:
        raise InvalidSetting(f"no processor could be opened at {path!r}: {error}") from error
    processor.video_settings = _video_settings(path)
    return processor


def _video_settings(path: str) -> dict[str, Any]:
    """The settings of a saved video processor; empty if there are none."""
    from transformers.utils import PROCESSOR_NAME, cached_file

    for name in (_VIDEO, PROCESSOR_NAME):
        file = cached_file(
            path, name, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
        )
        if file is not None:
            values = read_json(Path(file), InvalidSetting)
            found = values if name == _VIDEO else values.get("video_processor", {})
            if found:
                return dict(found)
    return {}
