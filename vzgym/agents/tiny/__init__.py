"""A vision-language model of under half a million weights, for learning on a laptop. Needs the extra `llm`."""

from vzgym.agents.tiny.model import TinySize, build_model
from vzgym.agents.tiny.modeling import TinyVLM
from vzgym.agents.tiny.processor import TinyImageProcessor, TinyProcessor, make_processor
from vzgym.agents.tiny.tokenizer import train_tokenizer

__all__ = [
    "TinyImageProcessor",
    "TinyProcessor",
    "TinySize",
    "TinyVLM",
    "build_model",
    "make_processor",
    "train_tokenizer",
]
