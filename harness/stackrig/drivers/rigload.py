# SPDX-License-Identifier: Apache-2.0
"""rigload: the project's own generator. One process, all wires, both loops; warms up itself; result in JSON."""

from __future__ import annotations

import json
from typing import Any

from stackrig.drivers.base import Command, Load, LoadResult, ParseError, PhaseName
from stackrig.testbed.wiring import SERVICES


def _where(load: Load) -> list[str]:
    argv = ["--kernel"] if load.wire == "kernel" else []
    for uri, address in load.ports:
        argv += ["--port", uri, "--address", address]
    if load.ports and (many := load.whole("source_addresses", 1)) > 1:
        argv += ["--source-addresses", str(many)]
    for target in load.targets:
        argv += ["--target", target]
    for core in load.cores:
        argv += ["--core", str(core)]
    if load.ports:
        argv += ["--idle", load.text("client_idle", "adaptive")]
        argv += ["--idle-spin-us", str(load.whole("client_idle_spin_us", 50))]
        argv += ["--tx-interval-us", str(load.whole("client_tx_interval_us", 10))]
    return argv


def _requests(load: Load, files: dict[str, str]) -> list[str]:
    """Of `rigload http`; `files`: what has to be there for it."""
    if len(load.paths) == 1:
        argv = ["--path", load.paths[0]]
    else:
        listed = f"{load.folder}/paths.txt"
        files[listed] = "\n".join(load.paths) + "\n"
        argv = ["--paths", listed]
    argv += ["--connections", str(load.whole("connections", 64)), "--mode", load.text("mode", "close")]
    if held := load.whole("hold"):
        argv += ["--hold", str(held)]
    return [*argv, "--content-root", load.content_root]


def _queries(load: Load) -> list[str]:
    """Of `rigload dns`."""
    argv = ["--queries", load.queries, "--expected", load.expected]
    argv += ["--order", load.text("order", "random")]
    argv += ["--outstanding", str(load.whole("outstanding", 512)), "--flows", str(load.whole("flows", 16))]
    return [*argv, "--edns"] if load.parameters.get("edns") else argv


def _buffers(load: Load) -> list[str]:
    """Of `rigload echo`: every byte that comes back is compared."""
    argv = ["--size", str(load.whole("payload", 32)), "--connections", str(load.whole("connections", 1))]
    return [*argv, "--pipeline", str(_pipeline(load))]


