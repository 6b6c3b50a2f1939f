# SPDX-License-Identifier: Apache-2.0
"""What a panel has of the paper's: levels, places and ratios of its tables; faint and dotted."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes

from stackrig.claims import papers
from stackrig.claims.records import SIZES, show
from stackrig.figures.series import Plot, Series
from stackrig.figures.style import Theme
from stackrig.model.base import Scalar
from stackrig.model.paper import Means, Value, number_of


def x_of(plot: Plot, value: Scalar) -> float:
    if plot.panel.x_scale == "category":
        return float([str(one) for one in plot.x_values].index(str(value)))
    number = float(value)
    # As places on a plain axis, so that a step aside and the room at the ends are as wide everywhere.
    return {"log2": math.log2, "log10": math.log10}.get(plot.panel.x_scale, float)(number)


def reference(axes: Axes, plot: Plot, value: Value, theme: Theme) -> None:
    place = value.at.get(plot.panel.x)
    if value.draw == "place" and isinstance(place, (int, float)):
        _place(axes, plot, float(place), theme)
    elif value.draw == "level" and value.value is not None and value.quantity in _drawn(plot):
        start = place.get("at_least") if isinstance(place, dict) else None
        _level(axes, plot, value.value / plot.y.shown_per, start, theme)


def printed(axes: Axes, plot: Plot, theme: Theme) -> None:
    """The ratios of the paper's own table, one curve for each system that it has."""
    for series in plot.series:
        points = printed_ratios(plot, series)
        xs, ys = [x_of(plot, x) for x, _ in points], [y for _, y in points]
        axes.plot(
            xs,
            ys,
            color=theme.faint,
            linestyle=(0, (1, 2)),
            linewidth=1.2,
            marker="x",
            markersize=4,
            zorder=2,
        )
        if points:
            axes.annotate(
                "paper",
                (xs[0], ys[0]),
                xytext=(4, 4),
                textcoords="offset points",
                fontsize=7,
                color=theme.faint,
            )


def printed_ratios(plot: Plot, series: Series) -> list[tuple[float, float]]:
    """Place on the axis → the ratio that follows from the paper's table, where the plot has a mark at the place."""
    table = papers.table(plot.panel_paper, plot.panel.printed)
    mine, under = (
        next((name for name, held in table.means.items() if _holds(plot, held, system, series.metric)), None)
        for system in (series.system, plot.panel.relative_to)
    )
    if mine is None or under is None:
        return []
    found = []
    for x in plot.x_values:
        above, below = (table.printed(column, float(x)) for column in (mine, under))
        if above is not None and below is not None:
            found.append((float(x), number_of(above) / number_of(below)))
    return found


def _holds(plot: Plot, held: Means, system: str, name: str) -> bool:
    """Is it this system's metric, at the panel's own place on the other axes?"""
    where = all(plot.panel.where.get(axis) == setting for axis, setting in held.at.items())
    return held.system == system and held.quantity == name and where


def _drawn(plot: Plot) -> set[str]:
    return {series.metric for series in plot.series}


def _place(axes: Axes, plot: Plot, x: float, theme: Theme) -> None:
    at = x_of(plot, x)
    left, right = axes.get_xlim()
    if not left <= at <= right:
        return
    late = at > left + 0.7 * (right - left)
    axes.axvline(at, color=theme.faint, linestyle=(0, (1, 2)), linewidth=1.0, zorder=1)
    axes.annotate(
        f"paper: {_with_unit(plot, x)}",
        (at, 1.0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(-2 if late else 2, -1),
        textcoords="offset points",
        fontsize=7,
        color=theme.faint,
        ha="right" if late else "left",
        va="top",
    )


def _level(axes: Axes, plot: Plot, y: float, start: float | None, theme: Theme) -> None:
    left, right = axes.get_xlim()
    begin = left if start is None else x_of(plot, start)
    since = "" if start is None else f" from {_with_unit(plot, start)} on"
    words = f"paper: {y:.3g} {plot.y.shown_unit}{since}"
    top = axes.get_ylim()[1]
    if y > 2.5 * top:
        axes.annotate(
            f"{words} (off scale)",
            (0.98, 0.98),
            xycoords="axes fraction",
            fontsize=7,
            color=theme.faint,
            ha="right",
            va="top",
        )
        return
    axes.set_ylim(0, max(top, 1.12 * y))
    axes.plot([begin, right], [y, y], color=theme.faint, linestyle=(0, (1, 2)), linewidth=1.0, zorder=1)
    ground = {"facecolor": theme.paper, "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
    look: dict[str, Any] = {"fontsize": 7, "color": theme.faint, "bbox": ground, "zorder": 2}
    axes.annotate(words, (begin, y), xytext=(0, 3), textcoords="offset points", **look)


def _with_unit(plot: Plot, value: float) -> str:
    return show(plot.panel.x, int(value)) if plot.panel.x in SIZES else f"{value:g}"
