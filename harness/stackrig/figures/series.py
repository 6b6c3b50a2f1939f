# SPDX-License-Identifier: Apache-2.0
"""What a figure shows, before it is drawn: per panel and system, medians with their intervals."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stackrig.claims.records import Cell, Limit, Point, RunData, counted
from stackrig.model.base import Scalar
from stackrig.model.experiment import Panel
from stackrig.model.metrics import Metric, metric, shown_in
from stackrig.stats.bootstrap import median, median_of_ratios
from stackrig.stats.interval import Interval


@dataclass(frozen=True)
class Mark:
    """One point of a curve, in the units of records. `interval` None: no trial gave a value."""

    x: Scalar
    interval: Interval | None
    cell: Cell
    under: Cell | None = None  # where the value is relative to another system's

    @property
    def limited_by(self) -> Limit:
        """Empty: the server's own figure; else what held it back."""
        return self.cell.limited_by or (self.under.limited_by if self.under else "")


@dataclass(frozen=True)
class Series:
    system: str
    metric: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Plot:
    """One panel with its data. `paper`: the axes' values that the paper's panel has instead."""

    panel: Panel
    title: str
    paper: str
    panel_paper: str  # whose artifact it is
    series: tuple[Series, ...]
    axis: tuple[Scalar, ...]  # the x axis' values that the run has, in their order

    @property
    def y(self) -> Metric:
        """What the first of its metrics is, and how it is shown here."""
        return self.shown(self.series[0].metric if self.series else _metrics(self.panel)[0])

    def shown(self, name: str) -> Metric:
        known = shown_in(name, self.panel.y_unit)
        if not self.panel.relative_to:
            return known
        title = f"{known.title} relative to {self.panel.relative_to}"
        return Metric(title, "ratio", f"times {self.panel.relative_to}", 1.0, "unaffected")

    @property
    def x_values(self) -> list[Scalar]:
        present = {mark.x for one in self.series for mark in one.marks}
        return [value for value in self.axis if value in present]

    @property
    def empty(self) -> bool:
        return not any(mark.interval for one in self.series for mark in one.marks)


def plots(data: RunData) -> list[Plot]:
    """All panels of the run's artifact."""
    return [_plot(data, panel) for panel in data.artifact.panels]


def _metrics(panel: Panel) -> list[str]:
    return [panel.y] if isinstance(panel.y, str) else panel.y


def _plot(data: RunData, panel: Panel) -> Plot:
    where = _where(data, panel)
    points = [point for point in data.points if all(dict(point).get(a) == v for a, v in where.items())]
    series = [
        Series(system, name, marks)
        for system in data.systems
        if system in panel.systems or not panel.systems
        if system != panel.relative_to
        for name in _metrics(panel)
        if (marks := tuple(_marks(data, system, name, panel, points)))
    ]
    return Plot(
        panel=panel,
        title=panel.title.format_map({axis: counted(axis, value) for axis, value in where.items()}),
        paper=", ".join(counted(a, v) for a, v in panel.paper_where.items() if where.get(a) != v),
        panel_paper=data.artifact.paper,
        series=tuple(series),
        axis=tuple(data.values_of(panel.x)),
    )


def _where(data: RunData, panel: Panel) -> dict[str, Scalar]:
    """The panel's points: the paper's own where the run has them and not the local ones."""
    have = {axis: data.values_of(axis) for axis in data.axes}

    def there(where: dict[str, Scalar]) -> bool:
        return all(value in have.get(axis, []) for axis, value in where.items())

    paper_first = data.run.profile == "paper" or not there(panel.where)
    return (
        panel.paper_where if panel.paper_where and paper_first and there(panel.paper_where) else panel.where
    )


def _marks(data: RunData, system: str, name: str, panel: Panel, points: Sequence[Point]) -> Iterator[Mark]:
    for point in points:
        cell = data.cell(system, point)
        under = data.cell(panel.relative_to, point) if panel.relative_to else None
        if cell.trials and (under is None or under.trials):
            yield Mark(dict(point)[panel.x], interval_of(data, name, cell, under), cell, under)


def interval_of(data: RunData, name: str, cell: Cell, under: Cell | None = None) -> Interval | None:
    """A cell's median; or the median of its ratios to `under`, repetition by repetition."""
    seed = seed_of(data, cell.system, name, cell.point)
    if under is None:
        values = cell.values(name)
        return median(values, seed=seed) if values else None
    above, below = data.matrix([(cell, name), (under, name)])
    both = np.isfinite(above) & np.isfinite(below)
    if not both.any():
        return None
    return median_of_ratios(above[both].tolist(), below[both].tolist(), seed=seed)


def seed_of(data: RunData, *what: object) -> int:
    """A seed of the run and of what is drawn: the same picture each time it is drawn."""
    return (data.run.seed << 32 | zlib.crc32(repr(what).encode())) & ((1 << 63) - 1)


COLUMNS = (
    *("metric", "unit", "median", "low", "high", "level", "method"),
    *("trials", "lost", "limited_by", "trial_ids"),
)

# As data ------------------------------------------------------------------------------------------------


def to_csv(data: RunData, drawn: Sequence[Plot]) -> str:
    """The figure's data, one row per mark, in the units of records."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["panel", "system", *data.axes, *COLUMNS])
    for plot in drawn:
        for series in plot.series:
            for mark in series.marks:
                writer.writerow(_row(data, plot, series, mark))
    return text.getvalue()


def _row(data: RunData, plot: Plot, series: Series, mark: Mark) -> list[object]:
    axes = dict(mark.cell.point)
    found = mark.interval
    numbers: list[object] = ["", "", "", "", "", 0]
    if found is not None:
        ends = [found.low, found.high] if found.known else ["", ""]
        numbers = [found.value, *ends, found.level if found.known else "", found.method, found.n]
    return [
        plot.panel.id,
        series.system,
        *(axes.get(axis, "") for axis in data.axes),
        series.metric,
        plot.shown(series.metric).unit if plot.panel.relative_to else metric(series.metric).unit,
        *numbers,
        len(mark.cell.lost),
        mark.limited_by,
        " ".join(trial.id for trial in mark.cell.usable),
    ]
