# SPDX-License-Identifier: Apache-2.0
"""Loading and unloading the kernel module, at rest and under load, and what it says to bad parameters."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from slickvm import forwarder as thrift
from slickvm.kernel import Kernel

from .conftest import Slick, eventually, module_under_test
from .test_kmod_echo import receive, size_word
from .test_kmod_forwarder import Sink

# What Debian's kernel has of the checks that would find mistakes with memory and locks, and what it has not.
CHECKS = ("CONFIG_KASAN", "CONFIG_DEBUG_KMEMLEAK", "CONFIG_PROVE_LOCKING", "CONFIG_DEBUG_ATOMIC_SLEEP")


def test_a_hundred_times_loaded_and_unloaded(slick: Slick) -> None:
    pair = " && ".join(f"insmod /modules/slick.ko service={s} && rmmod slick" for s in ("echo", "forward"))
    slick.machine.must(f"for i in $(seq 50); do {pair} || exit 1; done", timeout=180)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("service=ecko", "slick: service=ecko: there is no such service; load it with service=echo or"),
        ("address=localhost", "slick: address=localhost: not an IPv4 address"),
        ("max_connections=0", "slick: max_connections=0: not within 1 to 512"),
        ("max_message=100", "slick: max_message=100: not within 65536 to 16777216"),
        ("keepalive=0", "slick: keepalive=0: not within"),
        ("connect_tries=128", "slick: connect_tries=128: not within"),
        ("address=192.0.2.77", "slick: 192.0.2.77:7: cannot listen there (error 99)"),
    ],
)
def test_bad_parameters_are_refused_in_one_line(slick: Slick, parameters: str, said: str) -> None:
    slick.machine.must("dmesg -c > /dev/null")
    code, _ = slick.machine.run(f"insmod /modules/slick.ko {parameters}")
    assert code != 0
    # busybox' insmod tries twice.
    lines = {line.partition("] ")[2] for line in slick.machine.must("dmesg").splitlines()}
    assert len(lines) == 1
    assert said in lines.pop()
    assert not slick.loaded()


def test_a_port_in_use_is_refused_and_leaves_nothing(slick: Slick) -> None:
    slick.machine.must("nc -l -p 7 > /dev/null 2>&1 & sleep 0.3")
    code, _ = slick.machine.run("insmod /modules/slick.ko")
    slick.machine.must("killall nc")
    assert code != 0
    assert "7: cannot listen there (error 98)" in slick.machine.must("dmesg | tail -n 1")
    assert slick.machine.run("cat /proc/slick")[0] != 0


def until_reset(work: Callable[[], None]) -> None:
    """Runs the load until the module goes away under it."""
    with contextlib.suppress(OSError, AssertionError):
        while True:
            work()


def under_load(slick: Slick, clients: list[Callable[[], None]], busy: Callable[[], bool]) -> None:
    threads = [threading.Thread(target=until_reset, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    while not busy():
        pass
    slick.unload()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a client of an unloaded module hangs"
    slick.close_sockets()


def echo_client(slick: Slick, size: int) -> Callable[[], None]:
    connection = slick.connect()
    connection.sendall(size_word(size))

    def work() -> None:
        buffer = random.randbytes(size)
        connection.sendall(buffer)
        assert receive(connection, size) == buffer

    return work


def reconnecting_client(slick: Slick) -> Callable[[], None]:
    def work() -> None:
        with contextlib.closing(slick.connect()) as connection:
            connection.sendall(size_word(100) + bytes(150))
            receive(connection, 100)

    return work


def flooding_client(slick: Slick, stream: bytes) -> Callable[[], None]:
    connection = slick.connect()

    def work() -> None:
        connection.sendall(stream)

    return work


def test_echo_unloaded_under_load(slick: Slick) -> None:
    for _ in range(5):
        slick.load("echo")
        clients = [echo_client(slick, size) for size in (1, 32, 4096, 65536)]
        clients += [flooding_client(slick, size_word(65536) + bytes(1 << 20)), reconnecting_client(slick)]
        under_load(slick, clients, lambda: slick.stats()["round_trips"] > 50)


def test_forwarder_unloaded_under_load(slick: Slick) -> None:
    """With senders that run, senders that wait for a sink that does not read, and sinks that do."""
    for _ in range(5):
        slick.load("forward")
        client = slick.connect()
        sinks = [Sink(slick, client, key) for key in range(3)]
        stream = b"".join(thrift.msg(key, bytes(100)) for key in (0, 1)) * 50
        clients = [flooding_client(slick, stream) for _ in range(3)]
        clients.append(flooding_client(slick, thrift.msg(2, bytes(60000))))
        clients += [lambda sink=sink: sink.receive(1000) for sink in sinks[:2]]  # type: ignore[misc]
        under_load(slick, clients, lambda: slick.stats()["messages"] > 500)


def test_unloaded_while_backends_are_being_connected_and_drained(slick: Slick) -> None:
    slick.load("forward")
    client = slick.connect()
    Sink(slick, client, 1)  # it does not read
    sender = slick.connect()
    sender.settimeout(1)
    with pytest.raises(TimeoutError):
        while True:
            sender.sendall(thrift.msg(1, bytes(60000)))
    assert slick.stats()["stalls"] > 0
    slick.connect().sendall(thrift.connect(2, "10.77.88.77", 9))  # nobody is there: no answer
    slick.connect().sendall(thrift.close())
    slick.settles(calls=3)
    slick.unload()


START_A_MACHINE = """
import sys
from pathlib import Path
from slickvm.kernel import Kernel
from slickvm.machine import Machine
image, config, module, folder = map(Path, sys.argv[1:])
Machine(Kernel("", image, config, ()), module, folder)
"""


def test_the_machine_dies_with_whoever_started_it(kernel: Kernel, tmp_path: Path) -> None:
    files = (kernel.image, kernel.config, module_under_test(), tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", START_A_MACHINE, *files], env=environment) as starter:
        children = Path(f"/proc/{starter.pid}/task/{starter.pid}/children")

        def qemu() -> list[str]:
            names = {child: Path(f"/proc/{child}/comm") for child in children.read_text().split()}
            return [child for child, name in names.items() if name.read_text().startswith("qemu")]

        eventually(lambda: bool(qemu()), "QEMU runs")
        pid = qemu()[0]
        starter.kill()
    eventually(lambda: not Path(f"/proc/{pid}").exists(), f"QEMU, process {pid}, is gone")


def test_memory_after_all_of_this(slick: Slick, kernel: Kernel) -> None:
    """What the kernel has of checks is used; this one says which it has not."""
    slick.load("forward")
    slick.unload()
    if kernel.has("CONFIG_DEBUG_KMEMLEAK"):
        leaks = "echo scan > /sys/kernel/debug/kmemleak && cat /sys/kernel/debug/kmemleak"
        slick.machine.must(leaks, timeout=180)
        assert slick.machine.must(leaks, timeout=180) == ""
    missing = [option for option in CHECKS if not kernel.has(option)]
    if missing:
        pytest.skip(f"not checked, because {kernel.release} is built without {', '.join(missing)}")
