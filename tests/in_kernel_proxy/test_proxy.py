# SPDX-License-Identifier: Apache-2.0
"""The reverse proxy in the kernel: every byte passes, once and in order, and so does each end."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
import time

import pytest
from tests.in_kernel.service import PATIENCE, read_to_end, until
from tests.in_kernel_proxy.conftest import Make
from tests.in_kernel_proxy.service import Backend, Proxy, body_of, get, http, read_answer

SIZES = [0, 1, 1448, 16384, 262144, 3 << 20]


def reset(s: socket.socket) -> None:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def nothing_is_left(proxy: Proxy) -> None:
    until(lambda: proxy.counters()["clients.open_now"] == 0)
    until(lambda: proxy.counters()["backends.open_now"] == proxy.counters()["backends.idle_now"])


@pytest.mark.parametrize("size", SIZES)
def test_many_requests_on_one_connection(make: Make, size: int) -> None:
    proxy, _ = make()
    with proxy.connect() as s:
        buffer = bytearray()
        for _ in range(10):
            s.sendall(get(size))
            assert read_answer(s, buffer) == (200, body_of(size))
        assert not buffer
    nothing_is_left(proxy)
    proxy.stop()
    seen = proxy.counters()
    assert seen["kernel.bytes"] > 0
    if size <= 1448:
        assert seen["loader.bytes"] == 0, "none of it left the kernel"


@pytest.mark.parametrize("size", [100, 262144])
def test_over_a_wire(wire: Make, size: int) -> None:
    proxy, _ = wire()
    for close in (False, True):
        connections = [proxy.connect() for _ in range(8)]
        for turn in range(10):
            for s in connections:
                s.sendall(get(size, *(["Connection: close"] if close and turn == 9 else [])))
            for s in connections:
                assert read_answer(s, bytearray()) == (200, body_of(size))
        for s in connections:
            if close:
                assert s.recv(1) == b""
            s.close()
    nothing_is_left(proxy)


def test_pipelined_requests_are_answered_in_order(make: Make) -> None:
    proxy, _ = make()
    sizes = [0, 7, 70000, 1, 300000, 12] * 5
    with proxy.connect() as s:
        s.sendall(b"".join(get(size) for size in sizes))
        buffer = bytearray()
        for size in sizes:
            assert read_answer(s, buffer) == (200, body_of(size))


def test_requests_cut_at_every_byte(make: Make) -> None:
    proxy, _ = make()
    with proxy.connect() as s:
        for byte in get(50) + get(60):
            s.send(bytes([byte]))
        buffer = bytearray()
        assert read_answer(s, buffer) == (200, body_of(50))
        assert read_answer(s, buffer) == (200, body_of(60))


def test_connection_close_closes(make: Make) -> None:
    proxy, _ = make()
    for _ in range(50):
        with proxy.connect() as s:
            s.sendall(get(1000, "Connection: close"))
            buffer = bytearray()
            assert read_answer(s, buffer) == (200, body_of(1000))
            assert s.recv(1) == b""
    nothing_is_left(proxy)


@pytest.mark.parametrize("size", [10, 262144])
def test_a_client_that_half_closes_gets_its_answers(make: Make, size: int) -> None:
    proxy, _ = make()
    for _ in range(20):
        with proxy.connect() as s:
            s.sendall(get(size) * 3)
            s.shutdown(socket.SHUT_WR)
            data = read_to_end(s)
        assert data.count(b"HTTP/1.1 200") == 3
        assert data.endswith(body_of(size))
    nothing_is_left(proxy)


def test_a_client_that_had_half_closed_before_it_was_accepted(make: Make) -> None:
    """A sockmap does not take it: the loader serves it."""
    proxy, _ = make()
    assert proxy.process is not None
    subprocess.run(["kill", "-STOP", str(proxy.process.pid)], check=True)
    connections = [proxy.connect() for _ in range(5)]
    for s in connections:
        s.sendall(get(262144))
        s.shutdown(socket.SHUT_WR)
    subprocess.run(["kill", "-CONT", str(proxy.process.pid)], check=True)
    for s in connections:
        assert read_to_end(s).endswith(body_of(262144))
        s.close()
    nothing_is_left(proxy)
    assert proxy.counters()["pairs.user_space"] == 5


@pytest.mark.parametrize("size", [1 << 20, 20 << 20])
def test_a_body_that_is_sent(make: Make, size: int) -> None:
    proxy, _ = make()
    body = os.urandom(size)
    with proxy.connect() as s:
        s.sendall(f"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {size}\r\n\r\n".encode())
        s.sendall(body)
        assert read_answer(s, bytearray()) == (200, body)


def test_a_client_that_reads_slowly_holds_the_backend_back(make: Make) -> None:
    sent = 0
    total = 96 << 20
    block = body_of(1 << 20)

    def pour(s: socket.socket) -> None:
        nonlocal sent
        s.recv(1 << 16)
        while sent < total:
            sent += s.send(block[sent % len(block) :])
        s.shutdown(socket.SHUT_WR)
        s.recv(1)

    proxy, _ = make(handler=pour)
    s = proxy.connect(receive_buffer=16384)
    before = proxy.memory()
    s.sendall(b"go")
    last = -1
    while last != sent:  # until it is held back
        last = sent
        time.sleep(0.5)
    assert sent < total
    until(lambda: proxy.memory() - before < 64 << 20)  # the machine's: others may have a peak
    data = read_to_end(s)
    assert len(data) == total
    assert data == block * 96
    s.close()
    nothing_is_left(proxy)
    assert proxy.counters()["kernel.congested"] >= 1


def test_a_backend_that_reads_slowly_holds_the_client_back(make: Make) -> None:
    may_read = threading.Event()
    got = bytearray()

    def sip(s: socket.socket) -> None:
        may_read.wait(PATIENCE)
        while part := s.recv(1 << 18):
            got.extend(part)
        s.sendall(b"done")
        s.close()

    proxy, _ = make(handler=sip)
    block = body_of(1 << 20)
    total = 96 << 20
    with proxy.connect() as s:
        sent = 0
        s.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while sent < total:
                sent += s.send(block[sent % len(block) :])
        assert sent < total, "the client was held back"
        may_read.set()
        s.settimeout(PATIENCE)
        while sent < total:
            sent += s.send(block[sent % len(block) : sent % len(block) + total - sent])
        s.shutdown(socket.SHUT_WR)
        assert read_to_end(s) == b"done"
    assert got == block * 96


def test_both_directions_at_once(make: Make) -> None:
    """Each way's bytes, in a tunnel that runs full both ways."""
    data = body_of(1 << 20) * 40
    got = bytearray()

    def both(s: socket.socket) -> None:
        sender = threading.Thread(target=s.sendall, args=(data,))
        sender.start()
        while len(got) < len(data):
            got.extend(s.recv(1 << 18))
        sender.join()
        s.sendall(b"whole")
        s.close()

    proxy, _ = make("--spare", "0", handler=both)
    with proxy.connect() as s:
        sender = threading.Thread(target=s.sendall, args=(data,))
        sender.start()
        assert read_to_end(s) == data + b"whole"
        sender.join()
    assert got == data


