# SPDX-License-Identifier: Apache-2.0
"""The forwarder in the kernel (Slick 3.3): whole messages, at the right sink, in order; back-pressure, not loss."""

from __future__ import annotations

import errno
import os
import random
import socket
import struct
import threading
from collections.abc import Callable

import pytest
from tests.in_kernel import thrift
from tests.in_kernel.service import Server, Sink, free_port, read_exactly, until

MakeServer = Callable[..., Server]


@pytest.fixture
def server(make_server: MakeServer) -> Server:
    return make_server("forward")


def finish(s: socket.socket) -> None:
    """Ends our side and waits until the server has ended its own: all that was whole is forwarded."""
    s.shutdown(socket.SHUT_WR)
    assert s.recv(1) == b""
    s.close()


def test_messages_arrive_as_they_were_sent(server: Server) -> None:
    sinks = [Sink(server) for _ in range(3)]
    sent = [bytearray() for _ in sinks]
    numbers = random.Random(1)
    with server.connect() as s:
        for key, sink in enumerate(sinks):
            thrift.connect(s, key, sink)
        for i in range(300):
            message = thrift.msg(i % 3, numbers.randbytes(numbers.randrange(3000)), sequence=i)
            sent[i % 3] += message
            s.sendall(message)
        finish(s)
    assert thrift.close_all(server) == 3
    for sink, wanted in zip(sinks, sent, strict=True):
        assert sink.ended.wait(60)
        assert bytes(sink.data) == bytes(wanted)
    seen = server.counters()
    until(lambda: server.counters()["messages"] == 300)
    assert seen["backends.open_now"] == 0


@pytest.mark.parametrize("size", [0, 32, 1419, 4096, 65536])
def test_every_size(server: Server, size: int) -> None:
    sink = Sink(server)
    messages = [thrift.msg(-5, os.urandom(size)) for _ in range(50)]
    with server.connect() as s:
        thrift.connect(s, -5, sink)
        s.sendall(b"".join(messages))
        finish(s)
    assert thrift.close_all(server) == 1
    assert sink.ended.wait(60)
    assert bytes(sink.data) == b"".join(messages)


@pytest.mark.parametrize("piece", [1, 2, 7, 29, 30, 31])
def test_a_stream_cut_at_every_byte(server: Server, piece: int) -> None:
    sink = Sink(server)
    messages = [
        thrift.msg(1, b""),
        thrift.msg(1, b"x" * 100, kind=thrift.CALL),
        thrift.odd_msg(1, b"odd"),
        thrift.msg(2, b"nobody's"),
        thrift.msg(1, b"y" * 40),
    ]
    with server.connect() as s:
        thrift.connect(s, 1, sink)
        stream = b"".join(messages) * 3
        for i in range(0, len(stream), piece):
            s.send(stream[i : i + piece])
        finish(s)
    assert thrift.close_all(server) == 1
    assert sink.ended.wait(60)
    assert bytes(sink.data) == b"".join(m for m in messages * 3 if b"nobody" not in m)


def test_calls_and_messages_of_one_connection_keep_their_order(server: Server) -> None:
    """All at once: a msg right behind its connect must find the backend, one before must not."""
    sink = Sink(server)
    early, late, odd = thrift.msg(1, b"early"), thrift.msg(1, b"late"), thrift.odd_msg(1, b"odd")
    with server.connect() as s:
        call = thrift.connect_call(1, sink.address, sink.port, 7)
        s.sendall(early + call + late + odd + late + odd + late + thrift.close_call(8) + early)
        assert thrift.result(s, b"connect", 7) == 0
        assert thrift.result(s, b"close", 8) == 1
        finish(s)
    assert sink.ended.wait(60)
    assert bytes(sink.data) == late + odd + late + odd + late
    until(lambda: sum(v for k, v in server.counters().items() if k.endswith("dropped_no_key")) == 2)


