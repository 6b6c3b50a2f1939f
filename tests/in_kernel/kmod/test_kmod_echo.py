# SPDX-License-Identifier: Apache-2.0
"""The echo service of the kernel module (Slick 3.2): a size word, then buffers of that size come back."""

from __future__ import annotations

import random
import socket
import struct
import threading

import pytest

from .conftest import Slick


def size_word(size: int) -> bytes:
    return struct.pack(">I", size)


def receive(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = connection.recv(count - len(data))
        assert more, f"the connection ended after {len(data)} of {count} bytes"
        data += more
    return bytes(data)


def closed(connection: socket.socket) -> bool:
    """Whether the other side closes, with or without a reset."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def vanish(connection: socket.socket) -> None:
    """Closes with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_every_size_comes_back_unaltered(slick: Slick) -> None:
    slick.load("echo")
    trips = 0
    for size in (1, 2, 31, 32, 128, 1448, 1449, 4096, 16384, 65535, 65536):
        connection = slick.connect()
        connection.sendall(size_word(size))
        for _ in range(3):
            buffer = random.randbytes(size)
            connection.sendall(buffer)
            assert receive(connection, size) == buffer
            trips += 1
        connection.close()
    slick.settles(round_trips=trips, truncated=0, malformed=0)


def test_a_buffer_may_come_a_byte_at_a_time(slick: Slick) -> None:
    slick.load("echo")
    connection = slick.connect()
    for byte in size_word(40) + bytes(range(40)):
        connection.sendall(bytes([byte]))
    assert receive(connection, 40) == bytes(range(40))


def test_what_was_whole_at_a_half_close_comes_back(slick: Slick) -> None:
    slick.load("echo")
    connection = slick.connect()
    buffers = random.randbytes(50 * 1000)
    connection.sendall(size_word(1000) + buffers + b"rest")
    connection.shutdown(socket.SHUT_WR)
    assert receive(connection, len(buffers)) == buffers
    assert closed(connection)
    slick.settles(truncated=1, round_trips=50)


@pytest.mark.parametrize("size", [0, 65537, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_size_that_is_not_allowed_ends_the_connection(slick: Slick, size: int) -> None:
    slick.load("echo")
    connection = slick.connect()
    connection.sendall(size_word(size))
    assert closed(connection)
    slick.settles(malformed=1)


def test_clients_that_vanish_leave_nothing(slick: Slick) -> None:
    slick.load("echo")
    for said in (b"", b"\0\0", size_word(1000), size_word(1000) + b"x" * 500, size_word(100) + b"x" * 20000):
        connection = slick.connect()
        connection.sendall(said)
        vanish(connection)
    steady = slick.connect()
    steady.sendall(size_word(3) + b"abc")
    assert receive(steady, 3) == b"abc"
    steady.close()
    slick.settles(connections_open=0, connections=6)


def test_a_client_that_falls_silent_is_found_out(slick: Slick) -> None:
    """Its address is taken away: there is nobody who could refuse a probe."""
    slick.load("echo", keepalive=1)
    slick.machine.on_host("ip", "address", "add", "10.77.88.9/24", "dev", "ikm0")
    connection = slick.new_socket()
    connection.bind(("10.77.88.9", 0))
    connection.connect(("10.77.88.2", slick.port))
    connection.sendall(size_word(8) + b"12345678")
    assert receive(connection, 8) == b"12345678"
    slick.machine.on_host("ip", "address", "del", "10.77.88.9/24", "dev", "ikm0")
    slick.settles(connections_open=0)


def test_a_client_that_does_not_read_stops_only_itself(slick: Slick) -> None:
    slick.load("echo")
    deaf = slick.connect()
    deaf.sendall(size_word(65536))
    deaf.setblocking(False)
    sent = 0
    deaf.settimeout(1)
    with pytest.raises(TimeoutError):
        while sent < 256 << 20:
            sent += deaf.send(bytes(65536))
    assert sent < 64 << 20
    other = slick.connect()
    other.sendall(size_word(3) + b"abc")
    assert receive(other, 3) == b"abc"


def test_many_connections_at_once(slick: Slick) -> None:
    slick.load("echo")
    connections = [slick.connect() for _ in range(100)]
    for number, connection in enumerate(connections):
        connection.sendall(size_word(64) + bytes([number]) * 64)
    for number, connection in enumerate(connections):
        assert receive(connection, 64) == bytes([number]) * 64
    assert slick.stats()["connections_open"] == 100


def test_connections_beyond_the_limit_are_closed(slick: Slick) -> None:
    slick.load("echo", max_connections=2)
    kept = [slick.connect(), slick.connect()]
    assert closed(slick.connect())
    slick.settles(connections_refused=1)
    for connection in kept:
        connection.sendall(size_word(1) + b"x")
        assert receive(connection, 1) == b"x"


def test_several_senders_of_pipelined_buffers(slick: Slick) -> None:
    slick.load("echo")
    failed: list[str] = []

    def client(seed: int) -> None:
        connection = slick.connect()
        data = random.Random(seed).randbytes(100 * 512)
        connection.sendall(size_word(512) + data)
        if receive(connection, len(data)) != data:
            failed.append(f"client {seed}")

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    slick.settles(round_trips=800)
