# SPDX-License-Identifier: Apache-2.0
"""The gate of byte streams: right servers pass, and each cheat is found by the case that is about it. No root."""

from __future__ import annotations

import itertools
import json
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from stackrig.gate import stream, stream_echo, stream_forward
from stackrig.gate import thrift_words as thrift
from stackrig.gate.report import Report
from stackrig.gate.stream import Case
from stackrig.gate.stream_scene import Scene, numbered, passage
from stackrig.gateway.worker import Worker
from tests.conftest import Cli
from tests.stream_servers import Forwarder, Handler, echo, serving, take

_ports = itertools.count(21000, 10)


class Here:
    """The worker of a host, in this process."""

    def __init__(self) -> None:
        self.worker = Worker()

    def call(self, op: str, timeout: float = 0.0, **arguments: Any) -> Any:
        return getattr(self.worker, op)(**arguments)


def put(cases: list[Case], serial: bool = False) -> Report:
    report = Report()
    stream.ask(Here(), cases, serial, report)  # type: ignore[arg-type]
    return report


def only(cases: list[Case], *names: str) -> list[Case]:
    found = [case for case in cases if any(case.name.startswith(name) for name in names)]
    assert found, names
    return found


def echoes(handler: Handler, *names: str, serial: bool = False) -> Report:
    with serving(handler, serial) as port:
        cases = stream_echo.cases("127.0.0.1", port)
        return put(only(cases, *names) if names else cases, serial)


def forwards(handler: Handler, *names: str) -> Report:
    with serving(handler) as port:
        cases = stream_forward.cases(Scene("127.0.0.1", port, "127.0.0.1", next(_ports)))
        return put(only(cases, *names) if names else cases)


# --- echo


def test_the_papers_echo_passes() -> None:
    report = echoes(echo)
    assert report.findings == []
    assert report.skipped == []
    assert report.checked > 30


def test_one_that_serves_a_connection_after_the_other_passes_what_it_can_be_asked() -> None:
    report = echoes(echo, serial=True)
    assert report.findings == []
    assert [one.partition(":")[0] for one in report.skipped] == [
        "several connections at once",
        "others go on",
    ]


def mirror(it: socket.socket) -> None:
    """Sends back what comes, without frames: no buffer is waited for."""
    take(it, 4)
    while data := it.recv(65536):
        it.sendall(data)


def sized(it: socket.socket) -> int:
    word = take(it, 4)
    return int(struct.unpack(">I", word)[0]) if len(word) == 4 else 0


def any_size(it: socket.socket) -> None:
    size = sized(it) or 1
    while len(buffer := take(it, size)) == size:
        it.sendall(buffer)


def zeros(it: socket.socket) -> None:
    size = sized(it)
    while 1 <= size <= 65536 and len(take(it, size)) == size:
        it.sendall(bytes(size))


def no_end(it: socket.socket) -> None:
    """Does not close after a half close."""
    echo(it)
    time.sleep(10)


def one_receive(it: socket.socket) -> None:
    """Takes what one call gives for a buffer."""
    size = sized(it)
    while 1 <= size <= 65536 and (data := it.recv(size)):
        it.sendall(data.ljust(size, b"\0"))


def remainder_too(it: socket.socket) -> None:
    size = sized(it)
    while 1 <= size <= 65536 and (buffer := take(it, size)):
        it.sendall(buffer)


def forgets_the_last(it: socket.socket) -> None:
    """Ends as soon as it sees the end, with a buffer not sent yet."""
    size = sized(it)
    held = b""
    while 1 <= size <= 65536 and len(buffer := take(it, size)) == size:
        if held:
            it.sendall(held)
        held = buffer if len(buffer) < 2 or buffer[0] % 2 else b""
        if not held:
            it.sendall(buffer)


def large_wrong(it: socket.socket) -> None:
    """One byte of large buffers is another."""
    size = sized(it)
    while 1 <= size <= 65536 and len(buffer := take(it, size)) == size:
        it.sendall(buffer if size < 4096 else buffer[:4000] + b"?" + buffer[4001:])


_shared: list[socket.socket] = []


def to_another(it: socket.socket) -> None:
    """Mixes up connections: sends back on the one that came last."""
    _shared.append(it)
    size = sized(it)
    while 1 <= size <= 65536 and len(buffer := take(it, size)) == size:
        _shared[-1].sendall(buffer)


def drops_when_late(it: socket.socket) -> None:
    """Gives up a client that does not read."""
    it.settimeout(0.1)
    echo(it)


