# SPDX-License-Identifier: Apache-2.0
"""What the papers print and claim, found by being there: analysis/papers/<paper>/{published,claims}.yaml."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from stackrig import names, paths, registry
from stackrig.errors import UserError, unknown
from stackrig.model.experiment import Artifact
from stackrig.model.expression import Expression
from stackrig.model.paper import (
    Claim,
    Claims,
    InterfaceRule,
    Machine,
    OrderingRule,
    Published,
    ShapeRule,
    Table,
    Value,
)
from stackrig.yamlfile import load, place


def papers() -> list[str]:
    return sorted(
        path.parent.name for path in (paths.root() / "analysis" / "papers").glob("*/published.yaml")
    )


def _file(paper: str, name: str) -> Path:
    if paper not in papers():
        raise unknown("paper", paper, papers())
    return paths.root() / "analysis" / "papers" / paper / name


@cache
def published(paper: str) -> Published:
    return load(_file(paper, "published.yaml"), Published)


@cache
def claims(paper: str) -> list[Claim]:
    return load(_file(paper, "claims.yaml"), Claims).claims


def claims_on(artifact: Artifact) -> list[Claim]:
    """The artifact's claims, each checked against the artifact: a rule about a system that never runs, or
    an axis that is not there, could never be judged."""
    found = [claim for claim in claims(artifact.paper) if claim.artifact == artifact.id]
    for claim in found:
        if wrong := mismatch(claim, artifact):
            path = _file(artifact.paper, "claims.yaml")
            loc = ("claims", claims(artifact.paper).index(claim), claim.form)
            raise UserError(f"{place(path, loc)}: claim {claim.id}: {wrong}")
    return found


def values_on(artifact: Artifact) -> list[Value]:
    return [value for value in published(artifact.paper).values if value.artifact == artifact.id]


def machine_of(artifact: Artifact) -> Machine | None:
    """The hardware that the paper measured the artifact on."""
    machines = published(artifact.paper).machines
    return next((machine for machine in machines if artifact.id in machine.artifacts), None)


def table(paper: str, name: str) -> Table:
    tables = {one.id: one for one in published(paper).tables}
    if name not in tables:
        raise unknown(f"table of {paper}", name, tables)
    return tables[name]


def check(artifact: Artifact) -> None:
    """All that drawing and judging will need of the artifact and its paper: told before hours of measuring."""
    names.check_panels(registry.artifacts()[artifact.id], artifact)
    published(artifact.paper)
    claims_on(artifact)
    if artifact.kind == "machines":
        table(artifact.paper, artifact.tables[0].published)
    if artifact.interface is not None:
        table(artifact.paper, str(artifact.interface.get("table", "")))


def mismatch(claim: Claim, artifact: Artifact) -> str | None:
    """Why the claim's rule does not fit its artifact, or None."""
    rule, experiment = claim.rule, artifact.experiment
    panels = {panel.id for panel in artifact.panels}
    if claim.panel and claim.panel not in panels:
        return f"panel {claim.panel!r}; {artifact.id} has {', '.join(sorted(panels))}"
    if isinstance(rule, InterfaceRule):
        return None if artifact.kind == "interface" else f"{artifact.id} is no interface table"
    if experiment is None:
        return f"{artifact.id} has no experiment"
    if isinstance(rule, OrderingRule):
        systems, axes = set(rule.order), set(rule.over)
    else:
        terms = Expression(rule.of).terms
        systems = {term.system for term in terms}
        axes = set(rule.over) | {axis for term in terms for axis, _ in term.pins}
        if isinstance(rule, ShapeRule) or claim.form == "crossing":
            axes.add(rule.along)  # type: ignore[union-attr]
    for kind, used, known in (("system", systems, experiment.systems), ("axis", axes, list(experiment.grid))):
        if strange := sorted(used - set(known)):
            return str(unknown(f"{kind} of {artifact.id}", strange[0], known))
    return None
