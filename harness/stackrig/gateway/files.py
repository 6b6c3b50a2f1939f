# SPDX-License-Identifier: Apache-2.0
"""Files of a host: read, written, mounted."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import Any

from stackrig.gateway.programs import Programs


class Files(Programs):
    def read(self, files: list[str], binaries: list[str] | None = None) -> dict[str, Any]:
        """Contents of many small files, as near in time to each other as can be, and when that was."""
        texts: dict[str, str | bytes | None] = {}
        before = time.monotonic_ns()
        for path in binaries or []:
            try:
                texts[path] = Path(path).read_bytes()
            except OSError:
                texts[path] = None
        for path in files:
            try:
                texts[path] = Path(path).read_text(errors="replace")
            except OSError:
                texts[path] = None
        return {"ns": (before + time.monotonic_ns()) // 2, "texts": texts}

    def window(
        self,
        files: list[str],
        binaries: list[str],
        begin: float,
        length: float,
        threads: list[str] | None = None,
    ) -> dict[str, Any]:
        """The same files at both ends of a window that begins `begin` seconds from now. Sleeps in between:
        measuring must not cost. `threads`: the kernel's threads whose names begin so, with the time that each ran
        in between."""
        self._pause(begin)
        before = _run_times(threads or [])
        first = self.read(files, binaries)
        self._pause(length)
        last = self.read(files, binaries)
        ran = [
            {"name": name, "cpu": cpu, "ns": ns - before.get(tid, ("", 0, 0))[2]}
            for tid, (name, cpu, ns) in _run_times(threads or []).items()
        ]
        return {"first": first, "last": last, "threads": ran}

    def get(self, path: str) -> bytes:
        return Path(path).read_bytes()

    def put(self, path: str, data: bytes | str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(data.encode() if isinstance(data, str) else data)

    def write(self, path: str, text: str) -> str | None:
        """Into a file of the kernel's; the reason where it does not take it."""
        try:
            Path(path).write_text(text)
        except OSError as error:
            return str(error.strerror)
        return None

    def tail(self, path: str, size: int = 4096) -> str:
        try:
            with Path(path).open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - size))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def mkdir(self, path: str) -> None:
        Path(path).mkdir(parents=True, exist_ok=True)

    def rmtree(self, path: str) -> None:
        shutil.rmtree(path, ignore_errors=True)

    def mount_kernel_files(self, hierarchies: dict[str, str]) -> None:
        """`ip netns exec` lays a new /sys over the old one, without control groups and tracepoints: mount them
        again, in this process' own mount namespace. `hierarchies`: mount point → options of v1, or "cgroup2"."""
        tracing = Path("/sys/kernel/tracing")
        if tracing.is_dir() and not any(tracing.iterdir()):
            with contextlib.suppress(OSError):  # its lack is told where a tracepoint is asked for
                self._mount("tracefs", str(tracing), "")
        base = Path("/sys/fs/cgroup")
        if not base.is_dir():
            return
        if "cgroup2" in hierarchies.values() and str(base) in hierarchies:
            self._mount("cgroup2", str(base), "")
            return
        self._mount("tmpfs", str(base), "mode=755")
        for point, options in hierarchies.items():
            Path(point).mkdir(parents=True, exist_ok=True)
            self._mount("cgroup", point, options)

    def _mount(self, kind: str, point: str, options: str) -> None:
        more = ["-o", options] if options else []
        done = self.run(["mount", "-t", kind, *more, "none", point])
        if done["code"] != 0:
            raise OSError(f"mount of {kind} on {point}: {done['err'].strip()}")


def _run_times(prefixes: list[str]) -> dict[int, tuple[str, int, int]]:
    """Kernel threads: id → name, core that it ran on last, ns that it has run."""
    found: dict[int, tuple[str, int, int]] = {}
    for folder in Path("/proc").iterdir() if prefixes else ():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            name = (folder / "comm").read_text().strip()
            if name.startswith(tuple(prefixes)):
                # Behind the name, which may have anything in it: the fields from the third on (proc(5)).
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                ran = int((folder / "schedstat").read_text().split()[0])
                found[int(folder.name)] = (name, int(fields[36]), ran)
    return found
