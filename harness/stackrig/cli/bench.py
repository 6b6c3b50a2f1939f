# SPDX-License-Identifier: Apache-2.0
"""stackrig bench"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from stackrig import registry
from stackrig.cli import output

if TYPE_CHECKING:
    from stackrig.bench.base import Measured
    from stackrig.model.bar import Bar


def command(
    name: str = typer.Argument("", help="A bar; without one, they are listed."),
    trials: int = typer.Option(0, min=0, help="Of each side at each point, instead of the bar's own number."),
    point: list[str] = typer.Option(
        [], help="Only these of the bar's points: SETTING=VALUE[,SETTING=VALUE...], such as file_size=1KiB."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be measured; start nothing."),
    json: bool = typer.Option(
        False, "--json", help="For scripts: name, value, low, high, unit, peer, bar, holds, trials."
    ),
) -> None:
    """Performance bars: list them, or run one interleaved with its peer and say whether it holds."""
    from stackrig.bench import base

    if not name:
        bars = [base.load(known) for known in registry.bars()]
        if json:
            output.as_json([bar.model_dump(mode="json", by_alias=True) for bar in bars])
        else:
            output.table(["bar", "must be", "what"], [(b.name, _must(b), b.title) for b in bars])
        return
    bar = base.load(name)
    if point:
        bar = base.only(bar, point)
    if trials:
        bar = bar.model_copy(update={"trials": trials})
    if dry_run:
        typer.echo(
            f"{bar.name}: {bar.title}; {bar.trials} trials of each side at {max(1, len(bar.points))} point(s), "
            f"must be {_must(bar)}; nothing was started"
        )
        return
    from stackrig.session import Session

    with Session() as session:
        measured = base.measure(bar, session, lambda text: typer.echo(text, err=True))
    told = base.as_json(bar, measured)
    if json:
        output.as_json(told)
    else:
        _print(bar, measured, bool(told["holds"]))
    if not told["holds"]:
        raise typer.Exit(1)


def _must(bar: Bar) -> str:
    sign = ">=" if bar.better == "higher" else "<="
    unit = "" if bar.unit == "ratio" else f" {bar.unit}"
    return f"{sign} {bar.bar:g}{unit}" if bar.bar < 1e5 else f"{sign} {bar.bar:,.0f}{unit}"


def _print(bar: Bar, measured: Measured, holds: bool) -> None:
    from math import isnan
    from statistics import median

    from stackrig.bench import base

    typer.echo(f"{bar.name}: {bar.title}")
    for outcome in measured.outcomes:
        typer.echo(f"  {outcome.point or 'all'}")
        who = (measured.candidate_name or bar.candidate) if measured.peer_name else ""
        typer.echo(f"    {who or 'measured'}: {output.quantity(median(outcome.candidate), outcome.unit)}")
        if outcome.peer:
            typer.echo(f"    {measured.peer_name}: {output.quantity(median(outcome.peer), outcome.unit)}")
        shown = f"{outcome.value:.3g}" if bar.unit == "ratio" else f"{outcome.value:,.6g} {bar.unit}"
        kind = ("ratio " if bar.unit == "ratio" else "") + (f"{outcome.bound} " if outcome.bound else "")
        single = isnan(outcome.low)
        span = "no interval of one trial" if single else f"95 %: {outcome.low:.4g} to {outcome.high:.4g}"
        typer.echo(f"    {kind}{shown} ({span}), {len(outcome.candidate)} trials; bar {_must(bar)}")
        if base.straddles(bar, outcome):
            typer.echo(
                "    note: the interval holds the bar; the median decides, other trials could decide otherwise"
            )
        for note in outcome.notes:
            typer.echo(f"    note: {note}")
    for failure in measured.failures:
        typer.echo(f"  failed: {failure}")
    typer.echo(f"  {'HOLDS' if holds else 'DOES NOT HOLD'}")
