"""The environment as an agent loop of verl, and its training data. Needs `pip install "vzgym[verl]"`.

Names are loaded on first use: rows can be written without verl. `VideoZoomLoop`, the agent loop, is here for the
configuration of verl (`_target_`); it needs verl, and is not part of `__all__`.
"""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.interfaces.verl.agent_loop import VideoZoomLoop as VideoZoomLoop
    from vzgym.interfaces.verl.data import VerlData, write_verl_data
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "agent_loop: VideoZoomLoop",
        "data: VerlData write_verl_data",
        extra="verl",
    )

__all__ = ["VerlData", "write_verl_data"]
