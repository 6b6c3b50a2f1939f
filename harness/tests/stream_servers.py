# SPDX-License-Identifier: Apache-2.0
"""Servers of byte streams, right ones and ones that cheat, in threads of the test."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stackrig.gate import thrift_words as thrift

Handler = Callable[[socket.socket], None]


@contextmanager
def serving(handler: Handler, serial: bool = False) -> Iterator[int]:
    """A server on loopback whose connections are each `handler`'s, in threads unless `serial`; its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    open_now: list[socket.socket] = []

    def one(it: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), it:
            handler(it)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                it, _ = listener.accept()
                it.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                open_now.append(it)
                if serial:
                    one(it)
                else:
                    threading.Thread(target=one, args=(it,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for it in open_now:
            with contextlib.suppress(OSError):
                it.shutdown(socket.SHUT_RDWR)


def take(it: socket.socket, count: int) -> bytes:
    """So many bytes, or what came before the end."""
    data = b""
    while len(data) < count and (more := it.recv(min(count - len(data), 1 << 16))):
        data += more
    return data


# --- echo


def echo(it: socket.socket) -> None:
    """As listing 3.1 of the paper, and with its size checked."""
    word = take(it, 4)
    size = struct.unpack(">I", word)[0] if len(word) == 4 else 0
    if not 1 <= size <= 65536:
        return
    while len(buffer := take(it, size)) == size:
        it.sendall(buffer)


# --- forwarder


class Forwarder:
    """A right one. Tests override what a cheat does otherwise; a lock per backend keeps messages whole."""

    largest = 1 << 20

    def __init__(self) -> None:
        self.backends: dict[int, socket.socket] = {}
        self.lock = threading.RLock()
        self.locks: dict[int, threading.Lock] = {}

    def __call__(self, it: socket.socket) -> None:
        data = b""
        while True:
            try:
                while (length := self.length(data)) and len(data) >= length:
                    message, data = data[:length], data[length:]
                    self.handle(it, message)
            except (ValueError, struct.error):
                return
            more = it.recv(1 << 16)
            if not more:
                self.left(data)
                return
            data += more

    def left(self, data: bytes) -> None:
        """What a client leaves that ends in a message."""

    def length(self, data: bytes) -> int:
        """Of the first message; 0 where it is not known yet. ValueError: it is none."""
        try:
            return Parser(data, self.largest).message()
        except Partial:
            return 0

    def handle(self, it: socket.socket, message: bytes) -> None:
        parser = Parser(message, self.largest)
        parser.message()
        if parser.method == b"msg":
            self.forward(int(parser.fields[1]), message)
        elif parser.method == b"connect":
            error = self.connect(int(parser.fields[1]), parser.fields[2], int(parser.fields[3]))
            self.reply(it, parser, error)
        elif parser.method == b"close":
            self.reply(it, parser, self.close_all())
        elif parser.kind == thrift.CALL:
            it.sendall(
                thrift.message(
                    thrift.EXCEPTION,
                    parser.method,
                    parser.sequence,
                    thrift.field(thrift.I32, 2, thrift.i32(1)),
                )
            )

    def reply(self, it: socket.socket, parser: Parser, value: int) -> None:
        field = thrift.field(thrift.I32, 0, thrift.i32(value))
        it.sendall(thrift.message(thrift.REPLY, parser.method, parser.sequence, field))

    def connect(self, key: int, host: bytes, port: int) -> int:
        try:
            socket.inet_aton(host.decode())
            new = socket.create_connection((host.decode(), port), timeout=1)
        except (OSError, OverflowError):
            return 111
        new.settimeout(None)
        with self.lock:
            old, self.backends[key] = self.backends.pop(key, None), new
            self.locks[key] = threading.Lock()
        if old is not None:
            old.close()
        return 0

    def close_all(self) -> int:
        with self.lock:
            gone, self.backends = self.backends, {}
        for one in gone.values():
            one.close()
        return len(gone)

    def forward(self, key: int, message: bytes) -> None:
        with self.lock:
            backend = self.backends.get(key)
            lock = self.locks.get(key)
        if backend is None or lock is None:
            return
        with contextlib.suppress(OSError), lock:
            backend.sendall(message)


class Partial(Exception):  # noqa: N818  (no error: more is to come)
    pass


FIXED = {2: 1, 3: 1, 4: 8, 6: 2, 8: 4, 10: 8}


class Parser:
    """One message of the service; ValueError where it is none."""

    def __init__(self, data: bytes, largest: int) -> None:
        self.data, self.at, self.largest = data, 0, largest
        self.fields: dict[int, bytes] = {}

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > self.largest:
            raise ValueError("length")
        if self.at + count > len(self.data):
            raise Partial
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form: str = ">i") -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def message(self) -> int:
        word = self.number(">I")
        self.kind = word & 0xFF
        if word & 0xFFFF0000 != thrift.VERSION or self.kind not in (thrift.CALL, thrift.ONEWAY):
            raise ValueError("version")
        self.method = self.take(self.number())
        self.sequence = self.number()
        kinds = {b"msg": {1: 8, 2: 11}, b"connect": {1: 8, 2: 11, 3: 8}}.get(self.method, {})
        while (what := self.number(">b")) != 0:
            number = self.number(">h")
            if kinds.get(number, what) != what:
                raise ValueError("type")
            value = self.skip(what)
            if number in kinds:
                self.fields[number] = str(struct.unpack(">i", value)[0]).encode() if what == 8 else value
        if set(kinds) - set(self.fields):
            raise ValueError("missing")
        return self.at

    def skip(self, what: int) -> bytes:
        if what in FIXED:
            return self.take(FIXED[what])
        if what == thrift.STRING:
            return self.take(self.number())
        if what == thrift.STRUCT:
            while (inner := self.number(">b")) != 0:
                self.take(2)
                self.skip(inner)
        elif what in (thrift.SET, thrift.LIST, thrift.MAP):
            kinds = [self.number(">b") for _ in range(2 if what == thrift.MAP else 1)]
            count = self.number()
            if not 0 <= count <= self.largest:
                raise ValueError("count")
            for _ in range(count):
                for kind in kinds:
                    self.skip(kind)
        else:
            raise ValueError("field type")
        return b""
