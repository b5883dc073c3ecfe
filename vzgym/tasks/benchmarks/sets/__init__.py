"""The benchmarks: one module each, which registers its definition. Plug-ins use the group `vzgym.benchmarks`."""

from importlib import import_module

_MODULES = (
    "videomme",
    "longvideobench",
    "mlvu",
    "lvbench",
    "videommmu",
    "videommlu",
    "longvideo_reason",
    "cgbench",
    "nextgqa",
    "charades",
    "videomme_v2",
    "timelens",
    "extremewhenbench",
    "videosiah",
    "video_holmes",
    "egoschema",
)

for _module in _MODULES:
    import_module(f"{__name__}.{_module}")
