# SPDX-License-Identifier: Apache-2.0
"""The machine's files: busybox, modules, and an init that does what it is told over a serial line."""

from __future__ import annotations

import stat
from pathlib import Path

GUEST_ADDRESS = "10.77.88.2"
HOST_ADDRESS = "10.77.88.1"
PREFIX = 24

# Answers every line with what the shell printed for it and a last line "@@ exit code".
INIT = f"""\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t debugfs debug /sys/kernel/debug
for module in $(cat /modules/order); do insmod /modules/$module || echo "init: no $module" > /dev/console; done
ip link set lo up
ip address add {GUEST_ADDRESS}/{PREFIX} dev eth0
ip link set eth0 up
stty raw -echo < /dev/ttyS1
exec 3<> /dev/ttyS1
echo '@@ ready' >&3
while read -r line <&3; do
  sh -c "$line" > /tmp/out 2>&1 < /dev/null
  code=$?
  cat /tmp/out >&3
  echo "@@ $code" >&3
done
"""


class Archive:
    """Writes cpio's format newc, which the kernel unpacks as its first root."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._inode = 0

    def add(self, name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        fields = (self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0)
        self._data += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        self._pad()
        self._data += content
        self._pad()

    def _pad(self) -> None:
        self._data += b"\0" * (-len(self._data) % 4)

    def bytes(self) -> bytes:
        self.add("TRAILER!!!", 0)
        return bytes(self._data)


def make_initramfs(busybox: Path, modules: tuple[Path, ...], under_test: Path) -> bytes:
    archive = Archive()
    for folder in ("bin", "dev", "modules"):
        archive.add(folder, stat.S_IFDIR | 0o755)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes())
    archive.add("init", stat.S_IFREG | 0o755, INIT.encode())
    archive.add("modules/order", stat.S_IFREG | 0o644, "\n".join(path.name for path in modules).encode())
    for path in (*modules, under_test):
        archive.add(f"modules/{path.name}", stat.S_IFREG | 0o644, path.read_bytes())
    return archive.bytes()
