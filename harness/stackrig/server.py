# SPDX-License-Identifier: Apache-2.0
"""A server's life: command line, start, readiness, death noticed, stop, log."""

from __future__ import annotations

import shutil
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path

from stackrig import backend, paths
from stackrig.errors import RunError, SetupError
from stackrig.model.base import Scalar
from stackrig.model.system import Protocol, System
from stackrig.templates import environment
from stackrig.testbed.local import LocalTestbed, Wires
from stackrig.testbed.wiring import PORTS, PREFIX_LENGTH, SERVICES
from stackrig.zones import Zone, wire_name

READY_TIMEOUT_S = 30.0  # cutting a corpus of a thousand files into frames takes a while
STOP_GRACE_S = 5.0
EXCERPT_BYTES = 2000


class ServerError(RunError):
    """A server that did not get ready, died or could not be stopped; `excerpt` is the end of its log."""


@dataclass
class ServerPlan:
    """What is started: worked out before anything is, so that it can be shown (`--dry-run`) and recorded."""

    system: System
    variant: str
    protocol: Protocol  # of those that it speaks
    settings: dict[str, Scalar]  # of the system; the variant's and the point's, defaults left out
    wire: str
    cores: list[int]
    root: str
    zones: tuple[Zone, ...] = ()
    extra: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return PORTS[self.protocol]

    @property
    def label(self) -> str:
        return self.system.label(self.variant)


def program_of(system: System) -> str:
    """The program that will run: ours from the build folder, a baseline's from PATH."""
    if system.program or system.kind == "system":
        path = paths.build_dir() / (system.program or f"systems/{system.name}/{system.build_target}")
        if not path.exists():
            raise SetupError(
                f"{system.name}: its program {paths.shown(path)} is not built; run `make build`, or set "
                "STACKRIG_BUILD to the build folder"
            )
        return str(path)
    found = shutil.which(system.command[0])
    if found is None:
        packages = ", ".join(system.packages) or system.command[0]
        raise SetupError(
            f"{system.name}: {system.command[0]} is not on PATH; install {packages} or run ./bootstrap"
        )
    return found


