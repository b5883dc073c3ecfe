"""Registers the built-in selectors by name; each is imported on first use."""

from vzgym.baselines.selectors.base import SELECTORS

for _name, _path in {
    "uniform": "uniform:Uniform",
    "top-k": "scored:TopK",
    "windows": "scored:BestWindows",
    "binary": "scored:BinarySearch",
    "tree": "scored:Tree",
    "shots": "pixels:ShotBoundary",
    "motion": "pixels:Motion",
    "dpselect": "pixels:DPSelect",
    "aks": "aks:AKS",
    "bolt": "bolt:BOLT",
    "q-frame": "qframe:QFrame",
    "mdp3": "mdp3:MDP3",
    "gift": "gift:GIFT",
    "focus": "focus:FOCUS",
    "t-star": "tstar:TStar",
    "videotree": "videotree:VideoTree",
    "wfs-sb": "wfs_sb:WFSSB",
    "dig": "dig:DIG",
    # Presets: a selector with published settings.
    "uniform-linspace": "uniform:LINSPACE",
    "uniform-centre": "uniform:CENTRE",
    "uniform-arange": "uniform:ARANGE",
    "aks-videomme": "aks:VIDEOMME",
    "aks-longvideobench": "aks:LONGVIDEOBENCH",
    "bolt-longvideobench": "bolt:LONGVIDEOBENCH",
    "top-motion": "pixels:TOP_MOTION",
}.items():
    SELECTORS.register(_name, f"vzgym.baselines.selectors.{_path}")
