# SPDX-License-Identifier: Apache-2.0
"""Namestorm over AF_XDP on a veth pair, with the kernel's UDP and TCP on the other side: every variant, the XDP
program's own answers among them."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support import run

from stackrig import paths
from stackrig.testbed.local import PASSING_SECTION, passing_program

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes network namespaces"),
]

SERVER = "10.77.0.2"
A, NS, SOA, TXT = 1, 2, 6, 16
VARIANTS = {
    "wire-memcpy": ["--variant", "memcpy", "--key", "wire"],
    "wire-precopy": ["--variant", "precopy", "--key", "wire"],
    "fqdn-memcpy": ["--variant", "memcpy", "--key", "fqdn"],
    "fqdn-precopy": ["--variant", "precopy", "--key", "fqdn"],
    "xdp": ["--xdp", "on"],
}

# Runs in the client's namespace: messages as JSON on stdin, what came back as JSON on stdout. Each message is
# sent again until it is answered or was sent `tries` times.
CLIENT = """
import json, socket, sys
job = json.load(sys.stdin)
answers = []
for i, message in enumerate(job["messages"]):
    data = bytes.fromhex(message)
    if job["tcp"]:
        s = socket.create_connection((job["server"], 53), timeout=30)
        s.sendall(len(data).to_bytes(2, "big") + data)
        f = s.makefile("rb")
        answers.append(f.read(int.from_bytes(f.read(2), "big")).hex())
        s.close()
        continue
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(job["timeout"])
        s.connect((job["server"], 53))
        got = None
        for _ in range(job["tries"]):
            s.send(data)
            try:
                got = s.recv(65535).hex()
                break
            except TimeoutError:
                pass
        answers.append(got)
