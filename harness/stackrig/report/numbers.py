# SPDX-License-Identifier: Apache-2.0
"""Tables of numbers as a page shows them: each with its interval, and a way to its trials."""

from __future__ import annotations

from typing import Any

from stackrig.claims.records import Point, show
from stackrig.figures.series import Plot, Series
from stackrig.figures.tables import Entry, Shown
from stackrig.model.metrics import metric
from stackrig.report import words
from stackrig.report.words import short

SIGNS = {"": "", "client": "○", "load": "◐"}
"""Beside a number that is a lower bound, and why."""


def anchor(system: str, point: Point) -> str:
    """The place on the page where a cell's trials are."""
    return words.slug("-".join(["trials", system, *(f"{axis}-{setting}" for axis, setting in point)]))


def of_plot(plot: Plot) -> dict[str, Any]:
    rows = []
    for x in plot.x_values:
        cells = [_entry(plot, series, x) for series in plot.series]
        rows.append({"x": show(plot.panel.x, x), "cells": cells})
    return {
        "id": plot.panel.id,
        "title": plot.title,
        "unit": plot.y.shown_unit or plot.y.unit,
        "paper": plot.paper,
        "x": plot.panel.x_label or plot.panel.x.replace("_", " ").capitalize(),
        "heads": [series.system for series in plot.series],
        "rows": rows,
    }


def of_table(table: Shown) -> dict[str, Any]:
    """A table of the artifact's own, each number beside the paper's."""
    rows = [{"x": row.head, "cells": [_number(entry) for entry in row.entries]} for row in table.rows]
    heads = [{"name": column.head, "unit": column.unit} for column in table.columns]
    return {
        "title": table.title,
        "first": table.first,
        "heads": heads,
        "rows": rows,
        "paper": table.has_paper,
    }


def _number(entry: Entry) -> dict[str, Any]:
    found, per = entry.interval, entry.column.per
    told = {"anchor": anchor(entry.cell.system, entry.cell.point), "paper": entry.printed, "interval": ""}
    if not entry.there:
        return told | {"anchor": "", "value": "–", "sign": ""}
    if found is None:
        return told | {"value": "✕", "interval": "lost", "sign": ""}
    if found.known:
        told["interval"] = f"{short(found.low / per)} – {short(found.high / per)}"
    bound = metric(entry.column.metric).client_limited == "lower_bound"
    sign = SIGNS[entry.limited_by] if bound else ""
    return told | {"value": short(found.value / per), "sign": sign}


def _entry(plot: Plot, series: Series, x: object) -> dict[str, Any] | None:
    mark = next((mark for mark in series.marks if mark.x == x), None)
    if mark is None:
        return None
    link = anchor(series.system, mark.cell.point)
    if mark.interval is None:
        return {"anchor": link, "value": "✕", "interval": "lost", "sign": ""}
    per = plot.shown(series.metric).shown_per
    found = mark.interval
    ends = f"{short(found.low / per)} – {short(found.high / per)}" if found.known else ""
    return {
        "anchor": link,
        "value": short(found.value / per),
        "interval": ends,
        "sign": SIGNS[mark.limited_by],
    }
