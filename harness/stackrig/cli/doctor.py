# SPDX-License-Identifier: Apache-2.0
"""stackrig doctor"""

from __future__ import annotations

from dataclasses import asdict

import typer

from stackrig.cli import output


def command(json: bool = typer.Option(False, "--json", help="For scripts.")) -> None:
    """What this machine can and cannot measure, and so which artifacts at which fidelity; changes nothing."""
    from stackrig import doctor

    found = doctor.examine()
    artifacts = doctor.artifacts(found)
    if json:
        output.as_json({"findings": [asdict(one) for one in found], "artifacts": artifacts})
    else:
        rows = [("yes" if one.ok else "NO", one.what, one.found, "" if one.ok else one.lack) for one in found]
        output.table(["", "what", "found", "without it"], rows)
        typer.echo()
        output.table(["artifact", "here"], list(artifacts.items()))
    if any(one.needed and not one.ok for one in found):
        raise typer.Exit(1)
