# SPDX-License-Identifier: Apache-2.0
"""Programs on a host: started, waited for, stopped; none outlives the worker (PDEATHSIG)."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from stackrig.gateway.requests import Requests

# From the outside in: die with the worker; join the control groups; become the program. The program is a session of
# its own and so, where the scheduler groups by session, a group of its own: a nice value counts within a group only
# and the group needs the same.
_JOIN = """
for group in $RIG_CGROUPS; do echo $$ > "$group/cgroup.procs" || exit 125; done
[ "$RIG_NICE" = 0 ] || echo "$RIG_NICE" > /proc/self/autogroup
unset RIG_CGROUPS RIG_NICE
exec "$@"
"""


class Started:
    """A program that this worker started."""

    def __init__(self, process: subprocess.Popen[bytes], stdout: str, stderr: str, ready: int | None) -> None:
        self.process = process
        self.stdout = stdout
        self.stderr = stderr
        self.ready = ready


class Programs(Requests):
    def __init__(self) -> None:
        super().__init__()
        self.started: dict[str, Started] = {}

    def spawn(
        self,
        name: str,
        argv: list[str],
        stdout: str,
        stderr: str,
        cpus: list[int] | None = None,
        cgroups: list[str] | None = None,
        nice: int = 0,
        realtime: int = 0,
        env: dict[str, str] | None = None,
        ready_word: str | None = None,
        cwd: str | None = None,
    ) -> int:
        """Start `argv`; with `ready_word` its arguments get that option and a descriptor to write "ready" to."""
        reader: int | None = None
        passed: tuple[int, ...] = ()
        full = list(argv)
        if ready_word is not None:
            reader, writer = os.pipe()
            passed = (writer,)
            full += [ready_word, str(writer)]
        chain = ["setpriv", "--pdeathsig", "KILL"]
        if cpus:
            chain += ["taskset", "-c", ",".join(map(str, cpus))]
        if realtime:
            chain += ["chrt", "--rr", str(int(realtime))]
        elif nice:
            chain += ["nice", "-n", str(nice)]
        chain += ["sh", "-c", _JOIN, "sh", *full]
        group_nice = str(nice) if Path("/proc/self/autogroup").exists() else "0"
        environment = {
            **os.environ,
            **(env or {}),
            "RIG_CGROUPS": " ".join(cgroups or []),
            "RIG_NICE": group_nice,
        }
        with Path(stdout).open("ab") as out, Path(stderr).open("ab") as err:
            process = subprocess.Popen(
                chain,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                cwd=cwd,
                pass_fds=passed,
                start_new_session=True,
            )
        for descriptor in passed:
            os.close(descriptor)
        self.started[name] = Started(process, stdout, stderr, reader)
        return process.pid

    def wait_ready(self, name: str, seconds: float) -> str:
        """Until the program says it is ready: "ready", "died CODE" or "timeout"."""
        it = self.started[name]
        assert it.ready is not None
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(it.ready, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                if selector.select(min(left, 0.5)):
                    said = os.read(it.ready, 64)
                    if said.startswith(b"ready"):
                        return "ready"
                    it.process.wait(timeout=5)  # closed without a word: it is going
                if (code := it.process.poll()) is not None:
                    return f"died {code}"
                self._pause(0)
        return "timeout"

    def wait_connect(self, name: str, address: str, port: int, seconds: float) -> str:
        """Until the program accepts a connection: for those that do not say when they are ready."""
        it = self.started[name]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if (code := it.process.poll()) is not None:
                return f"died {code}"
            with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=0.5):
                return "ready"
            self._pause(0.02)
        return "timeout"

    def wait_counter(self, name: str, path: str, rise: int, seconds: float) -> str:
        """Until the number in a file of the kernel's has risen so much: for those whose beginning shows there."""
        it = self.started[name]
        first = int(Path(path).read_text())
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if int(Path(path).read_text()) - first >= rise:
                return "ready"
            if (code := it.process.poll()) is not None:
                return f"died {code}"
            self._pause(0.01)
        return "timeout"

    def wait(self, name: str, seconds: float) -> int | None:
        """Its exit code, or None if it still runs after that long."""
        process, deadline = self.started[name].process, time.monotonic() + seconds
        while (code := process.poll()) is None and (left := deadline - time.monotonic()) > 0:
            self._pause(min(left, 0.02))
        return code

    def stop(self, name: str, grace: float) -> dict[str, Any]:
        """SIGTERM, after `grace` seconds SIGKILL, to the program and what it has started."""
        it = self.started.pop(name)
        if it.ready is not None:
            os.close(it.ready)
        by_itself = it.process.poll()
        killed = False
        if by_itself is None:
            with contextlib.suppress(ProcessLookupError):
                it.process.send_signal(signal.SIGTERM)
            try:
                it.process.wait(timeout=grace)
            except subprocess.TimeoutExpired:
                killed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(it.process.pid, signal.SIGKILL)
        code = it.process.wait(timeout=10)
        return {"code": code, "by_itself": by_itself is not None, "killed": killed}

    def run(self, argv: list[str], stdin: str = "", timeout: float = 30.0) -> dict[str, Any]:
        """A short command to its end."""
        try:
            done = subprocess.run(
                argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
            )
        except FileNotFoundError:
            return {"code": 127, "out": "", "err": f"{argv[0]}: not found"}
        except subprocess.TimeoutExpired:
            return {"code": 124, "out": "", "err": f"{argv[0]}: no end after {timeout} s"}
        return {"code": done.returncode, "out": done.stdout, "err": done.stderr}
