"""Loading of processors of any model family, with or without torchvision."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any

from vzgym.core.errors import DependencyNotInstalled, InvalidSetting

__all__ = ["load_processor", "without_video"]


@cache
def without_video(cls: type[Any]) -> type[Any]:
    """A processor class without its video processor, which needs torchvision: frames are passed as images.

    Args:
        cls: A subclass of `transformers.ProcessorMixin`.

    Returns:
        `cls` itself if it has no video processor; else a subclass with the same name, so that a saved processor opens
        everywhere as the original class.
    """
    if "video_processor" not in cls.get_attributes():
        return cls

    def init(
        self: Any, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None, **rest: Any
    ) -> None:
        cls.__init__(self, image_processor, tokenizer, chat_template=chat_template, **rest)

    parts = [part for part in cls.get_attributes() if part != "video_processor"]
    body = {"__init__": init, "get_attributes": classmethod(lambda _: parts), "__module__": cls.__module__}
    return type(cls.__name__, (cls,), body)


def load_processor(path: str) -> Any:
    """A model's own processor; without its video processor if torchvision is missing.

    Args:
        path: A folder, or a name on the Hugging Face hub.

    Raises:
        DependencyNotInstalled: If it needs a package that is missing.
        InvalidSetting: If there is no processor.
    """
    from transformers import AutoConfig, AutoProcessor
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    if importlib.util.find_spec("torchvision") is None:
        kind = PROCESSOR_MAPPING.get(type(AutoConfig.from_pretrained(path)), None)
        if kind is not None:
            return without_video(kind).from_pretrained(path)
    try:
        return AutoProcessor.from_pretrained(path)
    except ImportError as error:
        raise DependencyNotInstalled(f"the processor of {path!r} needs a package that is missing: {error}") from error
    except (OSError, ValueError) as error:
        raise InvalidSetting(f"no processor could be opened at {path!r}: {error}") from error
