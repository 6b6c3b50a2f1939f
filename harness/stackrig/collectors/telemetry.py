# SPDX-License-Identifier: Apache-2.0
"""The system's own counters, from its telemetry page (systems/lib/telemetry/page.h)."""

from __future__ import annotations

import os

from stackrig import _core
from stackrig.collectors.base import Collected, Context, Side, Window
from stackrig.errors import RunError

# Counters summed over queues and given as rates: last part of the name → metric.
_RATES = {
    "nmio.rx_packets": ("nmio_rx_packets_rate", "1/s"),
    "nmio.tx_packets": ("nmio_tx_packets_rate", "1/s"),
    "nmio.rx_bytes": ("nmio_rx_bytes_rate", "B/s"),
    "nmio.tx_bytes": ("nmio_tx_bytes_rate", "B/s"),
    "nmio.rx_dropped": ("nmio_rx_dropped_rate", "1/s"),
    "nmio.tx_dropped": ("nmio_tx_dropped_rate", "1/s"),
    "nmio.syscalls": ("nmio_syscalls_rate", "1/s"),
    "tcp.retransmits": ("retransmits_rate", "1/s"),
    "http.requests": ("http_requests_rate", "1/s"),
}


class PageError(RunError):
    """Not a telemetry page."""


def parse(page: bytes) -> _core.TelemetryPage:
    """A copy of a page. The reader takes files, for it also reads pages that are being written: here it gets one in
    memory."""
    descriptor = os.memfd_create("telemetry")
    try:
        os.write(descriptor, page)
        return _core.read_page(f"/proc/self/fd/{descriptor}")
    except (ValueError, OSError) as error:
        raise PageError(str(error).partition(": ")[2] or str(error)) from None
    finally:
        os.close(descriptor)


def summed(page: _core.TelemetryPage, suffix: str) -> int | None:
    """A counter over all queues: `q0.nmio.rx_packets` + `q1...`; None where no queue has it."""
    found = [
        value
        for name, value in page.values.items()
        if name.startswith("q") and name.partition(".")[2] == suffix
    ]
    return sum(found) if found else None


class Telemetry:
    name = "telemetry"

    def files(self, side: Side, context: Context) -> list[str]:
        return []

    def binaries(self, side: Side, context: Context) -> list[str]:
        return [side.telemetry] if side.telemetry else []

    def evaluate(self, windows: dict[str, Window], context: Context) -> Collected:
        found = Collected()
        path = context.server.telemetry
        if path is None:
            found.unavailable["server_busy_percent"] = (
                "because the server is not ours: it has no telemetry page"
            )
            return found
        window = windows["server"]
        if window.missing(path):
            found.unavailable["server_busy_percent"] = f"because {path} cannot be read"
            return found
        try:
            first, last = parse(window.first[path]), parse(window.last[path])
        except PageError as error:
            found.unavailable["server_busy_percent"] = f"because the telemetry page is none: {error}"
            return found
        found.facts["telemetry"] = {**last.values, **last.texts, "finished": int(last.finished)}
        for suffix, (metric, unit) in _RATES.items():
            before, after = summed(first, suffix), summed(last, suffix)
            if before is None or after is None:
                found.unavailable[metric] = f"because the page has no q*.{suffix}"
            else:
                found.put(metric, (after - before) / window.seconds, unit, f"telemetry q*.{suffix}")
        if not context.server.in_kernel:  # whose program only sets up; see the collector of CPU time
            _busy(found, first, last, window.seconds, len(context.server.cores))
        return found


def _busy(
    found: Collected, first: _core.TelemetryPage, last: _core.TelemetryPage, seconds: float, cores: int
) -> None:
    before, after = summed(first, "loop.busy_cycles"), summed(last, "loop.busy_cycles")
    rate = last.values.get("cycles_per_second")
    if before is None or after is None or not rate:
        found.unavailable["server_busy_percent"] = (
            "because the page has no busy cycles or no cycles_per_second"
        )
        return
    share = (after - before) / (seconds * rate * cores)
    found.put(
        "server_busy_percent", 100 * share, "%", "telemetry: the loops' busy cycles over the cores' cycles"
    )


COLLECTOR = Telemetry()
