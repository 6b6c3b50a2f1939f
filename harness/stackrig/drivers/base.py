# SPDX-License-Identifier: Apache-2.0
"""What every driver offers: the command lines of a load, and its raw output as numbers.

Parsers are pure functions over the raw text that a trial keeps, so they can be run again over old records.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Literal, Protocol

from stackrig import registry
from stackrig.errors import unknown
from stackrig.model.base import Scalar

PhaseName = Literal["warmup", "measure"]


class ParseError(Exception):
    """The output is not what this tool prints; the message says what was looked for."""


@dataclass(frozen=True)
class Load:
    """What is asked of a load generator in one trial."""

    program: str
    protocol: str
    targets: list[str]  # "10.77.0.1:80", one per NIC
    paths: list[str]  # URL paths; more than one: picked at random
    parameters: dict[str, Scalar]
    warmup_s: float
    duration_s: float
    wire: str
    ports: list[tuple[str, str]]  # (URI, address/prefix) per NIC, for wires that are not the kernel's
    cores: list[int]
    seed: int
    folder: str  # on the client's host
    content_root: str
    file_size: int | None  # bytes, where every answer has the same
    interfaces: list[str] = field(default_factory=list)  # the client's, for tools that go past the kernel
    local_addresses: list[str] = field(default_factory=list)  # of the client's kernel, one per NIC
    # Of the client's ends that the kernel does not own, for what runs beside a load on kernel sockets.
    beside: list[tuple[str, str]] = field(default_factory=list)
    header_bytes: int = 0  # of one answer, as the gate saw it; for tools that count headers as well

    def text(self, name: str, default: str = "") -> str:
        value = self.parameters.get(name, default)
        return str(value)

    def whole(self, name: str, default: int = 0) -> int:
        value = self.parameters.get(name, default)
        assert isinstance(value, int | float)
        return int(value)

    @property
    def queries(self) -> str:
        """Of a zone: the file with a query per line (stackrig.zones)."""
        return f"{self.content_root}/queries.txt"

    @property
    def expected(self) -> str:
        """What must come back, line by line."""
        return f"{self.content_root}/expected.txt"

    @property
    def closes(self) -> bool:
        return self.parameters.get("mode", "close") == "close"


@dataclass(frozen=True)
class Command:
    """One process of a load generator. `output`: the file it writes its result to; none: its stdout."""

    name: str
    argv: list[str]
    files: dict[str, str] = field(default_factory=dict)  # to be there before it starts
    output: str | None = None
    ready_word: str | None = None
    began_when: str | None = None  # a counter of the kernel's that rises once the load runs
    clean_up: list[str] = field(default_factory=list)  # a command to be run on the host once it has ended


@dataclass
class LoadResult:
    """What the clients saw in the measured phase, over all processes of the generator."""

    requests: int
    connections: int | None
    body_bytes: int | None
    duration_s: float
    errors: dict[str, int]
    offered_rate: float | None = None  # 1/s, open loop only
    sent: int | None = None  # requests that went out, where it says so and where losing some is no error
    unasked: int | None = None  # answers that nobody waited for (UDP): a second one, or one too late
    busy: float | None = None  # share of its cores that the generator worked, as it says itself
    looks: bool = False  # it polls when it has nothing to do: its CPU time is not its work
    latency_s: dict[str, float] = field(default_factory=dict)  # p50, p99, mean, ...
    latency_how: str = ""
    histogram: list[tuple[int, int]] | None = None  # (lower bound ns, count)
    wire_rx_bytes: int | None = None
    unavailable: dict[str, str] = field(default_factory=dict)
    beside: dict[str, float] = field(default_factory=dict)  # of the hostile load: metric → value

    @property
    def failed_requests(self) -> int:
        """Without `ending`: a connection's, behind an answer that was whole and right (docs/rigload.md)."""
        return sum(count for kind, count in self.errors.items() if kind != "ending")


class Driver(Protocol):
    name: str
    warms_up_itself: bool

    def refuses(self, load: Load) -> str | None:
        """Why this load is none for this generator, or None."""

    def commands(self, load: Load, phase: PhaseName, before: LoadResult | None) -> list[Command]:
        """Processes to start at once. `before`: the warm-up's result, for tools that count requests."""

    def parse(self, outputs: dict[str, str], load: Load) -> LoadResult:
        """Raw output by command name → numbers. Raises ParseError."""

    def version_command(self, program: str) -> list[str]: ...


def get(name: str) -> Driver:
    if name not in registry.drivers():
        raise unknown("driver", name, registry.drivers())
    driver: Driver = importlib.import_module(f"stackrig.drivers.{name}").DRIVER
    return driver


def quantile_s(histogram: list[tuple[int, int]], q: float) -> float:
    """Quantile in seconds of (value ns, count) pairs: the value at or above which 1 - q of them lie."""
    total = sum(count for _, count in histogram)
    seen = 0
    for value, count in sorted(histogram):
        seen += count
        if seen >= q * total:
            return value / 1e9
    return 0.0


def merge(results: list[LoadResult]) -> LoadResult:
    """Several processes of one generator as one: counts add, histograms merge, percentiles are never averaged."""
    if len(results) == 1:
        return results[0]
    errors: dict[str, int] = {}
    for result in results:
        for kind, count in result.errors.items():
            errors[kind] = errors.get(kind, 0) + count
    whole = LoadResult(
        requests=sum(r.requests for r in results),
        connections=_added([r.connections for r in results]),
        body_bytes=_added([r.body_bytes for r in results]),
        duration_s=max(r.duration_s for r in results),
        errors=errors,
        latency_how=results[0].latency_how,
    )
    if all(r.histogram is not None for r in results):
        counts: dict[int, int] = {}
        for result in results:
            for value, count in result.histogram or []:
                counts[value] = counts.get(value, 0) + count
        whole.histogram = sorted(counts.items())
        whole.latency_s = percentiles(whole.histogram)
    else:
        whole.unavailable["latency"] = "because several processes gave percentiles without histograms"
    return whole


def percentiles(histogram: list[tuple[int, int]]) -> dict[str, float]:
    total = sum(count for _, count in histogram)
    if total == 0:
        return {}
    named = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
    found = {name: quantile_s(histogram, q) for name, q in named.items()}
    found["mean"] = sum(value * count for value, count in histogram) / total / 1e9
    return found


def _added(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def share(connections: int, processes: int, index: int) -> int:
    """Connections of process `index` when they are dealt out as evenly as can be; each has one at least."""
    return max(1, connections // processes + (1 if index < connections % processes else 0))
