# SPDX-License-Identifier: Apache-2.0
"""A grid into an order of trials. Pure: nothing is started, nothing of the machine is asked.

The order is shuffled from a recorded seed. All systems of one cell follow each other, in an order of their own,
before the next cell begins, and every repetition goes through all cells: a drifting machine favours nobody.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from stackrig import registry
from stackrig.errors import UserError, unknown
from stackrig.model.base import Scalar, format_size, parse_scalar
from stackrig.model.experiment import Artifact, Experiment, Part, Profile
from stackrig.model.system import Setting, System
from stackrig.model.trial import Point

# Axes that the harness itself acts on; every other name is the load generator's or the system's.
AXES: dict[str, Setting] = {
    "nics": Setting(type="int", default=1, help="veth pairs, or soft NICs"),
    "queues": Setting(type="int", default=1, help="receive and transmit queue pairs per NIC"),
    "file_size": Setting(type="int", default=64, unit="B", help="size of the one file"),
    "mtu": Setting(type="int", default=1500, unit="B", help="of the wires"),
    "server_cores": Setting(type="int", default=1, help="cores that the server is given"),
    "client_cores": Setting(type="int", default=1, help="cores that the clients are given"),
    "payload": Setting(type="int", default=32, unit="B", help="of a buffer that is echoed, or a message"),
    "run": Setting(type="int", default=1, help="a pass through the whole grid, where a paper has several"),
    "zone_entries": Setting(type="int", default=1, help="names of the one zone, an A record each"),
    "batch": Setting(type="int", default=32, unit="packets", help="queries that a server takes in one go"),
    "wire": Setting(type="str", choices=["afxdp", "shm", "kernel"], help="how the load reaches the server"),
    "link_rate": Setting(
        type="str", default="", help="rate cap of the soft NIC or the delay box, such as 10G"
    ),
    "delay_ms": Setting(type="float", default=0.0, unit="ms", help="delay box: added to the round trip"),
    "delay_bands": Setting(type="str", default="", help="delay box: per flow instead, such as 10ms-40ms/16"),
    "loss": Setting(type="float", default=0.0, unit="%", help="delay box: packets lost, each way"),
    "reorder": Setting(
        type="float", default=0.0, unit="%", help="delay box: packets held back a millisecond"
    ),
}
# What tells the trials of a grid apart in their folders' names.
SLUG = ("run", "nics", "file_size", "payload", "under_way", "zone_entries", "batch", "wire", "delay_ms", "loss",
        "reorder", "flood")  # fmt: skip
SIZES = ("file_size", "payload", "under_way")  # in bytes
BENCH = "bench"  # the profile of a bar's trials, whose records are of an "artifact" bench-NAME
OVERHEAD_S = 0.6  # a trial's wires, start, ends and record, beyond its phases (measured)
SYSCALLS_S = 0.7  # the phase in which system calls are counted
GATE_S = 1.3  # once per system and content (measured)


@dataclass(frozen=True)
class Planned:
    """One trial to be."""

    order: int
    repetition: int
    seed: int
    point: Point
    warmup_s: float
    duration_s: float

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "point": self.point.model_dump()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Planned:
        return cls(**{**data, "point": Point.model_validate(data["point"])})

    @property
    def slug(self) -> str:
        settings = self.point.settings
        parts = [self.point.label.replace("/", "-")]
        parts += [f"{name}{shown(name, settings[name])}" for name in SLUG if name in settings]
        return "-".join([*parts, f"r{self.repetition}"])


@dataclass(frozen=True)
class Plan:
    artifact: str
    profile: str
    seed: int
    repetitions: int
    trials: list[Planned]
    count_syscalls: bool
    filters: dict[str, str]

    @property
    def seconds(self) -> float:
        each = OVERHEAD_S + (SYSCALLS_S if self.count_syscalls else 0.0)
        contents = ("file_size", "zone_entries")
        gates = len({(t.point.label, *(t.point.settings.get(c) for c in contents)) for t in self.trials})
        return sum(each + t.warmup_s + t.duration_s for t in self.trials) + GATE_S * gates


def shown(name: str, value: Scalar) -> str:
    return format_size(value) if name in SIZES and isinstance(value, int) else str(value)


def make(
    artifact: Artifact,
    profile_name: str,
    seed: int,
    points: Iterable[str] = (),
    repetitions: int | None = None,
) -> Plan:
    """Raises UserError where the experiment asks for something that is not there."""
    experiment = artifact.experiment
    if experiment is None:
        raise UserError(
            f"{artifact.id} has no experiment to plan; `stackrig reproduce {artifact.id}` gives it back"
        )
    if profile_name not in experiment.profiles:
        raise unknown(f"profile of {artifact.id}", profile_name, experiment.profiles)
    profile = experiment.profiles[profile_name]
    filters = parse_filters(points)
    rows = [
        (cell, [registry.resolve_system(name) for name in systems])
        for cell, systems in _cells(experiment, profile)
    ]
    known = {"system", *experiment.grid}
    for name in filters:
        if name not in known:
            raise unknown(f"axis of {artifact.id}", name, known)
    points_by_cell = [
        [(index, _point(experiment, profile, system, variant, cell)) for system, variant in systems]
        for index, (cell, systems) in enumerate(rows)
    ]
    labels = {point.label for row in points_by_cell for _, point in row}
    chosen = [[(i, p) for i, p in row if _matches(p, filters, labels)] for row in points_by_cell]
    chosen = [row for row in chosen if row]
    check_filters(filters, [p for row in points_by_cell for _, p in row], f"{artifact.id}, {profile_name}")
    if not chosen:
        raise UserError(
            f"--point {','.join(f'{k}={v}' for k, v in filters.items())}: matches no point of {artifact.id}, profile "
            f"{profile_name}; `stackrig plan {artifact.id} --profile {profile_name}` lists them"
        )
    many = repetitions or profile.repetitions
    trials = order(chosen, many, seed, profile)
    syscalls = any("syscalls" in name for name in artifact.metrics)
    return Plan(artifact.id, profile_name, seed, many, trials, syscalls, filters)


def order(
    rows: list[list[tuple[int, Point]]], repetitions: int, seed: int, profile: Profile
) -> list[Planned]:
    """Rows are cells, each with its systems' points. Shuffled as the module says, from `seed` alone. A run of
    several ends before the next begins."""
    chance = random.Random(seed)
    trials: list[Planned] = []
    runs: dict[Scalar, list[list[tuple[int, Point]]]] = {}
    for row in rows:
        runs.setdefault(row[0][1].settings.get("run", 1), []).append(row)
    for (_, cells), repetition in itertools.product(sorted(runs.items()), range(repetitions)):
        for row in chance.sample(cells, len(cells)):
            for cell, point in chance.sample(row, len(row)):
                # One seed per cell and repetition: every system is asked the same.
                same = (seed * 1_000_003 + repetition * 10_007 + cell) % (1 << 31)
                trials.append(
                    Planned(len(trials), repetition, same, point, profile.warmup_s, profile.duration_s)
                )
    return trials


def parse_filters(points: Iterable[str]) -> dict[str, str]:
    """`file_size=4KiB,nics=1` and `system=nginx`, given once or several times."""
    found: dict[str, str] = {}
    for one in points:
        for part in one.split(","):
            name, equals, value = part.partition("=")
            if not equals or not name or not value:
                raise UserError(
                    f"--point {one}: expected AXIS=VALUE[,AXIS=VALUE...], such as file_size=4KiB,nics=1"
                )
            try:
                parse_scalar(value.strip())
            except ValueError as error:
                raise UserError(f"--point {one}: {error}") from None
            before = found.setdefault(name.strip(), value.strip())
            if before != value.strip():
                raise UserError(
                    f"--point {one}: {name.strip()} is to be {before} as well; name one value of it"
                )
    return found


def check_filters(filters: dict[str, str], points: Iterable[Point], where: str) -> None:
    """A value that no point has is a typing error: told with the nearest that there is."""
    there = list(points)
    for name, value in filters.items():
        if name == "system":
            known = {spelled for p in there for spelled in (p.label, p.system, f"{p.system}/{p.variant}")}
        else:
            known = {shown(name, p.settings[name]) for p in there if name in p.settings}
        if value not in known and str(parse_scalar(value)) not in {str(parse_scalar(one)) for one in known}:
            raise unknown(f"{name} of {where}", value, known)


def matches(point: Point, filters: dict[str, str]) -> bool:
    """Is it one of those that `--point` asks for, `system` aside?"""
    return all(
        str(point.settings.get(name)) == str(parse_scalar(value))
        for name, value in filters.items()
        if name != "system"
    )


def _matches(point: Point, filters: dict[str, str], labels: set[str]) -> bool:
    value = filters.get("system")
    # A label means itself; a bare name that is no label means all variants of the system.
    names = {point.label} if value in labels else {point.system, f"{point.system}/{point.variant}"}
    return (value is None or value in names) and matches(point, filters)


def _cells(experiment: Experiment, profile: Profile) -> list[tuple[dict[str, Scalar], list[str]]]:
    """Each cell's settings and its systems; what several parts ask for is there once."""
    axes = {axis: profile.grid.get(axis, values) for axis, values in experiment.grid.items()}
    wanted = profile.systems or experiment.systems
    cells: dict[tuple[tuple[str, Scalar], ...], list[str]] = {}
    for name, said in (experiment.parts or {"": Part()}).items():
        part = said.changed(profile.parts.get(name, Part()))
        takes = [[part.at[axis]] if axis in part.at else values for axis, values in axes.items()]
        for values in itertools.product(*takes):
            cell = {**part.fixed, **dict(zip(axes, values, strict=True))}
            systems = cells.setdefault(tuple(sorted(cell.items())), [])
            systems += [one for one in part.systems or wanted if one in wanted and one not in systems]
    return [(dict(cell), systems) for cell, systems in cells.items() if systems]


