"""The tables of a paper as data: what each row would run and cost, and measured beside published values.

`vzgym paper videozoomer` reads the tables of VideoZoomer, which are part of the package; a YAML file of the same form
holds those of another paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeFloat, model_validator

from vzgym.core.budget import Budget
from vzgym.core.documents import read_file
from vzgym.core.errors import InvalidSetting, TaskError, UnknownName
from vzgym.core.settings import Settings, build, problem
from vzgym.core.statistics import Estimate
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation.benchmarks.conventions import get_convention
from vzgym.evaluation.benchmarks.scoring import BenchmarkScore, Judge, score_replies
from vzgym.tasks.benchmarks.checking import BenchmarkCheck, check_benchmark
from vzgym.tasks.benchmarks.layouts import find_place
from vzgym.tasks.benchmarks.registry import get_benchmark, named_benchmark
from vzgym.tasks.budgets import BUDGETS

__all__ = [
    "PAPERS",
    "Cell",
    "Column",
    "Cost",
    "CostRule",
    "Measured",
    "Paper",
    "Row",
    "benchmark_root",
    "cells",
    "check_column",
    "cost_of",
    "episodes_of",
    "load_paper",
    "row_budget",
    "run_cells",
    "score_cell",
]

PAPERS: tuple[str, ...] = ("videozoomer",)
"""Papers whose tables are part of the package."""

_PATCH = 28  # pixels: side of a visual token of Qwen2.5-VL


class Column(Settings):
    """A column of a paper's tables.

    Args:
        tasks: The benchmark, with its part if any: "videomme/long".
        convention: The scoring convention that comes nearest to the paper's.
        comparable: Whether measured and published values are on the same scale.
        note: What is known about the convention.
    """

    tasks: str
    convention: str = "vzgym"
    comparable: bool = True
    note: str = ""

    @model_validator(mode="after")
    def _known(self) -> Column:
        found = named_benchmark(self.tasks)
        if found is None:
            raise problem(f"no benchmark {self.tasks!r} (vzgym bench list)", "tasks")
        get_convention(get_benchmark(found[0]), self.convention)
        return self

    @property
    def benchmark(self) -> str:
        """The benchmark's name."""
        found = named_benchmark(self.tasks)
        assert found is not None
        return found[0]

    @property
    def subset(self) -> tuple[str, str] | None:
        """Metadata key and value of the part; None for the whole benchmark."""
        found = named_benchmark(self.tasks)
        assert found is not None
        name = found[1].get("subset")
        return get_benchmark(found[0]).subsets[name] if name else None


class Model(Settings):
    """A model that rows use.

    Args:
        about: What it is.
        how: How to get it.
        training_gpu_hours: Published cost of its training; 0 if unknown or none.
    """

    about: str
    how: str = ""
    training_gpu_hours: NonNegativeFloat = 0.0


class Row(Settings):
    """A row of a table.

    Args:
        name: As in the paper.
        model: Key of a model.
        budget: Name of a budget, or fields that differ from the paper's.
        published: Published values in percent, by column.
        unverified: What of this row is not confirmed.
    """

    name: str
    model: str
    budget: str | dict[str, Any] = "paper"
    published: dict[str, float] = Field(default_factory=dict)
    unverified: str = ""


class Table(Settings):
    """A table: its title and rows."""

    title: str
    rows: list[Row]


class Paper(Settings):
    """A paper's tables.

    Args:
        title: The paper's title.
        source: Where it was published.
        models: Models by key.
        columns: Columns by key.
        tables: Tables by key.
    """

    title: str
    source: str
    models: dict[str, Model]
    columns: dict[str, Column]
    tables: dict[str, Table]

    @model_validator(mode="after")
    def _consistent(self) -> Paper:
        for name, table in self.tables.items():
            for place, row in enumerate(table.rows):
                path = ("tables", name, "rows", place)
                if row.model not in self.models:
                    known = ", ".join(self.models)
                    raise problem(f"no model {row.model!r}; there are: {known}", *path, "model")
                for column in row.published:
                    if column not in self.columns:
                        known = ", ".join(self.columns)
                        raise problem(f"no column {column!r}; there are: {known}", *path, "published", column)
                row_budget(row)
        return self


