# SPDX-License-Identifier: Apache-2.0
"""What this machine can measure, and what each lack costs. Looks; changes nothing."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stackrig import loads, registry, server
from stackrig.errors import UserError
from stackrig.model.experiment import Experiment
from stackrig.testbed import local
from stackrig.testbed.cgroups import hierarchy
from stackrig.testbed.owner import Owner, records_folder


@dataclass(frozen=True)
class Finding:
    what: str
    ok: bool
    found: str
    lack: str = ""  # what cannot be done without it
    needed: bool = False  # nothing can be run without it


def examine() -> list[Finding]:
    looks: list[Callable[[], Finding]] = [
        _root,
        _tools,
        _cores,
        _namespaces,
        _cgroups,
        _cpu_by_core,
        _afxdp,
        _congestion,
        _tracepoints,
        _pmu,
        _huge_pages,
        _nvme,
        _steal,
        _leftovers,
    ]
    found = [look() for look in looks]
    return found + [_program(kind, name) for kind, name in _programs()]


def _root() -> Finding:
    return Finding(
        "root", os.geteuid() == 0, f"uid {os.geteuid()}", "no namespace, no XDP program: run as root", True
    )


def _tools() -> Finding:
    missing = [tool for tool in local.TOOLS if shutil.which(tool) is None]
    return Finding(
        "tools",
        not missing,
        f"missing: {', '.join(missing)}" if missing else "all there",
        "./bootstrap installs them",
        True,
    )


def _cores() -> Finding:
    count = len(os.sched_getaffinity(0))
    return Finding("cores", count >= 2, f"{count}", "server and client would share a core", True)


def _namespaces() -> Finding:
    refused = _in_child("unshare", "--net", "--mount", "true")
    found = refused or "one can be made"
    return Finding("network namespaces", not refused, found, "no local testbed", True)


def _in_child(*command: str) -> str:
    """Whether a program of a moment, with namespaces of its own, can do it: "", or why not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"{command[0]}: exit code {done.returncode}"


def _cgroups() -> Finding:
    found = hierarchy()
    said = f"version {found.version} at {found.base}" if found.version else "none mounted"
    return Finding(
        "control groups", found.version > 0, said, "CPU time of server and client is unknown", True
    )


def _cpu_by_core() -> Finding:
    by = hierarchy().per_core_file() or ("/proc/schedstat" if Path("/proc/schedstat").exists() else None)
    return Finding(
        "CPU time by core",
        by is not None,
        by or "neither cpuacct nor /proc/schedstat",
        "softirq work in idle and other people's work on the cores go unseen",
    )


def _afxdp() -> Finding:
    try:
        socket.socket(44, socket.SOCK_RAW, 0).close()  # AF_XDP
    except OSError as error:
        return Finding(
            "AF_XDP", False, str(error.strerror), "no wire afxdp: Sandstorm serves over the soft NIC only"
        )
    return Finding("AF_XDP", True, "sockets can be opened")


def _congestion() -> Finding:
    path = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
    there = path.read_text().split() if path.exists() else []
    default = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip() if path.exists() else "?"
    return Finding(
        "cubic",
        "cubic" in there,
        f"there: {' '.join(there)}; default {default}",
        "the kernel's servers run another congestion control than the inventory asks for",
        True,
    )


def _tracepoints() -> Finding:
    tracepoint = "events/raw_syscalls/sys_enter/id"
    mounted = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
    if any(Path(base, tracepoint).exists() for base in mounted):
        return Finding("tracepoints", True, "raw_syscalls:sys_enter")
    # A run's hosts mount it for themselves, as this child does.
    script = f'mount -t tracefs none "{mounted[0]}" && test -e "{mounted[0]}/{tracepoint}"'
    refused = _in_child("unshare", "--mount", "sh", "-c", script)
    found = refused or "raw_syscalls:sys_enter; tracefs is not mounted, a run mounts it for itself"
    return Finding("tracepoints", not refused, found, "syscalls_rate is unavailable")


