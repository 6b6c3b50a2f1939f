# SPDX-License-Identifier: Apache-2.0
"""Thrift's binary protocol, strict and unframed, as far as the forwarder's gate writes and reads it
(thrift/doc/specs/thrift-binary-protocol.md of Apache Thrift; the service: Slick, section 3.3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

VERSION = 0x80010000
CALL, REPLY, EXCEPTION, ONEWAY = 1, 2, 3, 4
STOP = b"\0"
BOOL, BYTE, DOUBLE, I16, I32, I64, STRING, STRUCT, MAP, SET, LIST = 2, 3, 4, 6, 8, 10, 11, 12, 13, 14, 15
UNKNOWN_METHOD = 1  # of TApplicationException


def i32(value: int) -> bytes:
    return struct.pack(">i", value)


def string(value: bytes) -> bytes:
    return i32(len(value)) + value


def field(kind: int, number: int, value: bytes) -> bytes:
    return struct.pack(">bh", kind, number) + value


def message(kind: int, method: bytes, sequence: int, *fields: bytes) -> bytes:
    return struct.pack(">I", VERSION | kind) + string(method) + i32(sequence) + b"".join(fields) + STOP


def msg(key: int, payload: bytes, sequence: int = 0) -> bytes:
    return message(ONEWAY, b"msg", sequence, field(I32, 1, i32(key)), field(STRING, 2, string(payload)))


def connect(key: int, host: str, port: int, sequence: int = 0) -> bytes:
    fields = field(I32, 1, i32(key)), field(STRING, 2, string(host.encode())), field(I32, 3, i32(port))
    return message(CALL, b"connect", sequence, *fields)


def close(sequence: int = 0) -> bytes:
    return message(CALL, b"close", sequence)


@dataclass(frozen=True)
class Answer:
    kind: int
    method: bytes
    sequence: int
    value: int | None  # the i32 of a reply (field 0), or the type of an exception (field 2)


class AnswerError(ValueError):
    """Bytes that are no whole answers; the message says what is wrong with them."""


def answers(data: bytes) -> list[Answer]:
    """All of a server's answers, one after the other."""
    found, reader = [], _Reader(data)
    while reader.left:
        found.append(_answer(reader))
    return found


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        if not 0 <= count <= self.left:
            raise AnswerError(f"an answer ends early: {self.data[-40:]!r}")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])


def _answer(reader: _Reader) -> Answer:
    word = reader.number(">I")
    if word & 0xFFFF0000 != VERSION:
        raise AnswerError(f"an answer begins with {word:#010x} and not with {VERSION:#x}")
    kind = word & 0xFF
    method, sequence, value = reader.take(reader.number(">i")), reader.number(">i"), None
    wanted = 0 if kind == REPLY else 2
    while (what := reader.number(">b")) != 0:
        number = reader.number(">h")
        if what == I32:
            got = reader.number(">i")
            value = got if number == wanted else value
        elif what == STRING:
            reader.take(reader.number(">i"))
        else:
            raise AnswerError(f"an answer has a field of type {what}")
    return Answer(kind, method, sequence, value)
