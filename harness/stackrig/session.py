# SPDX-License-Identifier: Apache-2.0
"""What the trials of a run share: the testbed, the content, the gate's answers. Lives as long as the run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from stackrig import content, registry, server, zones
from stackrig.content import File
from stackrig.errors import SetupError, UserError
from stackrig.gate import http as http_gate
from stackrig.gate import stream_run
from stackrig.gate.dns_run import DnsGate
from stackrig.gate.report import Report
from stackrig.gateway.host import Host, HostError
from stackrig.model.base import Scalar
from stackrig.model.system import System
from stackrig.model.trial import Point
from stackrig.model.workload import STREAMS, Workload
from stackrig.server import Server, ServerError, ServerPlan
from stackrig.signals import came_of_an_interrupt
from stackrig.testbed.local import LocalTestbed, load_inventory
from stackrig.testbed.wiring import PORTS, Box, Wiring
from stackrig.zones import Zone

# Who hardly ever blocks, by which setting. An open loop's next request is due before a sleep would be worth it.
_SPINS = (("server", "idle", "spin"), ("client", "client_idle", "spin"), ("client", "loop", "open"))
REFERENCE = "nginx"  # whose answers the gate compares with


@dataclass(frozen=True)
class Corpus:
    """Content on the (RAM-backed) disk of this run: files, or the zone of so many entries."""

    root: Path
    files: list[File]
    entries: int = 0

    @property
    def zones(self) -> tuple[Zone, ...]:
        return (zones.bench_zone(self.root),) if self.entries else ()


class Session:
    """A context: entering makes the testbed, leaving removes it, however the run ends."""

    def __init__(self, inventory: str = "local", seed: int | None = None) -> None:
        """`seed`: of the run, for what the gate asks at random; None: a fixed one."""
        self.inventory_name = inventory
        self.inventory, self.inventory_hash = load_inventory(inventory)
        self._gates: dict[tuple[Any, ...], Report] = {}
        self.seed = seed
        # Content → the reference's answers, or why there are none.
        self._references: dict[str, list[http_gate.Asked] | str] = {}
        self._dated: set[tuple[str, str]] = set()
        self._serial = 0

    def __enter__(self) -> Session:
        self.testbed = LocalTestbed(self.inventory, self.inventory_hash)
        self.testbed.__enter__()
        # Its zones lie in the testbed's folder, and the references' signatures are of their keys.
        self._dns_gate = DnsGate(self, self.seed)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.testbed.__exit__(kind, value, tb)

    def renew(self) -> None:
        """A new testbed, after a gateway was lost."""
        self.testbed.__exit__(None, None, None)
        self.__enter__()

    def hosts_answer(self) -> bool:
        try:
            return all(
                host.call("read", timeout=5, files=[]) is not None
                for host in (self.testbed.server.host, self.testbed.client.host)
            )
        except HostError:
            return False

    # --- what a point means ------------------------------------------------------------------------------------

    def corpus(self, workload: Workload, settings: dict[str, Scalar]) -> Corpus:
        if workload.protocol == "dns":
            entries = _whole(settings, "zone_entries", 1)
            if not 1 <= entries <= zones.MOST:
                raise UserError(f"zone_entries: expected 1 to {zones.MOST}, got {entries}")
            root = self.testbed.folder / "content" / f"zone{entries}"
            zones.lay_out(entries, root)
            return Corpus(root, [], entries)
        if workload.protocol in STREAMS:
            root = self.testbed.folder / "content" / workload.protocol
            root.mkdir(parents=True, exist_ok=True)
            return Corpus(root, [])
        size = settings.get("file_size")
        file_size = int(size) if isinstance(size, int) else None
        files = content.files_of(workload.content, file_size)
        name = f"f{file_size}" if workload.content.kind == "single" else workload.name
        root = content.lay_out([*files, *http_gate.PROBES], self.testbed.folder / "content" / name)
        return Corpus(root, files)

    def folder(self) -> Path:
        """A fresh working folder for one start of a server."""
        self._serial += 1
        path = self.testbed.folder / f"work{self._serial}"
        path.mkdir()
        return path

    def cores(self, role: str, count: int) -> list[int]:
        side = self.testbed.server if role == "server" else self.testbed.client
        if count > len(side.cores):
            raise UserError(f"{role}_cores: {count} asked for, the inventory gives {len(side.cores)}")
        return side.cores[:count]

    # --- the gate ------------------------------------------------------------------------------------------------

    def gate(self, point: Point, plan: ServerPlan, wiring: Wiring, corpus: Corpus) -> Report:
        """The gate's report on a system serving this content; asked once per run."""
        settings = tuple(sorted(plan.settings.items()))
        key = (plan.label, settings, plan.wire, wiring.nics, wiring.queues, len(plan.cores), str(corpus.root))
        if key not in self._gates:
            # What a system answers does not depend on the delay, and the gate's patience does.
            self._gates[key] = self._pass_gate(point, plan, replace(wiring, box=None), corpus)
        return self._gates[key]

    def _pass_gate(self, point: Point, plan: ServerPlan, wiring: Wiring, corpus: Corpus) -> Report:
        if plan.system.floor:
            return Report(skipped=["answers: this is no server but what the wire itself costs"])
        if point.wire == "shm":
            return self._pass_load_gate(point, plan, wiring, corpus)
        if plan.protocol == "dns":
            return self._dns_gate.run(plan, wiring, corpus)
        if plan.protocol in STREAMS:
            return stream_run.run(self, plan, wiring)
        reference = "this is the baseline" if plan.system.name == REFERENCE else self._reference(corpus)
        answers = None if isinstance(reference, str) else reference
        cases = http_gate.cases(corpus.files)
        dated = (
            plan.label,
            plan.wire,
        )  # the clock is no matter of sizes or NICs, and watching it takes a second
        asked, dates = self._ask(plan, wiring, corpus, cases, with_date=dated not in self._dated)
        report = http_gate.judge(cases, asked, corpus.root, answers, plan.system.differs)
        if isinstance(reference, str):
            report.skipped = [f"answers were not compared with a baseline's: {reference}"]
        if dated in self._dated:
            report.skipped.append("Date: checked with this system's first gate of the run")
        else:
            http_gate.judge_date(report, dates)
            if report.ok:
                self._dated.add(dated)
        return report

    def _pass_load_gate(self, point: Point, plan: ServerPlan, wiring: Wiring, corpus: Corpus) -> Report:
        """Where no kernel client reaches the server: the load generator compares every answer with its file."""
        from stackrig.loads import Generation, LoadError, parse
        from stackrig.plan import Planned
        from stackrig.trial import make_load

        report = Report()
        skipped = {
            "http": "errors, HEAD, Date, the baseline's answers",
            "dns": "other zones and questions, the baselines' answers",
            "echo": "sizes and splits of all kinds, what is malformed",
            "thrift": "splits of all kinds, what is malformed",
        }
        report.skipped.append(f"{skipped[plan.protocol]}: the soft NIC has no kernel client")
        careful = point.model_copy(
            update={
                "settings": {
                    **point.settings,
                    "check_every": 1,
                    "loop": "closed",
                    "connections": 4,
                    "outstanding": 4,
                    "hold": 0,
                }
            }
        )
        wires = self.testbed.lay(wiring)
        instance = Server(self.testbed, wires, plan, self.folder())
        try:
            instance.start()
            driver, load = make_load(self, Planned(0, 0, 1, careful, 0.1, 0.3), wires, corpus, 0)
            generation = Generation(self.testbed, driver, load, "measure")
            generation.start()
            result = parse(driver, generation.finish(load.duration_s), load)
            instance.check_alive()
        except LoadError as error:
            raise ServerError(f"{plan.label}: the gate could not ask: {error}", error.excerpt) from None
        finally:
            instance.stop()
        report.checked = result.requests
        report.findings += [
            f"{count} answers with errors of kind {kind}" for kind, count in result.errors.items() if count
        ]
        if result.requests == 0:
            report.findings.append("no answer at all")
        return report

    def _reference(self, corpus: Corpus) -> list[http_gate.Asked] | str:
        """The baseline's answers. Where it gives none (not installed, broken), why: that is not the failure of
        the system under test."""
        key = str(corpus.root)
        if key not in self._references:
            try:
                self._references[key] = self._ask_reference(corpus)
            except (UserError, ServerError, HostError) as error:
                if came_of_an_interrupt(error):
                    raise
                self._references[key] = str(error)
        return self._references[key]

    def _ask_reference(self, corpus: Corpus) -> list[http_gate.Asked]:
        system, variant = registry.resolve_system(REFERENCE)
        server.program_of(system)
        plan = ServerPlan(
            system, variant, "http", {}, "kernel", self.testbed.server.cores[:1], str(corpus.root)
        )
        cases = http_gate.cases(corpus.files)
        return self._ask(plan, Wiring(), corpus, cases, with_date=False)[0]

    def _ask(
        self, plan: ServerPlan, wiring: Wiring, corpus: Corpus, cases: list[http_gate.Case], with_date: bool
    ) -> tuple[list[http_gate.Asked], list[http_gate.Asked]]:
        """Start the server for the gate alone, ask on every NIC, stop it."""
        wires = self.testbed.lay(wiring)
        instance = Server(self.testbed, wires, plan, self.folder())
        client = self.testbed.client.host
        try:
            instance.start()
            targets = [nic.target(plan.wire) for nic in wires.nics]
            asked = http_gate.ask(client, targets[0], plan.port, cases)
            for target in targets[1:]:
                _one_file(client, target, corpus, plan.label)
            dates = http_gate.ask_date(client, targets[0], plan.port) if with_date else []
            instance.check_alive()
        except HostError as error:
            raise ServerError(f"{plan.label}: the gate could not ask: {error}", instance.excerpt()) from None
        finally:
            instance.stop()
        return asked, dates


