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


def evaluate(counted: dict[str, Any] | None, why_not: str) -> Collected:
    """From the answer of the worker's `count`, or the reason why there is none."""
    found = Collected()
    if counted is None:
        found.unavailable["syscalls_rate"] = f"because {why_not}"
        return found
    seconds = counted["ns"] / 1e9
    how = f"{TRACEPOINT} in a phase of its own, {seconds:.2f} s"
    found.put("syscalls_rate", counted["count"] / seconds, "1/s", how)
    return found


COLLECTOR = Syscalls()
