# SPDX-License-Identifier: Apache-2.0
"""stackrig list"""

from __future__ import annotations

from pathlib import Path

import typer

from stackrig import registry
from stackrig.cli import output
from stackrig.errors import unknown


def command(
    kind: str = typer.Argument(
        "", help="One of systems, baselines, generators, workloads, artifacts, drivers, ..."
    ),
    json: bool = typer.Option(False, "--json", help="For scripts."),
) -> None:
    """What there is: systems, baselines, workloads, load generators, artifacts, bars."""
    if kind and kind not in registry.KINDS:
        raise unknown("kind of thing", kind, registry.KINDS)
    kinds = [kind] if kind else [k for k in registry.KINDS if k not in ("drivers", "collectors")]
    found = {k: _of(k) for k in kinds}
    if json:
        output.as_json(found)
        return
    for k, things in found.items():
        typer.echo(f"{k}:")
        for name, title in things.items():
            typer.echo(f"  {name:<26} {title}".rstrip())


def _of(kind: str) -> dict[str, str]:
    if kind == "workloads":
        found = registry.workloads()
        return {name: f"{_title(next(iter(by.values())))} (by {', '.join(by)})" for name, by in found.items()}
    paths: dict[str, Path] = getattr(registry, kind)()
    return {name: _title(path) for name, path in paths.items()}


def _title(path: Path) -> str:
    """The file's title, read without understanding the rest; a listing must not fail on a broken file."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(("title:", '"""')):
            return line.removeprefix("title:").strip().strip("\"'")
    return ""
