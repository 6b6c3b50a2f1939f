# SPDX-License-Identifier: Apache-2.0
"""What an artifact's page shows, gathered from a run; the template only says it."""

from __future__ import annotations

import base64
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from stackrig import registry
from stackrig.claims import papers
from stackrig.claims.interface import Interface
from stackrig.claims.judge import BEARING
from stackrig.claims.records import Cell, RunData, checks, show_point, value
from stackrig.claims.verdict import Verdict, counts
from stackrig.figures.series import Plot
from stackrig.figures.tables import Plain, Shown
from stackrig.model.experiment import Artifact
from stackrig.model.metrics import metric
from stackrig.model.trial import Trial
from stackrig.report import words
from stackrig.report.numbers import anchor, of_plot, of_table
from stackrig.report.words import short

VALIDITY = {
    "client_saturated": "client saturated",
    "offered_met": "offered rate not met",
    "counters_agree": "counters disagree",
    "wire_limit": "beyond the wire's rate",
    "placement": "placement did not hold",
    "undisturbed": "disturbed",
    "answered_once": "answered twice or late",
}
"""What each check says of a trial that did not pass it."""


def artifact_page(
    artifact: Artifact,
    verdicts: Sequence[Verdict],
    out: Path,
    home: str,
    *,
    data: RunData | None = None,
    plots: Sequence[Plot] = (),
    shown: Sequence[Shown] = (),
    plain: Sequence[Plain] = (),
    facts: Sequence[tuple[str, str]] = (),
    interface: Interface | None = None,
    tags: Sequence[str] = (),
) -> str:
    """The page's HTML. `out` is the folder that it will lie in: links are relative to it. `plain`, `facts`: tables
    of words and what is known of this machine, where there is no run."""
    return (
        words.templates()
        .get_template("artifact.html.j2")
        .render(
            artifact=artifact,
            paper=papers.published(artifact.paper),
            home=home,
            tags=[*(_tags(data) if data else ()), *tags],
            warnings=_warnings(data) if data else [],
            counts=counts(list(verdicts)),
            verdicts=verdicts,
            anchors=anchor,
            interface=interface,
            figure=_figure(artifact, plots, out) if plots else None,
            shown=[of_table(table) for table in shown],
            plain=plain,
            limits={mark.limited_by for plot in plots for series in plot.series for mark in series.marks},
            lost=any(
                mark.interval is None for plot in plots for series in plot.series for mark in series.marks
            ),
            tables=[of_plot(plot) for plot in plots if plot.series],
            published=papers.values_on(artifact),
            machine=papers.machine_of(artifact),
            testbed=_testbed(data) if data else list(facts),
            recorded=data is not None,
            again=_again(artifact, data),
            points=_points(data, _metrics(plots, shown), out) if data else [],
            trial_words=_trial_words(data) if data else "",
            unreadable=data.unreadable if data else [],
            provenance=_provenance(data) if data else [],
            commands=_commands(data) if data else {},
        )
    )


# Head -----------------------------------------------------------------------------------------------------


def _tags(data: RunData) -> list[str]:
    run = data.run
    filters = ", ".join(f"{axis}={wanted}" for axis, wanted in run.plan.get("filters", {}).items())
    return [
        f"only {filters}" if filters else "all points",
        f"profile {run.profile}",
        f"testbed of class {run.testbed.testbed_class}",
        f"{words.many(len(data.trials), 'trial')}, {words.many(len(data.repetitions), 'repetition')}",
        f"run {run.id}",
        run.started.replace("T", " ")[:16] + " UTC",
        f"seed {run.seed}",
    ]


def _warnings(data: RunData) -> list[str]:
    found = []
    if data.run.status != "complete":
        found.append(f"The run is {data.run.status}: what is shown is what was measured until then.")
    if data.run.plan.get("filters"):
        found.append("The run is of some points only (--point): the figure is not whole.")
    if len(data.repetitions) < 2:
        found.append(
            "Each point was measured once. A single trial has no interval, so no claim can be decided: this "
            "run shows that everything works, and no more."
        )
    found += _doubts(data)
    found += _of_systems(data)
    if data.run.testbed.testbed_class != "lab":
        found.append(
            f"This testbed is of class {data.run.testbed.testbed_class}. Its absolute numbers are its own; "
            "what can be held against the paper are ratios, orders and shapes."
        )
    return found


