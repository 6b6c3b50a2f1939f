# SPDX-License-Identifier: Apache-2.0
"""A claim's quantity at the points it is about: estimate, bootstrap draws, and which way it is a bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stackrig import _core
from stackrig.claims.records import Cell, Point, RunData, show_point, value
from stackrig.claims.verdict import Source
from stackrig.model.base import Scalar
from stackrig.model.expression import Expression, Term
from stackrig.model.metrics import metric
from stackrig.model.paper import Selector, Span
from stackrig.stats import student
from stackrig.stats.bootstrap import DRAWS
from stackrig.stats.interval import FEW, LEVEL, Interval, from_draws, widened

Array = NDArray[np.float64]
Bound = Literal["exact", "lower", "upper", "unknown"]
"""lower: the true quantity may be larger, for the client or the load held a value in it back."""


@dataclass(frozen=True)
class Missing:
    """Why there is no number at a point. `lacking`: the testbed cannot give it (otherwise: not run)."""

    label: str
    why: str
    lacking: bool


@dataclass(frozen=True)
class Quantity:
    """The claim's quantity at one point."""

    label: str
    value: float
    draws: Array  # of the bootstrap
    by_repetition: Array  # the same, from each repetition alone
    bound: Bound
    sources: tuple[Source, ...]
    at: Point = ()

    @property
    def n(self) -> int:
        return int(np.isfinite(self.by_repetition).sum())

    def interval(self, level: float = LEVEL) -> Interval:
        """Its interval; infinite where it is a bound only."""
        found = from_draws(self.value, self.draws, self.n, level)
        each = self.by_repetition[np.isfinite(self.by_repetition)]
        if 2 <= each.size < FEW:
            if each.min() > 0:
                logs = student.mean_interval([math.log(one) for one in each], level)
                low, high = (math.exp(min(end, 700.0)) for end in logs)
            else:
                low, high = student.mean_interval(each.tolist(), level)
            found = widened(found, low, high)
        return found.open_ended(up=self.bound == "lower", down=self.bound == "upper")


# Which points -------------------------------------------------------------------------------------------


def select(data: RunData, over: dict[str, Selector]) -> list[Point]:
    """The run's points that a rule is about."""
    return [point for point in data.points if all(_holds(data, point, *one) for one in over.items())]


def _holds(data: RunData, point: Point, axis: str, wanted: Selector) -> bool:
    settings = dict(point)
    if axis not in settings:
        return False
    here = settings[axis]
    if isinstance(wanted, Span):
        return isinstance(here, (int, float)) and wanted.holds(float(here))
    if isinstance(wanted, list):
        return here in wanted
    return here == place(data, axis, wanted)


def place(data: RunData, axis: str, wanted: Scalar) -> Scalar:
    """`largest` and `smallest` as the run's own value; any other value as it is."""
    values = data.values_of(axis)
    if wanted == "largest" and values:
        return values[-1]
    if wanted == "smallest" and values:
        return values[0]
    return wanted


# What it is there ---------------------------------------------------------------------------------------


def measure(
    data: RunData, expression: Expression, points: Sequence[Point], seed: int
) -> tuple[list[Quantity], list[Missing]]:
    """The quantity at each point, from one bootstrap over all of them (trials of a repetition together)."""
    present: list[tuple[Point, list[Cell]]] = []
    missing: list[Missing] = []
    for point in points:
        cells = [_cell(data, term, point) for term in expression.terms]
        gaps = [gap for term, cell in zip(expression.terms, cells, strict=True) if (gap := _gap(term, cell))]
        missing += gaps[:1]
        if not gaps:
            present.append((point, cells))
    wanted = [
        (cell, term.metric)
        for _, cells in present
        for term, cell in zip(expression.terms, cells, strict=True)
    ]
    if not wanted:
        return [], missing
    rows = data.matrix(wanted)
    medians = np.nanmedian(rows, axis=1)
    draws = _core.bootstrap_medians(rows, paired=True, seed=seed, draws=DRAWS)
    width = len(expression.terms)
    found = []
    for i, (point, cells) in enumerate(present):
        mine = slice(i * width, (i + 1) * width)
        quantity = Quantity(
            label=show_point(point),
            value=float(expression.evaluate(list(medians[mine]))),
            draws=expression.evaluate(list(draws[mine])),
            by_repetition=expression.evaluate(list(rows[mine])),
            bound=_bound(expression, cells, medians[mine]),
            sources=tuple(_source(term, cell) for term, cell in zip(expression.terms, cells, strict=True)),
            at=point,
        )
        found.append(quantity)
    return found, missing


