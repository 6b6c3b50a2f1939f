# SPDX-License-Identifier: Apache-2.0
"""The program `rtc` over AF_XDP on a veth pair, with the kernel's TCP on the other side."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from stackrig import paths

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes network namespaces"),
]

SERVER = "10.77.0.2"
CLIENT = "10.77.0.1"

# Runs in the client's namespace: connections as JSON on stdin ({size, count, pieces, half_close}), what was wrong as
# JSON on stdout. A connection sends from a thread of its own, so that any number of buffers may be under way.
ECHO = """
import json, os, socket, sys, threading
job = json.load(sys.stdin)
def connection(one, out):
    size, count, step = one["size"], one["count"], one["pieces"]
    sent = os.urandom(size * count)
    with socket.create_connection((job["server"], 7), timeout=30) as s:
        def send():
            whole = size.to_bytes(4, "big") + sent + b"x" * one["half_close"]
            for at in range(0, len(whole), step):
                s.sendall(whole[at:at + step])
            s.shutdown(socket.SHUT_WR)
        sender = threading.Thread(target=send)
        sender.start()
        got = bytearray()
        while piece := s.recv(1 << 16):
            got += piece
        sender.join()
        if bytes(got) != sent:
            out.append(f"{one}: {len(got)} bytes of {len(sent)} came back, or wrong ones")
wrong = []
threads = [threading.Thread(target=connection, args=(one, wrong)) for one in job["connections"]]
for t in threads: t.start()
for t in threads: t.join()
json.dump(wrong, sys.stdout)
"""

# The same: a forwarder's senders and sinks. Sinks read slowly where they are told to.
FORWARD = """
import json, socket, struct, sys, threading, time
job = json.load(sys.stdin)
def string(s): return struct.pack("!i", len(s)) + s
def head(kind, name, seq): return struct.pack("!I", 0x80010000 | kind) + string(name) + struct.pack("!i", seq)
def msg(key, seq, payload):
    body = b"\\x08\\0\\x01" + struct.pack("!i", key) + b"\\x0b\\0\\x02" + string(payload)
    return head(4, b"msg", seq) + body + b"\\0"
def result(name, seq, value): return head(2, name, seq) + b"\\x08\\0\\0" + struct.pack("!i", value) + b"\\0"
def exactly(s, n):
    got = b""
    while len(got) < n:
        piece = s.recv(n - len(got))
        if not piece: raise EOFError
        got += piece
    return got
wrong = []
def call(s, words, wanted, what):
    s.sendall(words)
    got = exactly(s, len(wanted))
    if got != wanted: wrong.append(f"{what}: {got!r}")
received = [bytearray() for _ in range(job["sinks"])]
def sink(listener, k):
    s, _ = listener.accept()
    while piece := s.recv(1 << 16):
        received[k] += piece
        if job["slow"] and len(received[k]) < 2_000_000: time.sleep(0.002)
listeners = [socket.create_server((job["client"], 0)) for _ in received]
sinks = [threading.Thread(target=sink, args=(l, k)) for k, l in enumerate(listeners)]
for t in sinks: t.start()
control = socket.create_connection((job["server"], 9090), timeout=60)
for k, l in enumerate(listeners):
    port = l.getsockname()[1]
    words = (head(1, b"connect", k) + b"\\x08\\0\\x01" + struct.pack("!i", k) + b"\\x0b\\0\\x02"
             + string(job["client"].encode()) + b"\\x08\\0\\x03" + struct.pack("!i", port) + b"\\0")
    call(control, words, result(b"connect", k, 0), f"connect {k}")
sent = {}
def sender(number):
    with socket.create_connection((job["server"], 9090), timeout=60) as s:
        stream = bytearray()
        for i in range(job["messages"]):
            key = (number + i) % job["sinks"]
            m = msg(key, number, bytes([65 + (i + number) % 26]) * (job["size"] + i % 7))
            sent[number, key] = sent.get((number, key), b"") + m
            stream += m
        for at in range(0, len(stream), job["pieces"]):
            s.sendall(stream[at:at + job["pieces"]])
        s.shutdown(socket.SHUT_WR)
        if s.recv(1): wrong.append(f"sender {number} was told something")
senders = [threading.Thread(target=sender, args=(n,)) for n in range(job["senders"])]
for t in senders: t.start()
for t in senders: t.join()
call(control, head(1, b"close", 99) + b"\\0", result(b"close", 99, job["sinks"]), "close")
for t in sinks: t.join()
for k, stream in enumerate(received):
    by_sender, at = {}, 0
    while at < len(stream):
        seq = struct.unpack_from("!i", stream, at + 11)[0]
        length = 30 + struct.unpack_from("!i", stream, at + 25)[0]
        by_sender[seq] = by_sender.get(seq, b"") + bytes(stream[at:at + length])
        at += length
    for n in range(job["senders"]):
        if by_sender.get(n, b"") != sent.get((n, k), b""):
            wrong.append(f"sink {k}: {len(by_sender.get(n, b''))} bytes of sender {n}, or wrong ones")
