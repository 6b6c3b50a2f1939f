# SPDX-License-Identifier: Apache-2.0
"""A host as the harness sees it: operations of gateway/worker.py by name, over one execnet channel."""

from __future__ import annotations

import shlex
import sys
import time
from typing import Any

from stackrig.errors import RunError, UserError


class HostError(RunError):
    """An operation that failed on the host; the message says which and why."""

    remedy = (
        "start it again: what is left of this run is removed first; `stackrig doctor` tells what is lacking"
    )


class Host:
    """One gateway process. `prefix` is what reaches the host: `ip netns exec NAME`, nothing, or SSH's options.

    One operation at a time: `begin` sends it, `result` waits for the answer, `call` does both. Whoever gives up
    waiting (Ctrl-C, no answer in time) may begin the next at once: the worker breaks off what it waits for, and an
    answer to a request that is not the last one is thrown away.
    """

    def __init__(self, name: str, prefix: list[str], ssh: str | None = None) -> None:
        import execnet

        self.name = name
        self.commands: list[list[str]] = []
        python = "python3" if ssh else sys.executable
        # A session of its own: Ctrl-C reaches the harness, which then ends the hosts in order.
        command = shlex.join(["setsid", *prefix, python])
        spec = f"ssh={ssh}//python={command}" if ssh else f"popen//python={command}"
        self._group = execnet.Group()
        try:
            from stackrig.gateway import bundle

            gateway = self._group.makegateway(spec)
            self._channel = gateway.remote_exec(bundle.source())
        except Exception as error:
            raise UserError(f"host {name}: no gateway by {command!r}: {error}") from None
        self._serial = 0
        self._op = ""

    def begin(self, op: str, **arguments: Any) -> None:
        if op in ("spawn", "run"):
            self.commands.append(list(arguments["argv"]))
        self._op = op
        self._serial += 1
        try:
            self._channel.send({"op": op, "serial": self._serial, **arguments})
        except OSError as error:
            raise HostError(f"host {self.name}: {op}: cannot be asked: {error}") from None

    def result(self, timeout: float | None = 120.0) -> Any:
        answer = self._answer(timeout)
        if "error" in answer:
            raise HostError(f"host {self.name}: {self._op}: {answer['error']}")
        return answer["ok"]

    def call(self, op: str, timeout: float | None = 120.0, **arguments: Any) -> Any:
        self.begin(op, **arguments)
        return self.result(timeout)

    def _answer(self, timeout: float | None) -> dict[str, Any]:
        """To the last request; older ones, which nobody waits for any more, are thrown away."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                answer: dict[str, Any] = self._channel.receive(left)
            except Exception as error:
                raise HostError(f"host {self.name}: {self._op}: no answer: {error}") from None
            if answer["serial"] == self._serial:
                return answer

    def run(self, *argv: str, stdin: str = "") -> str:
        """A command that must succeed; its output."""
        done = self.call("run", argv=list(argv), stdin=stdin)
        if done["code"] != 0:
            raise HostError(f"host {self.name}: {shlex.join(argv)}: {done['err'].strip() or done['code']}")
        return str(done["out"])

    def close(self) -> None:
        """End the gateway; what it started ends with it."""
        self._group.terminate(timeout=3.0)
