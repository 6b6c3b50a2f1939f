# SPDX-License-Identifier: Apache-2.0
"""Bytes and packets at the server's interfaces, as the kernel counts them there."""

from __future__ import annotations

from stackrig.collectors.base import Collected, Context, Side, Window

_COUNTERS = ("tx_bytes", "rx_bytes", "tx_packets", "rx_packets", "tx_dropped", "rx_dropped")
_UNITS = {"bytes": "B/s", "packets": "1/s", "dropped": "1/s"}


class Nic:
    name = "nic"

    def files(self, side: Side, context: Context) -> list[str]:
        if side.role != "server":
            return []
        return [_file(interface, counter) for interface in side.interfaces for counter in _COUNTERS]

    def binaries(self, side: Side, context: Context) -> list[str]:
        return []

    def evaluate(self, windows: dict[str, Window], context: Context) -> Collected:
        found = Collected()
        window, side = windows["server"], context.server
        for counter in _COUNTERS:
            name = f"nic_{counter}_rate"
            if not side.interfaces:
                found.unavailable[name] = (
                    f"because the wire {context.wire} has no interface; see nmio_* instead"
                )
                continue
            paths = [_file(interface, counter) for interface in side.interfaces]
            unread = [path for path in paths if window.missing(path)]
            if unread:
                found.unavailable[name] = f"because {unread[0]} cannot be read"
                continue
            total = sum(window.delta(path) for path in paths)
            found.put(
                name, total / window.seconds, _UNITS[counter.split("_")[1]], "sysfs statistics, server's end"
            )
        return found


def _file(interface: str, counter: str) -> str:
    return f"/sys/class/net/{interface}/statistics/{counter}"


COLLECTOR = Nic()
