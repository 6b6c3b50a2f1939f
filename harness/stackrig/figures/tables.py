# SPDX-License-Identifier: Apache-2.0
"""What a table shows: medians with their intervals, each beside the number that the paper has in its place."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stackrig.claims import papers
from stackrig.claims.records import Cell, Limit, Point, RunData, counted, show
from stackrig.figures.series import interval_of
from stackrig.model.base import Scalar
from stackrig.model.experiment import TableOf
from stackrig.model.metrics import metric, shown_in
from stackrig.stats.interval import Interval


@dataclass(frozen=True)
class Column:
    """One column of measured numbers. `printed`: the column of the paper's table that it stands beside."""

    head: str
    system: str
    metric: str
    unit: str
    per: float  # records' units in one of the column's
    at: tuple[tuple[str, Scalar], ...]
    printed: str = ""


@dataclass(frozen=True)
class Entry:
    """One number: as measured, in the units of records, and as the paper prints it."""

    column: Column
    cell: Cell
    interval: Interval | None
    printed: str

    @property
    def limited_by(self) -> Limit:
        return self.cell.limited_by

    @property
    def there(self) -> bool:
        return bool(self.cell.trials)


@dataclass(frozen=True)
class Row:
    value: Scalar
    head: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Shown:
    """One table. `first`: the head of its first column."""

    title: str
    first: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def has_paper(self) -> bool:
        return any(column.printed for column in self.columns)


@dataclass(frozen=True)
class Plain:
    """A table of words."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def plain_markdown(shown: Sequence[Plain]) -> str:
    told = []
    for table in shown:
        lines = ["| " + " | ".join(row) + " |" for row in [table.columns, *table.rows]]
        lines.insert(1, "|" + " --- |" * len(table.columns))
        told.append("\n".join([f"**{table.title}**", "", *lines]))
    return "\n\n".join(told) + "\n"


def tables(data: RunData) -> list[Shown]:
    """All tables of the run's artifact."""
    return [
        _of_paper(data, said) if said.published else _of_systems(data, said) for said in data.artifact.tables
    ]


def _of_paper(data: RunData, said: TableOf) -> Shown:
    table = papers.table(data.artifact.paper, said.published)
    columns = tuple(
        Column(
            name,
            held.system,
            held.quantity,
            held.unit,
            held.per,
            tuple({**said.where, **held.at}.items()),
            name,
        )
        for name, held in table.means.items()
    )

    def printed(column: Column, value: Scalar) -> str:
        return table.printed(column.printed, float(value)) or ""

    title = said.title or f"Table {said.published}: {table.what}"
    axis = [int(table.place(row)) for row in table.rows]
    rows = [_row(data, table.axis, value, columns, printed) for value in axis]
    return Shown(title, table.columns[0], columns, tuple(row for row in rows if _measured(row)))


def _of_systems(data: RunData, said: TableOf) -> Shown:
    columns = []
    for name in said.metrics:
        shown = shown_in(name, said.units.get(name, ""))
        for system in data.systems:
            there = any(data.cell(system, point).trials for point in data.points if _at(point, said.where))
            if there and (system in said.systems or not said.systems):
                columns.append(
                    Column(system, system, name, shown.shown_unit, shown.shown_per, tuple(said.where.items()))
                )
    rows = [_row(data, said.rows, value, columns, lambda _, __: "") for value in data.values_of(said.rows)]
    kept = tuple(row for row in rows if _measured(row))
    words = [said.title, ", ".join(counted(axis, value) for axis, value in said.where.items())]
    title = ", ".join(word for word in words if word)
    return Shown(title, said.rows.replace("_", " ").capitalize(), tuple(columns), kept)


def _row(
    data: RunData,
    axis: str,
    value: Scalar,
    columns: Sequence[Column],
    printed: Callable[[Column, Scalar], str],
) -> Row:
    entries = []
    for column in columns:
        wanted = {**dict(column.at), axis: value}
        cell = _cell(data, column.system, wanted)
        entries.append(Entry(column, cell, interval_of(data, column.metric, cell), printed(column, value)))
    return Row(value, show(axis, value), tuple(entries))


def _at(point: Point, wanted: Mapping[str, Scalar]) -> bool:
    here = dict(point)
    return all(here.get(axis) == value for axis, value in wanted.items())


def _cell(data: RunData, system: str, wanted: Mapping[str, Scalar]) -> Cell:
    for point in data.points:
        if _at(point, wanted) and data.cell(system, point).trials:
            return data.cell(system, point)
    return Cell(system, tuple(wanted.items()), ())


def _measured(row: Row) -> bool:
    """A smaller profile's table has fewer rows."""
    return any(entry.there for entry in row.entries)


# As data ------------------------------------------------------------------------------------------------

COLUMNS = (
    *("table", "row", "column", "system", "at", "metric", "unit", "median", "low", "high"),
    *("trials", "lost", "limited_by", "paper", "paper_unit", "trial_ids"),
)


def to_csv(shown: Sequence[Shown]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(to_rows(shown))
    return text.getvalue()


def to_rows(shown: Sequence[Shown]) -> Iterator[list[object]]:
    """One row per number, in the units of records; what the paper prints as it prints it."""
    for table in shown:
        for row in table.rows:
            for entry in row.entries:
                if not entry.there:
                    continue
                found, column = entry.interval, entry.column
                ends = [found.low, found.high] if found is not None and found.known else ["", ""]
                yield [
                    table.title, row.value, column.head, column.system,
                    " ".join(f"{axis}={value}" for axis, value in column.at),
                    column.metric, metric(column.metric).unit, "" if found is None else found.value, *ends,
                    0 if found is None else found.n, len(entry.cell.lost), entry.limited_by, entry.printed,
                    column.unit if entry.printed else "", " ".join(trial.id for trial in entry.cell.usable),
                ]  # fmt: skip


def to_markdown(shown: Sequence[Shown]) -> str:
    """For a text or a talk: measured, its interval, and in brackets the paper's."""
    return "\n\n".join(_markdown(table) for table in shown) + "\n"


def _markdown(table: Shown) -> str:
    heads = [table.first, *(f"{column.head}, {column.unit}" for column in table.columns)]
    lines = [f"**{table.title}**" + (" (in brackets: the paper's)" if table.has_paper else ""), ""]
    lines += ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for row in table.rows:
        cells = [row.head, *(_text(entry) for entry in row.entries)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _text(entry: Entry) -> str:
    paper = f" ({entry.printed})" if entry.printed else ""
    if not entry.there:
        return f"–{paper}"
    if entry.interval is None:
        return f"lost{paper}"
    bound = "≥ " if entry.limited_by and metric(entry.column.metric).client_limited == "lower_bound" else ""
    return f"{bound}{entry.interval.value / entry.column.per:.4g}{paper}"
