# SPDX-License-Identifier: Apache-2.0
"""Draws an artifact's panels as a paper would print them: SVG and PNG, and an SVG for a dark page.

Bars are bootstrap intervals. A hollow mark is a point that a saturated client made, a
half-filled one a point at which neither side was saturated; a cross at the foot is a
point whose trials were all lost. What is light and dotted is the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from stackrig.claims.records import SIZES
from stackrig.figures.reference import printed, reference, x_of
from stackrig.figures.series import Mark, Plot, Series
from stackrig.figures.style import DARK, LIGHT, Theme, style_of
from stackrig.model.base import Scalar, format_size
from stackrig.model.metrics import Metric
from stackrig.model.paper import Value
from stackrig.stats.interval import Interval

WIDTH = 7.0
"""Inches: two columns of a conference page, so that type keeps its size in print."""


def save(plots: Sequence[Plot], published: Sequence[Value], folder: Path, stem: str = "figure") -> list[Path]:
    """stem.svg, stem.png and stem-dark.svg. The same data gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for theme, suffixes in ((LIGHT, ("svg", "png")), (DARK, ("svg",))):
        with plt.rc_context(_settings(theme)):
            figure = draw(plots, published, theme)
            for suffix in suffixes:
                path = folder / f"{stem}{'-dark' if theme.dark else ''}.{suffix}"
                # No date and no version in the file: a figure that did not change does not differ.
                blank: dict[str, Any] = {"Date": None, "Creator": "stackrig"} if suffix == "svg" else {}
                figure.savefig(path, dpi=220, metadata=blank or {"Software": "stackrig"})
                written.append(path)
            plt.close(figure)
    return written


