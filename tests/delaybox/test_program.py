# SPDX-License-Identifier: Apache-2.0
"""The program `delaybox` between two veth pairs, kernel sockets at both ends; and what it says when it cannot."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stackrig import _core, paths

PROGRAM = paths.build_dir() / "workloads" / "delaybox" / "delaybox"
SERVER, CLIENT = "10.79.0.1", "10.79.0.2"

# Sends as much as it is told to and hashes what comes back.
ECHO = """
import socket
s = socket.create_server(("{server}", 7))
while True:
    c, _ = s.accept()
    while piece := c.recv(1 << 16): c.sendall(piece)
    c.close()
"""
ASK = """
import os, socket, sys, threading, time
sent = os.urandom({size})
began = time.monotonic()
with socket.create_connection(("{server}", 7), timeout=60) as s:
    opened = time.monotonic() - began
    def send(): s.sendall(sent); s.shutdown(socket.SHUT_WR)
    t = threading.Thread(target=send); t.start()
    got = bytearray()
    while piece := s.recv(1 << 16): got += piece
    t.join()
print("same" if bytes(got) == sent else "different", opened)
"""


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built")


def said(*words: str) -> tuple[int, str]:
    done = subprocess.run([str(PROGRAM), *words], capture_output=True, text=True, check=False, timeout=30)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], "--port: 0 given; give two"),
        (["--port", "shm:a"], "--port: 1 given"),
        (["--port", "shm:a", "--port", "shm:a"], "given twice"),
        (["--port", "afxdp:x", "--port", "afxdp:y", "--both", "loss=200%"], "--both: loss=200% cannot be"),
        (["--port", "afxdp:x", "--port", "afxdp:y", "--both", "lose=1%"], "did you mean 'loss'?"),
        (
            ["--port", "afxdp:x", "--port", "afxdp:y", "--both", "loss=1%", "--to-server", "loss=1%"],
            "--both: says all",
        ),
        (["--port", "afxdp:x", "--port", "afxdp:y", "--address", "10.0.0.1/24"], "it is a bridge"),
        (["--port", "afxdp:no-such0", "--port", "afxdp:no-such1"], "no such interface"),
        (["--sed", "1"], "did you mean '--seed'?"),
    ],
)
def test_bad_input_is_one_line_and_starts_nothing(words: list[str], wanted: str) -> None:
    code, told = said(*words)
    assert code == 2
    assert wanted in told
    assert told.count("\n") == 1


def run(*words: str) -> str:
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout


@dataclass
class Way:
    """Server, box and client in namespaces of their own."""

    name: str
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def spaces(self) -> list[str]:
        return [f"{self.name}{part}" for part in "sbc"]

    def up(self) -> None:
        server, box, client = self.spaces
        for space in self.spaces:
            run("ip", "netns", "add", space)
        for inner, outer, space, address in (("bs", "vs", server, SERVER), ("bc", "vc", client, CLIENT)):
            run("ip", "-n", box, "link", "add", inner, "type", "veth", "peer", "name", outer, "netns", space)
            run("ip", "-n", space, "address", "add", f"{address}/24", "dev", outer)
            for where, name in ((space, outer), (box, inner)):
                run(
                    "ip",
                    "netns",
                    "exec",
                    where,
                    "ethtool",
                    "-K",
                    name,
                    "tx",
                    "off",
                    "tso",
                    "off",
                    "gso",
                    "off",
                )
                run("ip", "-n", where, "link", "set", name, "up")

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        read_end, write_end = os.pipe()
        argv = ["ip", "netns", "exec", self.spaces[1], str(PROGRAM), "--port", "afxdp:bs", "--port", "afxdp:bc",
                "--telemetry", str(self.page), "--ready-fd", str(write_end), *words]  # fmt: skip
        log = self.folder / "log"
        with log.open("wb") as stderr:
            box = subprocess.Popen(argv, pass_fds=[write_end], stderr=stderr)
        self.processes.append(box)
        os.close(write_end)
        ready = select.select([read_end], [], [], 60)[0] and os.read(read_end, 16) == b"ready\n"
        os.close(read_end)
        assert ready, log.read_text()
        return box

    @property
    def page(self) -> Path:
        return self.folder / "page"

    def counter(self, name: str) -> int:
        return _core.read_page(str(self.page)).values[f"q0.{name}"]

    def echoes(self, size: int) -> tuple[str, float]:
        argv = ["ip", "netns", "exec", self.spaces[0], sys.executable, "-c", ECHO.format(server=SERVER)]
        self.processes.append(subprocess.Popen(argv))
        asked = ["ip", "netns", "exec", self.spaces[2], sys.executable, "-c"]
        for _ in range(50):  # until it listens
            script = ASK.format(server=SERVER, size=size)
            done = subprocess.run([*asked, script], capture_output=True, text=True, check=False, timeout=120)
            if done.returncode == 0:
                what, opened = done.stdout.split()
                return what, float(opened)
        raise AssertionError(done.stderr)

    def down(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        for space in self.spaces:
            subprocess.run(["ip", "netns", "delete", space], capture_output=True, check=False, timeout=30)


@pytest.fixture
def way(tmp_path: Path) -> Iterator[Way]:
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes network namespaces")
    it = Way(f"tcw{os.getpid()}", tmp_path)
    try:
        it.up()
        yield it
    finally:
        it.down()


pytestmark = pytest.mark.root


def test_two_kernels_talk_through_it_and_wait_for_its_delay(way: Way) -> None:
    box = way.start("--to-server", "delay=60ms")
    what, opened = way.echoes(300_000)
    assert what == "same"
    assert opened >= 0.06
    assert way.counter("to_server.forwarded") > 0
    assert way.counter("to_clients.forwarded") > 0
    box.terminate()
    assert box.wait(timeout=30) == 0
    assert _core.read_page(str(way.page)).finished


def test_loss_and_reordering_are_made_good_by_the_ends(way: Way) -> None:
    way.start("--both", "loss=2%,reorder=2%,delay=1ms,rate=50M", "--seed", "7")
    what, _ = way.echoes(1_000_000)
    assert what == "same"
    assert way.counter("to_server.lost") > 0
    assert way.counter("to_clients.reordered") > 0


def test_when_it_is_killed_nothing_of_it_stays(way: Way) -> None:
    box = way.start("--both", "delay=1ms")
    assert "xdp" in run("ip", "-n", way.spaces[1], "link", "show", "bs")
    os.kill(box.pid, signal.SIGKILL)
    box.wait()
    for _ in range(1000):
        if "xdp" not in run("ip", "-n", way.spaces[1], "link", "show", "bs"):
            return
    raise AssertionError("its XDP program is still there")


def test_sides_that_do_not_match_are_told(way: Way) -> None:
    run("ip", "-n", way.spaces[1], "link", "set", "bc", "mtu", "1400")
    argv = ["ip", "netns", "exec", way.spaces[1], str(PROGRAM), "--port", "afxdp:bs", "--port", "afxdp:bc"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "MTUs of 1500 and 1400" in done.stderr
