"""The benchmarks: one module each, which registers its definition. Plug-ins use the group `vzgym.benchmarks`."""

from importlib import import_module

_MODULES = ("videomme",)

for _module in _MODULES:
    import_module(f"{__name__}.{_module}")