def test_connect_says_why_it_cannot(server: Server) -> None:
    with server.connect() as s:
        for host, port, error in [
            ("127.0.0.1", free_port(), errno.ECONNREFUSED),
            ("localhost", 80, errno.EINVAL),
            ("127.0.0.1", 0, errno.EINVAL),
            ("127.0.0.1", 65536, errno.EINVAL),
            ("127.0.0.1", -1, errno.EINVAL),
            ("", 80, errno.EINVAL),
        ]:
            s.sendall(thrift.connect_call(1, host, port, 3))
            assert thrift.result(s, b"connect", 3) == error
    assert thrift.close_all(server) == 0


def test_a_key_can_be_connected_anew(server: Server) -> None:
    first, second = Sink(server), Sink(server)
    with server.connect() as s:
        thrift.connect(s, 1, first)
        s.sendall(thrift.msg(1, b"first"))
        thrift.connect(s, 1, second)
        s.sendall(thrift.msg(1, b"second"))
        assert first.ended.wait(60), "the one before is closed"
        finish(s)
    assert thrift.close_all(server) == 1
    assert second.ended.wait(60)
    assert bytes(first.data) == thrift.msg(1, b"first")
    assert bytes(second.data) == thrift.msg(1, b"second")


def test_unknown_methods(server: Server) -> None:
    with server.connect() as s:
        s.sendall(thrift.head(b"nothing", thrift.ONEWAY) + thrift.i32(1, 1) + b"\0")
        s.sendall(thrift.head(b"ping", thrift.CALL, 9) + b"\0")
        start = thrift.head(b"ping", thrift.EXCEPTION, 9)
        assert read_exactly(s, len(start)) == start


MALFORMED = {
    "version": b"\x80\x02\0\x04" + bytes(40),
    "not strict": struct.pack(">I", 3) + b"msg\x04" + bytes(40),
    "reply": thrift.head(b"msg", thrift.REPLY) + b"\0",
    "negative length": thrift.head(b"msg", 4) + thrift.i32(1, 1) + b"\x0b\0\2\xff\xff\xff\xff",
    "huge length": thrift.head(b"msg", 4) + thrift.i32(1, 1) + b"\x0b\0\2\x7f\xff\xff\xff" + bytes(100),
    "too long": thrift.msg(1, bytes(70_000)),
    "wrong type": thrift.head(b"msg", 4) + thrift.string(1, b"k") + thrift.string(2, b"p") + b"\0",
    "no such type": thrift.head(b"msg", 4) + b"\x63\0\1" + bytes(20),
    "no key": thrift.head(b"msg", 4) + thrift.string(2, b"p") + b"\0",
    "long name": struct.pack(">II", 0x80010004, 1 << 30) + bytes(100),
}


@pytest.mark.parametrize("what", list(MALFORMED))
def test_malformed_messages_end_their_connection_and_no_other(server: Server, what: str) -> None:
    sink = Sink(server)
    with server.connect() as good, server.connect() as bad:
        thrift.connect(good, 1, sink)
        good.sendall(thrift.msg(1, b"before"))
        bad.sendall(thrift.msg(1, b"bad's own"))
        until(lambda: len(sink.data) == len(thrift.msg(1, b"before") + thrift.msg(1, b"bad's own")))
        with pytest.raises(OSError), bad:
            bad.sendall(MALFORMED[what])
            assert bad.recv(1) == b""
            raise ConnectionResetError
        until(lambda: server.counters()["clients.malformed"] == 1)
        good.sendall(thrift.msg(1, b"after"))
        finish(good)
    assert thrift.close_all(server) == 1
    assert sink.ended.wait(60)
    assert bytes(sink.data).endswith(thrift.msg(1, b"after"))


def test_a_backend_that_goes_away_and_comes_back(server: Server) -> None:
    sink, other = Sink(server), Sink(server)
    with server.connect() as s:
        thrift.connect(s, 1, sink)
        thrift.connect(s, 2, other)
        s.sendall(thrift.msg(1, b"a"))
        until(lambda: len(sink.data) > 0)
        sink.close()
        until(lambda: server.counters()["backends.open_now"] == 1)
        s.sendall(thrift.msg(1, b"b") + thrift.msg(2, b"c"))
        until(lambda: bytes(other.data) == thrift.msg(2, b"c"))
        until(lambda: server.counters()["kernel.dropped_no_key"] == 1)
        again = Sink(server)
        thrift.connect(s, 1, again)
        s.sendall(thrift.msg(1, b"d"))
        until(lambda: bytes(again.data) == thrift.msg(1, b"d"))


