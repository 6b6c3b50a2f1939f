# SPDX-License-Identifier: Apache-2.0
"""What runs on a host: starts and stops programs, reads and writes files, waits. Sent there as source by execnet,
with its parts (bundle.py), so it needs Python's standard library and nothing else of this project.

Each request is a dict with `op` and arguments; each answer is {"ok": result} or {"error": text}. Requests are
served one after the other by the main thread, whose death takes every started program along (PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path
from typing import Any

from stackrig.gateway.asks import Asks
from stackrig.gateway.files import Files
from stackrig.gateway.kernel import Kernel
from stackrig.gateway.streams import Streams


class Worker(Files, Asks, Streams, Kernel):
    def serve(self, channel: Any) -> None:
        channel.setcallback(self._take, endmarker=None)
        try:
            self._serve_all(channel)
        finally:  # also where nobody is left to be answered
            for name in list(self.started):
                with contextlib.suppress(Exception):
                    self.stop(name, 0.5)
            self.calm_workers()

    def _serve_all(self, channel: Any) -> None:
        while (request := self._next()) is not None:
            serial = request.pop("serial")
            try:
                operation = getattr(self, request.pop("op"))
                answer = {"serial": serial, "ok": operation(**request)}
            except Exception as error:
                answer = {"serial": serial, "error": f"{type(error).__name__}: {error}"}
            channel.send(answer)


def _raise_open_files() -> None:
    """As many descriptors as this machine lets anyone have: a client holds one per connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = int(Path("/proc/sys/fs/nr_open").read_text())
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__channelexec__":
    _raise_open_files()
    Worker().serve(channel)  # type: ignore[name-defined]  # noqa: F821  (execnet gives it)
