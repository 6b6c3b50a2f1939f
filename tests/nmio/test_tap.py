# SPDX-License-Identifier: Apache-2.0
"""Whole systems on a TAP device, against kernel sockets that keep their offloads: large packets both ways."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stackrig import _core, paths

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes a network namespace and a TAP device"),
]

OURS, KERNEL = "10.79.1.2", "10.79.1.1"
SIZE = 8_000_000

FETCH = """
import hashlib, socket
with socket.create_connection(("{ours}", 80), timeout=60) as s:
    s.sendall(b"GET /big HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
    got = bytearray()
    while piece := s.recv(1 << 20): got += piece
print(hashlib.sha256(got.split(b"\\r\\n\\r\\n", 1)[1]).hexdigest())
"""
ECHO = """
import os, socket, threading
sent = os.urandom({size})
with socket.create_connection(("{ours}", 7), timeout=60) as s:
    def send(): s.sendall((16384).to_bytes(4, "big") + sent); s.shutdown(socket.SHUT_WR)
    t = threading.Thread(target=send); t.start()
    got = bytearray()
    while piece := s.recv(1 << 20): got += piece
    t.join()
print("same" if bytes(got) == sent else "different")
"""


@contextmanager
def serving(system: str, folder: Path, words: list[str], keys: str) -> Iterator[str]:
    """One of our systems on a TAP device in a namespace of its own, whose name is given."""
    program = paths.build_dir() / "systems" / system / system
    if not program.exists():
        pytest.skip(f"{program} is not built")
    space = f"tcw{os.getpid()}t"
    subprocess.run(["ip", "netns", "add", space], check=True, timeout=30)
    server = None
    try:
        read_end, write_end = os.pipe()
        argv = ["ip", "netns", "exec", space, str(program), "--port", f"tap:tcw0?kernel={KERNEL}/24{keys}",
                "--address", f"{OURS}/24", "--telemetry", str(folder / "page"), "--ready-fd", str(write_end),
                *words]  # fmt: skip
        with (folder / "log").open("wb") as stderr:
            server = subprocess.Popen(argv, pass_fds=[write_end], stderr=stderr)
        os.close(write_end)
        ready = select.select([read_end], [], [], 60)[0] and os.read(read_end, 16) == b"ready\n"
        os.close(read_end)
        assert ready, (folder / "log").read_text()
        yield space
        server.terminate()
        assert server.wait(timeout=30) == 0, (folder / "log").read_text()
    finally:
        if server is not None:
            server.kill()
            server.wait()
        subprocess.run(["ip", "netns", "delete", space], capture_output=True, check=False, timeout=30)


def asked(space: str, script: str) -> str:
    words = ["ip", "netns", "exec", space, sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def counter(folder: Path, name: str) -> int:
    return _core.read_page(str(folder / "page")).values[f"q0.nmio.{name}"]


@pytest.mark.parametrize("keys", ["", "&tso=off", "&csum=off"])
def test_a_file_is_served_whole_whatever_is_left_to_the_device(tmp_path: Path, keys: str) -> None:
    import hashlib

    root = tmp_path / "root"
    root.mkdir()
    content = os.urandom(SIZE)
    (root / "big").write_bytes(content)
    with serving("sandstorm", tmp_path, ["--root", str(root), "--tcp-port", "80"], keys) as space:
        assert asked(space, FETCH.format(ours=OURS)) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("keys", ["", "&lro=on", "&csum=off"])
def test_what_a_client_sends_arrives_whole_in_segments_and_in_large_pieces(tmp_path: Path, keys: str) -> None:
    with serving("rtc", tmp_path, ["--service", "echo", "--tcp-port", "7"], keys) as space:
        assert asked(space, ECHO.format(ours=OURS, size=SIZE // 16384 * 16384)) == "same"
        received = counter(tmp_path, "rx_bytes") / counter(tmp_path, "rx_packets")
        # Acknowledgements count as well, so that large pieces are told by what segments cannot be on average.
        if keys == "&lro=on":
            assert received > 1514
        else:
            assert received <= 1514
