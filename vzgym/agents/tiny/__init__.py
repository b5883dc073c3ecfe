"""A vision-language model of under half a million weights, for learning on a laptop. Needs `pip install "vzgym[llm]"`.

Names are loaded on first use, so that settings can be read without torch.
"""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.agents.tiny.model import build_model
    from vzgym.agents.tiny.modeling import TinyVLM
    from vzgym.agents.tiny.processor import TinyImageProcessor, TinyProcessor, make_processor
    from vzgym.agents.tiny.size import TinySize
    from vzgym.agents.tiny.tokenizer import train_tokenizer
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "model: build_model",
        "modeling: TinyVLM",
        "processor: TinyImageProcessor TinyProcessor make_processor",
        "size: TinySize",
        "tokenizer: train_tokenizer",
    )

__all__ = [
    "TinyImageProcessor",
    "TinyProcessor",
    "TinySize",
    "TinyVLM",
    "build_model",
    "make_processor",
    "train_tokenizer",
]
