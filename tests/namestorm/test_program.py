# SPDX-License-Identifier: Apache-2.0
"""The program `namestorm` as a person meets it: what it says to bad input, how it starts, reloads and stops."""

from __future__ import annotations

import os
import select
import signal
import struct
import subprocess
import time
from pathlib import Path

import pytest
from tests.support import refusal

from stackrig import paths

ZONE = "$TTL 60\n@ SOA ns a 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"


@pytest.fixture
def program() -> str:
    built = paths.build_dir() / "systems" / "namestorm" / "namestorm"
    if not built.exists():
        pytest.skip(f"{built} is not built")
    return str(built)


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    file = tmp_path / "example.com.zone"
    file.write_text(ZONE)
    return file


def good_words(zone: Path) -> list[str]:
    port = f"shm:test{os.getpid()}?side=server"
    return ["--zone", f"example.com={zone}", "--port", port, "--address", "10.77.0.2/24"]


def test_help_names_every_word(program: str) -> None:
    done = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=20, check=True)
    for word in ("--port", "--address", "--zone", "--variant", "--key", "--burst", "--dns-port", "--xdp",
                 "--rate-limit", "--chunks"):  # fmt: skip
        assert word in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--variant", "pre-copy"], "did you mean 'precopy'?"),
        (["--key", "wyre"], "did you mean 'wire'?"),
        (["--xdp", "yes"], "--xdp: there is no 'yes'"),
        (["--xdp", "on"], "give an afxdp port, or --xdp off"),
        (["--xdp", "on", "--rate-limit", "5"], "give --xdp off"),
        (["--zone", "example.com"], "is not an origin and a file"),
        (["--zone", "=x"], "is not an origin and a file"),
        (["--zone", "example.org=/nonexistent"], "/nonexistent"),
        (["--burst", "0"], "--burst"),
        (["--burst", "257"], "--burst"),
        (["--dns-port", "0"], "--dns-port"),
        (["--rate-limit-prefix", "0"], "--rate-limit-prefix"),
        (["--idle-timeout-s", "0"], "--idle-timeout-s"),
        (["--send-timeout-s", "nan"], "--send-timeout-s"),
        (["--answer-timeout-s", "-1"], "--answer-timeout-s"),
        (["--chunks", "64"], "need at least"),
        (["--core", "4711"], "--core 4711: this process may not run there; it may on "),
        (["--telemetry", "/nonexistent/page"], "--telemetry /nonexistent/page"),
        (["--ready-fd", "987"], "--ready-fd 987"),
        (["--address", "10.78.0.2/24"], "1 port but 2 addresses"),
        (["stray"], "'stray'"),
    ],
)
def test_bad_words_are_refused(program: str, zone: Path, words: list[str], said: str) -> None:
    assert said in refusal(program, *good_words(zone), *words)


def test_a_zone_is_required(program: str, zone: Path) -> None:
    assert "--zone" in refusal(program, *good_words(zone)[2:])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ZONE + "www A 192.0.2.300\n", ":5: "),
        ("ns A 192.0.2.1\n", "SOA"),
        ("", "SOA"),
    ],
)
def test_a_bad_zone_file_is_refused_with_its_line(program: str, zone: Path, text: str, said: str) -> None:
    zone.write_text(text)
    told = refusal(program, *good_words(zone))
    assert str(zone) in told
    assert said in told


def test_two_zones_with_one_origin_are_refused(program: str, zone: Path) -> None:
    assert "example.com" in refusal(program, *good_words(zone), "--zone", f"example.com.={zone}")


def counters(page: Path) -> dict[str, int]:
    data = page.read_bytes()
    entries = struct.unpack_from("<I", data, 8)[0]
    values = {}
    for i in range(entries):
        entry = data[40 + i * 112 : 40 + (i + 1) * 112]
        kind, offset = struct.unpack_from("<I", entry, 88)[0], struct.unpack_from("<Q", entry, 96)[0]
        if kind != 4:
            values[entry[:64].split(b"\0")[0].decode()] = struct.unpack_from("<Q", data, offset)[0]
    return values


def test_it_says_when_it_is_ready_reloads_and_stops_cleanly(program: str, zone: Path, tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    page = tmp_path / "telemetry"
    words = [*good_words(zone), "--ready-fd", str(write_end), "--telemetry", str(page), "--log-level", "info"]
    server = subprocess.Popen([program, *words], pass_fds=[write_end], stderr=subprocess.PIPE, text=True)
    os.close(write_end)
    try:
        assert select.select([read_end], [], [], 60)[0], "not ready"
        assert os.read(read_end, 16) == b"ready\n"
        assert counters(page)["zones.names_now"] == 2
        zone.write_text(ZONE + "www A 192.0.2.2\n")
        server.send_signal(signal.SIGHUP)
        while counters(page)["zones.reloads"] != 1:
            time.sleep(0.01)
        assert counters(page)["zones.names_now"] == 3
        zone.write_text("nonsense")
        server.send_signal(signal.SIGHUP)
        while counters(page)["zones.reloads_refused"] != 1:
            time.sleep(0.01)
        assert counters(page)["zones.names_now"] == 3
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=60) == 0
        assert server.stderr is not None
        good, bad = server.stderr.read().splitlines()
        assert "reloaded: 1 zones, 3 names" in good
        assert str(zone) in bad
        assert "what was loaded before is still served" in bad
    finally:
        server.kill()
        server.wait()
        os.close(read_end)
    magic, _, _, _, pid, finished = struct.unpack("<8sIIQQQ", page.read_bytes()[:40])
    assert (magic, pid, finished) == (b"SRIGTEL1", server.pid, 1)
