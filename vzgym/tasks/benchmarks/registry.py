"""The registry of benchmarks, and names of the form `videomme/long`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from vzgym.core.errors import PluginError, UnknownName
from vzgym.core.registry import Registry
from vzgym.tasks.benchmarks.definition import Benchmark

__all__ = ["BENCHMARKS", "benchmark_aliases", "get_benchmark", "named_benchmark", "register_benchmark"]

BENCHMARKS: Registry[Any] = Registry("benchmark", "vzgym.benchmarks", builtin="vzgym.tasks.benchmarks.sets")
"""Benchmarks by name: `Benchmark` objects, which give their tasks when called with a folder."""


def register_benchmark(benchmark: Benchmark) -> Benchmark:
    """Register a benchmark under its name; returns it."""
    BENCHMARKS.register(benchmark.name, benchmark)
    return benchmark


def benchmark_aliases() -> dict[str, tuple[str, Mapping[str, Any]]]:
    """All aliases: the benchmark's name, and the options that the alias stands for."""
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for name, benchmark in BENCHMARKS.get_all().items():
        for alias, options in cast("Benchmark", benchmark).aliases.items():
            found.setdefault(alias, (name, options))
    return found


def named_benchmark(spec: str) -> tuple[str, dict[str, Any]] | None:
    """What a name or an alias, with or without a subset, stands for.

    Args:
        spec: "videomme", "videomme/long", "videomme_w_subtitle", or `module:BENCHMARK`.

    Returns:
        The benchmark's name and the options; None if there is no such benchmark.

    Raises:
        UnknownName: If the benchmark has no such subset.
    """
    name, mark, subset = spec.partition("/")
    options: dict[str, Any] = {}
    if name not in BENCHMARKS:
        aliases = benchmark_aliases()
        if name not in aliases:
            return None
        name, given = aliases[name]
        options.update(given)
    if mark:
        subsets = get_benchmark(name).subsets
        if subset not in subsets:
            raise UnknownName(f"subset of {name}", subset, subsets)
        options["subset"] = subset
    return name, options


def get_benchmark(name: str) -> Benchmark:
    """The definition of a benchmark.

    Args:
        name: Its name, an alias, or `module:BENCHMARK`.

    Raises:
        UnknownName: If there is no such benchmark.
        PluginError: If it cannot be imported, or is no `Benchmark`.
    """
    if name not in BENCHMARKS and ":" not in name:
        aliases = benchmark_aliases()
        name = aliases[name][0] if name in aliases else name
    found: Any = BENCHMARKS.get(name)
    if not isinstance(found, Benchmark):
        raise PluginError(f"benchmark {name!r} must be a Benchmark, got {type(found).__name__}")
    return found