def test_clients_that_vanish(server: Server) -> None:
    sink = Sink(server)
    with server.connect() as s:
        thrift.connect(s, 1, sink)
        for i in range(40):
            gone = server.connect()
            gone.sendall(thrift.msg(1, b"whole") + thrift.msg(1, bytes(50))[: i + 1])
            until(lambda n=i: len(sink.data) >= (n + 1) * len(thrift.msg(1, b"whole")))  # type: ignore[misc]
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            gone.close()
        s.sendall(thrift.msg(1, b"end"))
        finish(s)
    assert thrift.close_all(server) == 1
    assert sink.ended.wait(60)
    assert bytes(sink.data) == thrift.msg(1, b"whole") * 40 + thrift.msg(1, b"end")


def take_apart(data: bytes) -> list[tuple[int, int]]:
    """(sender, number) of each message; all of it must be such messages."""
    found, at = [], 0
    while at < len(data):
        length = struct.unpack_from(">I", data, at + 25)[0]
        sender, number = struct.unpack_from(">II", data, at + 29)
        fill = struct.pack(">I", number) * ((length - 8) // 4)
        assert data[at : at + 30 + length] == thrift.msg(7, struct.pack(">II", sender, number) + fill)
        found.append((sender, number))
        at += 30 + length
    return found


@pytest.mark.parametrize("size", [32, 4096, 60_000])
def test_a_slow_sink_slows_its_senders_and_loses_nothing(server: Server, size: int) -> None:
    """Four senders, a sink that does not read at first. Without back-pressure all would be sent at once."""
    sink = Sink(server, reads=False, receive_buffer=16384)
    each = (24 << 20) // (size + 30)
    progress = [0] * 4

    def send(sender: int, s: socket.socket) -> None:
        number = 0
        while number < each:
            batch = bytearray()
            while len(batch) < 1 << 16 and number < each:
                fill = struct.pack(">I", number) * ((size - 8) // 4)
                batch += thrift.msg(7, struct.pack(">II", sender, number) + fill)
                number += 1
            s.sendall(batch)
            progress[sender] = number
        finish(s)

    with server.connect() as control:
        thrift.connect(control, 7, sink)
        before = server.memory()
        threads = [threading.Thread(target=send, args=(i, server.connect())) for i in range(4)]
        for t in threads:
            t.start()
        last = [-1] * 4
        while progress != last:
            last = list(progress)
            for t in threads:
                t.join(0.5)
        assert max(progress) < each, "the senders are held back"
        until(lambda: server.memory() - before < 200 << 20)  # the machine's: others may have a peak
        assert server.counters()["loader.taken"] >= 1
        sink.may_read.set()
        for t in threads:
            t.join(120)
            assert not t.is_alive()
    assert thrift.close_all(server) == 1
    assert sink.ended.wait(60)
    seen = take_apart(bytes(sink.data))
    for sender in range(4):
        assert [n for who, n in seen if who == sender] == list(range(each)), f"sender {sender}"


def test_a_close_waits_for_what_is_under_way(server: Server) -> None:
    sink = Sink(server, reads=False, receive_buffer=16384)
    message = thrift.msg(7, bytes(8000))
    with server.connect() as s:
        thrift.connect(s, 7, sink)
        for _ in range(1000):  # beyond what buffers of TCP take
            s.sendall(message)
        finish(s)
    with server.connect() as s:
        s.sendall(thrift.close_call(5))
        sink.may_read.set()
        assert thrift.result(s, b"close", 5) == 1
    assert sink.ended.wait(60)
    assert bytes(sink.data) == message * 1000
    assert server.counters()["backends.lost_bytes"] == 0
