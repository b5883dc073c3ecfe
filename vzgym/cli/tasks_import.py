"""`vzgym tasks import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vzgym.cli.outputs import check_jsonl_output
from vzgym.cli.progress import errors, say
from vzgym.core.errors import InvalidSetting

__all__ = ["column_map", "import_command"]

_MOST_NAMED = 20


def column_map(text: str) -> dict[str, str]:
    """Parse `answer=answer_letter,start=start_s`.

    Raises:
        InvalidSetting: If a part has another form, or a name occurs twice.
    """
    found: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        ours, mark, theirs = (piece.strip() for piece in part.partition("="))
        if not mark or not ours or not theirs:
            raise InvalidSetting(f"--columns takes OURS=THEIRS,..., such as answer=label,start=from; got {part!r}")
        if ours in found:
            raise InvalidSetting(f"--columns names {ours} twice")
        found[ours] = theirs
    return found


def import_command(
    file: Annotated[Path, typer.Argument(help="A .csv, .tsv or .parquet file.")],
    out: Annotated[Path, typer.Option(help="The .jsonl file of tasks to write.")],
    videos: Annotated[Path | None, typer.Option(help="Folder of the videos. Default: the file's folder.")] = None,
    columns: Annotated[
        str, typer.Option(help="Columns with other names, vzgym's first: answer=label,start=from.")
    ] = "",
    times: Annotated[
        Literal["seconds", "clock"], typer.Option(help="Form of times: seconds, or clock for MM:SS and HH:MM:SS.")
    ] = "seconds",
    root: Annotated[Path | None, typer.Option(help="The only folder whose videos may be named.")] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Write the good rows although others are broken.")
    ] = False,
) -> None:
    """Convert a table of questions, such as a spreadsheet's export, to a file of tasks.

    A row has the video, the question, its options (columns A, B, C, ... or a list), the answer (a letter or a text),
    and perhaps the start and the end of the evidence, which must lie in the video. All broken rows are named; then
    nothing is written, and the exit status is 1.
    """
    from vzgym.tasks.io.jsonl import write_jsonl
    from vzgym.tasks.io.tables import read_table

    check_jsonl_output(out, [file])
    table = read_table(file, columns=column_map(columns), videos=videos, times=times, root=root, check_evidence=True)
    for fault in table.faults:
        say(f"broken: {fault}", errors)
    read = ", ".join(ours if ours == theirs else f"{ours} from {theirs!r}" for ours, theirs in table.columns.items())
    kept = f"; as metadata: {', '.join(table.metadata)}" if table.metadata else ""
    say(f"columns: {read}{kept}", errors)
    if table.faults and (not skip_broken or not table.tasks):
        say(f"{len(table.faults)} rows are broken, {len(table.tasks)} are not; nothing was written", errors)
        raise typer.Exit(1)
    write_jsonl(table.tasks, out)
    choices = sum(bool(task.options) for task in table.tasks)
    spans = sum(task.evidence is not None for task in table.tasks)
    unknown = [task.id for task in table.tasks if not task.answer]
    if unknown:
        more = f" and {len(unknown) - _MOST_NAMED} more" if len(unknown) > _MOST_NAMED else ""
        say(f"no answer, so not graded: {', '.join(unknown[:_MOST_NAMED])}{more}", errors)
    say(
        f"{len(table.tasks)} tasks in {out}: {choices} multiple choice, {len(table.tasks) - choices} open, {spans} "
        f"with evidence, {len(unknown)} without an answer; {len(table.faults)} rows left out\n"
        f"Next: vzgym eval --policy overview --tasks {out}"
    )
