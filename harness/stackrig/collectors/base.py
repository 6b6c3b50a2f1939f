# SPDX-License-Identifier: Apache-2.0
"""What a collector offers: which files to read at both ends of the measured window, and what they mean.

Reading is done by the host's worker for all collectors at once; `evaluate` is a pure function over what was
read, so it can be run again over old records.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any, Protocol

from stackrig import registry
from stackrig.model.trial import Metric
from stackrig.testbed.cgroups import Hierarchy


@dataclass(frozen=True)
class Side:
    """What a collector must know of one side of the testbed."""

    role: str  # "server" or "client"
    cores: list[int]
    cgroup: str
    interfaces: list[str]
    receive_threads: list[int]
    pids: list[int]
    telemetry: str | None = None
    # Of the testbed, though not the side's own: what else runs on its cores (the delay box).
    lodger_cgroup: str = ""
    lodger_threads: list[int] = field(default_factory=list)
    in_kernel: bool = False  # what serves here is the kernel itself: its workers are no strangers


@dataclass(frozen=True)
class Context:
    hierarchy: Hierarchy
    sides: dict[str, Side]
    wire: str

    @property
    def server(self) -> Side:
        return self.sides["server"]

    @property
    def client(self) -> Side:
        return self.sides["client"]


@dataclass
class Window:
    """What was read of one host: path → text or bytes at both ends, and how far they are apart."""

    seconds: float
    first: dict[str, Any]
    last: dict[str, Any]
    threads: list[dict[str, Any]] = field(
        default_factory=list
    )  # of the kernel: name, cpu, ns within the window

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Window:
        seconds = (raw["last"]["ns"] - raw["first"]["ns"]) / 1e9
        return cls(seconds, raw["first"]["texts"], raw["last"]["texts"], raw.get("threads", []))

    def delta(self, path: str) -> int:
        """Increase of a file that holds one number."""
        return int(self.last[path]) - int(self.first[path])

    def missing(self, path: str) -> bool:
        return self.first.get(path) is None or self.last.get(path) is None


@dataclass
class Collected:
    metrics: dict[str, Metric] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    # What validity wants to know beyond metrics: free form, kept in the trial's raw folder.
    facts: dict[str, Any] = field(default_factory=dict)

    def put(self, name: str, value: float, unit: str, how: str) -> None:
        self.metrics[name] = Metric(value=value, unit=unit, how=how)

    def merge(self, other: Collected) -> None:
        self.metrics.update(other.metrics)
        self.unavailable.update(other.unavailable)
        self.facts.update(other.facts)


class Collector(Protocol):
    name: str

    def files(self, side: Side, context: Context) -> list[str]:
        """Small text files to read on that side's host at both ends."""

    def binaries(self, side: Side, context: Context) -> list[str]:
        """Files to copy whole at both ends."""

    def evaluate(self, windows: dict[str, Window], context: Context) -> Collected:
        """`windows` by role."""


def all_collectors() -> list[Collector]:
    return [
        importlib.import_module(f"stackrig.collectors.{name}").COLLECTOR for name in registry.collectors()
    ]
