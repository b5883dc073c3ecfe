"""The environment for SkyRL: an environment of `skyrl_gym`, and its training data. Needs `pip install "vzgym[skyrl]"`.

Names are loaded on first use: rows can be written without skyrl-gym.
"""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.interfaces.skyrl.data import write_skyrl_data
    from vzgym.interfaces.skyrl.environment import ENV_CLASS, SkyRLVideoZoom, register
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "data: write_skyrl_data",
        "environment: ENV_CLASS SkyRLVideoZoom register",
        extra="skyrl",
    )

__all__ = ["ENV_CLASS", "SkyRLVideoZoom", "register", "write_skyrl_data"]
