# SPDX-License-Identifier: Apache-2.0
"""stackrig resume"""

from __future__ import annotations

import typer

from stackrig.cli import run as run_verb


def command(
    run: str = typer.Argument(..., help="The run's id or folder, as `stackrig run` told it."),
    json: bool = typer.Option(False, "--json", help="For scripts: the run's record at the end."),
) -> None:
    """Go on with a run that was stopped: the trials that are not recorded yet, in the same order."""
    from stackrig import records, runner
    from stackrig.session import Session

    folder = records.find_run(run)
    whole = runner.again(folder)
    runner.check(whole)
    for name in runner.changed_programs(folder):
        typer.echo(
            f"warning: {name} is another program than in the trials before: they should not be compared "
            f"with those to come; a new run is: stackrig run {whole.artifact} --profile {whole.profile}",
            err=True,
        )
    with Session(seed=whole.seed) as session:
        run_verb.finish(whole, folder, session, json)
