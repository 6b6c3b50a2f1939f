# SPDX-License-Identifier: Apache-2.0
"""Names inside descriptions that stand for something elsewhere: a system, a workload, a setting, a metric. A
mistake in one is told with file, line, field and the nearest name, before anything is started."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackrig import registry
from stackrig.errors import UserError, unknown
from stackrig.yamlfile import place

if TYPE_CHECKING:
    from stackrig.model.bar import Bar
    from stackrig.model.base import Scalar
    from stackrig.model.experiment import Artifact, Experiment, Panel, Part, TableOf
    from stackrig.model.system import Setting
    from stackrig.model.workload import Generator, Workload


class Names:
    """The mistakes of one file, gathered; `raise_all` tells them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wrong: list[str] = []

    def say(self, loc: tuple[str | int, ...], why: object) -> None:
        self.wrong.append(f"{place(self.path, loc)}: {why}")

    def look(self, loc: tuple[str | int, ...], find: Callable[[], object]) -> bool:
        """Does the name stand for something? If not, the mistake is gathered."""
        try:
            find()
        except UserError as error:
            self.say(loc, error)
            return False
        return True

    def settings(
        self, loc: tuple[str | int, ...], chosen: Mapping[str, Any], kinds: Mapping[str, list[Setting]]
    ) -> None:
        """Keys that are settings, each with a value or a list of them."""
        for name, value in chosen.items():
            if name not in kinds:
                self.say((*loc, name), unknown("axis or setting", name, kinds))
                continue
            many: list[Scalar] = value if isinstance(value, list) else [value]
            for one in many:
                reasons = [why for kind in kinds[name] if (why := kind.check(one))]
                if len(reasons) == len(kinds[name]):
                    self.say((*loc, name), reasons[0])

    def raise_all(self) -> None:
        if self.wrong:
            raise UserError("\n".join(dict.fromkeys(self.wrong)))


def _kinds(load: str, systems: Iterable[str]) -> dict[str, list[Setting]]:
    """Setting → what it may be: the harness' own, or the generator's, or any of the systems'."""
    from stackrig.plan import AXES

    generator = registry.load_generator(load).parameters if load in registry.generators() else {}
    kinds: dict[str, list[Setting]] = {}
    for spelled in systems:
        name = spelled.partition("/")[0]
        if name in registry.systems() or name in registry.baselines():
            for setting, kind in registry.load_system(name).settings.items():
                kinds.setdefault(setting, []).append(kind)
    return kinds | {name: [kind] for name, kind in {**generator, **AXES}.items()}


def check_artifact(path: Path, artifact: Artifact) -> None:
    if artifact.experiment is None:
        return
    names, experiment = Names(path), artifact.experiment
    at = ("experiment",)
    for index, spelled in enumerate(experiment.systems):
        names.look((*at, "systems", index), partial(registry.resolve_system, spelled))
    for profile, body in experiment.profiles.items():
        for index, spelled in enumerate(body.systems or ()):
            loc = (*at, "profiles", profile, "systems", index)
            names.look(loc, partial(registry.resolve_system, spelled))
    _load(names, at, experiment)
    everyone = [*experiment.systems, *(s for p in experiment.profiles.values() for s in p.systems or ())]
    kinds = _kinds(experiment.load, everyone)
    names.settings((*at, "grid"), experiment.grid, kinds)
    names.settings((*at, "fixed"), experiment.fixed, kinds)
    _parts(names, (*at, "parts"), experiment.parts, experiment.systems, kinds)
    for profile, body in experiment.profiles.items():
        names.settings((*at, "profiles", profile, "grid"), body.grid, kinds)
        names.settings((*at, "profiles", profile, "fixed"), body.fixed, kinds)
        _parts(names, (*at, "profiles", profile, "parts"), body.parts, experiment.systems, kinds)
    names.raise_all()


def _parts(
    names: Names,
    at: tuple[str, ...],
    parts: Mapping[str, Part],
    systems: list[str],
    kinds: Mapping[str, list[Setting]],
) -> None:
    for part, body in parts.items():
        for index, spelled in enumerate(body.systems or ()):
            if spelled not in systems:
                said = unknown("system of the experiment", spelled, systems)
                names.say((*at, part, "systems", index), said)
        names.settings((*at, part, "at"), body.at, kinds)
        names.settings((*at, part, "fixed"), body.fixed, kinds)


