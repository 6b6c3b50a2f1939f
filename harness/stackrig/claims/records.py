# SPDX-License-Identifier: Apache-2.0
"""The trials of one run, by point and system. Analysis knows trials only through their records."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from stackrig.errors import UserError
from stackrig.model.base import Scalar, format_size
from stackrig.model.experiment import Artifact
from stackrig.model.metrics import DERIVED
from stackrig.model.trial import Check, Run, Trial

Point = tuple[tuple[str, Scalar], ...]
"""The axes' values, in the artifact's order of axes."""

SIZES = frozenset({"file_size", "message_size", "buffer_size", "payload", "under_way"})
"""Axes in bytes, which are shown as 4 KiB and the like."""


def show(axis: str, value: Scalar) -> str:
    """An axis' value for a person: `4 KiB`, `2`."""
    if axis in SIZES and isinstance(value, int):
        text = format_size(value)
        number = text.rstrip("GMKiB")
        return f"{number} {text.removeprefix(number)}"
    return f"{value:g}" if isinstance(value, float) else str(value)


WIRES = {"afxdp": "AF_XDP", "shm": "soft NIC", "kernel": "kernel sockets"}


def counted(axis: str, setting: Scalar) -> str:
    """`1 NIC`, `6 NICs`, `4 KiB files`."""
    if axis == "file_size":
        return f"{show(axis, setting)} files"
    if axis == "wire":
        return WIRES.get(str(setting), str(setting))
    if axis == "zone_entries":
        return f"{setting} name" + ("" if setting == 1 else "s")
    word = {"nics": "NIC", "queues": "queue", "server_cores": "core", "connections": "connection"}.get(axis)
    if word is None:
        return f"{axis.replace('_', ' ')} {show(axis, setting)}"
    return f"{setting} {word}" + ("" if setting == 1 else "s")


def show_point(point: Point) -> str:
    """`2 NICs, 4 KiB files`."""
    return ", ".join(counted(axis, setting) for axis, setting in point)


Limit = Literal["", "client", "load"]
"""client: it was saturated. load: neither side was; so many connections in a closed loop asked for no more, or
other processes had the cores. Either way the server could have done more: its figure is a lower bound."""

SERVER_BUSY = 90.0
"""Per cent of its cores from which on a server counts as saturated."""


@dataclass(frozen=True)
class Cell:
    """All trials of one system at one point."""

    system: str
    point: Point
    trials: tuple[Trial, ...]
    wire_without_rate: bool = False

    @property
    def usable(self) -> list[Trial]:
        """Trials whose figures count: neither failed nor invalid."""
        return [trial for trial in self.trials if trial.status == "ok"]

    @property
    def lost(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.status != "ok"]

    def values(self, metric: str) -> list[float]:
        return [found for trial in self.usable if (found := value(trial, metric)) is not None]

    def why_not(self, metric: str) -> str:
        """Why the usable trials do not have the metric, as the collectors recorded it."""
        parts = (metric, *DERIVED.get(metric, ())[:2])
        reasons = [
            trial.unavailable[part] for trial in self.usable for part in parts if part in trial.unavailable
        ]
        return reasons[0] if reasons else ""

    @property
    def limited_by(self) -> Limit:
        """What kept most of the trials from being the server's own figure; empty: nothing did."""
        limits = Counter(self._limit(trial) for trial in self.usable)
        limit, count = limits.most_common(1)[0] if limits else ("", 0)
        return limit if count * 2 > len(self.usable) else ""

    def _limit(self, trial: Trial) -> Limit:
        if trial.validity and trial.validity.client_saturated.value:
            return "client"
        settings, busy = trial.point.settings, value(trial, "server_cpu_percent")
        # A wire that has a rate may well be what is full; so may be one whose rate nobody told.
        free = (self.wire_without_rate or trial.point.wire == "shm") and not settings.get("link_rate")
        closed = settings.get("loop", "closed") == "closed" and not _in_turns(settings)
        return "load" if free and closed and busy is not None and busy < SERVER_BUSY else ""

    def doubts(self) -> dict[str, tuple[int, str]]:
        """Validity checks that some trials did not pass: name → how many, and one's evidence."""
        found: dict[str, tuple[int, str]] = {}
        for trial in self.usable:
            for name, check in checks(trial).items():
                if check.value is not None and check.value is (name == "client_saturated"):
                    count, evidence = found.get(name, (0, check.evidence))
                    found[name] = (count + 1, evidence)
        return found


def _in_turns(settings: Mapping[str, Scalar]) -> bool:
    """An echo's client that has one buffer under way at all: its rate is the round trip's, and more load would be
    another experiment."""
    alone = settings.get("connections") == 1 and settings.get("pipeline") == 1
    return alone and "payload" in settings and not settings.get("under_way")


def value(trial: Trial, metric: str) -> float | None:
    """The trial's value of a metric, recorded or derived; None where it has none."""
    if metric in trial.metrics:
        return trial.metrics[metric].value
    if metric in DERIVED:
        upper, lower, factor = DERIVED[metric]
        if upper in trial.metrics and lower in trial.metrics and trial.metrics[lower].value > 0:
            return trial.metrics[upper].value / trial.metrics[lower].value * factor
    return None


