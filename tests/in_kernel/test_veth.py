# SPDX-License-Identifier: Apache-2.0
"""Both services over a veth pair: frames cut late, cut early and merged again, cut early and left so. Over loopback
a message hardly ever comes in several socket buffers; here it does, in every way that there is."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable

import pytest
from tests.in_kernel import thrift
from tests.in_kernel.service import Server, Sink, read_exactly, read_to_end, send_and_end

pytestmark = pytest.mark.root
Wire = Callable[[str], Server]
SIZES = [32, 1448, 4096, 16384, 65536]


@pytest.mark.parametrize("size", SIZES)
def test_echo_one_at_a_time(wire: Wire, size: int) -> None:
    server = wire("echo")
    with server.connect() as s:
        s.sendall(struct.pack(">I", size))
        for _ in range(100):
            buffer = os.urandom(size)
            s.sendall(buffer)
            assert read_exactly(s, size) == buffer
    server.stop()
    seen = server.counters()
    assert seen["messages"] == 100
    assert seen["kernel.messages"] >= 90, "hardly any left the kernel"


@pytest.mark.parametrize("size", SIZES)
def test_echo_many_in_flight(wire: Wire, size: int) -> None:
    server = wire("echo")
    data = os.urandom((8 << 20) // size * size)
    results: dict[int, bytes] = {}

    def client(number: int) -> None:
        with server.connect() as s:
            s.sendall(struct.pack(">I", size))
            sender = threading.Thread(target=send_and_end, args=(s, data))
            sender.start()
            results[number] = read_to_end(s)
            sender.join()

    clients = [threading.Thread(target=client, args=(i,)) for i in range(3)]
    for c in clients:
        c.start()
    for c in clients:
        c.join()
    assert [results[i] == data for i in range(3)] == [True] * 3


@pytest.mark.parametrize("size", SIZES)
def test_forward_many_in_flight(wire: Wire, size: int) -> None:
    server = wire("forward")
    sinks = [Sink(server) for _ in range(4)]
    messages = [[thrift.msg(key, os.urandom(size), sequence=i) for key in range(4)] for i in range(64)]
    repeats = max(1, (4 << 20) // (256 * size))

    def send() -> None:
        with server.connect() as s:
            for _ in range(repeats):
                s.sendall(b"".join(b"".join(four) for four in messages))
            s.shutdown(socket.SHUT_WR)
            assert s.recv(1) == b""

    with server.connect() as control:
        for key, sink in enumerate(sinks):
            thrift.connect(control, key, sink)
        send()
    assert thrift.close_all(server) == 4
    for key, sink in enumerate(sinks):
        assert sink.ended.wait(60)
        wanted = b"".join(four[key] for four in messages) * repeats
        assert len(sink.data) == len(wanted)
        assert bytes(sink.data) == wanted