json.dump(wrong, sys.stdout)
"""


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=60)


@dataclass
class Wire:
    """Two namespaces and the veth pair between them."""

    server: str
    client: str
    server_if: str = "veths"
    client_if: str = "vethc"

    def up(self) -> None:
        for ns in (self.server, self.client):
            run("ip", "netns", "add", ns)
        run("ip", "-n", self.server, "link", "add", self.server_if, "type", "veth",
            "peer", "name", self.client_if, "netns", self.client)  # fmt: skip
        run("ip", "-n", self.client, "address", "add", f"{CLIENT}/24", "dev", self.client_if)
        run("ip", "-n", self.server, "link", "set", self.server_if, "up")
        run("ip", "-n", self.client, "link", "set", self.client_if, "up")
        run("ip", "netns", "exec", self.client, "ethtool", "-K", self.client_if,
            "tx", "off", "tso", "off", "gso", "off")  # fmt: skip

    def down(self) -> None:
        for ns in (self.server, self.client):
            subprocess.run(["ip", "netns", "delete", ns], capture_output=True, check=False, timeout=30)

    def play(self, script: str, job: dict[str, object]) -> list[str]:
        words = ["ip", "netns", "exec", self.client, sys.executable, "-c", script]
        job = {"server": SERVER, "client": CLIENT, **job}
        done = subprocess.run(
            words, input=json.dumps(job), capture_output=True, text=True, check=False, timeout=180
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr
        wrong: list[str] = json.loads(done.stdout)
        return wrong


@contextmanager
def serving(service: str, log: Path) -> Iterator[Wire]:
    """A veth pair with `rtc` at one end. It must stop cleanly when the test is over."""
    program = paths.build_dir() / "systems" / "rtc" / "rtc"
    if not program.exists():
        pytest.skip(f"{program} is not built")
    wire = Wire(f"ikr-{os.getpid()}-s", f"ikr-{os.getpid()}-c")
    server = None
    try:
        wire.up()
        read_end, write_end = os.pipe()
        words = ["ip", "netns", "exec", wire.server, str(program), "--service", service,
                 "--port", f"afxdp:{wire.server_if}", "--address", f"{SERVER}/24",
                 "--ready-fd", str(write_end)]  # fmt: skip
        with log.open("wb") as stderr:
            server = subprocess.Popen(words, pass_fds=[write_end], stderr=stderr)
        os.close(write_end)
        ready = select.select([read_end], [], [], 60)[0] and os.read(read_end, 16) == b"ready\n"
        os.close(read_end)
        assert ready, log.read_text()
        yield wire
        server.terminate()
        assert server.wait(timeout=30) == 0, log.read_text()
    finally:
        if server is not None:
            server.kill()
            server.wait()
        wire.down()


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Wire]:
    with serving("echo", tmp_path / "log") as wire:
        yield wire


@pytest.fixture
def forward(tmp_path: Path) -> Iterator[Wire]:
    with serving("forward", tmp_path / "log") as wire:
        yield wire


def one(size: int, count: int, *, pieces: int = 1 << 16, half_close: int = 0) -> dict[str, int]:
    return {"size": size, "count": count, "pieces": pieces, "half_close": half_close}


def lossy(wire: Wire) -> None:
    netem = ["tc", "-n", wire.client, "qdisc", "add", "dev", wire.client_if, "root", "netem",
             "delay", "1ms", "loss", "2%"]  # fmt: skip
    done = subprocess.run(netem, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode != 0:
        pytest.skip(f"no netem: {done.stderr.strip()}")


def test_buffers_come_back(echo: Wire) -> None:
    sizes = [1, 32, 128, 1448, 4096, 16384, 65536]
    assert echo.play(ECHO, {"connections": [one(s, 1 + 2_000_000 // (s + 200)) for s in sizes]}) == []


def test_in_pieces_and_beside_each_other(echo: Wire) -> None:
    connections = [one(100, 50, pieces=p, half_close=p) for p in (1, 7, 99)] * 10
    assert echo.play(ECHO, {"connections": connections}) == []


def test_echo_over_a_wire_that_loses(echo: Wire) -> None:
    lossy(echo)
    assert echo.play(ECHO, {"connections": [one(s, 100) for s in (32, 4096)] * 3}) == []


def forwarding(**other: object) -> dict[str, object]:
    return {
        "senders": 8,
        "sinks": 20,
        "messages": 3000,
        "size": 64,
        "pieces": 1 << 16,
        "slow": False,
        **other,
    }


@pytest.mark.parametrize("size", [0, 128, 4096])
def test_messages_arrive(forward: Wire, size: int) -> None:
    assert forward.play(FORWARD, forwarding(size=size)) == []


def test_messages_in_pieces(forward: Wire) -> None:
    assert forward.play(FORWARD, forwarding(messages=40, pieces=3, senders=3)) == []


def test_slow_sinks_lose_nothing(forward: Wire) -> None:
    assert forward.play(FORWARD, forwarding(sinks=3, senders=4, messages=900, size=20_000, slow=True)) == []


def test_forwarding_over_a_wire_that_loses(forward: Wire) -> None:
    lossy(forward)
    assert forward.play(FORWARD, forwarding(messages=500, sinks=5)) == []
