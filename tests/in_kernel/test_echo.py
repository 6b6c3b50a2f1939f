# SPDX-License-Identifier: Apache-2.0
"""The echo in the kernel (Slick 3.2.2): whole buffers come back, whatever the stream is cut into."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable

import pytest
from tests.in_kernel.service import Server, read_exactly, read_to_end, send_and_end, until

MakeServer = Callable[..., Server]
SIZES = [1, 32, 1448, 1449, 16384, 65535, 65536]


def begin(server: Server, size: int, **words: int) -> socket.socket:
    s = server.connect(**words)
    s.sendall(struct.pack(">I", size))
    return s


@pytest.mark.parametrize("size", SIZES)
def test_a_buffer_comes_back(make_server: MakeServer, size: int) -> None:
    server = make_server("echo")
    with begin(server, size) as s:
        for _ in range(20):
            buffer = os.urandom(size)
            s.sendall(buffer)
            assert read_exactly(s, size) == buffer
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b""
    server.stop()
    seen = server.counters()
    assert seen["messages"] == 20
    assert seen["bytes"] == 20 * size
    assert seen["kernel.messages"] == 20, "none of them left the kernel"


@pytest.mark.parametrize("size", SIZES)
def test_what_was_whole_comes_back_before_the_end(make_server: MakeServer, size: int) -> None:
    server = make_server("echo")
    data = os.urandom(size * 20 + size // 2)
    with begin(server, size) as s:
        sender = threading.Thread(target=send_and_end, args=(s, data))
        sender.start()
        assert read_to_end(s) == data[: size * 20]
        sender.join()


def test_the_size_word_and_buffers_may_come_at_once(make_server: MakeServer) -> None:
    server = make_server("echo")
    for _ in range(50):
        with server.connect() as s:
            s.sendall(struct.pack(">I", 5) + b"helloworld!")
            s.shutdown(socket.SHUT_WR)
            assert read_to_end(s) == b"helloworld"


@pytest.mark.parametrize("size", [1, 5, 63, 64, 65, 1000])
def test_a_stream_cut_at_every_byte(make_server: MakeServer, size: int) -> None:
    server = make_server("echo")
    data = os.urandom(size * 3)
    with server.connect() as s:
        for byte in struct.pack(">I", size) + data:
            s.send(bytes([byte]))
        assert read_exactly(s, len(data)) == data

        def by_the_kernel() -> bool:
            s.sendall(data)
            assert read_exactly(s, len(data)) == data
            return server.counters()["kernel.messages"] >= 9

        until(by_the_kernel)  # again, once the loader has given the connection back
    server.stop()


def test_a_part_of_a_buffer_does_not_come_back(make_server: MakeServer) -> None:
    server = make_server("echo")
    with begin(server, 1000) as s:
        s.sendall(bytes(999))
        s.settimeout(0.2)
        with pytest.raises(TimeoutError):
            s.recv(1)
        s.sendall(b"\0")
        s.settimeout(60)
        assert read_exactly(s, 1000) == bytes(1000)


@pytest.mark.parametrize("word", [0, 65537, 0x80000000, 0xFFFFFFFF])
def test_a_size_that_is_not_allowed(make_server: MakeServer, word: int) -> None:
    server = make_server("echo")
    with begin(server, word) as s:
        assert s.recv(1) == b""
    until(lambda: server.counters()["clients.malformed"] == 1)


def test_clients_that_say_nothing_or_half_a_word(make_server: MakeServer) -> None:
    server = make_server("echo")
    with server.connect() as s:
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b""
    with server.connect() as s:
        s.sendall(b"\0\0")
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b""
    until(lambda: server.counters()["clients.open_now"] == 0)


def test_clients_that_vanish(make_server: MakeServer) -> None:
    server = make_server("echo")
    for i in range(40):
        s = begin(server, 1000)
        s.sendall(bytes(500 * (i % 5)))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()  # RST
    until(lambda: server.counters()["clients.accepted"] == 40)
    until(lambda: server.counters()["clients.open_now"] == 0)
    with begin(server, 3) as s:
        s.sendall(b"abc")
        assert read_exactly(s, 3) == b"abc"


def test_a_thousand_connections(make_server: MakeServer) -> None:
    server = make_server("echo")
    connections = [begin(server, 64) for _ in range(1000)]
    for turn in range(3):
        for i, s in enumerate(connections):
            s.sendall(struct.pack(">II", turn, i) * 8)
        for i, s in enumerate(connections):
            assert read_exactly(s, 64) == struct.pack(">II", turn, i) * 8
    assert server.counters()["clients.open_now"] == 1000
    for s in connections:
        s.close()
    until(lambda: server.counters()["clients.open_now"] == 0)


def test_more_clients_than_there_is_room_for(make_server: MakeServer) -> None:
    server = make_server("echo", "--max-connections", "2")
    first, second = begin(server, 1), begin(server, 1)
    for s in (first, second):
        s.sendall(b"x")
        assert read_exactly(s, 1) == b"x"
    with server.connect() as third:
        assert third.recv(1) == b""
    first.close()
    until(lambda: server.counters()["clients.open_now"] == 1)

    def served() -> bool:
        try:
            with begin(server, 1) as s:
                s.sendall(b"y")
                return s.recv(1) == b"y"
        except ConnectionError:
            return False

    until(served)
    second.close()


@pytest.mark.parametrize("size", [32, 4096, 65536])
def test_a_client_that_does_not_read_is_held_back_and_loses_nothing(
    make_server: MakeServer, size: int
) -> None:
    server = make_server("echo")
    data = os.urandom(1 << 20)[: (1 << 20) // size * size]
    total = 96 << 20
    with begin(server, size, receive_buffer=16384) as s:
        sent = 0
        s.settimeout(1)
        before = server.memory()
        try:
            while sent < total:
                sent += s.send(data[sent % len(data) :])
        except TimeoutError:
            pass
        assert sent < total, (
            f"the client was not held back: {server.counters()}, memory {server.memory() - before}"
        )
        until(lambda: server.memory() - before < 64 << 20)  # the machine's: others may have a peak
        s.settimeout(60)

        def send_rest() -> None:
            done = sent
            while done < total:
                done += s.send(data[done % len(data) : done % len(data) + min(total - done, len(data))])
            s.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send_rest)
        sender.start()
        got = read_to_end(s)
        sender.join()
    wanted = (data * (total // len(data) + 1))[: total // size * size]
    assert len(got) == len(wanted)
    assert got == wanted
    assert server.counters()["loader.taken"] >= 1


def test_a_client_that_is_too_far_ahead_is_put_off_and_loses_nothing(make_server: MakeServer) -> None:
    """With less room in the send buffer than may wait for it, frames wait as long as the client does not read; the
    parser cannot end meanwhile, and hands up what comes. Beyond 16 MiB `echo_filter` has to drop it."""
    size, most = 4096, 16 << 20
    data = b"".join(struct.pack(">Q", number) * (size // 8) for number in range(3 * most // size))
    server = make_server("echo", "--send-buffer-kib", "64", "--waiting-kib", "1024")
    with begin(server, size, receive_buffer=16384) as s:
        sent = 0
        s.settimeout(1)
        put_off = 0
        while sent < len(data) and not put_off:  # a second without room may also be a machine that is busy
            try:
                sent += s.send(data[sent : sent + (1 << 20)])
            except TimeoutError:
                put_off = server.counters()["kernel.put_off"]
        seen = server.counters()
        assert sent < len(data), f"the client was not held back: {seen}"
        assert most <= seen["kernel.up_bytes"] < most + (1 << 20)
        assert seen["loader.taken"] == 0, "the parser has not ended: nothing else holds the client back"

        s.settimeout(60)
        sender = threading.Thread(target=send_and_end, args=(s, data[sent:]))
        sender.start()
        got = read_to_end(s)
        sender.join()
    assert len(got) == len(data)
    wrong = next((i for i in range(0, len(data), size) if got[i : i + size] != data[i : i + size]), None)
    assert wrong is None, f"altered or out of order from byte {wrong} on"
    until(lambda: server.counters()["messages"] == len(data) // size)
    server.stop()
