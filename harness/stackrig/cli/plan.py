# SPDX-License-Identifier: Apache-2.0
"""stackrig plan"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from stackrig import registry
from stackrig.cli import output

if TYPE_CHECKING:
    from stackrig.plan import Planned


def command(
    artifact: str = typer.Argument(..., help="Such as figure-3.6; `stackrig list artifacts` has all."),
    profile: str = typer.Option("local", help="smoke, local or paper."),
    seed: int = typer.Option(1, help="Of the order and of all that is random."),
    point: list[str] = typer.Option(
        [], help="Only these: AXIS=VALUE[,AXIS=VALUE...], such as file_size=4KiB,nics=1."
    ),
    repetitions: int = typer.Option(0, min=0, help="Instead of the profile's."),
    order: bool = typer.Option(False, "--order", help="Every trial in its order, not the grid only."),
    power: str = typer.Option(
        "",
        help="How many repetitions show a difference of so much, such as 5%, going by the trials there are.",
    ),
    json: bool = typer.Option(False, "--json", help="For scripts."),
) -> None:
    """The grid, the hosts and how long it will take; changes nothing."""
    from stackrig import plan as plans
    from stackrig.testbed.local import load_inventory

    known = registry.load_artifact(artifact)
    whole = plans.make(known, profile, seed, point, repetitions or None)
    if power:
        _power(artifact, power, json)
        return
    inventory, _ = load_inventory()
    if json:
        output.as_json(
            {
                "artifact": whole.artifact,
                "profile": profile,
                "seed": seed,
                "repetitions": whole.repetitions,
                "seconds": whole.seconds,
                "trials": [planned.as_dict() for planned in whole.trials],
            }
        )
        return
    typer.echo(f"{whole.artifact}, profile {profile}, seed {seed}: {len(whole.trials)} trials")
    typer.echo(f"about {output.seconds(whole.seconds)} on this machine")
    for role, (name, host) in (("server", inventory.server), ("client", inventory.client)):
        typer.echo(f"{role}: host {name}, by {host.reach}, cores {host.cores}")
    if order:
        _order(whole.trials)
        return
    counted: dict[tuple[str, ...], int] = {}
    axes = known.experiment.grid if known.experiment else {}
    names = sorted({n for t in whole.trials for n in t.point.settings if n in plans.AXES or n in axes})
    for planned in sorted(whole.trials, key=lambda t: str([t.point.settings.get(n) for n in names])):
        settings = planned.point.settings
        row = (planned.point.label, *(plans.shown(n, settings[n]) if n in settings else "" for n in names))
        counted[row] = counted.get(row, 0) + 1
    output.table(["system", *names, "trials"], [(*row, count) for row, count in counted.items()])


def _power(artifact: str, wanted: str, json: bool) -> None:
    """By how far the trials of one point have lain apart, metric by metric of the panels."""
    from stackrig.claims.records import read_run
    from stackrig.errors import UserError
    from stackrig.paths import results
    from stackrig.report import site
    from stackrig.stats import repetitions

    try:
        effect = float(wanted.removesuffix("%")) / (100 if wanted.endswith("%") else 1)
        repetitions.for_effect(effect, 0.0)
    except ValueError:
        raise UserError(f"--power {wanted}: expected a difference such as 5% or 0.05") from None
    folder = site.latest(results(), artifact)
    if folder is None:
        raise UserError(
            f"no run of {artifact} yet, so how far its trials lie apart is unknown; run it once: "
            f"stackrig run {artifact} --profile smoke --repetitions 3"
        )
    data = read_run(folder, registry.load_artifact(artifact))
    cells = [data.cell(system, point) for system in data.systems for point in data.points]
    spreads = {
        metric: repetitions.spread([cell.values(metric) for cell in cells])
        for metric in data.artifact.metrics
    }
    found = {metric: spread for metric, spread in spreads.items() if spread is not None}
    if not found:
        raise UserError(f"run {folder.name} has no point with two trials; how far they lie apart is unknown")
    rows = [
        (metric, f"{spread:.1%}", repetitions.for_effect(effect, spread)) for metric, spread in found.items()
    ]
    if json:
        named = {metric: {"spread": found[metric], "repetitions": needed} for metric, _, needed in rows}
        output.as_json({"artifact": artifact, "effect": effect, "run": folder.name, "metrics": named})
        return
    typer.echo(
        f"repetitions that show a difference of {effect:.3g} with probability 0.8, by run {folder.name}:"
    )
    output.table(["metric", "trials deviate by", "repetitions"], rows)


def _order(trials: list[Planned]) -> None:
    rows = [(t.order, t.repetition, t.slug, t.seed) for t in trials]
    output.table(["order", "repetition", "trial", "seed"], rows)
