# SPDX-License-Identifier: Apache-2.0
"""The wires of a trial as plain data: names and addresses of every end. Nothing here touches the machine."""

from __future__ import annotations

from dataclasses import dataclass

PORTS = {"http": 80, "dns": 53, "echo": 7, "thrift": 9090}
SERVICES = {"http": "http", "dns": "dns", "echo": "echo", "thrift": "forward"}
"""Protocol → what is done with it, as command lines say: the word of `--service` and rigload's command."""
PREFIX_LENGTH = 24
MAX_NICS = 64


@dataclass(frozen=True)
class Box:
    """What the delay box between server and clients does, both ways alike except for the delay."""

    delay_ms: float = 0.0  # on what goes to the server, as in the thesis (4.4): the round trip's
    bands: str = ""  # instead: per flow, such as 10ms-40ms/16
    loss: float = 0.0  # % of packets
    reorder: float = 0.0  # % of packets, held back by a millisecond
    rate: str = ""  # such as 400M
    seed: int = 1

    @property
    def chunks(self) -> int:
        """Packets that the box can hold each way: a gigabit of full frames for 300 ms, and its rings."""
        return 32768

    def words(self, delayed: bool = True) -> str:
        """As workloads/delaybox/link.h reads them, of the direction to the server; or of the one back."""
        said = []
        if delayed:
            said.append(f"bands={self.bands}" if self.bands else f"delay={self.delay_ms:g}ms")
        said += [f"loss={self.loss:g}%"] if self.loss else []
        said += [f"rate={self.rate}"] if self.rate else []
        said += [f"reorder={self.reorder:g}%"] if self.reorder else []
        return ",".join(said) or "delay=0ms"


@dataclass(frozen=True)
class Wiring:
    """What a point wants of the wires."""

    nics: int = 1
    queues: int = 1
    mtu: int = 1500
    frames: str = (
        "mtu"  # "mtu": frames as long as the MTU really cross the wire; "offloads": the kernel's own
    )
    server_wire: str = "kernel"  # who answers at the server's end: kernel, afxdp, shm
    client_wire: str = "kernel"
    client_addresses: int = 1
    spinning: tuple[str, ...] = ()  # roles whose process never blocks: its receive threads must go before it
    client_passes: bool = False  # an XDP program at the client's ends, which lets everything through
    link_rate: str = ""  # of the soft NIC or the delay box, such as 10G; empty: no cap
    congestion_control: str = ""  # of the server's kernel; empty: the inventory's
    box: Box | None = None  # the delay box, where one stands between


@dataclass(frozen=True)
class Nic:
    """One "NIC": both ends of a veth pair, or of a soft NIC (then there are no interfaces)."""

    index: int
    server_interface: str
    client_interface: str
    server_uri: str
    client_uri: str
    network: str  # "10.77.0.0/24"
    # In it: the kernel's addresses, and those of ports that the kernel does not own.
    server_kernel: str
    server_port: str
    client_kernel: str
    client_port: str
    # Of the delay box, where there is one: where the server's wire and the clients' end.
    box_server_interface: str = ""
    box_client_interface: str = ""

    def target(self, server_wire: str) -> str:
        return self.server_kernel if server_wire == "kernel" else self.server_port


def nic(run_prefix: str, wiring: Wiring, index: int, generation: int = 1) -> Nic:
    """Names and addresses of NIC `index`. `run_prefix` such as rig-3f2a-. Interface names must be unique
    on the machine (kernel threads carry them) and at most 11 letters (theirs add a suffix)."""
    short = run_prefix.replace("-", "")
    # A kernel keeps TIME_WAIT for a minute, and a new client with the same address and port would run into it: every
    # trial has addresses of its own, which come again after a hundred.
    net = f"10.{77 + (generation - 1) % 100}.{index}"
    many = max(1, wiring.client_addresses)
    queues = f"queues={wiring.queues}"
    box_server_interface = box_client_interface = ""
    if "shm" in (wiring.server_wire, wiring.client_wire):
        name = f"{run_prefix}{generation}-nic{index}"
        rate = f"&rate={wiring.link_rate}" if wiring.link_rate else ""
        server_uri, client_uri = (f"shm:{name}?side={side}&{queues}{rate}" for side in ("server", "client"))
        client_uri += "&lro=on"  # the client is to be the faster side, as with a real NIC's large receive
        server_interface = client_interface = ""
    else:
        server_interface, client_interface = f"{short}s{index}", f"{short}c{index}"
        if wiring.box is not None:
            box_server_interface, box_client_interface = f"{short}x{index}", f"{short}y{index}"
        server_uri = f"afxdp:{server_interface}?{queues}"
        client_uri = f"afxdp:{client_interface}?{queues}" + (f"&addresses={many}" if many > 1 else "")
    return Nic(
        index,
        server_interface,
        client_interface,
        server_uri,
        client_uri,
        network=f"{net}.0/{PREFIX_LENGTH}",
        server_kernel=f"{net}.1",
        server_port=f"{net}.2",
        client_kernel=f"{net}.101",
        client_port=f"{net}.201",
        box_server_interface=box_server_interface,
        box_client_interface=box_client_interface,
    )
