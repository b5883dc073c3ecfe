"""SkyRL: the environment of skyrl-gym, called as SkyRL's generator calls it."""

from __future__ import annotations

from typing import Any

from vzgym.agents.data.phrases import compose
from vzgym.episode.record import EpisodeRecord
from vzgym.protocols.base import PROTOCOLS
from vzgym.testing.parity.pixels import Seen
from vzgym.testing.parity.script import Script, rollout_settings
from vzgym.testing.parity.served_chat import seen_in_chat

__all__ = ["SkyRLInterface"]


class SkyRLInterface:
    """`SkyRLVideoZoom`, made by `skyrl_gym.make` for each episode."""

    name = "skyrl"
    needs = ("skyrl_gym",)
    has_grid = False
    shows_frames = True

    def play(self, script: Script, seen: list[Seen] | None = None) -> EpisodeRecord:
        """See `Interface.play`."""
        import skyrl_gym

        from vzgym.interfaces.skyrl import register

        name = "video_zoom_parity"
        register(name, **rollout_settings(script))
        row = {"extra_info": {"tasks": [script.task], "index": 0}, "max_turns": script.budget.max_rounds}
        env: Any = skyrl_gym.make(name, env_config={}, extras=row)
        protocol = PROTOCOLS.make("tags")
        messages, _ = env.init([])
        for action in script.actions:
            out = env.step(compose(protocol, action, "Look, then say.", env.rollout.episode.rules))
            messages += out["observations"]
        env.close()
        if seen is not None:
            seen += seen_in_chat(messages)
        record: EpisodeRecord = env.rollout.record
        return record
