# SPDX-License-Identifier: Apache-2.0
"""What stands behind a proxy under test: nginx with the run's files, in the clients' namespace and on their cores.

There for every proxy alike, so that the server's core has nothing but the proxy; what the backend costs is part of the
client side's CPU time, and a trial whose clients had no time left says so (validity.client_saturated).
"""

from __future__ import annotations

from pathlib import Path

from stackrig import paths, registry
from stackrig.errors import RunError
from stackrig.templates import environment
from stackrig.testbed.local import LocalTestbed, Wires

BASELINE = "nginx"
PORT = 8080
READY_TIMEOUT_S = 30.0
STOP_GRACE_S = 5.0
NAME = "backend"


def endpoint(wires: Wires) -> str:
    return f"{wires.nics[0].client_kernel}:{PORT}"


class Backend:
    """One nginx, from just before a proxy starts until just after it has stopped."""

    def __init__(self, testbed: LocalTestbed, wires: Wires, root: str, folder: Path) -> None:
        self.testbed = testbed
        self.wires = wires
        self.root = root
        self.folder = folder
        self.log = str(folder / "backend.log")
        self.running = False

    def start(self) -> None:
        """Returns when it serves. RunError if it does not."""
        side = self.testbed.client
        side.host.call("mkdir", path=str(self.folder))
        side.host.call("put", path=str(self.folder / "server.conf"), data=self._config())
        system = registry.load_system(BASELINE)
        argv = self._rendered(system.command)
        side.host.call(
            "spawn",
            name=NAME,
            argv=argv,
            stdout=self.log,
            stderr=self.log,
            cpus=side.cores,
            cgroups=side.join(),
            **self.testbed.scheduling(),
            cwd=str(self.folder),
        )
        self.running = True
        address, _, port = endpoint(self.wires).partition(":")
        state = side.host.call(
            "wait_connect", name=NAME, address=address, port=int(port), seconds=READY_TIMEOUT_S
        )
        if state != "ready":
            excerpt = str(side.host.call("tail", path=self.log, size=2000)).strip()
            self.stop()
            raise RunError(f"the backend, {BASELINE}, was not ready: {state}", excerpt)

    def stop(self) -> None:
        if self.running:
            self.running = False
            self.testbed.client.host.call("stop", name=NAME, grace=STOP_GRACE_S)

    def _config(self) -> str:
        template = registry.load_system(BASELINE).config_template
        assert template is not None
        return self._rendered([(paths.root() / "baselines" / BASELINE / template).read_text()])[0]

    def _rendered(self, texts: list[str]) -> list[str]:
        templates = environment()
        cores = self.testbed.client.cores[:1]
        settings = registry.load_system(BASELINE).settings
        values = {
            **{name: setting.default for name, setting in settings.items()},
            "root": self.root,
            "workdir": str(self.folder),
            "config": str(self.folder / "server.conf"),
            "cores": cores,
            "core_masks": [f"{1 << core:b}" for core in cores],
            "addresses": [self.wires.nics[0].client_kernel],
            "tcp_port": PORT,
            "open_files": 20000,
        }
        return [templates.from_string(text).render(values) for text in texts]
