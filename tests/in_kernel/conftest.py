# SPDX-License-Identifier: Apache-2.0
"""Servers for the tests of `in_kernel`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.in_kernel.service import PATIENCE, Server


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """On the loopback interface."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it loads BPF programs")
    made: list[Server] = []

    def make(service: str, *words: str) -> Server:
        server = Server(tmp_path, service, words=list(words))
        made.append(server)
        server.start()
        return server

    yield make
    for server in made:
        server.kill()


@pytest.fixture(params=["offloads", "gro-only", "mtu"])
def wire(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    """At one end of a veth pair; its clients and sinks at the other."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes network namespaces")
    here, there = f"ikb-{os.getpid()}-s", f"ikb-{os.getpid()}-c"
    made: list[Server] = []

    def run(*words: str) -> None:
        subprocess.run(words, check=True, capture_output=True, timeout=PATIENCE)

    def make(service: str) -> Server:
        server = Server(tmp_path, service, "10.79.1.2", 7000, here, there, "10.79.1.1")
        made.append(server)
        server.start()
        return server

    try:
        for ns in (here, there):
            run("ip", "netns", "add", ns)
        run("ip", "-n", here, "link", "add", "veths", "type", "veth", "peer", "name", "vethc", "netns", there)
        for ns, dev, address in ((here, "veths", "10.79.1.2/24"), (there, "vethc", "10.79.1.1/24")):
            run("ip", "-n", ns, "address", "add", address, "dev", dev)
            run("ip", "-n", ns, "link", "set", dev, "up")
            cut = "on" if request.param == "offloads" else "off"
            gro = "off" if request.param == "mtu" else "on"
            run("ip", "netns", "exec", ns, "ethtool", "-K", dev, "tso", cut, "gso", cut, "gro", gro)
        yield make
    finally:
        for server in made:
            server.kill()
        for ns in (here, there):
            subprocess.run(["ip", "netns", "delete", ns], capture_output=True, check=False, timeout=PATIENCE)
