"""`vzgym eval`."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from vzgym.cli.policies import named_policy, named_tools, policy_label, run_label, trained_extras
from vzgym.cli.progress import console, costs_in_words, errors, progress_bar, say
from vzgym.cli.publication import CsvOption, FiguresOption, LatexOption, check_publication, publish
from vzgym.cli.settings import SubtitlesOption, ToolOption
from vzgym.cli.workers import GpusOption, RayOption, ShareFramesOption, WorkersOption, make_executor
from vzgym.core.errors import InvalidSetting, TaskError, VzgymError

# The engine is imported where it is used: `vzgym eval --help` needs none of it.
if TYPE_CHECKING:
    from vzgym.core.budget import Budget
    from vzgym.evaluation import EvaluationReport
    from vzgym.rollout.executor import Executor
    from vzgym.tasks import BudgetSpec, TaskSet
    from vzgym.tools.base import ToolSpec

SELECTORS_BESIDE: Final[tuple[str, ...]] = (
    *(f"{name}:scorer=evidence:noise=0.5" for name in ("aks", "bolt", "q-frame")),
    "mdp3:scorer=histogram",
)
"""Selectors that are played beside the controls; the first three know the evidence up to noise."""

__all__ = ["budget_from_pairs", "evaluate_command", "run_folder", "run_policies"]


def run_folder(out: Path, policy: str, tasks: TaskSet, name: str = "") -> Path:
    """The folder, under `out`, of a policy's run on a task set.

    Args:
        out: The folder of all runs.
        policy: As `named_policy` takes it.
        tasks: The task set.
        name: The run's name. Default: the policy with its options.
    """
    label = (name or run_label(policy)).replace(":", ".")
    return out / re.sub(r"[^\w.-]+", "-", f"{label}-{tasks.name}").strip("-.")


def _asked(spec: str | Mapping[str, Any], style: str) -> str | Mapping[str, Any]:
    """A model's policy with a prompt style; other policies read no prompt, which is said on stderr."""
    name = spec if isinstance(spec, str) else str(spec["name"])
    if name.partition(":")[0] not in ("served", "vlm"):
        say(f"--prompt {style} is for models by folder or server, not for {policy_label(name)}", errors)
        return spec
    given = {"name": spec} if isinstance(spec, str) else spec
    if "protocol" in given:
        raise InvalidSetting(f"--prompt {style} would replace the protocol of {name}: give one of the two")
    return {**given, "protocol": {"name": "direct", "style": style}}


def run_policies(
    policies: list[str],
    tasks: TaskSet,
    episodes: int | None,
    seed: int,
    out: Path | None,
    budget: BudgetSpec = None,
    reward: str = "videozoomer",
    *,
    may_fail: Sequence[str] = (),
    samples: int = 1,
    answerer: str | None = None,
    workers: int | Executor = 1,
    names: Sequence[str] = (),
    prompt: str = "",
    tools: Sequence[ToolSpec] | None = None,
    subtitles: str | None = None,
    untold_subtitles: str | None = None,
    tool_mode: str = "free",
    reports: list[EvaluationReport] | None = None,
) -> list[EvaluationReport]:
    """Evaluate policies in sequence, each in its own folder in `out`, with a progress bar on stderr.

    Args:
        policies: Registered names, or `module:Class`.
        tasks: The tasks.
        episodes: Number of tasks. Default: 200, or all tasks if there are fewer.
        seed: Seed of the policies.
        out: Folder for the runs; None keeps no records.
        budget: A mapping overrides fields of the tasks' budget; a `Budget`, or a name ("paper"), replaces it.
        reward: The reward whose ledger the records keep.
        may_fail: Policies that are skipped, with a message on stderr, if they cannot play: the evidence may be
            unknown, or not visible within the budget.
        samples: Number of roll-outs per task.
        answerer: Answers again from selected clips; see `vzgym.evaluate`.
        workers: Number of worker processes, or an executor.
        names: Names of the runs, one for each policy. Default: the policies' names.
        prompt: Prompt style of models that are given by folder or server (`DirectProtocol`). Default: each policy's own
            protocol.
        tools: Tools that the policies may call. Default: those that each was trained with.
        subtitles: Where the dialogue shows subtitles; see `vzgym.evaluate`.
        untold_subtitles: The same for policies that were trained with no mode, if `subtitles` is None.
        tool_mode: See `vzgym.evaluate`.
        reports: A list for the reports, each added when its policy has finished, so that a later policy's error does
            not lose them. Default: a new list.

    Returns:
        `reports`.

    Raises:
        InvalidSetting: If the numbers of names and policies differ, or two runs have the same folder.
        VzgymError: Errors of `vzgym.evaluate`. Unknown names, unknown options and missing models are reported before
            the first episode.
    """
    from vzgym.episode.runs import count_records
    from vzgym.evaluation import evaluate
    from vzgym.policies.policy import POLICIES
    from vzgym.rewards import make_reward

    count = min(200, len(tasks)) if episodes is None else episodes
    if names and len(names) != len(policies):
        raise InvalidSetting(f"--name is given once for each policy: {len(names)} names for {len(policies)} policies")
    runs = list(zip(policies, names or [""] * len(policies), strict=True))
    folders = [run_folder(out, policy, tasks, name) if out else None for policy, name in runs]
    for index, folder in enumerate(folders):
        if folder is not None and folder in folders[:index]:
            raise InvalidSetting(f"two runs would have the folder {folder}: give distinct names with --name")
    specs = [named_policy(policy) for policy in policies]
    if prompt:
        specs = [_asked(spec, prompt) for spec in specs]
    for spec in specs:
        POLICIES.check(spec)
    make_reward(reward)
    reports = [] if reports is None else reports
    with progress_bar() as bar:
        for (policy, name), spec, folder in zip(runs, specs, folders, strict=True):
            there = min(count_records(folder), count * samples) if folder else 0
            task = bar.add_task(
                f"{name or policy_label(policy)} on {tasks.name}", total=count * samples, completed=there
            )
            try:
                report = evaluate(
                    spec,
                    tasks,
                    episodes=count,
                    seed=seed,
                    budget=budget,
                    reward=reward,
                    out=folder,
                    on_episode=lambda record, task=task: bar.advance(task),  # type: ignore[misc]
                    samples=samples,
                    answerer=answerer,
                    workers=workers,
                    name=name,
                    tools=tools,
                    tool_mode=tool_mode,
                    subtitles=subtitles or (None if trained_extras(policy).get("subtitles") else untold_subtitles),
                )
            except TaskError as error:
                if policy not in may_fail:
                    raise
                bar.remove_task(task)
                say(f"left out: {policy}: {error}", errors)
                continue
            bar.update(task, completed=count * samples)
            if there:
                say(f"{folder}: {there} of {count * samples} episodes were there already", errors)
            reports.append(report)
            for task_id, reason in report.failed.items():
                say(f"left out: {task_id}: {reason}", errors)
    return reports


