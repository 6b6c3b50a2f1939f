# SPDX-License-Identifier: Apache-2.0
"""The program `sandstorm` as a person meets it: what it says to bad input, how it starts and stops."""

from __future__ import annotations

import os
import select
import signal
import struct
import subprocess
from pathlib import Path

import pytest
from tests.support import refusal

from stackrig import paths


@pytest.fixture
def program() -> str:
    built = paths.build_dir() / "systems" / "sandstorm" / "sandstorm"
    if not built.exists():
        pytest.skip(f"{built} is not built")
    return str(built)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    (root / "f").write_text("hello\n")
    return root


def good_words(site: Path) -> list[str]:
    return ["--root", str(site), "--port", f"shm:test{os.getpid()}?side=server", "--address", "10.77.0.2/24"]


def test_help_names_every_word(program: str) -> None:
    done = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=20, check=True)
    for word in ("--port", "--address", "--root", "--variant", "--tcp-port", "--max-connections", "--chunks"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--variant", "pre-copy"], "did you mean 'precopy'?"),
        (["--varient", "precopy"], "did you mean '--variant'?"),
        (["--tcp-port", "0"], "--tcp-port"),
        (["--tcp-port", "http"], "--tcp-port"),
        (["--core", "4711"], "--core 4711: this process may not run there; it may on "),
        (["--telemetry", "/nonexistent/page"], "--telemetry /nonexistent/page"),
        (["--ready-fd", "987"], "--ready-fd 987"),
        (["--chunks", "64"], "need at least"),
        (["--max-connections", "0"], "--max-connections"),
        (["--header-timeout-s", "0"], "--header-timeout-s"),
        (["--header-timeout-s", "nan"], "--header-timeout-s"),
        (["--log-level", "warning"], "did you mean 'warn'?"),
        (["--gateway", "192.0.2.1"], "the gateway 192.0.2.1 is not in its subnet"),
        (["--address", "10.78.0.2/24"], "1 port but 2 addresses"),
        (["--port", "shm:more?side=server"], "2 ports but 1 address"),
        (["stray"], "'stray'"),
    ],
)
def test_bad_words_are_refused(program: str, site: Path, words: list[str], said: str) -> None:
    assert said in refusal(program, *good_words(site), *words)


@pytest.mark.parametrize(
    ("port", "said"),
    [
        ("afxdp:rigt-none", "no such interface"),
        ("afxpd:veth0", "afxdp"),
        ("shm:x?side=server&quues=2", "queues"),
        ("nonsense", "nonsense"),
    ],
)
def test_bad_ports_are_refused(program: str, site: Path, port: str, said: str) -> None:
    words = ["--root", str(site), "--address", "10.77.0.2/24", "--port", port]
    assert said in refusal(program, *words)


@pytest.mark.parametrize("address", ["10.77.0.255/24", "224.0.0.1/24", "0.0.0.0/0", "10.77.0.2/33", "host"])
def test_bad_addresses_are_refused(program: str, site: Path, address: str) -> None:
    port = f"shm:test{os.getpid()}?side=server"
    words = ["--root", str(site), "--port", port, "--address", address]
    assert address.split("/", maxsplit=1)[0] in refusal(program, *words)


def test_a_root_without_files_is_refused(program: str, tmp_path: Path, site: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    tail = good_words(site)[2:]
    assert "no file in it" in refusal(program, "--root", str(empty), *tail)
    assert "not a folder" in refusal(program, "--root", str(site / "f"), *tail)
    assert "No such file" in refusal(program, "--root", str(tmp_path / "none"), *tail)
    assert "--root" in refusal(program, *tail)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_says_when_it_is_ready_and_stops_cleanly(
    program: str, site: Path, tmp_path: Path, stop: signal.Signals
) -> None:
    read_end, write_end = os.pipe()
    page = tmp_path / "telemetry"
    words = [*good_words(site), "--ready-fd", str(write_end), "--telemetry", str(page), "--core", "0"]
    server = subprocess.Popen([program, *words], pass_fds=[write_end], stderr=subprocess.PIPE, text=True)
    os.close(write_end)
    try:
        assert select.select([read_end], [], [], 60)[0], "not ready"
        assert os.read(read_end, 16) == b"ready\n"
        server.send_signal(stop)
        assert server.wait(timeout=60) == 0
        assert server.stderr is not None
        assert server.stderr.read() == ""
    finally:
        server.kill()
        server.wait()
        os.close(read_end)
    magic, _, _, _, pid, finished = struct.unpack("<8sIIQQQ", page.read_bytes()[:40])
    assert (magic, pid, finished) == (b"SRIGTEL1", server.pid, 1)
