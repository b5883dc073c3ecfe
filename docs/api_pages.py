"""Writes docs/reference/api/: a page for each public sub-package, with every name of its `__all__`.

    python docs/api_pages.py

A test checks that the pages are what this writes, so that no public name is missing.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from functools import cache
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parent / "reference" / "api"

# The pages: what a sub-package holds, and those of its packages and modules that users import from.
PAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "core": (
        "Intervals, actions, budgets, errors and the component registry.",
        ("core", "core.interval", "core.errors", "core.registry"),
    ),
    "video": ("Videos: from times to frames.", ("video", "video.decoder", "video.check")),
    "tasks": (
        "Tasks, suites, procedural families, and task files.",
        (
            "tasks",
            "tasks.evidence",
            "tasks.subtitles",
            "tasks.benchmarks",
            "tasks.io.writing",
            "tasks.io.videozoomer",
            "tasks.procedural.family",
            "tasks.procedural.timeline",
            "tasks.procedural.reader",
            "tasks.procedural.search",
            "tasks.procedural.pixels",
            "tasks.procedural.leaks",
            "tasks.procedural.verify",
        ),
    ),
    "episode": (
        "The engine: an episode, its dialogue, its record, and the grading of answers.",
        ("episode", "episode.answers", "episode.costs", "episode.evidence"),
    ),
    "scorers": (
        "Scorers: how well frames fit a question, and the scoring of videos.",
        ("scorers", "scorers.encoders", "scorers.models", "scorers.endpoint"),
    ),
    "protocols": (
        "Text protocols: from a model's text to an action, and from a dialogue to chat messages.",
        ("protocols",),
    ),
    "tools": ("Tools that an agent may call beside the zoom.", ("tools", "episode.tools")),
    "rewards": ("Reward modules and their composition.", ("rewards",)),
    "envs": (
        "The Gymnasium and PettingZoo environments, with their observation and action modules.",
        ("envs", "envs.wrappers", "envs.pettingzoo_team"),
    ),
    "policies": ("The policy protocols and their registry.", ("policies",)),
    "rollout": (
        "The roll-out loop and the executor.",
        ("rollout", "rollout.rollout", "rollout.executor", "rollout.ray_executor"),
    ),
    "baselines": (
        "Policies that do not learn, the frame readers that they answer with, and frame selectors.",
        ("baselines", "baselines.selectors"),
    ),
    "agents": (
        "Policies that generate text or learn, their data and their training.",
        ("agents", "agents.data.dataset", "agents.data.sharegpt", "agents.sb3", "agents.tiny"),
    ),
    "interfaces": (
        "Interfaces to other ecosystems: what they share.",
        (
            "interfaces",
            "interfaces.network",
            "interfaces.guards",
            "interfaces.mcp",
            "interfaces.rollouts",
            "interfaces.skyrl",
            "interfaces.verl",
            "interfaces.openenv",
            "interfaces.verifiers",
        ),
    ),
    "evaluation": (
        "Evaluation: metrics, reports, failure taxonomy, comparison, replay, viewer.",
        (
            "evaluation",
            "evaluation.taxonomy",
            "evaluation.rescoring",
            "evaluation.comparison",
            "evaluation.replay",
            "evaluation.viewer",
            "evaluation.trajectories",
            "evaluation.publication",
            "evaluation.play",
        ),
    ),
    "experiments": ("Experiments: grids of learners, rewards, tasks, budgets and seeds.", ("evaluation.experiments",)),
    "testing": ("The conformance kit: checks for your own components.", ("testing", "testing.parity")),
}


def public_names(module: ModuleType) -> list[str]:
    """A module's `__all__` without sub-packages and the version."""
    names = [name for name in module.__all__ if not name.startswith("__")]
    return sorted((name for name in names if not inspect.ismodule(value_of(module, name))), key=str.lower)


@cache  # so that two calls return the same path
def value_of(module: ModuleType, name: str) -> object:
    """What a public name stands for; its path, if that needs an extra which is not installed here."""
    try:
        return getattr(module, name)
    except ImportError:
        return f"{module.__name__}.{name}"


def object_path(module: ModuleType, name: str) -> str:
    """Where a name is documented: as users import it, unless a module of the same name hides it there."""
    path = f"{module.__name__}.{name}"
    try:
        same_name = importlib.util.find_spec(path) is not None
    except ModuleNotFoundError:  # `module` is no package.
        same_name = False
    return f"{path}.{name}" if same_name else path


def import_public(name: str) -> ModuleType:
    """A public package or module, by its path below `vzgym`."""
    return importlib.import_module(f"vzgym.{name}")


def package_name(title: str) -> str:
    """The package that a page is about."""
    return "vzgym.evaluation.experiments" if title == "experiments" else f"vzgym.{title}"


def page(title: str, summary: str, names: tuple[str, ...]) -> str:
    """The page of a sub-package."""
    lines = [f"# `{package_name(title)}`", "", summary, ""]
    known: list[object] = []
    for name in names:
        module = import_public(name)
        if len(names) > 1:
            lines += [f"## `{module.__name__}`", ""]
        for public in public_names(module):
            value = value_of(module, public)
            if not any(value is other for other in known):
                known.append(value)
                lines += [f"::: {object_path(module, public)}", ""]
    return "\n".join(lines).rstrip() + "\n"


def overview() -> str:
    """The first page: what `vzgym` itself exports, and the other pages."""
    import vzgym

    paths: dict[int, str] = {}
    for _, names in PAGES.values():
        for name in names:
            module = import_public(name)
            for public in public_names(module):
                paths.setdefault(id(value_of(module, public)), object_path(module, public))
    lines = [
        "# Python API",
        "",
        "`import vzgym` registers the environment ids and loads no optional package. These names are imported from",
        "`vzgym` itself; each links to its description:",
        "",
    ]
    lines += [f"- [`vzgym.{name}`][{paths[id(getattr(vzgym, name))]}]" for name in public_names(vzgym)]
    lines += ["", "All other names are imported from their sub-package:", ""]
    lines += [f"- [`{package_name(title)}`]({title}.md): {summary}" for title, (summary, _) in PAGES.items()]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """The text of every page, by file name."""
    return {"index.md": overview(), **{f"{title}.md": page(title, *facts) for title, facts in PAGES.items()}}


def main() -> None:
    """Write them all, and remove pages that are no longer made."""
    FOLDER.mkdir(exist_ok=True)
    written = pages()
    for old in FOLDER.glob("*.md"):
        if old.name not in written:
            old.unlink()
    for name, text in written.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
