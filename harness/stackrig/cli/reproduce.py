# SPDX-License-Identifier: Apache-2.0
"""stackrig reproduce"""

from __future__ import annotations

import typer

from stackrig import registry
from stackrig.cli import output


def command(
    artifact: str = typer.Argument(..., help="Such as figure-3.6; `stackrig list artifacts` has all."),
    profile: str = typer.Option("local", help="smoke, local or paper."),
    seed: int = typer.Option(1, help="Of the order and of all that is random; recorded."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be done; start nothing."),
) -> None:
    """Give a table or figure back: run its experiment, draw it, judge the paper's claims about it."""
    from stackrig import analysis_api, runner
    from stackrig import plan as plans
    from stackrig.claims import papers
    from stackrig.cli import run as run_verb
    from stackrig.paths import shown
    from stackrig.records import RunFolder

    known = registry.load_artifact(artifact)
    papers.check(known)
    if known.kind == "machines":
        said = f"{artifact} is looked up on this machine; nothing was started"
        typer.echo(said if dry_run else f"page: {shown(analysis_api.machines(artifact))}")
        return
    if known.experiment is None:
        if dry_run:
            typer.echo(
                f"{artifact} is an interface table: it is checked against the sources; nothing was started"
            )
            return
        page = analysis_api.interface(artifact)
        typer.echo(f"page: {shown(page)}")
        return
    whole = plans.make(known, profile, seed)
    if dry_run:
        typer.echo(f"{len(whole.trials)} trials, about {output.seconds(whole.seconds)}; nothing was started")
        return
    runner.check(whole)
    folder = run_verb.go(whole, False)
    assert isinstance(folder, RunFolder)
    page = analysis_api.render(folder.path)
    typer.echo(f"page: {shown(page)}")
