# SPDX-License-Identifier: Apache-2.0
"""What verbs print: a table for people, JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import typer


def as_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=1, ensure_ascii=False, default=str, allow_nan=False))


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Plain columns: readable in a terminal, a log and a pipe."""
    lines = [list(headings), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)]
        typer.echo("  ".join([*cells, line[-1]]).rstrip())


def seconds(value: float) -> str:
    """94.2 → `1 min 34 s`."""
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{n} {unit}" for n, unit in parts if n) or "0 s"


def quantity(value: float, unit: str) -> str:
    """1234567.0, "bit/s" → `1.235 Mbit/s`."""
    if unit in ("bit/s", "B/s", "1/s"):
        for limit, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if abs(value) >= limit:
                return (
                    f"{value / limit:.4g} {prefix}{unit}"
                    if unit != "1/s"
                    else f"{value / limit:.4g}{prefix}/s"
                )
    if unit == "s":
        for limit, shown in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
            if abs(value) >= limit:
                return f"{value / limit:.4g} {shown}"
    return f"{value:.4g} {unit}".strip()
