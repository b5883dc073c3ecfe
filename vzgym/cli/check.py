"""`vzgym check`: checks of custom components against their contracts."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.text import Text

from vzgym.cli.progress import console, errors, say
from vzgym.core.errors import InvalidSetting
from vzgym.testing.checking import KINDS, check, environment_of
from vzgym.testing.parity import check_parity
from vzgym.testing.plugins import installed_plugins
from vzgym.testing.report import ConformanceReport

__all__ = ["check_command"]

_MARKS = {"kept": ("ok", "green"), "broken": ("broken", "bold red"), "left out": ("left out", "yellow")}


def check_command(
    names: Annotated[
        list[str] | None, typer.Argument(help="module:Class, or registered names. Default: all plug-ins.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help=f"Kind of component: {', '.join(KINDS)}.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="name=value (YAML): argument of the component; repeatable.")
    ] = None,
    parity: Annotated[
        bool, typer.Option("--parity", help="Also compare the same episodes through every interface.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check custom components against their contracts; explain each violation."""
    options = _options(set_ or [])
    targets = [(name, kind) for name in names or []]
    reports: list[ConformanceReport] = []
    faults: list[str] = []
    if not names:
        for plugin in installed_plugins():
            if plugin.fault:
                faults.append(f"{plugin.group} {plugin.name!r} ({plugin.value}): {plugin.fault}")
            elif plugin.kind:
                targets.append((plugin.name, plugin.kind))
        if not targets and not faults and not parity:
            say("No plug-in is installed. Name what to check: vzgym check my_module:MyPolicy", errors)
    for name, what in targets:
        report = check(name, what, **options)
        reports.append(report)
        short = report.kind.removesuffix(" module")
        # An environment is built only from modules that satisfy their own contracts.
        if report.ok and short in ("observation", "action") and not options:
            environment = environment_of(name, short)
            reports += [environment] if environment else []
    if parity:
        reports.append(check_parity())
    if as_json:
        print(json.dumps({"reports": [_plain(report) for report in reports], "faults": faults}, indent=2))
    else:
        for report in reports:
            _show(report)
        for fault in faults:
            say(f"plug-in that cannot be imported: {fault}", errors)
    if faults or not all(report.ok for report in reports):
        raise typer.Exit(1)


def _options(pairs: list[str]) -> dict[str, Any]:
    from vzgym.core.documents import read_value

    options: dict[str, Any] = {}
    for pair in pairs:
        key, mark, value = pair.partition("=")
        if not mark:
            raise InvalidSetting(f"--set takes name=value (such as scale=2), got {pair!r}")
        options[key.strip()] = read_value(value, f"--set {pair}")
    return options


def _plain(report: ConformanceReport) -> dict[str, Any]:
    results = [{"rule": item.rule, "status": item.status, "detail": item.detail} for item in report.results]
    return {"subject": report.subject, "kind": report.kind, "ok": report.ok, "results": results}


def _show(report: ConformanceReport) -> None:
    console.print(Text(f"{report.kind}: {report.subject}", style="bold"))
    for result in report.results:
        word, style = _MARKS[result.status]
        console.print(Text.assemble("  ", (f"{word:<9}", style), result.rule), soft_wrap=True)
        if result.detail:
            console.print(Text(f"            {result.detail}"), soft_wrap=True)