def _load(names: Names, at: tuple[str, ...], said: Experiment | Bar) -> None:
    if names.look((*at, "load"), lambda: registry.load_generator(said.load)):
        names.look((*at, "workload"), lambda: registry.load_workload(said.workload, said.load))


def check_panels(path: Path, artifact: Artifact) -> None:
    """What is drawn: metrics that trials have, axes that the experiment has."""
    if artifact.experiment is None:
        return
    names, axes = Names(path), artifact.experiment.grid
    for index, panel in enumerate(artifact.panels):
        _panel(names, index, panel, artifact, axes)
    for index, table in enumerate(artifact.tables):
        _table(names, index, table, artifact, axes)
    names.raise_all()


def _panel(names: Names, index: int, panel: Panel, artifact: Artifact, axes: Mapping[str, Any]) -> None:
    from stackrig.model.metrics import METRICS

    assert artifact.experiment is not None
    for metric in panel.y if isinstance(panel.y, list) else [panel.y]:
        if metric not in METRICS:
            names.say(("panels", index, "y"), unknown("metric", metric, METRICS))
        else:
            names.look(("panels", index, "y_unit"), partial(_unit, metric, panel.y_unit))
    if panel.x not in axes:
        names.say(("panels", index, "x"), unknown(f"axis of {artifact.id}", panel.x, axes))
    if panel.relative_to and panel.relative_to not in artifact.experiment.systems:
        said = unknown(f"system of {artifact.id}", panel.relative_to, artifact.experiment.systems)
        names.say(("panels", index, "relative_to"), said)
    for number, system in enumerate(panel.systems):
        if system not in artifact.experiment.systems:
            said = unknown(f"system of {artifact.id}", system, artifact.experiment.systems)
            names.say(("panels", index, "systems", number), said)
    for axis in panel.where:
        if axis not in axes:
            names.say(("panels", index, "where", axis), unknown(f"axis of {artifact.id}", axis, axes))


def _table(names: Names, index: int, table: TableOf, artifact: Artifact, axes: Mapping[str, Any]) -> None:
    from stackrig.claims import papers
    from stackrig.model.metrics import METRICS

    at = ("tables", index)
    assert artifact.experiment is not None
    if table.published:
        names.look((*at, "published"), partial(papers.table, artifact.paper, table.published))
    for axis in [*table.where, *([table.rows] if table.rows else [])]:
        if axis not in axes:
            names.say((*at, "where", axis), unknown(f"axis of {artifact.id}", axis, axes))
    for metric in table.metrics:
        if metric not in METRICS:
            names.say((*at, "metrics"), unknown("metric", metric, METRICS))
    for metric, unit in table.units.items():
        names.look((*at, "units", metric), partial(_unit, metric, unit))
    for system in table.systems:
        if system not in artifact.experiment.systems:
            said = unknown(f"system of {artifact.id}", system, artifact.experiment.systems)
            names.say((*at, "systems"), said)


def _unit(metric: str, unit: str) -> None:
    from stackrig.model.metrics import shown_in

    try:
        shown_in(metric, unit)
    except ValueError as error:
        raise UserError(str(error)) from None


def check_bar(path: Path, bar: Bar, methods: list[str]) -> None:
    from stackrig.model.metrics import METRICS

    names = Names(path)
    for field, spelled in (("candidate", bar.candidate), ("peer", bar.peer)):
        if spelled is not None:
            names.look((field,), partial(registry.resolve_system, spelled))
    if bar.method not in methods:
        names.say(("method",), unknown("method", bar.method, methods))
    if bar.metric not in METRICS:
        names.say(("metric",), unknown("metric", bar.metric, METRICS))
    _load(names, (), bar)
    kinds = _kinds(bar.load, [one for one in (bar.candidate, bar.peer) if one])
    for index, settings in enumerate(bar.points):
        names.settings(("points", index), settings, kinds)
    for field in ("fixed", "candidate_fixed", "peer_fixed"):
        names.settings((field,), getattr(bar, field), kinds)
    choices: dict[str, list[Scalar]] = bar.options.get("each_at_its_best", {})
    names.settings(("options", "each_at_its_best"), choices, kinds)
    names.raise_all()


def check_workload(path: Path, workload: Workload, generator: Generator) -> None:
    names = Names(path)
    if workload.protocol not in generator.protocols:
        why = (
            f"{generator.name} does not speak {workload.protocol}, the protocol of what this workload serves"
        )
        names.say(("content", "kind"), why)
    kinds = {name: [kind] for name, kind in generator.parameters.items()}
    names.settings(("parameters",), workload.parameters, kinds)
    names.raise_all()
