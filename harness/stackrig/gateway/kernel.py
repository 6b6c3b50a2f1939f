# SPDX-License-Identifier: Apache-2.0
"""What the worker asks of the kernel beyond files: events counted, threads placed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import time
from pathlib import Path
from typing import Any

from stackrig.gateway.requests import Requests


class Kernel(Requests):
    def __init__(self) -> None:
        super().__init__()
        self.hurried: dict[int, int] = {}  # kernel's worker → its nice value before

    def hurry_workers(self, cores: list[int], nice: int, realtime: bool) -> list[str]:
        """The kernel's workers of these cores, scheduled as servers are: at a real-time priority, or at `nice`. A
        server in the kernel has no process of its own that could be. May be called again, for workers come and go."""
        wanted = tuple(f"kworker/{core}:" for core in cores)
        found = []
        for tid, name in _kernel_threads(wanted):
            with contextlib.suppress(OSError):  # it has gone meanwhile
                # Its own policy is the ordinary one, whatever somebody that was killed left behind.
                self.hurried.setdefault(tid, os.getpriority(os.PRIO_PROCESS, tid))
                if realtime:
                    os.sched_setscheduler(tid, os.SCHED_RR, os.sched_param(1))
                else:
                    os.setpriority(os.PRIO_PROCESS, tid, nice)
                found.append(name)
        return sorted(found)

    def calm_workers(self) -> None:
        """As they were."""
        known = dict(_kernel_threads(("kworker/",)))
        while self.hurried:
            tid, nice = self.hurried.popitem()
            if tid in known:  # the number may be another's by now
                with contextlib.suppress(OSError):
                    os.sched_setscheduler(tid, os.SCHED_OTHER, os.sched_param(0))
                    os.setpriority(os.PRIO_PROCESS, tid, nice)

    def count_open(self, pids: list[int], tracepoint: str) -> list[int]:
        """Start counting a tracepoint in every thread of `pids` with perf events; the kernel adds, nobody wakes."""
        number = next(
            (
                int((base / tracepoint / "id").read_text())
                for base in (Path("/sys/kernel/tracing/events"), Path("/sys/kernel/debug/tracing/events"))
                if (base / tracepoint / "id").exists()
            ),
            None,
        )
        if number is None:
            raise OSError(f"tracepoint {tracepoint} not found: is tracefs mounted?")
        descriptors: list[int] = []
        try:
            for pid in pids:
                for thread in Path(f"/proc/{pid}/task").iterdir():
                    descriptors.append(_perf_open(number, int(thread.name)))
        except OSError:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return descriptors

    def count_close(self, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    def count(self, descriptors: list[int], begin: float, length: float) -> dict[str, Any]:
        """How often a tracepoint that is open fired within a window. Opening is no part of it: the first to ask for
        a tracepoint waits for all cores, and a window that waits as well ends after what it was to look at."""
        self._pause(begin)
        start, first = time.monotonic_ns(), _fired(descriptors)
        self._pause(length)
        end, last = time.monotonic_ns(), _fired(descriptors)
        return {"count": last - first, "ns": end - start}

    def place_threads(self, prefix: str, cores: list[int], nice: int, realtime: int) -> list[dict[str, Any]]:
        """Pin kernel threads by name, the i-th onto the i-th core in turn, at real-time priority `realtime` or, where
        that is 0, at `nice`; what was read back."""
        found: list[tuple[str, int]] = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    name = (folder / "comm").read_text().strip()
                    if name.startswith(prefix):
                        found.append((name, int(folder.name)))
        placed = []
        for index, (name, tid) in enumerate(sorted(found)):
            os.sched_setaffinity(tid, {cores[index % len(cores)]})
            if realtime:
                os.sched_setscheduler(tid, os.SCHED_RR, os.sched_param(realtime))
            else:
                os.setpriority(os.PRIO_PROCESS, tid, nice)
            placed.append({"tid": tid, "name": name, "cores": sorted(os.sched_getaffinity(tid))})
        return placed

    def hurry(self, nice: int, realtime: bool) -> None:
        """Be no later than what is measured: counters are read at the ends of a window, not when the load leaves
        a core free. What this worker starts does not inherit it."""
        if realtime:
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(2))
            return
        os.sched_setscheduler(0, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        with contextlib.suppress(OSError):  # there where the scheduler groups by session only
            Path("/proc/self/autogroup").write_text(str(nice))


def _kernel_threads(prefixes: tuple[str, ...]) -> list[tuple[int, str]]:
    """Id and name of the kernel's threads whose names begin so. Those have no program that they could run."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                name = (folder / "comm").read_text().strip()
                if name.startswith(prefixes) and not (folder / "cmdline").read_bytes():
                    found.append((int(folder.name), name))
    return found


def _fired(descriptors: list[int]) -> int:
    """What perf events have counted so far."""
    return sum(int(struct.unpack("Q", os.read(descriptor, 8))[0]) for descriptor in descriptors)


def _perf_open(tracepoint: int, thread: int) -> int:
    # struct perf_event_attr, version 0 (64 bytes): type TRACEPOINT = 2, flags bit 1 = inherit
    attributes = struct.pack("IIQQQQQIIQ", 2, 64, tracepoint, 0, 0, 0, 1 << 1, 0, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    number = {"x86_64": 298, "aarch64": 241}[os.uname().machine]
    descriptor = libc.syscall(number, ctypes.c_char_p(attributes), thread, -1, -1, 8)
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"perf_event_open: {os.strerror(code)}")
    return int(descriptor)