def _one_file(client: Host, target: str, corpus: Corpus, label: str) -> None:
    cases = [
        http_gate.Case(
            f"{target}: a file", [http_gate.get(http_gate.PROBES[0].path)], [http_gate.PROBES[0]], "open"
        )
    ]
    report = http_gate.judge(cases, http_gate.ask(client, target, PORTS["http"], cases), corpus.root, None)
    if not report.ok:
        raise ServerError(f"{label}: wrong answers on {target}: {report.told()}", "")


def server_plan(point: Point, corpus: Corpus, cores: list[int]) -> ServerPlan:
    """The server of a point: its variant's settings, and those of the grid that are its own."""
    system, variant = registry.resolve_system(f"{point.system}/{point.variant}")
    wires: dict[str, dict[str, Scalar]] = dict(system.wire_settings.items())
    settings: dict[str, Scalar] = {**wires.get(point.server_wire, {}), **system.variants[variant].settings}
    settings |= {name: value for name, value in point.settings.items() if name in system.settings}
    protocol = registry.load_workload(point.workload, point.load).protocol
    return ServerPlan(
        system, variant, protocol, settings, point.server_wire, cores, str(corpus.root), corpus.zones
    )


def wiring_of(point: Point, system: System) -> Wiring:
    settings = point.settings
    spinning = {role for role, name, value in _SPINS if settings.get(name) == value}
    if registry.load_generator(point.load).spins:
        spinning.add("client")
    variant = system.variants[point.variant]
    return Wiring(
        nics=_whole(settings, "nics", 1),
        queues=_whole(settings, "queues", 1),
        mtu=_whole(settings, "mtu", 1500),
        frames=variant.frames,
        server_wire=point.server_wire,
        client_wire=point.wire,
        client_passes=variant.answers_in_xdp and not _client_has_xdp(point),
        client_addresses=_whole(settings, "source_addresses", 1),
        link_rate=str(settings.get("link_rate", "")),
        congestion_control=_kernels_control(system, point),
        box=box_of(settings),
        spinning=tuple(sorted(spinning)),
    )