@pytest.mark.parametrize(
    ("cheat", "case"),
    [
        (mirror, "nothing before"),
        (mirror, "half close in a buffer"),
        (mirror, "size 0"),
        (any_size, "size 0 is"),
        (any_size, "size 65537"),
        (any_size, "size 2147483648"),
        (zeros, "buffers of 32 B"),
        (no_end, "half close behind"),
        (one_receive, "split at odd"),
        (one_receive, "split at every"),
        (remainder_too, "half close in a buffer"),
        (forgets_the_last, "half close behind a buffer"),
        (large_wrong, "buffers of 16384"),
        (to_another, "several connections at once"),
        (drops_when_late, "a client that reads late"),
    ],
)
def test_an_echo_that_cheats_is_found(cheat: Handler, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PATIENCE_S", 0.7)
    assert echoes(cheat, case).findings != []


def test_one_that_cannot_hold_two_connections_is_found_unless_it_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "PATIENCE_S", 0.7)
    with serving(echo, serial=True) as port:
        report = put(only(stream_echo.cases("127.0.0.1", port), "several connections at once"))
    assert "found it timeout" in report.told() or "timeout" in report.told()


def test_what_never_answers_is_not_asked_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PATIENCE_S", 0.1)
    report = echoes(lambda it: time.sleep(3))
    assert len(report.findings) >= stream.ENOUGH
    assert report.checked == stream.ENOUGH
    assert any("not asked any more" in one for one in report.skipped)


# --- forwarder


def test_a_right_forwarder_passes() -> None:
    report = forwards(Forwarder())
    assert report.findings == []
    assert report.checked > 40


class Swaps(Forwarder):
    """Every message waits for the next one, which goes first."""

    held: bytes | None = None

    def forward(self, key: int, message: bytes) -> None:
        with self.lock:
            if self.held is None:
                self.held = message
                return
            held, self.held = self.held, None
        super().forward(key, message)
        super().forward(key, held)


class Twice(Forwarder):
    def forward(self, key: int, message: bytes) -> None:
        super().forward(key, message)
        super().forward(key, message)


class Loses(Forwarder):
    count = 0

    def forward(self, key: int, message: bytes) -> None:
        self.count += 1
        if self.count % 100:
            super().forward(key, message)


class WrongSink(Forwarder):
    def forward(self, key: int, message: bytes) -> None:
        super().forward((key + 1) % 3 if 0 <= key < 3 else key, message)


class UnknownToFirst(Forwarder):
    def forward(self, key: int, message: bytes) -> None:
        super().forward(key if key in self.backends else 0, message)


class Rewrites(Forwarder):
    """Sends what it understood, and not what came."""

    def handle(self, it: socket.socket, message: bytes) -> None:
        from tests.stream_servers import Parser

        parser = Parser(message, self.largest)
        parser.message()
        if parser.method != b"msg":
            super().handle(it, message)
            return
        key = int(parser.fields[1])
        self.forward(key, thrift.msg(key, parser.fields[2], parser.sequence))


class Small(Forwarder):
    largest = 8192


class KeepsMalformed(Forwarder):
    """Skips to the next message in place of closing."""

    def __call__(self, it: socket.socket) -> None:
        while data := it.recv(65536):
            try:
                self.handle(it, data)
            except Exception:
                continue


class Trusting(Forwarder):
    """Waits for any length that it is told."""

    largest = 1 << 40


class Guesses(Forwarder):
    """Takes one receive for whole messages."""

    def __call__(self, it: socket.socket) -> None:
        while data := it.recv(65536):
            at = 0
            while at < len(data) and (length := self.length(data[at:])):
                self.handle(it, data[at : at + length])
                at += length


class PassesHalves(Forwarder):
    """What a client leaves that ends in a message goes to a sink."""

    def left(self, data: bytes) -> None:
        if data:
            self.forward(2, data)


class SaysYes(Forwarder):
    def connect(self, key: int, host: bytes, port: int) -> int:
        super().connect(key, host, port)
        return 0


class DiesWithBackend(Forwarder):
    def forward(self, key: int, message: bytes) -> None:
        with self.lock:
            backend = self.backends.get(key)
        if backend is not None:
            backend.sendall(message)


class NoExceptions(Forwarder):
    def handle(self, it: socket.socket, message: bytes) -> None:
        if b"no_such" not in message:
            super().handle(it, message)


class MiscountsClose(Forwarder):
    def close_all(self) -> int:
        return super().close_all() and 1


class CutsOnClose(Forwarder):
    """Backends are torn down with what is under way to them."""

    def close_all(self) -> int:
        for one in self.backends.values():
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return super().close_all()


class OneAtATime(Forwarder):
    """A slow sink holds everybody up."""

    big = threading.Lock()

    def forward(self, key: int, message: bytes) -> None:
        with self.big:
            super().forward(key, message)


class KeepsOld(Forwarder):
    """A key that is there stays as it is."""

    def connect(self, key: int, host: bytes, port: int) -> int:
        with self.lock:
            old = self.backends.get(key)
        return super().connect(key, host, port) if old is None else 0


class MixesSenders(Forwarder):
    """Sends messages in two pieces, between which another sender's may come."""

    def forward(self, key: int, message: bytes) -> None:
        for part in (message[:20], message[20:]):
            super().forward(key, part)
            time.sleep(0.0005)


