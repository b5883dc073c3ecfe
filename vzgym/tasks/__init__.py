"""Layer 2: tasks, procedural families, suites, and task files."""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.tasks.budgets import BUDGETS, BudgetSpec, resolve_budget
    from vzgym.tasks.evidence import EvidenceRequirements, Placement
    from vzgym.tasks.io.jsonl import load_jsonl, write_jsonl
    from vzgym.tasks.io.tables import load_table
    from vzgym.tasks.procedural.families import FAMILIES
    from vzgym.tasks.procedural.family import Draft, Family, expert_zooms, make_family
    from vzgym.tasks.procedural.placement import hit_rate
    from vzgym.tasks.subtitles.reading import parse_subtitles, read_subtitles
    from vzgym.tasks.subtitles.subtitle import Subtitle
    from vzgym.tasks.suite import SPLITS, SUITES, Suite, register_suite
    from vzgym.tasks.task import VideoTask, option_letter
    from vzgym.tasks.task_list import TaskList
    from vzgym.tasks.task_set import TaskSet, TaskSpec, get_task, load_tasks
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "budgets: BUDGETS BudgetSpec resolve_budget",
        "evidence: EvidenceRequirements Placement",
        "io.jsonl: load_jsonl write_jsonl",
        "io.tables: load_table",
        "procedural.families: FAMILIES",
        "procedural.family: Draft Family expert_zooms make_family",
        "procedural.placement: hit_rate",
        "subtitles.reading: parse_subtitles read_subtitles",
        "subtitles.subtitle: Subtitle",
        "suite: SPLITS SUITES Suite register_suite",
        "task: VideoTask option_letter",
        "task_list: TaskList",
        "task_set: TaskSet TaskSpec get_task load_tasks",
    )

__all__ = [
    "BUDGETS",
    "FAMILIES",
    "SPLITS",
    "SUITES",
    "BudgetSpec",
    "Draft",
    "EvidenceRequirements",
    "Family",
    "Placement",
    "Subtitle",
    "Suite",
    "TaskList",
    "TaskSet",
    "TaskSpec",
    "VideoTask",
    "expert_zooms",
    "get_task",
    "hit_rate",
    "load_jsonl",
    "load_table",
    "load_tasks",
    "make_family",
    "option_letter",
    "parse_subtitles",
    "read_subtitles",
    "register_suite",
    "resolve_budget",
    "write_jsonl",
]
