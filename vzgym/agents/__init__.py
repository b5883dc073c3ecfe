"""Floor 6: policies that speak or learn. Needs `pip install "vzgym[llm]"`; imports nothing heavy until it is used."""

from vzgym.agents.settings import GRPOSettings, LoraSettings, SFTSettings, WarmupSettings

__all__ = ["GRPOSettings", "LoraSettings", "SFTSettings", "WarmupSettings"]
