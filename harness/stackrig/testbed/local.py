# SPDX-License-Identifier: Apache-2.0
"""The testbed on one machine: network namespaces for server and client, a veth pair per "NIC".

Namespaces and gateways live as long as a run; wires are laid anew for each trial, so that no trial sees what an
attached program or a changed feature of the one before has left on an interface.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from stackrig import paths
from stackrig.errors import SetupError, unknown
from stackrig.gateway.host import Host, HostError
from stackrig.model.inventory import HostVars, Inventory
from stackrig.signals import unhindered
from stackrig.testbed import hugepages, placement
from stackrig.testbed.cgroups import Hierarchy, hierarchy
from stackrig.testbed.delaybox import DelayBox
from stackrig.testbed.owner import MEMORY, Owner, clean_up_after_the_dead
from stackrig.testbed.priority import Hurried
from stackrig.testbed.wiring import MAX_NICS, PREFIX_LENGTH, Nic, Wiring, nic

TOOLS = ("ip", "tc", "ethtool", "setpriv", "taskset", "chrt", "setsid", "mount", "nsenter")
PASSING_SECTION = "xdp.frags"
_FEATURES = {
    "tx-checksumming": "tx",
    "tcp-segmentation-offload": "tso",
    "generic-segmentation-offload": "gso",
    "generic-receive-offload": "gro",
}


@dataclass
class Side:
    """Server or client: its gateway, its cores, its control group."""

    role: str
    host: Host
    cores: list[int]
    cgroup: Path
    sysctls: dict[str, str] = field(default_factory=dict)

    def join(self) -> list[str]:
        return [str(self.cgroup)]


@dataclass
class Wires:
    """The wires as they lie, with what was read back of them."""

    wiring: Wiring
    nics: list[Nic]
    offloads: dict[str, dict[str, bool]] = field(default_factory=dict)
    congestion_control: dict[str, str] = field(default_factory=dict)
    receive_threads: dict[str, list[placement.Thread]] = field(default_factory=dict)

    def interfaces(self, role: str) -> list[str]:
        names = [n.server_interface if role == "server" else n.client_interface for n in self.nics]
        return [name for name in names if name]


def passing_program() -> Path:
    """The XDP program that lets everything through (systems/lib/nmio/afxdp/pass.bpf.c). veth_xdp_flush() of Linux
    wakes who receives what an XDP program sends only where the receiving end has a program too; it goes with the
    veth."""
    found = paths.build_dir() / "bpf" / "pass.bpf.o"
    if not found.exists():
        raise SetupError(f"{paths.shown(found)}: not built; `make build` builds it")
    return found


def load_inventory(name: str = "local") -> tuple[Inventory, str]:
    """The inventory and its hash; the file's own name, or a path to another."""
    from stackrig.yamlfile import load

    folder = paths.root() / "inventory"
    path = Path(name) if "/" in name or name.endswith(".yml") else folder / f"{name}.yml"
    if not path.exists():
        raise unknown("inventory", name, [p.stem for p in folder.glob("*.yml")])
    return load(path, Inventory), hashlib.sha256(path.read_bytes()).hexdigest()


def preflight() -> None:
    """Everything that this testbed needs of the machine, before anything is made."""
    if os.geteuid() != 0:
        raise SetupError("not root: network namespaces and XDP programs need it; run as root (sudo)")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise SetupError(f"not found on PATH: {', '.join(missing)}; ./bootstrap installs them")
    if hierarchy().version == 0:
        raise SetupError("no control groups are mounted: CPU time could not be told apart; mount cgroup2")


