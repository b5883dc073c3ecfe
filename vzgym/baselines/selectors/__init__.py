"""Training-free selectors: which frames of a video to show, by scores, embeddings or differences of its frames."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.baselines.selectors.base import SELECTORS, Candidates, Selector, SelectorBase, make_selector
else:
    __getattr__, __dir__ = lazy_exports(__name__, "base: SELECTORS Candidates Selector SelectorBase make_selector")

__all__ = ["SELECTORS", "Candidates", "Selector", "SelectorBase", "make_selector"]
