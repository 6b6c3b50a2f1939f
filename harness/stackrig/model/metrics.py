# SPDX-License-Identifier: Apache-2.0
"""The metrics of a trial: name, unit, how a figure shows them, and what a saturated client makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

ClientLimit = Literal["lower_bound", "unaffected", "meaningless"]
"""What a trial's value says about the server when the client, not the server, was the bottleneck.

lower_bound: the server could have done more, and this would be larger. unaffected: it still says what it
says, of a server with idle time. meaningless: it is the client's own figure.
"""


@dataclass(frozen=True)
class Metric:
    """`unit` is that of records (SI); a figure divides by `shown_per` and says `shown_unit`."""

    title: str
    unit: str
    shown_unit: str
    shown_per: float
    client_limited: ClientLimit


METRICS: dict[str, Metric] = {
    "goodput": Metric("Throughput", "bit/s", "Gb/s", 1e9, "lower_bound"),
    "requests_rate": Metric("Requests", "1/s", "thousand/s", 1e3, "lower_bound"),
    "connections_rate": Metric("Connections", "1/s", "thousand/s", 1e3, "lower_bound"),
    "latency_mean": Metric("Mean latency", "s", "ms", 1e-3, "meaningless"),
    "latency_p50": Metric("Median latency", "s", "ms", 1e-3, "meaningless"),
    "latency_p90": Metric("90th percentile of latency", "s", "ms", 1e-3, "meaningless"),
    "latency_p99": Metric("99th percentile of latency", "s", "ms", 1e-3, "meaningless"),
    "latency_p999": Metric("99.9th percentile of latency", "s", "ms", 1e-3, "meaningless"),
    "server_cpu_cores": Metric("Server cores busy", "cores", "cores", 1.0, "lower_bound"),
    "server_cpu_percent": Metric("Server CPU utilisation", "%", "%", 1.0, "lower_bound"),
    "server_cpu_per_request": Metric("Server CPU per request", "s", "µs", 1e-6, "unaffected"),
    "server_cpu_per_byte": Metric("Server CPU per byte", "s/B", "ns/B", 1e-9, "unaffected"),
    "server_busy_percent": Metric("Polling loop at work", "%", "%", 1.0, "lower_bound"),
    "syscalls_rate": Metric("System calls", "1/s", "thousand/s", 1e3, "meaningless"),
    "syscalls_per_request": Metric("System calls per request", "1", "", 1.0, "meaningless"),
    "client_busy": Metric("Client at work", "ratio", "%", 1e-2, "unaffected"),
    "machine_cpu_cores": Metric("Cores busy, whole machine", "cores", "cores", 1.0, "unaffected"),
    "nic_tx_bytes_rate": Metric("Bytes sent by the server's NICs", "B/s", "MB/s", 1e6, "lower_bound"),
    "nic_rx_bytes_rate": Metric("Bytes received by the server's NICs", "B/s", "MB/s", 1e6, "lower_bound"),
    "nic_tx_packets_rate": Metric(
        "Packets sent by the server's NICs", "1/s", "thousand/s", 1e3, "lower_bound"
    ),
    "nic_rx_packets_rate": Metric(
        "Packets received by the server's NICs", "1/s", "thousand/s", 1e3, "lower_bound"
    ),
    "udp_rcvbuf_errors_rate": Metric(
        "Datagrams that found the server's socket buffer full", "1/s", "1/s", 1.0, "unaffected"
    ),
    "answers_unasked": Metric("Answers that nobody waited for", "1", "", 1.0, "unaffected"),
    "llc_misses_per_request": Metric(
        "Misses of the last-level cache per request", "1", "", 1.0, "unaffected"
    ),
    "server_memory": Metric("Server's resident memory", "B", "MB", 1e6, "unaffected"),
    "server_memory_growth": Metric(
        "Growth of the server's memory while measured", "B", "MB", 1e6, "unaffected"
    ),
    "kernel_tcp_memory": Metric("Kernel's memory for TCP", "B", "MB", 1e6, "unaffected"),
    "kernel_sockets": Metric("TCP sockets in the server's namespace", "1", "", 1.0, "unaffected"),
    "flood_rate": Metric("Flood, steps", "1/s", "thousand/s", 1e3, "unaffected"),
    "flood_segments_rate": Metric("Flood, segments", "1/s", "thousand/s", 1e3, "unaffected"),
    "flood_connections_rate": Metric("Flood, connections", "1/s", "thousand/s", 1e3, "unaffected"),
    "delaybox_cpu_cores": Metric("Delay box's cores busy", "cores", "cores", 1.0, "unaffected"),
    "retransmits_rate": Metric("Segments sent again", "1/s", "1/s", 1.0, "unaffected"),
    "memory_read_rate": Metric("Memory read", "bit/s", "Gb/s", 1e9, "lower_bound"),
    "memory_write_rate": Metric("Memory written", "bit/s", "Gb/s", 1e9, "lower_bound"),
}

DERIVED: dict[str, tuple[str, str, float]] = {
    "server_cpu_per_byte": ("server_cpu_cores", "goodput", 8.0),
    "server_cpu_per_request": ("server_cpu_cores", "requests_rate", 1.0),
}
"""Metrics that follow from two others where a record does not have them: first / second * factor."""


def metric(name: str) -> Metric:
    """What is known of a metric; one that nobody described is shown as it is recorded."""
    return METRICS.get(name) or Metric(name.replace("_", " "), "", "", 1.0, "unaffected")


UNITS: dict[str, dict[str, float]] = {
    "bit/s": {"Gb/s": 1e9, "Mb/s": 1e6},
    "s": {"s": 1.0, "ms": 1e-3, "µs": 1e-6},
}
"""Units of records → those that a figure or table may show them in → records' units in one of these."""


def shown_in(name: str, unit: str = "") -> Metric:
    """A metric as it is shown in `unit`, where that is not its usual one. ValueError: it cannot be."""
    known = metric(name)
    if unit in ("", known.shown_unit):
        return known
    per = UNITS.get(known.unit, {}).get(unit)
    if per is None:
        raise ValueError(f"{name} cannot be shown in {unit!r}")
    return replace(known, shown_unit=unit, shown_per=per)