class LocalTestbed:
    """Use as a context: on leaving, however that comes about, nothing of it is left."""

    def __init__(self, inventory: Inventory, inventory_hash: str = "") -> None:
        self.inventory = inventory
        self.inventory_hash = inventory_hash
        self.removed_before: list[str] = []
        self._generation = 0

    # --- life -------------------------------------------------------------------------------------------------

    def __enter__(self) -> LocalTestbed:
        preflight()
        self.removed_before = clean_up_after_the_dead()
        self.owner = Owner.new()
        self.groups: Hierarchy = hierarchy()
        self.folder = MEMORY / f"{self.owner.prefix}run"  # RAM-backed: content, sockets, logs while running
        self.wires: Wires | None = None
        self._sides: list[Side] = []
        self.box: DelayBox | None = None  # made when a trial first asks for it
        self._hurried = Hurried(**self.scheduling())
        try:
            self._hurried.__enter__()
            self.folder.mkdir()
            self._reserve_huge_pages()
            self.server = self._side("server", *self.inventory.server)
            self.client = self._side("client", *self.inventory.client)
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        with unhindered():
            self._remove()

    def _remove(self) -> None:
        for host in (*(side.host for side in self._sides), *([self.box.host] if self.box else [])):
            host.close()
        self._hurried.__exit__()
        self.owner.release()

    def _reserve_huge_pages(self) -> None:
        """Recorded before it is done: whoever clears up after this process gives them back."""
        wanted = hugepages.affordable(self.inventory.all.vars.huge_pages)
        if wanted == 0:
            return
        self.owner.huge_pages = wanted
        self.owner.save()
        self.owner.huge_pages = hugepages.reserve(wanted)
        self.owner.save()

    def _namespace(self, role: str) -> tuple[str, Path]:
        """A namespace and a control group, recorded before they are made."""
        namespace = f"{self.owner.prefix}{role}"
        cgroup = self.groups.group(f"{self.owner.prefix}{role}")
        self.owner.namespaces.append(namespace)
        self.owner.cgroups.append(str(cgroup))
        self.owner.save()
        cgroup.mkdir()
        _local("ip", "netns", "add", namespace)
        return namespace, cgroup

    def _delay_box(self) -> DelayBox:
        """Its namespace, at the client's cores, as long as the run lasts."""
        if self.box is None:
            namespace, cgroup = self._namespace("delaybox")
            host = Host("delaybox", ["ip", "netns", "exec", namespace])
            self.box = DelayBox(host, self.client.cores, cgroup, self.folder)
            host.call("mount_kernel_files", hierarchies=self.groups.mounts())
            host.call("hurry", **self.scheduling())
            self._sysctl(host, "net.ipv6.conf.all.disable_ipv6", "1")
        return self.box

    def _side(self, role: str, name: str, variables: HostVars) -> Side:
        missing = [core for core in variables.cores if core not in os.sched_getaffinity(0)]
        if missing:
            raise SetupError(f"inventory: host {name} is given core {missing[0]}, which this machine lacks")
        if variables.reach != "netns":
            raise SetupError(f"inventory: host {name}: the local testbed reaches hosts by netns only")
        namespace, cgroup = self._namespace(role)
        host = Host(name, ["ip", "netns", "exec", namespace])
        side = Side(role, host, variables.cores, cgroup)
        self._sides.append(side)
        host.call("mount_kernel_files", hierarchies=self.groups.mounts())
        host.call("hurry", **self.scheduling())
        host.run("ip", "link", "set", "lo", "up")
        for key, value in self.inventory.all.vars.sysctls.get(role, {}).items():
            side.sysctls[key] = self._sysctl(host, key, value)
        return side

    @staticmethod
    def _sysctl(host: Host, key: str, value: str) -> str:
        path = "/proc/sys/" + key.replace(".", "/")
        refused = host.call("write", path=path, text=value)
        now = host.call("read", files=[path])["texts"][path]
        read_back = " ".join(now.split()) if now is not None else "unavailable"
        return read_back if refused is None else f"{read_back} (asked for {value}: {refused})"

    # --- wires ------------------------------------------------------------------------------------------------

    def lay(self, wiring: Wiring) -> Wires:
        """New wires for a trial; those of the trial before are taken away."""
        self.take_away()
        if not 1 <= wiring.nics <= MAX_NICS:
            raise SetupError(f"nics: expected 1 to {MAX_NICS}, got {wiring.nics}")
        self._generation += 1
        nics = [nic(self.owner.prefix, wiring, index, self._generation) for index in range(wiring.nics)]
        self.wires = wires = Wires(wiring, nics)
        if not wires.interfaces("server"):
            if wiring.box is not None:
                raise SetupError(
                    "the soft NIC has no wire for the delay box to stand in; use wire afxdp or kernel"
                )
            return wires
        if wiring.box is not None and wiring.frames != "mtu":
            raise SetupError(
                "the delay box takes frames as long as the MTU; choose a variant that sends such"
            )
        self._lay_pairs(wires)
        for side in self._sides:
            self._dress(side, wires)
        for side in self._sides:
            self._pin_routes(side, wires)
            wires.receive_threads[side.role] = placement.settle(
                side.host, wires.interfaces(side.role), side.cores, wiring.queues, self.inventory.all.vars,
                before_process=side.role in wiring.spinning, frames=wiring.frames,
            )  # fmt: skip
        if wiring.box is not None:
            self._delay_box().start(wiring, nics, self.inventory.all.vars)
        return wires

    def _lay_pairs(self, wires: Wires) -> None:
        """A veth pair per NIC; two where the delay box stands between."""
        wiring = wires.wiring
        ends = f"mtu {wiring.mtu} numrxqueues {wiring.queues} numtxqueues {wiring.queues}"
        client = f"{self.owner.prefix}client"

        def pair(here: str, there: str, where: str) -> str:
            return f"link add {here} {ends} type veth peer name {there} {ends} netns {where}\n"

        if wiring.box is None:
            lines = [pair(one.server_interface, one.client_interface, client) for one in wires.nics]
            self.server.host.run("ip", "-batch", "-", stdin="".join(lines))
            return
        box = self._delay_box().host
        near = [
            pair(n.box_server_interface, n.server_interface, f"{self.owner.prefix}server") for n in wires.nics
        ]
        far = [pair(n.box_client_interface, n.client_interface, client) for n in wires.nics]
        box.run("ip", "-batch", "-", stdin="".join([*near, *far]))

    def scheduling(self, wire: str | None = None) -> dict[str, Any]:
        """How server and clients are scheduled: alike, and so the kernel's workers where they are the server.
        `wire`: the clients', where it is not laid now.

        Real-time processes are never kept waiting after a sleep, but get 95 % of a core at most. The two sides of
        a soft NIC under load do not sleep: there a high nice value keeps others away and costs nothing.
        """
        how = self.inventory.all.vars
        laid = self.wires.wiring.client_wire if self.wires is not None else ""
        asleep = (wire or laid) != "shm"
        return {"nice": how.nice, "realtime": how.policy == "realtime" and asleep}

    def client_prefix(self, wire: str) -> list[str]:
        """What a client's command line begins with. The two sides of a soft NIC meet over a socket that belongs
        to a network namespace, so its client runs in the server's."""
        return ["nsenter", f"--net=/run/netns/{self.owner.prefix}server"] if wire == "shm" else []

    def take_away(self) -> None:
        if self.wires is not None:
            if self.wires.wiring.box is not None and self.box is not None:
                self.box.stop()
            for side in self._sides:
                for interface in self.wires.interfaces(side.role):
                    side.host.call("run", argv=["ip", "link", "delete", interface])
        self.wires = None

    def _dress(self, side: Side, wires: Wires) -> None:
        """Features before the link is up, then addresses."""
        lines = []
        plain = wires.wiring.frames == "mtu"
        for one in wires.nics:
            interface = one.server_interface if side.role == "server" else one.client_interface
            address = one.server_kernel if side.role == "server" else one.client_kernel
            # GRO is what gives a veth its NAPI instances, so that receive work can be put into threads; it
            # merges on the receiving side only and leaves what crosses the wire as it is.
            words = (
                ["tso", "off", "gso", "off", "tx", "off"] if plain else ["tso", "on", "gso", "on", "tx", "on"]
            )
            side.host.run("ethtool", "-K", interface, *words, "gro", "on")
            if wires.wiring.client_passes and side.role == "client":
                lines.append(f"link set dev {interface} xdpdrv obj {passing_program()} sec {PASSING_SECTION}")
            lines += [f"addr add {address}/{PREFIX_LENGTH} dev {interface}", f"link set {interface} up"]
            wires.offloads[interface] = _features(side.host, interface)
            if self.inventory.all.vars.full_wire == "wait":
                # A veth without a queueing discipline drops what finds the peer's ring full; with one it says so.
                side.host.run("tc", "qdisc", "replace", "dev", interface, "root", "pfifo", "limit", "1000")
        side.host.run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")

    def _pin_routes(self, side: Side, wires: Wires) -> None:
        """A namespace does not inherit the host's congestion control: pin it per route and read it back."""
        wanted = self.inventory.all.vars.congestion_control
        if side.role == "server" and wires.wiring.congestion_control:
            wanted = wires.wiring.congestion_control
        for one in wires.nics:
            interface = one.server_interface if side.role == "server" else one.client_interface
            source = one.server_kernel if side.role == "server" else one.client_kernel
            side.host.run(
                "ip", "route", "change", one.network, "dev", interface, "proto", "kernel",
                "scope", "link", "src", source, "congctl", wanted,
            )  # fmt: skip
        routes = json.loads(side.host.run("ip", "-json", "-details", "route", "show"))
        ours = {one.network for one in wires.nics}
        pinned = {_congestion_of(route) for route in routes if route.get("dst") in ours}
        if pinned != {wanted}:
            raise HostError(
                f"{side.role}: congestion control is {sorted(map(str, pinned))}, asked for {wanted}"
            )
        wires.congestion_control[side.role] = wanted


def _congestion_of(route: dict[str, Any]) -> str | None:
    for metric in route.get("metrics", []):
        for key in ("cc_algo", "congctl", "congestion"):
            if key in metric:
                return str(metric[key])
    return None


def _features(host: Host, interface: str) -> dict[str, bool]:
    found = {}
    for line in host.run("ethtool", "-k", interface).splitlines():
        name, _, state = line.partition(":")
        if name in _FEATURES:
            found[_FEATURES[name]] = state.split()[0] == "on"
    return found


def _local(*argv: str) -> None:
    import subprocess

    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SetupError(f"{' '.join(argv)}: {done.stderr.strip()}")