def checks(trial: Trial) -> dict[str, Check]:
    """The trial's validity checks by name."""
    if trial.validity is None:
        return {}
    return {name: getattr(trial.validity, name) for name in type(trial.validity).model_fields}


@dataclass
class RunData:
    """One run: its record, its trials, its grid as it was run."""

    folder: Path
    run: Run
    artifact: Artifact
    trials: list[Trial]
    unreadable: list[str] = field(default_factory=list)
    folders: dict[str, Path] = field(default_factory=dict)  # trial id → its folder

    def __post_init__(self) -> None:
        grid = self.artifact.experiment.grid if self.artifact.experiment else {}
        self.axes = list(grid)
        cells: dict[tuple[str, Point], list[Trial]] = {}
        for trial in sorted(self.trials, key=lambda trial: (trial.repetition, trial.order)):
            cells.setdefault((trial.point.label, self.point_of(trial)), []).append(trial)
        free = self.run.testbed.testbed_class != "lab"
        self.cells = {key: Cell(*key, tuple(trials), free) for key, trials in cells.items()}

    def point_of(self, trial: Trial) -> Point:
        return tuple((axis, trial.point.settings[axis]) for axis in self.axes if axis in trial.point.settings)

    def cell(self, system: str, point: Point) -> Cell:
        return self.cells.get((system, point), Cell(system, point, ()))

    @property
    def systems(self) -> list[str]:
        """Systems that the run has trials of, in the experiment's order."""
        present = {system for system, _ in self.cells}
        named = self.artifact.experiment.systems if self.artifact.experiment else []
        first = [one for name in named for one in sorted(present) if f"{one}/".startswith(name + "/")]
        return list(dict.fromkeys([*first, *sorted(present)]))

    @property
    def points(self) -> list[Point]:
        """All points that the run has trials at, in the order of the axes."""
        return sorted(
            {point for _, point in self.cells}, key=lambda point: [self._place(*one) for one in point]
        )

    def values_of(self, axis: str) -> list[Scalar]:
        """The axis' values that the run has: numbers ascending, words as the artifact names them."""
        return sorted(self._present(axis), key=lambda value: self._place(axis, value))

    def _present(self, axis: str) -> set[Scalar]:
        return {value for _, point in self.cells for name, value in point if name == axis}

    def _place(self, axis: str, value: Scalar) -> tuple[int, float, str]:
        """Where a value stands among those of its axis."""
        if isinstance(value, (int, float)):
            return (0, float(value), "")
        named = self.artifact.experiment.grid.get(axis, []) if self.artifact.experiment else []
        return (1, float(named.index(value)) if value in named else math.inf, value)

    def matrix(self, wanted: Sequence[tuple[Cell, str]]) -> NDArray[np.float64]:
        """Metric values: a row per (cell, metric), a column per repetition; NaN where there is none."""
        columns = {repetition: i for i, repetition in enumerate(self.repetitions)}
        rows = np.full((len(wanted), max(len(columns), 1)), np.nan)
        for row, (cell, metric) in enumerate(wanted):
            for trial in cell.usable:
                if (found := value(trial, metric)) is not None:
                    rows[row, columns[trial.repetition]] = found
        return rows

    @property
    def repetitions(self) -> list[int]:
        return sorted({trial.repetition for trial in self.trials})


def read_run(folder: Path, artifact: Artifact) -> RunData:
    """The run whose folder this is. A trial that cannot be read is told, not left out silently."""
    record = folder / "run.json"
    try:
        run = Run.model_validate_json(record.read_bytes())
    except OSError as error:
        raise UserError(f"{record}: {error.strerror}; expected a run's folder") from error
    except ValidationError as error:
        raise UserError(f"{record}: not a run's record: {_first(error)}") from error
    trials, unreadable, folders = [], [], {}
    for path in sorted(folder.glob("trials/*/trial.json")):
        try:
            trial = Trial.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            why = _first(error) if isinstance(error, ValidationError) else str(error)
            unreadable.append(f"{path.relative_to(folder)}: {why}")
            continue
        trials.append(trial)
        folders[trial.id] = path.parent
    return RunData(folder, run, artifact, trials, unreadable, folders)


def _first(error: ValidationError) -> str:
    detail = error.errors()[0]
    place = ".".join(map(str, detail["loc"]))
    return f"{place}: {detail['msg']}" if place else detail["msg"]


def runs_of(results: Path, artifact: str) -> list[Path]:
    """The folders of an artifact's runs, the oldest first."""
    found: Iterable[Path] = (path.parent for path in (results / artifact).glob("*/run.json"))
    return sorted(found, key=_started)


def _started(folder: Path) -> tuple[str, str]:
    try:
        return str(json.loads((folder / "run.json").read_bytes()).get("started", "")), folder.name
    except (OSError, ValueError):
        return "", folder.name
