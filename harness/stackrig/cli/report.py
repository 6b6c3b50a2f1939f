# SPDX-License-Identifier: Apache-2.0
"""stackrig report"""

from __future__ import annotations

import typer

from stackrig import registry
from stackrig.cli import output


def command(
    artifacts: list[str] = typer.Argument(None, help="Such as figure-3.6; none: all that were run."),
    run: str = typer.Option("", help="This run's records instead of the newest; with one artifact only."),
    json: bool = typer.Option(False, "--json", help="For scripts."),
) -> None:
    """Pages that open from disk: the scoreboard of claims, and figure, data and verdicts of each artifact."""
    from stackrig import paths
    from stackrig.errors import UserError
    from stackrig.report import site
    from stackrig.report.artifact import render

    for name in artifacts or []:
        registry.load_artifact(name)
    if run and len(artifacts or []) != 1:
        raise UserError(
            "--run needs the one artifact that the run is of, such as `stackrig report figure-3.6 --run ID`"
        )
    results = paths.results()
    if run:
        name = artifacts[0]
        rendered = {name: render(site.find(results, name, run), results / name)}
        page, total = site.scoreboard(results), site.total(results)
    else:
        built = site.build(results, artifacts or [])
        page, rendered, total = built.page, built.rendered, built.counts
    if json:
        pages = {name: {"page": str(one.page), "counts": one.counts} for name, one in rendered.items()}
        output.as_json({"page": str(page), "counts": total, "artifacts": pages})
        return
    for name, one in rendered.items():
        told = ", ".join(f"{count} {outcome}" for outcome, count in one.counts.items() if count)
        typer.echo(f"{name}: {told or 'no claim'}; {paths.shown(one.page)}")
    typer.echo(f"scoreboard: {paths.shown(page)}")
