# SPDX-License-Identifier: Apache-2.0
"""Segments that begin with bytes that came before, as a retransmission that is cut otherwise does.

tcp_read_skb() gives a verdict program the whole segment: without care those bytes would go out twice. A kernel does not
send such segments when asked, so a TCP of a few lines does.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from pathlib import Path

from tests.in_kernel.service import PATIENCE, inside, until
from tests.in_kernel_proxy.conftest import Make
from tests.in_kernel_proxy.service import Proxy, body_of

ADDRESS = "10.79.2.77"  # no kernel's
FIN, SYN, RST, ACK = 1, 2, 4, 16


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Tcp:
    """A client that decides itself what each segment holds."""

    def __init__(self, proxy: Proxy) -> None:
        assert proxy.namespace is not None
        with inside(proxy.client_namespace):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
            self.socket.bind(("ikpc", 0))
        self.socket.settimeout(PATIENCE)
        words = ["ip", "netns", "exec", proxy.namespace, "cat", "/sys/class/net/ikps/address"]
        there = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
        here = self.socket.getsockname()[4]
        subprocess.run(
            ["ip", "-n", proxy.namespace, "neighbor", "replace", ADDRESS,
             "lladdr", here.hex(":"), "dev", "ikps"],
            check=True,
        )  # fmt: skip
        self.ethernet = bytes.fromhex(there.replace(":", "")) + here + b"\x08\0"
        self.addresses = socket.inet_aton(ADDRESS) + socket.inet_aton(proxy.address)
        self.ports = struct.pack("!HH", 40000, proxy.port)
        self.first = 1000  # sequence number of the stream's first byte
        self.next_theirs = 0
        self.segment(SYN, self.first - 1)
        while True:
            frame = self.socket.recv(65536)
            tcp = frame[34:]
            if frame[26:34] == self.addresses[4:] + self.addresses[:4] and tcp[13] & (SYN | ACK) == SYN | ACK:
                break
        self.next_theirs = struct.unpack("!I", tcp[4:8])[0] + 1
        self.segment(ACK, self.first)

    def segment(self, flags: int, seq: int, data: bytes = b"") -> None:
        tcp = self.ports + struct.pack("!IIBBHHH", seq, self.next_theirs, 5 << 4, flags, 65535, 0, 0) + data
        pseudo = self.addresses + struct.pack("!BBH", 0, 6, len(tcp))
        tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0) + self.addresses
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        self.socket.send(self.ethernet + ip + tcp)

    def data(self, stream: bytes, begin: int, end: int) -> None:
        """Bytes [begin, end) of the stream."""
        self.segment(ACK, self.first + begin, stream[begin:end])


def test_bytes_that_come_twice_go_out_once(wire: Make, tmp_path: Path) -> None:
    got = bytearray()

    def keep(s: socket.socket) -> None:
        while part := s.recv(65536):
            got.extend(part)

    proxy, _ = wire("--spare", "0", handler=keep)
    stream = body_of(4000)
    tcp = Tcp(proxy)
    until(lambda: proxy.counters()["pairs.made"] == 1)
    tcp.data(stream, 0, 1000)
    until(lambda: len(got) == 1000)
    tcp.data(stream, 500, 1500)  # half of it is old
    until(lambda: len(got) >= 1500)
    tcp.data(stream, 100, 1500)  # all of it is
    tcp.data(stream, 2500, 3500)  # ahead of a hole, which is filled by more than it lacks
    tcp.data(stream, 1400, 2600)
    until(lambda: len(got) >= 3500)
    tcp.data(stream, 3499, 4000)
    until(lambda: len(got) >= 4000)
    time.sleep(0.05)
    assert bytes(got) == stream
    until(lambda: proxy.counters()["kernel.overlaps"] >= 2)
    tcp.segment(RST | ACK, tcp.first + 4000)
    until(lambda: proxy.counters()["clients.open_now"] == 0)
