# SPDX-License-Identifier: Apache-2.0
"""Method `idle_memory`: bytes of memory that Sandstorm takes per idle connection while it serves others.

The empty server is one that has room for a handful of connections: memory that is set aside for connections at
start-up counts as theirs.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from stackrig import loads, registry
from stackrig.bench import trials
from stackrig.bench.base import Measured, Tell, attempt, single
from stackrig.loads import Generation
from stackrig.model.bar import Bar
from stackrig.model.base import Scalar
from stackrig.plan import Planned
from stackrig.server import Server, ServerPlan
from stackrig.session import Session, server_plan, wiring_of
from stackrig.trial import make_load

EMPTY_ROOM = 64  # connections that the empty server has room for


def measure(bar: Bar, session: Session, tell: Tell) -> Measured:
    held = int(bar.options["connections"])
    values: list[float] = []
    notes: list[str] = []
    measured = Measured([], None, 0)
    for trial in range(bar.trials):

        def both() -> tuple[dict[str, Any], dict[str, Any]]:
            return _resident(session, bar, EMPTY_ROOM, 0), _resident(session, bar, held + 1024, held)

        found = attempt(f"trial {trial + 1}", session, measured, tell, both)
        if found is None:
            continue
        empty, full = found
        if full["errors"] or full["held"] < held:
            measured.failures.append(
                f"{full['held']:,} of {held:,} held, errors while serving: {full['errors']}"
            )
            continue
        each = (full["bytes"] - empty["bytes"]) / held
        values.append(each)
        said = f"empty {empty['bytes']:,} B, {held:,} held {full['bytes']:,} B: {each:.0f} B each"
        tell(f"[{trial + 1}/{bar.trials}] {said}, serving {full['rate']:,.0f} requests/s")
        notes = [f"{full['rate']:,.0f} requests/s served meanwhile, without an error"]
    if values:
        measured.outcomes.append(single(f"{held:,} held", values, "B", notes))
        measured.trials = len(values)
    return measured


def _resident(session: Session, bar: Bar, room: int, held: int) -> dict[str, Any]:
    """Resident bytes of a server with room for `room` connections that holds `held` and serves a few more."""
    settings: dict[str, Scalar] = {"file_size": 64, "nics": 1, "connections": 16, "loop": "open",
                                   "rate": float(bar.options["rate"]), "hold": held}  # fmt: skip
    point = trials.point(bar, "candidate", settings)
    corpus = session.corpus(registry.load_workload(bar.workload, bar.load), {"file_size": 64})
    plan: ServerPlan = server_plan(point, corpus, session.cores("server", 1))
    plan = replace(plan, settings={**plan.settings, "max_connections": room})
    wires = session.testbed.lay(wiring_of(point, plan.system))
    server = Server(session.testbed, wires, plan, session.folder())
    generation = None
    try:
        server.start()
        planned = Planned(0, 0, 1, point, bar.warmup_s, 4 * bar.duration_s)
        driver, load = make_load(session, planned, wires, corpus, 0)
        generation = Generation(session.testbed, driver, load, "measure")
        generation.start()  # returns when all are held
        client = session.testbed.client.host
        client.call("read", files=[])
        session.testbed.server.host.call(
            "window", files=[], binaries=[], begin=bar.warmup_s + 1.0, length=0.5
        )
        resident = _bytes(session, server)
        held_now = _held(session, server)
        result = loads.parse(driver, generation.finish(load.duration_s), load)
    finally:
        if generation is not None:
            generation.abandon()
        server.stop()
    errors = {kind: count for kind, count in result.errors.items() if count}
    return {
        "bytes": resident,
        "errors": errors,
        "held": held_now,
        "rate": result.requests / result.duration_s,
    }


def _bytes(session: Session, server: Server) -> int:
    """Resident pages of every kind, huge ones as well."""
    paths = [f"/proc/{pid}/status" for pid in server.pids()]
    texts = session.testbed.server.host.call("read", files=paths)["texts"]
    total = 0
    for text in texts.values():
        for field in ("VmRSS", "HugetlbPages"):
            if found := re.search(rf"^{field}:\s+(\d+) kB", text or "", re.MULTILINE):
                total += int(found.group(1)) * 1024
    return total


def _held(session: Session, server: Server) -> int:
    """Connections that the server says it has now."""
    from stackrig.collectors.telemetry import parse, summed

    page = session.testbed.server.host.call("get", path=str(server.telemetry))
    return summed(parse(page), "tcp.connections_now") or 0
