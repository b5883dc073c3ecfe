"""Floor 6: policies that speak or learn. Needs `pip install "vzgym[llm]"`; imports nothing heavy until it is used."""

from vzgym.agents.training.settings import GRPOSettings, LoraSettings, PretrainSettings, SFTSettings

__all__ = ["GRPOSettings", "LoraSettings", "PretrainSettings", "SFTSettings"]