def row_budget(row: Row) -> Budget:
    """The budget of a row: fields override the paper's budget, "inf" is infinite.

    Raises:
        InvalidSetting: If a field is unknown or out of range.
        UnknownName: If there is no budget of that name.
    """
    if isinstance(row.budget, str):
        return BUDGETS.make(row.budget)
    return Budget.from_mapping({**Budget().to_dict(), **row.budget})


def load_paper(name: str | Path) -> Paper:
    """Read a paper's tables.

    Args:
        name: A name of `PAPERS`, or the path of a YAML file.

    Raises:
        UnknownName: If it is neither.
        InvalidSetting: If the file is not a paper's tables; names file and line.
    """
    if str(name) in PAPERS:
        with as_file(files(__package__) / "papers" / f"{name}.yaml") as path:
            return build(Paper, read_file(path))
    if Path(name).suffix in (".yaml", ".yml"):
        return build(Paper, read_file(name))
    raise UnknownName("paper", str(name), PAPERS, "A file of your own ends in .yaml.")


@dataclass(frozen=True)
class Cell:
    """A row of a table in one column.

    Attributes:
        table: Key of the table.
        row: The row.
        column: Key of the column.
        published: Published value in percent; None if there is none.
    """

    table: str
    row: Row
    column: str
    published: float | None

    @property
    def folder(self) -> str:
        """Folder name of its run: cells with the same model, budget and benchmark share it."""
        fields = row_budget(self.row).to_dict()
        changed = {key: value for key, value in fields.items() if value != Budget().to_dict()[key]}
        budget = "-".join(f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
                          for key, value in changed.items())  # fmt: skip
        return f"{self.row.model}-{budget or 'paper'}"


def cells(
    paper: Paper, tables: Sequence[str] = (), columns: Sequence[str] = (), rows: Sequence[str] = ()
) -> Iterator[Cell]:
    """The cells of a paper's tables, in order.

    Args:
        paper: The paper.
        tables: Keys of tables; all if empty.
        columns: Keys of columns; all if empty. A row has the columns in which it has a published value, or all if it
            has none.
        rows: Names of rows; all if empty.

    Raises:
        UnknownName: If there is no such table, column or row.
    """
    names = [row.name for table in paper.tables.values() for row in table.rows]
    for kind, asked, known in (
        ("table", tables, paper.tables),
        ("column", columns, paper.columns),
        ("row", rows, names),
    ):
        for name in asked:
            if name not in known:
                raise UnknownName(f"{kind} of the paper", name, known)
    for key in tables or paper.tables:
        for row in paper.tables[key].rows:
            if rows and row.name not in rows:
                continue
            for column in row.published or paper.columns:
                if not columns or column in columns:
                    yield Cell(key, row, column, row.published.get(column))


@dataclass(frozen=True)
class CostRule:
    """How the cost of a cell is estimated. All values are assumptions that the user can replace.

    Attributes:
        text_tokens: Text tokens of the prompt and, for each round, of the dialogue.
        output_tokens: Tokens that the model writes in a round.
        input_rate: Input tokens per second of one GPU.
        output_rate: Output tokens per second of one GPU, over all requests in flight.
        gpu_price: Price of a GPU hour.
    """

    text_tokens: int = 500
    output_tokens: int = 200
    input_rate: float = 20_000.0
    output_rate: float = 2_000.0
    gpu_price: float = 3.0

    def __str__(self) -> str:
        return (
            f"at most: every round sends the whole dialogue, every zoom is used; {self.text_tokens} text tokens and "
            f"{self.output_tokens} written tokens a round; {self.input_rate:,.0f} input and {self.output_rate:,.0f} "
            f"output tokens a second of a GPU; {self.gpu_price:g} a GPU hour. These rates are assumptions."
        )


