# SPDX-License-Identifier: Apache-2.0
"""The program `in_kernel` as a person meets it: what it says to bad input, how it starts and stops, what it leaves."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.in_kernel import thrift
from tests.in_kernel.service import Server, Sink, program, read_exactly, until

from tests import support

MakeServer = Callable[..., Server]


def refusal(*words: str) -> str:
    return support.refusal(str(program()), *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--service", "ecko"], "did you mean 'echo'?"),
        (["--lissten", "x"], "did you mean '--listen'?"),
        (["--listen", "127.0.0.1"], "--listen"),
        (["--listen", "192.0.2.1:7"], "--listen 192.0.2.1:7"),
        (["--max-connections", "0"], "--max-connections"),
        (["--waiting-frames", "1"], "--waiting-frames"),
        (["--core", "4711"], "--core 4711"),
        (["--telemetry", "/nonexistent/page"], "--telemetry /nonexistent/page"),
        (["--ready-fd", "987"], "--ready-fd 987"),
        (["--log-level", "loud"], "--log-level"),
        (["stray"], "'stray'"),
    ],
)
def test_bad_words_are_refused(words: list[str], said: str) -> None:
    good = ["--service", "echo"] if "--service" not in words else []
    good += ["--listen", "127.0.0.1:0"] if "--listen" not in words else []
    assert said in refusal(*good, *words)


def test_a_service_is_required() -> None:
    assert "--service" in refusal("--listen", "127.0.0.1:0")


def test_who_is_not_root_is_told() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to be somebody else")
    words = ["setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps=-all", str(program()),
             "--service", "echo", "--listen", "127.0.0.1:0"]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    if "setpriv: failed to execute" in done.stderr:
        pytest.skip("the build folder is nobody else's")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("in_kernel: BPF: ")
    assert "run as root" in done.stderr.splitlines()[-1]


def loaded(what: str) -> set[int]:
    """Ids of the programs or maps of this system that the kernel has."""
    shown = subprocess.run(["bpftool", "-j", what], capture_output=True, check=True, timeout=20).stdout
    names = (
        "echo_parser",
        "echo_verdict",
        "forward_parser",
        "forward_verd",
        "detour_verdict",
        "echo_filter",
        "takings",
        "routes",
    )
    return {entry["id"] for entry in json.loads(shown) if entry.get("name", "").startswith(names)}


@pytest.mark.parametrize("service", ["echo", "forward"])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_however_it_ends(make_server: MakeServer, service: str, how: signal.Signals) -> None:
    before = {what: loaded(what) for what in ("prog", "map")}
    server = make_server(service)
    assert loaded("prog") - before["prog"]  # another's may be on its way out
    s = server.connect()
    if service == "echo":
        s.sendall(struct.pack(">I", 4) + b"abcd")
        assert read_exactly(s, 4) == b"abcd"
        s.sendall(b"ab")
    else:
        sink = Sink(server, reads=False)
        thrift.connect(s, 1, sink)
        s.sendall(thrift.msg(1, bytes(1000)) * 100 + b"\x80\x01")
    assert server.process is not None
    server.process.send_signal(how)
    assert server.process.wait(timeout=60) == (0 if how != signal.SIGKILL else -signal.SIGKILL)
    for what in ("prog", "map"):
        until(lambda what=what: loaded(what) <= before[what])  # type: ignore[misc]
    assert not list(Path("/sys/fs/bpf").glob("**/in_kernel*"))
    s.close()
    server.start()  # and its port is free
    server.stop()


def test_several_addresses(make_server: MakeServer) -> None:
    server = make_server("echo", "--listen", "127.0.0.2:0", "--listen", "127.0.0.3:7077")
    server.address, server.port = "127.0.0.3", 7077
    with server.connect() as s:
        s.sendall(struct.pack(">I", 4) + b"abcd")
        assert read_exactly(s, 4) == b"abcd"
    server.stop()
