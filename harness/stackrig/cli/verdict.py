# SPDX-License-Identifier: Apache-2.0
"""stackrig verdict"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import typer

from stackrig import registry
from stackrig.cli import output

if TYPE_CHECKING:
    from stackrig.claims.verdict import Verdict


def command(
    artifact: str = typer.Argument(..., help="Such as figure-3.6; `stackrig list artifacts` has all."),
    run: str = typer.Option("", help="This run's records instead of the newest."),
    json: bool = typer.Option(False, "--json", help="With all evidence, for scripts."),
) -> None:
    """What the trials say on each claim that the paper makes about an artifact; writes nothing."""
    from stackrig import paths
    from stackrig.claims import papers
    from stackrig.claims.judge import judge
    from stackrig.claims.records import read_run
    from stackrig.claims.verdict import to_json
    from stackrig.report import site
    from stackrig.report.artifact import found_interface

    known = registry.load_artifact(artifact)
    claims = papers.claims_on(known)
    data, found = None, None
    if known.interface is not None:
        found = found_interface(paths.results() / artifact)
    else:
        folder = site.find(paths.results(), artifact, run) if run else site.latest(paths.results(), artifact)
        data = read_run(folder, known) if folder else None
    verdicts = judge(claims, data, found)
    if json:
        output.as_json([to_json(verdict) for verdict in verdicts])
        return
    if data is not None:
        testbed = data.run.testbed.testbed_class
        typer.echo(f"{artifact}, run {data.run.id}, profile {data.run.profile}, testbed of class {testbed}")
    for verdict in verdicts:
        _tell(verdict)


def _tell(verdict: Verdict) -> None:
    found = verdict.finding
    typer.echo(f"\n{verdict.outcome.value.upper():<18} {verdict.name}")
    needed = found.repetitions_needed
    lines = [verdict.statement, f"→ {found.because}"]
    lines += [f"about {needed} repetitions would settle it"] if needed else []
    lines += [*found.caveats, f"({verdict.claim.where})"]
    for line in lines:
        typer.echo(textwrap.fill(line, width=100, initial_indent="  ", subsequent_indent="    "))
