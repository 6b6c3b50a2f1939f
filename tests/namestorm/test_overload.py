# SPDX-License-Identifier: Apache-2.0
"""Namestorm asked for far more than it can answer: a query is answered right or not at all, and memory does not grow.

Nothing here depends on how fast the machine is: the server is stopped for most of the time, so that its rings
overflow at any rate."""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackrig import paths

NAMES = 3000
MEBIBYTE = 1 << 20


def program(*path: str) -> str:
    built = paths.build_dir().joinpath(*path)
    if not built.exists():
        pytest.skip(f"{built} is not built")
    return str(built)


def address(i: int) -> str:
    return f"192.0.{i // 250}.{i % 250}"


def digest(name: str, addr: str) -> str:
    owner = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
    record = owner + struct.pack(">HHIH", 1, 1, 3600, 4) + socket.inet_aton(addr)
    return hashlib.sha256(record).hexdigest()[:16]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    hosts = [(f"host{i}", address(i)) for i in range(NAMES)]
    zone = "$TTL 3600\n@ SOA ns a 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n" + "".join(
        f"{n} A {a}\n" for n, a in hosts
    )
    (tmp_path / "zone").write_text(zone)
    (tmp_path / "queries").write_text("".join(f"{n}.bench.test A\n" for n, _ in hosts))
    lines = [f"NOERROR 1 {digest(f'{n}.bench.test', a)}\n" for n, a in hosts]
    (tmp_path / "expected").write_text("".join(lines))
    return tmp_path


@pytest.fixture(params=["memcpy", "precopy"])
def server(request: pytest.FixtureRequest, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    read_end, write_end = os.pipe()
    words = [program("systems", "namestorm", "namestorm"), "--port", f"shm:over{os.getpid()}?side=server",
             "--address", "10.77.0.2/24", "--zone", f"bench.test={folder / 'zone'}",
             "--variant", request.param, "--ready-fd", str(write_end)]  # fmt: skip
    process = subprocess.Popen(words, pass_fds=[write_end])
    os.close(write_end)
    try:
        assert select.select([read_end], [], [], 60)[0], "not ready"
        yield process
    finally:
        process.kill()
        process.wait()
        os.close(read_end)


def load(folder: Path, seconds: float) -> subprocess.Popen[bytes]:
    words = [program("workloads", "rigload", "rigload"), "dns", "--port", f"shm:over{os.getpid()}?side=client",
             "--address", "10.77.0.1/24", "--target", "10.77.0.2:53", "--queries", str(folder / "queries"),
             "--expected", str(folder / "expected"), "--check-every", "1", "--loop", "open", "--rate", "400000",
             "--outstanding", "200000", "--flows", "64", "--timeout-ms", "2000", "--warmup", "0.1",
             "--duration", str(seconds), "--json", "-"]  # fmt: skip
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def report_of(client: subprocess.Popen[bytes]) -> dict[str, int]:
    """What happened to the queries, over all phases."""
    out, err = client.communicate(timeout=120)
    assert client.returncode == 0, err.decode()
    report = json.loads(out)
    assert report["content_checked"]
    total = {"completed": 0}
    for phase in report["phases"]:
        total["completed"] += phase["requests_completed"]
        for kind, count in phase["errors"].items():
            total[kind] = total.get(kind, 0) + count
    return total


def resident(process: subprocess.Popen[bytes]) -> int:
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def test_what_is_answered_is_right_and_memory_is_flat(server: subprocess.Popen[bytes], folder: Path) -> None:
    report_of(load(folder, 0.5))  # what is touched once is touched
    before = resident(server)
    client = load(folder, 4)
    while client.poll() is None:
        server.send_signal(signal.SIGSTOP)
        time.sleep(0.08)
        server.send_signal(signal.SIGCONT)
        time.sleep(0.02)
    seen = report_of(client)
    completed, lost = seen.pop("completed"), seen.pop("timeout") + seen.pop("unsent")
    assert completed > NAMES
    assert lost > 0, "it was no overload"
    assert not any(seen.values()), f"wrong: {seen}"
    deadline = (
        time.monotonic() + 60
    )  # until the server has seen that the client is gone, whose memory it shares
    while resident(server) - before >= 2 * MEBIBYTE:
        assert time.monotonic() < deadline, "memory grows"
        time.sleep(0.05)
    assert report_of(load(folder, 0.5))["completed"] > NAMES, "and it goes on"
