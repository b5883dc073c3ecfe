"""Writes docs/reference/rewards/: a page for each reward module, from its docstring and from three real episodes.

    python docs/reward_pages.py

A test checks that the pages are what this writes.
"""

from __future__ import annotations

from pathlib import Path

from vzgym.core import Action, Answer, Zoom
from vzgym.episode import Episode, EpisodeRecord
from vzgym.evaluation import ReaderAnswerer
from vzgym.rewards import REWARDS, RewardContext, make_reward, score_group
from vzgym.rewards.describe import ModuleFacts, describe
from vzgym.tasks import load_tasks

FOLDER = Path(__file__).parent / "reference" / "rewards"
TASK = "needle-tiny/test/0"


def episodes() -> dict[str, EpisodeRecord]:
    """Three roll-outs of one task: straight to the evidence; two zooms of which the second finds it; a wrong guess."""
    tasks = load_tasks("needle-tiny/test")
    task = tasks[0]
    (span,) = task.evidence or ()
    wrong = next(option for option in task.options if option != task.answer)
    there = Zoom(span.start, span.end, 4.0)
    plays: dict[str, list[Action]] = {
        "looks at the evidence, is right": [there, Answer(task.answer)],
        "looks elsewhere, then at twice the evidence, is right": [
            Zoom(span.end + 4.0, span.end + 6.0, 2.0),
            Zoom(span.start, span.end + span.duration, 4.0),
            Answer(task.answer),
        ],
        "does not look, is wrong": [Answer(wrong)],
    }
    records = {}
    for name, actions in plays.items():
        episode = Episode(task, tasks.budget)
        for action in actions:
            episode.step(action)
        records[name] = episode.record
    return records


def page(facts: ModuleFacts, records: dict[str, EpisodeRecord]) -> str:
    """A module's page."""
    lines = [f"# `{facts.name}`", "", facts.summary, ""]
    if facts.alias_of:
        lines += [f"Another name for [`{facts.alias_of}`]({facts.alias_of}.md).", ""]
    needs = "; ".join(f"`{need}`: {meaning}" for need, meaning in facts.needs.items()) or "nothing beyond the record"
    lines += [
        f"**Formula.** {_prose(facts.facts['Formula'])}",
        "",
        f"**Range.** {_prose(facts.facts['Range'])}",
        "",
        f"**Source.** {_prose(facts.facts['Source'])}",
        "",
        f"**Needs.** {needs}.",
        "",
        f"**Known to break.** {_prose(facts.facts['Known to break'])}",
        "",
    ]
    if facts.options:
        lines += ["## Options", "", "| option | default | meaning |", "|---|---|---|"]
        lines += [
            f"| `{option}` | `{default!r}` | {_cell(meaning)} |" for option, (default, meaning) in facts.options.items()
        ]
        lines.append("")
    lines += ["## What it gives", ""]
    lines += [f"Three roll-outs of the task `{TASK}`, with the default options, turn by turn:", ""]
    most = max(len(record.turns) for record in records.values())
    lines += [
        "| the agent | " + " | ".join(f"turn {turn}" for turn in range(1, most + 1)) + " |",
        "|---|" + "---:|" * most,
    ]
    ledgers = score_group(make_reward(facts.name), list(records.values()), RewardContext(answerer=ReaderAnswerer()))
    for name, ledger in zip(records, ledgers, strict=True):
        cells = [_number(step.terms[facts.name].value) for step in ledger]
        lines.append(f"| {name} | " + " | ".join(cells + [""] * (most - len(cells))) + " |")
    lines += ["", f"Class: `{facts.path}`. All modules: [Rewards](../rewards.md)."]
    return "\n".join(lines) + "\n"


def _prose(text: str) -> str:
    """A sentence, in which Markdown must not take anything for markup."""
    text = text[:1].upper() + text[1:]
    return text.replace("*", r"\*").replace("_(", r"\_(").replace("<", r"\<").replace("[", r"\[").replace("|", r"\|")


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _number(value: float | None) -> str:
    return "unscored" if value is None else f"{value:.4g}"


def pages() -> dict[str, str]:
    """The text of every page, by module."""
    records = episodes()
    return {name: page(describe(name), records) for name in REWARDS.names()}


def main() -> None:
    """Write them all; remove those of modules that are gone."""
    FOLDER.mkdir(exist_ok=True)
    written = pages()
    for old in FOLDER.glob("*.md"):
        if old.stem not in written:
            old.unlink()
    for name, text in written.items():
        (FOLDER / f"{name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