@pytest.mark.parametrize(
    ("cheat", "case"),
    [
        (Swaps, "messages for all sinks"),
        (Twice, "payloads of 32 B"),
        (Loses, "messages for all sinks"),
        (WrongSink, "payloads of 32 B"),
        (UnknownToFirst, "keys without a backend"),
        (Rewrites, "fields in any order"),
        (Small, "payloads of 16384"),
        (KeepsMalformed, "malformed: a key that is a string"),
        (Trusting, "malformed: a payload of 2 GiB"),
        (Guesses, "split at every byte"),
        (Guesses, "a byte at a time"),
        (PassesHalves, "senders that end in a message"),
        (SaysYes, "backends that cannot be reached"),
        (DiesWithBackend, "a backend that goes away"),
        (NoExceptions, "unknown methods"),
        (MiscountsClose, "close"),
        (CutsOnClose, "close"),
        (OneAtATime, "a sink that does not listen"),
        (KeepsOld, "a key connected again"),
        (MixesSenders, "several senders at once"),
    ],
)
def test_a_forwarder_that_cheats_is_found(
    cheat: type[Forwarder], case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "PATIENCE_S", 0.7)
    assert forwards(cheat(), case).findings != []


# --- judging


A, B = numbered(3, 0, 10, "a"), numbered(3, 0, 10, "b")


def test_senders_may_mix_as_they_like_but_each_keeps_its_order() -> None:
    assert passage(A[0] + B[0] + B[1] + A[1] + A[2] + B[2], A, B) is None
    assert "did not come" in str(passage(A[0] + A[1], A))
    assert "before one that was sent earlier" in str(passage(A[0] + A[2] + A[1], A, B))
    assert "a message that came before" in str(passage(A[0] + A[0], A, B))
    assert "ends early" in str(passage(A[0] + A[1][:9], A, B))
    assert "none of the messages" in str(passage(A[0] + b"x" + A[1], A, B))


def test_streams_that_differ_say_where() -> None:
    assert stream.differs(b"abc", b"abc") is None
    assert stream.differs(b"ab", b"abc") == "expected 3 bytes, got the first 2"
    assert stream.differs(b"abcd", b"abc") == "expected 3 bytes, got 1 more"
    assert stream.differs(b"aXc", b"abc") == "expected 3 bytes, got 3, wrong from byte 1 on"


def test_answers_are_read_one_after_the_other() -> None:
    reply = thrift.message(thrift.REPLY, b"connect", 7, thrift.field(thrift.I32, 0, thrift.i32(0)))
    assert thrift.answers(reply * 2) == [thrift.Answer(thrift.REPLY, b"connect", 7, 0)] * 2
    with pytest.raises(thrift.AnswerError, match="ends early"):
        thrift.answers(reply[:-1])
    with pytest.raises(thrift.AnswerError, match="begins with 0x504f5354"):
        thrift.answers(b"POST / HTTP/1.1")


def test_messages_are_as_the_specification_has_them() -> None:
    """By hand, after thrift-binary-protocol.md."""
    by_hand = bytes.fromhex("80010004 00000003 6d7367 00000009 080001 00000005 0b0002 00000002 6869 00")
    assert thrift.msg(5, b"hi", 9) == by_hand


# --- in namespaces

ECHO_PROGRAM = """\
import socket, struct, sys, threading

def take(it, count):
    data = b""
    while len(data) < count and (more := it.recv(count - len(data))):
        data += more
    return data

def serve(it):
    with it:
        word = take(it, 4)
        size = struct.unpack(">I", word)[0] if len(word) == 4 else 0
        while 1 <= size <= 65536 and len(buffer := take(it, size)) == size:
            it.sendall(buffer{cheat})

listener = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=64)
while True:
    it, _ = listener.accept()
    threading.Thread(target=serve, args=(it,), daemon=True).start()
"""

ECHO_BASELINE = """\
schema: 1
name: {name}
kind: baseline
title: For tests
protocols: [echo]
wires: [kernel]
command: [{python}, {program}, "{{{{ addresses[0] }}}}", "{{{{ port }}}}"]
default_variant: plain
variants: {{plain: {{}}}}
"""


@pytest.mark.root
@pytest.mark.parametrize(("cheat", "ok"), [("", True), (".replace(b'a', b'b')", False)])
def test_check_puts_the_gate_to_a_server_in_its_namespace(
    root_needed: Path, project: Path, cli: Cli, cheat: str, ok: bool
) -> None:
    folder = project / "baselines" / "py-echo"
    folder.mkdir()
    (folder / "server.py").write_text(ECHO_PROGRAM.replace("{cheat}", cheat))
    told = ECHO_BASELINE.format(name="py-echo", python=sys.executable, program=folder / "server.py")
    (folder / "baseline.yaml").write_text(told)
    done = cli("check", "py-echo", "--gate", "--json")
    found = json.loads(done.stdout)["gates"]["py-echo"]
    assert found["ok"] is ok, found
    assert done.returncode == (0 if ok else 1)
    assert found["checked"] > (30 if ok else 3)
