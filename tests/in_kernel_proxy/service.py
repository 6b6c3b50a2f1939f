# SPDX-License-Identifier: Apache-2.0
"""The program `in_kernel_proxy` and a backend that does what a test tells it."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.in_kernel import service
from tests.in_kernel.service import PATIENCE, free_port, inside

from stackrig import paths

Handler = Callable[[socket.socket], None]


def program() -> Path:
    built = paths.build_dir() / "systems" / "in-kernel" / "bpf-proxy" / "in_kernel_proxy"
    if not built.exists():
        pytest.skip(f"{built} is not built")
    return built


@dataclass
class Proxy(service.Server):
    """One in_kernel_proxy; clients and backend are in `client_namespace`."""

    service: str = "http"
    backend: tuple[str, int] = ("127.0.0.1", 1)

    def start(self) -> None:
        read_end, write_end = os.pipe()
        words = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        words += [str(program()), "--backend", f"{self.backend[0]}:{self.backend[1]}",
                  "--listen", f"{self.address}:{self.port}", "--telemetry", str(self.page),
                  "--ready-fd", str(write_end), *self.words]  # fmt: skip
        log = self.folder / "log"
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(words, pass_fds=[write_end], stderr=stderr)
        os.close(write_end)
        ready = select.select([read_end], [], [], PATIENCE)[0] and os.read(read_end, 16) == b"ready\n"
        os.close(read_end)
        assert ready, log.read_text()


@dataclass
class Backend:
    """Takes connections; each is handled in a thread of its own."""

    handler: Handler
    address: str = "127.0.0.1"
    port: int = 0
    namespace: str | None = None
    accepted: int = 0
    connections: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        with inside(self.namespace):
            self.listener = socket.create_server((self.address, self.port), backlog=2048)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.listener.accept()
                self.connections.append(s)  # before it is counted: who sees the count finds it
                self.accepted += 1
                threading.Thread(target=self._handle, args=(s,), daemon=True).start()

    def _handle(self, s: socket.socket) -> None:
        with contextlib.suppress(OSError):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.handler(s)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for s in self.connections:
            s.close()


def read_head(s: socket.socket, buffer: bytearray) -> bytes | None:
    """The next head off the stream; None at its end."""
    while b"\r\n\r\n" not in buffer:
        part = s.recv(1 << 16)
        if not part:
            return None
        buffer += part
    head, _, rest = bytes(buffer).partition(b"\r\n\r\n")
    buffer[:] = rest
    return head


def body_of(size: int) -> bytes:
    """Bytes that tell where they stand."""
    return b"".join(i.to_bytes(4, "big") for i in range(size // 4 + 1))[:size]


def http(s: socket.socket) -> None:
    """GET /SIZE answers with that many bytes; POST with the bytes that came. Keeps alive unless told."""
    buffer = bytearray()
    while (head := read_head(s, buffer)) is not None:
        method, path, _ = head.split(b"\r\n")[0].split(b" ")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(buffer) < length:
            buffer += s.recv(1 << 18)
        posted = bytes(buffer[:length])
        del buffer[:length]
        body = posted if method == b"POST" else body_of(int(path[1:]))
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        if b"connection: close" in head.lower():
            break
    s.shutdown(socket.SHUT_WR)
    while s.recv(1 << 16):
        pass
    s.close()


def get(size: int, *headers: str) -> bytes:
    return "\r\n".join([f"GET /{size} HTTP/1.1", "Host: test", *headers, "", ""]).encode()


def read_answer(s: socket.socket, buffer: bytearray) -> tuple[int, bytes]:
    """Status and body."""
    head = read_head(s, buffer)
    assert head is not None, "ended before an answer"
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(buffer) < length:
        part = s.recv(1 << 18)
        assert part, f"ended after {len(buffer)} of {length} bytes"
        buffer += part
    body = bytes(buffer[:length])
    del buffer[:length]
    return int(head.split(b" ")[1]), body


__all__ = ["Backend", "Proxy", "body_of", "free_port", "get", "http", "read_answer"]
