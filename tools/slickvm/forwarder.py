# SPDX-License-Identifier: Apache-2.0
"""What a client of the forwarder says (Slick 3.3), in Thrift's binary protocol, written out by hand."""

from __future__ import annotations

import struct

CALL, REPLY, EXCEPTION, ONEWAY = 1, 2, 3, 4
I32, STRING, STRUCT, MAP, LIST = 8, 11, 12, 13, 15
STOP = b"\0"


def header(kind: int, method: str, sequence: int = 0) -> bytes:
    return struct.pack(">Ii", 0x80010000 | kind, len(method)) + method.encode() + struct.pack(">i", sequence)


def i32(number: int, value: int) -> bytes:
    return struct.pack(">bhi", I32, number, value)


def string(number: int, value: bytes) -> bytes:
    return struct.pack(">bhi", STRING, number, len(value)) + value


def msg(key: int, payload: bytes, sequence: int = 0) -> bytes:
    return header(ONEWAY, "msg", sequence) + i32(1, key) + string(2, payload) + STOP


def connect(key: int, host: str, port: int, sequence: int = 0) -> bytes:
    return header(CALL, "connect", sequence) + i32(1, key) + string(2, host.encode()) + i32(3, port) + STOP


def close(sequence: int = 0) -> bytes:
    return header(CALL, "close", sequence) + STOP


def reply(method: str, value: int, sequence: int = 0) -> bytes:
    return header(REPLY, method, sequence) + i32(0, value) + STOP
