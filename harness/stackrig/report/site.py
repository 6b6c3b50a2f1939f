# SPDX-License-Identifier: Apache-2.0
"""The scoreboard over all artifacts: results/index.html."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackrig import paths, registry
from stackrig.claims import papers
from stackrig.claims.judge import judge
from stackrig.claims.records import runs_of
from stackrig.claims.verdict import Outcome, to_json
from stackrig.errors import unknown
from stackrig.model.experiment import Artifact
from stackrig.report import words
from stackrig.report.artifact import RenderResult, found_interface, render, render_found_interface
from stackrig.report.machines import render_machines


@dataclass(frozen=True)
class Site:
    page: Path
    rendered: dict[str, RenderResult]
    counts: dict[str, int]


def latest(results: Path, artifact: str) -> Path | None:
    """The run that stands for an artifact, of those that have trials: one that is complete, of all points, with more
    than a smoke profile's repetitions, in this order of weight; of those alike the newest."""
    found = [run for run in runs_of(results, artifact) if any(run.glob("trials/*/trial.json"))]
    return max(enumerate(found), key=lambda one: (_weight(one[1]), one[0]), default=(0, None))[1]


def _weight(folder: Path) -> tuple[bool, bool, bool]:
    run = json.loads((folder / "run.json").read_bytes())
    whole = not run.get("plan", {}).get("filters")
    return run.get("status") == "complete", whole, run.get("profile") != "smoke"


def find(results: Path, artifact: str, run: str) -> Path:
    """An artifact's run by its id, or by the path to its folder."""
    if (Path(run) / "run.json").exists():
        return Path(run)
    known = {folder.name: folder for folder in runs_of(results, artifact)}
    if run not in known:
        raise unknown(f"run of {artifact}", run, known)
    return known[run]


def build(results: Path, wanted: Sequence[str] = ()) -> Site:
    """Pages of the wanted artifacts (all that were run, where none is named) and the scoreboard of all."""
    rendered: dict[str, RenderResult] = {}
    for name in wanted or registry.artifacts():
        artifact = registry.load_artifact(name)
        if artifact.kind == "machines":
            if (results / name / "index.html").exists():
                render_machines(name, results / name)
        elif artifact.kind == "interface":
            if found_interface(results / name):  # `stackrig reproduce` looks again: it compiles tests
                rendered[name] = render_found_interface(artifact, results / name)
        elif run := latest(results, name):
            rendered[name] = render(run, results / name)
    return Site(scoreboard(results), rendered, total(results))


def refresh(folder: Path) -> None:
    """The scoreboard, where an artifact's folder is one of its own."""
    if folder.parent == paths.results():
        scoreboard(folder.parent)


def scoreboard(results: Path) -> Path:
    """index.html from the verdicts beside each artifact's page."""
    groups = []
    for paper in papers.papers():
        artifacts = [registry.load_artifact(name) for name in registry.artifacts()]
        mine = [(artifact, _verdicts(results, artifact)) for artifact in artifacts if artifact.paper == paper]
        rows = [_row(artifact, verdict) for artifact, record in mine for verdict in record["verdicts"]]
        groups.append(
            {
                "id": paper,
                "paper": papers.published(paper),
                "cards": [_card(results, artifact, record) for artifact, record in mine],
                "rows": sorted(rows, key=lambda row: [one.value for one in Outcome].index(row["outcome"])),
            }
        )
    text = words.templates().get_template("site.html.j2").render(groups=groups, counts=total(results))
    results.mkdir(parents=True, exist_ok=True)
    page = results / "index.html"
    part = results / ".unfinished-index.html"
    part.write_text(text, encoding="utf-8")
    part.replace(page)
    return page


def total(results: Path) -> dict[str, int]:
    """How many claims of all papers have which verdict."""
    counted = {outcome.value: 0 for outcome in Outcome}
    for name in registry.artifacts():
        for verdict in _verdicts(results, registry.load_artifact(name))["verdicts"]:
            counted[verdict["outcome"]] += 1
    return counted


def _verdicts(results: Path, artifact: Artifact) -> dict[str, Any]:
    """The artifact's verdicts.json; all "not checked" where it was never run."""
    try:
        record: dict[str, Any] = json.loads((results / artifact.id / "verdicts.json").read_bytes())
    except (OSError, ValueError):
        verdicts = judge(papers.claims_on(artifact), None)
        return {"run": None, "verdicts": [to_json(verdict) for verdict in verdicts]}
    return record


def _row(artifact: Artifact, verdict: dict[str, Any]) -> dict[str, Any]:
    checked = verdict["outcome"] != Outcome.NOT_CHECKED.value
    link = f"{artifact.id}/index.html#claim-{words.slug(verdict['claim'])}" if checked else ""
    told = {key: verdict[key] for key in ("outcome", "says", "because")}
    # The figure is the artifact's own: the section and page are what is left to tell.
    place = str(verdict["where"]).split(", ", maxsplit=1)
    return told | {"link": link, "artifact": artifact.id, "place": place[-1]}


def _card(results: Path, artifact: Artifact, record: dict[str, Any]) -> dict[str, Any]:
    folder = results / artifact.id
    there = (folder / "index.html").exists()
    counted = {outcome.value: 0 for outcome in Outcome}
    for verdict in record["verdicts"]:
        counted[verdict["outcome"]] += 1
    state = f"not run yet: make reproduce-{artifact.id}"
    if record.get("run"):
        day = str(record["started"])[:10]
        state = f"profile {record['profile']}, testbed of class {record['testbed_class']}, {day}"
    elif there:
        looked = {"machines": "looked up on this machine"}
        state = looked.get(artifact.kind, "looked up in headers and tests")
    return {
        "id": artifact.id,
        "title": artifact.title,
        "link": f"{artifact.id}/index.html" if there else "",
        "picture": _beside(folder / "figure.svg", results),
        "dark": _beside(folder / "figure-dark.svg", results),
        "state": state,
        "counts": counted,
    }


def _beside(path: Path, results: Path) -> str:
    return Path(os.path.relpath(path, results)).as_posix() if path.exists() else ""
