# SPDX-License-Identifier: Apache-2.0
"""stackrig run"""

from __future__ import annotations

import typer

from stackrig import registry
from stackrig.cli import output


def command(
    artifact: str = typer.Argument(..., help="Such as figure-3.6; `stackrig list artifacts` has all."),
    profile: str = typer.Option("local", help="smoke, local or paper."),
    seed: int = typer.Option(1, help="Of the order and of all that is random; recorded."),
    point: list[str] = typer.Option(
        [], help="Only these: AXIS=VALUE[,AXIS=VALUE...], such as file_size=4KiB,nics=1."
    ),
    repetitions: int = typer.Option(0, min=0, help="Instead of the profile's."),
    dry_run: bool = typer.Option(
        False, "--dry-run", help="Say what would be run, check that it could; start nothing."
    ),
    json: bool = typer.Option(False, "--json", help="For scripts: the run's record at the end."),
) -> None:
    """Run an artifact's experiment; every trial is recorded under results/."""
    from stackrig import plan as plans
    from stackrig import runner

    whole = plans.make(registry.load_artifact(artifact), profile, seed, point, repetitions or None)
    runner.check(whole)
    if dry_run:
        typer.echo(f"{len(whole.trials)} trials, about {output.seconds(whole.seconds)}; nothing was started")
        return
    go(whole, json)


def go(whole: object, json: bool) -> object:
    """Runs a plan from its beginning and tells how it went. Returns the run's folder."""
    from stackrig import runner
    from stackrig.plan import Plan
    from stackrig.session import Session

    assert isinstance(whole, Plan)
    with Session(seed=whole.seed) as session:
        folder = runner.begin(whole, session)
        finish(whole, folder, session, json)
    return folder


def finish(whole: object, folder: object, session: object, json: bool) -> None:
    """The trials that are left, with progress."""
    from stackrig import runner
    from stackrig.display import Display
    from stackrig.paths import shown
    from stackrig.plan import Plan
    from stackrig.records import RunFolder
    from stackrig.session import Session

    assert isinstance(whole, Plan) and isinstance(folder, RunFolder) and isinstance(session, Session)
    for removed in session.testbed.removed_before:
        typer.echo(f"removed what an earlier run left behind: {removed}", err=True)
    try:
        with Display(whole, len(folder.done())) as display:
            run = runner.go(whole, folder, session, display.done)
    except KeyboardInterrupt:
        typer.echo(f"stopped; go on with: stackrig resume {folder.path.name}", err=True)
        raise
    if json:
        output.as_json(run.model_dump(mode="json", by_alias=True))
    counts = ", ".join(f"{count} {status}" for status, count in sorted(run.counts.items()))
    typer.echo(f"{shown(folder.path)}: {counts}", err=json)
    if run.counts.get("ok", 0) == 0:
        raise typer.Exit(1)