def _pipeline(load: Load) -> int:
    """Buffers under way on each connection: so many, or as many as `under_way` bytes hold."""
    size, bytes_under_way = load.whole("payload", 32), load.whole("under_way")
    return max(1, bytes_under_way // size) if bytes_under_way else load.whole("pipeline", 1)


def _messages(load: Load) -> list[str]:
    """Of `rigload forward`: the sinks are its own, on the client's kernel; every message is looked for."""
    argv = ["--sink-address", load.local_addresses[0]]
    argv += ["--senders", str(load.whole("senders", 8)), "--sinks", str(load.whole("sinks", 20))]
    return [*argv, "--size", str(load.whole("payload", 32))]


def _stream_for(load: Load) -> list[str]:
    """How long a stream lasts: no loop to choose, and all of it is checked."""
    argv = ["--warmup", f"{load.warmup_s:g}", "--duration", f"{load.duration_s:g}", "--seed", str(load.seed)]
    return [*argv, "--timeout-ms", str(load.whole("timeout_ms", 5000))]


def _words(load: Load, files: dict[str, str]) -> list[str]:
    if load.protocol == "echo":
        return [*_buffers(load), *_stream_for(load)]
    if load.protocol == "thrift":
        return [*_messages(load), *_stream_for(load)]
    return [*(_queries(load) if load.protocol == "dns" else _requests(load, files)), *_how_much(load)]


def _how_much(load: Load) -> list[str]:
    loop = load.text("loop", "closed")
    argv = ["--loop", loop]
    if loop == "open":
        argv += ["--rate", load.text("rate"), "--arrivals", load.text("arrivals", "poisson")]
    argv += ["--warmup", f"{load.warmup_s:g}", "--duration", f"{load.duration_s:g}", "--seed", str(load.seed)]
    argv += ["--check-every", str(load.whole("check_every", 64))]
    return [*argv, "--timeout-ms", str(load.whole("timeout_ms", 5000))]


# Segments, openings or turns a second of each flood, where nobody says: as much as leaves the client's core, which
# both loads run on, room for the real one.
FLOOD_RATES = {
    "syn": 30_000,
    "ack": 30_000,
    "sack": 20_000,
    "tiny-window": 20_000,
    "slow-read": 5_000,
    "half-open": 5_000,
    "port-reuse": 8_000,
}
FLOOD_ADDRESSES = 20
NO_FILE = "/none"  # what short connections ask for: a refusal is the least that a server says
FLOOD_TAIL_S = 1.0  # it ends after the real load's measured phase, not before


def _flood(load: Load) -> Command | None:
    """`rigload flood` beside the load, at the first of the client's ends."""
    kind = load.text("flood", "none")
    if kind == "none":
        return None
    (uri, address), output = load.beside[0], f"{load.folder}/flood.json"
    argv = [load.program, "flood", "--kind", kind, "--port", uri, "--address", address]
    argv += ["--source-addresses", str(FLOOD_ADDRESSES), "--target", load.targets[0]]
    argv += ["--rate", load.text("flood_rate") or str(FLOOD_RATES[kind])]
    if flows := load.whole("flood_flows"):
        argv += ["--flows", str(flows)]
    path = NO_FILE if kind == "port-reuse" else load.paths[0]
    argv += ["--path", path, "--seed", str(load.seed), "--idle-spin-us", "0"]
    argv += ["--duration", f"{load.warmup_s + load.duration_s + FLOOD_TAIL_S:g}"]
    for core in load.cores:
        argv += ["--core", str(core)]
    return Command("flood", [*argv, "--json", output], {}, output, "--ready-fd")


def _beside(outputs: dict[str, str]) -> dict[str, float]:
    """What the flood came to, as metrics."""
    if "flood" not in outputs:
        return {}
    said = json.loads(outputs["flood"])
    seconds = float(said["duration_s"]) or 1e-9
    return {
        "flood_rate": float(said["steps_rate"]),
        "flood_segments_rate": int(said["segments_sent"]) / seconds,
        "flood_connections_rate": int(said["connections_opened"]) / seconds,
    }


class Rigload:
    name = "rigload"
    warms_up_itself = True

    def refuses(self, load: Load) -> str | None:
        if load.text("loop", "closed") == "open" and not load.parameters.get("rate"):
            return "an open loop needs `rate`, the requests per second to offer"
        if load.protocol == "thrift" and load.wire != "kernel":
            return f"senders and sinks of `forward` are kernel sockets; {load.wire} is no wire for them"
        if load.protocol == "thrift" and (len(load.targets) > 1 or len(load.cores) > 1):
            return "`forward` is one forwarder's load, made by one thread: one NIC, one client core"
        if load.text("flood", "none") != "none" and (load.protocol != "http" or not load.beside):
            return (
                "a flood goes beside http on kernel sockets (wire kernel): its port is the client's own end"
            )
        return None

    def commands(self, load: Load, phase: PhaseName, before: LoadResult | None) -> list[Command]:
        output = f"{load.folder}/rigload.json"
        files: dict[str, str] = {}
        argv = [load.program, SERVICES[load.protocol], *_where(load), *_words(load, files)]
        argv += ["--json", output]
        flood = _flood(load)
        return [*([flood] if flood else []), Command("rigload", argv, files, output, "--ready-fd")]

    def parse(self, outputs: dict[str, str], load: Load) -> LoadResult:
        try:
            said = json.loads(outputs["rigload"])
            phase = next(p for p in said["phases"] if p["name"] == "measure")
            latency: dict[str, Any] = phase["latency_ns"]
            client: dict[str, Any] = phase.get("client") or {}
            result = LoadResult(
                requests=int(phase["requests_completed"]),
                connections=int(phase["connections_completed"]),
                body_bytes=int(phase["bytes_body"]),
                duration_s=float(phase["duration_s"]),
                errors={name: int(count) for name, count in phase["errors"].items()},
                offered_rate=said.get("offered_rate"),
                unasked=_unasked(said["phases"]),
                busy=client.get("busy_ratio"),
                looks=_looks(load),
                latency_how="rigload, from the due time"
                if said.get("loop") == "open"
                else "rigload, from when the request could first have gone",
                wire_rx_bytes=phase.get("bytes_wire_rx"),
                beside=_beside(outputs),
            )
        except StopIteration:
            raise ParseError("rigload's JSON has no phase named measure") from None
        except (KeyError, ValueError, TypeError) as error:
            raise ParseError(f"rigload's JSON is not as expected: {type(error).__name__}: {error}") from None
        buckets = (latency.get("histogram") or {}).get("buckets")
        if buckets:
            result.histogram = [(int(low), int(count)) for low, count in buckets]
        result.latency_s = {
            name: latency[name] / 1e9
            for name in ("p50", "p90", "p99", "p999", "mean")
            if latency.get("count")
        }
        return result

    def version_command(self, program: str) -> list[str]:
        return [program, "--version"]


def _unasked(phases: list[dict[str, Any]]) -> int | None:
    """While measured and while the last queries were waited for; None where the protocol knows no such thing."""
    counts = [phase.get("answers_unasked") for phase in phases if phase["name"] != "warmup"]
    known = [int(count) for count in counts if count is not None]
    return sum(known) if known else None


def _looks(load: Load) -> bool:
    """Does its loop poll when it has nothing to do, if only for a while before it blocks?"""
    if load.wire == "kernel":
        return False
    return load.text("client_idle", "adaptive") == "spin" or load.whole("client_idle_spin_us", 50) > 0


DRIVER = Rigload()