def _of_systems(data: RunData) -> list[str]:
    """What a comparison with some of the run's systems must know (`notes` of their descriptions)."""
    names = dict.fromkeys(trial.point.system for trial in data.trials)
    there = [name for name in names if name in registry.systems() or name in registry.baselines()]
    said = [registry.load_system(name) for name in there]
    return [f"{system.title}: {system.notes}" for system in said if system.notes]


def _at_once(trial: Trial) -> str:
    settings = trial.point.settings
    if "outstanding" in settings:
        return f"{settings['outstanding']} queries"
    return f"{settings.get('connections', 'so many')} connections"


def _doubts(data: RunData) -> list[str]:
    """Validity checks that trials did not pass, over the whole run."""
    failed: Counter[str] = Counter()
    for cell in data.cells.values():
        failed.update({name: count for name, (count, _) in cell.doubts().items()})
    held = [cell for cell in data.cells.values() if cell.limited_by == "load"]
    idle = []
    if held:
        at_once = sorted({_at_once(cell.usable[0]) for cell in held})
        idle.append(
            f"At {len(held)} of {len(data.cells)} points neither the server nor the client was saturated: "
            f"{' or '.join(at_once)} at once asked for no more, or other processes had the cores. "
            "Throughput there is a lower bound of what the server can do."
        )
    of = f"of {words.many(sum(len(cell.usable) for cell in data.cells.values()), 'trial')}"
    meanings = {
        "undisturbed": "other processes ran on the cores: intervals are the wider for it, and a ratio of "
        "systems that were disturbed unequally may be off",
        **BEARING,
    }
    return idle + [f"In {failed[name]} {of} {meaning}." for name, meaning in meanings.items() if failed[name]]


def _figure(artifact: Artifact, plots: Sequence[Plot], out: Path) -> dict[str, Any]:
    """The figure inside the page, so that the page can be sent by itself."""

    def inside(name: str) -> str:
        return "data:image/svg+xml;base64," + base64.b64encode((out / name).read_bytes()).decode()

    panels = "; ".join(f"({plot.panel.id}) {plot.title}" for plot in plots)
    rows = (len(plots) + 1) // 2
    return {
        "light": inside("figure.svg"),
        "dark": inside("figure-dark.svg"),
        "alt": f"{artifact.title}. Panels: {panels}. The numbers are in the tables below.",
        "width": 896,
        "height": round(896 * (1.9 * rows + 0.75) / 7),
    }


# Trials ---------------------------------------------------------------------------------------------------


def _metrics(plots: Sequence[Plot], shown: Sequence[Shown]) -> list[str]:
    drawn = [series.metric for plot in plots for series in plot.series]
    return list(dict.fromkeys([*drawn, *(column.metric for table in shown for column in table.columns)]))


def _points(data: RunData, metrics: Sequence[str], out: Path) -> list[dict[str, Any]]:
    found = []
    for point in data.points:
        for system in data.systems:
            cell = data.cell(system, point)
            if cell.trials:
                found.append(_point(data, cell, metrics, out))
    return found


def _point(data: RunData, cell: Cell, metrics: Sequence[str], out: Path) -> dict[str, Any]:
    trials = [_trial(data, trial, metrics, out) for trial in cell.trials]
    told = words.many(len(cell.usable), "trial")
    if cell.lost:
        told += f", {len(cell.lost)} lost"
    for name, (count, _) in cell.doubts().items():
        told += f", {count} {VALIDITY[name]}"
    if cell.limited_by == "load":
        told += ", neither side saturated"
    return {
        "anchor": anchor(cell.system, cell.point),
        "title": f"{cell.system}, {show_point(cell.point)}" if cell.point else cell.system,
        "words": told,
        "heads": [
            f"{metric(name).title}, {metric(name).shown_unit or metric(name).unit}" for name in metrics
        ],
        "trials": trials,
        "rerun": next((trial.rerun for trial in cell.trials if trial.rerun), ""),
    }


def _trial(data: RunData, trial: Trial, metrics: Sequence[str], out: Path) -> dict[str, Any]:
    folder = data.folders.get(trial.id)
    return {
        "id": trial.id,
        "link": Path(os.path.relpath(folder / "trial.json", out)).as_posix() if folder else "",
        "status": trial.status,
        "reason": trial.reason,
        "measured": [_value(trial, name) for name in metrics],
        "validity": _validity(trial),
        "log": trial.log_excerpt if trial.status != "ok" else "",
    }


