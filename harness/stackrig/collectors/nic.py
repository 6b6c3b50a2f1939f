# SPDX-License-Identifier: Apache-2.0
"""Bytes and packets at the server's interfaces, as the kernel counts them there, and what its sockets had no
room for."""

from __future__ import annotations

from stackrig.collectors.base import Collected, Context, Side, Window

_COUNTERS = ("tx_bytes", "rx_bytes", "tx_packets", "rx_packets", "tx_dropped", "rx_dropped")
_SNMP = "/proc/net/snmp"  # of the namespace that the host's worker is in: the server's own
_UNITS = {"bytes": "B/s", "packets": "1/s", "dropped": "1/s"}


class Nic:
    name = "nic"

    def files(self, side: Side, context: Context) -> list[str]:
        if side.role != "server":
            return []
        return [*(_file(one, counter) for one in side.interfaces for counter in _COUNTERS), _SNMP]

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
        self._full_buffers(window, found)
        return found

    def _full_buffers(self, window: Window, found: Collected) -> None:
        name = "udp_rcvbuf_errors_rate"
        ends = [_udp(text[_SNMP], "RcvbufErrors") for text in (window.first, window.last) if text.get(_SNMP)]
        first, last = ends if len(ends) == 2 else (None, None)
        if first is None or last is None:
            found.unavailable[name] = f"because {_SNMP} cannot be read or has no Udp: RcvbufErrors"
            return
        found.put(name, (last - first) / window.seconds, "1/s", f"{_SNMP}, server's namespace")


def _udp(text: str, counter: str) -> int | None:
    """/proc/net/snmp has two lines per protocol: names, then values."""
    lines = [line.split() for line in text.splitlines() if line.startswith("Udp:")]
    values = dict(zip(*lines, strict=True)) if len(lines) == 2 else {}
    return int(values[counter]) if counter in values else None


def _file(interface: str, counter: str) -> str:
    return f"/sys/class/net/{interface}/statistics/{counter}"


COLLECTOR = Nic()