json.dump(answers, sys.stdout)
"""

# The same, for as long as stdin is open: one question again and again, each sent once; what came back, in order.
STREAM = """
import json, select, socket, sys
data, server = bytes.fromhex(sys.argv[1]), sys.argv[2]
answers, sent = [], 0
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(30)
s.connect((server, 53))
print("going", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for i in range(16):
        s.send((i % 65536).to_bytes(2, "big") + data[2:])
        sent += 1
    for i in range(16):
        answers.append(s.recv(65535)[2:].hex())
json.dump([sent, answers], sys.stdout)
"""


def query(name: str, kind: int = A, ident: int = 0x4711, edns: bool = False) -> bytes:
    head = struct.pack(">HHHHHH", ident, 0x0100, 1, 0, 0, int(edns))
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    opt = b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0) if edns else b""
    return head + labels + b"\0" + struct.pack(">HH", kind, 1) + opt


def zone_text(address: str = "192.0.2.80") -> str:
    long = "".join(f'long TXT "{i:03d}{"x" * 90}"\n' for i in range(100))
    hosts = "".join(f"host{i} A 192.0.3.{i}\n" for i in range(100))
    return (
        "$TTL 3600\n@ SOA ns admin 1 3600 600 86400 300\n@ NS ns\nns A 192.0.2.1\nalias CNAME www\n"
        f'odd TXT "an odd text"\nodder TXT "an even text"\n*.wild A 192.0.2.9\nwww A {address}\n{hosts}{long}'
    )


@dataclass
class Wire:
    """Two namespaces, the veth pair between them, and Namestorm at one end."""

    variant: str
    folder: Path
    queues: int = 1
    server: str = field(default_factory=lambda: f"rigt-{os.getpid()}-s")
    client: str = field(default_factory=lambda: f"rigt-{os.getpid()}-c")
    process: subprocess.Popen[bytes] | None = None

    @property
    def zone(self) -> Path:
        return self.folder / "example.com.zone"

    @property
    def page(self) -> Path:
        return self.folder / "telemetry"

    def up(self) -> None:
        for ns in (self.server, self.client):
            run("ip", "netns", "add", ns)
        count = ["numrxqueues", str(self.queues), "numtxqueues", str(self.queues)]
        run("ip", "-n", self.server, "link", "add", "veths", *count, "type", "veth",
            "peer", "name", "vethc", *count, "netns", self.client)  # fmt: skip
        if self.variant == "xdp":
            # What XDP_TX sends is taken by a veth in native mode only if it has an XDP program too.
            run("ip", "-n", self.client, "link", "set", "dev", "vethc", "xdpdrv",
                "obj", str(passing_program()), "sec", PASSING_SECTION)  # fmt: skip
        run("ip", "-n", self.client, "address", "add", "10.77.0.1/24", "dev", "vethc")
        run("ip", "-n", self.server, "link", "set", "veths", "up")
        run("ip", "-n", self.client, "link", "set", "vethc", "up")
        run(
            "ip",
            "netns",
            "exec",
            self.client,
            "ethtool",
            "-K",
            "vethc",
            "tx",
            "off",
            "tso",
            "off",
            "gso",
            "off",
        )

    def down(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        for ns in (self.server, self.client):
            subprocess.run(["ip", "netns", "delete", ns], capture_output=True, check=False, timeout=30)

    def start(self) -> None:
        program = paths.build_dir() / "systems" / "namestorm" / "namestorm"
        self.zone.write_text(zone_text())
        read_end, write_end = os.pipe()
        words = ["ip", "netns", "exec", self.server, str(program), *VARIANTS[self.variant],
                 "--zone", f"example.com={self.zone}", "--port", f"afxdp:veths?queues={self.queues}",
                 "--address", f"{SERVER}/24", "--telemetry", str(self.page),
                 "--ready-fd", str(write_end)]  # fmt: skip
        log = self.folder / "log"
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(words, pass_fds=[write_end], stderr=stderr)
        os.close(write_end)
        ready = select.select([read_end], [], [], 60)[0] and os.read(read_end, 16) == b"ready\n"
        os.close(read_end)
        assert ready, f"namestorm did not get ready: {log.read_text()}"

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(timeout=30) == 0, (self.folder / "log").read_text()

    def ask(
        self, messages: list[bytes], *, tcp: bool = False, tries: int = 5, timeout: float = 5
    ) -> list[bytes | None]:
        job = {"server": SERVER, "messages": [m.hex() for m in messages], "tcp": tcp, "tries": tries,
               "timeout": timeout}  # fmt: skip
        words = ["ip", "netns", "exec", self.client, sys.executable, "-c", CLIENT]
        done = subprocess.run(
            words, input=json.dumps(job), capture_output=True, text=True, check=True, timeout=200
        )
        return [None if a is None else bytes.fromhex(a) for a in json.loads(done.stdout)]

    def counters(self) -> dict[str, int]:
        data = self.page.read_bytes()
        values = {}
        for i in range(struct.unpack_from("<I", data, 8)[0]):
            entry = data[40 + i * 112 : 40 + (i + 1) * 112]
            if struct.unpack_from("<I", entry, 88)[0] != 4:
                offset = struct.unpack_from("<Q", entry, 96)[0]
                values[entry[:64].split(b"\0")[0].decode()] = struct.unpack_from("<Q", data, offset)[0]
        return values


def make(variant: str, folder: Path, queues: int = 1) -> Iterator[Wire]:
    if not (paths.build_dir() / "systems" / "namestorm" / "namestorm").exists():
        pytest.skip("namestorm is not built")
    w = Wire(variant, folder, queues)
    try:
        w.up()
        w.start()
        yield w
        w.stop()
    finally:
        w.down()


@pytest.fixture(params=list(VARIANTS))
def wire(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Wire]:
    """Must stop cleanly when the test is over."""
    yield from make(request.param, tmp_path)


@pytest.fixture(params=["wire-memcpy", "wire-precopy", "xdp"])
def wide_wire(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Wire]:
    """The same with two queues."""
    yield from make(request.param, tmp_path, queues=2)


def head(answer: bytes | None) -> tuple[int, int, int, int]:
    """Id, rcode, records of the answer section, and whether it was truncated."""
    assert answer is not None
    ident, flags, _, answers = struct.unpack(">HHHH", answer[:8])
    return ident, flags & 0xF, answers, flags >> 9 & 1


QUESTIONS = [
    (query("www.example.com"), (0x4711, 0, 1, 0), b"\xc0\x00\x02\x50"),
    (query("wWw.eXAMPLE.com", ident=1), (1, 0, 1, 0), b"\xc0\x00\x02\x50"),
    (query("www.example.com", ident=2, edns=True), (2, 0, 1, 0), b"\xc0\x00\x02\x50"),
    (query("host99.example.com", ident=3), (3, 0, 1, 0), b"\xc0\x00\x03\x63"),
    (query("alias.example.com", ident=4), (4, 0, 2, 0), b"\xc0\x00\x02\x50"),
    (query("odd.example.com", TXT, ident=5), (5, 0, 1, 0), b"an odd text"),
    (query("odd.example.com", TXT, ident=6, edns=True), (6, 0, 1, 0), b"an odd text"),
    (query("odder.example.com", TXT, ident=7, edns=True), (7, 0, 1, 0), b"an even text"),
    (query("x.y.wild.example.com", ident=8), (8, 0, 1, 0), b"\xc0\x00\x02\x09"),
    (query("none.example.com", ident=9), (9, 3, 0, 0), b""),
    (query("www.example.com", NS, ident=10), (10, 0, 0, 0), b""),
    (query("example.com", SOA, ident=11), (11, 0, 1, 0), b""),
    (query("example.org", ident=12), (12, 5, 0, 0), b""),
]


def test_every_kind_of_answer(wire: Wire) -> None:
    answers = wire.ask([q for q, _, _ in QUESTIONS] * 3)
    for (q, wanted, content), answer in zip(QUESTIONS * 3, answers, strict=True):
        assert head(answer) == wanted, q
        assert answer is not None
        end = q.index(b"\0", 12) + 5
        assert answer[12:end] == q[12:end], "the question as it was asked, case and all"
        assert content in answer
    wire.stop()
    seen = wire.counters()
    if wire.variant == "xdp":
        assert seen["xdp.answers"] >= 3 * 9, "the program answered what is in its map"
        assert seen["q0.dns.cut"] == 0, "and left nothing of it to the server"
        assert seen["q0.dns.composed"] >= 3 * 4
    else:
        assert seen["q0.dns.cut"] >= 3 * 9
    wire.start()  # for the fixture, which stops it


def test_what_is_truncated_comes_whole_over_tcp(wire: Wire) -> None:
    q = query("long.example.com", TXT)
    assert head(wire.ask([q])[0])[3] == 1
    whole = wire.ask([q], tcp=True)[0]
    assert head(whole) == (0x4711, 0, 100, 0)
    assert whole is not None
    assert all(f"{i:03d}xxx".encode() in whole for i in range(100))
    assert [head(a) for a in wire.ask([q for q, _, _ in QUESTIONS], tcp=True)] == [h for _, h, _ in QUESTIONS]


def test_noise_is_not_answered_and_does_no_harm(wire: Wire) -> None:
    numbers = random.Random(1)
    noise = [bytes(numbers.randrange(256) for _ in range(numbers.randrange(11))) for _ in range(5)]
    noise.append(query("www.example.com")[:2] + b"\x81\x00" + query("www.example.com")[4:])  # a response
    assert wire.ask(noise, tries=1, timeout=0.2) == [None] * len(noise)
    pointer = query("www.example.com")[:12] + b"\xc0\x0c\0\x01\0\x01"
    errors = [pointer, query("www.example.com")[:-3], query("www.example.com")[:12]]
    assert [head(a)[1] for a in wire.ask(errors)] == [1, 1, 1]
    assert head(wire.ask([QUESTIONS[0][0]])[0]) == QUESTIONS[0][1]


def test_a_reload_under_load_loses_nothing_and_answers_nothing_wrong(wire: Wire) -> None:
    q = query("www.example.com")
    words = ["ip", "netns", "exec", wire.client, sys.executable, "-c", STREAM, q.hex(), SERVER]
    wire.ask([q])  # neighbours know each other
    stream = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert stream.stdout is not None
    assert stream.stdout.readline() == b"going\n"
    assert wire.process is not None
    for edition in range(1, 8):
        wire.zone.write_text(zone_text(f"192.0.2.{80 + edition}"))
        wire.process.send_signal(signal.SIGHUP)
        while wire.counters()["zones.reloads"] != edition:
            time.sleep(0.01)
    wire.zone.write_text("nonsense")
    wire.process.send_signal(signal.SIGHUP)
    while wire.counters()["zones.reloads_refused"] != 1:
        time.sleep(0.01)
    out, _ = stream.communicate(b"\n", timeout=60)
    sent, answers = json.loads(out)
    assert len(answers) == sent > 100
    editions = [bytes.fromhex(a)[-1] for a in answers]
    assert editions == sorted(editions), "never back to an edition before"
    assert set(editions) <= set(range(80, 88))
    assert editions[-1] == 87
    assert wire.ask([q])[0][-1] == 87  # type: ignore[index]


def test_two_queues_answer(wide_wire: Wire) -> None:
    # Each message goes from a port of its own.
    messages = [query(f"host{i % 100}.example.com", ident=i) for i in range(300)]
    assert [head(a) for a in wide_wire.ask(messages)] == [(i, 0, 1, 0) for i in range(300)]


def test_nothing_is_left_of_a_server_that_was_killed(wire: Wire) -> None:
    def attached() -> bool:
        shown = subprocess.run(["ip", "-d", "-n", wire.server, "link", "show", "veths"], capture_output=True,
                               text=True, check=True, timeout=30).stdout  # fmt: skip
        return "xdp" in shown

    assert attached()
    assert wire.process is not None
    # ip netns exec becomes the program: this is the server itself.
    wire.process.kill()
    wire.process.wait()
    deadline = time.monotonic() + 30
    while attached() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not attached()
    wire.start()
    assert head(wire.ask([QUESTIONS[0][0]])[0]) == QUESTIONS[0][1]
