# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C while a host is at work: its late answer reaches nobody, and the run ends as stopped."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stackrig import records
from stackrig.cli.main import app
from stackrig.gateway.host import Host, HostError


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host("some", [])
    yield made
    made.close()


def interrupt_at(monkeypatch: pytest.MonkeyPatch, op: str, time_: int = 1) -> None:
    """Ctrl-C while the harness waits for the answer to the given operation, the first time or a later one."""
    seen = 0
    answer = Host._answer

    def interrupted(self: Host, timeout: float | None) -> dict[str, Any]:
        nonlocal seen
        seen += self._op == op
        if self._op == op and seen == time_:
            raise KeyboardInterrupt
        return answer(self, timeout)

    monkeypatch.setattr(Host, "_answer", interrupted)


def test_the_answer_that_nobody_waited_for_is_not_the_next_ones(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, "window")
    with pytest.raises(KeyboardInterrupt):
        host.call("window", files=[], binaries=[], begin=0.0, length=0.0)
    assert host.call("tail", path="/proc/sys/kernel/ostype") == "Linux\n"


def test_after_a_timeout_the_next_answer_is_the_next_ones(host: Host) -> None:
    with pytest.raises(HostError, match="host some: window: no answer"):
        host.call("window", timeout=0.1, files=[], binaries=[], begin=0.0, length=1.0)
    assert host.call("tail", path="/proc/sys/kernel/ostype") == "Linux\n"


def test_what_a_host_waits_for_is_broken_off_by_the_next_request(host: Host) -> None:
    host.begin("window", files=[], binaries=[], begin=0.0, length=60.0)
    began = time.monotonic()
    assert host.call("tail", path="/proc/sys/kernel/ostype") == "Linux\n"
    assert time.monotonic() - began < 10


def test_a_server_that_does_not_answer_is_not_asked_on_once_another_request_comes(host: Host) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        asked = {"messages": [b"ab"] * 9, "timeout": 60.0, "tries": 1}
        host.begin("datagrams", address="127.0.0.1", port=port, **asked)
        silent.recv(16)
        host.call("tail", path="/proc/sys/kernel/ostype")
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.recv(16)


@pytest.mark.parametrize(
    ("op", "time_"),
    [("wait_connect", 1), ("wait_connect", 2), ("window", 1), ("wait", 3), ("count", 1)],
    ids=["start for the gate", "start", "window", "end of the load", "system calls"],
)
def test_an_interrupt_at_any_place_stops_the_run(
    artifact: Callable[..., None], root_needed: Path, monkeypatch: pytest.MonkeyPatch, op: str, time_: int
) -> None:
    artifact(repetitions=2, metric="[goodput, syscalls_rate]")
    interrupt_at(monkeypatch, op, time_)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as end:
            app(["run", "tiny", "--profile", "smoke"])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert end.value.code == 130
    folder = records.latest_run("tiny")
    assert folder.load().status == "stopped"
    assert folder.done() == {}, "an interrupted trial is none, and none comes after it"
    assert list(root_needed.glob("*.json")) == []