@dataclass(frozen=True)
class Cost:
    """Estimated cost, an upper bound.

    Attributes:
        input_tokens: Input tokens, images included.
        output_tokens: Written tokens.
        gpu_hours: GPU hours.
        price: Price in the rule's currency.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    gpu_hours: float = 0.0
    price: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.gpu_hours + other.gpu_hours,
            self.price + other.price,
        )


def cost_of(budget: Budget, episodes: int, rule: CostRule) -> Cost:
    """Estimate the cost of episodes: in round r the dialogue holds the overview and r clips.

    A frame has `max_pixels / 28^2` visual tokens (Qwen2.5-VL).
    """
    frame = math.ceil(budget.max_pixels / _PATCH**2)
    rounds = range(budget.max_rounds)
    frames = sum(budget.overview_frames + budget.clip_frames * round_ for round_ in rounds)
    sent = episodes * (frames * frame + sum(rule.text_tokens * (round_ + 1) for round_ in rounds))
    written = episodes * budget.max_rounds * rule.output_tokens
    hours = (sent / rule.input_rate + written / rule.output_rate) / 3600
    return Cost(sent, written, hours, hours * rule.gpu_price)


def benchmark_root(root: Path | None, benchmark: str) -> Path | None:
    """The folder of a benchmark's files: `root`, or the folder in it that has the benchmark's name or an alias."""
    if root is None:
        return None
    definition = get_benchmark(benchmark)
    folders = [root, *(root / name for name in (benchmark, *definition.aliases) if (root / name).is_dir())]
    for folder in folders:
        try:
            find_place(definition, folder)
        except TaskError:
            continue
        return folder
    return root


def check_column(column: Column, root: Path | None) -> BenchmarkCheck | str:
    """The files of a column's benchmark, or why there are none."""
    place = benchmark_root(root, column.benchmark)
    if place is None:
        return "no --root given"
    try:
        return check_benchmark(get_benchmark(column.benchmark), place)
    except TaskError as error:
        return str(error)


def episodes_of(column: Column, check: BenchmarkCheck | str) -> int:
    """Number of questions of a column: those found, else the published number."""
    benchmark = get_benchmark(column.benchmark)
    key, value = column.subset or ("", "")
    if isinstance(check, BenchmarkCheck):
        group = next((item for item in check.groups if (item.key, item.value) == (key, value if key else "all")), None)
        return group.rows if group else 0
    return benchmark.totals.groups.get(key, {}).get(value, 0) if key else benchmark.totals.rows


def score_cell(column: Column, records: Sequence[EpisodeRecord], judge: Judge | None = None) -> BenchmarkScore:
    """Score the records of a benchmark's run in a column: those of its part, by its convention.

    Raises:
        InvalidSetting: If no record belongs to the part.
    """
    benchmark = get_benchmark(column.benchmark)
    if column.subset is not None:
        key, value = column.subset
        records = [record for record in records if str(record.task.metadata.get(key)) == value]
    if not records:
        raise InvalidSetting(f"no episode belongs to {column.tasks}")
    return score_replies(records, get_convention(benchmark, column.convention), benchmark=benchmark, judge=judge)


@dataclass(frozen=True)
class Measured:
    """A cell with its measured value.

    Attributes:
        cell: The cell.
        value: Measured, in [0, 1], with its 95 % interval.
        unparsed: Share of replies that could not be read.
    """

    cell: Cell
    value: Estimate
    unparsed: float

    @property
    def difference(self) -> float | None:
        """Measured minus published, in percentage points; None without a published value."""
        if self.cell.published is None or math.isnan(self.value.value):
            return None
        return 100 * self.value.value - self.cell.published


def run_cells(
    paper: Paper,
    chosen: Sequence[Cell],
    policies: Mapping[str, Any],
    play: Callable[[Cell, str, Budget], Sequence[EpisodeRecord]],
    judge: Judge | None = None,
) -> Iterator[Measured]:
    """Play and score the cells whose model is given; cells that share a run are played once.

    Args:
        paper: The paper.
        chosen: The cells.
        policies: Policies by model key.
        play: Plays a cell's policy on tasks (`videomme`, `videomme/long`) under a budget, and returns the records.
        judge: Judges open answers.
    """
    playable = [cell for cell in chosen if cell.row.model in policies]
    # A part of a benchmark is played alone only where the whole is not played anyway.
    whole = {(cell.folder, paper.columns[cell.column].tasks) for cell in playable}
    runs: dict[tuple[str, str], Sequence[EpisodeRecord]] = {}
    for cell in playable:
        column = paper.columns[cell.column]
        tasks = column.benchmark if (cell.folder, column.benchmark) in whole else column.tasks
        key = (cell.folder, tasks)
        if key not in runs:
            runs[key] = play(cell, tasks, row_budget(cell.row))
        score = score_cell(column, runs[key], judge)
        yield Measured(cell, score.overall, score.unparsed)
