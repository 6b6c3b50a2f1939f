# SPDX-License-Identifier: Apache-2.0
"""System calls of the server, counted by the kernel's raw_syscalls:sys_enter tracepoint.

Counting slows each call (2.6 % of nginx: docs/placement.md), so it is done in a phase of its own after the measured
one, under the same load; the worker opens a perf event for each of the server's threads.
"""

from __future__ import annotations

from typing import Any

from stackrig.collectors.base import Collected, Context, Side, Window

TRACEPOINT = "raw_syscalls/sys_enter"


class Syscalls:
    name = "syscalls"

    def files(self, side: Side, context: Context) -> list[str]:
        return []

    def binaries(self, side: Side, context: Context) -> list[str]:
        return []

    def evaluate(self, windows: dict[str, Window], context: Context) -> Collected:
        return Collected()


def evaluate(counted: dict[str, Any] | None, why_not: str, requests_rate: float = 0.0) -> Collected:
    """From the answer of the worker's `count`, or the reason why there is none. `requests_rate`: of the phase in
    which was counted, which is slower than the measured one."""
    found = Collected()
    if counted is None:
        for name in ("syscalls_rate", "syscalls_per_request"):
            found.unavailable[name] = f"because {why_not}"
        return found
    seconds = counted["ns"] / 1e9
    how = f"{TRACEPOINT} in a phase of its own, {seconds:.2f} s"
    rate = counted["count"] / seconds
    found.put("syscalls_rate", rate, "1/s", how)
    if requests_rate > 0:
        found.put("syscalls_per_request", rate / requests_rate, "1", f"{how}, over that phase's requests")
    else:
        found.unavailable["syscalls_per_request"] = "because no request was answered while they were counted"
    return found


COLLECTOR = Syscalls()