BOX_AXES = ("delay_ms", "delay_bands", "loss", "reorder")
"""Settings that ask for the delay box, whatever their values: all cells of a grid have it or none."""


def box_of(settings: dict[str, Scalar]) -> Box | None:
    if not any(name in settings for name in BOX_AXES):
        return None

    def number(name: str) -> float:
        value = float(settings.get(name, 0))
        if value < 0 or (name != "delay_ms" and value > 100):
            raise UserError(
                f"{name}: expected {'0 to 100 %' if name != 'delay_ms' else '0 or more'}, got {value:g}"
            )
        return value

    return Box(
        delay_ms=number("delay_ms"),
        bands=str(settings.get("delay_bands", "")),
        loss=number("loss"),
        reorder=number("reorder"),
        rate=str(settings.get("link_rate", "")),
        seed=_whole(settings, "box_seed", 1),
    )


def _kernels_control(system: System, point: Point) -> str:
    """Congestion control of a server in the kernel, where its variant or the grid says which."""
    if system.kind == "system" and "kernel" not in system.wires:
        return ""
    chosen = {**system.variants[point.variant].settings, **point.settings}
    return str(chosen.get("congestion_control", ""))


def _client_has_xdp(point: Point) -> bool:
    """Whether an XDP program stands at the client's end already while the load is on."""
    return point.wire == "afxdp" or registry.load_generator(point.load).has_xdp


def _whole(settings: dict[str, Scalar], name: str, default: int) -> int:
    return int(settings.get(name, default))


def require_programs(points: list[Point]) -> None:
    """Every program that a plan needs is there: told before anything is started."""
    missing: list[str] = []
    for name in sorted({f"{p.system}/{p.variant}" for p in points}):
        try:
            server.program_of(registry.resolve_system(name)[0])
        except SetupError as error:
            missing.append(str(error))
    for name in sorted({p.load for p in points}):
        from stackrig.loads import program_of

        try:
            program_of(registry.load_generator(name))
        except SetupError as error:
            missing.append(str(error))
    if missing:
        raise SetupError("\n".join(dict.fromkeys(missing)))
