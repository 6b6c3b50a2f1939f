# SPDX-License-Identifier: Apache-2.0
"""Proxies and backends for these tests, on the loopback interface or over a veth pair."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.in_kernel.service import PATIENCE
from tests.in_kernel_proxy.service import Backend, Handler, Proxy, http

Make = Callable[..., tuple[Proxy, Backend]]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """On the loopback interface."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it loads a BPF program")
    made: list[Proxy | Backend] = []

    def run(*words: str, handler: Handler = http) -> tuple[Proxy, Backend]:
        backend = Backend(handler)
        made.append(backend)
        proxy = Proxy(tmp_path, backend=(backend.address, backend.port), words=list(words))
        made.append(proxy)
        proxy.start()
        return proxy, backend

    yield run
    for one in made:
        one.kill() if isinstance(one, Proxy) else one.close()


@pytest.fixture(params=["offloads", "gro-only", "mtu"])
def wire(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """At one end of a veth pair; clients and backend at the other."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes network namespaces")
    here, there = f"ikp-{os.getpid()}-s", f"ikp-{os.getpid()}-c"
    made: list[Proxy | Backend] = []

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, timeout=PATIENCE)

    def start(*words: str, handler: Handler = http) -> tuple[Proxy, Backend]:
        backend = Backend(handler, "10.79.2.1", namespace=there)
        made.append(backend)
        proxy = Proxy(
            tmp_path, address="10.79.2.2", port=7000, namespace=here, client_namespace=there,
            client_address="10.79.2.1", words=list(words), backend=("10.79.2.1", backend.port),
        )  # fmt: skip
        made.append(proxy)
        proxy.start()
        return proxy, backend

    try:
        for ns in (here, there):
            ip("netns", "add", ns)
        ip("-n", here, "link", "add", "ikps", "type", "veth", "peer", "name", "ikpc", "netns", there)
        for ns, dev, address in ((here, "ikps", "10.79.2.2/24"), (there, "ikpc", "10.79.2.1/24")):
            ip("-n", ns, "address", "add", address, "dev", dev)
            ip("-n", ns, "link", "set", dev, "up")
            cut = "on" if request.param == "offloads" else "off"
            gro = "off" if request.param == "mtu" else "on"
            ip("netns", "exec", ns, "ethtool", "-K", dev, "tso", cut, "gso", cut, "gro", gro)
        yield start
    finally:
        for one in made:
            one.kill() if isinstance(one, Proxy) else one.close()
        for ns in (here, there):
            subprocess.run(["ip", "netns", "delete", ns], capture_output=True, check=False, timeout=PATIENCE)
