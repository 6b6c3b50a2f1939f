# SPDX-License-Identifier: Apache-2.0
"""The server's memory at both ends of the window: its processes' resident pages, huge ones as well, and what the
kernel holds for TCP, which is where a server on kernel sockets has its connections."""

from __future__ import annotations

import re

from stackrig.collectors.base import Collected, Context, Side, Window

SOCKSTAT = "/proc/net/sockstat"  # of the namespace that the host's worker is in
PAGE = 4096  # sockstat's "mem" counts pages of the machine's kernel, all namespaces


class Memory:
    name = "memory"

    def files(self, side: Side, context: Context) -> list[str]:
        if side.role != "server":
            return []
        return [*(_status(pid) for pid in side.pids), SOCKSTAT]

    def binaries(self, side: Side, context: Context) -> list[str]:
        return []

    def evaluate(self, windows: dict[str, Window], context: Context) -> Collected:
        found = Collected()
        window, side = windows["server"], context.server
        first = [resident(window.first.get(_status(pid))) for pid in side.pids]
        last = [resident(window.last.get(_status(pid))) for pid in side.pids]
        known = [(a, b) for a, b in zip(first, last, strict=True) if a is not None and b is not None]
        if known:
            how = "VmRSS and HugetlbPages of the server's processes, at the window's end"
            found.put("server_memory", float(sum(b for _, b in known)), "B", how)
            grown = float(sum(b - a for a, b in known))
            found.put("server_memory_growth", grown, "B", "the same, from the window's begin to its end")
        else:
            why = "because no process of the server could be read at both ends"
            found.unavailable["server_memory"] = found.unavailable["server_memory_growth"] = why
        self._sockets(window, found)
        return found

    def _sockets(self, window: Window, found: Collected) -> None:
        words = tcp_words(window.last.get(SOCKSTAT) or "")
        if "inuse" not in words or "mem" not in words:
            for name in ("kernel_sockets", "kernel_tcp_memory"):
                found.unavailable[name] = f"because {SOCKSTAT} cannot be read or has no TCP line"
            return
        sockets = words["inuse"] + words.get("tw", 0)
        found.put("kernel_sockets", float(sockets), "1", f"{SOCKSTAT}: TCP inuse and tw, server's namespace")
        how = f"{SOCKSTAT}: TCP mem, buffers of all namespaces"
        found.put("kernel_tcp_memory", float(words["mem"] * PAGE), "B", how)


def resident(status: str | None) -> int | None:
    """Bytes; None where there is no such text."""
    if status is None:
        return None
    kinds = (re.search(rf"^{kind}:\s+(\d+) kB", status, re.MULTILINE) for kind in ("VmRSS", "HugetlbPages"))
    return sum(int(found.group(1)) * 1024 for found in kinds if found)


def tcp_words(sockstat: str) -> dict[str, int]:
    """`TCP: inuse 5 orphan 0 tw 2 alloc 7 mem 1` → each with its number."""
    for line in sockstat.splitlines():
        name, _, rest = line.partition(":")
        if name == "TCP":
            words = rest.split()
            return {words[i]: int(words[i + 1]) for i in range(0, len(words) - 1, 2)}
    return {}


def _status(pid: int) -> str:
    return f"/proc/{pid}/status"


COLLECTOR = Memory()
