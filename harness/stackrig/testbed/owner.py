# SPDX-License-Identifier: Apache-2.0
"""Who owns what a run has made outside its own process: namespaces, control groups, folders in memory.

A record in /run/stackrig/ is written before anything is made. It names the owner by process id and start time,
so a number that is used again is not mistaken for it. The next run removes what a dead owner left behind, and
nothing of a living one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stackrig.testbed import hugepages

PREFIX = "rig-"
MEMORY = Path("/dev/shm")  # RAM-backed on every Linux


def records_folder() -> Path:
    return Path(os.environ.get("STACKRIG_RUN_DIR") or "/run/stackrig")


def start_time(pid: int) -> str | None:
    """Field 22 of /proc/PID/stat, in clock ticks since boot; None where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rsplit(")", 1)[1].split()
    return None if fields[0] in "ZX" else fields[19]


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass
class Owner:
    """What one run owns. Save after each change and before the thing itself is made."""

    id: str
    pid: int
    started: str
    boot: str
    namespaces: list[str] = field(default_factory=list)
    cgroups: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    huge_pages: int = 0  # that it had the kernel reserve, beyond those that were

    @classmethod
    def new(cls) -> Owner:
        records_folder().mkdir(parents=True, exist_ok=True)
        while True:
            name = secrets.token_hex(2)
            with contextlib.suppress(FileExistsError):
                (records_folder() / f"{name}.json").touch(exist_ok=False)
                break
        owner = cls(name, os.getpid(), start_time(os.getpid()) or "", boot_id())
        owner.save()
        return owner

    @property
    def record(self) -> Path:
        return records_folder() / f"{self.id}.json"

    @property
    def prefix(self) -> str:
        """First part of every name that this run gives: namespaces, control groups, shared memory."""
        return f"{PREFIX}{self.id}-"

    def save(self) -> None:
        text = json.dumps(asdict(self))
        whole = self.record.with_suffix(".new")
        whole.write_text(text)
        whole.replace(self.record)

    @property
    def who(self) -> dict[str, str]:
        """What tells this process from all others: for records that it writes."""
        return {"pid": str(self.pid), "started": self.started, "boot": self.boot}

    def alive(self) -> bool:
        return self.boot == boot_id() and start_time(self.pid) == self.started

    def release(self) -> list[str]:
        """Remove all that is owned, then the record. Returns what was there; may be called again."""
        removed: list[str] = []
        for namespace in self.namespaces:
            removed += _remove_namespace(namespace)
        for cgroup in self.cgroups:
            removed += _remove_cgroup(Path(cgroup))
        for folder in (*self.folders, *self.unfinished):
            if Path(folder).exists():
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(f"folder {folder}")
        for left in MEMORY.glob(f"{self.prefix}*"):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
            removed.append(f"shared memory {left.name}")
        if self.huge_pages:
            hugepages.give_back(self.huge_pages)
            removed.append(f"{self.huge_pages} huge pages")
            self.huge_pages = 0
        self.record.unlink(missing_ok=True)
        return removed


def lives(who: dict[str, str]) -> bool:
    """Is there still the process that `Owner.who` told of?"""
    pid = who.get("pid", "")
    return who.get("boot") == boot_id() and pid.isdigit() and start_time(int(pid)) == who.get("started")


def clean_up_after_the_dead() -> list[str]:
    """Remove what runs left behind whose process is gone; what was removed, for the person to read."""
    removed: list[str] = []
    for record in sorted(records_folder().glob("*.json")):
        try:
            owner = Owner(**json.loads(record.read_text()))
        except (ValueError, TypeError):
            # Made but not yet written by a process that lives, or never written by one that died.
            if time.time() - record.stat().st_mtime > 60:
                record.unlink(missing_ok=True)
            continue
        except FileNotFoundError:
            continue
        if not owner.alive():
            removed += owner.release()
    return removed


def _remove_namespace(name: str) -> list[str]:
    if not Path("/run/netns", name).exists():
        return []
    listed = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
    pids = [int(word) for word in listed.stdout.split() if int(word) != os.getpid()]
    _kill(pids)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    return [f"namespace {name}", *(f"process {pid} in {name}" for pid in pids)]


def _remove_cgroup(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    pids: list[int] = []
    with contextlib.suppress(OSError):
        pids = [int(word) for word in (path / "cgroup.procs").read_text().split()]
    _kill(pids)
    for _ in range(50):  # a killed process leaves its group a moment later
        try:
            path.rmdir()
            break
        except OSError:
            time.sleep(0.02)
    return [f"control group {path}", *(f"process {pid} in {path.name}" for pid in pids)]


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline and any(start_time(pid) is not None for pid in pids):
        time.sleep(0.01)