def _pmu() -> Finding:
    # struct perf_event_attr: type HARDWARE = 0, config CPU_CYCLES = 0; exclude_kernel is not set
    attributes = struct.pack("IIQQQQQIIQ", 0, 64, 0, 0, 0, 0, 0, 0, 0, 0)
    number = {"x86_64": 298, "aarch64": 241}.get(platform.machine())
    descriptor = -1
    if number is not None:
        descriptor = ctypes.CDLL(None).syscall(number, ctypes.c_char_p(attributes), 0, -1, -1, 8)
    if descriptor >= 0:
        os.close(descriptor)
    return Finding(
        "PMU",
        descriptor >= 0,
        "cycles can be counted" if descriptor >= 0 else "no hardware counters",
        "cache misses and memory traffic are unavailable",
    )


def _huge_pages() -> Finding:
    total = 0
    for path in Path("/sys/kernel/mm/hugepages").glob("hugepages-*/nr_hugepages"):
        with contextlib.suppress(ValueError, OSError):
            total += int(path.read_text())
    return Finding("huge pages", total > 0, f"{total} reserved", "packet memory uses plain pages; it says so")


def _nvme() -> Finding:
    found = [path.name for path in Path("/sys/block").glob("nvme*")]
    return Finding("NVMe", bool(found), ", ".join(found) or "none", "artifacts of chapter 4 run on a model")


def _steal() -> Finding:
    with Path("/proc/stat").open() as stat:
        fields = [int(word) for word in stat.readline().split()[1:]]
    share = fields[7] / max(1, sum(fields[:8]))
    return Finding(
        "stolen time",
        share < 0.01,
        f"{share:.2%} since boot",
        "a neighbour outside this machine slows it: compare interleaved trials only",
    )


def _leftovers() -> Finding:
    import json

    dead = []
    for record in records_folder().glob("*.json"):
        with contextlib.suppress(ValueError, TypeError, OSError):
            owner = Owner(**json.loads(record.read_text()))
            if not owner.alive():
                dead.append(owner.id)
    return Finding(
        "left-overs", not dead, f"of runs {', '.join(dead)}" if dead else "none", "the next run removes them"
    )


def _programs() -> list[tuple[str, str]]:
    systems = [("system", name) for name in (*registry.systems(), *registry.baselines())]
    return systems + [("load generator", name) for name in registry.generators()]


def _program(kind: str, name: str) -> Finding:
    try:
        if kind == "system":
            where = server.program_of(registry.load_system(name))
        else:
            where = loads.program_of(registry.load_generator(name))
    except UserError as error:
        return Finding(f"{kind} {name}", False, str(error).partition(": ")[2] or str(error))
    return Finding(f"{kind} {name}", True, where)


def artifacts(found: list[Finding]) -> dict[str, str]:
    """Artifact → what this machine can do of it."""
    lacking = [finding.what for finding in found if finding.needed and not finding.ok]
    told = {}
    for name in registry.artifacts():
        artifact = registry.load_artifact(name)
        if artifact.experiment is None:
            told[name] = "checked against the sources"
        elif lacking:
            told[name] = f"cannot be run: {', '.join(lacking)}"
        elif artifact.experiment.wire == "afxdp" and not _ok(found, "AF_XDP"):
            told[name] = "cannot be run: AF_XDP"
        elif missing := _missing(found, artifact.experiment):
            told[name] = f"cannot be run: {'; '.join(missing)}"
        else:
            told[name] = "ratios, orderings and shapes, on veth; absolute figures need a lab"
    return told


def _missing(found: list[Finding], experiment: Experiment) -> list[str]:
    """Programs of the experiment that are not there."""
    systems = dict.fromkeys(spelled.partition("/")[0] for spelled in experiment.systems)
    wanted = [*(f"system {name}" for name in systems), f"load generator {experiment.load}"]
    return [f"{one.what}: {one.found}" for one in found if one.what in wanted and not one.ok]


def _ok(found: list[Finding], what: str) -> bool:
    return all(finding.ok for finding in found if finding.what == what)