def draw(plots: Sequence[Plot], published: Sequence[Value], theme: Theme) -> Figure:
    """The panels in two columns, one legend above them all."""
    columns = min(2, len(plots))
    rows = math.ceil(len(plots) / columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(WIDTH if columns == 2 else WIDTH / 2, 1.9 * rows + 0.75), squeeze=False
    )
    for place, plot in enumerate(plots):
        axes = grid[place // columns][place % columns]
        _panel(axes, plot, [value for value in published if value.panel == plot.panel.id], theme)
    for axes in grid.flat[len(plots) :]:
        axes.set_visible(False)
    for row in range(rows - 1):
        if len({plot.panel.x for plot in plots}) == 1:
            for axes in grid[row]:
                axes.set_xlabel("")
    _same_height(list(zip(grid.flat, plots, strict=False)))
    inches = _legend(figure, plots, theme)
    height = float(figure.get_size_inches()[1])
    figure.tight_layout(rect=(0, 0, 1, 1 - inches / height), h_pad=1.1, w_pad=1.6)
    return figure


def _settings(theme: Theme) -> Any:
    return {
        "font.family": "DejaVu Sans",
        "font.size": 8.5,
        "axes.titlesize": 9,
        "axes.labelsize": 8.5,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.fontsize": 8.5,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "axes.edgecolor": theme.faint,
        "axes.labelcolor": theme.ink,
        "text.color": theme.ink,
        "xtick.color": theme.ink,
        "ytick.color": theme.ink,
        "figure.facecolor": theme.paper,
        "axes.facecolor": theme.paper,
        "savefig.facecolor": theme.paper,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": theme.grid,
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "svg.hashsalt": "stackrig",
        "svg.fonttype": "path",
    }


# One panel ------------------------------------------------------------------------------------------------


def _panel(axes: Axes, plot: Plot, published: Sequence[Value], theme: Theme) -> None:
    axes.set_title(f"({plot.panel.id}) {plot.title}", loc="left", fontweight="bold", pad=5)
    if plot.paper:
        axes.set_title(f"paper: {plot.paper}", loc="right", color=theme.faint, fontsize=7.5, pad=5)
    axes.set_ylabel(plot.panel.y_label or _y_label(plot.y))
    if plot.empty and not any(series.marks for series in plot.series):
        axes.text(0.5, 0.5, "not in this run", transform=axes.transAxes, ha="center", color=theme.faint)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    _x_axis(axes, plot)
    for place, series in enumerate(plot.series):
        _curve(axes, plot, series, place, theme)
    if plot.panel.printed:
        printed(axes, plot, theme)
    if plot.panel.relative_to:
        axes.axhline(1.0, color=theme.faint, linewidth=0.8, zorder=1)
    if plot.panel.y_scale == "log10":
        _log_y_axis(axes, plot)
    else:
        _y_axis(axes, plot.y.shown_unit == "%")
    for value in published:
        reference(axes, plot, value, theme)


def _y_label(shown: Metric) -> str:
    if shown.shown_unit == "%":
        return "% of the server's cores" if shown.title.startswith("Server") else "%"
    return shown.shown_unit or shown.title


def _x_axis(axes: Axes, plot: Plot) -> None:
    values = plot.x_values
    places = [x_of(plot, value) for value in values]
    axes.xaxis.set_major_locator(FixedLocator(places))
    axes.xaxis.set_minor_locator(NullLocator())
    labels = axes.set_xticklabels(_spaced([_tick(plot, value) for value in values], places))
    if _of_words(plot):
        plt.setp(labels, rotation=35, ha="right", rotation_mode="anchor")
    name = plot.panel.x_label or plot.panel.x.replace("_", " ").capitalize()
    axes.set_xlabel(f"{name} (KiB)" if _in_kib(plot) else f"{name} (bytes)" if _in_letters(plot) else name)
    room = 0.06 * ((places[-1] - places[0]) or 4.0)
    axes.set_xlim(places[0] - room, places[-1] + room)


def _of_words(plot: Plot) -> bool:
    """Is the x axis one of names? They are long, and no line leads from one to the next."""
    return any(isinstance(value, str) for value in plot.x_values)


def _spaced(labels: Sequence[str], places: Sequence[float]) -> list[str]:
    """Labels of ticks, but for those that would run into the one before; the last is always told."""
    room = 0.06 * (places[-1] - places[0])
    shown, last = [], -math.inf
    for label, place in zip(labels, places, strict=True):
        is_last = place == places[-1]
        near = place - last < room or (places[-1] - place < room and not is_last)
        shown.append("" if near else label)
        last = last if near else place
    return shown


def _in_kib(plot: Plot) -> bool:
    """Sizes that are all whole KiB are shown as such numbers, as papers do."""
    return plot.panel.x in SIZES and all(float(value) % 1024 == 0 for value in plot.x_values)


MANY = 6
"""Sizes on one axis: with more, their units would run into each other."""


def _in_letters(plot: Plot) -> bool:
    """Many sizes, of which some are less than a KiB: 32, 64, ... 1K, 2K."""
    return plot.panel.x in SIZES and len(plot.x_values) > MANY and not _in_kib(plot)


def _tick(plot: Plot, value: Scalar) -> str:
    if _in_letters(plot):
        return format_size(int(value)).removesuffix("iB").removesuffix("B")
    if plot.panel.x in SIZES and not isinstance(value, str):
        return f"{value / 1024:g}" if _in_kib(plot) else format_size(int(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _curve(axes: Axes, plot: Plot, series: Series, place: int, theme: Theme) -> None:
    style = style_of(series.system)
    color = style.dark if theme.dark else style.color
    per = plot.shown(series.metric).shown_per
    aside = _aside(axes, place, len(plot.series))
    for run in _unbroken(series.marks):
        xs = [x_of(plot, mark.x) + aside for mark, _ in run]
        ys = [interval.value / per for _, interval in run]
        if not _of_words(plot):
            axes.plot(xs, ys, color=color, linestyle=style.line, linewidth=1.3, zorder=3)
        for x, (mark, interval) in zip(xs, run, strict=True):
            bars: Any = None
            if interval.known:
                bars = [[(interval.value - interval.low) / per], [(interval.high - interval.value) / per]]
            axes.errorbar(
                [x],
                [interval.value / per],
                yerr=bars,
                color=color,
                marker=style.mark,
                markersize=4.6,
                markerfacecolor=theme.paper if mark.limited_by == "client" else color,
                fillstyle="bottom" if mark.limited_by == "load" else "full",
                markerfacecoloralt=theme.paper,
                markeredgecolor=color,
                markeredgewidth=1.1,
                elinewidth=0.9,
                capsize=2.0,
                capthick=0.9,
                zorder=4 + place / 100,
            )
    # Crosses all stand at one height: they step further aside than marks.
    lost = [x_of(plot, mark.x) + 2.5 * aside for mark in series.marks if mark.interval is None]
    # At the foot of the plot, wherever that is.
    foot = [0.04] * len(lost)
    across: Any = axes.get_xaxis_transform()
    axes.plot(lost, foot, color=color, linestyle="none", marker="x", markersize=5, transform=across)


def _aside(axes: Axes, place: int, count: int) -> float:
    """A curve's small step to the side, so that bars at one x do not hide each other."""
    left, right = axes.get_xlim()
    return 0.011 * (right - left) * (place - (count - 1) / 2)


def _unbroken(marks: Sequence[Mark]) -> list[list[tuple[Mark, Interval]]]:
    """The curve in pieces: no line leads across a point whose trials were all lost."""
    pieces: list[list[tuple[Mark, Interval]]] = [[]]
    for mark in marks:
        if mark.interval is not None:
            pieces[-1].append((mark, mark.interval))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _y_axis(axes: Axes, percent: bool) -> None:
    highest = float(axes.dataLim.ymax)
    top = 1.07 * highest if math.isfinite(highest) and highest > 0 else 1.0
    axes.set_ylim(0, max(107.0, top) if percent else top)


def _log_y_axis(axes: Axes, plot: Plot) -> None:
    """Whole decades around what was measured, in plain numbers."""
    per = plot.y.shown_per
    ends = [
        end / per
        for one in plot.series
        for mark in one.marks
        if mark.interval is not None
        for end in ((mark.interval.low, mark.interval.high) if mark.interval.known else [mark.interval.value])
        if math.isfinite(end) and end > 0
    ]
    if not ends:  # a logarithm of nothing
        axes.set_yticks([])
        return
    axes.set_yscale("log")
    least, most = math.floor(math.log10(min(ends))), math.ceil(math.log10(max(ends)))
    axes.set_ylim(10.0**least, 10.0 ** max(most, least + 1))
    if most - least <= 2:  # a decade alone has two ticks, too few to read a value by
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.10g}"))


ALIKE = 2.5
"""Panels of one metric get one scale unless their ranges are further apart than this."""


def _same_height(panels: Sequence[tuple[Axes, Plot]]) -> None:
    """Panels of one metric are read against each other: one scale for all, where it hides none of them."""
    for name in {plot.y.title for _, plot in panels}:
        group = [
            axes
            for axes, plot in panels
            if plot.y.title == name and not plot.empty and plot.panel.y_scale == "linear"
        ]
        tops = [axes.get_ylim()[1] for axes in group]
        if group and max(tops) <= ALIKE * min(tops):
            for axes in group:
                axes.set_ylim(0, max(tops))


# The legend -----------------------------------------------------------------------------------------------


def _legend(figure: Figure, plots: Sequence[Plot], theme: Theme) -> float:
    """One for all panels, what the marks mean below it; returns the inches that it takes."""
    systems = list(dict.fromkeys(series.system for plot in plots for series in plot.series))
    marks = [mark for plot in plots for series in plot.series for mark in series.marks]
    keys = []
    if any(mark.interval and mark.interval.known for mark in marks):
        keys.append(_key("|", theme, "95 % interval of the median"))
    limits = {mark.limited_by for mark in marks if mark.interval}
    if "client" in limits:
        keys.append(_key("o", theme, "hollow: client saturated", fill="none"))
    if "load" in limits:
        keys.append(_key("o", theme, "half: neither side saturated", fill="bottom"))
    if any(mark.interval is None for mark in marks):
        keys.append(_key("x", theme, "all trials lost"))
    width, height = map(float, figure.get_size_inches())
    rows = _rows(systems, width)
    lines = [[_system(one, theme) for one in row] for row in rows]
    for row, entries in enumerate([*lines, keys] if keys else lines):
        of_systems = row < len(rows)
        legend = figure.legend(
            handles=entries,
            loc="upper center",
            bbox_to_anchor=(0.5, 1 - 0.19 * row / height),
            ncols=len(entries),
            frameon=False,
            handlelength=2.6 if of_systems else 1.0,
            fontsize=8.5 if of_systems else 7.5,
            labelcolor=theme.ink if of_systems else theme.faint,
            columnspacing=1.8,
        )
        figure.add_artist(legend)
    return 0.03 + 0.19 * len(rows) + 0.17 * bool(keys)


def _rows(names: Sequence[str], width: float) -> list[list[str]]:
    """The legend's systems in rows that fit into `width` inches; a letter of 8.5 points is some 0.076 wide."""
    rows: list[list[str]] = []
    room = 0.0
    for name in names:
        needed = 0.65 + 0.076 * len(name)
        if needed > room:
            rows.append([])
            room = width
        rows[-1].append(name)
        room -= needed
    return rows


def _system(name: str, theme: Theme) -> Line2D:
    style = style_of(name)
    color = style.dark if theme.dark else style.color
    line: Any = style.line
    return Line2D(
        [], [], color=color, linestyle=line, marker=style.mark, label=name, markersize=4.6, linewidth=1.3
    )


def _key(mark: str, theme: Theme, label: str, fill: Literal["full", "bottom", "none"] = "full") -> Line2D:
    return Line2D(
        [],
        [],
        color=theme.faint,
        linestyle="none",
        marker=mark,
        fillstyle=fill,
        markerfacecoloralt=theme.paper,
        markeredgecolor=theme.faint,
        markersize=4.6,
        label=label,
    )
