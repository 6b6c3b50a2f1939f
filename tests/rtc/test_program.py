# SPDX-License-Identifier: Apache-2.0
"""The program `rtc` as a person meets it: what it says to bad input, how it starts and stops."""

from __future__ import annotations

import os
import select
import signal
import subprocess

import pytest
from tests.support import refusal

from stackrig import paths


@pytest.fixture
def program() -> str:
    built = paths.build_dir() / "systems" / "rtc" / "rtc"
    if not built.exists():
        pytest.skip(f"{built} is not built")
    return str(built)


def good_words(service: str = "echo") -> list[str]:
    port = f"shm:rtc-test{os.getpid()}?side=server"
    return ["--service", service, "--port", port, "--address", "10.77.0.2/24"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--service", "ehco"], "did you mean 'echo'?"),
        (["--servise", "echo"], "did you mean '--service'?"),
        (["--tcp-port", "0"], "--tcp-port"),
        (["--send-memory-mib", "0"], "--send-memory-mib"),
        (["--chunks", "1024"], "raise --chunks or lower --send-memory-mib"),
        (["--connect-timeout-s", "-1"], "--connect-timeout-s"),
        (["--ready-fd", "987"], "--ready-fd 987"),
    ],
)
def test_bad_words_are_refused(program: str, words: list[str], said: str) -> None:
    good = good_words() if "--service" not in words else good_words()[2:]
    assert said in refusal(program, *good, *words)


def test_a_service_must_be_named(program: str) -> None:
    assert "--service" in refusal(program, *good_words()[2:])


def test_a_forwarder_runs_on_one_queue(program: str) -> None:
    port = f"shm:rtc-test{os.getpid()}?side=server&queues=2"
    words = ["--service", "forward", "--port", port, "--address", "10.77.0.2/24"]
    assert "2 queues" in refusal(program, *words)
    assert "queues=1" in refusal(program, *words)


@pytest.mark.parametrize("service", ["echo", "forward"])
def test_it_says_when_it_is_ready_and_stops_cleanly(program: str, service: str) -> None:
    read_end, write_end = os.pipe()
    words = [program, *good_words(service), "--ready-fd", str(write_end)]
    server = subprocess.Popen(words, pass_fds=[write_end], stderr=subprocess.PIPE, text=True)
    os.close(write_end)
    try:
        assert select.select([read_end], [], [], 60)[0], "not ready"
        assert os.read(read_end, 16) == b"ready\n"
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=60) == 0
        assert server.stderr is not None
        assert server.stderr.read() == ""
    finally:
        server.kill()
        server.wait()
        os.close(read_end)
