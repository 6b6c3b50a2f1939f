# SPDX-License-Identifier: Apache-2.0
"""Thrift messages for the tests, written by hand: a second opinion on what the programs are built from."""

from __future__ import annotations

import socket
import struct

from tests.in_kernel.service import Server, Sink, read_exactly

CALL, REPLY, EXCEPTION, ONEWAY = 1, 2, 3, 4


def head(name: bytes, kind: int, sequence: int = 0) -> bytes:
    return struct.pack(">II", 0x80010000 | kind, len(name)) + name + struct.pack(">I", sequence)


def i32(ident: int, value: int) -> bytes:
    return b"\x08" + struct.pack(">hi", ident, value)


def string(ident: int, value: bytes) -> bytes:
    return b"\x0b" + struct.pack(">hI", ident, len(value)) + value


def msg(key: int, payload: bytes, *, sequence: int = 0, kind: int = ONEWAY) -> bytes:
    return head(b"msg", kind, sequence) + i32(1, key) + string(2, payload) + b"\0"


def odd_msg(key: int, payload: bytes) -> bytes:
    """The same in another order, with fields that nobody knows."""
    nested = b"\x0c" + struct.pack(">h", 9) + i32(1, 5) + string(2, b"x") + b"\0"
    return head(b"msg", ONEWAY) + string(2, payload) + nested + i32(1, key) + i32(77, 1) + b"\0"


def connect_call(key: int, host: str, port: int, sequence: int = 1) -> bytes:
    return head(b"connect", CALL, sequence) + i32(1, key) + string(2, host.encode()) + i32(3, port) + b"\0"


def close_call(sequence: int = 2) -> bytes:
    return head(b"close", CALL, sequence) + b"\0"


def result(s: socket.socket, name: bytes, sequence: int) -> int:
    """What a call returned."""
    start = head(name, REPLY, sequence)
    assert read_exactly(s, len(start)) == start
    assert read_exactly(s, 3) == b"\x08\0\0"
    value: int = struct.unpack(">i", read_exactly(s, 4))[0]
    assert read_exactly(s, 1) == b"\0"
    return value


def connect(s: socket.socket, key: int, sink: Sink) -> None:
    s.sendall(connect_call(key, sink.address, sink.port, 40 + key))
    assert result(s, b"connect", 40 + key) == 0


def close_all(server: Server) -> int:
    with server.connect() as s:
        s.sendall(close_call())
        return result(s, b"close", 2)
