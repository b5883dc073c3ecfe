"""Lets `AutoProcessor.from_pretrained(folder, trust_remote_code=True)` open this folder. Requires vzgym."""

from vzgym.agents.tiny.processor import TinyProcessor

__all__ = ["TinyProcessor"]
