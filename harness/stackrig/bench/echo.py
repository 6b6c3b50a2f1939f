# SPDX-License-Identifier: Apache-2.0
"""Method `echo`: packets per second that nmio's echo returns over AF_XDP, over those of a bare echo on the same
sockets, the two taking turns on the same wire."""

from __future__ import annotations

import json
import random
from pathlib import Path

from stackrig import paths
from stackrig.bench.base import Measured, Tell, attempt, ratio
from stackrig.errors import RunError, SetupError
from stackrig.model.bar import Bar
from stackrig.session import Session
from stackrig.testbed.local import Wires
from stackrig.testbed.wiring import Wiring

PROGRAMS = ("nmio_echo", "nmio_afxdp_bare_echo", "nmio_blaster")


def measure(bar: Bar, session: Session, tell: Tell) -> Measured:
    programs = {name: _program(name) for name in PROGRAMS}
    measured = Measured([], "bare echo", 0, candidate_name="nmio's echo")
    rates: dict[str, list[float]] = {"nmio_echo": [], "nmio_afxdp_bare_echo": []}
    chance = random.Random(1)
    for trial in range(bar.trials):
        order = chance.sample(sorted(rates), 2)

        def both(order: list[str] = order) -> dict[str, float]:
            return {name: _one(name, programs, bar, session) for name in order}

        pair = attempt(f"trial {trial + 1}", session, measured, tell, both)
        if pair is None:
            continue
        tell(
            f"[{trial + 1}/{bar.trials}] "
            + ", ".join(f"{name} {rate:,.0f} packets/s" for name, rate in sorted(pair.items()))
        )
        for name, rate in pair.items():
            rates[name].append(rate)
    ours, theirs = rates["nmio_echo"], rates["nmio_afxdp_bare_echo"]
    if ours:
        measured.outcomes.append(ratio("64 B frames", ours, theirs, "1/s", []))
    measured.trials = len(ours)
    return measured


def _program(name: str) -> str:
    path = paths.build_dir() / "systems" / "lib" / "nmio" / name
    if not path.exists():
        raise SetupError(f"{name}: its program {paths.shown(path)} is not built; run `make build`")
    return str(path)


def _one(name: str, programs: dict[str, str], bar: Bar, session: Session) -> float:
    """Packets per second that come back from one echo."""
    wires = session.testbed.lay(
        Wiring(server_wire="afxdp", client_wire="afxdp", spinning=("server", "client"))
    )
    server, client = session.testbed.server, session.testbed.client
    folder = session.folder()
    log = str(folder / "log")
    common = {"stdout": log, "stderr": log, "ready_word": "--ready-fd", **session.testbed.scheduling()}
    argv = [programs[name], "--core", str(server.cores[0]), "--burst", "64", *_where(name, wires)]
    server.host.call("spawn", name="echo", argv=argv, cpus=server.cores[:1], cgroups=server.join(), **common)
    try:
        _wait(session, "server", "echo", log)
        result = folder / "blaster.json"
        nic = wires.nics[0]
        argv = [
            programs["nmio_blaster"], "--port", f"{nic.client_uri}&address={nic.client_port}",
            "--target", nic.server_port, "--source", nic.client_port, "--core", str(client.cores[0]),
            "--warmup", str(bar.warmup_s),
            "--duration", str(bar.duration_s), "--json", str(result),
            *(str(word) for word in bar.options.get("blaster", [])),
        ]  # fmt: skip
        client.host.call(
            "spawn", name="blaster", argv=argv, cpus=client.cores[:1], cgroups=client.join(), **common
        )
        try:
            if client.host.call("wait", name="blaster", seconds=bar.warmup_s + bar.duration_s + 15) != 0:
                raise RunError(f"nmio_blaster against {name}: {client.host.call('tail', path=log)}")
        finally:
            client.host.call("stop", name="blaster", grace=1.0)
    finally:
        server.host.call("stop", name="echo", grace=2.0)
    return float(json.loads(Path(result).read_text())["echoes_per_s"])


def _where(name: str, wires: Wires) -> list[str]:
    nic = wires.nics[0]
    if name == "nmio_echo":
        return ["--port", f"{nic.server_uri}&address={nic.server_port}"]
    return ["--interface", nic.server_interface, "--address", nic.server_port]


def _wait(session: Session, role: str, name: str, log: str) -> None:
    host = session.testbed.server.host if role == "server" else session.testbed.client.host
    if (state := host.call("wait_ready", name=name, seconds=10)) != "ready":
        raise RunError(f"{name}: {state}: {host.call('tail', path=log)}")