def _value(trial: Trial, name: str) -> str:
    found = value(trial, name)
    if found is None:
        return f"unavailable: {trial.unavailable[name]}" if name in trial.unavailable else "–"
    return short(found / metric(name).shown_per)


def _validity(trial: Trial) -> str:
    wrong, unknown = [], []
    for name, check in checks(trial).items():
        if check.value is None:
            unknown.append(name.replace("_", " "))
        elif check.value is (name == "client_saturated"):
            wrong.append(f"{VALIDITY[name]} ({check.evidence})")
    told = "; ".join(wrong) or ("all well" if trial.validity else "not looked at")
    return told + (f"; not checked: {', '.join(unknown)}" if unknown else "")


def _trial_words(data: RunData) -> str:
    status = Counter(trial.status for trial in data.trials)
    lost = ", ".join(f"{count} {name}" for name, count in sorted(status.items()) if name != "ok")
    return f"{status['ok']} trials count{f'; {lost}' if lost else ''}."


# Where it comes from --------------------------------------------------------------------------------------


def _testbed(data: RunData) -> list[tuple[str, str]]:
    testbed = data.run.testbed
    cores = "; ".join(f"{host}: {', '.join(map(str, ids))}" for host, ids in testbed.cores.items())
    facts = [
        ("class", f"{testbed.testbed_class} ({testbed.name})"),
        ("hosts", ", ".join(testbed.hosts)),
        ("NICs", f"{testbed.nics}"),
        ("cores", cores),
    ]
    if testbed.fidelity:
        facts.append(("fidelity", testbed.fidelity))
    return facts + words.flat(data.run.host)


def _again(artifact: Artifact, data: RunData | None) -> list[str]:
    lines = [f"make reproduce-{artifact.id}"]
    if data is not None:
        lines.append(f"stackrig reproduce {artifact.id} --profile {data.run.profile} --seed {data.run.seed}")
        lines.append(f"stackrig report {artifact.id} --run {data.run.id}   # this page from the same records")
    return lines


def _distinct(trials: Iterable[Trial], read: Callable[[Trial], Any]) -> list[str]:
    return sorted({str(read(trial)) for trial in trials if trial.provenance and read(trial)})


def _provenance(data: RunData) -> list[tuple[str, str]]:
    """What all trials have in common is told once; where they differ, all that there is."""
    known = [trial for trial in data.trials if trial.provenance]
    if not known:
        return []
    told: list[tuple[str, str]] = []

    def tell(name: str, read: Callable[[Any], Any]) -> None:
        if found := _distinct(known, lambda trial: read(trial.provenance)):
            told.append((name, "; ".join(found)))

    tell("commit", lambda origin: origin.commit + (" with local changes" if origin.dirty else ""))
    tell("compiler", lambda origin: origin.compiler)
    tell("kernel", lambda origin: origin.kernel)
    tell("CPU", lambda origin: origin.cpu)
    tell("inventory (SHA-256)", lambda origin: origin.inventory_sha256)
    maps: dict[str, Callable[[Any], dict[str, Any]]] = {
        "program (SHA-256)": lambda origin: origin.binary_sha256,
        "tool": lambda origin: origin.tool_versions,
        "congestion control": lambda origin: origin.congestion_control,
        "sysctls": lambda origin: origin.sysctls,
        "offloads": lambda origin: origin.offloads,
        "placement": lambda origin: origin.placement,
    }
    for name, read in maps.items():
        merged: dict[str, set[str]] = {}
        for trial in known:
            for key, fact in words.flat(read(trial.provenance)):
                merged.setdefault(key, set()).add(fact)
        told += [(f"{name}: {key}", "; ".join(sorted(facts))) for key, facts in sorted(merged.items())]
    return told


def _commands(data: RunData) -> dict[str, list[str]]:
    """Every program that one trial of each system started."""
    found: dict[str, list[str]] = {}
    for trial in data.trials:
        if trial.provenance and trial.provenance.commands:
            lines = [shlex.join(command) for command in trial.provenance.commands]
            found.setdefault(trial.point.label, [f"# trial {trial.id}", *lines])
    return found
