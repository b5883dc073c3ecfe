"""`vzgym replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from vzgym.cli.progress import progress_bar, say
from vzgym.core.errors import RecordError
from vzgym.envs.rendering import draw_episode
from vzgym.episode.runs import read_records, record_files
from vzgym.evaluation.replay import replay

__all__ = ["replay_command"]


def replay_command(
    run: Annotated[Path, typer.Argument(help="A run's folder, a folder of runs, or a .jsonl file of records.")],
    backend: Annotated[str, typer.Option(help="Decoder for video files.")] = "pyav",
    episode: Annotated[int | None, typer.Option(help="Replay only the record with this index.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the (last) replayed episode into this PNG.")] = None,
    trust_code: Annotated[
        bool,
        typer.Option(
            "--trust-code", help="Allow imports of code named by records (module:Class); runs arbitrary code."
        ),
    ] = False,
) -> None:
    """Replay saved records; print differences in frames, dialogue, grade and rewards. Exit status 1 if any differs."""
    records = [(file, record) for file in record_files(run) for record in read_records(file)]
    if not records:
        raise RecordError(f"{run}: holds no records; only a run with a finished episode can be replayed")
    if episode is not None:
        records = [(file, record) for file, record in records if record.info.index == episode]
        if not records:
            raise RecordError(f"{run}: no record has index {episode}")
    differing = 0
    last = None
    found = []
    with progress_bar() as bar:
        for file, record in bar.track(records, description="replay"):
            last = replay(record, backend=backend, trust_code=trust_code)
            differing += bool(last.differences)
            found += [f"{file.parent.name} {record.task.id}: {difference}" for difference in last.differences]
    for line in found:
        say(line)
    if picture is not None and last is not None:
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_episode(last.record)).save(picture, format="PNG")
        say(f"Picture: {picture}")
    say(f"{len(records)} records replayed, {differing} differ.")
    if differing:
        raise typer.Exit(1)
