# SPDX-License-Identifier: Apache-2.0
"""stackrig check"""

from __future__ import annotations

import typer

from stackrig import registry
from stackrig.cli import output
from stackrig.errors import UserError, unknown

# Protocol → the workload in whose setting a gate is put to a server.
USUAL = {"http": "web-short", "dns": "dns-zone", "echo": "echo", "thrift": "forward"}


def command(
    names: list[str] = typer.Argument(
        None, help="Systems, baselines, artifacts, bars; all when none is given."
    ),
    gate: bool = typer.Option(
        False, "--gate", help="Also start the systems and put the correctness gate to them."
    ),
    file_size: str = typer.Option("4KiB", help="Of the file that the gate asks for."),
    zone_entries: int = typer.Option(100, help="Names of the zone that the gate asks for."),
    seed: int = typer.Option(
        None, help="Of the zones and questions that name servers are asked at random; else a fixed one."
    ),
    json: bool = typer.Option(False, "--json", help="For scripts."),
) -> None:
    """Check every description (YAML) and every plan; with --gate the answers of systems too."""
    known = _known(names or [])
    wrong: list[str] = []
    checked = 0
    for name in names or [*known, *registry.generators(), "inventory", "papers"]:
        checked += 1
        try:
            _one(name.partition("/")[0])
        except UserError as error:
            wrong += str(error).splitlines()
    if wrong:
        raise UserError("\n".join(wrong))
    told: dict[str, object] = {"checked": checked, "gates": {}}
    if gate:
        told["gates"] = _gates(
            list(names or [*registry.systems(), *registry.baselines()]), file_size, zone_entries, seed
        )
    if json:
        output.as_json(told)
    else:
        typer.echo(f"{checked} descriptions: all well")
        for label, said in told["gates"].items():  # type: ignore[attr-defined]
            typer.echo(f"gate {label}: {said['checked']} checks, {'passed' if said['ok'] else 'FAILED'}")
            for line in [*said["findings"], *(f"not checked: {s}" for s in said["skipped"])]:
                typer.echo(f"  {line}")
    if any(not said["ok"] for said in told["gates"].values()):  # type: ignore[attr-defined]
        raise typer.Exit(1)


def _known(names: list[str]) -> dict[str, object]:
    """All that can be checked by name; an error where a name is none of it."""
    known: dict[str, object] = {
        **registry.systems(),
        **registry.baselines(),
        **registry.artifacts(),
        **registry.bars(),
    }
    for name in names:
        whole, slash, variant = name.partition("/")
        if whole not in known:
            raise unknown("system, baseline, artifact or bar", name, known)
        if slash and whole not in {**registry.systems(), **registry.baselines()}:
            raise UserError(f"{name}: {whole} is no system, so it has no variant {variant!r}")
        if slash:
            registry.resolve_system(name)
    return known


def _one(name: str) -> None:
    from stackrig.testbed.local import load_inventory

    if name in registry.systems() or name in registry.baselines():
        registry.load_system(name)
    elif name in registry.generators():
        registry.load_generator(name)
        for workload, by in registry.workloads().items():
            if name in by:
                registry.load_workload(workload, name)
    elif name in registry.artifacts():
        from stackrig import plan
        from stackrig.claims import papers

        artifact = registry.load_artifact(name)
        papers.check(artifact)
        for profile in artifact.experiment.profiles if artifact.experiment else ():
            plan.make(artifact, profile, 1)
    elif name in registry.bars():
        _bar(name)
    elif name == "papers":
        _papers()
    else:
        load_inventory()


def _papers() -> None:
    """Every paper, also the claims on artifacts that nobody has."""
    from stackrig.claims import papers

    for paper in papers.papers():
        papers.published(paper)
        for claim in papers.claims(paper):
            papers.claims_on(registry.load_artifact(claim.artifact))


def _bar(name: str) -> None:
    from stackrig.bench import base, trials

    bar = base.load(name)
    for settings in bar.points:
        trials.sides(bar, settings)


def _gates(
    names: list[str], file_size: str, zone_entries: int, seed: int | None
) -> dict[str, dict[str, object]]:
    from stackrig import session as sessions
    from stackrig.gate.report import Report
    from stackrig.model.base import parse_scalar
    from stackrig.model.trial import Point
    from stackrig.server import ServerError

    try:
        size = parse_scalar(file_size)
    except ValueError as error:
        raise UserError(f"--file-size: {error}") from None
    if not isinstance(size, int):
        raise UserError(f"--file-size {file_size}: expected a size such as 4KiB")
    found: dict[str, dict[str, object]] = {}
    labels = [
        name for name in names if name.partition("/")[0] in {**registry.systems(), **registry.baselines()}
    ]
    with sessions.Session(seed=seed) as session:
        for spelled in labels:
            system, variant = registry.resolve_system(spelled)
            for protocol in (spoken := system.speaks(variant)):
                point = Point(
                    system=system.name,
                    variant=variant,
                    label=system.label(variant),
                    workload=USUAL[protocol],
                    load="rigload",
                    wire="kernel",
                    server_wire=system.wires[0],
                    settings={"file_size": size, "zone_entries": zone_entries},
                )
                named = point.label if len(spoken) == 1 else f"{point.label} ({protocol})"
                workload = registry.load_workload(point.workload, point.load)
                corpus = session.corpus(workload, point.settings)
                plan = sessions.server_plan(point, corpus, session.cores("server", 1))
                try:
                    report = session.gate(point, plan, sessions.wiring_of(point, system), corpus)
                except ServerError as error:
                    report = Report(findings=[str(error), error.excerpt])
                found[named] = report.as_json()
    return found
