# SPDX-License-Identifier: Apache-2.0
"""Boots the machine in a network namespace of its own, tells it what to do, reads its kernel's log."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from slickvm.initramfs import HOST_ADDRESS, PREFIX, make_initramfs
from slickvm.kernel import Kernel, UnavailableError

TAP = "ikm0"
# The namespace has no name and lives as long as QEMU does; QEMU is killed when whoever started it dies,
# however. So neither stays behind.
START = f"""\
ip link set lo up && ip tuntap add dev {TAP} mode tap &&
ip address add {HOST_ADDRESS}/{PREFIX} dev {TAP} && ip link set {TAP} up && exec "$@"
"""
# An oops ends the machine, slab objects are poisoned and their users remembered (where the kernel can), and
# nothing is spent on what protects a real machine.
COMMAND_LINE = (
    "console=ttyS0 loglevel=5 oops=panic panic=-1 slub_debug=FZPU,kmalloc-*,TCP,sock_inode_cache page_poison=1"
    " mitigations=off nokaslr random.trust_cpu=on"
)
# What a healthy kernel does not say.
COMPLAINT = re.compile(
    r"BUG[: ]|WARNING:|Oops|Call Trace|general protection|refcount_t|KASAN|UBSAN|possible circular locking"
    r"|possible recursive locking|suspicious RCU|inconsistent lock|invalid context|scheduling while atomic"
    r"|corruption|blocked for more than|soft lockup|rcu_\w+ self-detected|rcu_\w+ detected stall"
    r"|unregister_netdevice|leaked reference|Kernel panic|ODEBUG|bad unlock|held lock freed"
)


class DownError(Exception):
    """The machine has ended; the end of its console is in the message."""


class Machine:
    """Owned by one thread; network() may be used by any. Not started again once it is down."""

    def __init__(self, kernel: Kernel, module: Path, folder: Path, boot_timeout: float = 180) -> None:
        self.kernel = kernel
        self._console = folder / "console.log"
        self._line = b""
        initramfs = folder / "initramfs"
        initramfs.write_bytes(make_initramfs(_busybox(), kernel.modules, module))
        agent = folder / "agent"
        self._qemu = subprocess.Popen(
            self._command(initramfs, agent), stdin=subprocess.DEVNULL, stderr=(folder / "qemu.log").open("wb")
        )
        try:
            self._agent = self._connect(agent, time.monotonic() + boot_timeout)
            self._namespace = os.open(f"/proc/{self._qemu.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            self._read_answer(boot_timeout)
        except BaseException:
            self._qemu.kill()
            self._qemu.wait()
            raise

    def _command(self, initramfs: Path, agent: Path) -> list[str]:
        memory = "1024" if self.kernel.has("CONFIG_KASAN") else "384"
        words = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-c", START, "sh"]
        words += [
            "qemu-system-x86_64",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            memory,
        ]
        words += ["-nodefaults", "-display", "none", "-no-reboot", "-kernel", str(self.kernel.image)]
        words += ["-initrd", str(initramfs), "-append", COMMAND_LINE]
        words += ["-netdev", f"tap,id=net,ifname={TAP},script=no,downscript=no"]
        words += ["-device", "virtio-net-pci,netdev=net,romfile="]
        words += ["-serial", f"file:{self._console}", "-serial", f"unix:{agent},server=on,wait=off"]
        return words

    def _connect(self, path: Path, deadline: float) -> socket.socket:
        agent = socket.socket(socket.AF_UNIX)
        while True:
            try:
                agent.connect(str(path))
                return agent
            except OSError as error:
                if self._qemu.poll() is not None:
                    said = (path.parent / "qemu.log").read_text(errors="replace").strip()
                    raise UnavailableError(f"QEMU does not start: {said or 'it says nothing'}") from error
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _read_answer(self, timeout: float) -> tuple[int, str]:
        """Up to the line that ends an answer: its exit code (0 for the first, "ready"), what came before."""
        self._agent.settimeout(timeout)
        while (end := re.search(rb"^@@ (\w+)\n", self._line, re.MULTILINE)) is None:
            try:
                more = self._agent.recv(65536)
            except TimeoutError:
                raise DownError(f"no answer within {timeout:.0f} s\n{self.console()[-3000:]}") from None
            if not more:
                raise DownError(f"the machine has ended\n{self.console()[-3000:]}")
            self._line += more
        said = self._line[: end.start()].decode(errors="replace")
        self._line = self._line[end.end() :]
        return (0 if end.group(1) == b"ready" else int(end.group(1))), said

    def run(self, command: str, timeout: float = 60) -> tuple[int, str]:
        """Exit code and output of a shell command of one line."""
        self._agent.sendall(command.encode() + b"\n")
        return self._read_answer(timeout)

    def must(self, command: str, timeout: float = 60) -> str:
        code, said = self.run(command, timeout)
        assert code == 0, f"{command}: exit code {code}: {said}"
        return said

    def console(self) -> str:
        return self._console.read_text(errors="replace") if self._console.exists() else ""

    def complaints(self) -> list[str]:
        return [line for line in self.console().splitlines() if COMPLAINT.search(line)]

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Sockets made by this thread meanwhile belong to the machine's network, for good."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _set_namespace(self._namespace)
            yield
        finally:
            _set_namespace(own)
            os.close(own)

    def on_host(self, *command: str) -> None:
        """A command in the machine's network, on this side of its wire."""
        subprocess.run(["nsenter", f"--net=/proc/{self._qemu.pid}/ns/net", *command], check=True)

    def stop(self) -> None:
        self._qemu.kill()
        self._qemu.wait()
        self._agent.close()
        os.close(self._namespace)


def _set_namespace(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, 0x40000000) != 0:  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "setns")


def _busybox() -> Path:
    found = shutil.which("busybox")
    if found is None:
        raise UnavailableError("busybox is not installed (Debian: busybox-static)")
    if b"/lib64/ld-linux" in Path(found).read_bytes()[:4096]:
        raise UnavailableError("this busybox needs libraries; Debian's busybox-static does not")
    return Path(found)


def check_here() -> None:
    """Raises UnavailableError where no machine can be started."""
    if os.geteuid() != 0:
        raise UnavailableError("making a network for it needs root")
    for program, package in (("qemu-system-x86_64", "qemu-system-x86"), ("setpriv", "util-linux")):
        if shutil.which(program) is None:
            raise UnavailableError(f"{program} is not installed (Debian: {package})")
    if not Path("/dev/net/tun").exists():
        raise UnavailableError("this kernel has no /dev/net/tun")
    _busybox()