def test_a_client_that_vanishes_takes_its_backend_connection_along(make: Make) -> None:
    ends: list[str] = []

    def watch(s: socket.socket) -> None:
        try:
            while s.recv(1 << 16):
                pass
            ends.append("end")
        except ConnectionResetError:
            ends.append("reset")

    proxy, _ = make("--spare", "0", handler=watch)
    for i in range(20):
        s = proxy.connect()
        s.sendall(bytes(1000 * i + 1))
        until(lambda n=i: proxy.counters()["pairs.made"] == n + 1)  # type: ignore[misc]
        reset(s)
    until(lambda: len(ends) == 20)
    assert set(ends) == {"reset"}
    nothing_is_left(proxy)
    assert proxy.counters()["backends.open_now"] == 0


def test_a_backend_that_resets_is_no_end_of_an_answer(make: Make) -> None:
    has_come = threading.Event()

    def break_off(s: socket.socket) -> None:
        s.recv(1 << 16)
        s.sendall(b"HTTP/1.1 200 OK\r\n\r\npart")
        assert has_come.wait(60)
        reset(s)

    proxy, _ = make(handler=break_off)
    with proxy.connect() as s:
        s.sendall(get(1))
        data = b""
        with pytest.raises(ConnectionResetError):
            while part := s.recv(1 << 16):
                data += part
                if data.endswith(b"part"):
                    has_come.set()
    assert data.endswith(b"part")
    nothing_is_left(proxy)


