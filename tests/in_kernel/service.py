# SPDX-License-Identifier: Apache-2.0
"""The program `in_kernel`, started on the loopback interface or at one end of a veth pair."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stackrig import paths

PATIENCE = 60  # seconds; for what must happen, however slow the machine


def until(what: Callable[[], bool]) -> None:
    """Waits for something that must come true."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


@contextlib.contextmanager
def inside(namespace: str | None) -> Iterator[None]:
    """Sockets that are made within belong to that network namespace."""
    if namespace is None:
        yield
        return
    setns = ctypes.CDLL(None, use_errno=True).setns
    with Path("/proc/self/ns/net").open() as home, Path(f"/var/run/netns/{namespace}").open() as there:
        assert setns(there.fileno(), 0) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert setns(home.fileno(), 0) == 0, os.strerror(ctypes.get_errno())


def program() -> Path:
    built = paths.build_dir() / "systems" / "in-kernel" / "bpf" / "in_kernel"
    if not built.exists():
        pytest.skip(f"{built} is not built")
    return built


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as s:
        port: int = s.getsockname()[1]
        return port


@dataclass
class Server:
    """One in_kernel, where its clients are, and where its sinks are."""

    folder: Path
    service: str
    address: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    namespace: str | None = None
    client_namespace: str | None = None
    client_address: str = "127.0.0.1"
    words: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    @property
    def page(self) -> Path:
        return self.folder / "telemetry"

    def start(self) -> None:
        read_end, write_end = os.pipe()
        words = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        words += [str(program()), "--service", self.service, "--listen", f"{self.address}:{self.port}",
                  "--telemetry", str(self.page), "--ready-fd", str(write_end), *self.words]  # fmt: skip
        log = self.folder / "log"
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(words, pass_fds=[write_end], stderr=stderr)
        os.close(write_end)
        ready = select.select([read_end], [], [], PATIENCE)[0] and os.read(read_end, 16) == b"ready\n"
        os.close(read_end)
        assert ready, log.read_text()

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(timeout=PATIENCE) == 0, (self.folder / "log").read_text()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def connect(self, receive_buffer: int = 0) -> socket.socket:
        with inside(self.client_namespace):
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        s.settimeout(PATIENCE)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.connect((self.address, self.port))
        return s

    def counters(self) -> dict[str, int]:
        data = self.page.read_bytes()
        values = {}
        for i in range(struct.unpack_from("<I", data, 8)[0]):
            entry = data[40 + i * 112 : 40 + (i + 1) * 112]
            if struct.unpack_from("<I", entry, 88)[0] != 4:
                offset = struct.unpack_from("<Q", entry, 96)[0]
                values[entry[:64].split(b"\0")[0].decode()] = struct.unpack_from("<Q", data, offset)[0]
        return values

    def memory(self) -> int:
        """Bytes that this machine has in use: sockets' queues are nowhere else to be seen."""
        lines = Path("/proc/meminfo").read_text().splitlines()
        values = {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines}
        return values["MemTotal"] - values["MemAvailable"]


class Sink:
    """A backend: takes connections one after the other, keeps what comes; reads only when it may."""

    def __init__(self, server: Server, *, reads: bool = True, receive_buffer: int = 0) -> None:
        with inside(server.client_namespace):
            self.listener = socket.create_server((server.client_address, 0))
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.address, self.port = self.listener.getsockname()
        self.data = bytearray()
        self.may_read = threading.Event()
        if reads:
            self.may_read.set()
        self.connection: socket.socket | None = None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            self.connection, _ = self.listener.accept()
            self.may_read.wait()
            while part := self.connection.recv(1 << 18):
                self.data += part
        self.ended.set()

    def close(self) -> None:
        self.may_read.set()
        self.listener.close()
        if self.connection is not None:
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            self.connection.close()


def send_and_end(s: socket.socket, data: bytes) -> None:
    """All of it, then the end of this direction."""
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)


def read_exactly(s: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = s.recv(min(count - len(data), 1 << 20))
        assert part, f"ended after {len(data)} of {count} bytes"
        data += part
    return bytes(data)


def read_to_end(s: socket.socket) -> bytes:
    data = bytearray()
    while part := s.recv(1 << 20):
        data += part
    return bytes(data)