def _cell(data: RunData, term: Term, point: Point) -> Cell:
    pins = {axis: place(data, axis, wanted) for axis, wanted in term.pins}
    return data.cell(term.system, tuple((axis, pins.get(axis, here)) for axis, here in point))


def _gap(term: Term, cell: Cell) -> Missing | None:
    label = f"{term.system} at {show_point(cell.point)}" if cell.point else term.system
    if not cell.trials:
        return Missing(label, f"{label}: no trial", lacking=False)
    if not cell.usable:
        why = next((trial.reason for trial in cell.lost if trial.reason), "no reason recorded")
        return Missing(label, f"{label}: {_all_lost(len(cell.lost))} ({why})", lacking=False)
    if not cell.values(term.metric):
        why = cell.why_not(term.metric)
        return Missing(label, f"{term.metric} unavailable{': ' + why if why else ''}", lacking=True)
    return None


def _all_lost(count: int) -> str:
    return "its only trial was lost" if count == 1 else f"all {count} trials were lost"


def _source(term: Term, cell: Cell) -> Source:
    have = [(trial.id, found) for trial in cell.usable if (found := value(trial, term.metric)) is not None]
    return Source(
        system=term.system,
        metric=term.metric,
        point=cell.point,
        values=tuple(found for _, found in have),
        trials=tuple(trial for trial, _ in have),
        limited_by=cell.limited_by,
    )


def _bound(expression: Expression, cells: Sequence[Cell], medians: Array) -> Bound:
    """Which way the quantity is a bound, when some of its values are lower bounds of the server's own."""
    bounds: set[Bound] = set()
    here = float(expression.evaluate(list(medians)))
    for i, (term, cell) in enumerate(zip(expression.terms, cells, strict=True)):
        limit = metric(term.metric).client_limited
        if not cell.limited_by or limit == "unaffected":
            continue
        if limit == "meaningless":
            if cell.limited_by == "client":
                return "unknown"
            continue
        more = medians.copy()
        more[i] *= 1.01
        change = float(expression.evaluate(list(more))) - here
        bounds.add("lower" if change > 0 else "upper")
    if not bounds:
        return "exact"
    return bounds.pop() if len(bounds) == 1 else "unknown"


def geometric_mean(quantities: Sequence[Quantity]) -> Quantity:
    """One quantity for all points: their geometric mean, draw by draw."""
    if len(quantities) == 1:
        return quantities[0]

    def mean(parts: list[Array]) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.exp(np.mean([np.log(part) for part in parts], axis=0)))

    bounds = {quantity.bound for quantity in quantities} - {"exact"}
    return Quantity(
        label=f"geometric mean over {len(quantities)} points",
        value=float(mean([np.float64(quantity.value) for quantity in quantities])),  # type: ignore[misc]
        draws=mean([quantity.draws for quantity in quantities]),
        by_repetition=mean([quantity.by_repetition for quantity in quantities]),
        bound="exact" if not bounds else bounds.pop() if len(bounds) == 1 else "unknown",
        sources=reduce(lambda all_, quantity: all_ + quantity.sources, quantities, ()),
    )


def ratio(upper: Quantity, lower: Quantity, label: str) -> Quantity:
    """One quantity over another of the same bootstrap."""
    flipped: dict[Bound, Bound] = {"lower": "upper", "upper": "lower"}
    bounds = {upper.bound, flipped.get(lower.bound, lower.bound)} - {"exact"}
    with np.errstate(divide="ignore", invalid="ignore"):
        return Quantity(
            label=label,
            value=float(np.float64(upper.value) / np.float64(lower.value)),
            draws=upper.draws / lower.draws,
            by_repetition=upper.by_repetition / lower.by_repetition,
            bound="exact" if not bounds else bounds.pop() if len(bounds) == 1 else "unknown",
            sources=(*upper.sources, *lower.sources),
        )