def _point(
    experiment: Experiment, profile: Profile, system: System, variant: str, cell: dict[str, Scalar]
) -> Point:
    generator = registry.load_generator(experiment.load)
    workload = registry.load_workload(experiment.workload, experiment.load)
    asked = {**workload.parameters, **experiment.fixed, **profile.fixed, **cell}
    settings: dict[str, Scalar] = {}
    for name, value in asked.items():
        kind = AXES.get(name) or generator.parameters.get(name) or system.settings.get(name)
        if kind is None:
            _known_to_any(experiment, name)
            continue  # another system's setting
        if wrong := kind.check(value):
            raise UserError(f"setting {name!r}: {wrong}")
        settings[name] = value
    wire = str(settings.get("wire", experiment.wire))
    server_wire = _server_wire(experiment, system, wire)
    if workload.protocol not in (spoken := system.speaks(variant)):
        raise UserError(
            f"{system.label(variant)} serves {', '.join(spoken)}, and workload {experiment.workload} asks for "
            f"{workload.protocol}"
        )
    if system.variants[variant].serial and (many := settings.get("connections", 1)) != 1:
        raise UserError(
            f"{system.label(variant)} serves one connection after the other: connections must be 1, not {many}"
        )
    if wire not in generator.wires:
        raise UserError(f"{experiment.load} cannot reach a server by {wire}; it can by {generator.wires}")
    if system.variants[variant].frames == "offloads" and wire != "kernel":
        raise UserError(
            f"{system.label(variant)} sends frames longer than the MTU, which only kernel clients take: "
            f"wire {wire} is none for it"
        )
    return Point(
        system=system.name,
        variant=variant,
        label=system.label(variant),
        workload=experiment.workload,
        load=experiment.load,
        wire=wire,
        server_wire=server_wire,
        settings=settings,
    )


def one_point(experiment: Experiment, system: System, variant: str) -> Point:
    """The single point of an experiment without axes."""
    return _point(experiment, next(iter(experiment.profiles.values())), system, variant, {})


def _server_wire(experiment: Experiment, system: System, client_wire: str) -> str:
    if system.kind == "baseline":
        wire = system.wires[0]
        if client_wire == "shm":
            raise UserError(
                f"{system.name} answers from the kernel, which the soft NIC (wire shm) does not reach"
            )
    else:
        # One on kernel sockets alone (in-kernel) has no other end to choose.
        usual = "shm" if client_wire == "shm" else "afxdp" if "afxdp" in system.wires else system.wires[0]
        wire = experiment.server_wire or usual
    if wire not in system.wires:
        raise unknown(f"wire of {system.name}", wire, system.wires)
    return wire


def _known_to_any(experiment: Experiment, name: str) -> None:
    known = set(AXES) | set(registry.load_generator(experiment.load).parameters)
    for spelled in experiment.systems:
        known |= set(registry.resolve_system(spelled)[0].settings)
    if name not in known:
        raise unknown("axis or setting", name, known)
