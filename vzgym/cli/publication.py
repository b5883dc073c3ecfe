"""Options for tables and figures in files, shared by commands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vzgym.cli.progress import errors, say
from vzgym.core.errors import InvalidSetting
from vzgym.core.files import write_text

if TYPE_CHECKING:
    from vzgym.evaluation.publication import DataTable

__all__ = ["CsvOption", "FiguresOption", "LatexOption", "check_publication", "publish"]

LatexOption = Annotated[Path | None, typer.Option("--latex", help="Write the table for LaTeX into this .tex file.")]
CsvOption = Annotated[Path | None, typer.Option("--csv", help="Write the table into this .csv file.")]
FiguresOption = Annotated[Path | None, typer.Option("--figures", help="Write figures as PDF into this folder.")]


def check_publication(latex: Path | None, csv: Path | None, figures: Path | None) -> None:
    """Check output paths before a run, which may take hours.

    Raises:
        InvalidSetting: If a file has another suffix, is a folder, or `figures` is a file.
        DependencyNotInstalled: If figures are wanted, but matplotlib is missing.
    """
    for option, path, suffix in (("--latex", latex, ".tex"), ("--csv", csv, ".csv")):
        if path is not None and (path.suffix != suffix or path.is_dir()):
            raise InvalidSetting(f"{option} takes the name of a {suffix} file, got {path}")
    if figures is not None:
        if figures.is_file() or figures.suffix == ".pdf":
            raise InvalidSetting(f"--figures takes a folder, into which each figure is written as PDF, got {figures}")
        from vzgym.evaluation.publication.plotting import import_pyplot

        import_pyplot()


def publish(
    table: DataTable, drawn: Mapping[str, Any], latex: Path | None, csv: Path | None, figures: Path | None
) -> None:
    """Write the files that were asked for, and name them on stderr.

    Args:
        table: The table.
        drawn: Figures by name; only needed with `figures`.
        latex: The .tex file.
        csv: The .csv file.
        figures: The folder of the figures.
    """
    made = []
    for path, text in ((latex, table.to_latex), (csv, table.to_csv)):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text())
            made.append(path)
    if figures is not None:
        from vzgym.evaluation.publication import save_figures

        made += save_figures(drawn, figures)
    if made:
        say(f"Written: {', '.join(map(str, made))}", errors)