def budget_from_pairs(pairs: list[str]) -> BudgetSpec:
    """Parse `["max_zooms=2"]` into a mapping; return a budget name unchanged."""
    from vzgym.tasks import BUDGETS

    if len(pairs) == 1 and pairs[0] in BUDGETS:
        return pairs[0]
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, mark, value = pair.partition("=")
        if not mark:
            raise InvalidSetting(
                f"--budget takes field=value (such as max_zooms=2), repeatable, or the name of a budget "
                f"({', '.join(BUDGETS.names())}), got {pair!r}"
            )
        settings[key.strip()] = _value(value.strip())
    return settings or None


def _value(text: str) -> Any:
    """Parse a number or boolean; other text is returned unchanged and rejected by the budget."""
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def evaluate_command(
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="A registered name, module:Class, a trained model's folder, served:MODEL@URL, {name: ..., options}; "
            "repeatable. Default: all controls, and four selectors."
        ),
    ] = None,
    tasks: Annotated[
        str,
        typer.Option(
            help="A suite (needle, needle/validation[:50]), a benchmark (videomme, videomme/long), a .jsonl file, a "
            "table (.csv, .tsv, .parquet), or {name: videomme, root: DIR, options}."
        ),
    ] = "tiny",
    root: Annotated[
        Path | None,
        typer.Option(help="Folder with a benchmark's files; of a .jsonl file: the only folder of its videos."),
    ] = None,
    columns: Annotated[
        str, typer.Option(help="A table's columns with other names, vzgym's first: answer=label,start=from.")
    ] = "",
    times: Annotated[
        Literal["seconds", "clock"], typer.Option(help="Form of a table's times: clock for MM:SS and HH:MM:SS.")
    ] = "seconds",
    skip_flawed: Annotated[
        bool, typer.Option("--skip-flawed", help="Leave out a benchmark's rows with flaws (vzgym bench check).")
    ] = False,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Leave out a benchmark's rows whose video is missing.")
    ] = False,
    episodes: Annotated[int | None, typer.Option(help="Number of tasks, from the first. Default: 200.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the policy.")] = 0,
    budget: Annotated[
        list[str] | None,
        typer.Option(help="field=value overrides the tasks' own budget, repeatable; a name (paper) replaces it."),
    ] = None,
    frames: Annotated[
        str,
        typer.Option(
            help="Number of evenly spaced overview frames; several (32,64,128) give a row each, and the paired "
            "differences of other policies from the first."
        ),
    ] = "",
    no_zoom: Annotated[bool, typer.Option("--no-zoom", help="Forbid zooms: answers from the overview alone.")] = False,
    tool_modes: Annotated[
        bool,
        typer.Option(
            "--tool-modes",
            help="Play each policy three ways on the same tasks (free, without the tool, forced to zoom before it "
            "answers), and compare them task by task; with several --frames, as curves.",
        ),
    ] = False,
    reward: Annotated[
        str,
        typer.Option(
            help="The reward of the records' ledger: a preset, a module, a .yaml file, or {accuracy: 1, ...}."
        ),
    ] = "videozoomer",
    tool: ToolOption = None,
    subtitles: SubtitlesOption = None,
    samples: Annotated[int, typer.Option(help="Roll-outs per task, each with a different seed.", min=1)] = 1,
    answerer: Annotated[
        str | None,
        typer.Option(help="Answers again from selected clips to find useful zooms: reader or policy."),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            help="Prompt style of models by folder or server that answer at once: direct, or one of the benchmark's "
            "(vzgym bench show NAME); use it with --no-zoom. Default: agent, the policy's own protocol."
        ),
    ] = None,
    backend: Annotated[str, typer.Option(help="Decoder for video files.")] = "pyav",
    workers: WorkersOption = 1,
    ray: RayOption = None,
    gpus_per_worker: GpusOption = 0.0,
    share_frames: ShareFramesOption = 0.0,
    name: Annotated[
        list[str] | None, typer.Option(help="Name of the run in tables and folders; once per --policy.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for records; an interrupted run resumes there.")] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Also show results by category, duration or metadata.KEY; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    latex: LatexOption = None,
    csv: CsvOption = None,
    figures: FiguresOption = None,
) -> None:
    """Evaluate policies on tasks; print accuracy with intervals, and cost."""
    from vzgym.baselines import CONTROLS, Oracle
    from vzgym.cli.frame_curve import conditions, curve_name, curve_table, frame_budget, parse_frames
    from vzgym.cli.named_tasks import asks_for_subtitles, load_named_tasks, say_left_out
    from vzgym.cli.tasks_import import column_map
    from vzgym.cli.tool_modes import (
        Played,
        check_tool_modes,
        group_modes,
        mode_name,
        modes_to_json,
        named_modes,
        show_modes,
    )
    from vzgym.core.budget import ToolMode
    from vzgym.evaluation.breakdown import check_by
    from vzgym.evaluation.tables import rich_breakdown, rich_costs, rich_scorer_costs, rich_table, rich_terms
    from vzgym.evaluation.taxonomy_tables import rich_quadrants, rich_taxonomy
    from vzgym.tasks.benchmarks.registry import named_benchmark
    from vzgym.tasks.budgets import budget_changes
    from vzgym.tools.extras import Extras

    for key in by or ():
        check_by(key)
    check_publication(latex, csv, figures)
    if tool_modes:
        check_tool_modes(no_zoom=no_zoom, prompt=prompt)
    names = policy or [*(control.name for control in CONTROLS), *SELECTORS_BESIDE]
    tools = named_tools(tool)
    extras = Extras.make(tools, subtitles)
    # The weights of a tool are loaded once, before the first episode.
    if extras.tools:
        with errors.status("Loading tools"):
            extras.load()
    learned = [trained_extras(text) for text in names]
    # As for `tools` and `subtitles` above, what a model was trained with counts unless told otherwise.
    speech = extras.uses_subtitles or any(
        (tools is None and _searches_subtitles(found))
        or (subtitles is None and found.get("subtitles", "none") != "none")
        for found in learned
    )
    switches = {"skip_flawed": skip_flawed, "skip_missing": skip_missing}
    options: dict[str, Any] = {key: True for key, value in switches.items() if value}
    if columns:
        options["columns"] = column_map(columns)
    if times != "seconds":
        options["times"] = times
    task_set = load_named_tasks(
        tasks,
        backend=backend,
        root=root,
        speech=speech,
        **options,
    )
    # A benchmark's subtitles may be loaded for a tool or for one of the policies, not to be shown to others.
    untold = "none" if subtitles is None and speech and not asks_for_subtitles(tasks) else None
    say_left_out(task_set)
    executor = make_executor(workers, ray, gpus_per_worker, share_frames=share_frames)
    counts = parse_frames(frames)
    runs: list[int | None] = [*counts] or [None]
    budgets = {count: frame_budget(budget_from_pairs(budget or []), count, no_zoom) for count in runs}
    modes = list(ToolMode) if tool_modes else [ToolMode.FREE]
    bases = list(name or map(policy_label, names))
    if (tool_modes or len(counts) > 1) and (repeated := [base for base in bases if bases.count(base) > 1]):
        raise InvalidSetting(f"two policies are named {repeated[0]!r}: give distinct names with --name")
    plays = [(count, spec, mode) for count, spec in budgets.items() for mode in modes]
    played_as: dict[str, Played] = {}
    reports: list[EvaluationReport] = []
    fault: VzgymError | KeyboardInterrupt | None = None
    for count, spec, mode in plays:
        labels = list(name or ())
        if tool_modes or len(counts) > 1:
            labels = [mode_name(base, mode) for base in bases] if tool_modes else bases
            labels = [curve_name(label, count) for label in labels] if count is not None and len(counts) > 1 else labels
            played_as |= {label: Played(base, count, mode) for label, base in zip(labels, bases, strict=False)}
        try:
            run_policies(
                names,
                task_set,
                episodes,
                seed,
                out,
                spec,
                reward,
                may_fail=() if policy else (Oracle.name, *SELECTORS_BESIDE),
                samples=samples,
                answerer=answerer,
                workers=executor,
                names=labels,
                prompt="" if prompt in (None, "agent") else str(prompt),
                tools=None if tools is None else extras.tools,
                subtitles=subtitles,
                untold_subtitles=untold,
                tool_mode=mode,
                reports=reports,
            )
        except (VzgymError, KeyboardInterrupt) as error:
            if not reports:
                raise
            # What has finished is shown first.
            fault = error
        if fault is not None:
            say(f"Stopped: {len(reports)} of {len(names) * len(plays)} runs have finished.", errors)
            break
    curve: dict[str, dict[int, EvaluationReport]] = {}
    if len(counts) > 1 and not tool_modes:
        for report in reports:
            run = played_as[report.policy]
            curve.setdefault(run.policy, {})[run.frames or 0] = report
    mode_curve = group_modes(reports, played_as) if tool_modes else {}
    if as_json:
        found: Any = [report.to_json(by or ()) for report in reports]
        if tool_modes:
            found = {"reports": found, "tool_modes": modes_to_json(mode_curve, by or ())}
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        console.print(rich_table(reports))
        console.print()
        for key in by or ():
            console.print(rich_breakdown(reports, key))
            console.print()
        console.print(rich_taxonomy(reports))
        console.print()
        quadrants = rich_quadrants(reports)
        if quadrants is not None:
            console.print(quadrants)
            console.print()
        console.print(rich_terms(reports))
        console.print()
        console.print(rich_costs(reports))
        if curve:
            console.print()
            console.print(curve_table(curve))
        if mode_curve:
            console.print()
            show_modes(mode_curve, by or ())
        if task_set.name and named_benchmark(task_set.name.partition("[")[0]) is not None:
            lines = subtitles or untold or ("as loaded" if asks_for_subtitles(tasks) else "none")
            played: dict[Budget, list[str]] = {}
            for report in reports:
                played.setdefault(report.budget, []).append(report.policy)
            for shown, policies in played.items():
                say(f"{', '.join(policies)}: {conditions(shown, subtitles=lines, prompt=prompt or 'agent')}")
        scorer_costs = rich_scorer_costs(reports)
        if scorer_costs is not None:
            console.print()
            console.print(scorer_costs)
        if answerer:
            shares = ", ".join(f"{report.policy} {_percent(report)}" for report in reports)
            say(f"Zooms on which the answer depends, by the answers of {answerer} without and from each: {shares}")
        for report in reports:
            if costs := costs_in_words(report.totals):
                say(f"{report.policy}: {costs}")
        for report in reports:
            trained = report.trained_budget
            changes = budget_changes(trained, task_set.budget, "of the tasks:") if trained and not budget else ""
            if changes and (not tool_modes or played_as[report.policy].mode is ToolMode.FREE):
                say(f"{report.policy}: uses its training budget: {changes}")
        if out:
            say(f"Records: {out}\nNext: vzgym view {shlex.quote(str(out))}")
    if latex or csv or figures:
        from vzgym.evaluation.publication import (
            curve_figure,
            evaluation_figures,
            evaluation_table,
            tool_mode_curves,
            tool_modes_figure,
            tool_modes_table,
        )

        pictures = evaluation_figures(reports) if figures else {}
        if figures and curve:
            pictures["curve"] = curve_figure(curve)
        if figures and mode_curve:
            pictures["tool_modes"] = tool_modes_figure(named_modes(mode_curve))
            if len(counts) > 1:
                pictures["curve"] = tool_mode_curves(mode_curve)
        table = tool_modes_table(named_modes(mode_curve)) if mode_curve else evaluation_table(reports)
        publish(table, pictures, latex, csv, figures)
    if fault is not None:
        raise fault


def _searches_subtitles(extras: Mapping[str, Any]) -> bool:
    """Whether the tools that a model was trained with search the subtitles."""
    return any(tool.get("name") == "subtitles" for tool in extras.get("tools", ()))


def _percent(report: EvaluationReport) -> str:
    useful = report.summary["useful_zooms"]
    return f"{100 * useful.value:.1f} %" if useful.n else "-"
