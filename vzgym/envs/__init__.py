"""Layer 5: the gymnasium environment and its swappable modules."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.envs.actions import ACTIONS, ActionModule, DecodedAction, DefaultAction, DiscreteAction, TextAction
    from vzgym.envs.flat import ContinuousAction, FlatObservation
    from vzgym.envs.observations import (
        OBSERVATIONS,
        CompactObservation,
        DefaultObservation,
        DialogueObservation,
        ObservationModule,
    )
    from vzgym.envs.registration import ENV_IDS, register_envs
    from vzgym.envs.rendering import draw_episode
    from vzgym.envs.spaces import UnicodeText
    from vzgym.envs.video_zoom import ResetNeeded, VideoZoomEnv
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "actions: ACTIONS ActionModule DefaultAction DiscreteAction DecodedAction TextAction",
        "flat: ContinuousAction FlatObservation",
        "observations: OBSERVATIONS CompactObservation DefaultObservation DialogueObservation ObservationModule",
        "registration: ENV_IDS register_envs",
        "rendering: draw_episode",
        "spaces: UnicodeText",
        "video_zoom: ResetNeeded VideoZoomEnv",
    )

__all__ = [
    "ACTIONS",
    "ENV_IDS",
    "OBSERVATIONS",
    "ActionModule",
    "CompactObservation",
    "ContinuousAction",
    "DecodedAction",
    "DefaultAction",
    "DefaultObservation",
    "DialogueObservation",
    "DiscreteAction",
    "FlatObservation",
    "ObservationModule",
    "ResetNeeded",
    "TextAction",
    "UnicodeText",
    "VideoZoomEnv",
    "draw_episode",
    "register_envs",
]
