# SPDX-License-Identifier: Apache-2.0
"""The harness' own priority while a testbed stands: it sleeps nearly always, and must not wake late."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_GROUP = Path("/proc/self/autogroup")  # there where the scheduler groups by session


class Hurried:
    """A context. Threads and gateways that are made inside inherit it; what gateways start does not."""

    def __init__(self, nice: int, realtime: bool) -> None:
        self.nice = nice
        self.realtime = realtime

    def __enter__(self) -> Hurried:
        self.before = (os.sched_getscheduler(0), os.sched_getparam(0), os.getpriority(os.PRIO_PROCESS, 0))
        self.group_before = self._group_nice()
        with contextlib.suppress(OSError):
            if self.realtime:
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))
            else:
                os.setpriority(os.PRIO_PROCESS, 0, self.nice)
                self._group(str(self.nice))
        return self

    def __exit__(self, *_: object) -> None:
        policy, parameter, nice = self.before
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, policy, parameter)
            os.setpriority(os.PRIO_PROCESS, 0, nice)
        if self.group_before is not None:
            self._group(self.group_before)

    @staticmethod
    def _group_nice() -> str | None:
        """Its nice value; None without a group: the file is then absent, or empty for a session without a terminal."""
        try:
            words = _GROUP.read_text().split()
        except OSError:
            return None
        return words[-1] if words else None

    @staticmethod
    def _group(nice: str) -> None:
        with contextlib.suppress(OSError):
            _GROUP.write_text(nice)