def test_a_backend_that_is_down_is_a_bad_gateway(make: Make) -> None:
    proxy, backend = make("--spare", "0")
    backend.close()
    for _ in range(5):
        with proxy.connect() as s:
            s.sendall(get(1))
            assert read_answer(s, bytearray())[0] == 502
            assert s.recv(1) == b""
    nothing_is_left(proxy)
    again = Backend(http, port=backend.port)
    with proxy.connect() as s:
        s.sendall(get(5))
        assert read_answer(s, bytearray()) == (200, body_of(5))
    again.close()


def test_clients_beyond_the_backends_room_wait_then_are_told(make: Make) -> None:
    proxy, _ = make("--max-backend-connections", "2", "--wait-ms", "5000")
    first, second, third = (proxy.connect() for _ in range(3))
    for s in (first, second):
        s.sendall(get(3))
        assert read_answer(s, bytearray()) == (200, body_of(3))
    third.sendall(get(3))
    assert read_answer(third, bytearray())[0] == 503
    assert third.recv(1) == b""
    fourth = proxy.connect()
    fourth.sendall(get(4))
    until(lambda: proxy.counters()["clients.waiting_now"] == 1)
    first.close()
    assert read_answer(fourth, bytearray()) == (200, body_of(4))
    for s in (second, third, fourth):
        s.close()
    nothing_is_left(proxy)


def test_idle_backend_connections_that_the_backend_closes_are_not_given_out(make: Make) -> None:
    proxy, backend = make("--spare", "4")
    until(lambda: backend.accepted == 4)
    for s in list(backend.connections):
        s.shutdown(socket.SHUT_RDWR)
    until(lambda: backend.accepted >= 8)
    for _ in range(8):
        with proxy.connect() as s:
            s.sendall(get(9))
            assert read_answer(s, bytearray()) == (200, body_of(9))


def test_a_client_that_says_nothing_is_let_go(make: Make) -> None:
    proxy, _ = make("--idle-timeout-ms", "300")
    with proxy.connect() as s, pytest.raises(ConnectionResetError):
        s.recv(1)
    until(lambda: proxy.counters()["clients.idle"] == 1)
    nothing_is_left(proxy)


def test_a_thousand_connections(make: Make) -> None:
    proxy, _ = make()
    connections = [proxy.connect() for _ in range(1000)]
    for turn in range(3):
        for s in connections:
            s.sendall(get(100 + turn))
        for s in connections:
            assert read_answer(s, bytearray()) == (200, body_of(100 + turn))
    for s in connections:
        s.close()
    nothing_is_left(proxy)


def test_nothing_stays_loaded(make: Make) -> None:
    def programs() -> int:
        listed = subprocess.run(["bpftool", "prog", "show"], capture_output=True, text=True, check=True)
        return listed.stdout.count(" name relay ")

    before = programs()
    proxy, _ = make()
    with proxy.connect() as s:
        s.sendall(get(9))
        assert read_answer(s, bytearray()) == (200, body_of(9))
        assert programs() == before + 1
        proxy.kill()
        with pytest.raises(ConnectionResetError):
            while s.recv(1):
                pass
            raise ConnectionResetError  # an end is as good
    until(lambda: programs() == before)


@pytest.mark.parametrize("word", ["nonsense", "127.0.0.1", "127.0.0.1:0"])
def test_a_backend_that_is_no_address_is_refused(word: str) -> None:
    from tests.in_kernel_proxy.service import program

    done = subprocess.run(
        [program(), "--listen", "127.0.0.1:1", "--backend", word], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--backend" in done.stderr
    assert done.stderr.count("\n") == 1
