# SPDX-License-Identifier: Apache-2.0
"""The delay box (workloads/delaybox) between server and clients: a namespace of its own, in which a program passes
frames between the ends of two veth pairs. On this machine it runs on the client's cores: there are no others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackrig import paths
from stackrig.errors import SetupError
from stackrig.gateway.host import Host, HostError
from stackrig.model.inventory import Vars
from stackrig.testbed import placement
from stackrig.testbed.wiring import Nic, Wiring

READY_S = 15.0
# The box is the wire: it goes before the processes at its ends, as its NAPI threads do (placement.settle).
PRIORITY = 2


def program() -> Path:
    found = paths.build_dir() / "workloads" / "delaybox" / "delaybox"
    if not found.exists():
        raise SetupError(f"{paths.shown(found)}: not built; `make build` builds it")
    return found


@dataclass
class DelayBox:
    """The namespace lives as long as the run; the programs in it as long as their wires."""

    host: Host
    cores: list[int]
    cgroup: Path
    folder: Path
    running: list[str] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    threads: list[placement.Thread] = field(default_factory=list)
    commands: list[list[str]] = field(default_factory=list)

    def start(self, wiring: Wiring, nics: list[Nic], how: Vars) -> None:
        """Its ends lie already. Returns when it passes frames."""
        for one in nics:
            for interface in (one.box_server_interface, one.box_client_interface):
                features = ["tso", "off", "gso", "off", "tx", "off", "gro", "on"]
                self.host.run("ethtool", "-K", interface, *features)
                self.host.run("ip", "link", "set", interface, "up")
        interfaces = [n for one in nics for n in (one.box_server_interface, one.box_client_interface)]
        self.threads = placement.settle(
            self.host, interfaces, self.cores, wiring.queues, how, before_process=True, frames=wiring.frames
        )
        for one in nics:
            self._spawn(wiring, one, how)
        for name in self.running:
            state = self.host.call("wait_ready", name=name, seconds=READY_S)
            if state != "ready":
                told = str(self.host.call("tail", path=self._log(name), size=1000)).strip()
                raise HostError(f"delay box: {state} before it passed frames: {told}")

    def _spawn(self, wiring: Wiring, one: Nic, how: Vars) -> None:
        assert wiring.box is not None
        name = f"delaybox{one.index}"
        queues = f"queues={wiring.queues}&chunks={wiring.box.chunks}"
        argv = [str(program()), "--port", f"afxdp:{one.box_server_interface}?{queues}",
                "--port", f"afxdp:{one.box_client_interface}?{queues}",
                "--to-server", wiring.box.words(),
                "--to-clients", wiring.box.words(delayed=False), "--seed", str(wiring.box.seed + one.index),
                "--telemetry", str(self.page(one)), "--idle-spin-us", "0"]  # fmt: skip
        for core in self.cores:
            argv += ["--core", str(core)]
        realtime = PRIORITY if how.policy == "realtime" else 0
        pid = self.host.call(
            "spawn", name=name, argv=argv, stdout=self._log(name), stderr=self._log(name), cpus=self.cores,
            cgroups=[str(self.cgroup)], nice=how.nice, realtime=realtime, ready_word="--ready-fd",
        )  # fmt: skip
        self.running.append(name)
        self.pids.append(pid)
        self.commands.append(argv)

    def page(self, one: Nic) -> Path:
        return self.folder / f"delaybox{one.index}.page"

    def check_alive(self) -> None:
        for name in self.running:
            if (code := self.host.call("wait", name=name, seconds=0)) is not None:
                told = str(self.host.call("tail", path=self._log(name), size=1000)).strip()
                raise HostError(f"delay box: ended with exit code {code} while it was in use: {told}")

    def stop(self) -> None:
        while self.running:
            self.host.call("stop", name=self.running.pop(), grace=2.0)
        self.pids.clear()
        self.threads.clear()
        self.commands.clear()

    def describe(self, wiring: Wiring, client_cores: list[int]) -> dict[str, Any]:
        """For the trial's provenance."""
        shared = sorted(set(self.cores) & set(client_cores))
        return {
            "cores": self.cores,
            "shares_cores_with": "client" if shared else "nobody",
            "to_server": wiring.box.words() if wiring.box else "",
            "to_clients": wiring.box.words(delayed=False) if wiring.box else "",
            "seed": wiring.box.seed if wiring.box else 0,
            "commands": [list(argv) for argv in self.commands],
        }

    def _log(self, name: str) -> str:
        return str(self.folder / f"{name}.log")
