"""Training-free selectors: which frames of a video to show, by scores, embeddings or differences of its frames."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.baselines.selectors.base import SELECTORS, Candidates, Selector, SelectorBase, make_selector
    from vzgym.baselines.selectors.play import SelectorPolicy, SelectorTextPolicy, plan_zooms
    from vzgym.baselines.selectors.video import Selection, VideoSelector
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "base: SELECTORS Candidates Selector SelectorBase make_selector",
        "play: SelectorPolicy SelectorTextPolicy plan_zooms",
        "video: Selection VideoSelector",
    )

__all__ = [
    "SELECTORS",
    "Candidates",
    "Selection",
    "Selector",
    "SelectorBase",
    "SelectorPolicy",
    "SelectorTextPolicy",
    "VideoSelector",
    "make_selector",
    "plan_zooms",
]
