"""Published benchmarks: one file and one registration each."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.tasks.benchmarks.definition import Benchmark, Layout, Source, Totals
    from vzgym.tasks.benchmarks.item import FLAWS, Item
    from vzgym.tasks.benchmarks.loading import BenchmarkTasks
    from vzgym.tasks.benchmarks.prompts import PromptStyle
    from vzgym.tasks.benchmarks.registry import BENCHMARKS, get_benchmark, register_benchmark
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "definition: Benchmark Layout Source Totals",
        "item: FLAWS Item",
        "loading: BenchmarkTasks",
        "prompts: PromptStyle",
        "registry: BENCHMARKS get_benchmark register_benchmark",
    )

__all__ = [
    "BENCHMARKS",
    "FLAWS",
    "Benchmark",
    "BenchmarkTasks",
    "Item",
    "Layout",
    "PromptStyle",
    "Source",
    "Totals",
    "get_benchmark",
    "register_benchmark",
]