def content_frames(root: Path) -> int:
    """Frames that the files below `root` take, each with its headers, cut for an MTU of 1500."""
    return sum(2 + path.stat().st_size // 1400 for path in root.iterdir() if path.is_file())


class Server:
    """One process under test on the testbed's server side."""

    def __init__(self, testbed: LocalTestbed, wires: Wires, plan: ServerPlan, folder: Path) -> None:
        self.testbed = testbed
        self.wires = wires
        self.plan = plan
        self.folder = folder
        self.log = str(folder / "server.log")
        self.telemetry: str | None = str(folder / "telemetry.page") if plan.system.kind == "system" else None
        self.pid = 0
        self.running = False
        self.backend: backend.Backend | None = None
        if plan.system.backend:
            self.backend = backend.Backend(testbed, wires, plan.root, folder / "backend")

    def start(self) -> None:
        """Returns when it serves. ServerError if it dies or does not get ready."""
        side = self.testbed.server
        side.host.call("mkdir", path=str(self.folder))
        if self.backend is not None:
            self.backend.start()
        argv = self._argv()
        speaks = self.plan.system.kind == "system" or self.plan.system.says_ready
        self.pid = side.host.call(
            "spawn",
            name="server",
            argv=argv,
            stdout=self.log,
            stderr=self.log,
            cpus=self.plan.cores,
            cgroups=side.join(),
            **self.testbed.scheduling(),
            ready_word="--ready-fd" if speaks else None,
            cwd=str(self.folder),
        )
        self.running = True
        if self.plan.system.floor:
            self._introduce()
        if speaks:
            state = side.host.call("wait_ready", name="server", seconds=READY_TIMEOUT_S)
        elif self.plan.protocol == "dns":
            state = self._wait_answer()
        else:
            target = self.wires.nics[0].target(self.plan.wire)
            state = side.host.call(
                "wait_connect",
                name="server",
                address=target,
                port=self.plan.port,
                seconds=READY_TIMEOUT_S,
            )
        if state != "ready":
            excerpt = self.excerpt()
            self.stop()
            told = {"timeout": f"was not ready after {READY_TIMEOUT_S:g} s"}.get(
                state, f"{state} before it was ready"
            )
            raise ServerError(f"{self.plan.label} {told.replace('died', 'died with exit code')}", excerpt)

    def _introduce(self) -> None:
        """Tells the clients' kernel the Ethernet addresses of what does not answer ARP."""
        for nic in self.wires.nics:
            file = f"/sys/class/net/{nic.server_interface}/address"
            text = self.testbed.server.host.call("read", files=[file])["texts"][file] or ""
            self.testbed.client.host.run(
                "ip", "neighbor", "replace", nic.target(self.plan.wire), "lladdr", text.strip(),
                "nud", "permanent", "dev", nic.client_interface,
            )  # fmt: skip

    def _wait_answer(self) -> str:
        """Until the last of its zones is served to the client: a name server listens before it has read them."""
        origin = self.plan.zones[-1].origin
        query = struct.pack(">HHHHHH", 1, 0, 1, 0, 0, 0) + wire_name(origin) + struct.pack(">HH", 6, 1)
        ask = {"address": self.wires.nics[0].target(self.plan.wire), "port": self.plan.port, "tries": 1}
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            code = self.testbed.server.host.call("wait", name="server", seconds=0)
            if code is not None:
                return f"died {code}"
            found = self.testbed.client.host.call("datagrams", messages=[query], timeout=0.2, **ask)[0]
            if found is not None and found[3] & 0xF == 0 and found[2] & 0x80:
                return "ready"
            time.sleep(0.05)
        return "timeout"

    def check_alive(self) -> None:
        code = self.testbed.server.host.call("wait", name="server", seconds=0)
        if code is not None:
            raise ServerError(
                f"{self.plan.label} died with exit code {code} while it was under load", self.excerpt()
            )

    def pids(self) -> list[int]:
        """Every process of the server, by its control group."""
        listed = str(self.testbed.server.cgroup / "cgroup.procs")
        text = self.testbed.server.host.call("read", files=[listed])["texts"][listed] or ""
        return [int(word) for word in text.split()]

    def excerpt(self) -> str:
        return str(self.testbed.server.host.call("tail", path=self.log, size=EXCERPT_BYTES)).strip()

    def stop(self) -> str | None:
        """Ends it; what was wrong about its end, or None."""
        if not self.running:
            if self.backend is not None:
                self.backend.stop()
            return None
        self.running = False
        end = self.testbed.server.host.call("stop", name="server", grace=STOP_GRACE_S)
        if self.backend is not None:
            self.backend.stop()
        if end["by_itself"]:
            return f"{self.plan.label} had ended by itself with exit code {end['code']}"
        if end["killed"]:
            return f"{self.plan.label} did not end within {STOP_GRACE_S:g} s of SIGTERM and was killed"
        if end["code"] not in (0, -15):
            return f"{self.plan.label} ended with exit code {end['code']} on SIGTERM"
        return None

    # --- command lines ------------------------------------------------------------------------------------------

    def _argv(self) -> list[str]:
        plan = self.plan
        templates = environment()
        values = self._values()
        program = program_of(plan.system)
        if plan.system.kind == "baseline":
            if plan.system.config_template:
                template = paths.root() / "baselines" / plan.system.name / plan.system.config_template
                config = templates.from_string(template.read_text()).render(values)
                self.testbed.server.host.call("put", path=str(self.folder / "server.conf"), data=config)
            rendered = [templates.from_string(word).render(values) for word in plan.system.command]
            return [program, *rendered[1:]]
        argv = [program]
        for nic in self.wires.nics:
            if plan.wire == "kernel":
                argv += ["--listen", f"{nic.server_kernel}:{plan.port}"]
            else:
                argv += ["--port", nic.server_uri, "--address", f"{nic.server_port}/{PREFIX_LENGTH}"]
        for core in plan.cores:
            argv += ["--core", str(core)]
        argv += ["--telemetry", str(self.telemetry)]
        argv += [templates.from_string(word).render(values) for word in plan.system.arguments]
        for zone in plan.zones:
            argv += [templates.from_string(word).render(values, zone=zone) for word in plan.system.per_zone]
        for name, value in plan.settings.items():
            setting = plan.system.settings[name]
            if setting.arg:
                argv += [setting.arg, str(value)]
        return argv + plan.extra

    def _values(self) -> dict[str, object]:
        plan = self.plan
        defaults = {name: setting.default for name, setting in plan.system.settings.items()}
        width = max(plan.cores) + 1
        return {
            **defaults,
            **plan.settings,
            "root": plan.root,
            "content_frames": content_frames(Path(plan.root)) if plan.protocol == "http" else 0,
            "zones": plan.zones,
            "interfaces": self.wires.interfaces("server"),
            "workdir": str(self.folder),
            "config": str(self.folder / "server.conf"),
            "cores": plan.cores,
            # nginx writes masks as binary digits, core 0 last.
            "core_masks": [f"{1 << core:0{width}b}" for core in plan.cores],
            "addresses": [nic.target(plan.wire) for nic in self.wires.nics],
            "backend": backend.endpoint(self.wires),
            "service": SERVICES[plan.protocol],
            "port": plan.port,
            "tcp_port": plan.port,
            "open_files": 20000,
        }
