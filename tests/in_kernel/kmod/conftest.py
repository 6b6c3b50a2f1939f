# SPDX-License-Identifier: Apache-2.0
"""One machine for all tests of the kernel module; each loads the module for itself, and what its kernel then
complains of, or misses after unloading, fails that test."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slickvm.initramfs import GUEST_ADDRESS, HOST_ADDRESS
from slickvm.kernel import Kernel, UnavailableError, find_kernel
from slickvm.machine import DownError, Machine, check_here
from stackrig import paths

PATIENCE = 60.0  # seconds; what takes longer, emulated and on a busy machine, has stopped
# A kernel built by hand, with more checks than Debian's: its folder, and the module for it
# (docs/in-kernel-module.md).
DEBUG_KERNEL = os.environ.get("STACKRIG_KMOD_KERNEL")
MODULE = os.environ.get("STACKRIG_KMOD_MODULE")


def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"not within {PATIENCE:.0f} s: {what}"
        time.sleep(0.05)


class Slick:
    """The module in the machine, and sockets on this side of the wire."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.port = 0
        self.sockets: list[socket.socket] = []

    def load(self, service: str, **parameters: int | str) -> None:
        words = " ".join(f"{name}={value}" for name, value in parameters.items())
        self.machine.must(f"insmod /modules/slick.ko service={service} {words}")
        self.port = {"echo": 7, "forward": 9090}[service]

    def unload(self) -> None:
        self.machine.must("rmmod slick")

    def loaded(self) -> bool:
        return "slick" in self.machine.must("lsmod")

    def stats(self) -> dict[str, int]:
        lines = self.machine.must("cat /proc/slick").splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}

    def settles(self, **expected: int) -> None:
        def holds() -> bool:
            stats = self.stats()
            return all(stats[name] == value for name, value in expected.items())

        eventually(holds, f"{expected} in {self.stats()}")

    def new_socket(self) -> socket.socket:
        with self.machine.network():
            made = socket.socket()
        made.settimeout(PATIENCE)
        self.sockets.append(made)
        return made

    def connect(self) -> socket.socket:
        made = self.new_socket()
        made.connect((GUEST_ADDRESS, self.port))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def listen(self) -> socket.socket:
        made = self.new_socket()
        made.bind((HOST_ADDRESS, 0))
        made.listen()
        return made

    def close_sockets(self) -> None:
        for made in self.sockets:
            made.close()
        self.sockets.clear()

    def sockets_in_machine(self) -> str:
        """Without those that only wait for the network to forget them."""
        text = self.machine.must("cat /proc/net/sockstat")
        return " ".join(re.findall(r"sockets: used \d+|TCP: inuse \d+ orphan \d+", text))

    def lost_memory(self) -> list[str]:
        """After unloading: allocations whose code is gone show as bare addresses.

        KASAN keeps freed objects for a while, as if they were in use; such a kernel is asked by kmemleak.
        """
        if self.machine.kernel.has("CONFIG_KASAN"):
            return []
        traces = "cat /sys/kernel/debug/slab/*/alloc_traces /proc/vmallocinfo"
        said = self.machine.must(
            f"{traces} | grep -E '^ *[0-9]+ 0x[0-9a-f]+|[0-9]+ 0xffffffff[0-9a-f]+' || true"
        )
        return said.splitlines()


def kernel_release(module: Path) -> str:
    found = re.search(rb"vermagic=(\S+) ", module.read_bytes())
    assert found, f"{module} does not say what kernel it was built for"
    return found.group(1).decode()


def module_under_test() -> Path:
    return Path(MODULE) if MODULE else paths.build_dir() / "systems/in-kernel/kmod/module/slick.ko"


@pytest.fixture(scope="session")
def kernel() -> Kernel:
    module = module_under_test()
    if not module.exists():
        pytest.skip(f"skipped, because {module} is not built (kernel headers: Debian's linux-headers-amd64)")
    try:
        check_here()
        built = Path(DEBUG_KERNEL) if DEBUG_KERNEL else None
        return find_kernel(kernel_release(module), paths.build_dir().parent / "kernels", built)
    except UnavailableError as why:
        pytest.skip(f"skipped, because {why}")


@pytest.fixture(scope="session")
def machine(kernel: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    try:
        started = Machine(kernel, module_under_test(), tmp_path_factory.mktemp("machine"))
    except UnavailableError as why:
        pytest.skip(f"skipped, because {why}")
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def slick(machine: Machine) -> Iterator[Slick]:
    made = Slick(machine)
    before = made.sockets_in_machine()
    complaints = len(machine.complaints())
    try:
        yield made
        made.close_sockets()
        if made.loaded():
            made.settles(connections_open=0)
            made.unload()
        eventually(lambda: made.sockets_in_machine() == before, f"as many sockets as before ({before})")
        assert made.lost_memory() == []
    finally:
        made.close_sockets()
        with contextlib.suppress(DownError, OSError):
            machine.run("rmmod slick 2> /dev/null")
        said = machine.complaints()[complaints:]
        assert not said, f"the kernel complains: {said}\n{machine.console()[-6000:]}"
